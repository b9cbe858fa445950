//! Which channels, touchpoints and stages of the journey score how, and what of an outcome goes with the scores there:
//! importance, never effect (grade E).

use std::collections::{BTreeMap, BTreeSet};

use datafusion::prelude::SessionContext;
use stats::correlation::PairSums;
use stats::drivers::{MOST_DRIVERS, jackknife, lmg};
use stats::ratio::ScoreSums;
use stats::{Estimate, Undefined};

use super::{SCORES, Scope, Sums};
use crate::error::Result;
use crate::estimates::{MEAN, Row, Status};
use crate::rows::Rows;

/// Months of answers.
const HISTORY: i32 = 12;
/// Groups of customers, left out one at a time.
const GROUPS: usize = 64;
/// Customers of a correlation, and of every pair that shares are made of.
const CORRELATION: f64 = 50.0;
const PAIR: f64 = 200.0;
/// Below this share of variance explained, there is nothing to share.
const EXPLAINED: f64 = 0.01;

const KINDS: [&str; 3] = ["channel", "stage", "touchpoint"];
/// The driver that is made of several touchpoints.
const WORST: &str = "worst";
const OUTCOMES: [&str; 2] = ["revenue", "nps"];

/// Drivers of one kind, and those of another at which the same answers were given: a channel, and the touchpoints that it has.
pub(crate) type SameAnswers = [Vec<String>; 2];

/// The smallest sets of drivers that have the same answers, as far as they are all published.
///
/// # Errors
/// [`crate::Error::Engine`] if `windows.driver` cannot be read.
pub(crate) async fn same_answers(session: &SessionContext) -> Result<Vec<SameAnswers>> {
    let sql = "select kind, driver, channels, stages, touchpoints from windows.driver";
    let rows = Rows::of(session, "windows.driver", sql).await?;
    let mut beside: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for at in 0..rows.len() {
        let [kind, driver] = [rows.text("kind", at)?, rows.text("driver", at)?].map(Option::unwrap_or_default);
        for other in KINDS {
            let others = rows.texts(&format!("{other}s"), at)?;
            beside.insert((name(&kind, &driver), other), others.iter().map(|driver| name(other, driver)).collect());
        }
    }
    // Where answers name no driver of the other kind, or one that is not published, nobody knows a sum.
    let whole = |driver: &String, kinds: [&'static str; 2]| -> Option<SameAnswers> {
        let mut sides = [BTreeSet::from([driver.clone()]), BTreeSet::new()];
        loop {
            let size = sides[0].len() + sides[1].len();
            for (from, to) in [(0, 1), (1, 0)] {
                for driver in sides[from].clone() {
                    sides[to].extend(beside.get(&(driver, kinds[to]))?.iter().cloned());
                }
            }
            if sides[0].len() + sides[1].len() == size {
                return Some(sides.map(Vec::from_iter));
            }
        }
    };
    let mut found = BTreeSet::new();
    for kinds in [["channel", "stage"], ["channel", "touchpoint"], ["stage", "touchpoint"]] {
        let drivers = beside.keys().map(|(driver, _)| driver).filter(|driver| driver.starts_with(&name(kinds[0], "")));
        found.extend(drivers.filter_map(|driver| whole(driver, kinds)));
    }
    Ok(Vec::from_iter(found))
}

fn name(kind: &str, driver: &str) -> String {
    format!("{kind}:{driver}")
}

/// The sums of pairs of a matrix that pair_sums gives, as many columns, in all and by group of customers.
#[derive(Clone, Default)]
struct Pairs {
    all: Vec<PairSums>,
    groups: Vec<Vec<PairSums>>,
}

impl Pairs {
    fn add(&mut self, group: usize, sums: &[f64]) {
        let own: Vec<PairSums> = sums
            .chunks_exact(6)
            .map(|sums| PairSums { n: sums[0], sums: [sums[1], sums[2]], products: [sums[3], sums[4], sums[5]] })
            .collect();
        self.groups.resize(GROUPS, Vec::new());
        for sums in [&mut self.all, &mut self.groups[group]] {
            sums.resize(own.len(), PairSums::default());
            sums.iter_mut().zip(&own).for_each(|(sum, own)| *sum = sum.plus(own));
        }
    }

