//! Net revenue and its growth. Everything was counted, so there is no sampling error.

use stats::Undefined;

use super::{Scope, Sums, more_concentrated};
use crate::error::Result;
use crate::estimates::Row;
use crate::rows::Money;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (window, months, amount, customers) in [
        ("MONTH", 1, "revenue_month", "customers_month"),
        ("T3M", 3, "revenue_t3m", "customers_t3m"),
        ("T12M", 12, "revenue_t12m", "customers_t12m"),
    ] {
        let row = Row::new("kpi", "revenue", "money", "census").window(window).of(None, sums.integer(customers)?);
        let row = row.amount(sums.money(amount)?).concentrated(sums.concentration(amount)?);
        rows.push(scope.needs(months, row));
    }
    for (window, months, method, now, before) in [
        ("T3M", 6, "census", "revenue_t3m", "revenue_t3m_before"),
        ("T3M", 15, "census_yoy", "revenue_t3m", "revenue_t3m_year_before"),
        ("T12M", 24, "census", "revenue_t12m", "revenue_t12m_before"),
    ] {
        let row = Row::new("kpi", "revenue_growth", "share", method).window(window);
        // Beside what is spent now, growth tells what was spent before.
        let customers = |revenue: &str| sums.integer(&revenue.replace("revenue", "customers"));
        let row = row.of(None, scope.fewest(customers(now)?, customers(before)?));
        let row = match growth(sums.money(now)?, sums.money(before)?) {
            Ok(growth) => row.census(growth),
            Err(undefined) => row.statistic(Err(undefined), None)?,
        };
        let row = row.concentrated(more_concentrated(sums.concentration(now)?, sums.concentration(before)?));
        let seasonal = (window, method) == ("T3M", "census");
        rows.push(scope.needs(months, if seasonal { row.flag("no_seasonal_control") } else { row }));
    }
    Ok(rows)
}

fn growth(now: Money, before: Money) -> Result<f64, Undefined> {
    match before.cmp(&Money::default()) {
        std::cmp::Ordering::Less => Err(Undefined::NegativeBase),
        std::cmp::Ordering::Equal => Err(Undefined::EmptyBase),
        std::cmp::Ordering::Greater => Ok(now.to_f64() / before.to_f64() - 1.0),
    }
}
