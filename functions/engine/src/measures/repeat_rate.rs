//! Customers who ordered within a year, and those of them who did again.

use stats::proportion::wilson;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let customers = sums.integer("customers")?;
    let share = wilson(sums.count("repeat_customers")?, sums.count("customers")?);
    let row = Row::new("kpi", "repeat_rate", "share", "wilson").window("T12M").of(customers, customers);
    let active = Row::new("kpi", "active_customers", "count", "census").window("T12M").of(customers, customers);
    let rows = [active.census(customers as f64), row.statistic(share, scope.guard(PROPORTION))?];
    Ok(rows.map(|row| scope.needs(12, row)).to_vec())
}
