//! How scores, and service contacts, go with later revenue, activity and service cost, all else equal: association, never cause
//! (grade E).
//!
//! The placebo is revenue before the answer, which no answer can have moved: what the score "says" of it, it says through
//! lasting differences between customers, and the excess over it is what is left.

use arrow::array::RecordBatch;
use stats::regression::{Fit, Shape, benjamini_hochberg};
use stats::{Estimate, Undefined};

use super::panel::{self, ANSWERS, Fitted, HISTORY, Panel};
use super::{PREDICTORS, Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Rows;

/// The outcomes in the order of the sums: revenue after so many months, and those that are not by lag.
const LAGS: usize = 7;
const OUTCOMES: usize = 10;
const PLACEBO: usize = 7;
const ACTIVE: usize = 8;
const SERVICE_COST: usize = 9;
/// After them comes the mean of six months without caps, of which no errors are summed.
const RAW: usize = OUTCOMES;
const SHAPE: Shape = Shape { controls: 1, focal: 1, outcomes: OUTCOMES + 1 };

/// The outcome that is told without caps, too.
const MEAN_OF_SIX: &str = "revenue_6m";

/// An outcome as a weighted sum of those that the model has.
struct Outcome {
    name: &'static str,
    lag: Option<i32>,
    weights: [f64; OUTCOMES],
    unit: &'static str,
}

fn outcomes() -> Vec<Outcome> {
    let money = "money/customer-month";
    let one = |name, lag, at: usize, unit| {
        let weights = std::array::from_fn(|outcome| if outcome == at { 1.0 } else { 0.0 });
        Outcome { name, lag, weights, unit }
    };
    let mut all: Vec<Outcome> = (0_i32..).zip(0..LAGS).map(|(lag, at)| one("revenue", Some(lag), at, money)).collect();
    all.extend([
        one("placebo", None, PLACEBO, money),
        one("active_6m", None, ACTIVE, "share"),
        one("service_cost_6m", None, SERVICE_COST, money),
    ]);
    for (name, placebo) in [(MEAN_OF_SIX, 0.0), ("excess", -1.0)] {
        let weights = std::array::from_fn(|outcome| match outcome {
            1..LAGS => 1.0 / 6.0,
            PLACEBO => placebo,
            _ => 0.0,
        });
        all.push(Outcome { name, lag: None, weights, unit: money });
    }
    all
}

/// The name of an outcome's columns.
fn column(outcome: usize) -> String {
    match outcome {
        PLACEBO => "placebo".to_owned(),
        ACTIVE => "active_6m".to_owned(),
        SERVICE_COST => "service_cost_6m".to_owned(),
        lag => format!("revenue_{lag}"),
    }
}

/// The coefficients that `association_errors` reads.
pub(crate) fn fitted(sums: &Rows) -> Result<RecordBatch> {
    let columns = ["revenue_unit", "service_cost_unit", "score_unit", "score_prior", "score_fitted"].map(str::to_owned);
    let of_outcome = |outcome| ["slope", "prior", "fitted"].map(|what| format!("{}_{what}", column(outcome)));
    let mut fitted = Fitted::new(ANSWERS, columns.into_iter().chain((0..OUTCOMES).flat_map(of_outcome)));
    for (name, panel) in &Panel::all(sums, ANSWERS)? {
        let Ok(fit) = panel.fit(sums, "products", SHAPE)? else { continue };
        let number = |name| Ok::<_, crate::Error>(sums.number(name, panel.row())?.unwrap_or_default());
        let (mean_score, mean_spend) = (number("mean_score")?, number("mean_spend_before")?);
        let units = [
            panel::unit(sums, "revenue_cap", panel.row())?,
            panel::unit(sums, "service_cost_cap", panel.row())?,
            panel::unit_of_score(sums, "score_unit", panel.row())?,
        ];
        let (score_prior, priors) = (fit.focal_on_control(0)[0], fit.of_control(0));
        fitted.add(name, panel, |levels| {
            // The sums were of numbers less their means, the errors are of the numbers as they are.
            let (score, outcomes) = fit.of_cell(levels);
            let mut numbers = units.to_vec();
            numbers.extend([score_prior, score[0] + mean_score - score_prior * mean_spend]);
            for (outcome, fitted) in outcomes.iter().take(OUTCOMES).enumerate() {
                let (slope, prior) = (fit.slopes[0][outcome], priors[outcome]);
                numbers.extend([slope, prior, fitted - slope * mean_score - prior * mean_spend]);
            }
            numbers
        });
    }
    fitted.table()
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let panels = Panel::all(sums.rows, ANSWERS)?;
    let mut rows = Vec::new();
    for score in PREDICTORS {
        let panel = panels.get(&(score.to_owned(), sums.segment.clone()));
        let errors = sums.errors_where("score", score)?;
        rows.extend(of_score(scope, score, sums.rows, panel, errors)?.into_iter().map(|row| scope.needs(HISTORY, row)));
    }
    Ok(rows)
}

fn of_score(
    scope: &Scope,
    score: &'static str,
    sums: &Rows,
    panel: Option<&Panel>,
    errors: Option<Sums>,
) -> Result<Vec<Row>> {
    let row = |outcome: &Outcome, metric, method| {
        let row = Row::new("association", metric, outcome.unit, method).score(score).graded("E");
        Row { outcome: Some(outcome.name), lag: outcome.lag, ..row }
    };
    // What a unit of money before goes with.
    let prior_row = |outcome: &Outcome| {
        let unit = if outcome.unit == "share" { "share/money" } else { "ratio" };
        Row { unit, ..row(outcome, "slope_prior_spend", "ancova") }
    };
    let raw_row = |outcome: &Outcome| row(outcome, "slope_raw", "ancova");
    let all = outcomes();
    let without = |status: Status| {
        let rows = ["ancova", "ancova_hc1"].into_iter();
        let rows = rows.flat_map(|method| all.iter().map(move |outcome| row(outcome, "slope", method)));
        let raw = all.iter().filter(|outcome| outcome.name == MEAN_OF_SIX).map(raw_row);
        rows.chain(all.iter().map(prior_row)).chain(raw).map(|row| row.without(status)).collect::<Vec<_>>()
    };
    let Some(panel) = panel else { return Ok(without(Status::InsufficientN)) };
    let fit: Fit = match panel.fit(sums, "products", SHAPE)? {
        Ok(fit) => fit,
        Err(Undefined::Collinear) => return Ok(without(Status::Collinear)),
        Err(_) => return Ok(without(Status::InsufficientN)),
    };
    let Some(errors) = errors else { return Ok(without(Status::InsufficientN)) };
    let revenue = panel::unit(sums, "revenue_cap", panel.row())?;
    let service_cost = panel::unit(sums, "service_cost_cap", panel.row())?;
    let point = panel::unit_of_score(sums, "score_unit", panel.row())?;
    let (customers, answers) = (errors.integer("customers")?, errors.integer("answers")?);
    if !panel::is_large(scope.guards, &fit, customers) {
        return Ok(without(Status::InsufficientN).into_iter().map(|row| row.of(answers, customers)).collect());
    }
    let (products, squares) = (errors.numbers("products")?, errors.numbers("squares")?);
    let unit_of = |outcome: &Outcome| {
        let unit = match outcome.name {
            "active_6m" => 1.0,
            "service_cost_6m" => service_cost,
            _ => revenue,
        };
        unit * unit * point * point
    };
    let (mut clustered, mut robust, mut prior, mut raw) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (outcome, by_row) in all.iter().zip(squares) {
        let weighed = |values: &[f64]| -> f64 { outcome.weights.iter().zip(values).map(|(w, value)| w * value).sum() };
        let by_customer: f64 =
            products.chunks(OUTCOMES).zip(outcome.weights).map(|(row, weight)| weight * weighed(row)).sum();
        let slope = fit.clustered_slope(&outcome.weights, by_customer * unit_of(outcome), customers as f64);
        let of = |row: Row| row.of(answers, customers);
        let slope_row = of(row(outcome, "slope", "ancova")).statistic(slope, None)?;
        clustered.push(if outcome.name == MEAN_OF_SIX {
            let values = [slope.ok(), Some(Estimate::census(fit.slopes[0][RAW]))];
            let of_raw = of(raw_row(outcome));
            raw.push(if slope.is_ok() {
                of_raw.census(fit.slopes[0][RAW]).tail_sensitive(values)
            } else {
                of_raw.without(Status::Degenerate)
            });
            slope_row.tail_sensitive(values)
        } else {
            slope_row
        });
        let with_hc1 = fit.robust_slope(&outcome.weights, by_row * unit_of(outcome));
        // It takes a customer's answers for those of several: tests/simulation has its coverage.
        let robust_row = of(row(outcome, "slope", "ancova_hc1")).statistic(with_hc1, None)?;
        robust.push(robust_row.flag("interval_too_narrow"));
        let of_prior = of(prior_row(outcome));
        prior.push(if slope.is_ok() {
            of_prior.census(weighed(fit.of_control(0)))
        } else {
            of_prior.without(Status::Degenerate)
        });
    }
    let p: Vec<Option<f64>> = clustered.iter().take(LAGS).map(|row| row.estimate.and_then(|found| found.p)).collect();
    if let Some(p) = p.into_iter().collect::<Option<Vec<f64>>>() {
        clustered.iter_mut().zip(benjamini_hochberg(&p)).for_each(|(row, q)| row.q = Some(q));
    }
    let placebo = clustered[PLACEBO].estimate;
    let confounded = placebo.and_then(|found| found.lo.zip(found.hi)).is_some_and(|(lo, hi)| lo > 0.0 || hi < 0.0);
    let flagged = |row: Row| {
        let row = if row.lag == Some(0) { row.flag("direction_unknown") } else { row };
        let about_revenue = matches!(row.outcome, Some("revenue" | "revenue_6m" | "placebo"));
        if confounded && about_revenue { row.flag("persistent_confounding") } else { row }
    };
    Ok(clustered.into_iter().map(flagged).chain(robust).chain(prior).chain(raw).collect())
}
