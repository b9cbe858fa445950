//! How scores go with later revenue, activity and service cost, all else equal: association, never cause (grade E).
//!
//! The placebo is revenue before the answer, which no answer can have moved: what the score "says" of it, it says through
//! lasting differences between customers, and the excess over it is what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use stats::Undefined;
use stats::regression::{Cell, Fit, Shape, benjamini_hochberg, fit};

use super::{SCORES, Scope, Sums};
use crate::error::{Context, Result};
use crate::estimates::{ALL, Row, Status};
use crate::rows::Rows;

/// The outcomes in the order of the sums: revenue after so many months, and those that are not by lag.
const LAGS: usize = 7;
const OUTCOMES: usize = 10;
const PLACEBO: usize = 7;
const ACTIVE: usize = 8;
const SERVICE_COST: usize = 9;
const SHAPE: Shape = Shape { controls: 1, focal: 1, outcomes: OUTCOMES };

/// Customers, and rows a column.
const CUSTOMERS: i64 = 100;
const ROWS_A_COLUMN: f64 = 10.0;
/// Six months before the answer and six after it.
const HISTORY: i32 = 13;

/// A model of one score, of everybody or of a segment.
struct Model {
    fit: Fit,
    /// Segment, tenure band and month of each cell, and its levels.
    cells: Vec<((String, i64, i64), Vec<i64>)>,
    mean_score: f64,
    mean_spend: f64,
    /// The units of the errors' sums: the caps.
    units: [f64; 2],
}

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
    for (name, placebo) in [("revenue_6m", 0.0), ("excess", -1.0)] {
        let weights = std::array::from_fn(|outcome| match outcome {
            1..LAGS => 1.0 / 6.0,
            PLACEBO => placebo,
            _ => 0.0,
        });
        all.push(Outcome { name, lag: None, weights, unit: money });
    }
    all
}

/// Fits each score, for everybody and for each segment; where that cannot be done there is no row.
fn models(sums: &Rows) -> Result<BTreeMap<(String, String), Result<Model, Undefined>>> {
    type Found = (Vec<((String, i64, i64), Vec<f64>)>, [f64; 4]);
    let mut scopes: BTreeMap<(String, String), Found> = BTreeMap::new();
    for row in 0..sums.len() {
        let text = |name| Ok::<_, crate::Error>(sums.text(name, row)?.unwrap_or_default());
        let number = |name| Ok::<_, crate::Error>(sums.number(name, row)?.unwrap_or_default());
        let (score, segment) = (text("score")?, text("segment")?);
        let key = (segment.clone(), sums.integer("tenure_band", row)?, sums.integer("month", row)?);
        let about = [
            number("mean_score")?,
            number("mean_spend_before")?,
            sums.money("revenue_cap", row)?.to_f64(),
            sums.money("service_cost_cap", row)?.to_f64(),
        ];
        for scope in [ALL.to_owned(), segment] {
            let (cells, found) = scopes.entry((score.clone(), scope)).or_default();
            cells.push((key.clone(), sums.numbers("products", row)?));
            *found = about;
        }
    }
    let fitted = |(cells, [mean_score, mean_spend, revenue, service_cost]): Found| {
        // Of a segment alone all rows have the one level.
        let segments: Vec<&String> = cells.iter().map(|((segment, ..), _)| segment).collect();
        let place = |segment: &String| segments.iter().position(|other| *other == segment).unwrap_or(0) as i64;
        let levels: Vec<Vec<i64>> =
            cells.iter().map(|((segment, tenure, month), _)| vec![place(segment), *tenure, *month]).collect();
        let sums = levels.iter().zip(&cells);
        let sums = sums.map(|(levels, (_, products))| Cell { levels: levels.clone(), products: products.clone() });
        let fit = fit(&sums.collect::<Vec<_>>(), SHAPE)?;
        let unit = |cap: f64| if cap > 0.0 { cap } else { 1.0 };
        let cells = cells.into_iter().map(|(key, _)| key).zip(levels).collect();
        Ok(Model { fit, cells, mean_score, mean_spend, units: [unit(revenue), unit(service_cost)] })
    };
    Ok(scopes.into_iter().map(|(name, found)| (name, fitted(found))).collect())
}

