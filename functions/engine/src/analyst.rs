//! A read-only session for questions asked by hand: over the configured lake with what was made of it, or over any files.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::error::{Result, suggestion};
use crate::lake::{Lake, ObjectTable};
use crate::plan::Plan;
use crate::rollup::Record;
use crate::store::Stores;
use crate::{Engine, report, session};

/// A read-only SQL session over everything.
pub struct Analyst {
    pub(crate) session: SessionContext,
    pub(crate) parameters: session::Parameters,
}

impl Analyst {
    /// Plans a query that may name the parameters of the models (`$as_of`, `$currency`, ...).
    ///
    /// # Errors
    /// DataFusion's own, with the place in the text; for a table that does not exist, one that names the nearest that does. A
    /// query that would write is refused.
    pub async fn query(&self, sql: &str) -> datafusion::error::Result<DataFrame> {
        let planned = session::read_only(&self.session, sql).await.map_err(|error| self.of_table(error))?;
        let names = planned.logical_plan().get_parameter_names()?;
        if names.is_empty() {
            return Ok(planned);
        }
        planned.with_param_values(self.parameters.clone())
    }

    /// Puts an error about a table that does not exist into the words of this session, and leaves any other as it is.
    fn of_table(&self, error: DataFusionError) -> DataFusionError {
        let text = error.strip_backtrace();
        let missing = text.split_once("table 'datafusion.").and_then(|(_, rest)| rest.split_once("' not found"));
        let Some((missing, _)) = missing else { return error };
        let catalog = self.session.catalog("datafusion").expect("the default catalog");
        let mut tables = Vec::new();
        for schema in catalog.schema_names() {
            let names = catalog.schema(&schema).map(|schema| schema.table_names()).unwrap_or_default();
            tables.extend(names.into_iter().map(|name| format!("{schema}.{name}")));
        }
        tables.sort();
        let is_published = tables.iter().any(|table| table.starts_with("roi."));
        // Without a schema it is looked for in one that has no tables.
        let (schema, name) = missing.split_once('.').unwrap_or_default();
        let alike = tables
            .iter()
            .find(|table| schema == "public" && table.split_once('.').is_some_and(|(_, known)| known == name));
        let hint = match alike {
            _ if schema == "roi" && !is_published => {
                "; nothing is published yet: `cxroi run` publishes a month".to_owned()
            }
            Some(table) => format!("; did you mean `{table}`?"),
            None => suggestion(missing, tables.iter().map(String::as_str)),
        };
        DataFusionError::Plan(format!("table '{}' not found{hint}", missing.trim_start_matches("public.")))
    }
}

impl Engine {
    /// A session for ad hoc questions: `raw`, `audit`, `staging`, `facts` (finished months) and `roi` (published). With it comes
    /// the plan of a run, or why there is none. Without a plan the session has no facts, but it is there all the same: what
    /// keeps a run from being planned may be just what somebody came to look at.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a lake that the contract cannot read.
    pub async fn analyst(&self, now: DateTime<Utc>) -> Result<(Analyst, Result<Plan>)> {
        let session = self.session(self.cores);
        self.view(None).register(&session, |_, _| true).await?;
        let mut parameters = session::parameters(&self.config, None);
        let plan = self.plan(None, now).await;
        if let Ok(plan) = &plan {
            let records: Vec<Record> = plan.months.iter().filter_map(|month| month.record.clone()).collect();
            let look_ahead = plan.look_ahead.as_ref().and_then(|days| days.record.as_ref());
            report::register_facts(self, &session, records.iter().chain(look_ahead)).await?;
            parameters = session::parameters(&self.config, Some(&report::reported(plan, &records)));
            for (model, _) in self.models.windows()?.into_iter().filter(|_| !records.is_empty()) {
                let view = session::plan_model(&session, model, &parameters).await?.into_view();
                session::register(&session, "windows", model.name.trim_start_matches("windows/"), view)?;
            }
        }
        session.register_object_store(&self.output.base(), Arc::clone(self.output.store()));
        for name in ["estimates", "money", "restatements"] {
            let objects = self.output.join(&format!("summaries/{name}")).list().await?;
            let objects: Vec<_> =
                objects.into_iter().filter(|object| object.location.as_ref().ends_with(".parquet")).collect();
            let Some(first) = objects.first() else { continue };
            let schema = report::written_schema(self, first).await?;
            let table = ObjectTable::of(self.output.base(), schema, objects);
            session::register(&session, "roi", name, Arc::new(table))?;
        }
        Ok((Analyst { session, parameters }, plan))
    }
}

/// A read-only session over files of any shape, as `raw.<name>`.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for a file that cannot be read.
pub async fn explore(sources: &BTreeMap<String, url::Url>, stores: &Stores) -> Result<Analyst> {
    let runtime = session::runtime(None)?;
    let lake = Lake::open(sources.clone(), stores, &runtime).await?;
    let session =
        session::new(&runtime, std::thread::available_parallelism().map_or(1, usize::from), session::BATCH_ROWS);
    for (base, store) in &lake.stores {
        session.register_object_store(base, Arc::clone(store));
    }
    for (name, raw) in &lake.sources {
        session::register(&session, "raw", name, Arc::new(raw.table(&raw.objects)))?;
    }
    Ok(Analyst { session, parameters: Vec::new() })
}