    fn at(&self, place: usize) -> PairSums {
        self.all.get(place).copied().unwrap_or_default()
    }

    /// The correlation of a pair without a group, or of all.
    fn correlation(&self, place: usize, without: Option<usize>) -> Result<f64, Undefined> {
        let group = without.and_then(|group| self.groups.get(group)?.get(place));
        let sums = group.map_or(self.at(place), |group| self.at(place).less(group));
        Ok(sums.pearson()?.value)
    }
}

/// A score at the drivers of a kind.
#[derive(Clone, Default)]
struct Kind {
    /// Customers with a score at any.
    customers: i64,
    /// Drivers by drivers, drivers by outcomes, and sums of answers by their numbers.
    between: Pairs,
    outcomes: Pairs,
    answers: Pairs,
}

/// The drivers of a kind by place, and how many there are of it.
type Names = (Vec<String>, i64);

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut names: BTreeMap<String, Names> = BTreeMap::new();
    let mut found: BTreeMap<(String, &str), Kind> = BTreeMap::new();
    for row in sums.of_segments()? {
        let kind = row.text("kind")?.unwrap_or_default();
        let group = row.count("jackknife_group")? as usize;
        if group >= GROUPS {
            return Err(row.unknown("jackknife_group"));
        }
        for score in SCORES {
            let numbers = |name: &str| row.numbers(&format!("{score}_{name}"));
            let own = found.entry((kind.clone(), score)).or_default();
            own.customers += row.integer(&format!("{score}_customers"))?;
            own.between.add(group, &numbers("between")?);
            own.outcomes.add(group, &numbers("outcomes")?);
            own.answers.add(group, &numbers("answers")?);
        }
        names.entry(kind).or_insert((row.texts("drivers")?, row.integer("drivers_in_all")?));
    }
    let (mut rows, none) = (Vec::new(), Kind::default());
    for score in SCORES {
        let of = |kind: &str| found.get(&(kind.to_owned(), score)).unwrap_or(&none);
        for kind in KINDS {
            let (drivers, in_all) = names.get(kind).cloned().unwrap_or_default();
            let asked = Asked { scope, score, kind, drivers: &drivers, in_all, sums: of(kind) };
            rows.extend(asked.means()?);
            for outcome in 0..OUTCOMES.len() {
                rows.extend(asked.of_outcome(outcome)?);
            }
        }
        for (at, outcome) in OUTCOMES.into_iter().enumerate() {
            let row = correlation(scope, [score, outcome], of(WORST).outcomes.at(at))?;
            rows.push(row.driver("worst_touchpoint".to_owned()).window("T3M"));
        }
    }
    Ok(rows.into_iter().map(|row| scope.needs(HISTORY, row)).collect())
}

