//! Publication: write everything, check it, then move one pointer.
//!
//! A reader starts at `published/<period>.json`. Until that object changes, nothing of a run is visible; once it has,
//! all of it is. The copies below `summaries/` follow the pointer and are repaired by the next run if cut short.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::{PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Error, Result};
use crate::estimates::{self, Row};
use crate::plan::{Outside, Plan};
use crate::report::Ledger;
use crate::rollup::{Record, content, parquet};
use crate::snapshot::{Snapshot, Snapshots};
use crate::store::Location;
use crate::{Engine, VERSION};

/// The version of `summary.json`'s shape.
const SUMMARY_SCHEMA: u32 = 1;

/// The pointer of a period: the only object that decides what is visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Grows with every publication of the period.
    pub seq: u64,
    /// What was published.
    pub run_id: String,
    /// Which writing of it.
    pub attempt: String,
    /// Whether finance signed it off: nothing takes its place any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

impl Pointer {
    /// The folder of the run that it names, below the output.
    fn folder(&self, period: &str) -> String {
        folder(period, &self.run_id, &self.attempt)
    }
}

/// The folder of one writing of a run, below the output.
fn folder(period: &str, run_id: &str, attempt: &str) -> String {
    format!("runs/{period}/{run_id}/{attempt}")
}

/// A pointer with the version of its object, for the compare and swap.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) pointer: Pointer,
    pub(crate) e_tag: Option<String>,
}

/// Everything that a run publishes, in memory.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) plan: &'a Plan,
    pub(crate) run_id: String,
    pub(crate) records: &'a [Record],
    pub(crate) snapshots: &'a Snapshots,
}

fn pointer_of(output: &Location, period: &str) -> Location {
    output.join(&format!("published/{period}.json"))
}

/// What is published of a period, if anything.
pub(crate) async fn published(output: &Location, period: &str) -> Result<Option<Published>> {
    let location = pointer_of(output, period);
    let Some((bytes, e_tag)) = location.get().await? else { return Ok(None) };
    let damaged = |error| {
        Error::Input(format!(
            "{location} is damaged ({error}); restore it from the newest folder below publications/{period}/"
        ))
    };
    Ok(Some(Published { pointer: serde_json::from_slice(&bytes).map_err(damaged)?, e_tag }))
}

/// Of a manifest, what later runs hold themselves against.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) facts: Vec<Record>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    /// The run's own files, by name, with the hash of their content.
    files: BTreeMap<String, String>,
}

