//! How much of the business is heard: customers and revenue with an answer behind them.

use super::{Scope, Sums, more_concentrated};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Money;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let (active, covered) = (sums.integer("active")?, sums.integer("covered")?);
    let row = |metric| Row::new("quality", metric, "share", "census").window("ALL").of(None, active);
    let (revenue, heard) = (sums.money("revenue")?, sums.money("covered_revenue")?);
    // Beside revenue, the share tells what those spent who answered, and what the others did.
    let few = scope.fewest(scope.fewest(active, covered), sums.integer("others")?);
    let concentration = more_concentrated(sums.concentration("covered_revenue")?, sums.concentration("other_revenue")?);
    let heard_share = row("revenue_coverage").of(None, few).concentrated(concentration);
    let rows = [
        if active == 0 {
            row("customer_coverage").without(Status::InsufficientN)
        } else {
            row("customer_coverage").census(covered as f64 / active as f64)
        },
        if revenue <= Money::default() {
            heard_share.without(Status::Degenerate)
        } else {
            heard_share.census(heard.to_f64() / revenue.to_f64())
        },
    ];
    Ok(rows.map(|row| scope.needs(12, row)).into())
}
