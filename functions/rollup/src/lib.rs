//! Lambda: the raw rows of one month become its facts.

use engine::{Function, Month, Result};
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
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The month.
    pub month: Month,
    /// Raw rows in it.
    pub rows: u64,
}

/// Makes the facts of the month, unless they are there.
///
/// # Errors
/// Those of [`engine::Engine::make_facts`].
pub async fn handle(request: Request, function: &Function) -> Result<Response> {
    let engine = function.open().await?;
    let now = engine.work(&request.plan).await?.now;
    let record = engine.make_facts(request.month, now).await?;
    let rows = record.sources.values().map(|counts| counts.rows).sum();
    tracing::info!(month = %request.month, rows, "facts are there");
    Ok(Response { month: request.month, rows })
}
