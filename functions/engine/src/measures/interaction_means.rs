//! Means of effort, cost, time and pages: ratios of sums, clustered by customer.

use stats::ratio::ratio;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row, Status};

/// The metrics with their unit and method, and the score that each is about.
const METRICS: [(&str, &str, &str, Option<&str>); 7] = [
    ("ces_mean", "score", "cluster", Some("ces")),
    ("cost_per_contact", "money", "ratio", None),
    ("cost_to_serve", "money", "mean", None),
    ("response_seconds", "seconds", "ratio", None),
    ("task_seconds", "seconds", "ratio", None),
    ("pages_per_session", "pages", "ratio", None),
    ("seconds_per_session", "seconds", "ratio", None),
];

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    // Where no contact has a cost, nobody knows what serving costs.
    let costs_are_known = sums.of_all("cost_per_contact")?.integer("denominator")? > 0;
    let mut rows = Vec::new();
    for (metric, unit, method, score) in METRICS {
        let sums = sums.of(metric)?;
        let row = Row::new("kpi", metric, unit, method)
            .window("T3M")
            .of(sums.integer("denominator")?, sums.integer("customers")?);
        let row = Row { score, ..row }.statistic(ratio(&sums.ratio()?), scope.guard(MEAN))?;
        let row = if unit == "money" { row.concentrated(sums.concentration("numerator")?) } else { row };
        let row = if metric == "cost_to_serve" && !costs_are_known { row.without(Status::InsufficientN) } else { row };
        rows.push(scope.needs(3, row));
    }
    Ok(rows)
}