/// The manifest of what a pointer of the period names.
pub(crate) async fn manifest(output: &Location, period: &str, pointer: &Pointer) -> Result<Manifest> {
    let manifest = output.join(&pointer.folder(period)).join("manifest.json");
    let gone = || Error::Input(format!("{manifest} was published and is gone"));
    let (bytes, _) = manifest.get().await?.ok_or_else(gone)?;
    let damaged = |error| Error::Input(format!("{manifest} is damaged ({error}); restore it from a backup"));
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Moves a period's pointer to itself, closed or open; whoever publishes at the same time starts again, and sees it.
pub(crate) async fn set_closed(output: &Location, period: &str, closed: bool) -> Result<Pointer> {
    let nothing = || Error::Input(format!("{period} is not published; `cxroi run --period {period}` publishes it"));
    let Published { pointer, e_tag } = published(output, period).await?.ok_or_else(nothing)?;
    if pointer.closed == closed {
        return Ok(pointer);
    }
    let pointer = Pointer { closed, ..pointer };
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    match pointer_of(output, period).put_if(pretty(&pointer), mode).await? {
        true => Ok(pointer),
        false => Err(Error::Conflict(period.to_owned())),
    }
}

/// The identity of a run: the facts up to the reported month and what was looked ahead to, the snapshots, the measures, the settings, the version.
pub(crate) fn run_id(
    engine: &Engine,
    plan: &Plan,
    records: &[Record],
    look_ahead: Option<&Record>,
    snapshots: &Snapshots,
    ledgers: &BTreeMap<String, Ledger>,
    rejected: &str,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let config = &engine.config;
    let settings = format!(
        "{VERSION} {} {} {} {} {:?} {} {} {:?}",
        plan.period,
        plan.known_until,
        config.timezone,
        config.currency,
        config.method,
        config.guards,
        config.min_customers,
        plan.incomplete
    );
    hasher.update(settings.as_bytes());
    for record in records.iter().chain(look_ahead) {
        for (name, table) in &record.tables {
            hasher.update(format!("\n{} {name} {}", record.month, table.content).as_bytes());
        }
    }
    // What was set aside is published too; what belongs to later months is not.
    for (name, ledger) in ledgers {
        let Outside { undated, before, future, after: _ } = ledger.outside;
        hasher.update(format!("\n{name} {:?} {undated} {before} {future}", ledger.counts).as_bytes());
    }
    hasher.update(format!("\n{snapshots:?}\n{rejected}").as_bytes());
    for model in engine.models.layer("windows").chain(engine.models.layer("measures")) {
        hasher.update(format!("\n{} {}", model.name, content(model.sql.as_bytes())).as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

impl Run<'_> {
    fn period(&self) -> String {
        self.plan.period.to_string()
    }

    /// Below the output.
    fn folder(&self, attempt: &str) -> String {
        folder(&self.period(), &self.run_id, attempt)
    }

    /// Writes the run's files, checks what was written, and makes it visible.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another writer moved the pointer first; nothing of this run is visible then.
    pub(crate) async fn publish(
        &self,
        before: Option<Published>,
        rows: &[Row],
        ledgers: &BTreeMap<String, Ledger>,
        rejected: &RecordBatch,
        now: DateTime<Utc>,
    ) -> Result<Pointer> {
        let period = self.period();
        let attempt = attempt_id(now);
        let folder = self.engine.output.join(&self.folder(&attempt));
        let mut files = BTreeMap::new();
        for (name, bytes) in [
            ("estimates", parquet(&estimates::table(rows, &self.run_id, &period)?)?),
            ("money", parquet(&estimates::money_table(rows, &self.run_id, &period)?)?),
            ("rejected", parquet(rejected)?),
        ] {
            files.insert(format!("{name}.parquet"), content(&bytes));
            folder.join(&format!("{name}.parquet")).put(bytes).await?;
        }
        for (file, expected) in &files {
            let location = folder.join(file);
            let found = location.get().await?.map(|(bytes, _)| content(&bytes));
            if found.as_ref() != Some(expected) {
                return Err(Error::Audit(format!("{location} does not read back as it was written")));
            }
        }
        folder.join("manifest.json").put(pretty(&self.manifest(rows, ledgers, &files))).await?;

        // A number that a cut-off writer claimed stays unused: the sequence grows, it need not be dense.
        let mut seq = before.as_ref().map_or(0, |published| published.pointer.seq) + 1;
        let pointer = loop {
            let pointer = Pointer { seq, run_id: self.run_id.clone(), attempt: attempt.clone(), closed: false };
            let publication = json!({
                "period": period, "pointer": pointer, "published_at": now.to_rfc3339(), "version": VERSION,
                "replaces": before.as_ref().map(|published| &published.pointer),
            });
            let place = self.engine.output.join(&format!("publications/{period}/{seq}"));
            if place.join("publication.json").put_if(pretty(&publication), PutMode::Create).await? {
                place.join("summary.json").put(pretty(&self.summary(rows, rejected.num_rows(), &pointer))).await?;
                break pointer;
            }
            seq += 1;
        };
        let mode = match before {
            None => PutMode::Create,
            Some(published) => PutMode::Update(UpdateVersion { e_tag: published.e_tag, version: None }),
        };
        if !pointer_of(&self.engine.output, &period).put_if(pretty(&pointer), mode).await? {
            return Err(Error::Conflict(period));
        }
        copy(self.engine, &period, &pointer).await?;
        Ok(pointer)
    }

    /// The lineage: what was read, with which models and settings, and what became of it.
    fn manifest(
        &self,
        rows: &[Row],
        ledgers: &BTreeMap<String, Ledger>,
        files: &BTreeMap<String, String>,
    ) -> serde_json::Value {
        let Engine { config, models, lake, .. } = self.engine;
        let models: Vec<_> =
            ["staging", "facts", "windows", "measures"].into_iter().flat_map(|layer| models.layer(layer)).collect();
        let inputs = lake.sources.iter().flat_map(|(name, source)| {
            source.objects.iter().map(move |object| {
                json!({
                    "source": name, "key": source.location.name_of(&object.meta.location), "etag": object.meta.e_tag,
                    "bytes": object.meta.size, "rows": object.rows,
                })
            })
        });
        let mut statuses: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            *statuses.entry(row.status.as_str()).or_default() += 1;
        }
        json!({
            "run_id": self.run_id,
            "period": self.period(),
            "version": VERSION,
            "settings": {
                "timezone": config.timezone.name(), "tzdata": chrono_tz::IANA_TZDB_VERSION, "currency": config.currency,
                "naive_timezone": config.method.naive_timezone.name(), "guards": config.guards,
                "min_customers": config.min_customers, "default_margin_rate": config.method.default_margin_rate,
                "history_from": self.plan.history_start.to_string(), "incomplete": self.plan.incomplete,
            },
            "inputs": inputs.collect::<Vec<_>>(),
            "models": models.iter().map(|model| {
                json!({"name": model.name, "origin": model.origin, "hash": content(model.sql.as_bytes())})
            }).collect::<Vec<_>>(),
            "facts": self.records,
            "snapshots": self.snapshots,
            "rows": ledgers,
            "statuses": statuses,
            "files": files,
        })
    }

    /// The estimates for programs that do not read Parquet.
    fn summary(&self, rows: &[Row], rejected: usize, pointer: &Pointer) -> serde_json::Value {
        json!({
            "schema": SUMMARY_SCHEMA,
            "period": self.period(),
            "run_id": self.run_id,
            "seq": pointer.seq,
            "version": VERSION,
            "currency": self.engine.config.currency,
            "timezone": self.engine.config.timezone.name(),
            "incomplete": self.plan.incomplete,
            "rejected": {"listed": rejected, "file": self.folder(&pointer.attempt) + "/rejected.parquet"},
            "estimates": rows,
        })
    }
}

/// The copy of the newest period's summary.
const LATEST: &str = "summaries/latest/summary.json";

/// What is copied of a publication, and to where.
fn copies(period: &str, pointer: &Pointer) -> [(String, String); 4] {
    let run = pointer.folder(period);
    let summary = format!("publications/{period}/{}/summary.json", pointer.seq);
    [
        (format!("{run}/estimates.parquet"), format!("summaries/estimates/period={period}/estimates.parquet")),
        (format!("{run}/money.parquet"), format!("summaries/money/period={period}/money.parquet")),
        (summary.clone(), format!("summaries/files/{period}/summary.json")),
        (summary, LATEST.to_owned()),
    ]
}

/// Whether a copy is another period's to write.
async fn is_of_a_newer_period(output: &Location, copy: &str, period: &str) -> Result<bool> {
    Ok(copy == LATEST && newest(output).await?.is_some_and(|newest| newest.as_str() > period))
}

/// What was published, which is there.
async fn original(from: &Location) -> Result<Bytes> {
    let gone = || Error::Input(format!("{from} was published and is gone"));
    Ok(from.get().await?.ok_or_else(gone)?.0)
}

/// Whether a copy below `summaries/` is not what the pointer says: its writer was cut short.
pub(crate) async fn copies_are_behind(engine: &Engine, period: &str, pointer: &Pointer) -> Result<bool> {
    for (from, to) in copies(period, pointer) {
        let copy = engine.output.join(&to).get().await?.map(|(copy, _)| copy);
        let differs = copy != Some(original(&engine.output.join(&from)).await?);
        if differs && !is_of_a_newer_period(&engine.output, &to, period).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many objects of a publication there are to look at, and what is wrong with some of them.
pub(crate) async fn verify(output: &Location, period: &str) -> Result<(usize, Vec<String>)> {
    let gone = || Error::Input(format!("{period} is not published any more; try again"));
    let pointer = published(output, period).await?.ok_or_else(gone)?.pointer;
    let manifest = manifest(output, period, &pointer).await?;
    let run = pointer.folder(period);
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    expected.extend(manifest.files.into_iter().map(|(name, hash)| (format!("{run}/{name}"), hash)));
    let records = manifest.facts.into_iter().flat_map(|record| record.tables.into_values().chain(record.rejected));
    let snapshots = manifest.snapshots.into_values().flat_map(|taken| [taken.table].into_iter().chain(taken.rejected));
    expected.extend(records.chain(snapshots).map(|table| (table.key, table.content)));
    let mut problems = Vec::new();
    let mut objects = expected.len();
    for (key, hash) in expected {
        let place = output.join(&key);
        match place.get().await? {
            None => problems.push(format!("{place} is gone")),
            Some((bytes, _)) if content(&bytes) != hash => problems.push(format!("{place} is not what was written")),
            Some(_) => {}
        }
    }
    for (from, key) in copies(period, &pointer) {
        if is_of_a_newer_period(output, &key, period).await? {
            continue;
        }
        objects += 1;
        let (from, to) = (output.join(&from), output.join(&key));
        match (from.get().await?, to.get().await?) {
            (None, _) => problems.push(format!("{from} is gone")),
            (_, None) => problems.push(format!("{to} is gone; the next run writes it again")),
            (Some((original, _)), Some((copy, _))) if original != copy => {
                problems.push(format!("{to} is not a copy of {from}; the next run writes it again"));
            }
            _ => {}
        }
    }
    Ok((objects, problems))
}

/// Brings the copies below `summaries/` to what the pointer says. Returns how many had to be written.
pub(crate) async fn copy(engine: &Engine, period: &str, pointer: &Pointer) -> Result<usize> {
    let mut pointer = pointer.clone();
    let mut written = 0;
    loop {
        written += copy_once(engine, period, &pointer).await?;
        // A publication meanwhile that found its bytes here already left no trace, and ours may have replaced them.
        match published(&engine.output, period).await? {
            Some(found) if found.pointer.seq != pointer.seq => pointer = found.pointer,
            _ => return Ok(written),
        }
    }
}

async fn copy_once(engine: &Engine, period: &str, pointer: &Pointer) -> Result<usize> {
    let mut written = 0;
    for (from, key) in copies(period, pointer) {
        let (from, to) = (engine.output.join(&from), engine.output.join(&key));
        // Look at the copy before the pointer: a copy that changes after that refuses the write.
        loop {
            let found = to.get().await?;
            if published(&engine.output, period).await?.is_none_or(|published| published.pointer.seq != pointer.seq) {
                return Ok(written);
            }
            if is_of_a_newer_period(&engine.output, &key, period).await? {
                break;
            }
            let bytes = original(&from).await?;
            let mode = match found {
                Some((copy, _)) if copy == bytes => break,
                Some((_, e_tag)) => PutMode::Update(UpdateVersion { e_tag, version: None }),
                None => PutMode::Create,
            };
            if to.put_if(bytes, mode).await? {
                written += 1;
                break;
            }
        }
    }
    Ok(written)
}

/// The newest published period.
pub(crate) async fn newest(output: &Location) -> Result<Option<String>> {
    Ok(pointers(output).await?.into_keys().next_back())
}

/// The version of every pointer, by period.
pub(crate) async fn pointers(output: &Location) -> Result<BTreeMap<String, Option<String>>> {
    let objects = output.join("published").list().await?;
    let pointers = objects.into_iter().filter_map(|object| {
        let period = object.location.filename()?.strip_suffix(".json")?.to_owned();
        Some((period, object.e_tag))
    });
    Ok(pointers.collect())
}

/// A name for one writing of a run: the instant, and what tells two processes apart.
fn attempt_id(now: DateTime<Utc>) -> String {
    let unique = format!("{now:?} {:?} {}", std::time::Instant::now(), std::process::id());
    format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), &content(unique.as_bytes())[..8])
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data");
    bytes.push(b'\n');
    bytes
}
