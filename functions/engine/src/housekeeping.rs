//! What is done to the output beside publishing: deleting what nobody needs any more, and forgetting customers.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::encoding::{content_hash, parquet_writer};
use crate::error::{Context, Error, Result};
use crate::publish::{self, attempt_id, pretty};
use crate::rollup::{Counts, FactTable, Record, TOTALS, total};
use crate::rows::Money;
use crate::snapshot::Snapshot;
use crate::store::Location;

/// An object that nothing published stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its key below the output.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// The folders in which objects may become useless. What is anywhere else is not ours to judge.
const FOLDERS: [&str; 5] = ["facts", "snapshots", "runs", "publications", "plans"];

/// The objects that no publication stands on, be it the visible one of its period or an earlier one, and that are older
/// than `age`: a run under way may be about to use younger ones. Objects that name others come first.
pub(crate) async fn unused(output: &Location, age: Duration, now: DateTime<Utc>) -> Result<Vec<Unused>> {
    let rewritten = Rewritten::read(output).await?;
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut folders = Vec::new();
    let pointers = publish::pointers(output).await?;
    for object in output.join("publications").list().await? {
        let key = output.relative(&object.location);
        let period = key.split('/').nth(1).unwrap_or_default();
        if !pointers.contains_key(period) {
            return Err(Error::Input(format!(
                "{period} has publications and no pointer, so nobody can tell what is used; `cxroi run --period {period}`, \
                 or restore published/{period}.json"
            )));
        }
    }
    for period in pointers.into_keys() {
        for publication in publish::publications(output, &period).await? {
            let manifest = publish::manifest(output, &period, &publication).await?;
            let tables = manifest.basis.tables();
            used.extend(tables.flat_map(|table| [table.key.clone(), rewritten.now(table).key]));
            used.extend(manifest.basis.records().map(Record::key));
            folders.extend([publication.folder(&period), publication.publication(&period)]);
        }
    }
    let mut unused = Vec::new();
    for folder in FOLDERS {
        for object in output.join(folder).list().await? {
            let key = output.relative(&object.location);
            let of_publication =
                folders.iter().any(|folder| key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
            if of_publication || used.contains(&key) || object.last_modified > now - age {
                continue;
            }
            // What names a table that goes has to go before it.
            if key.starts_with("snapshots/records/") {
                let Snapshot { table, rejected, .. } = parsed(output, &key).await?;
                if std::iter::once(table).chain(rejected).all(|table| used.contains(&table.key)) {
                    continue;
                }
            }
            unused.push(Unused { key, bytes: object.size });
        }
    }
    unused.sort_by_key(|object| (!object.key.contains("/records/"), object.key.clone()));
    Ok(unused)
}

/// Deletes objects below the output, in this order.
pub(crate) async fn delete(output: &Location, keys: impl IntoIterator<Item = String>) -> Result<()> {
    for key in keys {
        let place = output.join(&key);
        match place.store().delete(place.path()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error).context(|| format!("cannot delete {place}")),
        }
    }
    Ok(())
}

async fn parsed<T: DeserializeOwned>(output: &Location, key: &str) -> Result<T> {
    let place = output.join(key);
    let gone = || Error::Input(format!("{place} went away; try again"));
    let (bytes, _) = place.get().await?.ok_or_else(gone)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Input(format!("{place} is damaged ({error}); delete it")))
}

/// What was found of customers who are to be forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Objects that held them.
    pub objects: usize,
    /// Rows of theirs in these.
    pub rows: u64,
}

/// The record of one time that customers were forgotten, below `forgotten/`. It names no customer.
#[derive(Debug, Serialize, Deserialize)]
struct Forgetting {
    at: DateTime<Utc>,
    customers: usize,
    /// The tables that took the place of others, by the key of the other.
    replaced: BTreeMap<String, FactTable>,
}

/// The tables that took the place of others when customers were forgotten, by the key of the other.
#[derive(Debug, Default)]
pub(crate) struct Rewritten(BTreeMap<String, FactTable>);

