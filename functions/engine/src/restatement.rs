//! What a later look at the lake makes of a publication: which inputs moved since, and which numbers moved with them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{Field, Float64Type, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::encoding::content_hash;
use crate::error::{Context, Result};
use crate::estimates::{ALL, Row, UNKNOWN};
use crate::models::Models;
use crate::plan::{FACTS_FORMAT, LOOKED_AHEAD, Plan};
use crate::publish::Pointer;
use crate::report::Ledger;
use crate::rollup::{FactTable, Record};
use crate::snapshot::{Snapshot, Snapshots};
use crate::{Engine, VERSION};

/// The mover of numbers that another version computes in another way.
pub(crate) const VERSION_MOVED: &str = "version";

/// The mover of numbers that another setting or overlay gives.
const SETTINGS_MOVED: &str = "settings";

/// The mover of numbers that were published before their month was closed.
const COMPLETENESS_MOVED: &str = "completeness";

/// The mover of numbers that changed because customers were forgotten.
const FORGOTTEN: &str = "forgotten customers";

/// What a run stands on: what a later one is held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Basis {
    /// A hash of the version and of what comes with it.
    version_hash: String,
    /// A hash of the settings that numbers depend on.
    settings_hash: String,
    /// Whether the month was not closed.
    incomplete: bool,
    /// What happened after this instant was not known, or not looked at.
    known_until: DateTime<Utc>,
    /// The facts of every month of history.
    pub(crate) facts: Vec<Record>,
    /// The facts of the days after the reported month.
    pub(crate) look_ahead: Option<Record>,
    /// The sources without a time.
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
}

impl Basis {
    pub(crate) fn new(
        engine: &Engine,
        plan: &Plan,
        facts: Vec<Record>,
        look_ahead: Option<Record>,
        snapshots: Snapshots,
    ) -> Self {
        let mut version = format!("{VERSION} {FACTS_FORMAT} {}\n", chrono_tz::IANA_TZDB_VERSION);
        // Also those that an overlay replaces: what it replaces them with is a setting.
        for model in Models::embedded().published() {
            version.push_str(&format!("{} {}\n", model.name, content_hash(model.sql.as_bytes())));
        }
        let snapshots = snapshots.into_iter().map(|(name, snapshot)| (name.to_owned(), snapshot));
        Self {
            version_hash: content_hash(version.as_bytes()),
            settings_hash: content_hash(settings(engine).to_string().as_bytes()),
            incomplete: plan.incomplete.is_some(),
            known_until: plan.known_until,
            facts,
            look_ahead,
            snapshots: snapshots.collect(),
        }
    }

    /// The same, where nothing more is known of the days after the period than `then`.
    pub(crate) fn known_as(self, then: &Self) -> Self {
        Self { known_until: then.known_until, ..self }
    }

