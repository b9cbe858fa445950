//! How changes of a score, or of service contacts, go with changes of revenue, before and after: what is lasting about a customer
//! falls out. Grade E.
//!
//! Whether experience moves before revenue does is only said of answers five months apart, of which nothing overlaps, and only if
//! revenue before the answer goes with it nowhere, revenue after it somewhere, and there more than in the same month.

use arrow::array::RecordBatch;
use stats::regression::{Fit, Shape, benjamini_hochberg};
use stats::{Estimate, Undefined};

use super::panel::{self, Factors, Fitted, Panel};
use super::{CONTACTS, PREDICTORS, Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Rows;

/// The outcomes in the order of the sums: their months from the answer.
const MONTHS: [(&str, i32); 7] = [
    ("revenue_lead_3", -3),
    ("revenue_lead_2", -2),
    ("revenue_lead_1", -1),
    ("revenue_0", 0),
    ("revenue_1", 1),
    ("revenue_2", 2),
    ("revenue_3", 3),
];
/// The place of the same month in this list.
const SAME: usize = 3;
const SHAPE: Shape = Shape { controls: 0, focal: 1, outcomes: MONTHS.len() };
const FACTORS: Factors = Factors { segments: false, columns: ["month_before", "month"] };
/// Customers who answered again.
const CUSTOMERS: i64 = 300;
/// Of answers two months apart, and five with three known before.
const HISTORY: i32 = 6;
const HISTORY_GAP5: i32 = 12;
/// Below this a rate of false discoveries, or a p-value, tells.
const TELLS: f64 = 0.05;

/// The coefficients that `first_difference_errors` reads.
pub(crate) fn fitted(sums: &Rows) -> Result<RecordBatch> {
    let columns = ["revenue_unit", "change_unit", "change_fitted"].map(str::to_owned);
    let of_outcome = |(name, _): (&str, i32)| ["slope", "fitted"].map(|what| format!("{name}_{what}"));
    let mut fitted = Fitted::new(FACTORS, columns.into_iter().chain(MONTHS.into_iter().flat_map(of_outcome)));
    for (name, panel) in &Panel::all(sums, FACTORS)? {
        let Ok(fit) = panel.fit(sums, "products", SHAPE)? else { continue };
        let mean_change = sums.number("mean_change", panel.row())?.unwrap_or_default();
        let unit = panel::unit(sums, "revenue_cap", panel.row())?;
        let change_unit = panel::unit_of_score(sums, "change_unit", panel.row())?;
        fitted.add(name, panel, |levels| {
            // Changes were less their mean in the sums; here they are as they are.
            let (change, outcomes) = fit.of_cell(levels);
            let outcomes = fit.slopes[0].iter().zip(outcomes);
            let outcomes = outcomes.flat_map(|(slope, fitted)| [*slope, fitted - slope * mean_change]);
            [unit, change_unit, change[0] + mean_change].into_iter().chain(outcomes).collect()
        });
    }
    fitted.table()
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let panels = Panel::all(sums.rows, FACTORS)?;
    let mut rows = Vec::new();
    for score in PREDICTORS {
        for (method, model, from, history) in [
            ("first_difference", score.to_owned(), SAME, HISTORY),
            ("first_difference_gap5", format!("{score}_gap5"), 0, HISTORY_GAP5),
        ] {
            // What answers two months apart say is there for comparison, and nearly every month has contacts.
            if score == CONTACTS && method == "first_difference" {
                continue;
            }
            let panel = panels.get(&(model.clone(), sums.segment.clone()));
            let found = found(scope, sums, &model, panel)?;
            let of_model = of_model(score, method, from, found)?;
            rows.extend(of_model.into_iter().map(|row| scope.needs(history, row)));
        }
    }
    Ok(rows)
}

type Slope = std::result::Result<Estimate, Undefined>;

/// A fitted model: its slopes by month, how much more each is than that of the same month, answers, and customers.
struct Found {
    fit: Fit,
    slopes: Vec<Slope>,
    beyond_same: Vec<Slope>,
    answers: i64,
    customers: i64,
}

fn found(scope: &Scope, sums: &Sums, model: &str, panel: Option<&Panel>) -> Result<std::result::Result<Found, Status>> {
    let Some(panel) = panel else { return Ok(Err(Status::InsufficientN)) };
    let fit = match panel.fit(sums.rows, "products", SHAPE)? {
        Ok(fit) => fit,
        Err(Undefined::Collinear) => return Ok(Err(Status::Collinear)),
        Err(_) => return Ok(Err(Status::InsufficientN)),
    };
    let Some(errors) = sums.errors_where("score", model)? else { return Ok(Err(Status::InsufficientN)) };
    let (customers, answers) = (errors.integer("customers")?, errors.integer("answers")?);
    if !panel::is_large(scope.guards, &fit, customers) || scope.guards && customers < CUSTOMERS {
        return Ok(Err(Status::InsufficientN));
    }
    let unit = panel::unit(sums.rows, "revenue_cap", panel.row())?
        * panel::unit_of_score(sums.rows, "change_unit", panel.row())?;
    let products = errors.numbers("products")?;
    let product = |one: usize, other: usize| products[one * MONTHS.len() + other] * unit * unit;
    let weights = |at: usize| std::array::from_fn::<f64, { MONTHS.len() }, _>(|month| f64::from(u8::from(month == at)));
    let of = |at: usize| fit.clustered_slope(&weights(at), product(at, at), customers as f64);
    let beyond = |at: usize| {
        let squares = product(at, at) - 2.0 * product(at, SAME) + product(SAME, SAME);
        let mut weights = weights(at);
        weights[SAME] -= 1.0;
        fit.clustered_slope(&weights, squares.max(0.0), customers as f64)
    };
    let months = 0..MONTHS.len();
    let (slopes, beyond_same) = (months.clone().map(of).collect(), months.map(beyond).collect());
    Ok(Ok(Found { fit, slopes, beyond_same, answers, customers }))
}

/// The rows of the months from `from` on.
fn of_model(
    score: &'static str,
    method: &'static str,
    from: usize,
    found: std::result::Result<Found, Status>,
) -> Result<Vec<Row>> {
    let row = |at: usize, metric, unit| {
        let row = Row::new("association", metric, unit, method).score(score).graded("E");
        Row { outcome: Some("revenue"), lag: Some(MONTHS[at].1), ..row }
    };
    let all = |at: usize| {
        [
            row(at, "slope", "money/customer-month"),
            row(at, "model_columns", "columns"),
            row(at, "model_rank", "columns"),
        ]
    };
    let months = from..MONTHS.len();
    let found = match found {
        Ok(found) => found,
        Err(status) => return Ok(months.flat_map(all).map(|row| row.without(status)).collect()),
    };
    let p: Option<Vec<f64>> = months.clone().map(|at| found.slopes[at].ok()?.p).collect();
    let q = p.map(|p| benjamini_hochberg(&p)).unwrap_or_default();
    let tells = |at: usize| q.get(at - from).is_some_and(|q| *q <= TELLS);
    // Two months' answers overlap in what is compared: those five months apart alone may say what comes first.
    let no_lead = from == 0 && !(from..SAME).any(tells);
    // More of a score is expected to go with more; contacts may go with more or with less, but then with more of that.
    let direction = |at: usize| match score {
        CONTACTS => found.slopes[at].map_or(0.0, |slope| slope.value),
        _ => 1.0,
    };
    let leads = |at: usize| {
        let is_more = |more: Estimate| more.value * direction(at) > 0.0 && more.p.is_some_and(|p| p <= TELLS);
        no_lead && at > SAME && tells(at) && found.beyond_same[at].is_ok_and(is_more)
    };
    let mut rows = Vec::new();
    for at in months {
        let [slope, columns, rank] = all(at).map(|row| row.of(found.answers, found.customers));
        let slope = Row { q: q.get(at - from).copied(), ..slope.statistic(found.slopes[at], None)? };
        let slope = if at == SAME { slope.flag("direction_unknown") } else { slope };
        let slope = if at < SAME && from == 0 && tells(at) { slope.flag("revenue_moves_first") } else { slope };
        rows.push(if leads(at) { slope.flag("score_moves_first") } else { slope });
        rows.extend([columns.census(found.fit.columns as f64), rank.census(found.fit.rank as f64)]);
    }
    Ok(rows)
}
