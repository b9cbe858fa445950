//! How long customers go on to buy after an answer, by its band, and whether the bands differ.

use stats::survival::{Lifetimes, log_rank};
use stats::{Estimate, Undefined};

use super::{Scope, Sums, WINDOW_QUESTIONED};
use crate::error::Result;
use crate::estimates::{BANDS, Row, Status};

/// Customers at risk: below it the curve stops.
const AT_RISK: u64 = 30;
/// Customers of a band who left, for a test of the bands against each other.
const EVENTS: u64 = 10;
/// The months of a curve, of which those with fewer at risk have no value.
const MONTHS: u32 = 12;
/// The first answer counts from the fourth month of history.
const FIRST_ANSWER: i32 = 4;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut bands = BANDS.map(|_| Lifetimes::default());
    for row in sums.each()? {
        let band = row.text("band")?;
        let lifetimes = bands.iter_mut().zip(BANDS).find(|(_, name)| band.as_deref() == Some(*name));
        let (lifetimes, _) = lifetimes.ok_or_else(|| row.unknown("band"))?;
        let months = u32::try_from(row.integer("months")?).map_err(|_| row.unknown("months"))?;
        lifetimes.add(months, row.count("ended")?, row.count("censored")?);
    }
    let buys_seldom = sums.integer("buys_seldom")? == 1;
    let row = |metric, unit, method| Row::new("survival", metric, unit, method).score("nps").graded("E");
    let mut rows = Vec::new();
    for (band, lifetimes) in BANDS.into_iter().zip(&bands) {
        for month in 1..=MONTHS {
            let at_risk = lifetimes.at_risk(month);
            let row = Row { band: Some(band), lag: Some(month.cast_signed()), ..row("km", "share", "kaplan_meier") };
            let row = row.of(at_risk.cast_signed(), lifetimes.at_risk(0).cast_signed());
            rows.push(if at_risk < scope.least(AT_RISK) {
                row.without(Status::InsufficientN)
            } else {
                row.statistic(lifetimes.survival(month), None)?
            });
        }
    }
    let ended: u64 = bands.iter().map(Lifetimes::ended).sum();
    let followed: u64 = bands.iter().map(|band| band.at_risk(0)).sum();
    let smallest = bands.iter().map(|band| band.at_risk(0)).min().unwrap_or(0);
    let enough = bands.iter().all(|band| band.ended() >= scope.least(EVENTS));
    let test = log_rank(&bands).map(|test| Estimate {
        df: Some(test.df),
        p: Some(test.p),
        ..Estimate::census(test.chi_squared)
    });
    let test = if enough { test } else { Err(Undefined::EmptyBase) };
    let row_of_test = row("logrank", "chi2", "logrank").of(followed.cast_signed(), smallest.cast_signed());
    rows.push(row_of_test.test(test));
    rows.push(
        row("churn_events", "count", "kaplan_meier")
            .of(followed.cast_signed(), followed.cast_signed())
            .census(ended as f64),
    );
    let questioned = |row: Row| if buys_seldom { row.flag(WINDOW_QUESTIONED) } else { row };
    Ok(rows.into_iter().map(|row| questioned(scope.needs(FIRST_ANSWER + scope.inactivity_months, row))).collect())
}