/// The coefficients that `association_errors` reads, a row for each scope and cell.
pub(crate) fn fitted(sums: &Rows) -> Result<RecordBatch> {
    let models = models(sums)?;
    let models = models.iter().filter_map(|((score, scope), model)| Some((score, scope, model.as_ref().ok()?)));
    let cells: Vec<_> = models
        .flat_map(|(score, scope, model)| {
            model.cells.iter().map(move |(key, levels)| (score, scope, model, key, levels))
        })
        .collect();
    let text = |get: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..cells.len()).map(|at| Some(get(at))).collect::<StringArray>())
    };
    let number = |get: &dyn Fn(usize) -> f64| -> ArrayRef {
        Arc::new((0..cells.len()).map(|at| Some(get(at))).collect::<Float64Array>())
    };
    let whole = |get: &dyn Fn(usize) -> i64| -> ArrayRef {
        Arc::new((0..cells.len()).map(|at| i32::try_from(get(at)).ok()).collect::<Int32Array>())
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("score".to_owned(), text(&|at| cells[at].0.clone())),
        ("scope".to_owned(), text(&|at| cells[at].1.clone())),
        ("segment".to_owned(), text(&|at| cells[at].3.0.clone())),
        ("tenure_band".to_owned(), whole(&|at| cells[at].3.1)),
        ("month".to_owned(), whole(&|at| cells[at].3.2)),
        ("revenue_unit".to_owned(), number(&|at| cells[at].2.units[0])),
        ("service_cost_unit".to_owned(), number(&|at| cells[at].2.units[1])),
        ("score_prior".to_owned(), number(&|at| cells[at].2.fit.focal_on_control(0)[0])),
        (
            "score_fitted".to_owned(),
            number(&|at| {
                let (_, _, model, _, levels) = &cells[at];
                let prior = model.fit.focal_on_control(0)[0];
                model.fit.of_cell(levels).0[0] + model.mean_score - prior * model.mean_spend
            }),
        ),
    ];
    for outcome in 0..OUTCOMES {
        let name = match outcome {
            PLACEBO => "placebo".to_owned(),
            ACTIVE => "active_6m".to_owned(),
            SERVICE_COST => "service_cost_6m".to_owned(),
            lag => format!("revenue_{lag}"),
        };
        columns.extend([
            (format!("{name}_slope"), number(&|at| cells[at].2.fit.slopes[0][outcome])),
            (format!("{name}_prior"), number(&|at| cells[at].2.fit.of_control(0)[outcome])),
            (
                format!("{name}_fitted"),
                number(&|at| {
                    let (_, _, Model { fit, mean_score, mean_spend, .. }, _, levels) = &cells[at];
                    let centred = fit.slopes[0][outcome] * mean_score + fit.of_control(0)[outcome] * mean_spend;
                    fit.of_cell(levels).1[outcome] - centred
                }),
            ),
        ]);
    }
    RecordBatch::try_from_iter(columns).context(|| "the fitted associations".to_owned())
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let models = models(sums.rows)?;
    let mut rows = Vec::new();
    for score in SCORES {
        let model = models.get(&(score.to_owned(), sums.segment.clone()));
        let errors = sums.errors_where("score", score)?;
        let found = model.zip(errors);
        rows.extend(of_score(scope, score, found)?.into_iter().map(|row| scope.needs(HISTORY, row)));
    }
    Ok(rows)
}

fn of_score(scope: &Scope, score: &'static str, found: Option<(&Result<Model, Undefined>, Sums)>) -> Result<Vec<Row>> {
    let row = |outcome: &Outcome, metric, method| {
        let row = Row::new("association", metric, outcome.unit, method).score(score).graded("E");
        Row { outcome: Some(outcome.name), lag: outcome.lag, ..row }
    };
    let all = outcomes();
    let without = |status: Status| {
        let rows = [("slope", "ancova"), ("slope", "ancova_hc1"), ("slope_prior_spend", "ancova")].into_iter();
        let rows = rows.flat_map(|(metric, method)| all.iter().map(move |outcome| row(outcome, metric, method)));
        rows.map(|row| row.without(status)).collect::<Vec<_>>()
    };
    let (model, errors) = match &found {
        Some((Ok(model), errors)) => (model, errors),
        Some((Err(Undefined::Collinear), _)) => return Ok(without(Status::Collinear)),
        _ => return Ok(without(Status::InsufficientN)),
    };
    let Model { fit, units: [revenue, service_cost], .. } = model;
    let (customers, answers) = (errors.integer("customers")?, errors.integer("answers")?);
    let too_few = scope.guards && (customers < CUSTOMERS || fit.rows < ROWS_A_COLUMN * fit.columns as f64);
    if too_few || fit.rows <= fit.rank as f64 || customers < 2 {
        return Ok(without(Status::InsufficientN).into_iter().map(|row| row.of(answers, customers)).collect());
    }
    let (products, squares) = (errors.numbers("products")?, errors.numbers("squares")?);
    let unit_of = |outcome: &Outcome| match outcome.name {
        "active_6m" => 1.0,
        "service_cost_6m" => service_cost * service_cost,
        _ => revenue * revenue,
    };
    let (mut clustered, mut robust, mut prior) = (Vec::new(), Vec::new(), Vec::new());
    for (outcome, by_row) in all.iter().zip(squares) {
        let weighed = |values: &[f64]| -> f64 { outcome.weights.iter().zip(values).map(|(w, value)| w * value).sum() };
        let slope = weighed(&fit.slopes[0]);
        let by_customer: f64 =
            products.chunks(OUTCOMES).zip(outcome.weights).map(|(row, weight)| weight * weighed(row)).sum();
        let estimate = fit.clustered_slope(slope, by_customer * unit_of(outcome), customers as f64);
        let of = |row: Row| row.of(answers, customers);
        clustered.push(of(row(outcome, "slope", "ancova")).statistic(Ok(estimate), None)?);
        let estimate = fit.robust_slope(slope, by_row * unit_of(outcome));
        robust.push(of(row(outcome, "slope", "ancova_hc1")).statistic(Ok(estimate), None)?);
        prior.push(of(row(outcome, "slope_prior_spend", "ancova")).census(weighed(fit.of_control(0))));
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
    Ok(clustered.into_iter().map(flagged).chain(robust).chain(prior).collect())
}
