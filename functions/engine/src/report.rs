//! Facts become estimates, and estimates are audited before anybody sees them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::contract;
use crate::encoding::content_hash;
use crate::error::{Context, Error, Result};
use crate::estimates::{ALL, Row, Status};
use crate::feed::Outside;
use crate::lake::{ObjectTable, readable};
use crate::models::Model;
use crate::plan::Plan;
use crate::restatement::Basis;
use crate::rollup::{Counts, FactTable, Facts, Record};
use crate::rows::{Money, Rows};
use crate::session::{Parameters, Reported};
use crate::snapshot::Snapshot;
use crate::store::heads;
use crate::wording::plural;
use crate::{Engine, measures, session, suppression};

/// A source may lose one row in a hundred to bad values before the run is refused.
const REJECTED_LIMIT: f64 = 0.01;

/// How many queries run at a time. One alone seldom keeps the whole machine busy, and more than two would only take
/// memory.
pub(crate) const AT_ONCE: usize = 2;

/// How the names of fact tables end that are sorted by customer and then by month: `facts.customer_history` has the
/// rows of `facts.customer_month`.
const HISTORY: &str = "_history";

/// The window whose rows are a customer's whole history.
const SERIES: &str = "customer_series";

/// Below this many positive customer-months a cap would give away a customer's own total.
const CAP_CUSTOMER_MONTHS: i64 = 1_000;

/// What programmes are worth: their margin less the service cost, and what follows from it.
const PRICED: [&str; 11] = [
    "initiative_value",
    "initiative_net",
    "roi",
    "roi_measured",
    "roi_confidence",
    "npv",
    "cumulative_net",
    "payback_month",
    "breakeven_effect",
    "mde80",
    "net_beyond_expected",
];

/// What became of all rows of a source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Rows of the source.
    pub read: u64,
    /// What became of the rows of the months reported on.
    #[serde(flatten)]
    pub counts: Counts,
    /// Rows of other months, or of none.
    pub outside: Outside,
}

impl Ledger {
    /// Rows that could not be read, or are dated in the future.
    fn unreadable(&self) -> u64 {
        self.counts.rejected + self.outside.undated + self.outside.future
    }

    /// Whether more than one row in a hundred repeats another and has no id that would tell whether it is a copy.
    fn may_be_twice(&self) -> bool {
        self.counts.indistinct as f64 > REJECTED_LIMIT * self.read as f64
    }

