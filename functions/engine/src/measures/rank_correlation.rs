//! Whether customers who answer higher spend more later, by rank, which no large amount can decide alone: grade E.

use stats::correlation::PairSums;

use super::panel::HISTORY;
use super::{SCORES, Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};

/// Customers.
const CORRELATION: f64 = 50.0;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let found = sums.each()?;
    for score in SCORES {
        let mut ranks = PairSums::default();
        for row in &found {
            if row.text("score")?.as_deref() == Some(score) {
                ranks = PairSums::of(&row.numbers("products")?).map_err(|_| row.unknown("products"))?;
            }
        }
        let row = Row::new("association", "spearman", "correlation", "bonett_wright").score(score).graded("E");
        let row = Row { outcome: Some("revenue_6m"), ..row }.of(ranks.n as i64, ranks.n as i64);
        let row = if scope.guards && ranks.n < CORRELATION {
            row.without(Status::InsufficientN)
        } else {
            row.statistic(ranks.spearman(), None)?
        };
        rows.push(scope.needs(HISTORY, row));
    }
    Ok(rows)
}
