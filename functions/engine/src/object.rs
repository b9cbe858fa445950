//! One object of the lake: its format, what its head says, and what of its rows is known without reading them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::{max, min, sum};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::json::reader::infer_json_schema_from_iterator;
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use datafusion::common::config::{CsvOptions, JsonOptions};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::DataFusionError;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::config::Config;
use crate::contract;
use crate::error::{Context, Error, Result, of_store, remedy};
use crate::store::Location;

/// What an object is written in, by the end of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    /// All columns are text; an empty field is null.
    Csv {
        delimiter: u8,
    },
    /// One array, or one object a line.
    Json {
        array: bool,
    },
}

/// One input object: exactly what a run reads.
#[derive(Debug, Clone)]
pub struct InputObject {
    pub(crate) meta: ObjectMeta,
    pub(crate) format: Format,
    pub(crate) schema: SchemaRef,
    /// Rows, where the head tells.
    pub(crate) rows: Option<u64>,
    /// Of Parquet.
    footer: Option<ArrowReaderMetadata>,
}

/// The instants that a column of time holds in an object, as far as the footer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// From the first to the last; no value is missing. `exact` unless widened because a zone is applied later.
    Within { first: DateTime<Utc>, last: DateTime<Utc>, exact: bool },
    /// There are no rows.
    Empty,
    /// The footer does not say.
    Unknown,
}

impl Format {
    /// The ends of keys that are read.
    pub(crate) const ENDINGS: &str = ".parquet, .csv, .tsv, .json, .jsonl or .ndjson";

    fn of(key: &str) -> Option<Self> {
        match key.rsplit_once('.')?.1 {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv { delimiter: b',' }),
            "tsv" => Some(Self::Csv { delimiter: b'\t' }),
            "json" | "jsonl" | "ndjson" => Some(Self::Json { array: false }),
            _ => None,
        }
    }

    /// Whether the object of this key can be read.
    pub(crate) fn is_known(key: &str) -> bool {
        Self::of(key).is_some()
    }

    /// How DataFusion scans it.
    pub(crate) fn reader(self) -> Arc<dyn FileFormat> {
        match self {
            Self::Parquet => Arc::new(ParquetFormat::default()),
            Self::Csv { delimiter } => Arc::new(CsvFormat::default().with_options(CsvOptions {
                has_header: Some(true),
                delimiter,
                newlines_in_values: Some(true),
                ..CsvOptions::default()
            })),
            Self::Json { array } => Arc::new(
                JsonFormat::default().with_options(JsonOptions { newline_delimited: !array, ..JsonOptions::default() }),
            ),
        }
    }
}

impl InputObject {
    /// Reads what an object says of itself: the footer of Parquet, the header of CSV, all of JSON.
    ///
    /// # Errors
    /// [`Error::Input`] with what is wrong in the file.
    pub(crate) async fn open(location: &Location, meta: ObjectMeta, cache: Arc<FileMetadataCache>) -> Result<Self> {
        let name = location.name_of(&meta.location);
        let format = Format::of(&name).expect("only objects of known formats are opened");
        let opened = match format {
            Format::Parquet => Self::open_parquet(location.clone(), meta, cache).await,
            Format::Csv { delimiter } => Self::open_csv(location, meta, delimiter).await,
            Format::Json { .. } => Self::open_json(location, meta).await,
        };
        opened.map_err(|problem| {
            if of_store(&problem).is_some() {
                return Err::<(), _>(problem).context(|| format!("cannot read {name}")).expect_err("it is an error");
            }
            let kind = match format {
                Format::Parquet => "Parquet",
                Format::Csv { .. } => "CSV",
                Format::Json { .. } => "JSON",
            };
            let problem = problem.strip_backtrace();
            Error::Input(format!("{name} cannot be read as {kind}: {problem}{}", remedy(&name, &problem)))
        })
    }

    /// A corrupt file may make the reader panic; the task keeps that to itself.
    async fn open_parquet(
        location: Location,
        meta: ObjectMeta,
        cache: Arc<FileMetadataCache>,
    ) -> Result<Self, DataFusionError> {
        let task = tokio::spawn(async move {
            let reader = DFParquetMetadata::new(location.store().as_ref(), &meta)
                .with_metadata_size_hint(Some(64 * 1024))
                .with_file_metadata_cache(Some(cache));
            let footer = ArrowReaderMetadata::try_new(reader.fetch_metadata().await?, Default::default())?;
            let rows = footer.metadata().file_metadata().num_rows().try_into().unwrap_or(0);
            let schema = Arc::clone(footer.schema());
            Ok(Self { meta, format: Format::Parquet, schema, rows: Some(rows), footer: Some(footer) })
        });
        let panicked = |_| DataFusionError::Execution("its footer makes no sense".to_owned());
        task.await.map_err(panicked).flatten()
    }