    /// What became of the rows, by name: together they are all that were read.
    pub(crate) fn fates(&self) -> [(&'static str, u64); 9] {
        let Counts { used, rejected, duplicate, no_consent, forgotten, .. } = self.counts;
        let Outside { undated, before, future, after } = self.outside;
        [
            ("Used", used),
            ("Rejected", rejected),
            ("Duplicate", duplicate),
            ("No consent", no_consent),
            ("Forgotten", forgotten),
            ("No date", undated),
            ("Before history", before),
            ("In the future", future),
            ("Of later months", after),
        ]
    }

    /// Rows that belong to no month of history.
    pub(crate) fn strays(&self) -> [u64; 3] {
        let Outside { undated, before, future, after: _ } = self.outside;
        [undated, before, future]
    }

    /// Rows that could not be used because of what they say: the unreadable, and the strays before history.
    fn rejected(&self) -> u64 {
        self.unreadable() + self.outside.before
    }
}

/// Adds up what became of each source's rows over all months, and holds it against the rows that there are.
///
/// # Errors
/// [`Error::Audit`] if a row is unaccounted for; [`Error::Input`] if more than one in a hundred was rejected.
pub(crate) fn reconcile(
    plan: &Plan,
    basis: &Basis,
    outside: &BTreeMap<&'static str, Outside>,
) -> Result<BTreeMap<String, Ledger>> {
    let mut ledgers = BTreeMap::new();
    for (name, feed) in plan.feeds.iter() {
        let mut ledger = Ledger { read: feed.rows, outside: outside[name], ..Ledger::default() };
        for counts in basis.facts.iter().filter_map(|record| record.sources.get(*name)) {
            ledger.counts.add(counts)?;
        }
        let Outside { undated, before, after, future } = ledger.outside;
        let found = ledger.counts.rows + undated + before + after + future;
        if found != ledger.read {
            let rows = plural(ledger.read, "row", "rows");
            return Err(Error::Audit(format!(
                "{name} has {} {rows}, but {found} are accounted for: one of its files may be damaged",
                ledger.read
            )));
        }
        ledgers.insert((*name).to_owned(), ledger);
    }
    for (name, Snapshot { counts, .. }) in &basis.snapshots {
        let ledger = Ledger { read: counts.rows, counts: counts.clone(), ..Ledger::default() };
        ledgers.insert(name.clone(), ledger);
    }
    for (name, ledger) in &ledgers {
        let counts = &ledger.counts;
        if counts.rows != counts.used + counts.rejected + counts.duplicate + counts.no_consent + counts.forgotten {
            return Err(Error::Audit(format!(
                "{name}: rows read, used, rejected, duplicate, without consent and forgotten do not add up"
            )));
        }
        let fates = counts.amount_used.plus(counts.amount_rejected)?;
        let fates = fates.plus(counts.amount_duplicate)?.plus(counts.amount_forgotten)?;
        if counts.amount != fates {
            return Err(Error::Audit(format!(
                "{name}: {} of money was read, and {fates} was used, rejected, a copy or forgotten",
                counts.amount
            )));
        }
        // Rows before history are many where history was made to start later: that is no damage.
        if ledger.unreadable() as f64 > REJECTED_LIMIT * ledger.read as f64 {
            let outside = [("no readable time", ledger.outside.undated), ("in the future", ledger.outside.future)];
            let outside =
                outside.into_iter().filter(|(_, rows)| *rows > 0).map(|(reason, rows)| (reason.to_owned(), rows));
            let reasons = counts.reasons.iter().map(|(reason, rows)| (reason.clone(), *rows)).chain(outside);
            let reasons: Vec<String> =
                reasons.map(|(reason, rows)| format!("{reason}: {rows} {}", plural(rows, "row", "rows"))).collect();
            return Err(Error::Input(format!(
                "{} of {} {} of {name} {} rejected, more than 1 %:\n  - {}\n  `cxroi sql -c \"select * from audit.{name} where rejected is not null limit 20\"` shows those that cannot be read",
                ledger.unreadable(),
                ledger.read,
                plural(ledger.read, "row", "rows"),
                plural(ledger.unreadable(), "was", "were"),
                reasons.join("\n  - ")
            )));
        }
    }
    Ok(ledgers)
}

impl Counts {
    fn add(&mut self, other: &Self) -> Result<()> {
        self.rows += other.rows;
        self.used += other.used;
        self.last = self.last.max(other.last);
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.conflicting += other.conflicting;
        self.indistinct += other.indistinct;
        self.no_consent += other.no_consent;
        self.forgotten += other.forgotten;
        self.without_margin += other.without_margin;
        for (mine, theirs) in [(&mut self.reasons, &other.reasons), (&mut self.invalid, &other.invalid)] {
            for (name, rows) in theirs {
                *mine.entry(name.clone()).or_default() += rows;
            }
        }
        self.amount = self.amount.plus(other.amount)?;
        self.amount_used = self.amount_used.plus(other.amount_used)?;
        self.amount_rejected = self.amount_rejected.plus(other.amount_rejected)?;
        self.amount_duplicate = self.amount_duplicate.plus(other.amount_duplicate)?;
        self.amount_forgotten = self.amount_forgotten.plus(other.amount_forgotten)?;
        Ok(())
    }
}

/// A session that sees the months' facts, the windows that end with `period`, and the snapshots.
pub(crate) async fn session(
    engine: &Engine,
    reported: &Reported,
    basis: &Basis,
    run_id: &str,
) -> Result<SessionContext> {
    let session = engine.session(engine.cores);
    register_facts(engine, &session, basis.records()).await?;
    for source in contract::SOURCES.iter().filter(|source| source.is_dimension()) {
        match basis.snapshots.get(source.name) {
            Some(Snapshot { table, .. }) => {
                register_objects(engine, &session, "staging", source.name, [table], &[]).await?
            }
            None => {
                let empty = EmptyTable::new(contract::schema(source));
                session::register(&session, "staging", source.name, Arc::new(empty))?;
            }
        }
    }
    windows(engine, reported, &session, run_id).await?;
    Ok(session)
}

/// Makes the tables of `sql/windows` as of the reported month, once for all measures that read them.
async fn windows(engine: &Engine, reported: &Reported, session: &SessionContext, run_id: &str) -> Result<()> {
    let parameters = session::parameters(&engine.config, Some(reported));
    let file = format!("period={}/{run_id}.parquet", reported.period);
    let mut waiting = engine.models.windows()?;
    let mut making = FuturesUnordered::new();
    let mut made = HashSet::new();
    loop {
        while making.len() < AT_ONCE
            && let Some(next) = waiting.iter().position(|(_, reads)| reads.iter().all(|name| made.contains(name)))
        {
            making.push(window(engine, session, waiting.remove(next).0, &parameters, &file));
        }
        match making.next().await {
            Some(model) => made.insert(model?.name.clone()),
            None => return Ok(()),
        };
    }
}

/// The session that a model runs in. If the model reads tables that are sorted by customer, it has one partition, in
/// which rows stay sorted and no operator has to hold and sort them.
pub(crate) fn in_order(session: &SessionContext, model: &Model) -> Result<SessionContext> {
    let is_by_customer = model.grain().first() == Some(&"customer_id");
    let in_order =
        |table: &TableReference| table.table().ends_with(HISTORY) || is_by_customer && table.table() == SERIES;
    let in_order = model.references()?.iter().any(in_order);
    Ok(if in_order { session::in_one_partition(session) } else { session.clone() })
}

async fn window<'a>(
    engine: &Engine,
    session: &SessionContext,
    model: &'a Model,
    parameters: &Parameters,
    file: &str,
) -> Result<&'a Model> {
    let started = Instant::now();
    let session = &in_order(session, model)?;
    let planned = session::plan_model(session, model, parameters).await?;
    let collected = model.clone();
    let context = || format!("sql/{}.sql ({})", model.name, model.origin);
    let table = session::apart(async move { Facts::collect(&collected, planned).await }).await.context(context)??;
    let name = model.name.trim_start_matches("windows/");
    let table = table.put(engine, format!("facts/windows/{name}/{file}")).await?;
    register_objects(engine, session, "windows", name, [&table], &model.grain()).await?;
    tracing::debug!("{} made in {:.2?}", model.name, started.elapsed());
    Ok(model)
}

