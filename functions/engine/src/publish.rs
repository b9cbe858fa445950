//! Publication: write everything, check it, then move one pointer.
//!
//! A reader starts at `published/<period>.json`. Until that object changes, nothing of a run is visible; once it has,
//! all of it is. The copies below `summaries/` follow the pointer and are repaired by the next run if cut short.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::{PutMode, UpdateVersion};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::encoding::{content_hash, parquet, read_parquet, shortened};
use crate::error::{Context, Error, Result};
use crate::estimates::{self, Row};
use crate::plan::Plan;
use crate::report::Ledger;
use crate::restatement::{self, Basis};
use crate::rollup::FactTable;
use crate::store::{Location, heads};
use crate::summary::{Earlier, Rejected, Restated, SCHEMA, Summary};
use crate::{Engine, VERSION, page, wording, workbook};

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
    /// When that was; older ones do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// The inputs that moved since, where the numbers stay as they are all the same: the period is closed, or too old.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stale: BTreeSet<String>,
}

impl Pointer {
    /// The folder of the run that it names, below the output.
    pub(crate) fn folder(&self, period: &str) -> String {
        folder(period, &self.run_id, &self.attempt)
    }

    /// The folder of the publication, below the output.
    pub(crate) fn publication(&self, period: &str) -> String {
        format!("publications/{period}/{}", self.seq)
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
    pub(crate) basis: &'a Basis,
    pub(crate) ledgers: &'a BTreeMap<String, Ledger>,
    /// The instant of the run.
    pub(crate) now: DateTime<Utc>,
}

/// What a run takes the place of.
pub(crate) struct Replaced {
    pub(crate) published: Published,
    /// The inputs that moved since.
    pub(crate) moved: BTreeSet<String>,
    /// The period's first publication, and what it stood on.
    first: Pointer,
    first_basis: Basis,
    estimates: RecordBatch,
    restatements: RecordBatch,
}

impl Replaced {
    /// Reads what later runs are held against.
    pub(crate) async fn read(
        output: &Location,
        period: &str,
        published: Published,
        moved: BTreeSet<String>,
    ) -> Result<Self> {
        let publication = publication(output, period, &published.pointer).await?;
        let first_basis = manifest(output, period, &publication.first).await?.basis;
        let run = output.join(&published.pointer.folder(period));
        let estimates = table(&run.join("estimates.parquet")).await?;
        let place = output.join(&published.pointer.publication(period));
        let restatements = table(&place.join(RESTATEMENTS)).await?;
        Ok(Self { published, moved, first: publication.first, first_basis, estimates, restatements })
    }
}

/// The rows of a table that was published.
pub(crate) async fn table(location: &Location) -> Result<RecordBatch> {
    let damaged = |error| Error::Input(format!("{location} is damaged ({error}); restore it from a backup"));
    read_parquet(original(location).await?).map_err(damaged)
}

/// A publication's own files, by name.
type Files = [(&'static str, Vec<u8>); 4];

/// The names of a publication's own files.
const PUBLICATION: &str = "publication.json";
pub(crate) const SUMMARY: &str = "summary.json";
pub(crate) const RESTATEMENTS: &str = "restatements.parquet";
const PAGE: &str = "report.html";
const WORKBOOK: &str = "roi.xlsx";

/// What was written down of the publication that a pointer names.
pub(crate) async fn publication(output: &Location, period: &str, pointer: &Pointer) -> Result<Publication> {
    parsed(&output.join(&pointer.publication(period)).join(PUBLICATION)).await
}

/// The pointers of a period: the visible one, then those that it replaced, newest first.
pub(crate) async fn publications(output: &Location, period: &str) -> Result<Vec<Pointer>> {
    let mut pointers = Vec::new();
    let mut next = published(output, period).await?.map(|published| published.pointer);
    while let Some(pointer) = next {
        next = publication(output, period, &pointer).await?.replaces;
        pointers.push(pointer);
    }
    Ok(pointers)
}

/// An object of ours that is JSON, and was published.
async fn parsed<T: DeserializeOwned>(location: &Location) -> Result<T> {
    let bytes = original(location).await?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(location, &error, &bytes, "restore it from a backup"))
}

/// Why JSON of ours cannot be read: another version wrote it, which `written` names, or it is damaged.
pub(crate) fn unreadable(location: &Location, error: &serde_json::Error, written: &[u8], way_out: &str) -> Error {
    let written: Value = serde_json::from_slice(written).unwrap_or_default();
    Error::Input(match written["version"].as_str().filter(|version| *version != VERSION) {
        Some(version) => format!(
            "{location} was published by version {version}, and this is version {VERSION}, which cannot read it ({error}); \
             use version {version} or a newer one"
        ),
        None => format!("{location} is damaged ({error}); {way_out}"),
    })
}

fn pointer_of(output: &Location, period: &str) -> Location {
    output.join(&format!("published/{period}.json"))
}

/// What is published of a period, if anything.
pub(crate) async fn published(output: &Location, period: &str) -> Result<Option<Published>> {
    let location = pointer_of(output, period);
    let Some((bytes, e_tag)) = location.get().await? else { return Ok(None) };
    let error = match serde_json::from_slice(&bytes) {
        Ok(pointer) => return Ok(Some(Published { pointer, e_tag })),
        Err(error) => error,
    };
    // A pointer names no version; the record of its publication does.
    let pointer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let place = output.join(&format!("publications/{period}/{}", pointer["seq"])).join(PUBLICATION);
    let written = place.get().await?.map(|(bytes, _)| bytes).unwrap_or_default();
    let way_out = format!("restore it from the newest folder below publications/{period}/");
    Err(unreadable(&location, &error, &written, &way_out))
}

/// The lineage of a run: what was read, with which models and settings, and what became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    run_id: String,
    period: String,
    pub(crate) version: String,
    settings: Value,
    inputs: Value,
    models: Value,
    #[serde(flatten)]
    pub(crate) basis: Basis,
    pub(crate) rows: BTreeMap<String, Ledger>,
    statuses: BTreeMap<String, usize>,
    /// The run's own files, by name, with the hash of their content.
    pub(crate) files: BTreeMap<String, String>,
}

/// What depends on when a run was published, and on what was published before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Publication {
    /// The period.
    pub period: String,
    /// What names it.
    pub pointer: Pointer,
    /// When it was published.
    pub published_at: DateTime<Utc>,
    /// The version that published it.
    pub version: String,
    /// What was visible until then.
    pub(crate) replaces: Option<Pointer>,
    /// What was visible first.
    first: Pointer,
    /// Rows that reached the months of history after that, by source.
    pub late_rows: BTreeMap<String, u64>,
    /// The inputs that moved since what it replaces.
    pub moved: BTreeSet<String>,
    /// Its own files, by name, with the hash of their content.
    pub(crate) files: BTreeMap<String, String>,
}

