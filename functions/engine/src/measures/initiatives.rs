//! What programmes for customer experience returned: the effect on those whom they treat, against what they cost, with a grade
//! of the evidence that follows from the checks alone.

use std::collections::BTreeMap;

use stats::correlation::PairSums;
use stats::difference_in_differences::{
    Arm, Months, Staggered, Stratum, change_of_answers, confidence_above, cuped, difference, joint_pretrend,
    minimum_detectable, sample_ratio, treated_kept,
};
use stats::regression::benjamini_hochberg;
use stats::{Estimate, Undefined};

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{ALL, MEAN, Row, Status};
use crate::rows::Money;

/// Customers of an arm, and months before and after the start, below which nothing is shown.
const CUSTOMERS: u64 = 50;
const BEFORE: u64 = 3;
const AFTER: u64 = 2;
/// Of a programme whose value is measured on fewer of those treated, the whole cost stands against part of the value.
const MEASURED: f64 = 0.8;
/// Customers with a score, or with two, below which nothing is shown, and those that an interval needs.
const SCORED: u64 = 50;
const PAIRS: u64 = 4;
/// Sums of scores come in hundred-thousandths, as the lists that they are in keep four decimals.
const SCORE_UNITS: f64 = 1e5;
/// Of a programme for those whose score was low: what is not compared by score says what would have come by itself, too.
const REGRESSION_TO_MEAN: &str = "regression_to_mean";
/// Numbers of a customer before and after the start: the places of the answers among them, and how many they are.
const ANSWERS: [usize; 4] = [6, 7, 8, 9];

/// A programme, its customers and those to compare them with.
struct Programme<'a> {
    scope: &'a Scope,
    name: String,
    is_listed: bool,
    is_randomised: bool,
    is_contaminated: bool,
    /// Whether it is for those whose last score was low, so that strata are of it.
    is_aimed_at_detractors: bool,
    months: Months,
    months_known: [i64; 2],
    treated_in_all: i64,
    /// Of those who came before the months measured, all, and those whom another programme treated meanwhile.
    treated_eligible: i64,
    treated_leaving: i64,
    held_out_in_all: i64,
    /// The share of customers that was to be held out.
    planned: Option<f64>,
    /// What it cost, where it says so; what of it fell before the months measured; and what in each of these.
    cost: Option<Money>,
    cost_before: f64,
    cost_by_month: Vec<f64>,
    expected: Option<Money>,
    /// By month: net value capped and raw; then before and after.
    strata: [Vec<Stratum>; 3],
    answering: i64,
    /// By month: net value capped and raw, of those treated by the month of their own start. Empty if that is everybody's.
    staggered: [Staggered; 2],
    /// Those who had scored before the start, treated and not: how many, and the sum of their last scores.
    scored: [(i64, f64); 2],
    /// The last score before the start and the first from it on, of those not treated.
    retest: PairSums,
}

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    if sums.segment != ALL {
        return Ok(Vec::new());
    }
    let mut programmes: BTreeMap<String, Vec<Sums>> = BTreeMap::new();
    for row in sums.each()? {
        programmes.entry(row.text("initiative")?.unwrap_or_default()).or_default().push(row);
    }
    let mut rows = Vec::new();
    for (name, sums) in &programmes {
        rows.extend(Programme::read(scope, name, sums)?.rows()?);
    }
    // The programmes of a report are a family of tests.
    let headline = |row: &&mut Row| (row.metric, row.method) == ("did_net_value", "stratified");
    let mut tested: Vec<_> = rows.iter_mut().filter(headline).filter(|row| p_value(row.estimate).is_some()).collect();
    let q = benjamini_hochberg(&tested.iter().filter_map(|row| p_value(row.estimate)).collect::<Vec<_>>());
    tested.iter_mut().zip(q).for_each(|(row, q)| row.q = Some(q));
    let names: Vec<&String> = programmes.keys().collect();
    let portfolio = portfolio(&rows, &names)?;
    rows.extend(portfolio);
    Ok(rows)
}