    /// The facts of every month, and of the days after the reported one.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.facts.iter().chain(&self.look_ahead)
    }

    /// A hash of everything that the numbers of a period are computed from.
    pub(crate) fn hash(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{}\n{}\n{}", self.version_hash, self.settings_hash, self.known_until).as_bytes());
        for record in self.records() {
            for (name, table) in &record.tables {
                hasher.update(format!("\n{} {name} {}", record.month, table.content).as_bytes());
            }
        }
        for (name, snapshot) in &self.snapshots {
            hasher.update(format!("\n{name} {}", snapshot.table.content).as_bytes());
        }
        hasher
    }

    /// Every table of ours that it names.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &FactTable> {
        let facts = self.records().flat_map(|record| record.tables.values().chain(&record.rejected));
        facts.chain(self.snapshots.values().flat_map(|taken| std::iter::once(&taken.table).chain(&taken.rejected)))
    }

    /// What moved since `then`: sources, and beside them `settings`, `version` and the like. Where the facts of a month
    /// are what they were, nothing moved, even if its files were written again; where they are not, each source counts
    /// whose files of that month are different.
    pub(crate) fn moved_since(&self, then: &Self) -> BTreeSet<String> {
        let mut moved = BTreeSet::new();
        let mut unexplained = false;
        if self.version_hash != then.version_hash {
            moved.insert(VERSION_MOVED.to_owned());
        }
        if self.settings_hash != then.settings_hash {
            moved.insert(SETTINGS_MOVED.to_owned());
        }
        if self.incomplete != then.incomplete {
            moved.insert(COMPLETENESS_MOVED.to_owned());
        }
        if self.known_until != then.known_until {
            moved.insert(LOOKED_AHEAD.1.to_owned());
        }
        let now: BTreeMap<&str, &Record> = self.records().map(|record| (record.month.as_str(), record)).collect();
        let mut before: BTreeMap<&str, &Record> =
            then.records().map(|record| (record.month.as_str(), record)).collect();
        let mut pairs: Vec<_> = now.into_iter().map(|(month, now)| (before.remove(&month), Some(now))).collect();
        pairs.extend(before.into_values().map(|before| (Some(before), None)));
        for pair in pairs {
            match pair {
                (Some(before), Some(now)) => {
                    if before.sources == now.sources && before.contents() == now.contents() {
                        continue;
                    }
                    let feeds = now.inputs.keys().chain(before.inputs.keys());
                    let other: Vec<&String> =
                        feeds.filter(|feed| before.inputs.get(*feed) != now.inputs.get(*feed)).collect();
                    unexplained |= other.is_empty();
                    moved.extend(other.into_iter().cloned());
                }
                // A month that history did not have, or has no more, moves what has rows in it.
                (Some(only), None) | (None, Some(only)) => {
                    let feeds = only.sources.iter().filter(|(_, counts)| counts.rows > 0);
                    moved.extend(feeds.map(|(feed, _)| feed.clone()));
                }
                (None, None) => {}
            }
        }
        for name in self.snapshots.keys().chain(then.snapshots.keys()) {
            let (now, before) = (self.snapshots.get(name), then.snapshots.get(name));
            let same = |get: fn(&Snapshot) -> (&String, u64)| now.map(get) == before.map(get);
            if same(|snapshot| (&snapshot.table.content, snapshot.counts.rejected + snapshot.counts.duplicate)) {
                continue;
            }
            if same(|snapshot| (&snapshot.inputs, 0)) {
                unexplained = true;
            } else {
                moved.insert(name.clone());
            }
        }
        // The same version with the same settings makes other facts of the same files only if customers were forgotten.
        if unexplained && !moved.contains(VERSION_MOVED) && !moved.contains(SETTINGS_MOVED) {
            moved.insert(FORGOTTEN.to_owned());
        }
        moved
    }

    /// By source, how many more rows the months of history have than they had `then`.
    pub(crate) fn rows_since(&self, then: &Self) -> BTreeMap<String, u64> {
        let mut late = BTreeMap::new();
        let then: HashMap<&str, &Record> = then.facts.iter().map(|record| (record.month.as_str(), record)).collect();
        for record in &self.facts {
            for (source, counts) in &record.sources {
                let known = then.get(record.month.as_str()).and_then(|then| then.sources.get(source));
                let more = counts.rows.saturating_sub(known.map_or(0, |known| known.rows));
                *late.entry(source.clone()).or_default() += more;
            }
        }
        late
    }
}

/// The sources whose numbers of rows that belong to no month changed; that shows in what was rejected.
pub(crate) fn strays_moved(now: &BTreeMap<String, Ledger>, then: &BTreeMap<String, Ledger>) -> BTreeSet<String> {
    let strays = |ledgers: &BTreeMap<String, Ledger>, name: &String| ledgers.get(name).map(Ledger::strays);
    now.keys().filter(|name| strays(now, name) != strays(then, name)).cloned().collect()
}

/// The settings that numbers depend on.
pub(crate) fn settings(engine: &Engine) -> Value {
    let config = &engine.config;
    let method = &config.method;
    let overlay: BTreeMap<&str, String> = engine
        .models
        .published()
        .filter(|model| !model.is_embedded())
        .map(|model| (model.name.as_str(), content_hash(model.sql.as_bytes())))
        .collect();
    json!({
        "timezone": config.timezone.name(), "naive_timezone": method.naive_timezone.name(),
        "currency": config.currency, "guards": config.guards, "min_customers": config.min_customers,
        "max_share": config.max_share, "assumed": method.assumed,
        "default_margin_rate": method.default_margin_rate, "winsor_quantile": method.winsor_quantile,
        "annual_discount_rate": method.annual_discount_rate, "ledger_tolerance": method.ledger_tolerance,
        "inactivity_months": method.inactivity_months, "expectations": method.expectations,
        "history_from": method.history_from.map(|month| month.to_string()),
        "ces_higher_is_better": method.scores[2].higher_is_better, "overlay": overlay,
    })
}

