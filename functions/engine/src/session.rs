//! What SQL can see: the schemas `raw`, `audit`, `staging`, `facts`, `windows` and `roi`, the functions, and the limits.

use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, ScalarValue, TableReference, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::errors::ParquetError;
use tracing::Instrument;

use crate::asked;
use crate::config::Config;
use crate::contract::{self, SOURCES, Source};
use crate::error::{Context, Result};
use crate::exact_sum::{exact_products, exact_sum};
use crate::lake::Lake;
use crate::models::{Model, Models};
use crate::month::Month;
use crate::object::InputObject;
use crate::pair_sums::{list_products, list_sums, pair_sums};
use crate::series::{
    monthly_series, moving_sums, numbers, series_capped, series_change, series_difference, series_first, series_gap,
    series_last, series_moments, series_ratio, series_sums, series_total,
};

/// The memory pool and the spill files that all queries of a process share.
///
/// # Errors
/// [`Error::Query`] if there is no folder for temporary files.
pub(crate) fn runtime(memory_limit: Option<usize>) -> Result<Arc<RuntimeEnv>> {
    let bytes = memory_limit.unwrap_or_else(|| machine_memory() / 10 * 6);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(
            FairSpillPool::new(bytes),
            NonZeroUsize::new(3).expect("three is not zero"),
        )))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory))
        .with_object_list_cache_limit(0)
        .build_arc()
        .context(|| "cannot set up the query engine".to_owned())
}

/// Memory of the machine, or of the container if that is less.
fn machine_memory() -> usize {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    usize::try_from(system.total_memory().min(container)).unwrap_or(usize::MAX)
}

/// Rows that an operator takes at once. DataFusion's 8,192 cost a fifth more time where facts have dozens of columns.
pub(crate) const BATCH_ROWS: usize = 32_768;

/// A session without tables.
pub(crate) fn new(runtime: &Arc<RuntimeEnv>, partitions: usize, batch_rows: usize) -> SessionContext {
    let mut config = SessionConfig::new()
        .with_batch_size(batch_rows)
        .with_target_partitions(partitions)
        .with_information_schema(true);
    config.options_mut().execution.parquet.pushdown_filters = false;
    let session = SessionContext::new_with_config_rt(config, Arc::clone(runtime));
    for aggregate in asked::aggregates() {
        session.register_udaf(aggregate);
    }
    for function in asked::scalars() {
        session.register_udf(function);
    }
    for aggregate in
        [exact_sum(), exact_products(), list_products(), list_sums(), monthly_series(), pair_sums(), series_sums()]
    {
        session.register_udaf(aggregate);
    }
    let functions = [
        moving_sums(),
        numbers(),
        series_capped(),
        series_change(),
        series_difference(),
        series_first(),
        series_gap(),
        series_last(),
        series_moments(),
        series_ratio(),
        series_total(),
    ];
    for function in functions {
        session.register_udf(function);
    }
    let catalog = session.catalog("datafusion").expect("the default catalog");
    for schema in ["raw", "audit", "staging", "facts", "windows", "fitted", "roi"] {
        catalog
            .register_schema(schema, Arc::new(MemorySchemaProvider::new()))
            .expect("the default catalog takes schemas");
    }
    session
}

/// Rows that an operator takes at once where many files are merged: each file has that many in memory.
const MERGED_ROWS: usize = 8_192;

/// The same session, but with all rows of a query in one partition.
pub(crate) fn in_one_partition(session: &SessionContext) -> SessionContext {
    let state = session.state();
    // The tables stay: otherwise an empty catalog would take their place.
    let mut config = state
        .config()
        .clone()
        .with_target_partitions(1)
        .with_batch_size(MERGED_ROWS)
        .with_create_default_catalog_and_schema(false);
    // Sorted files are merged, and not read one after the other, which would lose their order.
    config.options_mut().optimizer.prefer_existing_sort = true;
    // With work stealing, a limit above sorted files loses their order, while the plan still says that they are sorted.
    config.options_mut().execution.enable_file_stream_work_stealing = false;
    SessionContext::new_with_state(SessionStateBuilder::new_from_existing(state).with_config(config).build())
}