    async fn open_csv(location: &Location, meta: ObjectMeta, delimiter: u8) -> Result<Self, DataFusionError> {
        const HEAD: u64 = 64 * 1024;
        if meta.size == 0 {
            return Err(DataFusionError::Execution("it is empty".to_owned()));
        }
        let head = location.store().get_range(&meta.location, 0..meta.size.min(HEAD)).await?;
        let line = head.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        // Where a comma is the decimal separator, columns are told apart by semicolons.
        let delimiter = if line.contains(&b';') && !line.contains(&delimiter) { b';' } else { delimiter };
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let header = arrow::csv::reader::Format::default().with_header(true).with_delimiter(delimiter);
        let (schema, _) = header.infer_schema(line, Some(0))?;
        let (mut fields, mut names) = (Vec::new(), HashSet::new());
        for field in schema.fields() {
            if !names.insert(field.name()) {
                return Err(DataFusionError::Execution(format!("two columns are called `{}`", field.name())));
            }
            fields.push(Field::new(field.name(), DataType::Utf8View, true));
        }
        if fields.is_empty() {
            return Err(DataFusionError::Execution("its first line names no columns".to_owned()));
        }
        let rest =
            &head[head.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map_or(head.len(), |end| end + 1)..];
        let rows = (meta.size <= HEAD && rest.trim_ascii().is_empty()).then_some(0);
        let schema = Arc::new(Schema::new(fields));
        let mut quotes = Quotes { delimiter, line: 1, ..Quotes::default() };
        let mut stream = location.store().get(&meta.location).await?.into_stream();
        while let Some(bytes) = stream.try_next().await? {
            quotes.read(&bytes)?;
        }
        quotes.end()?;
        Ok(Self { meta, format: Format::Csv { delimiter }, schema, rows, footer: None })
    }

    /// There is no head: the types are those of all values. For the small sources, as programmes.
    async fn open_json(location: &Location, meta: ObjectMeta) -> Result<Self, DataFusionError> {
        let bytes: Bytes = location.store().get(&meta.location).await?.bytes().await?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(DataFusionError::Execution("it begins with a byte order mark".to_owned()));
        }
        let array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let rows: Result<Vec<JsonRow>, _> = if array {
            serde_json::from_slice(&bytes)
        } else {
            serde_json::Deserializer::from_slice(&bytes).into_iter().collect()
        };
        let rows = rows.map_err(|error| DataFusionError::Execution(error.to_string()))?;
        let values: Vec<Value> = rows.into_iter().map(|JsonRow(row)| row).collect();
        let schema = Arc::new(infer_json_schema_from_iterator(values.iter().map(Ok))?);
        for field in schema.fields().iter().filter(|field| *field.data_type() == DataType::Utf8) {
            let is_other = |value: &Value| !matches!(value[field.name()], Value::Null | Value::String(_));
            if let Some(row) = values.iter().position(is_other) {
                let problem = format!("`{}` is text in some rows and not in row {}", field.name(), row + 1);
                return Err(DataFusionError::Execution(problem));
            }
        }
        Ok(Self { meta, format: Format::Json { array }, schema, rows: Some(values.len() as u64), footer: None })
    }

    /// Whether there are, or may be, rows.
    pub(crate) fn has_rows(&self) -> bool {
        self.rows != Some(0)
    }

    /// The first and the last instant of a column.
    pub(crate) fn span(&self, column: &str, config: &Config) -> Span {
        match &self.footer {
            _ if !self.has_rows() => Span::Empty,
            Some(footer) => self.known_span(footer, column, config).ok().flatten().unwrap_or(Span::Unknown),
            None => Span::Unknown,
        }
    }

    fn known_span(
        &self,
        footer: &ArrowReaderMetadata,
        column: &str,
        config: &Config,
    ) -> Result<Option<Span>, DataFusionError> {
        let groups = footer.metadata().row_groups();
        let Ok(field) = self.schema.field_with_name(column) else { return Ok(None) };
        let (slack, exact) = match field.data_type() {
            DataType::Timestamp(_, Some(_)) => (Duration::zero(), true),
            DataType::Timestamp(_, None) if config.method.naive_timezone == chrono_tz::UTC => (Duration::zero(), true),
            DataType::Timestamp(_, None) | DataType::Date32 => (Duration::hours(27), false),
            _ => return Ok(None),
        };
        let converter = StatisticsConverter::try_new(column, &self.schema, footer.parquet_schema())?;
        let nulls = converter.row_group_null_counts(groups)?;
        let (first, last) = (micros(converter.row_group_mins(groups)?)?, micros(converter.row_group_maxes(groups)?)?);
        if nulls.null_count() + first.null_count() + last.null_count() > 0 || sum(&nulls) != Some(0) {
            return Ok(None);
        }
        let ends = min(first.as_primitive::<Int64Type>()).zip(max(last.as_primitive::<Int64Type>()));
        Ok(ends.and_then(|(first, last)| {
            let first = DateTime::from_timestamp_micros(first)?.checked_sub_signed(slack)?;
            let last = DateTime::from_timestamp_micros(last)?.checked_add_signed(slack)?;
            Some(Span::Within { first, last, exact })
        }))
    }

    /// Whether the footer proves that a text column holds nothing but this value, or null.
    pub(crate) fn holds_only(&self, column: &str, value: &str) -> bool {
        let Some(footer) = &self.footer else { return false };
        let groups = footer.metadata().row_groups();
        let Ok(converter) = StatisticsConverter::try_new(column, &self.schema, footer.parquet_schema()) else {
            return false;
        };
        let is_value = |ends: parquet::errors::Result<Arc<dyn Array>>| {
            let ends = ends.ok().and_then(|ends| arrow::compute::cast(&ends, &DataType::Utf8).ok());
            ends.is_some_and(|ends| ends.as_string::<i32>().iter().all(|end| end == Some(value)))
        };
        is_value(converter.row_group_mins(groups)) && is_value(converter.row_group_maxes(groups))
    }
}

