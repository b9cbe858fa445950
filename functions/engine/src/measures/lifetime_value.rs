//! What customers are worth in the twelve months after an answer, by its band, and what follows from it: lifetime value
//! against acquisition cost, the value of one point of NPS, the net value at risk with detractors, and what these spent.
//!
//! Standardised values compare like with like: strata of segment and earlier spend have the same weights in all bands.

use std::collections::BTreeMap;

use stats::Estimate;
use stats::lifetime_value::{Cohort, customers_at, lifetime_value};
use stats::ratio::ScoreSums;

use super::{COVERAGE, Scope, Sums, more_concentrated};
use crate::error::Result;
use crate::estimates::{BANDS, MEAN, Row, Status};
use crate::rows::Money;

const MONTHS: i32 = 12;
/// Customers with an answer, and those of them who are known for all twelve months.
const CUSTOMERS: i64 = 100;
const CUSTOMERS_TO_THE_END: i64 = 30;
/// The first answer counts from the fourth month of history, and is followed for twelve.
const HISTORY: i32 = 16;
/// Above this difference of two bands' shares of answers in a quarter, seasons may be taken for satisfaction.
const SEASON: f64 = 0.1;
/// The steps of one point: the band left, the band reached, and what a step of all is of the point.
const STEPS: [(&str, usize, usize, f64); 3] =
    [("mean", 0, 2, 0.5), ("detractor_to_passive", 0, 1, 1.0), ("passive_to_promoter", 1, 2, 1.0)];
/// Customers that a value per customer is scaled to.
const SCALE: f64 = 10_000.0;

/// Customers with an answer of one month, band and group, and their sums.
struct Cell {
    stratum: (String, i64),
    band: usize,
    month: i64,
    months_known: usize,
    customers: i64,
    /// Capped, and raw.
    products: [Vec<f64>; 2],
}

/// What is known of all customers of a segment.
#[derive(Default)]
struct Segment {
    active: i64,
    acquired: i64,
    acquisition_cost: Money,
    detractors: ScoreSums,
    /// What customers who answered as detractors spent in twelve months.
    exposure: Money,
    /// Customers who bought in twelve months: of these, and all others.
    buyers: [i64; 2],
    /// How much of what each of the two spent is one customer's.
    concentration: [[Money; 2]; 2],
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let (cells, segment) = read(sums)?;
    let discount: Vec<f64> =
        (1..=MONTHS).map(|month| (1.0 + scope.annual_discount_rate).powf(-f64::from(month) / 12.0)).collect();
    let mut rows = to_acquisition_cost(scope, &cells, &segment, &discount);
    let seasons_differ = seasons_differ(&cells);
    let sizes = BANDS.map(|_| 0_i64);
    let sizes = cells.iter().fold(sizes, |mut sizes, cell| {
        sizes[cell.band] += cell.customers;
        sizes
    });
    let (answered, smallest) = (sizes.iter().sum::<i64>(), sizes.into_iter().min().unwrap_or(0));
    let large = (0..BANDS.len()).map(|band| is_large(scope, cells.iter().filter(|cell| cell.band == band)));
    let large: Vec<bool> = large.collect();