/// Registers `facts.*` over the months' objects.
pub(crate) async fn register_facts(
    engine: &Engine,
    session: &SessionContext,
    records: impl IntoIterator<Item = &Record>,
) -> Result<()> {
    let records: Vec<&Record> = records.into_iter().collect();
    for model in engine.models.layer("facts") {
        let name = model.name.trim_start_matches("facts/");
        let tables: Vec<&FactTable> = records.iter().filter_map(|record| record.tables.get(name)).collect();
        if !tables.is_empty() {
            if let Some(about) = name.strip_suffix("_month").filter(|about| about.starts_with("customer")) {
                let history = format!("{about}{HISTORY}");
                register_objects(engine, session, "facts", &history, tables.clone(), &["customer_id", "month"]).await?;
            }
            register_objects(engine, session, "facts", name, tables, &[]).await?;
        }
    }
    Ok(())
}

async fn register_objects<'a>(
    engine: &Engine,
    session: &SessionContext,
    layer: &str,
    name: &str,
    tables: impl IntoIterator<Item = &'a FactTable>,
    sorted_by: &[&str],
) -> Result<()> {
    let tables: Vec<&FactTable> = tables.into_iter().collect();
    let paths = tables.iter().map(|table| engine.output.join(&table.key).path().clone());
    let mut objects = Vec::new();
    for (table, head) in tables.iter().zip(heads(engine.output.store(), paths).await) {
        match head {
            Ok(head) if head.size == table.bytes => objects.push(head),
            _ => return Err(missing(engine, table)),
        }
    }
    let schema = written_schema(engine, &objects[0]).await?;
    let table = ObjectTable::of(engine.output.base(), schema, objects).sorted_by(sorted_by);
    session.register_object_store(&engine.output.base(), Arc::clone(engine.output.store()));
    session::register(session, layer, name, Arc::new(table))
}

