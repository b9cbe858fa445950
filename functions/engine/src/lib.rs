//! The machine of `cxroi`: a lake of Parquet in, a published month of numbers out.
//!
//! [`Engine::run`] is the whole story: [`Engine::plan`] says which months are new or changed, `rollup` turns each into
//! facts, `report` turns facts into estimates, `publish` makes them visible at once. What holds throughout:
//! * the same inputs and settings give the same bytes of every published table,
//! * a number that cannot be known is a status, never 0 or NaN,
//! * nothing is visible before it was audited.

mod analyst;
mod asked;
mod checks;
pub mod config;
pub mod contract;
mod doctor;
mod encoding;
pub mod error;
mod estimates;
mod exact_sum;
mod expected;
pub mod feed;
mod function;
mod glossary;
mod housekeeping;
mod instant;
pub mod lake;
mod measures;
pub mod models;
pub mod month;
mod object;
mod page;
mod pair_sums;
mod pinned;
pub mod plan;
mod publish;
mod published;
mod rejected;
mod report;
mod restatement;
mod rollup;
mod rows;
mod s3;
pub mod schedule;
mod series;
mod session;
mod snapshot;
pub mod store;
mod summary;
mod suppression;
mod wording;
mod workbook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

pub use crate::analyst::{Analyst, explore};
pub use crate::checks::Check;
pub use crate::config::Config;
pub use crate::doctor::Claim;
pub use crate::error::{Error, Result};
pub use crate::estimates::{Row, Status};
pub use crate::expected::Expected;
pub use crate::function::{Function, Metric, peak_memory};
pub use crate::glossary::apart;
pub use crate::housekeeping::{Forgotten, Unused};
pub use crate::month::Month;
pub use crate::plan::Plan;
pub use crate::publish::{Pointer, Publication};
pub use crate::published::Listed;
pub use crate::rollup::{Counts, Record};
pub use crate::rows::Money;
pub use crate::store::{Location, Stores};
pub use crate::wording::{figure, plural};

use crate::encoding::{content_hash, parquet};
use crate::error::Context as _;
use crate::housekeeping::Rewritten;
use crate::lake::Lake;
use crate::models::Models;
use crate::object::InputObject;
use crate::plan::MonthPlan;
use crate::publish::{Manifest, Replaced};
use crate::report::Ledger;
use crate::restatement::Basis;
use crate::session::View;
use crate::snapshot::Snapshot;

/// The version that facts, runs and publications are stamped with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Memory that one month's rollup should have.
const ROLLUP_MEMORY: usize = 512 << 20;

/// A configured lake, listed once. Clones share everything.
#[derive(Debug, Clone)]
pub struct Engine {
    config: Arc<Config>,
    models: Arc<Models>,
    lake: Arc<Lake>,
    output: Location,
    runtime: Arc<RuntimeEnv>,
    cores: usize,
    batch_rows: usize,
    /// Whether a published period may see customers as they are today.
    refresh_dimensions: bool,
    /// Whether a published period is computed anew if only the version moved.
    refresh_version: bool,
    /// The pointers as they were before the lake was listed: whoever moved one since may have seen more.
    pointers: Arc<BTreeMap<String, Option<String>>>,
}

/// What a run is doing, for whoever watches.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The plan is made: it has a reported month, and some of its months have to be read.
    Planned {
        /// The reported month.
        period: Month,
        /// Months to read.
        read: usize,
        /// Months in history.
        months: usize,
    },
    /// One month's facts are written.
    RolledUp {
        /// The month.
        month: Month,
        /// Raw rows in it.
        rows: u64,
    },
    /// The estimates are being made.
    Measuring,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The reported month.
    pub period: Month,
    /// What is visible now.
    pub pointer: Pointer,
    /// Whether this run put it there; `false` means that the same numbers were published already.
    pub published: bool,
    /// Months whose raw rows were read.
    pub months_read: Vec<Month>,
    /// Copies that an earlier run had left unfinished.
    pub repaired: usize,
    /// The version that published it, if only the version moved since: this one would compute it in another way.
    pub other_version: Option<String>,
    /// How many numbers have each status, if this run published them.
    pub statuses: BTreeMap<&'static str, usize>,
}