/// What names a number in `estimates`; a restatement names it in the same columns.
const NAME: [&str; 12] = [
    "section",
    "metric",
    "window",
    "segment",
    "score",
    "outcome",
    "band",
    "driver",
    "initiative",
    "lag",
    "unit",
    "method",
];

/// The numbers that a publication restates, in the order of the estimates; those that it has no more come last.
///
/// `before` are the estimates that it replaces, `now` its own, made of `rows`; `moved` are the inputs that moved.
/// `earlier` are the restatements of the publications before it, which stay in the table if it has the same columns.
pub(crate) fn table(
    before: &RecordBatch,
    now: &RecordBatch,
    rows: &[Row],
    moved: &BTreeSet<String>,
    earlier: Option<&RecordBatch>,
    pointer: &Pointer,
) -> Result<RecordBatch> {
    let context = || "the table of restatements".to_owned();
    let named: Vec<&Field> = NAME.iter().map(|name| field(now, name)).collect();
    let [old_names, new_names] = names([before, now], &named)?;
    let old: HashMap<_, usize> = old_names.iter().enumerate().map(|(at, name)| (name, at)).collect();
    let new: HashSet<_> = new_names.iter().collect();
    let (old_numbers, new_numbers) = (numbers(before), numbers(now));
    let restated = new_names.iter().enumerate().map(|(at, name)| (old.get(&name).copied(), Some(at)));
    let restated = restated.filter(|(was, is)| was.map(|at| old_numbers[at]) != is.map(|at| new_numbers[at]));
    let gone = old_names.iter().enumerate().filter(|(_, name)| !new.contains(name)).map(|(at, _)| (Some(at), None));
    let pairs = each_once(restated.chain(gone).collect(), [before, now])?;

    let number = i64::try_from(pointer.seq).unwrap_or(i64::MAX);
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("run_id", Arc::new(StringArray::from(vec![pointer.run_id.as_str(); pairs.len()])), false),
        ("seq", Arc::new(Int64Array::from(vec![number; pairs.len()])), false),
    ];
    // Of a number that there is now, its name as it is now; of one that is gone, as it was.
    let places: Vec<(usize, usize)> =
        pairs.iter().map(|(was, is)| is.map_or((0, was.unwrap_or_default()), |is| (1, is))).collect();
    for field in [vec![field(now, "period")], named].concat() {
        let sides = [column(before, field), column(now, field)];
        let found = interleave(&[sides[0].as_ref(), sides[1].as_ref()], &places).context(context)?;
        columns.push((field.name(), found, field.is_nullable()));
    }
    let was: Vec<Option<Number>> = pairs.iter().map(|(was, _)| was.map(|at| old_numbers[at])).collect();
    let is: Vec<Option<Number>> = pairs.iter().map(|(_, is)| is.map(|at| new_numbers[at])).collect();
    let values = |side: &[Option<Number>]| -> ArrayRef {
        let bits = side.iter().map(|number| number.and_then(|(value, _)| value));
        Arc::new(bits.map(|bits| bits.map(f64::from_bits)).collect::<Float64Array>())
    };
    let statuses = |side: &[Option<Number>]| -> ArrayRef {
        Arc::new(side.iter().map(|number| Some(number.as_ref()?.1)).collect::<StringArray>())
    };
    let mut movers = ListBuilder::new(StringBuilder::new());
    for (_, is) in &pairs {
        movers.append_value(movers_of(is.map(|at| &rows[at]), moved).into_iter().map(Some));
    }
    columns.extend([
        ("before", values(&was), true),
        ("after", values(&is), true),
        ("status_before", statuses(&was), true),
        ("status_after", statuses(&is), true),
        ("moved_by", Arc::new(movers.finish()), false),
    ]);
    let table = RecordBatch::try_from_iter_with_nullable(columns).context(context)?;
    match earlier {
        Some(earlier) if earlier.schema() == table.schema() => {
            concat_batches(&table.schema(), [earlier, &table]).context(context)
        }
        Some(_) => {
            tracing::warn!("the restatements begin anew: those before this version had other columns");
            Ok(table)
        }
        None => Ok(table),
    }
}

