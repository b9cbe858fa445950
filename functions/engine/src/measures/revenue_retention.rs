//! Net and gross revenue retention, and the growth of customers active in both windows.

use stats::ratio::{RatioSums, ratio};

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (metric, part, customers, base) in [
        ("nrr", "net", "customers", "net_base"),
        ("grr", "gross", "customers", "net_base"),
        ("constant_customer_growth", "constant", "constant_customers", "constant_base"),
    ] {
        let result = ratio(&RatioSums {
            customers: sums.count(customers)?,
            numerator: sums.money(&format!("{part}_revenue"))?.to_f64(),
            denominator: sums.money(&format!("{part}_base"))?.to_f64(),
            residual_squares: sums.number(&format!("{part}_residual_squares"))?,
        });
        let customers = sums.integer(customers)?;
        let row = Row::new("kpi", metric, "share", "ratio").window("T6M").of(customers, customers);
        let row = row.concentrated(sums.concentration(base)?);
        let row = if metric == "constant_customer_growth" {
            row.statistic(result.map(|ratio| ratio.shifted(-1.0)), scope.guard(MEAN))?.flag("survivors_only")
        } else {
            row.statistic(result, scope.guard(MEAN))?
        };
        rows.push(scope.needs(12, row));
    }
    Ok(rows)
}
