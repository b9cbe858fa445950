//! The lake: which objects a source has, and how SQL reads them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use crate::config::resolve;
use crate::contract;
use crate::error::{Context, Error, Result, is_damage, of_store};
use crate::object::{Format, InputObject};
use crate::pinned::Pinned;
use crate::session;
use crate::store::{Location, Stores, heads};

/// Every configured source with its objects, as they were when the lake was listed.
#[derive(Debug)]
pub struct Lake {
    /// By the name that SQL uses behind `raw.`.
    pub sources: BTreeMap<String, RawSource>,
    /// The stores that its objects are read from, as they were listed, by scheme and authority.
    pub(crate) stores: Vec<(Url, Arc<dyn ObjectStore>)>,
}

/// The objects of one source.
#[derive(Debug)]
pub struct RawSource {
    pub(crate) location: Location,
    /// By key.
    pub(crate) objects: Vec<InputObject>,
    format: Format,
    schema: SchemaRef,
    /// Columns that only the names of folders hold, as `currency=EUR`.
    folders: Vec<String>,
}

impl Lake {
    /// Lists every source and reads each head once.
    ///
    /// # Errors
    /// [`Error::Input`] for a source without objects, a file of no known format, types that cannot be united, and the
    /// same content under two keys.
    pub(crate) async fn open(named: BTreeMap<String, Url>, stores: &Stores, runtime: &RuntimeEnv) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for (name, url) in named {
            let source = RawSource::open(&name, &url, stores, runtime).await?;
            sources.insert(name, source);
        }
        // DataFusion knows one store for each base, which several sources may share.
        let mut by_base: BTreeMap<Url, Vec<&RawSource>> = BTreeMap::new();
        for source in sources.values() {
            by_base.entry(source.location.base()).or_default().push(source);
        }
        let pinned = |(base, sources): (Url, Vec<&RawSource>)| {
            let listed = sources.iter().flat_map(|source| source.objects.iter().map(|object| &object.meta));
            let store: Arc<dyn ObjectStore> = Arc::new(Pinned::new(sources[0].location.store(), listed));
            (base, store)
        };
        let stores = by_base.into_iter().map(pinned).collect();
        Ok(Self { sources, stores })
    }
}

impl RawSource {
    async fn open(name: &str, url: &Url, stores: &Stores, runtime: &RuntimeEnv) -> Result<Self> {
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let location = stores.locate(url)?;
        let mut objects = Vec::new();
        for meta in location.list().await? {
            // As Spark, Hive and object stores leave them: not yet, or no longer, part of the table.
            if location.relative(&meta.location).split('/').any(|part| part.starts_with(['.', '_'])) {
                continue;
            }
            if !Format::is_known(meta.location.as_ref()) {
                return Err(Error::Input(format!(
                    "{name}: {} is not a {} file; move it out of the folder, or name the right folder in the configuration",
                    location.name_of(&meta.location),
                    Format::ENDINGS
                )));
            }
            objects.push(meta);
        }
        if objects.is_empty() {
            return Err(Error::Input(format!(
                "{name}: there is no file below {location} that ends in {}; check the path in the configuration",
                Format::ENDINGS
            )));
        }
        let listed = location.clone().within(Arc::new(Pinned::new(location.store(), &objects)));
        let objects: Vec<InputObject> = futures::stream::iter(objects)
            .map(|meta| InputObject::open(&listed, meta, Arc::clone(&cache)))
            .buffered(16)
            .try_collect()
            .await?;
        let format = same_format(name, &location, &objects)?;
        let schema = united(name, &location, &objects)?;
        refuse_copies(name, &listed, &objects).await?;
        let folders = objects.iter().flat_map(|object| hive(&location, &object.meta.location)).map(|(key, _)| key);
        let folders: BTreeSet<String> = folders.filter(|key| schema.field_with_name(key).is_err()).collect();
        Ok(Self { location, objects, format, schema, folders: folders.into_iter().collect() })
    }

    /// Key, version and size: what makes two reads of an object the same.
    pub(crate) fn version(&self, object: &InputObject) -> String {
        let ObjectMeta { location, last_modified, size, e_tag, .. } = &object.meta;
        let version = e_tag.clone().unwrap_or_else(|| last_modified.to_rfc3339());
        format!("{} {version} {size}", self.location.relative(location))
    }

