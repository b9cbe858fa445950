//! Retention and churn of customers between two adjacent windows, with the counts behind them.

use stats::proportion::{complement, wilson};

use super::{Scope, Sums, WINDOW_QUESTIONED};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let (base, retained) = (sums.count("base")?, sums.count("retained")?);
    let share = wilson(retained, base);
    let customers = sums.integer("base")?;
    let row = |metric| Row::new("kpi", metric, "share", "wilson").window("T3M").of(customers, customers);
    let mut rows = vec![
        row("retention").statistic(share, scope.guard(PROPORTION))?,
        row("churn").statistic(share.map(complement), scope.guard(PROPORTION))?,
    ];
    for (metric, customers) in [
        ("retained_customers", sums.integer("retained")?),
        ("churned_customers", sums.integer("base")? - sums.integer("retained")?),
        ("new_customers", sums.integer("new")?),
        ("reactivated_customers", sums.integer("reactivated")?),
    ] {
        let row = Row::new("kpi", metric, "count", "census").window("T3M").of(None, customers);
        rows.push(row.census(customers as f64));
    }
    let buys_seldom = sums.integer("buys_seldom")? == 1;
    let questioned = |row: Row| if buys_seldom { row.flag(WINDOW_QUESTIONED) } else { row };
    Ok(rows.into_iter().map(|row| questioned(scope.needs(6, row))).collect())
}
