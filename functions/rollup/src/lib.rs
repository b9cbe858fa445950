//! Lambda: the raw rows of one month become its facts.

use engine::{Function, Metric, Month, Result};
use serde::{Deserialize, Serialize};

/// One month of the work that is due.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// The key of the work below the output.
    pub plan: String,
    /// The month.
    pub month: Month,
}

/// What was made, or was there already.
#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// The month.
    pub month: Month,
    /// Raw rows in it.
    pub rows: u64,
    /// Bytes of the files that were read for it.
    #[serde(skip)]
    pub bytes: u64,
    /// Of the rows, those that could not be used.
    #[serde(skip)]
    pub rejected_share: f64,
}

impl Response {
    /// What to watch of it.
    pub fn metrics(&self) -> Vec<Metric> {
        vec![
            ("RowsRead", self.rows as f64, "Count"),
            ("BytesRead", self.bytes as f64, "Bytes"),
            ("RejectedShare", self.rejected_share * 100.0, "Percent"),
        ]
    }
}

/// Makes the facts of the month, unless they are there.
///
/// # Errors
/// Those of [`engine::Engine::make_facts`].
pub async fn handle(request: Request, function: &Function) -> Result<Response> {
    let engine = function.open().await?;
    let now = engine.work(&request.plan).await?.now;
    let (record, bytes) = engine.make_facts(request.month, now).await?;
    let rows: u64 = record.sources.values().map(|counts| counts.rows).sum();
    let rejected: u64 = record.sources.values().map(|counts| counts.rejected).sum();
    tracing::info!(month = %request.month, rows, bytes, rejected, "facts are there");
    Ok(Response { month: request.month, rows, bytes, rejected_share: rejected as f64 / rows.max(1) as f64 })
}
