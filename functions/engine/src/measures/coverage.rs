//! How much of the business is heard: customers and revenue with an answer behind them.

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Money;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let (active, covered) = (sums.integer("active")?, sums.integer("covered")?);
    let row = |metric| Row::new("quality", metric, "share", "census").window("ALL").of(None, active);
    let (revenue, heard) = (sums.money("revenue")?, sums.money("covered_revenue")?);
    let rows = [
        if active == 0 {
            row("customer_coverage").without(Status::InsufficientN)
        } else {
            row("customer_coverage").census(covered as f64 / active as f64)
        },
        if revenue <= Money::default() {
            row("revenue_coverage").without(Status::Degenerate)
        } else {
            row("revenue_coverage").census(heard.to_f64() / revenue.to_f64())
        },
    ];
    Ok(rows.map(|row| scope.needs(12, row)).into())
}