fn missing(engine: &Engine, table: &FactTable) -> Error {
    Error::Input(format!(
        "{} is missing or damaged; delete the records below {}/facts/records to make all facts again",
        engine.output.join(&table.key),
        engine.output
    ))
}

/// Passes a result on, but turns [`Error::Damaged`] into an error that names the table of ours that is missing or damaged, if
/// one is.
pub(crate) async fn name_damaged_table<T>(engine: &Engine, basis: &Basis, done: Result<T>) -> Result<T> {
    let (context, cause) = match done {
        Err(Error::Damaged { context, cause }) => (context, cause),
        done => return done,
    };
    for table in basis.tables() {
        let found = engine.output.join(&table.key).get().await?.map(|(bytes, _)| content_hash(&bytes));
        if found.as_ref() != Some(&table.content) {
            return Err(missing(engine, table));
        }
    }
    Err(Error::Damaged { context, cause })
}

/// The schema of a file that we wrote.
pub(crate) async fn written_schema(engine: &Engine, object: &ObjectMeta) -> Result<SchemaRef> {
    let schema = DFParquetMetadata::new(engine.output.store().as_ref(), object).fetch_schema().await;
    let name = || format!("cannot read {}", engine.output.name_of(&object.location));
    Ok(readable(&schema.context(name)?))
}

/// Runs every measure, adds what is known of the data's quality, and audits the whole.
///
/// # Errors
/// [`Error::Audit`] for the first contradiction.
pub(crate) async fn estimates(
    engine: &Engine,
    plan: &Plan,
    reported: &Reported,
    session: &SessionContext,
    records: &[Record],
    ledgers: &BTreeMap<String, Ledger>,
) -> Result<Vec<Row>> {
    let mut rows = measures::all(engine, reported, session).await?;
    rows.extend(quality(reported.history(), ledgers));
    rows.extend(caps(engine, session).await?);
    rows.push(unknown_assignments(engine, session).await?);
    // This is about the reported month: for an earlier one, only the windows that hold it are flagged.
    let of_month = |row: &Row| row.metric == "revenue_reconciliation" && row.flags.contains(&measures::NOT_RECONCILED);
    if rows.iter().any(of_month) {
        let flag = |row: Row| {
            if row.unit == "money" && !row.flags.contains(&measures::NOT_RECONCILED) {
                row.flag(measures::NOT_RECONCILED)
            } else {
                row
            }
        };
        rows = rows.into_iter().map(flag).collect();
    }
    if plan.incomplete.is_some() {
        // Rows without a value too: they may have one once the month is complete.
        rows.iter_mut().for_each(|row| row.flags.push("incomplete"));
    }
    tie_out(&rows, records)?;
    let rows = assumptions(&engine.config, records, rows);
    let same_answers = measures::same_answers(session).await?;
    let rows = suppression::suppress(rows, &same_answers, engine.config.min_customers, engine.config.max_share)?;
    audit(&rows)?;
    Ok(rows)
}

