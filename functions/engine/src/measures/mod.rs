//! The measures. Each lives in two rooms of the same name: `sql/measures/<name>.sql` makes the sums, the module here
//! finishes them with `stats`.

mod bridge;
mod cost_per_contact;
mod nps;
mod retention;
mod revenue;
mod revenue_retention;

use datafusion::prelude::SessionContext;

use crate::Engine;
use crate::error::{Context, Result};
use crate::estimates::{ALL, Guard, Row, Status};
use crate::month::Month;
use crate::rows::{Money, Rows};
use crate::session;

type Finish = fn(&Scope, &Sums) -> Result<Vec<Row>>;

/// A measure: the name of both its rooms, the feed that it needs, and what finishes it.
const MEASURES: &[(&str, &str, Finish)] = &[
    ("nps", "interactions", nps::finish),
    ("revenue", "sales", revenue::finish),
    ("bridge", "sales", bridge::finish),
    ("revenue_retention", "sales", revenue_retention::finish),
    ("retention", "sales", retention::finish),
    ("cost_per_contact", "interactions", cost_per_contact::finish),
];

/// Runs every measure on the session's facts, `history` months of which end with the reported one.
pub(crate) async fn all(engine: &Engine, period: Month, history: i32, session: &SessionContext) -> Result<Vec<Row>> {
    let scope = Scope { history, guards: engine.config.guards };
    let parameters = session::parameters(&engine.config, Some(period));
    let mut rows = Vec::new();
    for (name, feed, finish) in MEASURES {
        let model = engine.models.get(&format!("measures/{name}"))?;
        let planned = session::plan_model(session, model, &parameters).await?;
        let context = || format!("sql/{}.sql ({})", model.name, model.origin);
        let sums = Rows::collect(planned).await.context(context)?;
        let applicable = engine.config.lake.contains_key(*feed);
        let mut segments = Vec::new();
        for row in 0..sums.len() {
            segments.push(Sums {
                rows: &sums,
                row: Some(row),
                segment: sums.text("segment", row)?.unwrap_or_default(),
            });
        }
        if !segments.iter().any(|sums| sums.segment == ALL) {
            segments.push(Sums { rows: &sums, row: None, segment: ALL.to_owned() });
        }
        for sums in &segments {
            let finished = finish(&scope, sums)?.into_iter().map(|row| row.segment(&sums.segment));
            rows.extend(
                finished.map(|row| if applicable { row } else { row.of(None, None).without(Status::NotApplicable) }),
            );
        }
    }
    Ok(rows)
}

/// What every measure has to know of the run.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Months from the start of history to the reported one, both counted.
    history: i32,
    guards: bool,
}

impl Scope {
    fn guard(&self, guard: Guard) -> Option<Guard> {
        self.guards.then_some(guard)
    }

    /// The row, or its status if it looks further back than history goes.
    fn needs(&self, months: i32, row: Row) -> Row {
        if self.history < months { row.of(None, None).without(Status::InsufficientHistory) } else { row }
    }
}

/// The sums of one segment; zeros where the segment has no row.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    rows: &'a Rows,
    row: Option<usize>,
    segment: String,
}

impl Sums<'_> {
    fn integer(&self, name: &str) -> Result<i64> {
        self.row.map_or(Ok(0), |row| self.rows.integer(name, row))
    }

    fn count(&self, name: &str) -> Result<u64> {
        self.row.map_or(Ok(0), |row| self.rows.count(name, row))
    }

    fn money(&self, name: &str) -> Result<Money> {
        self.row.map_or(Ok(Money::default()), |row| self.rows.money(name, row))
    }

    fn number(&self, name: &str) -> Result<f64> {
        Ok(self.row.map_or(Ok(None), |row| self.rows.number(name, row))?.unwrap_or(0.0))
    }
}
