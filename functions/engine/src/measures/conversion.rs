//! Sessions that converted: a ratio of sums, clustered by customer.

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let scores = sums.scores("customers")?;
    let row = Row::new("kpi", "conversion", "share", "ratio").window("T3M").of(scores.responses, scores.customers);
    Ok(vec![scope.needs(3, row.statistic(scores.mean(), scope.guard(MEAN))?)])
}