/// Where in a CSV file the reader is, as to quotation marks: what opens and is not closed would take all that follows into one
/// value, and rows would be gone without a word.
#[derive(Debug, Default)]
struct Quotes {
    delimiter: u8,
    line: u64,
    opened: u64,
    state: Quoted,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Quoted {
    #[default]
    Start,
    Plain,
    Inside,
    /// After a mark inside of a quoted value: it closes, or the next one doubles it.
    Mark,
}

impl Quotes {
    fn read(&mut self, bytes: &[u8]) -> Result<(), DataFusionError> {
        for byte in bytes {
            self.line += u64::from(*byte == b'\n');
            let ends = *byte == self.delimiter || matches!(byte, b'\n' | b'\r');
            self.state = match (self.state, byte) {
                (Quoted::Start, b'"') => {
                    self.opened = self.line;
                    Quoted::Inside
                }
                (Quoted::Inside, b'"') => Quoted::Mark,
                (Quoted::Inside, _) | (Quoted::Mark, b'"') => Quoted::Inside,
                (_, _) if ends => Quoted::Start,
                (Quoted::Mark, _) => {
                    let (line, opened) = (self.line, self.opened);
                    return Err(DataFusionError::Execution(format!(
                        "in line {line}, text follows the quotation mark that closes a value opened in line {opened}; a mark \
                         within a value is written twice"
                    )));
                }
                // Before the first name there may be a byte order mark.
                (Quoted::Start, 0xef | 0xbb | 0xbf) if self.line == 1 => Quoted::Start,
                _ => Quoted::Plain,
            };
        }
        Ok(())
    }

    fn end(&self) -> Result<(), DataFusionError> {
        match self.state {
            Quoted::Inside => Err(DataFusionError::Execution(format!(
                "the quotation mark in line {} opens a value that does not end: the lines after it would be lost",
                self.opened
            ))),
            _ => Ok(()),
        }
    }
}

/// An object of JSON, each of whose keys is there once.
struct JsonRow(Value);

impl<'de> Deserialize<'de> for JsonRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = JsonRow;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a row, as {\"name\": value}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRow, A::Error> {
                let mut row = serde_json::Map::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    let twice = format!("`{key}` is there twice in one row");
                    if row.insert(key, value).is_some() {
                        return Err(serde::de::Error::custom(twice));
                    }
                }
                Ok(JsonRow(Value::Object(row)))
            }
        }
        deserializer.deserialize_map(Row)
    }
}

fn micros(instants: Arc<dyn Array>) -> Result<Arc<dyn Array>, DataFusionError> {
    let instants = arrow::compute::cast(&instants, &contract::instant_type())?;
    Ok(arrow::compute::cast(&instants, &DataType::Int64)?)
}
