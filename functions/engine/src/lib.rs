//! The machine of `cxroi`: a lake of Parquet in, a published month of numbers out.
//!
//! [`Engine::run`] is the whole story: [`Engine::plan`] says which months are new or changed, `rollup` turns each into
//! facts, `report` turns facts into estimates, `publish` makes them visible at once. What holds throughout:
//! * the same inputs and settings give the same bytes of every published table,
//! * a number that cannot be known is a status, never 0 or NaN,
//! * nothing is visible before it was audited.

pub mod config;
pub mod contract;
pub mod error;
mod estimates;
mod exact_sum;
pub mod lake;
mod measures;
pub mod models;
pub mod month;
pub mod plan;
mod publish;
mod report;
mod rollup;
mod rows;
mod session;
mod snapshot;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::runtime::SpawnedTask;
use datafusion::dataframe::DataFrame;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

pub use crate::config::Config;
pub use crate::error::{Error, Result};
pub use crate::estimates::{Row, Status};
pub use crate::month::Month;
pub use crate::plan::Plan;
pub use crate::publish::Pointer;
pub use crate::rollup::{Counts, Record};
pub use crate::rows::Money;
pub use crate::store::{Location, Stores};

use crate::lake::{Lake, ObjectTable};
use crate::models::Models;
use crate::session::View;

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
}

/// What a run is doing, for whoever watches.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The plan is made: the reported month, and how many months of facts have to be read of how many.
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
}

