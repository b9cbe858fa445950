//! The customers as a run saw them: one immutable object, so that what was published can be computed again.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::contract;
use crate::error::{Context, Error, Result};
use crate::models::Model;
use crate::plan::FACTS_FORMAT;
use crate::rollup::{self, Counts, FactTable, Facts};
use crate::{Engine, session};

/// The customers of a run. Empty for a lake without them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The object, by content.
    pub table: Option<FactTable>,
    /// What became of the source's rows.
    pub counts: Option<Counts>,
}

/// Takes the snapshot, or finds the one that was taken of the same objects.
pub(crate) async fn take(engine: &Engine) -> Result<Snapshot> {
    let source = contract::source("customers").expect("a source of the contract");
    if !engine.config.lake.contains_key(source.name) {
        return Ok(Snapshot::default());
    }
    let staging = engine.models.get("staging/customers")?;
    let mut hasher = blake3::Hasher::new();
    let Config { timezone, method, .. } = engine.config.as_ref();
    let naive = method.naive_timezone;
    hasher.update(format!("format {FACTS_FORMAT}\n{}\n{timezone} {naive}\n", staging.sql).as_bytes());
    let reads = staging.references()?;
    let reads: Vec<_> = reads.iter().filter_map(|table| engine.lake.sources.get_key_value(table.table())).collect();
    for (name, raw) in &reads {
        for object in &raw.objects {
            hasher.update(format!("raw.{name} {}\n", raw.version(object)).as_bytes());
        }
    }
    let record = engine.output.join(&format!("snapshots/records/customers/{}.json", &hasher.finalize().to_hex()[..32]));
    if let Some((bytes, _)) = record.get().await? {
        let damaged =
            |error| Error::Input(format!("{record} is damaged ({error}); delete it, customers are then read again"));
        return serde_json::from_slice(&bytes).map_err(damaged);
    }

    let (session, mut counts) =
        rollup::counted(engine, engine.view(None), engine.cores, vec![source], |_, _| true).await?;
    let reserved = "select count(*) as rows from staging.customers where segment in ('(all)', '(unknown)')";
    let context = || "cannot read customers".to_owned();
    let reserved = session::read_only(&session, reserved).await.context(context)?;
    if crate::rows::Rows::collect(reserved).await.context(context)?.count("rows", 0)? > 0 {
        return Err(Error::Input(
            "customers: `(all)` and `(unknown)` cannot be names of segments; rename them in sql/staging/customers.sql"
                .to_owned(),
        ));
    }
    let model = Model {
        name: staging.name.clone(),
        sql: "-- grain: customer_id\nselect * from staging.customers order by customer_id".to_owned(),
        origin: staging.origin.clone(),
    };
    let planned = session::plan_model(&session, &model, &Vec::new()).await?;
    let customers = Facts::collect(&model, planned).await?;
    for (_, raw) in reads {
        raw.unchanged(&raw.objects).await?;
    }
    let key = format!("snapshots/customers/{}.parquet", rollup::content(&customers.bytes));
    let snapshot = Snapshot { table: Some(customers.put(engine, key).await?), counts: counts.remove(source.name) };
    record.put(serde_json::to_vec_pretty(&snapshot).expect("a snapshot is plain data")).await?;
    Ok(snapshot)
}