/// All programmes together: what can be added up of them. Customers of two programmes at once are in neither's value, but for
/// contaminated ones, which are left out with their cost, as is what has no value or no cost. As nobody knows how the errors go
/// together, the interval is from the sum of the lower ends to that of the upper ones: wider than the true one.
fn portfolio(rows: &[Row], programmes: &[&String]) -> Result<Vec<Row>> {
    let known = |programme: &str, metric: &str| {
        let is_it = |row: &&Row| row.metric == metric && row.initiative.as_deref() == Some(programme);
        rows.iter().find(is_it).filter(|row| row.status == Status::Ok)
    };
    let is_contaminated = |programme: &str| {
        let effects = rows.iter().filter(|row| row.initiative.as_deref() == Some(programme));
        effects.flat_map(|row| &row.flags).any(|flag| *flag == "contaminated")
    };
    let (mut cost, mut left_out) = (Money::default(), Money::default());
    let (mut grade, mut values, mut added, mut customers) = ("A", [Vec::new(), Vec::new()], 0, 0);
    for programme in programmes {
        let own_cost = known(programme, "initiative_cost").and_then(|row| row.exact);
        let own = ["initiative_value", "initiative_value_raw"].map(|metric| known(programme, metric));
        let ([Some(value), Some(raw)], Some(own_cost), false) = (own, own_cost, is_contaminated(programme)) else {
            left_out = left_out.plus(own_cost.unwrap_or_default())?;
            continue;
        };
        (grade, cost) = (grade.max(value.grade), cost.plus(own_cost)?);
        (added, customers) = (added + 1, customers + value.customers.unwrap_or_default());
        values[0].extend(value.estimate);
        values[1].extend(raw.estimate);
    }
    if programmes.is_empty() {
        return Ok(Vec::new());
    }
    let row = |metric, unit, method| Row::new("initiative", metric, unit, method);
    let mut found = vec![
        row("portfolio_programmes", "count", "census").census(f64::from(added)),
        row("portfolio_cost", "money", "census").amount(cost),
        row("portfolio_cost_not_measured", "money", "census").amount(left_out),
    ];
    for (values, metrics) in values.iter().zip([
        ["portfolio_value", "portfolio_net", "portfolio_roi"],
        ["portfolio_value_raw", "portfolio_net_raw", "portfolio_roi_raw"],
    ]) {
        let end = |of: fn(&Estimate) -> Option<f64>| values.iter().map(of).sum::<Option<f64>>();
        let value = Estimate { lo: end(|value| value.lo), hi: end(|value| value.hi), ..Estimate::census(0.0) };
        let value = Estimate { value: values.iter().map(|value| value.value).sum(), ..value };
        let spent = cost.to_f64();
        let roi = if spent > 0.0 { Ok(value.scaled(1.0 / spent).shifted(-1.0)) } else { Err(Undefined::NegativeBase) };
        for (metric, unit, result) in [
            (metrics[0], "money", Ok(value)),
            (metrics[1], "money", Ok(value.shifted(-spent))),
            (metrics[2], "ratio", roi),
        ] {
            let row = row(metric, unit, "sum_of_bounds").of(customers, customers).graded(grade);
            found.push(if added == 0 {
                row.of(None, None).without(Status::InsufficientN)
            } else {
                row.statistic(result, None)?
            });
        }
    }
    Ok(found)
}

fn p_value(estimate: Option<Estimate>) -> Option<f64> {
    estimate.and_then(|estimate| estimate.p)
}

impl<'a> Programme<'a> {
    fn read(scope: &'a Scope, name: &str, sums: &[Sums]) -> Result<Self> {
        let mut strata: BTreeMap<_, [Stratum; 3]> = BTreeMap::new();
        let mut cohorts: BTreeMap<i64, [Arm; 2]> = BTreeMap::new();
        let (mut answering, mut scored, mut retest) = (0, [(0, 0.0); 2], [0.0; 6]);
        for row in sums.iter() {
            if row.integer("customers")? == 0 {
                continue;
            }
            answering += row.integer("answering_customers")?;
            let key = (row.text("stratum")?, row.integer("spend_group")?, row.text("score_band")?);
            let cell = strata.entry(key).or_default();
            let is_treated = row.integer("is_treated")? == 1;
            let cohort = is_treated.then_some(row.integer("started_after")?);
            for (at, column) in ["net_value", "net_value_raw", "changes"].into_iter().enumerate() {
                let arm = Arm::of(&row.numbers(column)?).map_err(|_| row.unknown(column))?;
                if let (Some(cohort), 0..2) = (cohort, at) {
                    let cohort = cohorts.entry(cohort).or_default();
                    cohort[at] = cohort[at].plus(&arm);
                }
                let stratum = if is_treated { &mut cell[at].treated } else { &mut cell[at].control };
                *stratum = stratum.plus(&arm);
            }
            if let [customers, sum, _] = row.numbers("last_scores")?[..] {
                let of_arm = &mut scored[usize::from(!is_treated)];
                *of_arm = (of_arm.0 + customers as i64, of_arm.1 + sum / SCORE_UNITS);
            }
            if !is_treated {
                retest.iter_mut().zip(row.numbers("retest")?).for_each(|(sum, part)| *sum += part);
            }
        }
        let scores = |at: usize| retest[at] / SCORE_UNITS;
        let squares = |at: usize| scores(at) / SCORE_UNITS;
        let row = &sums[0];
        let known = [row.integer("months_before")?, row.integer("months_after")?];
        let [before, after] = known.map(|months| usize::try_from(months).unwrap_or(0));
        if cohorts.keys().all(|cohort| *cohort == 0) {
            cohorts.clear();
        }
        let staggered = [0, 1].map(|at| {
            let start = |cohort: i64| before + usize::try_from(cohort).unwrap_or(usize::MAX - before);
            Staggered {
                never: strata.values().fold(Arm::default(), |all, cell| all.plus(&cell[at].control)),
                cohorts: cohorts.iter().map(|(cohort, arms)| (start(*cohort), arms[at].clone())).collect(),
            }
        });
        Ok(Self {
            is_aimed_at_detractors: strata.keys().any(|(_, _, band)| band.is_some()),
            scope,
            name: name.to_owned(),
            is_listed: row.integer("is_listed")? == 1,
            is_randomised: row.integer("randomised")? == 1,
            is_contaminated: row.integer("is_contaminated")? == 1,
            months: Months { before, between: row.count("months_between")? as usize, after },
            months_known: known,
            treated_in_all: row.integer("treated_in_all")?,
            treated_eligible: row.integer("treated_eligible")?,
            treated_leaving: row.integer("treated_leaving")?,
            held_out_in_all: row.integer("held_out_in_all")?,
            planned: row.number_or_null("holdout_share")?,
            cost: (row.integer("has_cost")? == 1).then(|| row.money("cost")).transpose()?,
            cost_before: row.money("cost_before")?.to_f64(),
            cost_by_month: row.numbers("cost_by_month")?,
            expected: row.number_or_null("expected_net_value")?.map(|_| row.money("expected_net_value")).transpose()?,
            strata: [0, 1, 2].map(|at| strata.values().map(|cell| cell[at].clone()).collect()),
            answering,
            staggered,
            scored,
            retest: PairSums {
                n: retest[0],
                sums: [scores(1), scores(2)],
                products: [squares(3), squares(4), squares(5)],
            },
        })
    }