/// What is known of a run before its estimates are made.
struct Prepared {
    basis: Basis,
    ledgers: BTreeMap<String, Ledger>,
    rejected: RecordBatch,
    run_id: String,
}

impl Prepared {
    /// The inputs that moved since a run was published.
    fn moved_since(&self, then: &Manifest) -> BTreeSet<String> {
        let mut moved = self.basis.moved_since(&then.basis);
        // Another version may take other rows for strays: then it is the version that moved, and not the source.
        if !moved.contains(restatement::VERSION_MOVED) {
            moved.extend(restatement::strays_moved(&self.ledgers, &then.rows));
        }
        moved
    }
}

impl Engine {
    /// Lists the lake of a configuration and reads its footers.
    ///
    /// # Errors
    /// [`Error::Input`] for a lake that cannot be read.
    pub async fn open(config: Config, stores: &Stores) -> Result<Self> {
        let runtime = session::runtime(config.memory_limit)?;
        let models = Models::load(&config, stores).await?;
        let output = stores.locate(&config.output)?.encrypted(config.kms_key.clone());
        let pointers = Arc::new(publish::pointers(&output).await?);
        let named = config.lake.clone().into_iter().chain(config.raw.clone()).collect();
        let lake = Arc::new(Lake::open(named, stores, &runtime).await?);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            config: Arc::new(config),
            models: Arc::new(models),
            lake,
            output,
            runtime,
            cores,
            batch_rows: session::BATCH_ROWS,
            refresh_dimensions: false,
            refresh_version: false,
            pointers,
        })
    }

    /// Works with `cores` partitions, and takes `batch_rows` rows at once. No number depends on either.
    pub fn with_parallelism(self, cores: usize, batch_rows: usize) -> Self {
        Self { cores, batch_rows, ..self }
    }

    /// Lets a period that is already published see customers as they are today, instead of as they were at its first
    /// publication.
    pub fn refreshing_dimensions(self) -> Self {
        Self { refresh_dimensions: true, ..self }
    }

    /// Lets a period that is already published be computed the way this version does, even if nothing else moved.
    pub fn refreshing_version(self) -> Self {
        Self { refresh_version: true, ..self }
    }

    fn session(&self, partitions: usize) -> SessionContext {
        session::new(&self.runtime, partitions, self.batch_rows)
    }

    fn view(&self, month: Option<(Month, DateTime<Utc>)>) -> View<'_> {
        View { lake: &self.lake, models: &self.models, config: &self.config, month, unique: true }
    }

    /// What a run at the instant `now` would do, for `period` or for the last closed month.
    ///
    /// # Errors
    /// [`Error::NotReady`] if the month is not closed.
    pub async fn plan(&self, period: Option<Month>, now: DateTime<Utc>) -> Result<Plan> {
        plan::plan(self, period, now).await
    }

    /// What a run of a plan is expected to read, take and cost.
    pub fn expected(&self, plan: &Plan) -> Expected {
        expected::of(self, plan)
    }

    /// Plans, makes the missing facts, computes the estimates and publishes them, unless the same are out already.
    ///
    /// # Errors
    /// Everything that [`Error`] lists; nothing becomes visible then.
    pub async fn run(
        &self,
        period: Option<Month>,
        now: DateTime<Utc>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Outcome> {
        let plan = self.plan(period, now).await?;
        let months_read: Vec<Month> = plan.to_read().map(|month| month.month).collect();
        let prepared = self.prepare(&plan, now, progress).await?;
        // If the caller logs within a span that has the field, the lines of the run can be found by its id.
        tracing::Span::current().record("run_id", prepared.run_id.as_str());
        let period = plan.period.to_string();
        let outcome = |pointer, published, repaired, other_version| Outcome {
            period: plan.period,
            pointer,
            published,
            months_read: months_read.clone(),
            repaired,
            other_version,
            statuses: BTreeMap::new(),
        };
        let before = publish::published(&self.output, &period).await?;
        let mut replaced = None;
        if let Some(found) = before {
            if found.pointer.run_id == prepared.run_id {
                let repaired = publish::copy(self, &period, &found.pointer).await?;
                return Ok(outcome(found.pointer, false, repaired, None));
            }
            let manifest = publish::manifest(&self.output, &period, &found.pointer).await?;
            let moved = prepared.moved_since(&manifest);
            let only_version = moved.iter().eq([restatement::VERSION_MOVED]);
            if moved.is_empty() || only_version && !self.refresh_version {
                let repaired = publish::copy(self, &period, &found.pointer).await?;
                return Ok(outcome(found.pointer, false, repaired, only_version.then_some(manifest.version)));
            }
            if found.pointer.closed {
                publish::copy(self, &period, &found.pointer).await?;
                return Err(Error::Closed { period, seq: found.pointer.seq });
            }
            replaced = Some(Replaced::read(&self.output, &period, found, moved).await?);
        }
        if replaced.as_ref().map(|replaced| &replaced.published.e_tag) != self.pointers.get(&period) {
            return Err(Error::Conflict(period));
        }
        progress(Progress::Measuring);
        let Prepared { basis, ledgers, rejected, run_id } = prepared;
        let reported = report::reported(&plan, &basis.facts);
        let rows = async {
            let session = report::session(self, &reported, &basis, &run_id).await?;
            report::estimates(self, &plan, &reported, &session, &basis.facts, &ledgers).await
        };
        let rows = report::name_damaged_table(self, &basis, rows.await).await?;
        let run = publish::Run { engine: self, plan: &plan, run_id, basis: &basis, ledgers: &ledgers, now };
        match run.publish(replaced.as_ref(), &rows, &rejected).await {
            Ok(pointer) => {
                let mut statuses = BTreeMap::new();
                for row in &rows {
                    *statuses.entry(row.status.as_str()).or_default() += 1;
                }
                Ok(Outcome { statuses, ..outcome(pointer, true, 0, None) })
            }
            // Whoever won published something: if it is the same, there is nothing left to do.
            Err(Error::Conflict(lost)) => match publish::published(&self.output, &period).await? {
                Some(winner) if winner.pointer.run_id == run.run_id => {
                    // The winner may have died before it made its copies.
                    let repaired = publish::copy(self, &period, &winner.pointer).await?;
                    Ok(outcome(winner.pointer, false, repaired, None))
                }
                _ => Err(Error::Conflict(lost)),
            },
            Err(error) => Err(error),
        }
    }

    /// Everything that a run's identity is made of: facts, snapshots, and what became of every row.
    async fn prepare(&self, plan: &Plan, now: DateTime<Utc>, progress: &(dyn Fn(Progress) + Sync)) -> Result<Prepared> {
        plan::refuse_currencies(self, plan).await?;
        let facts = self.facts(plan, progress).await?;
        if let Some(record) = facts.last() {
            feed::confirm_closed(self, plan, record)?;
        }
        let look_ahead = self.look_ahead(plan).await?;
        let basis = self.basis(plan, facts, look_ahead).await?;
        let mut outside = BTreeMap::new();
        for name in plan.feeds.keys() {
            outside.insert(*name, feed::outside(self, plan, name, now).await?);
        }
        let ledgers = report::reconcile(plan, &basis, &outside)?;

        let mut rejected = Vec::new();
        let listings = basis.facts.iter().filter_map(|record| record.rejected.as_ref());
        for listing in listings.chain(basis.snapshots.values().filter_map(|snapshot| snapshot.rejected.as_ref())) {
            rejected.push(rejected::get(self, listing).await?);
        }
        rejected.extend(rejected::outside(self, plan, &outside, now).await?);
        let rejected = rejected::united(&rejected)?;
        let listed = content_hash(&parquet(&rejected)?);
        let run_id = publish::run_id(plan, &basis, &ledgers, &listed);
        Ok(Prepared { basis, ledgers, rejected, run_id })
    }

    /// What the numbers of a plan stand on, given its facts.
    async fn basis(&self, plan: &Plan, facts: Vec<Record>, look_ahead: Option<Record>) -> Result<Basis> {
        let mut snapshots = snapshot::take(self, plan.period).await?;
        // A customer's segment is what it was when the period was first published: a list of today would restate the past.
        if let Some(taken) = snapshots.get_mut("customers").filter(|_| !self.refresh_dimensions)
            && let period = plan.period.to_string()
            && let Some(found) = publish::published(&self.output, &period).await?
            && let mut manifest = publish::manifest(&self.output, &period, &found.pointer).await?
            && let Some(first) = manifest.basis.snapshots.remove("customers")
        {
            let rejected = match first.rejected {
                Some(listing) => Some(Rewritten::there(&self.output, listing).await?),
                None => None,
            };
            *taken = Snapshot { table: Rewritten::there(&self.output, first.table).await?, rejected, ..first };
        }
        Ok(Basis::new(self, plan, facts, look_ahead, snapshots))
    }

    /// Passes a result on, but turns [`Error::Damaged`] into an error that names the damaged file: the first of those that were
    /// `read` whose rows cannot be decoded, if there is one.
    pub(crate) async fn name_damaged_file<T>(
        &self,
        done: Result<T>,
        read: impl Fn(&str, &InputObject) -> bool,
    ) -> Result<T> {
        let (context, cause) = match done {
            Err(Error::Damaged { context, cause }) => (context, cause),
            done => return done,
        };
        let session = self.session(1);
        for (base, store) in &self.lake.stores {
            session.register_object_store(base, Arc::clone(store));
        }
        let mut objects = Vec::new();
        for (name, raw) in &self.lake.sources {
            objects.extend(raw.objects.iter().filter(|object| read(name, object)).map(|object| (raw, object)));
        }
        for (raw, object) in objects {
            if let Some(damage) = raw.damage(&session, object).await {
                let file = raw.location.name_of(&object.meta.location);
                return Err(Error::Input(format!("{file} cannot be read: {damage}{}", error::remedy(&file, &damage))));
            }
        }
        Err(Error::Damaged { context, cause })
    }

    /// Makes the facts of one month.
    async fn roll_up(&self, month: MonthPlan, partitions: usize) -> Result<Record> {
        let (engine, plan) = (self.clone(), month.clone());
        let done = session::apart(async move { rollup::roll_up(&engine, &plan, partitions).await }).await;
        let done = done.context(|| format!("{}, made from {}", month.month, month.files(self))).flatten();
        self.name_damaged_file(done, |raw, object| month.reads(self, raw, object)).await
    }

    /// What is known of the days after the reported month.
    async fn look_ahead(&self, plan: &Plan) -> Result<Option<Record>> {
        match &plan.look_ahead {
            Some(MonthPlan { record: Some(record), .. }) => Ok(Some(record.clone())),
            Some(days) => self.roll_up(days.clone(), self.cores).await.map(Some),
            None => Ok(None),
        }
    }

    /// Bytes that queries may use together.
    pub fn memory(&self) -> usize {
        match self.runtime.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        }
    }

    /// The facts of every planned month: those that are there, and those that are made now, some months at a time.
    async fn facts(&self, plan: &Plan, progress: &(dyn Fn(Progress) + Sync)) -> Result<Vec<Record>> {
        let read = plan.to_read().count();
        progress(Progress::Planned { period: plan.period, read, months: plan.months.len() });
        let at_once = self.cores.min(read).min(self.memory() / ROLLUP_MEMORY).max(1);
        let partitions = (self.cores / at_once).max(1);
        futures::stream::iter(plan.months.clone())
            .map(|month| async move {
                if let Some(record) = month.record {
                    return Ok(record);
                }
                let record = self.roll_up(month.clone(), partitions).await?;
                let month = month.month;
                let rows = record.sources.values().map(|counts| counts.rows).sum();
                progress(Progress::RolledUp { month, rows });
                Ok(record)
            })
            .buffered(at_once)
            .try_collect()
            .await
    }

    /// The zone whose months are reported, and in which people read times.
    pub fn timezone(&self) -> Tz {
        self.config.timezone
    }
}