    /// Where an object stands among those of the source, if it is one of them.
    pub(crate) fn position(&self, object: &InputObject) -> Option<usize> {
        self.objects.binary_search_by(|known| known.meta.location.cmp(&object.meta.location)).ok()
    }

    /// Whether an object has a column, in its rows or in its key.
    pub(crate) fn has_column(&self, object: &InputObject, name: &str) -> bool {
        object.schema.field_with_name(name).is_ok()
            || hive(&self.location, &object.meta.location).iter().any(|(key, _)| key == name)
    }

    /// These objects of the source as a table.
    pub(crate) fn table<'a>(&self, objects: impl IntoIterator<Item = &'a InputObject>) -> ObjectTable {
        let file = |object: &InputObject| {
            let folders = hive(&self.location, &object.meta.location);
            let value =
                |name: &String| folders.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.clone());
            let values = self.folders.iter().map(|name| ScalarValue::Utf8(value(name)));
            PartitionedFile::new_from_meta(object.meta.clone()).with_partition_values(values.collect())
        };
        let folders = self.folders.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        ObjectTable {
            store: self.location.base(),
            format: self.format,
            schema: TableSchema::builder(Arc::clone(&self.schema))
                .with_table_partition_cols(folders.collect::<Vec<_>>())
                .build(),
            files: objects.into_iter().map(file).collect(),
            sorted_by: Vec::new(),
        }
    }

    /// What keeps the rows of an object from being decoded, if anything does.
    pub(crate) async fn damage(&self, context: &SessionContext, object: &InputObject) -> Option<String> {
        let rows = context.read_table(Arc::new(self.table([object])));
        let read = async move {
            let mut rows = rows?.execute_stream().await?;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                    contract::within_precision(field.name(), column)?;
                }
            }
            Ok::<_, DataFusionError>(())
        };
        let error = session::apart(read).await.flatten().err()?;
        (is_damage(&error) && of_store(&error).is_none()).then(|| error.strip_backtrace())
    }

    /// Holds the objects against what was listed, after they were read.
    ///
    /// # Errors
    /// [`Error::Changed`] naming an object that changed or went away meanwhile.
    pub(crate) async fn unchanged<'a>(&self, objects: impl IntoIterator<Item = &'a InputObject>) -> Result<()> {
        let objects: Vec<&InputObject> = objects.into_iter().collect();
        let paths = objects.iter().map(|object| object.meta.location.clone());
        for (object, head) in objects.iter().zip(heads(self.location.store(), paths).await) {
            let ObjectMeta { location, e_tag, size, .. } = &object.meta;
            let name = || self.location.name_of(location);
            match head {
                Ok(head) if (&head.e_tag, &head.size) == (e_tag, size) => {}
                Ok(_) | Err(object_store::Error::NotFound { .. }) => return Err(Error::Changed(name())),
                Err(error) => return Err(error).context(|| format!("cannot read {}", name())),
            }
        }
        Ok(())
    }
}

/// The folders and files directly below a place that hold tables, each with a name for SQL.
pub(crate) async fn entries(lake: &Url, stores: &Stores) -> Result<Vec<(String, Url)>> {
    let location = stores.locate(lake)?;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for object in location.list().await? {
        let key = location.relative(&object.location);
        if !Format::is_known(&key) || key.split('/').any(|part| part.starts_with(['.', '_'])) {
            continue;
        }
        let (name, entry) = match key.split_once('/') {
            Some((folder, _)) => (folder, format!("{folder}/")),
            None => (key.rsplit_once('.').map_or(key.as_str(), |(name, _)| name), key.clone()),
        };
        let mut name: String = name.to_lowercase().replace(|letter: char| !letter.is_alphanumeric(), "_");
        while found.get(&name).is_some_and(|other| *other != entry) {
            name.push('_');
        }
        found.insert(name, entry);
    }
    let named = found.into_iter().map(|(name, entry)| {
        let url =
            resolve(&entry, lake).map_err(|error| Error::Input(format!("{entry} cannot be part of a URL: {error}")))?;
        Ok((name, url))
    });
    named.collect()
}