/// The manifest of what a pointer of the period names.
pub(crate) async fn manifest(output: &Location, period: &str, pointer: &Pointer) -> Result<Manifest> {
    parsed(&output.join(&pointer.folder(period)).join("manifest.json")).await
}

/// Changes the marks of a period's pointer. Whoever publishes at the same time is refused, starts again, and sees them.
pub(crate) async fn mark(output: &Location, period: &str, change: impl FnOnce(&mut Pointer)) -> Result<Pointer> {
    let nothing = || Error::Input(format!("{period} is not published; `cxroi run --period {period}` publishes it"));
    let Published { mut pointer, e_tag } = published(output, period).await?.ok_or_else(nothing)?;
    let before = pointer.clone();
    change(&mut pointer);
    if pointer == before {
        return Ok(pointer);
    }
    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
    match pointer_of(output, period).put_if(pretty(&pointer), mode).await? {
        true => Ok(pointer),
        false => Err(Error::Conflict(period.to_owned())),
    }
}

/// The identity of a run: the facts up to the reported month and what was looked ahead to, the snapshots, the measures,
/// the settings, the version.
pub(crate) fn run_id(plan: &Plan, basis: &Basis, ledgers: &BTreeMap<String, Ledger>, rejected: &str) -> String {
    let mut hasher = basis.hash();
    hasher.update(format!("\n{} {:?}", plan.period, plan.incomplete).as_bytes());
    // What was set aside is published too; what belongs to later months is not.
    for (name, ledger) in ledgers {
        let mut counts = ledger.counts.clone();
        if !plan.feeds.contains_key(name.as_str()) {
            (counts.rows, counts.used) = (0, 0);
        }
        hasher.update(format!("\n{name} {counts:?} {:?}", ledger.strays()).as_bytes());
    }
    hasher.update(format!("\n{rejected}").as_bytes());
    shortened(hasher.finalize())
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
        before: Option<&Replaced>,
        rows: &[Row],
        rejected: &RecordBatch,
    ) -> Result<Pointer> {
        let (period, output) = (self.period(), &self.engine.output);
        let attempt = attempt_id(self.now);
        let folder = output.join(&self.folder(&attempt));
        let estimates = estimates::table(rows, &self.run_id, &period)?;
        let mut files = BTreeMap::new();
        for (name, bytes) in [
            ("estimates", parquet(&estimates)?),
            ("money", parquet(&estimates::money_table(rows, &self.run_id, &period)?)?),
            ("rejected", parquet(rejected)?),
        ] {
            files.insert(format!("{name}.parquet"), content_hash(&bytes));
            folder.join(&format!("{name}.parquet")).put(bytes).await?;
        }
        for (file, expected) in &files {
            let location = folder.join(file);
            let found = location.get().await?.map(|(bytes, _)| content_hash(&bytes));
            if found.as_ref() != Some(expected) {
                return Err(Error::Audit(format!("{location} does not read back as it was written")));
            }
        }
        folder.join("manifest.json").put(pretty(&self.manifest(rows, files))).await?;

        // Nothing is published whose facts somebody deleted meanwhile: nobody could look its numbers up.
        let tables: Vec<&FactTable> = self.basis.tables().collect();
        let paths = tables.iter().map(|table| output.join(&table.key).path().clone());
        for (table, head) in tables.iter().zip(heads(output.store(), paths).await) {
            let place = output.join(&table.key);
            match head {
                Err(object_store::Error::NotFound { .. }) => {
                    return Err(Error::Audit(format!("{place} went away meanwhile")));
                }
                head => drop(head.context(|| format!("cannot read {place}"))?),
            }
        }

        let earlier = earlier(output, &period).await?;
        // A number that was claimed by a writer that died stays unused: the sequence grows, but it may have gaps.
        let mut seq = before.map_or(0, |before| before.published.pointer.seq) + 1;
        let pointer = loop {
            let (run_id, attempt) = (self.run_id.clone(), attempt.clone());
            let pointer = Pointer { seq, run_id, attempt, closed: false, closed_at: None, stale: BTreeSet::new() };
            let place = output.join(&pointer.publication(&period));
            let (publication, files) =
                self.publication(before, &earlier, &pointer, rows, &estimates, rejected.num_rows())?;
            if place.join(PUBLICATION).put_if(pretty(&publication), PutMode::Create).await? {
                for (name, bytes) in files {
                    place.join(name).put(bytes).await?;
                }
                break pointer;
            }
            seq += 1;
        };
        let mode = match before {
            None => PutMode::Create,
            Some(before) => PutMode::Update(UpdateVersion { e_tag: before.published.e_tag.clone(), version: None }),
        };
        if !pointer_of(output, &period).put_if(pretty(&pointer), mode).await? {
            return Err(Error::Conflict(period));
        }
        copy(self.engine, &period, &pointer).await?;
        Ok(pointer)
    }

    /// What is told of this publication alone: its record, and its files by name.
    fn publication(
        &self,
        before: Option<&Replaced>,
        earlier: &[Earlier],
        pointer: &Pointer,
        rows: &[Row],
        estimates: &RecordBatch,
        rejected: usize,
    ) -> Result<(Publication, Files)> {
        let moved = before.map_or_else(BTreeSet::new, |before| before.moved.clone());
        // A first publication restates nothing: it is held against itself.
        let old = before.map_or(estimates, |before| &before.estimates);
        let known = before.map(|before| &before.restatements);
        let restatements = restatement::table(old, estimates, rows, &moved, known, pointer)?;
        let late_rows = before.map_or_else(BTreeMap::new, |before| self.basis.rows_since(&before.first_basis));
        let summary = Summary {
            schema: SCHEMA,
            period: &self.period(),
            run_id: &self.run_id,
            seq: pointer.seq,
            version: VERSION,
            currency: &self.engine.config.currency,
            timezone: self.engine.config.timezone.name(),
            incomplete: self.plan.incomplete.as_deref(),
            rejected: Rejected { listed: rejected, file: self.folder(&pointer.attempt) + "/rejected.parquet" },
            restated: Restated { numbers: restatement::count(&restatements, pointer.seq), moved_by: &moved },
            late_rows: &late_rows,
            headlines: wording::headlines(rows, &self.engine.config.currency),
            estimates: rows,
            ledgers: self.ledgers,
            restatements: &restatements,
            earlier,
        };
        let files = [
            (SUMMARY, pretty(&summary)),
            (RESTATEMENTS, parquet(&restatements)?),
            (PAGE, page::page(&summary)?.into_bytes()),
            (WORKBOOK, workbook::workbook(&summary)?),
        ];
        let publication = Publication {
            period: self.period(),
            pointer: pointer.clone(),
            published_at: self.now,
            version: VERSION.to_owned(),
            replaces: before.map(|before| before.published.pointer.clone()),
            first: before.map_or_else(|| pointer.clone(), |before| before.first.clone()),
            late_rows,
            moved,
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), content_hash(bytes))).collect(),
        };
        Ok((publication, files))
    }

    /// The lineage.
    fn manifest(&self, rows: &[Row], files: BTreeMap<String, String>) -> Manifest {
        let Engine { models, lake, .. } = self.engine;
        let inputs = lake.sources.iter().flat_map(|(name, source)| {
            source.objects.iter().map(move |object| {
                json!({
                    "source": name, "key": source.location.name_of(&object.meta.location), "etag": object.meta.e_tag,
                    "bytes": object.meta.size, "rows": object.rows,
                })
            })
        });
        let models = models.published().map(
            |model| json!({"name": model.name, "origin": model.origin, "hash": content_hash(model.sql.as_bytes())}),
        );
        let mut statuses = BTreeMap::new();
        for row in rows {
            *statuses.entry(row.status.as_str().to_owned()).or_default() += 1;
        }
        Manifest {
            run_id: self.run_id.clone(),
            period: self.period(),
            version: VERSION.to_owned(),
            settings: json!({
                "configured": restatement::settings(self.engine), "tzdata": chrono_tz::IANA_TZDB_VERSION,
                "history_start": self.plan.history_start.to_string(), "incomplete": self.plan.incomplete,
            }),
            inputs: inputs.collect(),
            models: models.collect(),
            basis: self.basis.clone(),
            rows: self.ledgers.clone(),
            statuses,
            files,
        }
    }
}

