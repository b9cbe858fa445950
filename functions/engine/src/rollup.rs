//! One month of raw rows becomes that month's facts.
//!
//! Facts are immutable objects named by fingerprint. The record is written last: it is there only if every table is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{BatchCoalescer, SortOptions};
use arrow::datatypes::{Decimal128Type, Int64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};
use chrono::{DateTime, Utc};
use datafusion::common::hash_utils::{QualityRandomState, create_hashes};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use crate::Engine;
use crate::contract::{SOURCES, Source};
use crate::encoding::{content_hash, parquet_writer};
use crate::error::{Context, Error, Result};
use crate::models::Model;
use crate::month::Month;
use crate::object::InputObject;
use crate::plan::MonthPlan;
use crate::rejected;
use crate::rows::{Money, Rows};
use crate::session::{self, View};
use crate::wording::plural;

/// Rows a Parquet write takes at once. Fixed, so that the same rows give the same bytes.
const WRITE_ROWS: usize = 65_536;

/// What a finished month of facts is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The local month.
    pub month: String,
    /// What it was made from.
    pub fingerprint: String,
    /// The objects among that with their versions, as one hash for each feed.
    pub inputs: BTreeMap<String, String>,
    /// The fact tables by name.
    pub tables: BTreeMap<String, FactTable>,
    /// What became of the month's rows, by source.
    pub sources: BTreeMap<String, Counts>,
    /// The rows that were set aside, with file and reason; `None` if there are none.
    pub rejected: Option<FactTable>,
}

/// One immutable object of facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactTable {
    /// Its key below the output prefix.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// A hash of its bytes: equal content is equal facts.
    pub content: String,
}

/// What became of a source's rows. `rows` is the sum of `used`, `rejected`, `duplicate`, `no_consent` and `forgotten`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Rows in the facts.
    pub used: u64,
    /// Rows with a value that is missing or cannot be read.
    pub rejected: u64,
    /// Second copies of a row with the same identity.
    pub duplicate: u64,
    /// Of these, copies whose content differed from the one that stayed.
    pub conflicting: u64,
    /// Rows in the facts that do not say who they are and repeat another in every column.
    #[serde(default)]
    pub indistinct: u64,
    /// Rows of customers who did not consent.
    pub no_consent: u64,
    /// Rows of customers who were forgotten since: they are no longer in the facts.
    pub forgotten: u64,
    /// The last row that could be used.
    pub last: Option<DateTime<Utc>>,
    /// Why rows were rejected, with how many.
    pub reasons: BTreeMap<String, u64>,
    /// Answers outside their scale, by score.
    pub invalid: BTreeMap<String, u64>,
    /// Rows of sales that do not say their margin.
    #[serde(default)]
    pub without_margin: u64,
    /// Money of the rows (sales only): of all that could be read, and of those in the facts.
    pub amount: Money,
    /// Money of the rows in the facts.
    pub amount_used: Money,
    /// Money of rejected rows whose amount could be read.
    pub amount_rejected: Money,
    /// Money of second copies.
    pub amount_duplicate: Money,
    /// Money of customers who were forgotten since.
    pub amount_forgotten: Money,
}

impl Record {
    /// The hashes of its tables. The list of rejected rows is not among them: it changes with the names of files that
    /// hold the same rows.
    pub(crate) fn contents(&self) -> Vec<&str> {
        self.tables.values().map(|table| table.content.as_str()).collect()
    }

    /// Where it is, below the output.
    pub(crate) fn key(&self) -> String {
        Self::key_of(&self.month, &self.fingerprint)
    }

    fn key_of(month: &str, fingerprint: &str) -> String {
        format!("facts/records/month={month}/{fingerprint}.json")
    }

    /// The record of a finished month, or `None`.
    pub(crate) async fn load(engine: &Engine, month: Month, fingerprint: &str) -> Result<Option<Self>> {
        let location = engine.output.join(&Self::key_of(&month.to_string(), fingerprint));
        let Some((bytes, _)) = location.get().await? else { return Ok(None) };
        let damaged =
            |error| Error::Input(format!("{location} is damaged ({error}); delete it, the month is then read again"));
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }
}

