//! Whether missing expectations costs more than beating them brings, and whether it costs "twice" as much: grade E.

use arrow::array::RecordBatch;
use stats::fieller::Pair;
use stats::regression::{Fit, Shape};
use stats::{Estimate, Undefined};

use super::panel::{self, ANSWERS, Fitted, HISTORY, Panel};
use super::{SCORES, Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Rows;

const SHAPE: Shape = Shape { controls: 1, focal: 2, outcomes: 1 };
/// Answers on each side of what is expected.
const EACH_SIDE: i64 = 50;
/// What the interval of the ratio says of the claim that losses are twice the gains.
const VERDICTS: [[&str; 2]; 2] =
    [["different_from_both", "consistent_with_twice"], ["no_asymmetry_shown", "cannot_tell"]];

/// The coefficients that `asymmetry_errors` reads.
pub(crate) fn fitted(sums: &Rows) -> Result<RecordBatch> {
    let sides = [("below", "above", "slopes"), ("detractor", "promoter", "bands")];
    let columns = sides.iter().flat_map(|(one, other, model)| {
        let of = |side: &str| ["slope", "prior", "fitted"].map(|what| format!("{side}_{what}"));
        [of(one).to_vec(), of(other).to_vec(), vec![format!("{model}_prior"), format!("{model}_fitted")]].concat()
    });
    let mut fitted = Fitted::new(ANSWERS, std::iter::once("revenue_unit".to_owned()).chain(columns));
    for (name, panel) in &Panel::all(sums, ANSWERS)? {
        let (Ok(slopes), Ok(bands)) =
            (panel.fit(sums, "slope_products", SHAPE)?, panel.fit(sums, "band_products", SHAPE)?)
        else {
            continue;
        };
        let mean_spend = sums.number("mean_spend_before", panel.row())?.unwrap_or_default();
        let unit = panel::unit(sums, "revenue_cap", panel.row())?;
        fitted.add(name, panel, |levels| {
            let mut numbers = vec![unit];
            for fit in [&slopes, &bands] {
                // Spend was less its mean in the sums; here it is as it is.
                let (focal, outcomes) = fit.of_cell(levels);
                for ((slope, prior), fitted) in fit.slopes.iter().zip(fit.focal_on_control(0)).zip(focal) {
                    numbers.extend([slope[0], *prior, fitted - prior * mean_spend]);
                }
                let prior = fit.of_control(0)[0];
                numbers.extend([prior, outcomes[0] - prior * mean_spend]);
            }
            numbers
        });
    }
    fitted.table()
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let panels = Panel::all(sums.rows, ANSWERS)?;
    let mut rows = Vec::new();
    for score in SCORES {
        let panel = panels.get(&(score.to_owned(), sums.segment.clone()));
        let found = found(scope, sums, score, panel)?;
        rows.extend(of_score(score, found)?.into_iter().map(|row| scope.needs(HISTORY, row)));
    }
    Ok(rows)
}

/// Losses and gains of one model, with their errors.
struct Sides {
    slopes: Vec<Estimate>,
    covariance: Vec<Vec<f64>>,
}

/// Both models of a score, and the answers and customers in them.
type Found = ([Sides; 2], i64, i64);

fn found(scope: &Scope, sums: &Sums, score: &str, panel: Option<&Panel>) -> Result<std::result::Result<Found, Status>> {
    let Some(panel) = panel else { return Ok(Err(Status::InsufficientN)) };
    let mut fits: Vec<Fit> = Vec::new();
    for column in ["slope_products", "band_products"] {
        match panel.fit(sums.rows, column, SHAPE)? {
            Ok(fit) => fits.push(fit),
            Err(Undefined::Collinear) => return Ok(Err(Status::Collinear)),
            Err(_) => return Ok(Err(Status::InsufficientN)),
        }
    }
    let Some(errors) = sums.errors_where("score", score)? else { return Ok(Err(Status::InsufficientN)) };
    let (customers, answers) = (errors.integer("customers")?, errors.integer("answers")?);
    let sides = panel.total(sums.rows, "answers_below")?.min(panel.total(sums.rows, "answers_above")?);
    if !fits.iter().all(|fit| panel::is_large(scope.guards, fit, customers)) || scope.guards && sides < EACH_SIDE {
        return Ok(Err(Status::InsufficientN));
    }
    let unit = panel::unit(sums.rows, "revenue_cap", panel.row())?;
    let mut models = Vec::new();
    for (fit, column) in fits.iter().zip(["slope_products", "band_products"]) {
        let products = errors.numbers(column)?.iter().map(|product| product * unit * unit).collect::<Vec<_>>();
        let products: Vec<Vec<f64>> = products.chunks(2).map(<[f64]>::to_vec).collect();
        let Ok((slopes, covariance)) = fit.clustered_slopes(&products, customers as f64) else {
            return Ok(Err(Status::Degenerate));
        };
        models.push(Sides { slopes, covariance });
    }
    let models = <[Sides; 2]>::try_from(models).map_err(|_| errors.unknown("slope_products"))?;
    Ok(Ok((models, answers, customers)))
}

fn of_score(score: &'static str, found: std::result::Result<Found, Status>) -> Result<Vec<Row>> {
    let row = |metric, unit, method| {
        let row = Row::new("asymmetry", metric, unit, method).score(score).graded("E");
        Row { outcome: Some("revenue_6m"), ..row }
    };
    let money = "money/customer-month";
    let rows = [
        row("slope_below", money, "ancova"),
        row("slope_above", money, "ancova"),
        row("slope_cov", "covariance", "ancova"),
        row("slope_ratio_test_1", "t", "ancova"),
        row("slope_ratio_test_2", "t", "ancova"),
        row("slope_ratio", "ratio", "fieller"),
        row("penalty", money, "ancova"),
        row("reward", money, "ancova"),
        row("band_ratio_test_2", "t", "ancova"),
    ];
    let ([slopes, bands], answers, customers) = match found {
        Ok(found) => found,
        Err(status) => return Ok(rows.map(|row| row.without(status)).to_vec()),
    };
    let rows = rows.map(|row| row.of(answers, customers));
    let df = customers as f64 - 1.0;
    let [below, above, covariance, one, two, ratio, penalty, reward, bands_two] = rows;
    let of_slopes = Pair {
        above: slopes.slopes[0].value,
        below: slopes.slopes[1].value,
        covariance: [slopes.covariance[0][0], slopes.covariance[0][1], slopes.covariance[1][1]],
        df,
    };
    let of_bands = Pair {
        above: -bands.slopes[0].value,
        below: bands.slopes[1].value,
        covariance: [bands.covariance[0][0], -bands.covariance[0][1], bands.covariance[1][1]],
        df,
    };
    let between = of_slopes.ratio();
    let ratio = ratio.statistic(between, None)?;
    let verdict = between.ok().and_then(|found| found.lo.zip(found.hi)).map(|(lo, hi)| {
        let holds = |number: f64| usize::from(lo <= number && number <= hi);
        VERDICTS[holds(1.0)][holds(2.0)]
    });
    Ok(vec![
        below.statistic(Ok(slopes.slopes[0]), None)?,
        above.statistic(Ok(slopes.slopes[1]), None)?,
        covariance.census(slopes.covariance[0][1]),
        one.test(of_slopes.test(1.0)),
        two.test(of_slopes.test(2.0)),
        verdict.map_or(ratio.clone(), |verdict| ratio.flag(verdict)),
        penalty.statistic(Ok(bands.slopes[0].negated()), None)?,
        reward.statistic(Ok(bands.slopes[1]), None)?,
        bands_two.test(of_bands.test(2.0)),
    ])
}