/// Runs work in a task of its own. A query of one partition would run where it is polled, and keep others waiting.
///
/// # Errors
/// The error of a damaged file if the task panicked: damaged pages make the Parquet reader panic in places.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> datafusion::error::Result<T> {
    let gave_up = |stopped| ParquetError::General(format!("the reader gave up: {}", said(stopped)));
    Ok(SpawnedTask::spawn(work.in_current_span()).join().await.map_err(gave_up)?)
}

/// What a task said when it panicked.
fn said(stopped: tokio::task::JoinError) -> String {
    let Ok(panic) = stopped.try_into_panic() else { return "it was stopped".to_owned() };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Puts a table into one of the schemas.
pub(crate) fn register(
    session: &SessionContext,
    schema: &str,
    table: &str,
    provider: Arc<dyn TableProvider>,
) -> Result<()> {
    session
        .register_table(TableReference::partial(schema, table), provider)
        .context(|| format!("cannot register {schema}.{table}"))?;
    Ok(())
}

/// Plans a query that can only read.
pub(crate) async fn read_only(session: &SessionContext, sql: &str) -> datafusion::error::Result<DataFrame> {
    /// Bytes of a query. A longer one is no question, and planning it takes memory that nothing bounds.
    const LONGEST: usize = 256 << 10;
    if sql.len() > LONGEST {
        return plan_err!("the query has {} bytes; the longest that is planned has {LONGEST}", sql.len());
    }
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(sql, options).await
}

/// Plans a model with its parameters.
pub(crate) async fn plan_model(session: &SessionContext, model: &Model, parameters: &Parameters) -> Result<DataFrame> {
    let planned =
        read_only(session, &model.sql).await.context(|| format!("sql/{}.sql ({})", model.name, model.origin))?;
    planned.with_param_values(parameters.clone()).context(|| format!("sql/{}.sql ({})", model.name, model.origin))
}

/// The values of the parameters by name.
pub(crate) type Parameters = Vec<(&'static str, ScalarValue)>;

/// What a report is about: `$as_of`, `$history_from` and `$known_until` of the models.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported {
    /// The reported month.
    pub(crate) period: Month,
    /// The first month of complete history.
    pub(crate) history_from: Month,
    /// What happened after this instant is not known, or not looked at.
    pub(crate) known_until: DateTime<Utc>,
}

impl Reported {
    /// Months of history up to the reported one, both counted.
    pub(crate) fn history(&self) -> i32 {
        self.period.0 - self.history_from.0 + 1
    }
}

/// The parameters that models may name; those of a report only exist where there is one.
pub(crate) fn parameters(config: &Config, reported: Option<&Reported>) -> Parameters {
    // Six decimals of a rate are exact in both worlds.
    let rate = |rate: f64| ScalarValue::Decimal128(Some((rate * 1e6).round() as i128), 7, 6);
    let ces_higher_is_better = config.method.scores.iter().all(|score| score.name != "ces" || score.higher_is_better);
    let mut parameters = vec![
        ("currency", ScalarValue::from(config.currency.as_str())),
        ("default_margin_rate", rate(config.method.default_margin_rate)),
        ("winsor_quantile", rate(config.method.winsor_quantile)),
        ("ledger_tolerance", rate(config.method.ledger_tolerance)),
        ("nps_expectation", ScalarValue::from(config.method.expectations[0])),
        ("csat_expectation", ScalarValue::from(config.method.expectations[1])),
        ("ces_expectation", ScalarValue::from(config.method.expectations[2])),
        ("inactivity_months", ScalarValue::from(config.method.inactivity_months)),
        ("ces_higher_is_better", ScalarValue::from(ces_higher_is_better)),
    ];
    if let Some(Reported { period, history_from, known_until }) = reported {
        parameters.extend([
            ("as_of", ScalarValue::from(period.0)),
            ("history_from", ScalarValue::from(history_from.0)),
            ("known_until", contract::instant(*known_until)),
        ]);
    }
    parameters
}

/// Which objects and rows of the lake a session sees.
pub(crate) struct View<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) models: &'a Models,
    pub(crate) config: &'a Config,
    /// Only the rows of this local month, before an instant.
    pub(crate) month: Option<(Month, DateTime<Utc>)>,
    /// Drop second copies of a row. Costs a sort, so a rollup looks first whether there are any.
    pub(crate) unique: bool,
}