/// Makes the facts of one month, with this many threads.
///
/// # Errors
/// Those of [`facts_of`]; a failed query names the files that it read.
pub(crate) async fn roll_up(engine: &Engine, plan: &MonthPlan, partitions: usize) -> Result<Record> {
    let made_from = |context: String| format!("{}, made from {}: {context}", plan.month, plan.files(engine));
    facts_of(engine, plan, partitions).await.map_err(|error| match error {
        Error::Query { context, cause } => Error::Query { context: made_from(context), cause },
        Error::Damaged { context, cause } => Error::Damaged { context: made_from(context), cause },
        error => error,
    })
}

/// Makes the facts of one month, and their record last.
///
/// # Errors
/// [`Error::Input`] for rows that must not be used; [`Error::Audit`] if facts and rows read do not agree.
async fn facts_of(engine: &Engine, plan: &MonthPlan, partitions: usize) -> Result<Record> {
    let started = Instant::now();
    let view = engine.view(Some((plan.month, plan.until)));
    let sources = SOURCES.iter().filter(|source| source.time.is_some() && engine.config.lake.contains_key(source.name));
    let models = engine.models.layer("facts");
    let models = models.filter(|model| plan.only.is_none_or(|only| model.name.strip_prefix("facts/") == Some(only)));
    let (session, sources) =
        counted(engine, view, partitions, sources.collect(), |raw, object| plan.reads(engine, raw, object)).await?;
    tracing::debug!("{}: rows counted after {:.2?}", plan.month, started.elapsed());
    let parameters = session::parameters(&engine.config, None);
    let mut tables = BTreeMap::new();
    for model in models {
        let name = model.name.trim_start_matches("facts/").to_owned();
        let planned = session::plan_model(&session, model, &parameters).await?;
        let facts = Facts::collect(model, planned).await?;
        if name == "customer_month" {
            facts.agree(plan.month, &sources)?;
        }
        let key = format!("facts/{name}/month={}/{}.parquet", plan.month, plan.fingerprint);
        tables.insert(name, facts.put(engine, key).await?);
        tracing::debug!("{}: {} made after {:.2?}", plan.month, model.name, started.elapsed());
    }
    let mut set_aside = Vec::new();
    for source in SOURCES.iter().filter(|_| plan.only.is_none()) {
        if let Some(counts) = sources.get(source.name) {
            set_aside.extend(rejected::of_month(engine, plan, source, counts).await?);
        }
    }
    for (name, raw) in &engine.lake.sources {
        raw.unchanged(raw.objects.iter().filter(|object| plan.reads(engine, name, object))).await?;
    }
    let rejected = rejected::put(engine, &set_aside, format!("facts/rejected/month={}", plan.month));
    let rejected = rejected.await?;
    let MonthPlan { month, fingerprint, inputs, .. } = plan.clone();
    let record = Record { month: month.to_string(), fingerprint, inputs, tables, sources, rejected };
    let json = serde_json::to_vec_pretty(&record).expect("a record is plain data");
    engine.output.join(&record.key()).put(json).await?;
    Ok(record)
}

/// A session over the wanted objects, and what became of their rows. Second copies are looked for first, and dropped
/// only if there are any, as that takes a sort.
pub(crate) async fn counted(
    engine: &Engine,
    mut view: View<'_>,
    partitions: usize,
    sources: Vec<&'static Source>,
    wanted: impl Fn(&str, &InputObject) -> bool,
) -> Result<(SessionContext, BTreeMap<String, Counts>)> {
    let session = engine.session(partitions);
    view.unique = false;
    view.register(&session, &wanted).await?;
    let mut counted = BTreeMap::new();
    for source in &sources {
        counted.insert(source.name.to_owned(), count(&session, source).await?);
    }
    if counted.values().all(|counts| counts.duplicate == 0) {
        return Ok((session, counted));
    }
    let session = engine.session(partitions);
    view.unique = true;
    view.register(&session, &wanted).await?;
    for source in sources {
        subtract_copies(&session, source, counted.get_mut(source.name).expect("counted above")).await?;
    }
    Ok((session, counted))
}

