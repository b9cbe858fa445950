//! Customers who came back for another category than that of their first order.

use stats::proportion::wilson;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row, Status};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let customers = sums.integer("customers")?;
    let row = Row::new("kpi", "multi_category_rate", "share", "wilson").window("ALL").of(customers, customers);
    if customers > 0 && sums.count("categories")? == 0 {
        return Ok(vec![row.of(None, None).without(Status::NotApplicable)]);
    }
    let share = wilson(sums.count("multi_category_customers")?, sums.count("customers")?);
    Ok(vec![row.statistic(share, scope.guard(PROPORTION))?])
}
