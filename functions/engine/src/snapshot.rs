//! The sources without a time, as a run saw them: immutable objects, so that what was published can be computed again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::contract::{SOURCES, Source};
use crate::error::{Context, Error, Result};
use crate::models::Model;
use crate::month::Month;
use crate::plan::FACTS_FORMAT;
use crate::rollup::{self, Counts, FactTable, Facts};
use crate::rows::Rows;
use crate::{Engine, rejected, session};

/// One source of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The object, by content.
    pub table: FactTable,
    /// The objects that it is made from with their versions, as one hash.
    pub inputs: String,
    /// What became of the source's rows.
    pub counts: Counts,
    /// The rows that were set aside, with file and reason; `None` if there are none.
    pub rejected: Option<FactTable>,
}

/// The snapshots of a run by source: those that are configured.
pub type Snapshots = BTreeMap<&'static str, Snapshot>;

/// Takes the snapshots for a period, or finds those that were taken of the same objects.
pub(crate) async fn take(engine: &Engine, period: Month) -> Result<Snapshots> {
    let mut snapshots = BTreeMap::new();
    for source in SOURCES.iter().filter(|source| source.is_dimension() && engine.config.lake.contains_key(source.name))
    {
        snapshots.insert(source.name, of(engine, source, period).await?);
    }
    Ok(snapshots)
}

async fn of(engine: &Engine, source: &'static Source, period: Month) -> Result<Snapshot> {
    let name = source.name;
    // What begins after the period is none of its business: a new line of a ledger restates no earlier month.
    let begun = match name {
        "control_totals" => format!("month <= {}", period.0),
        "initiatives" => format!("starts_on < date '{}-01'", period + 1),
        _ => "true".to_owned(),
    };
    let staging = engine.models.get(&format!("staging/{name}"))?;
    let mut hasher = blake3::Hasher::new();
    let Config { timezone, method, .. } = engine.config.as_ref();
    let naive = method.naive_timezone;
    hasher.update(
        format!(
            "format {FACTS_FORMAT}\n{}\n{begun}\n{timezone} {naive} {}\n",
            staging.sql,
            chrono_tz::IANA_TZDB_VERSION
        )
        .as_bytes(),
    );
    let mut versions = String::new();
    let reads = staging.references()?;
    let reads: Vec<_> = reads.iter().filter_map(|table| engine.lake.sources.get_key_value(table.table())).collect();
    for (name, raw) in &reads {
        for object in &raw.objects {
            versions.push_str(&format!("raw.{name} {}\n", raw.version(object)));
        }
    }
    hasher.update(versions.as_bytes());
    let record = engine.output.join(&format!("snapshots/records/{name}/{}.json", &hasher.finalize().to_hex()[..32]));
    if let Some((bytes, _)) = record.get().await? {
        let damaged =
            |error| Error::Input(format!("{record} is damaged ({error}); delete it, {name} are then read again"));
        return serde_json::from_slice(&bytes).map_err(damaged);
    }

    let (session, mut counts) =
        rollup::counted(engine, engine.view(None), engine.cores, vec![source], |_, _| true).await?;
    let counts = counts.remove(name).expect("counted above");
    // Of two customers with one id, one stays and the other is counted; a programme or a ledger has no second version.
    if name != "customers" && counts.conflicting > 0 {
        return Err(Error::Input(format!(
            "{name}: {} rows repeat a {} with different content; keep one of each",
            counts.conflicting,
            source.identity.join(", ")
        )));
    }
    let (sql, problem) = match name {
        "customers" => (
            "select segment as name from staging.customers where segment in ('(all)', '(unknown)')",
            "cannot be the name of a segment; rename it in sql/staging/customers.sql",
        ),
        "initiatives" => (
            "select initiative as name from staging.initiatives where ends_on < starts_on",
            "ends before it starts; correct its dates",
        ),
        _ => ("select '' as name where false", ""),
    };
    let context = || format!("cannot read {name}");
    let found = session::read_only(&session, sql).await.context(context)?;
    let found = Rows::collect(found).await.context(context)?;
    if found.len() > 0 {
        return Err(Error::Input(format!("{name}: `{}` {problem}", found.text("name", 0)?.unwrap_or_default())));
    }
    let identity = source.identity.join(", ");
    let model = Model {
        name: staging.name.clone(),
        sql: format!("-- grain: {identity}\nselect * from staging.{name} where {begun} order by {identity}"),
        origin: staging.origin.clone(),
    };
    let planned = session::plan_model(&session, &model, &Vec::new()).await?;
    let facts = Facts::collect(&model, planned).await?;
    let key = format!("snapshots/{name}/{}.parquet", rollup::content(&facts.bytes));
    let set_aside = rejected::of_dimension(engine, source, &counts).await?;
    for (_, raw) in reads {
        raw.unchanged(&raw.objects).await?;
    }
    let rejected = rejected::put(engine, &set_aside, format!("snapshots/rejected/{name}")).await?;
    let inputs = rollup::content(versions.as_bytes());
    let snapshot = Snapshot { table: facts.put(engine, key).await?, inputs, counts, rejected };
    record.put(serde_json::to_vec_pretty(&snapshot).expect("a snapshot is plain data")).await?;
    Ok(snapshot)
}