/// Counts the month's rows of a source by what becomes of them; copies count as used until they are subtracted.
async fn count(session: &SessionContext, source: &Source) -> Result<Counts> {
    let has = |name: &str| source.columns.iter().any(|column| column.name == name);
    let scores: Vec<&str> = ["nps", "csat", "ces"].into_iter().filter(|score| has(score)).collect();
    let mut sql = String::from("select rejected, count(*) as rows");
    sql.push_str(if has("consent") { ", coalesce(not consent, false) as refused" } else { ", false as refused" });
    sql.push_str(if has("amount") { ", sum(amount) as amount" } else { ", 0 as amount" });
    sql.push_str(if has("margin") { ", count(*) - count(margin) as without_margin" } else { ", 0 as without_margin" });
    let last = source.time.unwrap_or("cast(null as timestamp)");
    sql.push_str(&format!(", max({last}) as last"));
    for score in &scores {
        sql.push_str(&format!(", count(*) filter (where invalid_{score}) as invalid_{score}"));
    }
    sql.push_str(&format!(" from audit.{} group by rejected, refused", source.name));
    let context = || format!("cannot read {}", source.name);
    let fates = session::read_only(session, &sql).await.context(context)?;
    let fates = Rows::collect(fates).await.context(context)?;
    let mut counts = Counts::default();
    for row in 0..fates.len() {
        let (rows, amount) = (fates.count("rows", row)?, fates.money("amount", row)?);
        counts.rows += rows;
        counts.amount = counts.amount.plus(amount)?;
        if let Some(reason) = fates.text("rejected", row)? {
            counts.rejected += rows;
            counts.amount_rejected = counts.amount_rejected.plus(amount)?;
            *counts.reasons.entry(reason).or_default() += rows;
            continue;
        }
        if fates.integer("refused", row)? == 1 {
            counts.no_consent += rows;
            continue;
        }
        counts.used += rows;
        counts.without_margin += fates.count("without_margin", row)?;
        counts.last = counts.last.max(fates.instant("last", row)?);
        counts.amount_used = counts.amount_used.plus(amount)?;
        for score in &scores {
            *counts.invalid.entry((*score).to_owned()).or_default() += fates.count(&format!("invalid_{score}"), row)?;
        }
    }
    let identity = source.identity.join(", ");
    let identified = source.identified();
    let with_id = format!("select {identity} from staging.{} where {identified}", source.name);
    let (rows_with_id, may_repeat) = hashed(session, &with_id).await.context(context)?;
    if source.may_lack_identity() && rows_with_id < counts.used {
        let without_id = format!("select * from staging.{} where not ({identified})", source.name);
        if hashed(session, &without_id).await.context(context)?.1 {
            let sql = format!("select coalesce(sum(rows - 1), 0) as copies from ({})", source.indistinct());
            let copies = session::read_only(session, &sql).await.context(context)?;
            counts.indistinct = Rows::collect(copies).await.context(context)?.count("copies", 0)?;
        }
    }
    if !may_repeat {
        return Ok(counts);
    }
    let sql = format!(
        "select count(*) as ids, sum(copies) as rows from \
         (select {identity}, count(*) as copies from staging.{} where {identified} group by {identity})",
        source.name
    );
    let ids = session::read_only(session, &sql).await.context(context)?;
    let ids = Rows::collect(ids).await.context(context)?;
    counts.duplicate = ids.count("rows", 0)? - ids.count("ids", 0)?;
    if counts.duplicate > 0 {
        let sql = format!(
            "select count(*) as contents from (select distinct * from staging.{} where {identified})",
            source.name
        );
        let contents = session::read_only(session, &sql).await.context(context)?;
        let contents = Rows::collect(contents).await.context(context)?;
        counts.conflicting = contents.count("contents", 0)? - ids.count("ids", 0)?;
    }
    Ok(counts)
}

