//! The rows that were set aside, each with its file, its place there and the reason.
//!
//! Only months that have such rows are looked at again, object by object. Where a staging file does more than compute on
//! rows of one table, nobody can tell a row's file: its key remains.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::{DateTime, Duration, Utc};
use datafusion::common::ScalarValue;

use crate::contract::{SOURCES, Source, instant};
use crate::encoding::{content_hash, parquet, read_parquet};
use crate::error::{Context, Error, Result};
use crate::feed::Outside;
use crate::month::Month;
use crate::object::InputObject;
use crate::plan::{MonthPlan, Plan};
use crate::rollup::{Counts, FactTable};
use crate::rows::Rows;
use crate::session::View;
use crate::{Engine, session};

/// Rows that are listed of a source and month, and ids with copies. All are counted.
const LISTED: usize = 10_000;

fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("source", false),
        text("month", true),
        text("file", true),
        Field::new("row", DataType::Int64, true),
        text("key", false),
        text("reason", false),
    ]))
}

/// Rows of a source that a condition finds, and what to call them.
struct Search<'a> {
    source: &'a Source,
    month: Option<Month>,
    /// SQL over `audit.<source>`, which has `row` where files are read one by one.
    condition: &'a str,
    reason: &'a str,
    parameters: Vec<(&'static str, ScalarValue)>,
}

impl Search<'_> {
    /// Looks through the wanted objects.
    async fn run(&self, engine: &Engine, wanted: impl Fn(&str, &InputObject) -> bool) -> Result<Vec<RecordBatch>> {
        let session = engine.session(1);
        let view = engine.view(None);
        view.register(&session, |_, _| true).await?;
        let staged = view.staged(&session, self.source).await?;
        let Some(raw) = session::row_by_row(staged.logical_plan()) else {
            return Ok(Vec::from_iter(self.one(engine, None, &wanted).await?));
        };
        let table = &engine.lake.sources[&raw];
        let (mut found, mut left) = (Vec::new(), LISTED);
        for object in table.objects.iter().filter(|object| wanted(&raw, object)) {
            if left == 0 {
                break;
            }
            let file = table.location.relative(&object.meta.location);
            let file = if file.is_empty() { object.meta.location.filename().unwrap_or_default() } else { &file };
            let only = |name: &str, other: &InputObject| name != raw || other.meta.location == object.meta.location;
            let Some(rows) = self.one(engine, Some(file), only).await? else { continue };
            let rows = rows.slice(0, rows.num_rows().min(left));
            left -= rows.num_rows();
            found.push(rows);
        }
        Ok(found)
    }

    async fn one(
        &self,
        engine: &Engine,
        file: Option<&str>,
        wanted: impl Fn(&str, &InputObject) -> bool,
    ) -> Result<Option<RecordBatch>> {
        let session = engine.session(1);
        engine.view(None).register(&session, wanted).await?;
        let row = if file.is_some() { "row_number() over ()" } else { "cast(null as bigint)" };
        let sql = format!(
            "select row, {} as key, {} as reason from (select *, {row} as row from audit.{}) where {} order by row, key, reason limit {LISTED}",
            key(self.source),
            self.reason,
            self.source.name,
            self.condition
        );
        let context = || format!("cannot list the rejected rows of {}", self.source.name);
        let rows = session::read_only(&session, &sql).await.context(context)?;
        let rows = rows.with_param_values(self.parameters.clone()).context(context)?;
        let rows = Rows::collect(rows).await.context(context)?;
        if rows.len() == 0 {
            return Ok(None);
        }
        let mut places = Vec::new();
        for at in 0..rows.len() {
            places.push(file.is_some().then(|| rows.integer("row", at)).transpose()?);
        }
        table(self.source, self.month, file, places, &rows).map(Some)
    }
}

/// What tells a row from others, for people: `order_id=17 line_id=2`.
fn key(source: &Source) -> String {
    // A time of the year 290000 has no text, and no cast that gives null instead; these are the microseconds of the years 1 to 9999.
    let written = |time| {
        format!("case when cast({time} as bigint) between -62135596800000000 and 253402300799999999 then {time} end")
    };
    let time = source.time.map(|time| (time, written(time)));
    let identity = source.identity.iter().map(|column| (*column, (*column).to_owned()));
    let parts = time.into_iter().chain(identity);
    let parts = parts.map(|(name, value)| format!("'{name}=' || coalesce(try_cast({value} as varchar), '?')"));
    format!("concat_ws(' ', {})", parts.collect::<Vec<_>>().join(", "))
}

fn table(
    source: &Source,
    month: Option<Month>,
    file: Option<&str>,
    places: Vec<Option<i64>>,
    rows: &Rows,
) -> Result<RecordBatch> {
    let (mut keys, mut reasons) = (Vec::new(), Vec::new());
    for at in 0..rows.len() {
        keys.push(rows.text("key", at)?);
        reasons.push(rows.text("reason", at)?);
    }
    let same = |text: Option<String>| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows.len()])) };
    let columns: Vec<ArrayRef> = vec![
        same(Some(source.name.to_owned())),
        same(month.map(|month| month.to_string())),
        same(file.map(str::to_owned)),
        Arc::new(Int64Array::from(places)),
        Arc::new(StringArray::from(keys)),
        Arc::new(StringArray::from(reasons)),
    ];
    RecordBatch::try_new(schema(), columns).context(|| "the table of rejected rows".to_owned())
}