    /// Why nothing can be said, if so.
    fn status(&self, all: &Stratum) -> Option<Status> {
        let [before, after] = self.months_known;
        let scope = self.scope;
        let short = |months: i64, least: u64| months < scope.least(least) as i64;
        let smaller = all.treated.customers.min(all.control.customers);
        if short(before, BEFORE) || short(after, AFTER) {
            Some(Status::InsufficientHistory)
        } else if smaller < scope.least(CUSTOMERS).max(2) as f64 {
            Some(Status::InsufficientN)
        } else if (smaller as i64) < scope.min_customers {
            Some(Status::Suppressed)
        } else {
            None
        }
    }

    fn row(&self, metric: &'static str, unit: &'static str, method: &'static str) -> Row {
        let row = Row::new("initiative", metric, unit, method);
        Row { initiative: Some(self.name.clone()), ..row }
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let [net, raw, changes] = self.strata.each_ref().map(|strata| Stratum::pooled(strata));
        let status = self.status(&net);
        let sizes = [net.treated.customers as i64, net.control.customers as i64];
        let customers = sizes[0] + sizes[1];
        let mut rows = Vec::new();
        let unmeasured = match self.months_known {
            [before, after] if before < 1 || after < 1 => Some(Status::InsufficientHistory),
            _ => None,
        };
        for (metric, size) in ["treated_customers", "control_customers"].into_iter().zip(sizes) {
            let row = self.row(metric, "count", "census").of(size, (size > 0).then_some(size)).census(size as f64);
            rows.push(unmeasured.map_or(row.clone(), |status| row.of(None, None).without(status)));
        }
        let (leaving, eligible) = (self.treated_leaving, self.treated_eligible);
        let overlap = self.row("overlapping_share", "share", "census").of(eligible, (leaving > 0).then_some(leaving));
        rows.push(match unmeasured {
            Some(status) => overlap.of(None, None).without(status),
            None if eligible == 0 => overlap.without(Status::InsufficientN),
            None => overlap.census(leaving as f64 / eligible as f64),
        });
        rows.push(self.cost_row());
        if let Some(expected) = self.expected {
            rows.push(self.row("expected_net_value", "money", "census").amount(expected));
        }
        let (change, trend) = (self.months.change(), self.months.trend_adjusted_change());
        let pooled = |stratum: &Stratum, weights: &[f64]| match status {
            None => difference(std::slice::from_ref(stratum), weights),
            Some(_) => Err(Undefined::EmptyBase),
        };
        let stratified = |at: usize, weights: &[f64]| match status {
            None => difference(&self.strata[at], weights),
            Some(_) => Err(Undefined::EmptyBase),
        };
        let effects = [0, 1].map(|at| stratified(at, &change));
        let crude = pooled(&net, &change);
        let trended = pooled(&net, &trend);
        let joint = if status.is_none() { joint_pretrend(&net, self.months) } else { Err(Undefined::EmptyBase) };
        let slope = pooled(&net, &self.months.slope());
        let ratio = self
            .planned
            .map(|planned| sample_ratio([self.treated_in_all as f64, self.held_out_in_all as f64], planned));
        let kept = treated_kept(&self.strata[0]);
        let compared: Vec<Stratum> = self.strata[0].iter().filter(|stratum| stratum.has_both()).cloned().collect();
        let compared = Stratum::pooled(&compared);
        let compared = (compared.treated.customers + compared.control.customers) as i64;
        let share_kept = kept / net.treated.customers;
        let checks = Checks {
            is_randomised: self.is_randomised,
            sample_ratio_p: ratio.and_then(|ratio| p_value(ratio.ok())),
            is_listed: self.is_listed,
            is_contaminated: self.is_contaminated,
            treated: sizes[0],
            controls: sizes[1],
            months_before: self.months_known[0],
            joint_p: p_value(joint.ok()),
            slope_p: p_value(slope.ok()),
            share_kept,
            stratified: effects[0].ok(),
            crude: crude.ok(),
            trended: trended.ok(),
        };
        let (grade, reasons) = checks.grade();

        let finished = |row: Row, result: Result<Estimate, Undefined>| match status {
            Some(status) => Ok(row.of(None, None).without(status)),
            None => row.statistic(result, None),
        };
        let effect = |metric, unit, method, outcome| {
            let row = self.row(metric, unit, method).of(customers, customers).graded(grade);
            let row = Row { outcome: Some(outcome), ..row };
            // What was low comes back by itself, and only strata of the last score compare with what comes back as well.
            let is_alike = !self.is_aimed_at_detractors || method == "stratified" || metric.starts_with("pretrend");
            if is_alike { row } else { row.graded("E").flag(REGRESSION_TO_MEAN) }
        };
        let money = "money/customer-month";
        for (at, metric, crude) in [(0, "did_net_value", crude), (1, "did_net_value_raw", pooled(&raw, &change))] {
            rows.push(finished(effect(metric, money, "welch", "net_value"), crude)?);
            let row = effect(metric, money, "stratified", "net_value").of(compared, compared);
            let row = finished(row, effects[at])?;
            let row = row.tail_sensitive(effects.map(Result::ok));
            rows.push(reasons.iter().fold(row, |row, reason| row.flag(reason)));
        }
        if self.is_randomised {
            let adjusted = if status.is_none() { cuped(&net, self.months) } else { Err(Undefined::EmptyBase) };
            rows.push(finished(effect("did_net_value", money, "cuped", "net_value"), adjusted)?);
            let drawn = self.treated_in_all + self.held_out_in_all;
            let row = self.row("sample_ratio", "chi2", "chi_squared").of(drawn, drawn);
            rows.push(ratio.map_or(row.clone().of(None, None).without(Status::NotApplicable), |ratio| row.test(ratio)));
        }
        let of_changes = |weights: &[(usize, f64)]| {
            let mut all = vec![0.0; ANSWERS[3] + 1];
            weights.iter().for_each(|(at, weight)| all[*at] = *weight);
            all
        };
        let [before, after] = [self.months.before, self.months.after].map(|months| 1.0 / months as f64);
        let last = 1.0 / self.months.after.min(3) as f64;
        let activity = of_changes(&[(4, -before), (5, last)]);
        for (metric, unit, outcome, weights) in [
            ("did_revenue", money, "revenue", of_changes(&[(0, -before), (1, after)])),
            ("did_service_saving", money, "service_saving", of_changes(&[(2, before), (3, -after)])),
            ("did_active", "share", "active", activity.clone()),
        ] {
            rows.push(finished(effect(metric, unit, "welch", outcome), pooled(&changes, &weights))?);
        }
        let retained = stratified(2, &activity);
        rows.push(finished(effect("did_active", "share", "stratified", "active").of(compared, compared), retained)?);
        let row = effect("did_net_value_trend_adjusted", money, "welch", "net_value");
        rows.push(finished(row, trended)?);
        rows.push(finished(effect("pretrend_slope", money, "welch", "net_value"), slope)?);
        let row = effect("pretrend_joint", "chi2", "wald", "net_value");
        rows.push(match (status, joint) {
            (Some(status), _) => row.of(None, None).without(status),
            (None, Err(Undefined::Collinear)) => row.without(Status::Collinear),
            (None, joint) => row.test(joint),
        });
        let (start, between) = (self.months.before, self.months.between);
        let events = (0..start.saturating_sub(1)).chain(start + between..start + between + self.months.after);
        for at in events.filter(|_| status.is_none()) {
            let row = effect("event_study", money, "welch", "net_value");
            let row = Row { lag: Some(at as i32 - start as i32), ..row };
            rows.push(finished(row, pooled(&net, &self.months.event(at)))?);
        }
        if !self.staggered[0].cohorts.is_empty() {
            // Few customers may have a month so long before or after their own start, whatever the size of the arms.
            let guarded = |row: Row, treated: f64, found: Result<Estimate, Undefined>| {
                let used = (treated + net.control.customers) as i64;
                let row = row.of(used, used);
                match status {
                    Some(status) => Ok(row.of(None, None).without(status)),
                    None if treated < self.scope.least(CUSTOMERS) as f64 => Ok(row.without(Status::InsufficientN)),
                    None if (treated as i64) < self.scope.min_customers => {
                        Ok(row.of(None, None).without(Status::Suppressed))
                    }
                    None => row.statistic(found, None),
                }
            };
            for (metric, staggered) in ["did_net_value", "did_net_value_raw"].into_iter().zip(&self.staggered) {
                let row = effect(metric, money, "staggered", "net_value");
                let (treated, found) = (staggered.treated(|after| after >= 0), staggered.effect(|after| after >= 0));
                rows.push(guarded(row, treated, found)?);
            }
            let months = (start + between + self.months.after) as i64;
            for lag in (-months..months).filter(|lag| *lag != -1 && status.is_none()) {
                let row = Row { lag: Some(lag as i32), ..effect("event_study", money, "staggered", "net_value") };
                let treated = self.staggered[0].treated(|after| after == lag);
                if treated > 0.0 {
                    rows.push(guarded(row, treated, self.staggered[0].effect(|after| after == lag))?);
                }
            }
        }
        if self.is_listed && !self.is_randomised {
            rows.push(self.regression_to_mean(status)?);
        }
        let row = effect("did_nps", "points", "cluster", "nps").of(None, None).score("nps");
        rows.push(self.answers(row, &changes, status)?);
        rows.extend(self.money(effects, retained, kept, share_kept, (status, grade, &reasons))?);
        Ok(rows)
    }