/// The columns that an object's folders name, as `month=2024-12`.
fn hive(location: &Location, object: &Path) -> Vec<(String, Option<String>)> {
    let key = location.relative(object);
    let folders = key.rsplit_once('/').map_or("", |(folders, _)| folders).split('/');
    let named = folders.filter_map(|folder| folder.split_once('='));
    named
        .map(|(name, value)| {
            let value = percent_decode(value);
            (percent_decode(name), Some(value).filter(|value| value != "__HIVE_DEFAULT_PARTITION__"))
        })
        .collect()
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// One format for all objects; CSV is read by position, so that its columns must be the same everywhere.
fn same_format(name: &str, location: &Location, objects: &[InputObject]) -> Result<Format> {
    let first = &objects[0];
    for object in objects {
        let (one, other) = (location.name_of(&first.meta.location), location.name_of(&object.meta.location));
        if object.format != first.format {
            return Err(Error::Input(format!(
                "{name}: {one} and {other} are not in the same format; write one of them again, or keep them in two folders"
            )));
        }
        if matches!(first.format, Format::Csv { .. }) && object.schema != first.schema {
            return Err(Error::Input(format!(
                "{name}: {one} and {other} do not have the same columns in the same order; write one of them again"
            )));
        }
    }
    Ok(first.format)
}

/// The most columns that a source may have. The time that DataFusion takes to plan grows with the square of their
/// number: half a minute for this many, a quarter of an hour for six times as many.
const MOST_COLUMNS: usize = 5_000;

/// One schema for all objects: the columns of any of them; differing types meet in a wider one.
fn united(name: &str, location: &Location, objects: &[InputObject]) -> Result<SchemaRef> {
    let mut fields: Vec<(String, DataType, &InputObject)> = Vec::new();
    let mut spellings: Vec<String> = Vec::new();
    for object in objects {
        for field in object.schema.fields() {
            let found = plain(field.data_type());
            match fields.iter_mut().find(|(known, ..)| known == field.name()) {
                None => {
                    if fields.len() == MOST_COLUMNS {
                        return Err(Error::Input(format!(
                            "{name}: there are more than {MOST_COLUMNS} columns in {}; write it again with those that are needed",
                            location.name_of(&object.meta.location),
                        )));
                    }
                    let spelling = contract::spelling(field.name());
                    let alike = |at: &usize| {
                        spellings[*at] == spelling && object.schema.field_with_name(&fields[*at].0).is_err()
                    };
                    if let Some((known, _, first)) = (0..fields.len()).find(alike).map(|at| &fields[at]) {
                        return Err(Error::Input(format!(
                            "{name}: column `{known}` of {} is called `{}` in {}; write one of them again with the name of the other",
                            location.name_of(&first.meta.location),
                            field.name(),
                            location.name_of(&object.meta.location),
                        )));
                    }
                    spellings.push(spelling);
                    fields.push((field.name().clone(), found.clone(), object));
                }
                Some((_, known, _)) if known == found => {}
                Some((column, known, first)) => {
                    // Nobody reads a column that the contract does not know, unless a staging file says how.
                    let in_contract = contract::source(name)
                        .is_some_and(|source| source.columns.iter().any(|known| known.name == column));
                    let as_text =
                        Some(DataType::Utf8View).filter(|_| !in_contract && !known.is_nested() && !found.is_nested());
                    *known = wider(known, found).or(as_text).ok_or_else(|| {
                        let [one, other] = [&*known, found].map(contract::in_sql);
                        Error::Input(format!(
                            "{name}: column `{column}` is {one} in {} and {other} in {}; write one of them again with the type of the other",
                            location.name_of(&first.meta.location),
                            location.name_of(&object.meta.location),
                        ))
                    })?;
                }
            }
        }
    }
    let fields: Vec<_> = fields.into_iter().map(|(name, data_type, _)| Field::new(name, data_type, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The type behind an encoding; texts are read as views.
fn plain(found: &DataType) -> &DataType {
    match found {
        DataType::Dictionary(_, value) => plain(value),
        DataType::Utf8 | DataType::LargeUtf8 => &DataType::Utf8View,
        found => found,
    }
}

/// A file's schema as we read it.
pub(crate) fn readable(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), plain(field.data_type()).clone(), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Decimal128, Null, Timestamp};
    match (one, other) {
        (Null, any) | (any, Null) => Some(any.clone()),
        (Timestamp(_, Some(_)), Timestamp(_, Some(_))) => Some(contract::instant_type()),
        (Timestamp(_, None), Timestamp(_, None)) => Some(Timestamp(TimeUnit::Microsecond, None)),
        (Decimal128(p, s), Decimal128(q, t)) => {
            let (whole, scale) = ((*p as i8 - s).max(*q as i8 - t), *s.max(t));
            Some(Decimal128((whole + scale).clamp(1, 38) as u8, scale)).filter(|_| whole + scale <= 38)
        }
        (a, b) if a.is_integer() && b.is_integer() => {
            Some(DataType::Int64).filter(|_| *a != DataType::UInt64 && *b != DataType::UInt64)
        }
        // A whole column becomes floating where a writer met its first null.
        (a, b) if (a.is_integer() || a.is_floating()) && (b.is_integer() || b.is_floating()) => Some(DataType::Float64),
        _ => None,
    }
}

/// The same rows twice under two keys would double all money: refuse them.
async fn refuse_copies(name: &str, location: &Location, objects: &[InputObject]) -> Result<()> {
    let mut alike: HashMap<(u64, Option<u64>), Vec<&InputObject>> = HashMap::new();
    for object in objects.iter().filter(|object| object.has_rows()) {
        alike.entry((object.meta.size, object.rows)).or_default().push(object);
    }
    for group in alike.into_values().filter(|group| group.len() > 1) {
        let mut seen: HashMap<blake3::Hash, &InputObject> = HashMap::new();
        for object in group {
            let path = &object.meta.location;
            let mut content = blake3::Hasher::new();
            let result = object_store::ObjectStoreExt::get(location.store().as_ref(), path).await;
            let mut bytes = result.context(|| format!("cannot read {}", location.name_of(path)))?.into_stream();
            while let Some(part) =
                bytes.try_next().await.context(|| format!("cannot read {}", location.name_of(path)))?
            {
                content.update(&part);
            }
            if let Some(first) = seen.insert(content.finalize(), object) {
                return Err(Error::Input(format!(
                    "{name}: {} and {} have the same content, so every row would count twice; remove one of them",
                    location.name_of(&first.meta.location),
                    location.name_of(path)
                )));
            }
        }
    }
    Ok(())
}

/// Objects of one format as a table: an explicit list, so that no cache of listings can be stale.
#[derive(Debug)]
pub(crate) struct ObjectTable {
    store: Url,
    format: Format,
    schema: TableSchema,
    files: Vec<PartitionedFile>,
    /// The columns by which the rows of each file are sorted.
    sorted_by: Vec<String>,
}

impl ObjectTable {
    /// Parquet that we wrote, which has no columns in its keys.
    pub(crate) fn of(store: Url, schema: SchemaRef, objects: impl IntoIterator<Item = ObjectMeta>) -> Self {
        let files = objects.into_iter().map(PartitionedFile::new_from_meta).collect();
        Self { store, format: Format::Parquet, schema: TableSchema::from(schema), files, sorted_by: Vec::new() }
    }

    /// The same table, told that each of its objects is sorted by these columns: a query may merge them instead of
    /// sorting.
    pub(crate) fn sorted_by(self, columns: &[&str]) -> Self {
        Self { sorted_by: columns.iter().map(|column| (*column).to_owned()).collect(), ..self }
    }
}

#[async_trait]
impl TableProvider for ObjectTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let reader = self.format.reader();
        let source = reader.file_source(self.schema.clone());
        // One partition with two files is not sorted.
        let merged = self.files.len() > 1 && !self.sorted_by.is_empty();
        let partitions = if merged { self.files.len() } else { state.config().target_partitions() };
        let groups = FileGroup::new(self.files.clone()).split_files(partitions);
        let options = SortOptions { descending: false, nulls_first: false };
        let schema = self.schema.table_schema();
        let sorted_by = self.sorted_by.iter().map(|name| Ok(PhysicalSortExpr::new(col(name, schema)?, options)));
        let ordering = LexOrdering::new(sorted_by.collect::<datafusion::error::Result<Vec<_>>>()?);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(self.store.as_str())?, source)
            .with_output_ordering(ordering.into_iter().collect())
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        reader.create_physical_plan(state, config).await
    }
}