    let row = |section, metric, unit, method| {
        let row = Row::new(section, metric, unit, method).score("nps").graded("E");
        Row { outcome: Some("net_value"), ..row }
    };
    let finished = |row: Row, value: Option<Estimate>| match value {
        Some(value) => row.statistic(Ok(value), None),
        None => Ok(row.without(Status::InsufficientN)),
    };
    let mut valued = Vec::new();
    let standardised = [0, 1].map(|raw| standardised(&cells, raw, &discount));
    for (band, name) in BANDS.into_iter().enumerate() {
        let of_band = || cells.iter().filter(|cell| cell.band == band);
        let crude = [0, 1].map(|raw| value_of(of_band(), raw, &discount));
        let weighed = [0, 1].map(|raw| standardised[raw].as_ref().map(|found| found.values[band]));
        for (method, values) in [("crude", crude), ("standardised", weighed)] {
            for (metric, value) in ["clv_12m", "clv_12m_raw"].into_iter().zip(values) {
                let row = row("clv", metric, "money/customer", method).of(sizes[band], sizes[band]);
                let row = finished(Row { band: Some(name), ..row }, value.filter(|_| large[band]))?;
                valued.push(row.tail_sensitive(values));
            }
        }
    }
    let coverage = standardised[0].as_ref().map_or(0.0, |found| found.coverage);
    if large.contains(&false) {
        // Contrasts need all of them.
        valued.iter_mut().filter(|row| row.method == "standardised").for_each(|row| {
            *row = row.clone().without(Status::InsufficientN);
        });
    }
    let all_large = !large.contains(&false);
    let steps = |raw: usize, from: usize, to: usize, share: f64| {
        let values = &standardised[raw].as_ref().filter(|_| all_large)?.values;
        let weight = 0.01 * share;
        Some(Estimate::weighted_sum(&[(weight, values[to]), (-weight, values[from])]))
    };
    let detractors = segment.detractors.mean();
    let share_row = Row::new("value", "detractor_share", "share", "cluster").window("T3M").score("nps");
    let share_row = share_row.of(segment.detractors.responses, segment.detractors.customers);
    let share_row = scope.needs(3, share_row.statistic(detractors, scope.guard(MEAN))?);
    let at_risk = |raw: usize| {
        let values = &standardised[raw].as_ref().filter(|_| all_large)?.values;
        // A share whose error is not known would make the product too certain.
        let share = share_row.estimate.filter(|share| share.se.is_some())?;
        let gap = Estimate::weighted_sum(&[(1.0, values[1]), (-1.0, values[0])]);
        Some(product(share, gap))
    };
    for (suffix, unit, customers) in [("", "money/10000 customers", SCALE), ("_total", "money", segment.active as f64)]
    {
        let name = |metric: &'static str| -> [&'static str; 2] {
            match (metric, suffix) {
                ("nps_point_value", "") => ["nps_point_value", "nps_point_value_raw"],
                ("nps_point_value", _) => ["nps_point_value_total", "nps_point_value_total_raw"],
                (_, "") => ["net_value_at_risk", "net_value_at_risk_raw"],
                _ => ["net_value_at_risk_total", "net_value_at_risk_total_raw"],
            }
        };
        for (method, from, to, share) in STEPS {
            let values = [0, 1].map(|raw| Some(steps(raw, from, to, share)?.scaled(customers)));
            for (metric, value) in name("nps_point_value").into_iter().zip(values) {
                let row = row("value", metric, unit, method).of(answered, smallest);
                valued.push(finished(row, value)?.tail_sensitive(values));
            }
        }
        let values = [0, 1].map(|raw| Some(at_risk(raw)?.scaled(customers)));
        for (metric, value) in name("net_value_at_risk").into_iter().zip(values) {
            let row =
                row("value", metric, unit, "standardised").of(answered, smallest.min(segment.detractors.customers));
            let row = match value {
                // Where detractors are worth as much as passives, nothing is at risk, with no interval around it.
                Some(value) if value.value <= 0.0 => {
                    row.statistic(Ok(Estimate::census(0.0)), None)?.flag("no_value_gap")
                }
                value => finished(row, value)?.tail_sensitive(values),
            };
            valued.push(row);
        }
    }
    let covered = row("clv", "clv_coverage", "share", "standardised").of(answered, answered);
    let covered = if answered == 0 { covered.without(Status::InsufficientN) } else { covered.census(coverage) };
    let flagged = |row: Row| {
        let row = if row.method != "crude" && coverage < COVERAGE { row.flag("low_overlap") } else { row };
        if seasons_differ { row.flag("index_months_differ") } else { row }
    };
    rows.extend(valued.into_iter().chain([covered]).map(|row| scope.needs(HISTORY, flagged(row))));
    rows.push(gross_exposure(scope, &segment));
    rows.push(share_row);
    Ok(rows)
}

/// All that customers who answered as detractors spent: a plain sum, which says nothing of what would be lost.
fn gross_exposure(scope: &Scope, segment: &Segment) -> Row {
    let row = Row::new("value", "gross_exposure", "money", "census").window("T12M").score("nps");
    let [exposed, others] = segment.buyers;
    // What all spent less this is what the others did: where they are few, or one of them is most of it, it tells of them.
    let [own, rest] = segment.concentration;
    let row = Row { outcome: Some("revenue"), ..row }.of(None, scope.fewest(exposed, others));
    let row = row.concentrated(more_concentrated(own, rest));
    let row = match segment.detractors.responses {
        0 => row.without(Status::InsufficientN),
        _ => row.amount(segment.exposure).flag("not_attributable"),
    };
    scope.needs(12, row)
}

fn read(sums: &Sums) -> Result<(Vec<Cell>, Segment)> {
    let (mut cells, mut all, mut seen) = (Vec::new(), Segment::default(), None);
    for row in sums.of_segments()? {
        let segment = row.text("segment")?;
        if seen != segment {
            all.active += row.integer("active_customers")?;
            all.acquired += row.integer("acquired_customers")?;
            all.acquisition_cost = all.acquisition_cost.plus(row.money("acquisition_cost")?)?;
            all.detractors = all.detractors.plus(&row.scores("answering_customers")?);
            all.exposure = all.exposure.plus(row.money("gross_exposure")?)?;
            for (at, [customers, amount]) in
                [["exposed_customers", "gross_exposure"], ["other_customers", "others"]].into_iter().enumerate()
            {
                all.buyers[at] += row.integer(customers)?;
                let [largest, total] = row.concentration(amount)?;
                let [most, sum] = all.concentration[at];
                all.concentration[at] = [most.max(largest), sum.plus(total)?];
            }
            seen.clone_from(&segment);
        }
        let Some(name) = row.text("band")? else { continue };
        cells.push(Cell {
            stratum: (segment.unwrap_or_default(), row.integer("spend_group")?),
            band: BANDS.iter().position(|band| *band == name).ok_or_else(|| row.unknown("band"))?,
            month: row.integer("month")?,
            months_known: row.count("months_known")? as usize,
            customers: row.integer("customers")?,
            products: [row.numbers("net_value")?, row.numbers("net_value_raw")?],
        });
    }
    Ok((cells, all))
}

