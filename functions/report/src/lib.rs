//! Lambda: facts become published numbers.

use std::collections::BTreeMap;

use engine::schedule::Work;
use engine::{Error, Function, Metric, Month, Result};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing::field::Empty;

/// How often a period is tried that another writer publishes meanwhile.
const TRIES: usize = 3;

/// The work that is due.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// The key of the work below the output.
    pub plan: String,
}

/// What became of each period.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// Oldest first.
    pub periods: Vec<Publication>,
}

impl Response {
    /// What to watch of it.
    pub fn metrics(&self) -> Vec<Metric> {
        let statuses = || self.periods.iter().flat_map(|period| &period.statuses);
        let count = |known: bool| -> f64 {
            let of = statuses().filter(|(status, _)| (**status == "ok") == known);
            of.map(|(_, count)| *count as f64).sum()
        };
        let published = self.periods.iter().filter(|period| period.published).count();
        vec![
            ("PeriodsPublished", published as f64, "Count"),
            ("NumbersKnown", count(true), "Count"),
            ("NumbersWithoutValue", count(false), "Count"),
        ]
    }
}

/// What is visible of a period now.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// The period.
    pub period: Month,
    /// Its number.
    pub seq: u64,
    /// The run.
    pub run_id: String,
    /// Whether this call published it; the same numbers were out already if not.
    pub published: bool,
    /// How many numbers have which status, where it did.
    #[serde(skip)]
    pub statuses: BTreeMap<&'static str, usize>,
}

/// Marks the periods that keep their numbers though inputs moved, and publishes each period of the work, oldest first.
///
/// # Errors
/// Those of [`engine::Engine::run`], of the first period that fails; those before it stay published.
pub async fn handle(request: Request, function: &Function) -> Result<Response> {
    let engine = function.open().await?;
    let work = engine.work(&request.plan).await?;
    // First, as those that are published say it of an earlier month that they compare with.
    engine.mark_stale(&work.keep, work.now).await?;
    let mut periods = Vec::new();
    for period in &work.periods {
        // The run says which it is as soon as it knows.
        let span = tracing::info_span!("period", plan = request.plan, %period, run_id = Empty);
        periods.extend(publish(*period, &work, function).instrument(span).await?);
    }
    Ok(Response { periods })
}

/// Publishes a period, unless it has nothing new to say or was closed meanwhile.
async fn publish(period: Month, work: &Work, function: &Function) -> Result<Option<Publication>> {
    let mut tries = 1;
    if !function.open().await?.is_due(period, work.now, &|_| {}).await? {
        tracing::info!("files of the period were written again, and hold what they held");
        return Ok(None);
    }
    let outcome = loop {
        match function.open().await?.run(Some(period), work.now, &|_| {}).await {
            Err(Error::Conflict(_)) if tries < TRIES => tries += 1,
            outcome => break outcome,
        }
    };
    // Somebody closed it since the plan was made: that is no failure of the others.
    if let Err(Error::Closed { .. }) = outcome {
        tracing::warn!("the period was closed meanwhile and stays as it is");
        return Ok(None);
    }
    let outcome = outcome?;
    let engine::Pointer { seq, run_id, .. } = outcome.pointer;
    tracing::info!(seq, published = outcome.published, "period is published");
    Ok(Some(Publication { period, seq, run_id, published: outcome.published, statuses: outcome.statuses }))
}