/// The folder of the newest period's files for people.
const LATEST: &str = "summaries/latest/";

/// What is copied of a publication, and to where. An older version may have published fewer files.
pub(crate) async fn copies(output: &Location, period: &str, pointer: &Pointer) -> Result<Vec<(String, String)>> {
    let (run, place) = (pointer.folder(period), pointer.publication(period));
    let mut copies = vec![
        (format!("{run}/estimates.parquet"), format!("summaries/estimates/period={period}/estimates.parquet")),
        (format!("{run}/money.parquet"), format!("summaries/money/period={period}/money.parquet")),
        (format!("{place}/{RESTATEMENTS}"), format!("summaries/restatements/period={period}/{RESTATEMENTS}")),
    ];
    let files = publication(output, period, pointer).await?.files;
    for file in files.into_keys().filter(|file| file != RESTATEMENTS) {
        let from = format!("{place}/{file}");
        copies.push((from.clone(), format!("summaries/files/{period}/{file}")));
        copies.push((from, format!("{LATEST}{file}")));
    }
    Ok(copies)
}

/// Whether a copy is another period's to write.
pub(crate) async fn is_of_a_newer_period(output: &Location, copy: &str, period: &str) -> Result<bool> {
    Ok(copy.starts_with(LATEST) && newest(output).await?.is_some_and(|newest| newest.as_str() > period))
}