    fn cost_row(&self) -> Row {
        let row = self.row("initiative_cost", "money", "census");
        match self.cost {
            None => row.without(Status::NotApplicable),
            Some(_) if self.months.after == 0 => row.without(Status::InsufficientHistory),
            Some(cost) => row.amount(cost),
        }
    }

    fn answers(&self, row: Row, changes: &Stratum, status: Option<Status>) -> Result<Row> {
        if let Some(status) = status {
            return Ok(row.without(status));
        }
        let responses = [&changes.treated, &changes.control].map(|arm| {
            let answers = |at: usize| {
                let mut weights = vec![0.0; ANSWERS[3] + 1];
                weights[at] = 1.0;
                (arm.mean(&weights) * arm.customers).round() as i64
            };
            answers(ANSWERS[0]) + answers(ANSWERS[2])
        });
        let row = row.of(responses[0] + responses[1], self.answering);
        let change = change_of_answers(changes, ANSWERS, self.answering as f64);
        row.statistic(change.map(|change| change.scaled(100.0)), self.scope.guard(MEAN))
    }

    /// How far the scores of those treated would have come back to the mean without any treatment.
    fn regression_to_mean(&self, status: Option<Status>) -> Result<Row> {
        let row = self.row("expected_regression_to_mean", "score", "test_retest").score("nps");
        let row = Row { outcome: Some("nps"), ..row };
        let [(treated, of_treated), (others, of_others)] = self.scored;
        let least = |least: u64| self.scope.least(least) as f64;
        let few = self.retest.n < least(SCORED).max(PAIRS as f64) || (treated as f64) < least(SCORED);
        if let Some(status) = status.or(few.then_some(Status::InsufficientN)) {
            return Ok(row.of(None, None).without(status));
        }
        let all = treated + others;
        let distance = (of_treated + of_others) / all as f64 - of_treated / treated as f64;
        let expected = self.retest.pearson().map(|retest| {
            let [one, other] = [retest.hi, retest.lo].map(|end| end.map(|end| (1.0 - end) * distance));
            let (lo, hi) = if distance < 0.0 { (other, one) } else { (one, other) };
            Estimate { lo, hi, ..Estimate::census((1.0 - retest.value) * distance) }
        });
        row.of(all, all).statistic(expected, None)
    }

