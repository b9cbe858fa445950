//! Customer acquisition cost: the mean over the customers acquired in a year.

use stats::ratio::ratio;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let customers = sums.integer("customers")?;
    let row = Row::new("kpi", "cac", "money", "mean").window("T12M").of(customers, customers);
    Ok(vec![scope.needs(12, row.statistic(ratio(&sums.ratio()?), scope.guard(MEAN))?)])
}
