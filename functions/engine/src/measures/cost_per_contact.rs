//! Service cost a contact: a ratio of sums, clustered by customer.

use stats::ratio::{RatioSums, ratio};

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let result = ratio(&RatioSums {
        customers: sums.count("customers")?,
        numerator: sums.money("numerator")?.to_f64(),
        denominator: sums.integer("denominator")? as f64,
        residual_squares: sums.number("residual_squares")?,
    });
    let row = Row::new("kpi", "cost_per_contact", "money", "ratio")
        .window("T3M")
        .of(sums.integer("denominator")?, sums.integer("customers")?);
    Ok(vec![scope.needs(3, row.statistic(result, scope.guard(MEAN))?)])
}