    /// What the effect is worth on those it was measured on, against the cost of the whole programme.
    fn money(
        &self,
        effects: [Result<Estimate, Undefined>; 2],
        retained: Result<Estimate, Undefined>,
        kept: f64,
        share_kept: f64,
        (status, grade, reasons): (Option<Status>, &'static str, &[&'static str]),
    ) -> Result<Vec<Row>> {
        let measured = kept / self.treated_in_all as f64;
        let all_measured = measured >= MEASURED;
        let grade = if all_measured { grade } else { grade.max("C") };
        let months = self.months;
        let customer_months = kept * months.after as f64;
        let cost = self.cost.map(Money::to_f64);
        let row = |metric, unit| self.row(metric, unit, "stratified").of(kept as i64, kept as i64).graded(grade);
        let without = |row: Row| {
            status.map(|status| row.clone().of(None, None).without(status)).or_else(|| {
                // Without a cost there is nothing to hold the value against.
                cost.is_none().then(|| row.without(Status::NotApplicable))
            })
        };
        let mut rows = Vec::new();
        for (metric, share) in [("treated_share_kept", share_kept), ("measured_share", measured)] {
            let row = Row { grade: "descriptive", ..row(metric, "share") };
            rows.push(match status {
                Some(status) => row.of(None, None).without(status),
                None if share.is_finite() => row.census(share),
                None => row.without(Status::InsufficientN),
            });
        }
        let discount = |month: usize| (1.0 + self.scope.annual_discount_rate).powf(-(month as f64 + 1.0) / 12.0);
        let discounted: Vec<f64> = (0..months.after).map(discount).collect();
        let costs = |upto: usize| -> f64 {
            let by_month = self.cost_by_month.iter().zip(&discounted).take(upto);
            self.cost_before + by_month.map(|(cost, discount)| cost * discount).sum::<f64>()
        };
        for (raw, effect) in effects.into_iter().enumerate() {
            let name = |names: [&'static str; 2]| names[raw];
            let value = effect.map(|effect| effect.scaled(customer_months));
            let of_cost = |of: &dyn Fn(Estimate, f64) -> Result<Estimate, Undefined>| {
                value.and_then(|value| of(value, cost.unwrap_or_default()))
            };
            let finished = |row: Row, result| without(row.clone()).map_or_else(|| row.statistic(result, None), Ok);
            let worth = row(name(["initiative_value", "initiative_value_raw"]), "money");
            rows.push(match status {
                Some(status) => worth.of(None, None).without(status),
                None => worth.statistic(value, None)?.tail_sensitive(effects.map(Result::ok)),
            });
            let net = of_cost(&|value, cost| Ok(value.shifted(-cost)));
            rows.push(finished(row(name(["initiative_net", "initiative_net_raw"]), "money"), net)?);
            let roi = of_cost(&|value, cost| match cost > 0.0 {
                true => Ok(value.scaled(1.0 / cost).shifted(-1.0)),
                false => Err(Undefined::EmptyBase),
            });
            let free = cost.is_some_and(|cost| cost <= 0.0);
            let by_cost = |row: Row, result| {
                let row = finished(row, result)?;
                // Without a cost of its own, any value is infinitely many times it.
                Ok::<_, crate::Error>(if free && status.is_none() { row.without(Status::Degenerate) } else { row })
            };
            let row_of_roi = by_cost(row(name(["roi", "roi_raw"]), "ratio"), roi)?;
            let row_of_roi = row_of_roi.tail_sensitive(effects.map(Result::ok));
            let row_of_roi = reasons.iter().fold(row_of_roi, |row, reason| row.flag(reason));
            rows.push(if all_measured { row_of_roi } else { row_of_roi.flag("measured_on_part") });
            if !all_measured && status.is_none() {
                // As if the cost were spread evenly over those treated.
                let part = of_cost(&|value, cost| match cost * measured > 0.0 {
                    true => Ok(value.scaled(1.0 / (cost * measured)).shifted(-1.0)),
                    false => Err(Undefined::EmptyBase),
                });
                let row = by_cost(row(name(["roi_measured", "roi_measured_raw"]), "ratio"), part)?;
                rows.push(row.flag("assumes_cost_spread_evenly"));
            }
            let weights = months.excess(|month| discounted[month]);
            let worth = difference(&self.strata[raw], &weights).map(|worth| worth.scaled(kept));
            let worth = worth.map(|worth| Estimate { p: None, ..worth.shifted(-costs(months.after)) });
            let npv = finished(row(name(["npv", "npv_raw"]), "money"), worth)?;
            rows.push(npv);
            if raw == 1 {
                continue;
            }
            let certain = |of: &dyn Fn(Estimate) -> Option<f64>| effect.ok().and_then(of).map(Estimate::census);
            let break_even = cost.filter(|_| customer_months > 0.0).map(|cost| cost / customer_months);
            let confidence = break_even.and_then(|threshold| certain(&|effect| confidence_above(&effect, threshold)));
            let detectable = certain(&|effect| minimum_detectable(&effect));
            let known = |row: Row, value: Option<Estimate>| match value {
                Some(value) => finished(row, Ok(value)).map(|row| Row { flags: Vec::new(), ..row }),
                None => finished(row, Err(Undefined::EmptyBase)),
            };
            rows.push(known(row("roi_confidence", "share"), confidence)?);
            rows.push(known(row("breakeven_effect", "money/customer-month"), break_even.map(Estimate::census))?);
            let underpowered =
                detectable.zip(break_even).is_some_and(|(detectable, break_even)| detectable.value > break_even);
            let smallest = row("mde80", "money/customer-month");
            let smallest = match (status, detectable) {
                (Some(status), _) => smallest.of(None, None).without(status),
                (None, Some(detectable)) => smallest.census(detectable.value),
                (None, None) => smallest.without(Status::Degenerate),
            };
            rows.push(if underpowered { smallest.flag("underpowered") } else { smallest });
            rows.extend(self.payback(&row, &without, kept, &discounted, &costs));
            if let (Some(expected), None) = (self.expected, status) {
                let beyond = of_cost(&|value, cost| Ok(value.shifted(-cost - expected.to_f64())));
                rows.push(finished(row("net_beyond_expected", "money"), beyond)?);
            }
            let lost = self.row("cost_per_retained_customer", "money/customer", "stratified");
            let lost = lost.of(kept as i64, kept as i64).graded(grade);
            let per_customer =
                retained.and_then(|retained| cost_per_retained(retained, cost.unwrap_or_default(), kept));
            rows.push(finished(lost, per_customer)?);
        }
        Ok(rows)
    }

    /// What the programme brought up to each month, and the first month by which it had paid for itself.
    fn payback(
        &self,
        row: &dyn Fn(&'static str, &'static str) -> Row,
        without: &dyn Fn(Row) -> Option<Row>,
        kept: f64,
        discounted: &[f64],
        costs: &dyn Fn(usize) -> f64,
    ) -> Vec<Row> {
        if let Some(row) = without(row("payback_month", "months")) {
            return vec![row];
        }
        let (mut rows, mut reached) = (Vec::new(), None);
        for month in 1..=self.months.after {
            let weights = self.months.excess(|at| if at < month { discounted[at] } else { 0.0 });
            let Ok(worth) = difference(&self.strata[0], &weights) else {
                return vec![row("payback_month", "months").without(Status::InsufficientN)];
            };
            let net = worth.scaled(kept).shifted(-costs(month));
            let row = Row { lag: Some(month as i32), ..row("cumulative_net", "money") };
            rows.push(Row { estimate: Some(Estimate { p: None, ..net }), status: Status::Ok, ..row });
            if net.value >= 0.0 {
                reached.get_or_insert(month);
            }
        }
        let mut payback = row("payback_month", "months");
        match reached {
            Some(month) => payback = payback.census(month as f64),
            None => payback.flags.push("not_reached"),
        }
        rows.push(payback);
        rows
    }
}

