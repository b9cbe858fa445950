//! What customers of each band of a score spend later, as they are and with the same mix of segments and earlier spend, and the
//! correlation of score and spend: grade E, one answer a customer.

use std::collections::BTreeMap;

use stats::correlation::{PairSums, mean};
use stats::{Estimate, Undefined};

use super::panel::HISTORY;
use super::{COVERAGE, SCORES, Scope, Sums};
use crate::error::Result;
use crate::estimates::{ALL, BANDS, Row, Status};

/// Customers of each band, and of a correlation.
const BAND: f64 = 30.0;
const CORRELATION: f64 = 50.0;

/// The contrasts: their name, the band with the weight 1, and the one with −1.
const CONTRASTS: [(&str, usize, usize); 3] =
    [("promoter-detractor", 2, 0), ("passive-detractor", 1, 0), ("promoter-passive", 2, 1)];

/// The sums of one score.
#[derive(Default)]
struct Banded {
    /// By segment and group of spend, the three bands.
    strata: BTreeMap<(String, i64), [PairSums; 3]>,
    spend_split: Option<f64>,
    /// What the sums of revenue are less of.
    mean_revenue: f64,
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut scores: BTreeMap<String, Banded> = BTreeMap::new();
    for row in sums.of_segments()? {
        let found = scores.entry(row.text("score")?.unwrap_or_default()).or_default();
        let band = row.text("band")?;
        let band = BANDS.iter().position(|name| band.as_deref() == Some(*name)).ok_or_else(|| row.unknown("band"))?;
        let stratum = (row.text("segment")?.unwrap_or_default(), row.integer("spend_group")?);
        found.strata.entry(stratum).or_default()[band] =
            PairSums::of(&row.numbers("products")?).map_err(|_| row.unknown("products"))?;
        (found.spend_split, found.mean_revenue) = (row.number_or_null("spend_split")?, row.number("mean_revenue")?);
    }
    let mut rows = Vec::new();
    for score in SCORES {
        let found = scores.remove(score).unwrap_or_default();
        rows.extend(of_score(scope, score, &found, sums.segment == ALL)?);
    }
    Ok(rows.into_iter().map(|row| scope.needs(HISTORY, row)).collect())
}

fn of_score(scope: &Scope, score: &'static str, found: &Banded, is_all: bool) -> Result<Vec<Row>> {
    let bands: [PairSums; 3] =
        std::array::from_fn(|band| found.strata.values().fold(PairSums::default(), |all, own| all.plus(&own[band])));
    let everybody = bands.iter().fold(PairSums::default(), |all, own| all.plus(own));
    let whole = |n: f64| n as i64;
    let smallest = bands.iter().map(|band| whole(band.n)).min().unwrap_or(0);
    let enough = |n: f64, least: f64| n >= if scope.guards { least } else { 2.0 };
    let all_enough = bands.iter().all(|band| enough(band.n, BAND));
    let row = |metric, unit, method| Row::new("association", metric, unit, method).score(score).graded("E");
    let money = "money/customer-month";
    let about = |row: Row| Row { outcome: Some("revenue_6m"), ..row };
    let known = |row: Row, result: Result<Estimate, Undefined>, enough: bool| match result {
        result if enough => row.statistic(result, None),
        _ => Ok(row.without(Status::InsufficientN)),
    };

    let (weighed, coverage) = standardised(found);
    let raised = |estimate: Estimate| estimate.shifted(found.mean_revenue);
    let mut rows = Vec::new();
    for (at, band) in BANDS.into_iter().enumerate() {
        let of = |row: Row| Row { band: Some(band), ..about(row) }.of(whole(bands[at].n), whole(bands[at].n));
        let crude = of(row("band_mean", money, "crude"));
        rows.push(known(crude, mean(&bands[at]).map(raised), enough(bands[at].n, BAND))?);
        let standardised = of(row("band_mean", money, "standardised"));
        let value = weighed.map(|means| raised(means[at])).ok_or(Undefined::EmptyBase);
        rows.push(known(standardised, value, all_enough)?);
    }
    let crude_difference = mean(&bands[2]).ok().zip(mean(&bands[0]).ok()).map(|(high, low)| high.value - low.value);
    for (name, plus, minus) in CONTRASTS {
        let value = weighed.map(|means| Estimate::weighted_sum(&[(1.0, means[plus]), (-1.0, means[minus])]));
        let turned = value.zip(crude_difference).is_some_and(|(value, crude)| value.value * crude < 0.0);
        let row = Row { band: Some(name), ..about(row("band_contrast", money, "standardised")) };
        let row = known(row.of(whole(everybody.n), smallest), value.ok_or(Undefined::EmptyBase), all_enough)?;
        rows.push(if turned && name == CONTRASTS[0].0 { row.flag("simpson") } else { row });
    }
    let covered = about(row("band_coverage", "share", "standardised")).of(whole(everybody.n), whole(everybody.n));
    rows.push(if everybody.n > 0.0 { covered.census(coverage) } else { covered.without(Status::InsufficientN) });
    if coverage < COVERAGE {
        rows = rows
            .into_iter()
            .map(|row| if row.method == "standardised" { row.flag("low_overlap") } else { row })
            .collect();
    }
    let pearson = about(row("pearson", "correlation", "fisher")).of(whole(everybody.n), whole(everybody.n));
    rows.push(known(pearson, everybody.pearson(), enough(everybody.n, CORRELATION))?);
    if is_all {
        let split = row("spend_split", money, "type1_quantile").of(whole(everybody.n), whole(everybody.n));
        rows.push(match found.spend_split {
            Some(spend) => split.census(spend),
            None => split.without(Status::InsufficientN),
        });
    }
    Ok(rows)
}

/// The mean of each band over strata that have two customers of every band, and the share of customers in these.
fn standardised(found: &Banded) -> (Option<[Estimate; 3]>, f64) {
    let size = |bands: &[PairSums; 3]| bands.iter().map(|band| band.n).sum::<f64>();
    let all: f64 = found.strata.values().map(size).sum();
    let kept: Vec<_> = found.strata.values().filter(|bands| bands.iter().all(|band| band.n >= 2.0)).collect();
    let customers: f64 = kept.iter().map(|bands| size(bands)).sum();
    if kept.is_empty() {
        return (None, 0.0);
    }
    let means = std::array::from_fn(|band| {
        let part = |bands: &&[PairSums; 3]| {
            let (mean, variance) = bands[band].mean_and_variance();
            let se = (variance / bands[band].n).sqrt();
            (size(bands) / customers, Estimate { se: Some(se), ..Estimate::census(mean) })
        };
        Estimate::weighted_sum(&kept.iter().map(part).collect::<Vec<_>>())
    });
    (Some(means), customers / all)
}