impl Rewritten {
    pub(crate) async fn read(output: &Location) -> Result<Self> {
        let mut forgettings: Vec<Forgetting> = Vec::new();
        for object in output.join("forgotten").list().await? {
            forgettings.push(parsed(output, &output.relative(&object.location)).await?);
        }
        forgettings.sort_by_key(|forgetting| forgetting.at);
        Ok(Self(forgettings.into_iter().flat_map(|forgetting| forgetting.replaced).collect()))
    }

    /// The table itself if it is still there, or else what took its place.
    pub(crate) async fn there(output: &Location, table: FactTable) -> Result<FactTable> {
        let place = output.join(&table.key);
        match place.store().head(place.path()).await {
            Ok(_) => Ok(table),
            Err(object_store::Error::NotFound { .. }) => Ok(Self::read(output).await?.now(&table)),
            Err(error) => Err(error).context(|| format!("cannot read {place}")),
        }
    }

    /// What a table is now.
    pub(crate) fn now(&self, table: &FactTable) -> FactTable {
        let mut table = table;
        while let Some(next) = self.0.get(&table.key) {
            let in_place = next.key == table.key;
            table = next;
            if in_place {
                break;
            }
        }
        table.clone()
    }
}

/// A table without some customers.
struct Without {
    bytes: Vec<u8>,
    rows: u64,
    removed: Removed,
}

/// What the rows held that are gone.
#[derive(Debug, Default)]
struct Removed {
    rows: u64,
    /// Of `customer_month`, what it counts of raw rows.
    interactions: u64,
    order_lines: u64,
    revenue: Money,
}

/// Rewrites everything below the output that holds these customers' ids (facts, snapshots, and lists of rejected rows)
/// without them, and deletes what held them. Published numbers name nobody and stay; the next run restates those of the
/// newest months. If `now` is `None`, only counts.
///
/// If it is cut short, call it again: what is not rewritten yet still holds the ids.
pub(crate) async fn forget(
    output: &Location,
    customers: &BTreeSet<String>,
    now: Option<DateTime<Utc>>,
) -> Result<Forgotten> {
    let mut found = Forgotten::default();
    let mut replaced: BTreeMap<String, FactTable> = BTreeMap::new();
    let mut removed: BTreeMap<String, Removed> = BTreeMap::new();
    let (mut old, mut in_place) = (Vec::new(), Vec::new());
    let keys: BTreeSet<String> = customers.iter().map(|customer| format!("customer_id={customer}")).collect();
    for folder in ["facts", "snapshots", "runs"] {
        for object in output.join(folder).list().await? {
            let key = output.relative(&object.location);
            let is_listing = key.ends_with("/rejected.parquet") || key.contains("/rejected/");
            if !key.ends_with(".parquet") || folder == "runs" && !is_listing {
                continue;
            }
            let Some((bytes, _)) = output.join(&key).get().await? else { continue };
            let (column, named) = if is_listing { ("key", &keys) } else { ("customer_id", customers) };
            let context = || format!("cannot rewrite {}", output.join(&key));
            let Some(without) = without(bytes, column, named).context(context)? else { continue };
            found.objects += 1;
            found.rows += without.removed.rows;
            if now.is_none() {
                continue;
            }
            // The tables of a run's windows are made again by whoever needs them.
            if key.starts_with("facts/windows/") {
                old.push(key);
                continue;
            }
            let hash = content_hash(&without.bytes);
            let (bytes, rows) = (without.bytes.len() as u64, without.rows);
            let mut new = key.clone();
            if folder == "runs" {
                in_place.push((key.clone(), without.bytes));
            } else {
                let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
                new = format!("{folder}/{hash}.parquet");
                output.join(&new).put(without.bytes).await?;
                old.push(key.clone());
            }
            replaced.insert(key.clone(), FactTable { key: new, bytes, rows, content: hash });
            removed.insert(key, without.removed);
        }
    }
    let Some(now) = now.filter(|_| found.objects > 0) else { return Ok(found) };
    let forgetting = Forgetting { at: now, customers: customers.len(), replaced: replaced.clone() };
    output.join(&format!("forgotten/{}.json", attempt_id(now))).put(pretty(&forgetting)).await?;
    for (key, bytes) in in_place {
        output.join(&key).put(bytes).await?;
    }
    for object in output.join("facts/records").list().await? {
        let key = output.relative(&object.location);
        let mut record: Record = parsed(output, &key).await?;
        let before = record.clone();
        for (name, table) in &mut record.tables {
            if let Some(removed) = removed.get(&table.key).filter(|_| name == "customer_month") {
                let Removed { interactions, order_lines, revenue, .. } = *removed;
                for (source, rows, amount) in
                    [("interactions", interactions, Money::default()), ("sales", order_lines, revenue)]
                {
                    if let Some(counts) = record.sources.get_mut(source) {
                        counts.forget(rows, amount)?;
                    }
                }
            }
            replace(table, &replaced);
        }
        if record != before {
            output.join(&key).put(pretty(&record)).await?;
        }
    }
    for object in output.join("snapshots/records").list().await? {
        let key = output.relative(&object.location);
        let mut snapshot: Snapshot = parsed(output, &key).await?;
        let before = snapshot.clone();
        if let Some(removed) = removed.get(&snapshot.table.key) {
            snapshot.counts.forget(removed.rows, Money::default())?;
        }
        replace(&mut snapshot.table, &replaced);
        if let Some(listing) = &mut snapshot.rejected {
            replace(listing, &replaced);
        }
        if snapshot != before {
            output.join(&key).put(pretty(&snapshot)).await?;
        }
    }
    delete(output, old).await?;
    Ok(found)
}

