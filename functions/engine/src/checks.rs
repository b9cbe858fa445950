//! What `cxroi check` claims of the lake, each claim with a query for the rows that break it.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use chrono_tz::Tz;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, col};
use futures::TryStreamExt;

use crate::analyst::Analyst;
use crate::contract::{self, SOURCES, Source};
use crate::error::{Context, Result};
use crate::models::Model;
use crate::{Engine, session};

/// A claim about the lake.
#[derive(Debug)]
pub struct Check {
    /// The table or the file of SQL that it is about.
    pub name: String,
    /// What should hold.
    pub claim: String,
    /// A query for the rows that break it.
    pub rows: DataFrame,
    /// Whether such rows may be right, or do no harm: only somebody who knows the source can tell.
    pub is_warning: bool,
    /// A query that gives no row where there is nothing that could break it.
    pub about: DataFrame,
    /// What is missing then, in words.
    pub nothing: &'static str,
    /// A query for what is shown beside it, whether it holds or not.
    pub more: Option<DataFrame>,
}

impl Engine {
    /// What can be checked of the whole lake: for each source, its rows that cannot be read, that are there twice, or that
    /// nobody can tell apart; then every file of `sql/checks` whose sources are configured.
    ///
    /// # Errors
    /// [`Error::Query`](crate::Error::Query) for a check that does not run.
    pub async fn checks(&self, analyst: &Analyst) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        let configured = |name: &str| self.config.lake.contains_key(name);
        for source in SOURCES.iter().filter(|source| configured(source.name)) {
            checks.extend(self.without_zone(analyst, source).await?);
            checks.extend(of_source(analyst, source).await?);
        }
        for model in self.models.layer("checks") {
            let tables = model.references()?;
            let sources: BTreeSet<&str> = tables.iter().map(|table| table.table()).collect();
            let sources: Vec<&str> = sources.into_iter().filter(|name| contract::source(name).is_some()).collect();
            if sources.iter().all(|name| configured(name)) {
                checks.push(of_model(analyst, model, &sources).await?);
            }
        }
        Ok(checks)
    }

    /// Warns of times of a source that name no zone, where the configuration does not say which zone they are of and UTC is
    /// unlikely, as months are not of UTC either.
    async fn without_zone(&self, analyst: &Analyst, source: &Source) -> Result<Vec<Check>> {
        let zone = self.config.timezone;
        let mut checks = Vec::new();
        if !self.config.method.naive_is_assumed || zone == Tz::UTC {
            return Ok(checks);
        }
        let staged = self.view(None).staged(&analyst.session, source).await?;
        for column in source.columns.iter().filter(|column| column.kind == contract::Kind::Instant) {
            let Some(rows) = contract::without_zone(staged.clone(), column.name)? else { continue };
            let claim = format!(
                "Every {} names its zone. Where one does not, set method.naive_timezone (UTC is taken, and months are of {zone}).",
                column.name
            );
            let name = format!("audit.{}", source.name);
            let about = session::read_only(&analyst.session, &format!("select 1 as one from {name}")).await;
            let about = about.context(|| format!("cannot read {}", source.name))?;
            checks.push(Check { name, claim, rows, is_warning: true, about, nothing: "it has no row", more: None });
        }
        Ok(checks)
    }

    /// The first rows of a check's query, and how many there are in all.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) naming a damaged file; [`Error::Query`](crate::Error::Query) for a check that does
    /// not run.
    pub async fn found(&self, name: &str, query: DataFrame, limit: usize) -> Result<(Vec<RecordBatch>, usize)> {
        let reading = async move {
            let (mut first, mut rows) = (Vec::new(), 0);
            let mut batches = query.execute_stream().await?;
            while let Some(batch) = batches.try_next().await? {
                let shown = limit.saturating_sub(rows).min(batch.num_rows());
                if shown > 0 {
                    first.push(batch.slice(0, shown));
                }
                rows += batch.num_rows();
            }
            Ok::<_, DataFusionError>((first, rows))
        };
        let found = session::apart(reading).await.flatten().context(|| format!("cannot check {name}"));
        self.name_damaged_file(found, |_, _| true).await
    }
}