/// Lists what was set aside of a month, if anything was.
pub(crate) async fn of_month(
    engine: &Engine,
    plan: &MonthPlan,
    source: &Source,
    counts: &Counts,
) -> Result<Vec<RecordBatch>> {
    let time = source.time.expect("months are of feeds");
    let mut found = Vec::new();
    let wanted = |raw: &str, object: &InputObject| plan.reads(engine, raw, object);
    if counts.rejected > 0 {
        let search = Search {
            source,
            month: Some(plan.month),
            condition: &format!("rejected is not null and {time} >= $start and {time} <= $last"),
            reason: "rejected",
            parameters: vec![
                ("start", instant(plan.month.start(engine.config.timezone))),
                ("last", instant(plan.until - Duration::microseconds(1))),
            ],
        };
        found.extend(search.run(engine, wanted).await?);
    }
    if counts.duplicate > 0 {
        found.extend(copies(engine, source, Some((plan.month, plan.until)), wanted).await?);
    }
    Ok(found)
}

/// Lists what was set aside of a source without a time.
pub(crate) async fn of_dimension(engine: &Engine, source: &Source, counts: &Counts) -> Result<Vec<RecordBatch>> {
    let mut found = Vec::new();
    if counts.rejected > 0 {
        let search = Search {
            source,
            month: None,
            condition: "rejected is not null",
            reason: "rejected",
            parameters: Vec::new(),
        };
        found.extend(search.run(engine, |_, _| true).await?);
    }
    if counts.duplicate > 0 {
        found.extend(copies(engine, source, None, |_, _| true).await?);
    }
    Ok(found)
}

/// Lists the rows that belong to no month: without a readable time, in the future, and before the first month with a
/// sale. Where history was made to start later, what lies before it is no mistake.
pub(crate) async fn outside(
    engine: &Engine,
    plan: &Plan,
    counts: &BTreeMap<&'static str, Outside>,
    now: DateTime<Utc>,
) -> Result<Vec<RecordBatch>> {
    let start = plan.history_start.start(engine.config.timezone);
    let mut found = Vec::new();
    let strays = |counts: &Outside| counts.undated + counts.future > 0 || counts.before > 0 && !plan.history_is_set;
    for source in SOURCES.iter().filter(|source| counts.get(source.name).is_some_and(strays)) {
        let time = source.time.expect("feeds have a time");
        let before = if plan.history_is_set { "false".to_owned() } else { format!("{time} < $start") };
        let search = Search {
            source,
            month: None,
            condition: &format!("{time} is null or {time} > $now or {before}"),
            reason: &format!(
                "case when {time} is null then rejected when {time} > $now then '{time} is in the future' \
                 else '{time} is before the first sale' end"
            ),
            parameters: vec![("now", instant(now)), ("start", instant(start))],
        };
        found.extend(search.run(engine, |raw, object| plan.may_stray(engine, source.name, raw, object, now)).await?);
    }
    Ok(found)
}

/// The rows that share an identity, in whatever files: one line for each identity.
async fn copies(
    engine: &Engine,
    source: &Source,
    month: Option<(Month, DateTime<Utc>)>,
    wanted: impl Fn(&str, &InputObject) -> bool,
) -> Result<Option<RecordBatch>> {
    let session = engine.session(1);
    let view = View { unique: false, ..engine.view(month) };
    view.register(&session, wanted).await?;
    let columns: Vec<&str> = source.columns.iter().map(|column| column.name).collect();
    let columns = columns.join(", ");
    let identified = source.identified();
    let identity = source.identity.join(", ");
    let parts = source.identity.iter().map(|column| format!("'{column}=' || {column}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "with contents as (select {columns}, count(*) as copies from staging.{} where {identified} group by {columns}) \
         select concat_ws(' ', {parts}) as key, \
         case when count(*) = 1 then cast(sum(copies) as varchar) || ' rows are the same; one is used' \
         else cast(sum(copies) as varchar) || ' rows have this id and ' || cast(count(*) as varchar) \
         || ' contents; the one that sorts first is used' end as reason \
         from contents group by {identity} having sum(copies) > 1 order by key limit {LISTED}",
        source.name
    );
    let context = || format!("cannot list the copies in {}", source.name);
    let rows = session::read_only(&session, &sql).await.context(context)?;
    let rows = Rows::collect(rows).await.context(context)?;
    if rows.len() == 0 {
        return Ok(None);
    }
    let month = month.map(|(month, _)| month);
    table(source, month, None, vec![None; rows.len()], &rows).map(Some)
}

/// Writes a listing below a folder, named by content; nothing if there is nothing to list.
pub(crate) async fn put(engine: &Engine, found: &[RecordBatch], folder: String) -> Result<Option<FactTable>> {
    let rows: usize = found.iter().map(RecordBatch::num_rows).sum();
    if rows == 0 {
        return Ok(None);
    }
    let bytes = parquet(&united(found)?)?;
    let content = content_hash(&bytes);
    let key = format!("{folder}/{content}.parquet");
    let table = FactTable { bytes: bytes.len() as u64, rows: rows as u64, content, key };
    engine.output.join(&table.key).put(bytes).await?;
    Ok(Some(table))
}

/// Reads a listing back.
pub(crate) async fn get(engine: &Engine, table: &FactTable) -> Result<RecordBatch> {
    let location = engine.output.join(&table.key);
    let damaged = || {
        Error::Input(format!(
            "{location} is missing or damaged; delete the record below facts/records/ or snapshots/records/ that names it"
        ))
    };
    let (bytes, _) = location.get().await?.ok_or_else(damaged)?;
    if content_hash(&bytes) != table.content {
        return Err(damaged());
    }
    read_parquet(bytes).context(|| format!("cannot read {location}"))
}

/// All listings as one.
pub(crate) fn united(found: &[RecordBatch]) -> Result<RecordBatch> {
    concat_batches(&schema(), found).context(|| "the table of rejected rows".to_owned())
}