/// The folders and files directly below a place that hold tables, each with its name in SQL and its URL.
///
/// # Errors
/// [`Error::Store`] for a place that cannot be listed.
pub async fn entries(lake: &url::Url, stores: &Stores) -> Result<Vec<(String, url::Url)>> {
    lake::entries(lake, stores).await
}

/// What is published of a period, or of the newest one: its pointer, and its summary as JSON text. Needs no lake, only the
/// output.
///
/// # Errors
/// [`Error::Input`] if there is none.
pub async fn summary(config: &Config, stores: &Stores, period: Option<Month>) -> Result<(Pointer, String)> {
    let period = or_newest(config, stores, period).await?;
    published::summary(&stores.locate(&config.output)?, &period).await
}

async fn or_newest(config: &Config, stores: &Stores, period: Option<Month>) -> Result<String> {
    match period {
        Some(period) => Ok(period.to_string()),
        None => Ok(newest(config, stores).await?.0),
    }
}

/// The published files of a period, or of the newest one, by name, each held against the hash that was written down
/// when it was published. Files that name customers are not among them. Needs no lake, only the output.
///
/// # Errors
/// [`Error::Input`] if there is none, or if a file is gone or not what was written.
pub async fn pull(
    config: &Config,
    stores: &Stores,
    period: Option<Month>,
) -> Result<(String, Pointer, Vec<(String, bytes::Bytes)>)> {
    let period = or_newest(config, stores, period).await?;
    let (pointer, files) = published::pull(&stores.locate(&config.output)?, &period).await?;
    Ok((period, pointer, files))
}

