//! The sources without a time, as a run saw them: immutable objects, so that what was published can be computed again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::contract::{SOURCES, Source};
use crate::encoding::{content_hash, shortened};
use crate::error::{Context, Error, Result};
use crate::models::Model;
use crate::month::Month;
use crate::plan::FACTS_FORMAT;
use crate::rollup::{self, Counts, FactTable, Facts};
use crate::rows::Rows;
use crate::wording::plural;
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
        let staging = engine.models.get(&format!("staging/{}", source.name))?.references()?;
        let taken = of(engine, source, period).await;
        let taken = engine.name_damaged_file(taken, |raw, _| staging.iter().any(|table| table.table() == raw)).await?;
        snapshots.insert(source.name, taken);
    }
    Ok(snapshots)
}

async fn of(engine: &Engine, source: &'static Source, period: Month) -> Result<Snapshot> {
    let name = source.name;
    // What begins after the period is none of its business: a new line of a ledger restates no earlier month.
    let begun = match name {
        "control_totals" => format!("month <= {}", period.0),
        "initiatives" => format!("starts_on < date '{}-01'", period + 1),
        "assignments" => format!(
            "initiative in (select initiative from staging.initiatives where starts_on < date '{}-01')",
            period + 1
        ),
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
    let mut reads = staging.references()?;
    if name == "assignments" {
        // Which programmes have begun.
        reads.extend(engine.models.get("staging/initiatives")?.references()?);
    }
    let reads: Vec<_> = reads.iter().filter_map(|table| engine.lake.sources.get_key_value(table.table())).collect();
    for (name, raw) in &reads {
        for object in &raw.objects {
            versions.push_str(&format!("raw.{name} {}\n", raw.version(object)));
        }
    }
    hasher.update(versions.as_bytes());
    let record = engine.output.join(&format!("snapshots/records/{name}/{}.json", shortened(hasher.finalize())));
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
            "{name}: {} {} the {} of another with different content; keep one of each",
            counts.conflicting,
            plural(counts.conflicting, "row repeats", "rows repeat"),
            source.identity.join(" and ")
        )));
    }
    for (broken, problem) in contradictions(name) {
        let context = || format!("cannot read {name}");
        let sql = format!("select {broken}");
        let found = session::read_only(&session, &sql).await.context(context)?;
        let found = Rows::collect(found).await.context(context)?;
        if found.len() > 0 {
            return Err(Error::Input(format!("{name}: `{}` {problem}", found.text("name", 0)?.unwrap_or_default())));
        }
    }
    let identity = source.identity.join(", ");
    let model = Model {
        name: staging.name.clone(),
        sql: format!("-- grain: {identity}\nselect * from staging.{name} where {begun} order by {identity}"),
        origin: staging.origin.clone(),
    };
    let planned = session::plan_model(&session, &model, &Vec::new()).await?;
    let facts = Facts::collect(&model, planned).await?;
    let key = format!("snapshots/{name}/{}.parquet", content_hash(&facts.bytes));
    let set_aside = rejected::of_dimension(engine, source, &counts).await?;
    for (_, raw) in reads {
        raw.unchanged(&raw.objects).await?;
    }
    let rejected = rejected::put(engine, &set_aside, format!("snapshots/rejected/{name}")).await?;
    let inputs = content_hash(versions.as_bytes());
    let snapshot = Snapshot { table: facts.put(engine, key).await?, inputs, counts, rejected };
    record.put(serde_json::to_vec_pretty(&snapshot).expect("a snapshot is plain data")).await?;
    Ok(snapshot)
}

/// What no source may say, as a query for the names of those that do, and what is said of them.
fn contradictions(source: &str) -> &'static [(&'static str, &'static str)] {
    match source {
        "customers" => &[(
            "segment as name from staging.customers where segment in ('(all)', '(unknown)')",
            "cannot be the name of a segment; rename it in sql/staging/customers.sql",
        )],
        "initiatives" => &[
            (
                "initiative as name from staging.initiatives where ends_on < starts_on",
                "ends before it starts; correct its dates",
            ),
            (
                "initiative as name from staging.initiatives where cost_per_month < 0 or one_off_cost < 0",
                "costs less than nothing; a cost is an amount of 0 or more",
            ),
            (
                "initiative as name from staging.initiatives
                 where target_segment is not null and coalesce(target_channel, target_touchpoint) is not null
                    or target_channel is not null and target_touchpoint is not null",
                "is for more than one of a segment, a channel and a touchpoint; name one, or list its customers in assignments",
            ),
            (
                "initiative as name from staging.initiatives
                 where randomised and coalesce(target_segment, target_channel, target_touchpoint) is not null",
                "is drawn by lot and for all of a segment, channel or touchpoint; list who was drawn in assignments",
            ),
            (
                "initiative as name from staging.initiatives where holdout_share <= 0 or holdout_share >= 1",
                "has a hold-out share that is not between 0 and 1",
            ),
        ],
        "assignments" => &[
            (
                "arm as name from staging.assignments where arm not in ('treated', 'holdout')",
                "is no arm; there are `treated` and `holdout`",
            ),
            (
                "initiative as name from staging.assignments
                 where initiative not in (select initiative from staging.initiatives)",
                "is none of the initiatives; correct its name, or add it there",
            ),
            (
                "initiatives.initiative as name from staging.initiatives as initiatives
                 inner join staging.assignments as assignments on assignments.initiative = initiatives.initiative
                 where coalesce(target_segment, target_channel, target_touchpoint) is not null limit 1",
                "is for all of a segment, channel or touchpoint, so it lists nobody; take out its target, or these rows",
            ),
            (
                "initiatives.initiative as name from staging.initiatives as initiatives
                 inner join staging.assignments as assignments on assignments.initiative = initiatives.initiative
                 where assignments.starts_on < initiatives.starts_on or assignments.starts_on > initiatives.ends_on limit 1",
                "lists a customer whose own start is not within it; correct starts_on in assignments",
            ),
        ],
        _ => &[],
    }
}
