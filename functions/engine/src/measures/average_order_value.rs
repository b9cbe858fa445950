//! Net revenue an order: a ratio of sums, clustered by customer.

use stats::ratio::ratio;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let row = Row::new("kpi", "aov", "money", "ratio")
        .window("T3M")
        .of(sums.integer("denominator")?, sums.integer("customers")?)
        .concentrated(sums.concentration("numerator")?);
    Ok(vec![scope.needs(3, row.statistic(ratio(&sums.ratio()?), scope.guard(MEAN))?)])
}