/// How many rows a query has, and whether two of them may be the same because their hashes are. Sorting hashes is many
/// times cheaper than grouping by text, and for almost every month it settles the question. If memory does not suffice,
/// no rows are counted and the exact search decides.
async fn hashed(session: &SessionContext, sql: &str) -> datafusion::error::Result<(u64, bool)> {
    let mut rows = session::read_only(session, sql).await?.execute_stream().await?;
    let reservation = MemoryConsumer::new("identities").register(&session.runtime_env().memory_pool);
    let state = QualityRandomState::with_seed(0);
    let mut hashes: Vec<u64> = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let known = hashes.len();
        // Twice: a vector doubles when it grows.
        if reservation.try_resize(2 * size_of::<u64>() * (known + batch.num_rows())).is_err() {
            return Ok((0, true));
        }
        hashes.resize(known + batch.num_rows(), 0);
        create_hashes(batch.columns(), &state, &mut hashes[known..])?;
    }
    hashes.sort_unstable();
    Ok((hashes.len() as u64, hashes.windows(2).any(|pair| pair[0] == pair[1])))
}

/// Moves second copies from used to duplicate, in a session whose staging drops them.
async fn subtract_copies(session: &SessionContext, source: &Source, counts: &mut Counts) -> Result<()> {
    let amount = if source.name == "sales" { "sum(amount)" } else { "0" };
    let sql = format!("select count(*) as rows, {amount} as amount from staging.{}", source.name);
    let context = || format!("cannot read {}", source.name);
    let kept = session::read_only(session, &sql).await.context(context)?;
    let kept = Rows::collect(kept).await.context(context)?;
    let (rows, amount) = (kept.count("rows", 0)?, kept.money("amount", 0)?);
    if rows + counts.duplicate != counts.used {
        return Err(Error::Audit(format!(
            "{}: {} rows less {} {} should leave {rows}",
            source.name,
            counts.used,
            counts.duplicate,
            plural(counts.duplicate, "copy", "copies")
        )));
    }
    counts.amount_duplicate = counts.amount_used.plus(amount.negated())?;
    (counts.used, counts.amount_used) = (rows, amount);
    Ok(())
}

/// The columns of `customer_month` that are held against what was counted row by row.
pub(crate) const TOTALS: [&str; 3] = ["interactions", "order_lines", "revenue"];

/// The sum of a column of counts, or of money in ten-thousandths; `None` if there is no such column.
pub(crate) fn total(chunk: &RecordBatch, name: &str) -> Option<i128> {
    let column = chunk.column_by_name(name)?;
    let whole = column.as_primitive_opt::<Int64Type>().map(|counts| counts.iter().flatten().map(i128::from).sum());
    let money = column.as_primitive_opt::<Decimal128Type>().map(|amounts| amounts.iter().flatten().sum());
    whole.or(money)
}

/// A finished fact table in memory.
pub(crate) struct Facts {
    pub(crate) bytes: Vec<u8>,
    rows: u64,
    totals: BTreeMap<&'static str, i128>,
}

impl Facts {
    /// Runs a fact model and encodes its rows, which must be sorted by the model's grain without a repeat.
    pub(crate) async fn collect(model: &Model, planned: datafusion::dataframe::DataFrame) -> Result<Self> {
        let context = || format!("sql/{}.sql ({})", model.name, model.origin);
        let mut stream = planned.execute_stream().await.context(context)?;
        let schema = stream.schema();
        let mut writer = parquet_writer(&schema).context(context)?;
        let mut grain = Grain::new(model, &schema)?;
        let held = TOTALS.into_iter().filter(|name| schema.field_with_name(name).is_ok());
        let mut facts = Self { bytes: Vec::new(), rows: 0, totals: held.map(|name| (name, 0)).collect() };
        let mut chunks = BatchCoalescer::new(Arc::clone(&schema), WRITE_ROWS);
        while let Some(batch) = stream.next().await {
            chunks.push_batch(batch.context(context)?).context(context)?;
            while let Some(chunk) = chunks.next_completed_batch() {
                facts.append(&mut writer, &mut grain, &chunk).context(context)??;
            }
        }
        chunks.finish_buffered_batch().context(context)?;
        while let Some(chunk) = chunks.next_completed_batch() {
            facts.append(&mut writer, &mut grain, &chunk).context(context)??;
        }
        facts.bytes = writer.into_inner().context(context)?;
        Ok(facts)
    }

