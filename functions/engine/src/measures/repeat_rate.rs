//! Customers who ordered again within a year.

use stats::proportion::wilson;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let customers = sums.integer("customers")?;
    let share = wilson(sums.count("repeat_customers")?, sums.count("customers")?);
    let row = Row::new("kpi", "repeat_rate", "share", "wilson").window("T12M").of(customers, customers);
    Ok(vec![scope.needs(12, row.statistic(share, scope.guard(PROPORTION))?)])
}
