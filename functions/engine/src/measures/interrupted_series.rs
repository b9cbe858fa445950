//! What changed for the customers of a programme when it began, where there is nobody to compare them with.

use stats::interrupted_series::{Interruption, Series};
use stats::{Estimate, Undefined};

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};

/// Months before the start and after it.
const BEFORE: u64 = 12;
const AFTER: u64 = 3;

/// The outcomes: the suffix of the metric, the outcome and its unit, the column of its sums, and whether it is by customer.
const OUTCOMES: [(bool, &str, &str, &str, bool); 3] = [
    (false, "revenue", "money/month", "revenue", false),
    (false, "net_value", "money/customer-month", "net_value", true),
    (true, "net_value", "money/customer-month", "net_value_raw", true),
];

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for sums in sums.each()? {
        let name = sums.text("initiative")?;
        for (raw, outcome, unit, column, by_customer) in OUTCOMES {
            let row = |metrics: [&'static str; 2], unit, method| {
                let row = Row::new("initiative", metrics[usize::from(raw)], unit, method).graded("D");
                Row { initiative: name.clone(), outcome: Some(outcome), ..row }
            };
            rows.extend(outcome_rows(scope, &sums, (column, by_customer), unit, &row)?);
        }
    }
    Ok(rows)
}

fn outcome_rows(
    scope: &Scope,
    sums: &Sums,
    (column, by_customer): (&str, bool),
    unit: &'static str,
    row: &dyn Fn([&'static str; 2], &'static str, &'static str) -> Row,
) -> Result<Vec<Row>> {
    let (start, after) = (sums.integer("start_month")?, sums.integer("post_from")?);
    let customers = sums.integer(if by_customer { "customers" } else { "customers_in_all" })?;
    let by_month = sums.numbers(column)?;
    let last = by_month.len() as i64 - 1;
    // That of a start which is not on the first day is left out.
    let months = (0_i64..).zip(&by_month).filter(|(month, _)| *month < start || *month >= after);
    let size = if by_customer { customers as f64 } else { 1.0 };
    let months: Vec<(i32, f64)> = months.map(|(month, sum)| (month as i32, sum / size)).collect();
    let n = months.len() as i64;
    let short = start < scope.least(BEFORE) as i64 || last - after + 1 < scope.least(AFTER) as i64;
    let status = match () {
        () if customers == 0 => Some(Status::InsufficientN),
        () if short => Some(Status::InsufficientHistory),
        () => None,
    };
    let series = Series::new(&months, after as i32);
    let fitted =
        |of: fn(&Series) -> Result<Interruption, Undefined>| series.as_ref().map_err(|error| *error).and_then(of);
    let (newey_west, autoregressive) = (fitted(Series::newey_west), fitted(Series::autoregressive));
    let mut rows = Vec::new();
    let mut push = |row: Row, result: Result<Estimate, Undefined>, flag: Option<&'static str>| {
        let row = row.of(n, customers);
        let row = match status {
            Some(status) => row.of(None, None).without(status),
            None => row.statistic(result, None)?,
        };
        rows.push(flag.into_iter().fold(row, Row::flag));
        Ok::<_, crate::Error>(())
    };
    for (method, found, flag) in
        [("newey_west", newey_west, Some("interval_too_narrow")), ("gls_ar1", autoregressive, None)]
    {
        push(row(["its_level", "its_level_raw"], unit, method), found.map(|found| found.level), flag)?;
        push(row(["its_effect", "its_effect_raw"], unit, method), found.map(|found| found.effect), flag)?;
    }
    let lags = row(["its_hac_lag", "its_hac_lag_raw"], "months", "newey_west").of(n, customers);
    rows.push(match (status, &series) {
        (None, Ok(series)) => lags.census(series.lags() as f64),
        (status, _) => lags.of(None, None).without(status.unwrap_or(Status::InsufficientHistory)),
    });
    Ok(rows)
}