fn cohorts<'a>(cells: impl Iterator<Item = &'a Cell>, raw: usize) -> Vec<Cohort<'a>> {
    cells.map(|cell| Cohort { months: cell.months_known, products: &cell.products[raw] }).collect()
}

fn value_of<'a>(cells: impl Iterator<Item = &'a Cell>, raw: usize, discount: &[f64]) -> Option<Estimate> {
    lifetime_value(&cohorts(cells, raw), discount).ok()
}

/// Whether there are as many customers as a value needs.
fn is_large<'a>(scope: &Scope, cells: impl Iterator<Item = &'a Cell>) -> bool {
    let cohorts = cohorts(cells, 0);
    let known = |months| customers_at(&cohorts, months) as i64;
    !scope.guards || known(0) >= CUSTOMERS && known(MONTHS as usize) >= CUSTOMERS_TO_THE_END
}

/// The value by band over strata that have all bands, and the share of customers in these.
struct Standardised {
    values: [Estimate; 3],
    coverage: f64,
}

fn standardised(cells: &[Cell], raw: usize, discount: &[f64]) -> Option<Standardised> {
    let mut strata: BTreeMap<&(String, i64), Vec<&Cell>> = BTreeMap::new();
    for cell in cells {
        strata.entry(&cell.stratum).or_default().push(cell);
    }
    let mut kept = Vec::new();
    for cells in strata.values() {
        let of = |band| value_of(cells.iter().copied().filter(|cell| cell.band == band), raw, discount);
        if let (Some(one), Some(two), Some(three)) = (of(0), of(1), of(2)) {
            let customers: i64 = cells.iter().map(|cell| cell.customers).sum();
            kept.push((customers as f64, [one, two, three]));
        }
    }
    let customers: f64 = kept.iter().map(|(customers, _)| customers).sum();
    let all: i64 = cells.iter().map(|cell| cell.customers).sum();
    let weighed = |band: usize| {
        let parts: Vec<_> = kept.iter().map(|(own, values)| (own / customers, values[band])).collect();
        Estimate::weighted_sum(&parts)
    };
    (!kept.is_empty())
        .then(|| Standardised { values: [weighed(0), weighed(1), weighed(2)], coverage: customers / all as f64 })
}

/// The product of two independent estimates, its error to the first order.
fn product(share: Estimate, gap: Estimate) -> Estimate {
    let parts = [(gap.value, share), (share.value, gap)];
    let se = Estimate::weighted_sum(&parts);
    se.shifted(share.value * gap.value - se.value)
}

/// Whether a quarter of the year has another share of one band's answers than of another's.
fn seasons_differ(cells: &[Cell]) -> bool {
    let mut quarters = [[0.0_f64; 4]; 3];
    for cell in cells {
        quarters[cell.band][(cell.month.rem_euclid(12) / 3) as usize] += cell.customers as f64;
    }
    let shares = quarters.map(|of_band| of_band.map(|customers| customers / of_band.iter().sum::<f64>()));
    (0..4).any(|quarter| {
        let of = shares.map(|of_band| of_band[quarter]);
        let (low, high) =
            of.into_iter().fold((1.0_f64, 0.0_f64), |(low, high), share| (low.min(share), high.max(share)));
        high - low > SEASON
    })
}

fn to_acquisition_cost(scope: &Scope, cells: &[Cell], segment: &Segment, discount: &[f64]) -> Vec<Row> {
    let answered: i64 = cells.iter().map(|cell| cell.customers).sum();
    let rows = ["ltv_to_cac", "ltv_to_cac_raw"].into_iter().enumerate().map(|(raw, metric)| {
        // Whoever knows the value of a customer could tell the cost of few from the ratio.
        let row = Row::new("kpi", metric, "ratio", "mean").window("T12M").of(answered, answered.min(segment.acquired));
        let value =
            value_of(cells.iter(), raw, discount).filter(|_| segment.acquired > 0 && is_large(scope, cells.iter()));
        let row = match value {
            None => row.without(Status::InsufficientN),
            Some(_) if segment.acquisition_cost <= Money::default() => row.without(Status::Degenerate),
            Some(value) => row.census(value.value * segment.acquired as f64 / segment.acquisition_cost.to_f64()),
        };
        scope.needs(HISTORY, row)
    });
    rows.collect()
}
