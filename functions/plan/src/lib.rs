//! Lambda: which periods are due, and which months of facts they miss.

use chrono::{DateTime, Utc};
use engine::{Error, Function, Metric, Month, Result};
use serde::{Deserialize, Serialize};

/// A schedule's event.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// The instant that was scheduled, as RFC 3339; the clock's where nobody says.
    pub time: Option<String>,
}

/// What the state machine goes on with.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The key of the work below the output; `None` if nothing is due.
    pub plan: Option<String>,
    /// Months whose facts have to be made, each by a call of `rollup`.
    pub months: Vec<Month>,
    /// Periods to publish.
    #[serde(skip)]
    pub due: usize,
    /// Days since the end of the oldest month that should be out and is not.
    #[serde(skip)]
    pub overdue: i64,
}

impl Response {
    /// What to watch of it.
    pub fn metrics(&self) -> Vec<Metric> {
        vec![("PeriodsDue", self.due as f64, "Count"), ("DaysOverdue", self.overdue as f64, "Count")]
    }
}

/// Looks at the lake and writes down what is due.
///
/// # Errors
/// Those of [`engine::Engine::due`], and [`Error::Input`] for a time that is none.
pub async fn handle(request: Request, function: &Function) -> Result<Response> {
    let now = request.time.as_deref().map_or_else(|| Ok(Utc::now()), instant)?;
    let engine = function.open().await?;
    let overdue = engine.days_overdue(now);
    let Some((key, work)) = engine.schedule(now).await? else {
        return Ok(Response { plan: None, months: Vec::new(), due: 0, overdue });
    };
    let periods: Vec<String> = work.periods.iter().map(ToString::to_string).collect();
    tracing::info!(plan = key, periods = periods.join(" "), months = work.months.len(), "work is due");
    Ok(Response { plan: Some(key), months: work.months, due: periods.len(), overdue })
}

fn instant(text: &str) -> Result<DateTime<Utc>> {
    // An emulator of the scheduler may hand its placeholder over as it is.
    if text == "<aws.scheduler.scheduled-time>" {
        tracing::warn!("the scheduler did not say for when it scheduled this: taking the clock's time");
        return Ok(Utc::now());
    }
    let instant = text.parse().map_err(|_| Error::Input(format!("`{text}` is not a time; write 2025-01-03T06:00:00Z")));
    instant.map(|instant: DateTime<Utc>| instant.min(Utc::now()))
}