    fn append(
        &mut self,
        writer: &mut ArrowWriter<Vec<u8>>,
        grain: &mut Grain,
        chunk: &RecordBatch,
    ) -> Result<Result<()>, parquet::errors::ParquetError> {
        self.rows += chunk.num_rows() as u64;
        for name in TOTALS {
            *self.totals.entry(name).or_default() += total(chunk, name).unwrap_or_default();
        }
        writer.write(chunk)?;
        Ok(grain.check(chunk))
    }

    /// Writes the table under a key.
    pub(crate) async fn put(self, engine: &Engine, key: String) -> Result<FactTable> {
        let (bytes, content) = (self.bytes.len() as u64, content_hash(&self.bytes));
        engine.output.join(&key).put(self.bytes).await?;
        Ok(FactTable { key, bytes, rows: self.rows, content })
    }

    /// Holds the facts against what was counted row by row.
    fn agree(&self, month: Month, sources: &BTreeMap<String, Counts>) -> Result<()> {
        let used = |source: &str| sources.get(source).map_or(0, |counts| i128::from(counts.used));
        let amount = sources.get("sales").map_or(0, |counts| counts.amount_used.0);
        for (total, want) in TOTALS.into_iter().zip([used("interactions"), used("sales"), amount]) {
            let found = self.totals.get(total).copied().ok_or_else(|| {
                Error::Input(format!(
                    "sql/facts/customer_month.sql must select `{total}`, which the audit is made with"
                ))
            })?;
            if found != want {
                return Err(Error::Audit(format!(
                    "{month}: the facts' {total} add up to {found}, the rows used to {want}"
                )));
            }
        }
        Ok(())
    }
}

/// The claim of `-- grain:`: rows come sorted by these columns, and no two are the same in them.
struct Grain {
    model: String,
    columns: Vec<usize>,
    converter: RowConverter,
    last: Option<arrow::row::OwnedRow>,
}

impl Grain {
    fn new(model: &Model, schema: &SchemaRef) -> Result<Self> {
        let mut columns = Vec::new();
        for name in model.grain() {
            let position = schema.index_of(name).map_err(|_| {
                Error::Input(format!(
                    "sql/{}.sql ({}): its grain names `{name}`, which it does not select",
                    model.name, model.origin
                ))
            })?;
            columns.push(position);
        }
        let options = SortOptions { descending: false, nulls_first: false };
        let fields =
            columns.iter().map(|at| SortField::new_with_options(schema.field(*at).data_type().clone(), options));
        let converter = RowConverter::new(fields.collect()).context(|| model.name.clone())?;
        Ok(Self { model: format!("sql/{}.sql ({})", model.name, model.origin), columns, converter, last: None })
    }

    fn check(&mut self, chunk: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            return Err(Error::Input(format!(
                "{}: a fact file says its grain, as `-- grain: month, customer_id`",
                self.model
            )));
        }
        let columns: Vec<_> = self.columns.iter().map(|at| Arc::clone(chunk.column(*at))).collect();
        let rows = self.converter.convert_columns(&columns).context(|| self.model.clone())?;
        let before = self.last.as_ref().map(arrow::row::OwnedRow::row).into_iter().chain(rows.iter());
        // Without a row before the chunk the pairs start one later.
        let after = rows.iter().skip(usize::from(self.last.is_none()));
        if before.zip(after).any(|(before, after)| before >= after) {
            return Err(Error::Input(format!(
                "{}: two rows have the same grain, or they are not sorted by it; group and order by the grain's columns",
                self.model
            )));
        }
        self.last = rows.iter().next_back().map(|row| row.owned());
        Ok(())
    }
}