impl View<'_> {
    /// Registers `raw.*`, `audit.*` and `staging.*`; `wanted` chooses the objects of a raw source.
    pub(crate) async fn register(
        &self,
        session: &SessionContext,
        wanted: impl Fn(&str, &InputObject) -> bool,
    ) -> Result<()> {
        for (base, store) in &self.lake.stores {
            session.register_object_store(base, Arc::clone(store));
        }
        for (name, raw) in &self.lake.sources {
            let objects = raw.objects.iter().filter(|object| wanted(name, object));
            register(session, "raw", name, Arc::new(raw.table(objects)))?;
        }
        for source in SOURCES {
            if !self.config.lake.contains_key(source.name) {
                register(session, "staging", source.name, Arc::new(EmptyTable::new(contract::schema(source))))?;
                continue;
            }
            let staged = self.staged(session, source).await?;
            let identified =
                source.identity.iter().all(|column| staged.schema().field_with_unqualified_name(column).is_ok());
            let audited = contract::audited(staged, source, self.config, self.month)?;
            register(session, "audit", source.name, audited.clone().into_view())?;
            let clean = self.clean(audited, source, identified).context(|| format!("cannot read {}", source.name))?;
            register(session, "staging", source.name, clean.into_view())?;
        }
        Ok(())
    }

    /// What the staging file of a source selects.
    pub(crate) async fn staged(&self, session: &SessionContext, source: &Source) -> Result<DataFrame> {
        let model = self.models.get(&format!("staging/{}", source.name))?;
        let (state, plan) = plan_model(session, model, &parameters(self.config, None)).await?.into_parts();
        // Until a union is analysed, its columns have the types of its first part, where `null` has none.
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
        let plan = plan.context(|| format!("sql/{}.sql ({})", model.name, model.origin))?;
        Ok(DataFrame::new(state, plan))
    }

    /// The rows that may be used.
    fn clean(&self, audited: DataFrame, source: &Source, identified: bool) -> datafusion::error::Result<DataFrame> {
        let named = |name: &str| Expr::Column(Column::from_name(name));
        let mut rows = audited.filter(named("rejected").is_null())?;
        if source.columns.iter().any(|column| column.name == "consent") {
            rows = rows.filter(named("consent").is_not_false())?;
        }
        let columns: Vec<Expr> = source
            .columns
            .iter()
            .map(|column| column.name)
            .chain(source.months.iter().map(|(_, month)| *month))
            .map(named)
            .collect();
        if identified && self.unique {
            // Of rows with the same identity, the one that sorts first by all columns stays, whatever the file order.
            let order = source.columns.iter().map(|column| named(column.name).sort(true, false)).collect();
            let identity: Vec<Expr> = source.identity.iter().map(|column| named(column)).collect();
            let unidentified =
                identity.iter().map(|column| column.clone().is_null()).reduce(Expr::or).unwrap_or(lit(false));
            let partition = identity.into_iter().chain(source.time.map(|_| named("month"))).collect();
            let copy = row_number().partition_by(partition).order_by(order).build()?.alias("copy");
            rows = rows.window(vec![copy])?.filter(named("copy").eq(lit(1_u64)).or(unidentified))?;
        }
        rows.select(columns)
    }
}

fn has_subquery(expression: &Expr) -> bool {
    let subquery = |part: &Expr| {
        Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
    };
    expression.exists(subquery).unwrap_or(true)
}

/// The raw table of which each row is one row of the staged source, in the same order; `None` if staging does more.
pub(crate) fn row_by_row(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(has_subquery) => {
            row_by_row(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => row_by_row(&alias.input),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() && scan.filters.is_empty() => {
            Some(scan.table_name.table().to_owned())
        }
        _ => None,
    }
}

/// The raw table and the column of it that a column of the staged source is, row by row and unchanged; `None` if
/// staging does more.
pub(crate) fn passes_through(plan: &LogicalPlan, column: &str) -> Option<(String, String)> {
    match plan {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(has_subquery) => {
            let position = projection.schema.index_of_column_by_name(None, column)?;
            match projection.expr[position].clone().unalias_nested().data {
                Expr::Column(column) => passes_through(&projection.input, &column.name),
                _ => None,
            }
        }
        LogicalPlan::SubqueryAlias(alias) => passes_through(&alias.input, column),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() && scan.filters.is_empty() => {
            Some((scan.table_name.table().to_owned(), column.to_owned()))
        }
        _ => None,
    }
}