/// Links to the same files, by name, for somebody who has no key to the store. Needs no lake, only the output.
///
/// # Errors
/// [`Error::Input`] if there is none, or the store makes no links.
pub async fn links(
    config: &Config,
    stores: &Stores,
    period: Option<Month>,
    valid: std::time::Duration,
) -> Result<(String, Vec<(String, url::Url)>)> {
    let period = or_newest(config, stores, period).await?;
    let links = published::links(&stores.locate(&config.output)?, &period, valid).await?;
    Ok((period, links))
}

/// Every publication of a period, or of all periods, newest first. Needs no lake, only the output.
///
/// # Errors
/// [`Error::Input`] if nothing is published, or if the record of a publication cannot be read.
pub async fn publications(config: &Config, stores: &Stores, period: Option<Month>) -> Result<Vec<Listed>> {
    let output = stores.locate(&config.output)?;
    let periods = match period {
        Some(period) => vec![period.to_string()],
        None => publish::pointers(&output).await?.into_keys().rev().collect(),
    };
    let mut listed = Vec::new();
    for period in periods {
        listed.extend(published::history(&output, &period).await?);
    }
    Ok(listed)
}

/// Tries what publication needs of the output's store, on objects of its own. Needs no lake.
///
/// # Errors
/// [`Error::Store`] where nothing can be written or read at all.
pub async fn prove_store(config: &Config, stores: &Stores, now: DateTime<Utc>) -> Result<Vec<Claim>> {
    let output = stores.locate(&config.output)?.encrypted(config.kms_key.clone());
    doctor::prove(&output, now).await
}

