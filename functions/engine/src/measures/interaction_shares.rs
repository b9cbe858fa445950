//! Shares of answers, tasks and contacts: Wilson's interval on the rows that are left after repeats by the same customer.

use stats::proportion::wilson_clustered;

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{PROPORTION, Row};

/// The metrics, with the score that each is about.
const METRICS: [(&str, Option<&str>); 6] = [
    ("csat_top2", Some("csat")),
    ("ces_top3", Some("ces")),
    ("task_success", None),
    ("task_error", None),
    ("task_abandonment", None),
    ("escalation_rate", None),
];

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (metric, score) in METRICS {
        let scores = sums.of(metric)?.scores("customers")?;
        let row = |metric, unit| {
            let row = Row::new("kpi", metric, unit, "wilson").window("T3M").of(scores.responses, scores.customers);
            Row { score, ..row }
        };
        let result = wilson_clustered(&scores);
        let share = result.map(|(share, _)| share);
        rows.push(scope.needs(3, row(metric, "share").statistic(share, scope.guard(PROPORTION))?));
        if metric == "csat_top2" {
            let effect = row("design_effect", "ratio");
            rows.push(scope.needs(
                3,
                match result {
                    Ok((_, ratio)) => effect.census(ratio),
                    Err(undefined) => effect.statistic(Err(undefined), None)?,
                },
            ));
        }
    }
    Ok(rows)
}
