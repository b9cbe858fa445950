//! Customers who answered a survey, of those who were met.

use stats::proportion::wilson;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row, Status};

/// Below this share of answers, or where segments differ by more than this factor, scores may not speak for everybody.
const LOW_SHARE: f64 = 0.1;
const UNEVEN: f64 = 2.0;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let customers = sums.integer("customers")?;
    let row = Row::new("kpi", "response_rate", "share", "wilson").window("T3M");
    if sums.integer("only_answers")? == 1 {
        // All of those who answered did answer: that is no rate.
        let mut row = row.without(Status::NotApplicable);
        row.flags.push("only_answers");
        return Ok(vec![scope.needs(3, row)]);
    }
    let row = row.of(customers, customers);
    let row = row.statistic(wilson(sums.count("answered")?, sums.count("customers")?), scope.guard(PROPORTION))?;
    let uneven = sums.number("highest_share")? > UNEVEN * sums.number("lowest_share")?;
    let risky = customers > 0 && (sums.number("share")? < LOW_SHARE || uneven);
    Ok(vec![scope.needs(3, if risky { row.flag("nonresponse_risk") } else { row })])
}