/// The newest published period, and its pointer. Needs no lake, only the output.
///
/// # Errors
/// [`Error::Input`] if there is none.
pub async fn newest(config: &Config, stores: &Stores) -> Result<(String, Pointer)> {
    let output = stores.locate(&config.output)?;
    let nothing = || Error::Input(format!("nothing is published below {output}; start with `cxroi run`"));
    let period = publish::newest(&output).await?.ok_or_else(nothing)?;
    let pointer = publish::published(&output, &period).await?.ok_or_else(nothing)?.pointer;
    Ok((period, pointer))
}

/// Records finance's sign-off of a published period, or its withdrawal. While a period is closed, no run replaces what
/// is published of it.
///
/// # Errors
/// [`Error::Input`] if it is not published; [`Error::Conflict`] if somebody publishes it at the same time.
pub async fn close(
    config: &Config,
    stores: &Stores,
    period: Month,
    closed: bool,
    now: DateTime<Utc>,
) -> Result<Pointer> {
    let output = stores.locate(&config.output)?.encrypted(config.kms_key.clone());
    publish::mark(&output, &period.to_string(), |pointer| {
        if pointer.closed != closed {
            pointer.closed_at = closed.then_some(now);
        }
        pointer.closed = closed;
        // An open period needs no such mark: the next run restates it if its inputs moved.
        pointer.stale.retain(|_| closed);
    })
    .await
}