/// Whether the rows of a source can be read, and can be told apart.
async fn of_source(analyst: &Analyst, source: &Source) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let name = format!("audit.{}", source.name);
    let sql = format!(
        "select rejected, count(*) as rows from {name} where rejected is not null group by rejected order by rejected"
    );
    let identified = source.identified();
    let (rows, usable) =
        (format!("select 1 as one from {name}"), format!("select 1 as one from {name} where rejected is null"));
    let with_id = format!("{usable} and {identified}");
    let [no_row, none_usable, no_id] =
        ["it has no row", "it has no row that can be used", "it has no row with an id that can be used"];
    let within = if source.time.is_some() { " within a month" } else { "" };
    let copies = format!("No row with an id is there twice{within}: all but one of such rows are left out.");
    let then = match (source.time, source.name) {
        (Some(_), _) => {
            "of several rows with one id in a month and other content, the first by all columns is used. The same id in \
             another month counts again"
        }
        (None, "customers") => "of several rows with one id and other content, the first by all columns is used",
        (None, _) => "a run refuses them",
    };
    let conflicts = format!("No id has rows that differ{within}: {then}.");
    let mut claims = vec![
        ("Every row can be read.".to_owned(), false, sql, rows, no_row),
        (copies, true, source.repeated("= 1"), with_id.clone(), no_id),
        (conflicts, false, source.repeated("> 1"), with_id, no_id),
    ];
    if source.may_lack_identity() {
        let claim = "No two rows without an id are the same in every column: they may be two of a kind, or one delivered twice. All count.";
        claims.push((claim.to_owned(), true, source.indistinct(), usable, none_usable));
    }
    for (claim, is_warning, sql, about, nothing) in claims {
        let context = || format!("cannot read {}", source.name);
        let rows = session::read_only(&analyst.session, &sql).await.context(context)?;
        let about = session::read_only(&analyst.session, &about).await.context(context)?;
        checks.push(Check { name: name.clone(), claim, rows, is_warning, about, nothing, more: None });
    }
    Ok(checks)
}

/// The claim of a file of `sql/checks`, which reads these sources.
async fn of_model(analyst: &Analyst, model: &Model, sources: &[&str]) -> Result<Check> {
    let told = session::plan_model(&analyst.session, model, &analyst.parameters).await?;
    let context = || model.name.clone();
    // A check may select more than the rows that break its claim, to be shown beside them.
    let (rows, about, nothing, more) = if told.schema().has_column_with_unqualified_name(BREAKS) {
        let of = |condition: Expr| told.clone().filter(condition)?.drop_columns(&[BREAKS]);
        let rows = of(col(BREAKS)).context(context)?;
        let compared = of(col(BREAKS).is_not_null()).context(context)?;
        let more = told.clone().drop_columns(&[BREAKS]).context(context)?;
        (rows, compared, "no row has both sides", Some(more))
    } else {
        let (about, nothing) = match model.name.as_str() {
            "checks/one_currency" => {
                let about = "select 1 as one from audit.sales where rejected is null and currency is not null";
                (about.to_owned(), "no row of sales says its currency")
            }
            _ => (every_one_has_rows(sources), "a source that it reads has no row that can be used"),
        };
        let about = session::read_only(&analyst.session, &about).await.context(context)?;
        (told, about, nothing, None)
    };
    let (name, claim) = (model.name.clone(), model.description());
    Ok(Check { name, claim, rows, is_warning: false, about, nothing, more })
}

/// The column in which a check says which of its rows break the claim. A check without it selects only rows that do.
const BREAKS: &str = "breaks";

/// SQL that gives a row if each of these sources has one that can be used, and none otherwise.
fn every_one_has_rows(sources: &[&str]) -> String {
    let one =
        |source: &&str| format!("(select 1 as one from audit.{source} where rejected is null limit 1) as {source}");
    let all: Vec<String> = sources.iter().map(one).collect();
    let from = if all.is_empty() { String::new() } else { format!(" from {}", all.join(" cross join ")) };
    format!("select 1 as one{from}")
}