/// What the report is about. History starts with the first month that has a usable sale, unless the configuration says; a
/// footer may know of an earlier one that was rejected.
pub(crate) fn reported<'a>(plan: &Plan, records: impl IntoIterator<Item = &'a Record>) -> Reported {
    let has_sale = |record: &Record| record.sources.get("sales").is_some_and(|counts| counts.used > 0);
    let empty = records.into_iter().take_while(|record| !plan.history_is_set && !has_sale(record)).count();
    let history_from = plan.history_start + i32::try_from(empty).unwrap_or(i32::MAX);
    Reported { period: plan.period, history_from, known_until: plan.known_until }
}

/// Flags what rests on something that finance has not said: the margin of sales without one, and settings at their defaults.
fn assumptions(config: &Config, records: &[Record], rows: Vec<Row>) -> Vec<Row> {
    let sales = records.iter().filter_map(|record| record.sources.get("sales"));
    let margins = sales.map(|counts| counts.without_margin).sum::<u64>() > 0;
    let is_left = |setting: &str| config.method.assumed.contains(&setting);
    let flagged = |row: Row| {
        let metric = row.metric.trim_end_matches("_raw");
        let programme = PRICED.contains(&metric) || metric.starts_with("portfolio_") && row.grade != "descriptive";
        let to_acquisition_cost = metric == "ltv_to_cac";
        let is_worth = row.outcome == Some("net_value") && metric != "clv_coverage";
        let of_margin = is_worth || programme || to_acquisition_cost || row.outcome == Some("margin");
        let discounted = is_worth && row.section != "initiative" || to_acquisition_cost || metric == "npv";
        let expected = metric.starts_with("slope_")
            && row.section == "asymmetry"
            && row.score.is_some_and(|score| is_left(&format!("{score}_expectation")));
        let silent = row.section == "survival" && is_left("inactivity_months");
        let said = [
            (margins && of_margin, "assumed_margin"),
            (discounted && is_left("annual_discount_rate"), "assumed_discount_rate"),
            (expected, "assumed_expectation"),
            (silent, "assumed_inactivity"),
        ];
        said.into_iter().filter(|(is_said, _)| *is_said).fold(row, |row, (_, flag)| row.flag(flag))
    };
    rows.into_iter().map(flagged).collect()
}

fn quality(history: i32, ledgers: &BTreeMap<String, Ledger>) -> Vec<Row> {
    let row = |metric, unit| Row::new("quality", metric, unit, "census").window("ALL");
    let mut rows = vec![row("history_months", "months").census(f64::from(history)).reads(["sales"])];
    type Count = fn(&Ledger) -> u64;
    let duplicates: Count = |ledger| ledger.counts.duplicate;
    let indistinct: Count = |ledger| ledger.counts.indistinct;
    let counted =
        [("rejected_rows", Ledger::rejected as Count), ("duplicate_rows", duplicates), ("indistinct_rows", indistinct)];
    for (metric, count) in counted {
        let all: Vec<&str> = contract::SOURCES.iter().map(|source| source.name).collect();
        rows.push(row(metric, "rows").census(ledgers.values().map(count).sum::<u64>() as f64).reads(all));
        for source in contract::SOURCES {
            let row = Row { outcome: Some(source.name), ..row(metric, "rows") }.reads([source.name]);
            rows.push(match ledgers.get(source.name) {
                Some(ledger) if metric == "indistinct_rows" && ledger.may_be_twice() => {
                    row.census(count(ledger) as f64).flag(measures::MAY_BE_TWICE)
                }
                Some(ledger) => row.census(count(ledger) as f64),
                None => row.without(Status::NotApplicable),
            });
        }
    }
    for (score, metric) in [("nps", "invalid_nps"), ("csat", "invalid_csat"), ("ces", "invalid_ces")] {
        let row = row(metric, "rows").score(score).reads(["interactions"]);
        rows.push(match ledgers.get("interactions") {
            Some(ledger) => row.census(ledger.counts.invalid.get(score).copied().unwrap_or(0) as f64),
            None => row.without(Status::NotApplicable),
        });
    }
    rows
}