impl Engine {
    /// Lists the lake of a configuration and reads its footers.
    ///
    /// # Errors
    /// [`Error::Input`] for a lake that cannot be read.
    pub async fn open(config: Config, stores: &Stores) -> Result<Self> {
        let runtime = session::runtime(config.memory_limit)?;
        let models = Models::load(&config, stores).await?;
        let lake = Lake::open(&config, stores, &runtime).await?;
        let output = stores.locate(&config.output)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { config: Arc::new(config), models: Arc::new(models), lake: Arc::new(lake), output, runtime, cores })
    }

    fn session(&self, partitions: usize) -> SessionContext {
        session::new(&self.runtime, partitions)
    }

    fn view(&self, month: Option<Month>) -> View<'_> {
        View { lake: &self.lake, models: &self.models, config: &self.config, month, unique: true }
    }

    /// What a run at the instant `now` would do, for `period` or for the last closed month.
    ///
    /// # Errors
    /// [`Error::NotReady`] if the month is not closed.
    pub async fn plan(&self, period: Option<Month>, now: DateTime<Utc>) -> Result<Plan> {
        plan::plan(self, period, now).await
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
        progress(Progress::Planned { period: plan.period, read: months_read.len(), months: plan.months.len() });
        let records = self.facts(&plan, progress).await?;
        let snapshot = snapshot::take(self).await?;
        let mut outside = BTreeMap::new();
        for name in plan.feeds.keys() {
            outside.insert(*name, plan::outside(self, &plan, name, now).await?);
        }
        let ledgers = report::reconcile(&plan, &records, &outside, &snapshot)?;

        let run_id = publish::run_id(self, &plan, &records, &snapshot);
        let period = plan.period.to_string();
        let before = publish::published(self, &period).await?;
        if let Some(pointer) = before.as_ref().map(|published| &published.pointer).filter(|pointer| pointer.run_id == run_id) {
            let repaired = publish::copy(self, &period, pointer).await?;
            return Ok(Outcome { period: plan.period, pointer: pointer.clone(), published: false, months_read, repaired });
        }
        progress(Progress::Measuring);
        let session = report::session(self, &records, &snapshot).await?;
        let rows = report::estimates(self, &plan, &session, &ledgers).await?;
        report::tie_out(&rows, &records)?;
        let run = publish::Run { engine: self, plan: &plan, run_id, records: &records, snapshot: &snapshot };
        let pointer = run.publish(before, &rows, &ledgers, now).await?;
        Ok(Outcome { period: plan.period, pointer, published: true, months_read, repaired: 0 })
    }

    /// The facts of every planned month: those that are there, and those that are made now, some months at a time.
    async fn facts(&self, plan: &Plan, progress: &(dyn Fn(Progress) + Sync)) -> Result<Vec<Record>> {
        let memory = match self.runtime.memory_pool.memory_limit() {
            datafusion::execution::memory_pool::MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        let at_once = self.cores.min(plan.to_read().count()).min(memory / ROLLUP_MEMORY).max(1);
        let partitions = (self.cores / at_once).max(1);
        futures::stream::iter(&plan.months)
            .map(|month| async move {
                if let Some(record) = &month.record {
                    return Ok(record.clone());
                }
                // A task of its own: with one partition a query runs where it is polled.
                let (engine, month) = (self.clone(), month.clone());
                let task = SpawnedTask::spawn(async move { rollup::roll_up(&engine, &month, partitions).await.map(|record| (month, record)) });
                let (month, record) = task.join_unwind().await.map_err(|_| Error::Input("the run was stopped".to_owned()))??;
                let rows = record.sources.values().map(|counts| counts.rows).sum();
                progress(Progress::RolledUp { month: month.month, rows });
                Ok(record)
            })
            .buffered(at_once)
            .try_collect()
            .await
    }

    /// The published summary of a period, or of the newest one, as JSON text.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none.
    pub async fn summary(&self, period: Option<Month>) -> Result<String> {
        let period = match period {
            Some(period) => Some(period.to_string()),
            None => publish::newest(self).await?,
        };
        let nothing = || Error::Input(format!("nothing is published below {}; start with `cxroi run`", self.output));
        let period = period.ok_or_else(nothing)?;
        let published = publish::published(self, &period).await?.ok_or_else(|| {
            Error::Input(format!("{period} is not published; `cxroi run --period {period}` publishes it if it is closed"))
        })?;
        let summary = self.output.join(&format!("publications/{period}/{}/summary.json", published.pointer.seq));
        let (bytes, _) = summary.get().await?.ok_or_else(|| Error::Input(format!("{summary} was published and is gone")))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::Input(format!("{summary} is damaged: it is not UTF-8")))
    }

    /// A session for ad hoc questions: `raw`, `audit`, `staging`, `facts` (finished months) and `roi` (published).
    ///
    /// # Errors
    /// [`Error::Input`] for a lake that the contract cannot read.
    pub async fn analyst(&self, now: DateTime<Utc>) -> Result<Analyst> {
        let session = self.session(self.cores);
        self.view(None).register(&session, |_, _| true).await?;
        let mut as_of = None;
        match self.plan(None, now).await {
            Ok(plan) => {
                as_of = Some(plan.period);
                let records: Vec<Record> = plan.months.into_iter().filter_map(|month| month.record).collect();
                report::register_facts(self, &session, &records).await?;
            }
            // Raw rows can be looked at all the same.
            Err(Error::NotReady(reason)) => tracing::info!("{reason}"),
            Err(error) => return Err(error),
        }
        session.register_object_store(&self.output.base(), Arc::clone(self.output.store()));
        for name in ["estimates", "money"] {
            let objects = self.output.join(&format!("summaries/{name}")).list().await?;
            let objects: Vec<_> =
                objects.into_iter().filter(|object| object.location.as_ref().ends_with(".parquet")).collect();
            let Some(first) = objects.first() else { continue };
            let schema = report::written_schema(self, first).await?;
            let table = ObjectTable { store: self.output.base(), schema, objects };
            session::register(&session, "roi", name, Arc::new(table))?;
        }
        Ok(Analyst { session, parameters: session::parameters(&self.config, as_of) })
    }

    /// Runs every file of `sql/checks` over the whole lake: its name, what it claims, and the rows that break it.
    ///
    /// # Errors
    /// [`Error::Query`] for a check that does not run.
    pub async fn checks(&self, analyst: &Analyst) -> Result<Vec<(String, String, DataFrame)>> {
        let mut checks = Vec::new();
        for model in self.models.layer("checks") {
            let planned = session::plan_model(&analyst.session, model, &analyst.parameters).await?;
            checks.push((model.name.clone(), model.description(), planned));
        }
        Ok(checks)
    }
}

/// A session with the functions and the schemas of every other one, and no table: for trying models on made-up rows.
///
/// # Errors
/// [`Error::Query`] if there is no folder for temporary files.
pub fn empty_session() -> Result<SessionContext> {
    Ok(session::new(&session::runtime(None)?, 1))
}

/// A read-only SQL session over everything.
pub struct Analyst {
    session: SessionContext,
    parameters: session::Parameters,
}

impl Analyst {
    /// Plans a query that may name the parameters of the models (`$as_of`, `$currency`, `$default_margin_rate`).
    ///
    /// # Errors
    /// DataFusion's own, with the place in the text; anything that would write is refused.
    pub async fn query(&self, sql: &str) -> datafusion::error::Result<DataFrame> {
        let planned = session::read_only(&self.session, sql).await?;
        let names = planned.logical_plan().get_parameter_names()?;
        if names.is_empty() {
            return Ok(planned);
        }
        planned.with_param_values(self.parameters.clone())
    }
}