/// Holds what is published of a period, or of all periods, against the hashes that were written down when it was
/// published. Gives for each period how many objects there were to look at, and in words what is wrong with some of
/// them. Needs no lake, only the output.
///
/// # Errors
/// [`Error::Input`] if nothing is published, or a pointer or a manifest cannot be read.
pub async fn verify(
    config: &Config,
    stores: &Stores,
    period: Option<Month>,
) -> Result<BTreeMap<String, (usize, Vec<String>)>> {
    let output = stores.locate(&config.output)?;
    let mut verified = BTreeMap::new();
    for found in publish::pointers(&output).await?.into_keys() {
        if period.is_none_or(|period| period.to_string() == found) {
            let of_period = published::verify(&output, &found).await?;
            verified.insert(found, of_period);
        }
    }
    if verified.is_empty() {
        let what = period.map_or("nothing".to_owned(), |period| format!("{period} is not published: nothing of it"));
        return Err(Error::Input(format!("{what} is below {output}; `cxroi run` publishes a month")));
    }
    Ok(verified)
}

/// Finds the objects below the output that no publication stands on and that are older than `age`, and deletes them
/// unless `only_look` is set. Needs no lake, only the output.
///
/// # Errors
/// [`Error::Input`] if a publication cannot be read, or a period's pointer is gone; then nothing is deleted.
pub async fn collect_garbage(
    config: &Config,
    stores: &Stores,
    age: Duration,
    now: DateTime<Utc>,
    only_look: bool,
) -> Result<Vec<Unused>> {
    let output = stores.locate(&config.output)?;
    let unused = housekeeping::unused(&output, age, now).await?;
    if !only_look {
        // Collected first: an iterator that borrows would tie the future that awaits it to a lifetime.
        let keys: Vec<String> = unused.iter().map(|object| object.key.clone()).collect();
        housekeeping::delete(&output, keys).await?;
    }
    Ok(unused)
}

/// Rewrites everything below the output that holds ids of these customers, without them. If `now` is `None`, it only
/// counts what it would rewrite. The lake is not touched: what it still holds of them comes back with the next rollup
/// of a month.
///
/// # Errors
/// [`Error::Store`] if an object cannot be written. Call it again then: what was not rewritten still holds the ids.
pub async fn forget(
    config: &Config,
    stores: &Stores,
    customers: &BTreeSet<String>,
    now: Option<DateTime<Utc>>,
) -> Result<Forgotten> {
    let output = stores.locate(&config.output)?.encrypted(config.kms_key.clone());
    housekeeping::forget(&output, customers, now).await
}

/// A session with all functions and schemas and no table, for trying models on made-up rows.
///
/// # Errors
/// [`Error::Query`] if there is no folder for temporary files.
pub fn empty_session() -> Result<SessionContext> {
    Ok(session::new(&session::runtime(None)?, 1, session::BATCH_ROWS))
}