/// The caps of money for inference. A cap may be one customer's own total where there are few.
async fn caps(engine: &Engine, session: &SessionContext) -> Result<Vec<Row>> {
    let sql = "select outcome, cap, customer_months from windows.cap";
    let caps = Rows::of(session, "windows.cap", sql).await?;
    let mut rows = Vec::new();
    for outcome in ["revenue", "margin", "service_cost"] {
        let row = Row::new("quality", "cap_p99", "money", "type1_quantile").window("ALL");
        let row = Row { outcome: Some(outcome), ..row };
        let row = row.reads([if outcome == "service_cost" { "interactions" } else { "sales" }]);
        let mut found = row.clone().without(Status::InsufficientN);
        for at in 0..caps.len() {
            if caps.text("outcome", at)?.as_deref() == Some(outcome) {
                let n = caps.integer("customer_months", at)?;
                let row = row.clone().of(n, None).census(caps.money("cap", at)?.to_f64());
                let few = engine.config.min_customers > 0 && n < CAP_CUSTOMER_MONTHS;
                found = if few { row.of(None, None).without(Status::Suppressed) } else { row };
            }
        }
        rows.push(found);
    }
    Ok(rows)
}

/// The rows of programmes that name a customer whom nothing else names.
async fn unknown_assignments(engine: &Engine, session: &SessionContext) -> Result<Row> {
    let sql = "select count(*) as rows from staging.assignments where customer_id not in
        (select customer_id from windows.customer where customer_id is not null)";
    let found = Rows::of(session, "staging.assignments", sql).await?;
    let row = Row::new("quality", "unknown_assignments", "rows", "census").window("ALL");
    let row = row.reads(["interactions", "sales", "customers", "initiatives", "assignments"]);
    Ok(if engine.config.lake.contains_key("assignments") {
        row.census(found.integer("rows", 0)? as f64)
    } else {
        row.without(Status::NotApplicable)
    })
}

/// Holds every row against what a number must be.
fn audit(rows: &[Row]) -> Result<()> {
    let mut names = HashSet::new();
    for row in rows {
        let name = row.name();
        let fail = |what: &str| Err(Error::Audit(format!("{name}: {what}")));
        if !names.insert(row.name()) {
            return fail("two rows have this name");
        }
        match (&row.estimate, row.status) {
            (None, Status::Ok) => return fail("status ok without a value"),
            (Some(_), status) if status != Status::Ok => return fail("a value without status ok"),
            (None, _) if row.exact.is_some() => return fail("an amount without a value"),
            (None, _) => continue,
            (Some(estimate), _) => {
                let stats::Estimate { value, se, df, lo, hi, p } = *estimate;
                let known = [Some(value), se, df, lo, hi, p];
                if known.into_iter().flatten().any(|number| !number.is_finite()) {
                    return fail("a number that is not finite");
                }
                if lo.zip(hi).is_some_and(|(lo, hi)| lo > value || value > hi) {
                    return fail("a value outside its own interval");
                }
                if p.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
                    return fail("a p-value that is no probability");
                }
            }
        }
    }
    Ok(())
}

/// Holds the reported month's revenue against the money of the rows that went into its facts.
///
/// # Errors
/// [`Error::Audit`] if they differ.
fn tie_out(rows: &[Row], records: &[Record]) -> Result<()> {
    let reported =
        rows.iter().find(|row| (row.metric, row.window, row.segment.as_str()) == ("revenue", Some("MONTH"), ALL));
    let read = records
        .last()
        .and_then(|record| record.sources.get("sales"))
        .map_or(Money::default(), |counts| counts.amount_used);
    match reported.and_then(|row| row.exact) {
        Some(amount) if amount == read => Ok(()),
        Some(amount) => {
            Err(Error::Audit(format!("the reported month's revenue is {amount}, its sales rows add up to {read}")))
        }
        None => Err(Error::Audit("the reported month has no revenue to hold against its sales rows".to_owned())),
    }
}