/// The cost by customer kept: its interval is that of the share turned over, and unbounded where the share could be 0.
fn cost_per_retained(retained: Estimate, cost: f64, customers: f64) -> Result<Estimate, Undefined> {
    match retained.lo.zip(retained.hi) {
        Some((lo, hi)) if lo > 0.0 => {
            let of = |share: f64| cost / (customers * share);
            Ok(Estimate { lo: Some(of(hi)), hi: Some(of(lo)), ..Estimate::census(of(retained.value)) })
        }
        _ => Err(Undefined::Unbounded),
    }
}

/// What the grade of a programme follows from.
#[derive(Debug, Clone, Copy)]
struct Checks {
    /// Drawn by lot, and the p-value of the arms' sizes being as planned.
    is_randomised: bool,
    sample_ratio_p: Option<f64>,
    /// Customer by customer, not a whole segment.
    is_listed: bool,
    is_contaminated: bool,
    treated: i64,
    controls: i64,
    months_before: i64,
    joint_p: Option<f64>,
    slope_p: Option<f64>,
    share_kept: f64,
    stratified: Option<Estimate>,
    crude: Option<Estimate>,
    trended: Option<Estimate>,
}

impl Checks {
    /// The grade, and the checks that keep it from a better one.
    fn grade(&self) -> (&'static str, Vec<&'static str>) {
        let same_direction = |one: Estimate, other: Estimate| one.value * other.value > 0.0;
        let near =
            |one: Estimate, other: Estimate| one.se.is_some_and(|se| (one.value - other.value).abs() <= 2.0 * se);
        let both = |other: Option<Estimate>, holds: &dyn Fn(Estimate, Estimate) -> bool| {
            self.stratified.zip(other).is_some_and(|(one, other)| holds(one, other))
        };
        let above = |p: Option<f64>, least: f64| p.is_some_and(|p| p >= least);
        let lottery = [
            ("sample_ratio_not_as_planned", above(self.sample_ratio_p, 0.001)),
            ("arms_differed_before", above(self.joint_p, 0.01)),
            ("fewer_than_200_treated", self.treated >= 200),
            ("fewer_than_200_controls", self.controls >= 200),
        ];
        let failed = |checks: &[(&'static str, bool)]| -> Vec<&'static str> {
            checks.iter().filter(|(_, holds)| !holds).map(|(reason, _)| *reason).collect()
        };
        let of_lottery = failed(&lottery);
        if self.is_randomised && of_lottery.is_empty() {
            return ("A", of_lottery);
        }
        let checks = [
            ("whole_segment", self.is_listed),
            ("contaminated", !self.is_contaminated),
            ("fewer_than_200_treated", self.treated >= 200),
            ("fewer_than_200_controls", self.controls >= 200),
            ("fewer_than_3_months_before", self.months_before >= 3),
            ("arms_differed_before", above(self.joint_p, 0.1)),
            ("arms_drifted_before", above(self.slope_p, 0.1)),
            ("strata_without_controls", self.share_kept >= 0.8),
            ("strata_move_effect", both(self.crude, &near)),
            ("trend_turns_effect", both(self.trended, &same_direction)),
        ];
        let mut reasons = failed(&checks);
        let grade = match () {
            () if !self.is_listed || self.is_contaminated => "D",
            () if reasons.is_empty() => "B",
            () => "C",
        };
        if self.is_randomised {
            // What keeps it from an A.
            let others: Vec<_> = of_lottery.into_iter().filter(|reason| !reasons.contains(reason)).collect();
            reasons.extend(others);
        }
        (grade, reasons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, se: f64) -> Option<Estimate> {
        Some(Estimate { se: Some(se), ..Estimate::census(value) })
    }

    /// A programme that passes every check of a comparison.
    fn sound() -> Checks {
        Checks {
            is_randomised: false,
            sample_ratio_p: None,
            is_listed: true,
            is_contaminated: false,
            treated: 200,
            controls: 200,
            months_before: 3,
            joint_p: Some(0.1),
            slope_p: Some(0.1),
            share_kept: 0.8,
            stratified: estimate(4.0, 1.0),
            crude: estimate(6.0, 1.0),
            trended: estimate(0.1, 9.0),
        }
    }

    #[test]
    fn a_grade_follows_from_the_checks_alone() {
        let drawn = || Checks { is_randomised: true, sample_ratio_p: Some(0.001), joint_p: Some(0.01), ..sound() };
        let cases: [(Checks, &str, &[&str]); 23] = [
            (sound(), "B", &[]),
            (Checks { treated: 199, ..sound() }, "C", &["fewer_than_200_treated"]),
            (Checks { controls: 199, ..sound() }, "C", &["fewer_than_200_controls"]),
            (Checks { months_before: 2, ..sound() }, "C", &["fewer_than_3_months_before"]),
            (Checks { joint_p: Some(0.099), ..sound() }, "C", &["arms_differed_before"]),
            (Checks { joint_p: None, ..sound() }, "C", &["arms_differed_before"]),
            (Checks { slope_p: Some(0.099), ..sound() }, "C", &["arms_drifted_before"]),
            (Checks { share_kept: 0.79, ..sound() }, "C", &["strata_without_controls"]),
            (Checks { crude: estimate(6.01, 1.0), ..sound() }, "C", &["strata_move_effect"]),
            (Checks { crude: estimate(1.99, 1.0), ..sound() }, "C", &["strata_move_effect"]),
            (Checks { trended: estimate(-0.1, 9.0), ..sound() }, "C", &["trend_turns_effect"]),
            (Checks { stratified: None, ..sound() }, "C", &["strata_move_effect", "trend_turns_effect"]),
            (Checks { is_contaminated: true, ..sound() }, "D", &["contaminated"]),
            (Checks { is_listed: false, ..sound() }, "D", &["whole_segment"]),
            (Checks { is_listed: false, treated: 9, ..sound() }, "D", &["whole_segment", "fewer_than_200_treated"]),
            (drawn(), "A", &[]),
            // Of a lottery nothing else is asked: strata and trends are as they fell.
            (Checks { slope_p: None, share_kept: 0.1, trended: None, months_before: 1, ..drawn() }, "A", &[]),
            (
                Checks { sample_ratio_p: Some(0.0009), joint_p: Some(0.5), ..drawn() },
                "B",
                &["sample_ratio_not_as_planned"],
            ),
            (Checks { sample_ratio_p: None, joint_p: Some(0.5), ..drawn() }, "B", &["sample_ratio_not_as_planned"]),
            (Checks { joint_p: Some(0.009), ..drawn() }, "C", &["arms_differed_before"]),
            (Checks { treated: 199, joint_p: Some(0.5), ..drawn() }, "C", &["fewer_than_200_treated"]),
            (Checks { controls: 199, joint_p: Some(0.5), ..drawn() }, "C", &["fewer_than_200_controls"]),
            // The callback programme of the golden lake.
            (
                Checks {
                    treated: 175,
                    controls: 332,
                    months_before: 6,
                    joint_p: Some(0.155),
                    slope_p: Some(0.417),
                    share_kept: 1.0,
                    stratified: estimate(4.31, 1.25),
                    crude: estimate(4.14, 1.17),
                    trended: estimate(1.65, 3.31),
                    ..sound()
                },
                "C",
                &["fewer_than_200_treated"],
            ),
        ];
        for (checks, grade, reasons) in cases {
            assert_eq!(checks.grade(), (grade, reasons.to_vec()), "{checks:?}");
        }
    }

    #[test]
    fn a_customer_kept_costs_without_bounds_where_nobody_may_be_kept() {
        let of = |value, lo, hi| Estimate { lo: Some(lo), hi: Some(hi), ..Estimate::census(value) };
        let found = cost_per_retained(of(0.2, 0.1, 0.4), 1000.0, 100.0).unwrap();
        assert_eq!((found.value, found.lo, found.hi), (50.0, Some(25.0), Some(100.0)));
        for retained in [of(0.2, 0.0, 0.4), of(-0.2, -0.4, -0.1), Estimate::census(0.2)] {
            assert_eq!(cost_per_retained(retained, 1000.0, 100.0).unwrap_err(), Undefined::Unbounded);
        }
    }
}
