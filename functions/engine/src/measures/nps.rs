//! Net promoter score and its change: promoters less detractors, in points, clustered by customer.

use stats::ratio::{CrossSums, ScoreSums, difference};

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let now = score(sums, "customers_now", "")?;
    let before = score(sums, "customers_before", "_before")?;
    let cross = CrossSums {
        customers: sums.integer("customers")?,
        score_score: sums.integer("cross_score_score")?,
        score_responses: sums.integer("cross_score_responses")?,
        responses_score: sums.integer("cross_responses_score")?,
        responses_responses: sums.integer("cross_responses_responses")?,
    };
    let row = |metric, window, n, customers| {
        Row::new("kpi", metric, "points", "cluster").window(window).score("nps").of(n, customers)
    };
    let points = |result: Result<stats::Estimate, stats::Undefined>| result.map(|estimate| estimate.scaled(100.0));
    let guard = scope.guard(MEAN);
    Ok(vec![
        scope.needs(3, row("nps", "T3M", now.responses, now.customers).statistic(points(now.mean()), guard)?),
        scope.needs(
            6,
            row("nps", "T3M_prev", before.responses, before.customers).statistic(points(before.mean()), guard)?,
        ),
        scope.needs(
            6,
            row("nps_change", "T3M", now.responses + before.responses, cross.customers)
                .statistic(points(difference(&now, &before, &cross)), guard)?,
        ),
    ])
}

fn score(sums: &Sums, customers: &str, window: &str) -> Result<ScoreSums> {
    let sum = |name: &str| sums.integer(&format!("{name}{window}"));
    Ok(ScoreSums {
        customers: sums.integer(customers)?,
        score: sum("score")?,
        responses: sum("responses")?,
        score_squares: sum("score_squares")?,
        score_responses: sum("score_responses")?,
        responses_squares: sum("responses_squares")?,
    })
}