/// What was published, which is there.
pub(crate) async fn original(from: &Location) -> Result<Bytes> {
    let gone = || Error::Input(format!("{from} was published and is gone"));
    Ok(from.get().await?.ok_or_else(gone)?.0)
}

/// How many periods a trend goes back.
const TREND: usize = 23;

/// The newest periods before one, as they are published, oldest first.
async fn earlier(output: &Location, period: &str) -> Result<Vec<Earlier>> {
    let before: Vec<String> = pointers(output).await?.into_keys().filter(|other| other.as_str() < period).collect();
    let mut earlier = Vec::new();
    for other in before.into_iter().rev().take(TREND).rev() {
        if let Some(found) = published(output, &other).await? {
            let estimates = output.join(&found.pointer.folder(&other)).join("estimates.parquet");
            earlier.push(Earlier::new(other, found.pointer.stale, &table(&estimates).await?));
        }
    }
    Ok(earlier)
}

/// Whether a copy below `summaries/` is not what the pointer says: its writer was cut short.
pub(crate) async fn copies_are_behind(engine: &Engine, period: &str, pointer: &Pointer) -> Result<bool> {
    for (from, to) in copies(&engine.output, period, pointer).await? {
        let copy = engine.output.join(&to).get().await?.map(|(copy, _)| copy);
        let differs = copy != Some(original(&engine.output.join(&from)).await?);
        if differs && !is_of_a_newer_period(&engine.output, &to, period).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Brings the copies below `summaries/` to what the pointer says. Returns how many had to be written.
pub(crate) async fn copy(engine: &Engine, period: &str, pointer: &Pointer) -> Result<usize> {
    let mut pointer = pointer.clone();
    let mut written = 0;
    loop {
        written += copy_once(engine, period, &pointer).await?;
        // Another publication may have found its own bytes here meanwhile and written nothing, and ours then replaced
        // them.
        match published(&engine.output, period).await? {
            Some(found) if found.pointer.seq != pointer.seq => pointer = found.pointer,
            _ => return Ok(written),
        }
    }
}

async fn copy_once(engine: &Engine, period: &str, pointer: &Pointer) -> Result<usize> {
    let mut written = 0;
    for (from, key) in copies(&engine.output, period, pointer).await? {
        let (from, to) = (engine.output.join(&from), engine.output.join(&key));
        // Read the copy before the pointer: if the copy changes after that, the write is refused.
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
pub(crate) fn attempt_id(now: DateTime<Utc>) -> String {
    let unique = format!("{now:?} {:?} {}", std::time::Instant::now(), std::process::id());
    format!("{}-{}", now.format("%Y%m%dT%H%M%SZ"), &content_hash(unique.as_bytes())[..8])
}

pub(crate) fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data");
    bytes.push(b'\n');
    bytes
}