fn row([score, outcome]: [&'static str; 2], metric: &'static str, method: &'static str) -> Row {
    let row = Row::new("driver", metric, "correlation", method).window("T12M").score(score).graded("E");
    Row { outcome: Some(outcome), ..row }
}

fn correlation(scope: &Scope, name: [&'static str; 2], pair: PairSums) -> Result<Row> {
    let metric = row(name, "driver_outcome_corr", "pairwise").of(pair.n as i64, pair.n as i64);
    if pair.n == 0.0 || scope.guards && pair.n < CORRELATION {
        return Ok(metric.without(Status::InsufficientN));
    }
    metric.statistic(pair.pearson(), None)
}

/// A score at the drivers of a kind, by name.
struct Asked<'a> {
    scope: &'a Scope,
    score: &'static str,
    kind: &'static str,
    drivers: &'a [String],
    in_all: i64,
    sums: &'a Kind,
}

impl Asked<'_> {
    /// The drivers where somebody gave this score, who is known to have an outcome.
    fn places(&self, outcome: usize) -> Vec<usize> {
        let known = |place: &usize| self.sums.outcomes.at(place * OUTCOMES.len() + outcome).n > 0.0;
        (0..self.drivers.len()).filter(known).collect()
    }

    fn name(&self, place: usize) -> String {
        name(self.kind, &self.drivers[place])
    }

    fn means(&self) -> Result<Vec<Row>> {
        let mean = |place: usize| {
            let PairSums { n, sums: [score, responses], products: [squares, product, of_responses] } =
                self.sums.answers.at(place * MOST_DRIVERS + place);
            let whole = |number: f64| number.round() as i64;
            let sums = ScoreSums {
                customers: whole(n),
                score: whole(score),
                responses: whole(responses),
                score_squares: whole(squares),
                score_responses: whole(product),
                responses_squares: whole(of_responses),
            };
            let row = Row::new("driver", "driver_mean", "score", "cluster").window("T12M").score(self.score);
            let row = row.driver(self.name(place)).of(sums.responses, sums.customers);
            row.statistic(sums.mean(), self.scope.guard(MEAN))
        };
        self.places(0).into_iter().map(mean).collect()
    }

    /// Each driver with the outcome and with each other, and the shares of the variance explained.
    fn of_outcome(&self, outcome: usize) -> Result<Vec<Row>> {
        let (scope, sums, places) = (self.scope, self.sums, self.places(outcome));
        let name = [self.score, OUTCOMES[outcome]];
        let with_outcome = |place: usize| place * OUTCOMES.len() + outcome;
        let mut rows = Vec::new();
        for &place in &places {
            let row = correlation(scope, name, sums.outcomes.at(with_outcome(place)))?;
            rows.push(row.driver(self.name(place)));
        }
        let each = || (0..places.len()).flat_map(|one| (one + 1..places.len()).map(move |other| (one, other)));
        let between = |one: usize, other: usize| places[one] * MOST_DRIVERS + places[other];
        // Whatever the outcome, drivers go together as they do.
        for (one, other) in each().filter(|_| outcome == 0) {
            let named = [self.name(places[one]), self.name(places[other])].join("+");
            let row = correlation(scope, name, sums.between.at(between(one, other)))?.driver(named);
            rows.push(Row { metric: "driver_corr", ..row });
        }

        let share = |metric| Row { unit: "share", ..row(name, metric, "lmg") };
        let total = share("driver_r2").of(sums.customers, sums.customers);
        let total = if self.kind == KINDS[0] { total } else { total.driver(self.kind.to_owned()) };
        if self.in_all > MOST_DRIVERS as i64 {
            // The most answered are shown; what they explain depends on those that are not.
            rows.push(total.without(Status::NotApplicable));
            return Ok(rows);
        }
        let shares = |without: Option<usize>| {
            let mut matrix = vec![vec![1.0; places.len()]; places.len()];
            for (one, other) in each() {
                let correlation = sums.between.correlation(between(one, other), without)?;
                (matrix[one][other], matrix[other][one]) = (correlation, correlation);
            }
            let outcome = places.iter().map(|place| sums.outcomes.correlation(with_outcome(*place), without));
            lmg(&matrix, &outcome.collect::<Result<Vec<_>, _>>()?)
        };
        let pairs = each().map(|(one, other)| sums.between.at(between(one, other)));
        let pairs = pairs.chain(places.iter().map(|place| sums.outcomes.at(with_outcome(*place))));
        let smallest = pairs.map(|pair| pair.n).fold(f64::INFINITY, f64::min);
        let found = if scope.guards && smallest < PAIR { Err(Undefined::EmptyBase) } else { shares(None) };
        let found = found.and_then(|found| {
            if scope.guards && found.iter().sum::<f64>() < EXPLAINED {
                return Err(Undefined::NoSpread);
            }
            Ok((found, (0..GROUPS).map(|group| shares(Some(group))).collect::<Result<Vec<_>, _>>()?))
        });
        let estimate = |of: &dyn Fn(&[f64]) -> f64| {
            let (found, without) = found.as_ref().map_err(|error| *error)?;
            Ok::<Estimate, Undefined>(jackknife(of(found), &without.iter().map(|found| of(found)).collect::<Vec<_>>()))
        };
        for (at, &place) in places.iter().enumerate().filter(|_| places.len() > 1) {
            let n = sums.outcomes.at(with_outcome(place)).n as i64;
            let row = share("lmg").of(n, n).driver(self.name(place));
            rows.push(row.statistic(estimate(&|found| found[at]), None)?);
        }
        rows.push(total.statistic(estimate(&|found| found.iter().sum()), None)?);
        Ok(rows)
    }
}