fn replace(table: &mut FactTable, replaced: &BTreeMap<String, FactTable>) {
    if let Some(new) = replaced.get(&table.key) {
        *table = new.clone();
    }
}

impl Counts {
    /// Moves rows from used to forgotten.
    fn forget(&mut self, rows: u64, amount: Money) -> Result<()> {
        self.used = self.used.saturating_sub(rows);
        self.forgotten += rows;
        self.amount_used = self.amount_used.plus(amount.negated())?;
        self.amount_forgotten = self.amount_forgotten.plus(amount)?;
        Ok(())
    }
}

/// The file without the rows whose text in a column is one of these; `None` if it has none of them.
fn without(bytes: Bytes, column: &str, named: &BTreeSet<String>) -> datafusion::error::Result<Option<Without>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let Ok(position) = reader.schema().index_of(column) else { return Ok(None) };
    // One column says whose the rows are; for most files that is enough.
    let only = ProjectionMask::roots(reader.parquet_schema(), [position]);
    let mut found = false;
    for batch in reader.with_projection(only).build()? {
        found = found || is_named(&batch?, 0, named)?.true_count() > 0;
    }
    if !found {
        return Ok(None);
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = reader.schema().clone();
    let counts_rows = TOTALS.iter().all(|name| schema.index_of(name).is_ok());
    let mut writer = parquet_writer(&schema)?;
    let (mut rows, mut removed) = (0, Removed::default());
    for batch in reader.build()? {
        let batch = batch?;
        let gone = is_named(&batch, position, named)?;
        let stays = arrow::compute::not(&gone)?;
        removed.rows += gone.true_count() as u64;
        let kept = filter_record_batch(&batch, &stays)?;
        rows += kept.num_rows() as u64;
        writer.write(&kept)?;
        if counts_rows {
            let gone = filter_record_batch(&batch, &gone)?;
            let [interactions, order_lines, revenue] = TOTALS.map(|name| total(&gone, name).unwrap_or_default());
            removed.interactions += u64::try_from(interactions).unwrap_or_default();
            removed.order_lines += u64::try_from(order_lines).unwrap_or_default();
            removed.revenue = Money(removed.revenue.0 + revenue);
        }
    }
    Ok(Some(Without { bytes: writer.into_inner()?, rows, removed }))
}

fn is_named(batch: &RecordBatch, position: usize, named: &BTreeSet<String>) -> datafusion::error::Result<BooleanArray> {
    let texts = cast(batch.column(position), &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    Ok((0..texts.len()).map(|row| Some(texts.is_valid(row) && named.contains(texts.value(row)))).collect())
}