/// A number's row in the estimates before, and in those now.
type Pair = (Option<usize>, Option<usize>);

/// The rows of two tables by some columns, to be compared.
fn names(tables: [&RecordBatch; 2], fields: &[&Field]) -> Result<[Rows; 2]> {
    let context = || "the names of restated numbers".to_owned();
    let kinds = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(kinds).context(context)?;
    let of = |table: &RecordBatch| {
        let columns: Vec<ArrayRef> = fields.iter().map(|field| column(table, field)).collect();
        converter.convert_columns(&columns).context(context)
    };
    Ok([of(tables[0])?, of(tables[1])?])
}

/// The restated numbers without repetition: where nobody has a segment, those of `(unknown)` that are restated of
/// everybody too are left out.
fn each_once(pairs: Vec<Pair>, tables: [&RecordBatch; 2]) -> Result<Vec<Pair>> {
    let now = tables[1];
    let segments = tables.map(|table| column(table, field(now, "segment")));
    let [old_segments, new_segments] = [segments[0].as_string::<i32>(), segments[1].as_string::<i32>()];
    let mut all = old_segments.iter().chain(new_segments).flatten();
    if all.any(|segment| segment != ALL && segment != UNKNOWN) {
        return Ok(pairs);
    }
    let fields: Vec<&Field> = NAME.iter().filter(|name| **name != "segment").map(|name| field(now, name)).collect();
    let [old_names, new_names] = names(tables, &fields)?;
    let mut of_everybody = HashSet::new();
    let mut told = Vec::new();
    for pair in pairs {
        let (segment, name) = match pair {
            (_, Some(is)) => (new_segments.value(is), new_names.row(is)),
            (was, None) => {
                let was = was.unwrap_or_default();
                (old_segments.value(was), old_names.row(was))
            }
        };
        if segment == ALL {
            of_everybody.insert(name);
        }
        told.push((pair, segment, name));
    }
    told.retain(|(_, segment, name)| *segment != UNKNOWN || !of_everybody.contains(name));
    Ok(told.into_iter().map(|(pair, ..)| pair).collect())
}

/// The bits of a value, and its status.
type Number<'a> = (Option<u64>, &'a str);

/// The numbers of a table of estimates.
fn numbers(table: &RecordBatch) -> Vec<Number<'_>> {
    let values = table.column_by_name("value").expect("a column of estimates").as_primitive::<Float64Type>();
    let statuses = table.column_by_name("status").expect("a column of estimates").as_string::<i32>();
    values.iter().zip(statuses).map(|(value, status)| (value.map(f64::to_bits), status.unwrap_or_default())).collect()
}

fn field<'a>(table: &'a RecordBatch, name: &str) -> &'a Field {
    table.schema_ref().field_with_name(name).expect("a column of estimates")
}

/// A column of this version's type; nothing but nulls if another version did not write it so.
fn column(table: &RecordBatch, field: &Field) -> ArrayRef {
    let found = table.column_by_name(field.name()).filter(|column| column.data_type() == field.data_type());
    found.cloned().unwrap_or_else(|| new_null_array(field.data_type(), table.num_rows()))
}

/// The moved inputs that a number is made of. Where it is made of none of them, all that moved, each with a question
/// mark.
fn movers_of(row: Option<&Row>, moved: &BTreeSet<String>) -> Vec<String> {
    let of_all = [VERSION_MOVED, SETTINGS_MOVED, COMPLETENESS_MOVED, FORGOTTEN];
    let reads = row.map_or(&[][..], |row| &row.reads);
    let may = |mover: &&String| of_all.contains(&mover.as_str()) || reads.contains(&mover.as_str());
    let movers: Vec<String> = moved.iter().filter(may).cloned().collect();
    if movers.is_empty() { moved.iter().map(|mover| format!("{mover}?")).collect() } else { movers }
}

/// How many numbers one publication restated.
pub(crate) fn count(table: &RecordBatch, seq: u64) -> usize {
    let numbers = table.column_by_name("seq").expect("a column of restatements").as_primitive::<Int64Type>();
    numbers.values().iter().filter(|number| u64::try_from(**number) == Ok(seq)).count()
}
