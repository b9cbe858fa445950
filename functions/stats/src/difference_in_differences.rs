//! What a programme changed: the change of those treated less the change of those who were not.
//!
//! Each customer has a list of months, those before the start and those after it. Every estimator here is a weighted sum of a
//! customer's months, so means, covariances and sizes by stratum and arm are all that is needed. O. Ashenfelter, D. Card,
//! *Using the longitudinal structure of earnings*, 1985; D. Card, A. B. Krueger, *Minimum wages and employment*, American
//! Economic Review 84 (1994); degrees of freedom: B. L. Welch 1947, F. E. Satterthwaite 1946. Without strata the errors are
//! those of scipy's `ttest_ind(equal_var=False)` on each customer's weighted sum.

use nalgebra::{Cholesky, DMatrix, DVector};
use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor, StudentsT};

use crate::{Estimate, Undefined, student_975};

/// The 80 % quantile of the standard normal distribution.
const NORMAL_80: f64 = 0.841_621_233_572_914_3;

/// What must be left of a variance by the others that it is tested with.
const TOLERANCE: f64 = 1e-8;

/// The customers of a stratum in one arm: how many, sums of each of their months, and sums of products of two months.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arm {
    /// How many.
    pub customers: f64,
    sums: Vec<f64>,
    /// Month by month.
    products: Vec<f64>,
}

impl Arm {
    /// Of the list: customers, the sum of each month, then products of each month with itself and each after it, row by row.
    ///
    /// # Errors
    /// [`Undefined::Impossible`] for a list that cannot be that.
    pub fn of(list: &[f64]) -> Result<Self, Undefined> {
        let months = (0..list.len()).find(|months| 1 + months + months * (months + 1) / 2 == list.len());
        let months = months.ok_or(Undefined::Impossible("products of another number of months"))?;
        let mut products = vec![0.0; months * months];
        let mut rest = list[1 + months..].iter();
        for one in 0..months {
            for (other, product) in (one..months).zip(rest.by_ref()) {
                (products[one * months + other], products[other * months + one]) = (*product, *product);
            }
        }
        Ok(Self { customers: list[0], sums: list[1..=months].to_vec(), products })
    }

    /// The customers of both, whose months are the same.
    pub fn plus(&self, other: &Self) -> Self {
        if self.customers == 0.0 || other.customers == 0.0 {
            return if self.customers == 0.0 { other.clone() } else { self.clone() };
        }
        let add = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one + other).collect();
        Self {
            customers: self.customers + other.customers,
            sums: add(&self.sums, &other.sums),
            products: add(&self.products, &other.products),
        }
    }

    /// The mean of a customer's weighted sum of months.
    pub fn mean(&self, weights: &[f64]) -> f64 {
        dot(weights, &self.sums) / self.customers
    }

    /// The covariance of two weighted sums of a customer's months, of customers − 1.
    pub fn covariance(&self, one: &[f64], other: &[f64]) -> f64 {
        let means = dot(one, &self.sums) * dot(other, &self.sums) / self.customers;
        (self.product(one, other) - means) / (self.customers - 1.0)
    }

    /// The sum over customers of the product of two weighted sums of months.
    fn product(&self, one: &[f64], other: &[f64]) -> f64 {
        let rows = self.products.chunks_exact(self.sums.len().max(1));
        rows.zip(one).map(|(row, weight)| weight * dot(row, other)).sum()
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Customers who are alike but for the treatment.
#[derive(Debug, Clone, Default)]
pub struct Stratum {
    /// Those who got it.
    pub treated: Arm,
    /// Those who did not.
    pub control: Arm,
}

impl Stratum {
    /// Whether the stratum says something: there are two customers in each arm.
    pub fn has_both(&self) -> bool {
        self.treated.customers >= 2.0 && self.control.customers >= 2.0
    }

    /// All of them as one stratum.
    pub fn pooled(strata: &[Self]) -> Self {
        strata.iter().fold(Self::default(), |all, stratum| Self {
            treated: all.treated.plus(&stratum.treated),
            control: all.control.plus(&stratum.control),
        })
    }
}

/// The treated customers in strata with two customers in each arm.
pub fn treated_kept(strata: &[Stratum]) -> f64 {
    strata.iter().filter(|stratum| stratum.has_both()).map(|stratum| stratum.treated.customers).sum()
}

/// The difference of a weighted sum of months between the arms, in the unit of the months: strata weigh as many treated
/// customers as they have, and those without two customers in each arm are left out. t interval with the degrees of freedom of
/// Welch and Satterthwaite.
///
/// # Errors
/// [`Undefined::EmptyBase`] if no stratum has two customers in each arm, or a weight is no number, as those of the slope of one month.
pub fn difference(strata: &[Stratum], weights: &[f64]) -> Result<Estimate, Undefined> {
    let kept = treated_kept(strata);
    if kept <= 0.0 || weights.iter().any(|weight| !weight.is_finite()) {
        return Err(Undefined::EmptyBase);
    }
    let (mut value, mut variance, mut by_freedom) = (0.0, 0.0, 0.0);
    for stratum in strata.iter().filter(|stratum| stratum.has_both()) {
        let share = stratum.treated.customers / kept;
        value += share * (stratum.treated.mean(weights) - stratum.control.mean(weights));
        for arm in [&stratum.treated, &stratum.control] {
            let part = share * share * arm.covariance(weights, weights) / arm.customers;
            variance += part;
            by_freedom += part * part / (arm.customers - 1.0);
        }
    }
    // Of equal numbers, rounding may leave less than nothing.
    if variance <= 0.0 {
        return Ok(Estimate::census(value));
    }
    Ok(Estimate::student(value, variance.sqrt(), variance * variance / by_freedom).tested())
}

/// The months of the lists: so many `before` the start, then those `between` that are left out, then so many `after` it.
#[derive(Debug, Clone, Copy)]
pub struct Months {
    /// Months before the start.
    pub before: usize,
    /// Months between, of no weight: that of a start which is not on the first day.
    pub between: usize,
    /// Months after it.
    pub after: usize,
}

impl Months {
    /// Weights of the mean after less the mean before.
    pub fn change(self) -> Vec<f64> {
        self.excess(|_| 1.0 / self.after as f64)
    }

    /// Weights of the month `at`, counted from the first before, less the last one before.
    pub fn event(self, at: usize) -> Vec<f64> {
        let mut weights = vec![0.0; self.before + self.between + self.after];
        weights[at] += 1.0;
        weights[self.before - 1] -= 1.0;
        weights
    }

    /// Weights of the slope of the line through the months before, a month.
    pub fn slope(self) -> Vec<f64> {
        let middle = (self.before as f64 - 1.0) / 2.0;
        let squares: f64 = (0..self.before).map(|month| (month as f64 - middle).powi(2)).sum();
        let before = (0..self.before).map(|month| (month as f64 - middle) / squares);
        before.chain(std::iter::repeat_n(0.0, self.between + self.after)).collect()
    }

    /// Weights of the change less what the line through the months before would have made of it.
    pub fn trend_adjusted_change(self) -> Vec<f64> {
        let distance = (self.before + self.after) as f64 / 2.0 + self.between as f64;
        self.change().into_iter().zip(self.slope()).map(|(change, slope)| change - distance * slope).collect()
    }

    /// Weights of what the months after have more than the mean before, each times its factor.
    pub fn excess(self, factor: impl Fn(usize) -> f64) -> Vec<f64> {
        let after: Vec<f64> = (0..self.after).map(factor).collect();
        let before = -after.iter().sum::<f64>() / self.before as f64;
        let before = std::iter::repeat_n(before, self.before).chain(std::iter::repeat_n(0.0, self.between));
        before.chain(after).collect()
    }
}

/// Customers who start at different times: those who never do, and those who start with a month of the lists, counted from 0.
#[derive(Debug, Clone, Default)]
pub struct Staggered {
    /// Those who never start.
    pub never: Arm,
    /// The others by the month of their start, each month once.
    pub cohorts: Vec<(usize, Arm)>,
}

/// Below so many who never start, those who have not started yet are compared with too.
const NEVER: f64 = 200.0;

impl Staggered {
    /// The cohorts that have a spread.
    fn told_apart(&self) -> impl Iterator<Item = &(usize, Arm)> {
        self.cohorts.iter().filter(|(_, arm)| arm.customers >= 2.0)
    }

    /// The months of a cohort that are wanted: not the one before its start, with which they are compared.
    fn months_of(&self, start: usize, wanted: &impl Fn(i64) -> bool) -> Vec<usize> {
        let months = self.never.sums.len();
        let after = |month: usize| month as i64 - start as i64;
        let is_seen = (1..months).contains(&start);
        (0..months).filter(|month| is_seen && after(*month) != -1 && wanted(after(*month))).collect()
    }

    /// How many customers the effect in these months is of.
    pub fn treated(&self, wanted: impl Fn(i64) -> bool) -> f64 {
        let seen = self.told_apart().filter(|(start, _)| !self.months_of(*start, &wanted).is_empty());
        seen.map(|(_, arm)| arm.customers).sum()
    }

    /// The mean effect in the months so long after each customer's start as `wanted` says (0 is the month of the start, −2 two before
    /// it), a customer and month: the change of a cohort since the month before its start, less that of those who never start.
    /// Cohorts weigh as their customers, and those of one customer are left out. The weights are taken as fixed, so that the
    /// variance is exact. B. Callaway, P. H. C. Sant'Anna, *Difference-in-differences with multiple time periods*, Journal of
    /// Econometrics 225 (2021), without covariates.
    ///
    /// # Errors
    /// [`Undefined::EmptyBase`] if there is no such month, or if fewer than two customers never start.
    pub fn effect(&self, wanted: impl Fn(i64) -> bool) -> Result<Estimate, Undefined> {
        if self.never.customers < 2.0 {
            return Err(Undefined::EmptyBase);
        }
        let cohorts: Vec<&(usize, Arm)> = self.told_apart().collect();
        let mut weights = vec![vec![0.0; self.never.sums.len()]; 1 + cohorts.len()];
        let mut cells = 0.0;
        for (own, (start, arm)) in cohorts.iter().enumerate() {
            for month in self.months_of(*start, &wanted) {
                let base = start - 1;
                let waits = |other: &usize| self.never.customers < NEVER && *other > month.max(*start);
                let waiting = cohorts.iter().map(|(start, arm)| if waits(start) { arm.customers } else { 0.0 });
                let others: Vec<f64> = std::iter::once(self.never.customers).chain(waiting).collect();
                let all: f64 = others.iter().sum();
                cells += arm.customers;
                let mut change = |arm: usize, weight: f64| {
                    weights[arm][month] += weight;
                    weights[arm][base] -= weight;
                };
                change(1 + own, arm.customers);
                others.iter().enumerate().for_each(|(other, size)| change(other, -arm.customers * size / all));
            }
        }
        if cells <= 0.0 {
            return Err(Undefined::EmptyBase);
        }
        let arms = std::iter::once(&self.never).chain(cohorts.iter().map(|(_, arm)| arm));
        let (mut value, mut variance, mut by_freedom) = (0.0, 0.0, 0.0);
        for (arm, weights) in arms.zip(&mut weights) {
            weights.iter_mut().for_each(|weight| *weight /= cells);
            value += arm.mean(weights);
            let part = arm.covariance(weights, weights) / arm.customers;
            variance += part;
            by_freedom += part * part / (arm.customers - 1.0);
        }
        if variance <= 0.0 {
            return Ok(Estimate::census(value));
        }
        Ok(Estimate::student(value, variance.sqrt(), variance * variance / by_freedom).tested())
    }
}

/// Whether the arms went together before the start: Wald's statistic of the differences of all months before the last one
/// before (`value`, with their number as `df`), and its p-value by F with as many and customers − 1 degrees of freedom.
///
/// # Errors
/// [`Undefined::EmptyBase`] without two customers in each arm or two months before; [`Undefined::Collinear`] if a difference is a
/// combination of the others.
pub fn joint_pretrend(stratum: &Stratum, months: Months) -> Result<Estimate, Undefined> {
    if !stratum.has_both() || months.before < 2 {
        return Err(Undefined::EmptyBase);
    }
    let leads: Vec<Vec<f64>> = (0..months.before - 1).map(|month| months.event(month)).collect();
    let arms = [&stratum.treated, &stratum.control];
    let covariance =
        |one: &[f64], other: &[f64]| -> f64 { arms.iter().map(|arm| arm.covariance(one, other) / arm.customers).sum() };
    let matrix = DMatrix::from_fn(leads.len(), leads.len(), |row, column| covariance(&leads[row], &leads[column]));
    let differences = leads.iter().map(|lead| stratum.treated.mean(lead) - stratum.control.mean(lead));
    let differences = DVector::from_iterator(leads.len(), differences);
    let wald = quadratic_form(&matrix, &differences)?;
    let (tests, customers) = (differences.len() as f64, stratum.treated.customers + stratum.control.customers);
    let f = FisherSnedecor::new(tests, customers - 1.0).map_err(|_| Undefined::EmptyBase)?;
    Ok(Estimate { df: Some(tests), p: Some(f.sf(wald / tests)), ..Estimate::census(wald) })
}

/// b'M⁻¹b of a symmetric matrix, which is scaled to a unit diagonal first.
fn quadratic_form(matrix: &DMatrix<f64>, vector: &DVector<f64>) -> Result<f64, Undefined> {
    let scale = matrix.diagonal().map(f64::sqrt);
    if scale.iter().any(|scale| scale.is_nan() || *scale <= 0.0) {
        return Err(Undefined::Collinear);
    }
    let unit = matrix.map_with_location(|row, column, value| value / (scale[row] * scale[column]));
    let root = Cholesky::new(unit).ok_or(Undefined::Collinear)?;
    if root.l_dirty().diagonal().iter().any(|left| left * left < TOLERANCE) {
        return Err(Undefined::Collinear);
    }
    let vector = vector.component_div(&scale);
    Ok(vector.dot(&root.solve(&vector)))
}

/// The mean after less θ times the mean before, treated less the others, of a programme drawn by lot: θ is the covariance of both means
/// over the variance of the one before, of all customers together, which takes out what was known of them before (A. Deng et
/// al., *Improving the sensitivity of online controlled experiments by utilizing pre-experiment data*, 2013; equal to gbstats).
///
/// # Errors
/// [`Undefined::EmptyBase`] without two customers in each arm; [`Undefined::NoSpread`] if all were alike before.
pub fn cuped(stratum: &Stratum, months: Months) -> Result<Estimate, Undefined> {
    if !stratum.has_both() {
        return Err(Undefined::EmptyBase);
    }
    let mean = |first: usize, count: usize| {
        let mut weights = vec![0.0; months.before + months.between + months.after];
        weights[first..first + count].fill(1.0 / count as f64);
        weights
    };
    let (before, after) = (mean(0, months.before), mean(months.before + months.between, months.after));
    let all = stratum.treated.plus(&stratum.control);
    let spread = all.covariance(&before, &before);
    if spread <= 0.0 {
        return Err(Undefined::NoSpread);
    }
    let theta = all.covariance(&after, &before) / spread;
    let weights: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - theta * before).collect();
    difference(std::slice::from_ref(stratum), &weights)
}

/// Whether as many customers are held out as were to be: χ² of one degree of freedom of the `counts` of treated and held out, of
/// which `share` was planned to be held out.
///
/// # Errors
/// [`Undefined::EmptyBase`] without a customer; [`Undefined::Impossible`] for a share that is not between 0 and 1.
pub fn sample_ratio(counts: [f64; 2], share: f64) -> Result<Estimate, Undefined> {
    let all = counts[0] + counts[1];
    if all <= 0.0 {
        return Err(Undefined::EmptyBase);
    }
    let distribution = ChiSquared::new(1.0).ok().filter(|_| share > 0.0 && share < 1.0);
    let distribution = distribution.ok_or(Undefined::Impossible("a share that is not between 0 and 1"))?;
    let planned = [all * (1.0 - share), all * share];
    let squares: f64 = counts.iter().zip(planned).map(|(count, planned)| (count - planned).powi(2) / planned).sum();
    Ok(Estimate { df: Some(1.0), p: Some(distribution.sf(squares)), ..Estimate::census(squares) })
}

/// The smallest true effect that a study with this error finds in four of five repetitions; `None` without an error.
pub fn minimum_detectable(effect: &Estimate) -> Option<f64> {
    Some((student_975(effect.df?)? + NORMAL_80) * effect.se?)
}

/// How sure one can be that the effect is above `threshold`: 1 less the one-sided p-value of "it is not". No probability of
/// truth. `None` without an error.
pub fn confidence_above(effect: &Estimate, threshold: f64) -> Option<f64> {
    let t = StudentsT::new(0.0, 1.0, effect.df?).ok()?;
    Some(t.sf((threshold - effect.value) / effect.se?))
}

/// The change of the mean answer of those treated less that of the others; `at` are the places in the lists of the number of
/// answers before, their sum, the number after and their sum, and `customers` are those who answered at all. Clustered by
/// customer as `ols("s ~ treated * after")` is, t of customers − 1.
///
/// # Errors
/// [`Undefined::EmptyBase`] if an arm has no answer before or after.
pub fn change_of_answers(stratum: &Stratum, at: [usize; 4], customers: f64) -> Result<Estimate, Undefined> {
    let change = |arm: &Arm| {
        let [before, sum_before, after, sum_after] = at.map(|at| arm.sums.get(at).copied().unwrap_or_default());
        if before <= 0.0 || after <= 0.0 {
            return Err(Undefined::EmptyBase);
        }
        let (mean_before, mean_after) = (sum_before / before, sum_after / after);
        // A customer's influence on the change, and the sum of its squares.
        let influence = [mean_before / before, -1.0 / before, -mean_after / after, 1.0 / after];
        let mut weights = vec![0.0; arm.sums.len()];
        at.iter().zip(influence).for_each(|(at, influence)| weights[*at] = influence);
        Ok((mean_after - mean_before, arm.product(&weights, &weights), before + after))
    };
    let ((of_treated, one, rows), (of_control, other, more)) = (change(&stratum.treated)?, change(&stratum.control)?);
    let rows = rows + more;
    if customers <= 1.0 || rows <= 4.0 {
        return Err(Undefined::EmptyBase);
    }
    let correction = customers / (customers - 1.0) * (rows - 1.0) / (rows - 4.0);
    let se = (correction * (one + other)).max(0.0).sqrt();
    Ok(Estimate::student(of_treated - of_control, se, customers - 1.0).tested())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An arm with these means and the triangle of these covariances.
    fn arm(customers: f64, means: &[f64], covariances: &[f64]) -> Arm {
        let mut list = vec![customers];
        list.extend(means.iter().map(|mean| mean * customers));
        let pairs = (0..means.len()).flat_map(|one| (one..means.len()).map(move |other| (one, other)));
        list.extend(
            pairs.zip(covariances).map(|((one, other), covariance)| {
                covariance * (customers - 1.0) + means[one] * means[other] * customers
            }),
        );
        Arm::of(&list).unwrap()
    }

    /// The arm of customers with these months.
    fn of_customers(customers: &[&[f64]]) -> Arm {
        let months = customers[0].len();
        let mut list = vec![customers.len() as f64];
        list.extend((0..months).map(|month| customers.iter().map(|own| own[month]).sum::<f64>()));
        for one in 0..months {
            list.extend((one..months).map(|other| customers.iter().map(|own| own[one] * own[other]).sum::<f64>()));
        }
        Arm::of(&list).unwrap()
    }

    #[track_caller]
    fn close(found: f64, want: f64) {
        assert!((found - want).abs() <= 1e-9 * want.abs().max(1e-3), "{found} is not {want}");
    }

    /// Table 3, row 4: 2.75 (1.34). Changes of employment in fast-food stores, New Jersey less Pennsylvania.
    #[test]
    fn card_and_krueger_1994() {
        let control = Arm::of(&[75.0, -171.25, 9108.3125]).unwrap();
        let treated = Arm::of(&[309.0, 144.2, 22070.690000000002]).unwrap();
        let found = difference(&[Stratum { treated, control }], &[1.0]).unwrap();
        close(found.value, 2.75);
        close(found.se.unwrap(), 1.3423409769082764);
        close(found.df.unwrap(), 96.88377548977087);
        close(found.p.unwrap(), 0.04319974156630395);
    }

    /// The twelve effects by group and year of B. Callaway and P. H. C. Sant'Anna's minimum wages, in their data `mpdta`.
    #[test]
    fn callaway_and_santanna_2021() {
        let never = arm(
            309.0,
            &[5.654630022499836, 5.591999998141907, 5.604808433753991, 5.638896282054668, 5.661132540371095],
            &[
                2.170493725338122,
                2.2034017324842368,
                2.212705143899827,
                2.1862875801815873,
                2.196002963611634,
                2.2659870848437453,
                2.2658076818737216,
                2.241418695728135,
                2.2517720949360642,
                2.288413537745097,
                2.258256685532316,
                2.2673056152283193,
                2.2682837153056545,
                2.265021976433057,
                2.2883729629939333,
            ],
        );
        let groups = [
            arm(
                20.0,
                &[6.179696833586361, 6.106563563007468, 6.059452086737373, 6.026704354251789, 6.085387988372213],
                &[
                    2.197018887910112,
                    2.227975883340311,
                    2.28788252485304,
                    2.3199533709033533,
                    2.2531500762717127,
                    2.268298738205897,
                    2.325693031518924,
                    2.3590138917892625,
                    2.2864047184189955,
                    2.396683049032015,
                    2.4283709057476597,
                    2.357451764025502,
                    2.4663405723360707,
                    2.3906925920101347,
                    2.329594502197335,
                ],
            ),
            arm(
                40.0,
                &[6.573993628231013, 6.517883716297315, 6.527941333158887, 6.557434574506696, 6.543040968229766],
                &[
                    1.61186720417412,
                    1.5942659370924124,
                    1.620724454147471,
                    1.6403218443766832,
                    1.6514266070891275,
                    1.5950608738716594,
                    1.6239157879149047,
                    1.6433524844206684,
                    1.6536503300909176,
                    1.6654491530193787,
                    1.6821330753761186,
                    1.6943693626413785,
                    1.7064322978457733,
                    1.71539611384173,
                    1.7344966253040754,
                ],
            ),
            arm(
                131.0,
                &[5.842906496383019, 5.81078312760838, 5.820865670334351, 5.823866399245334, 5.820048246842568],
                &[
                    2.2930857690561584,
                    2.2966575310953425,
                    2.291334751892929,
                    2.2893933368392876,
                    2.265096422214099,
                    2.3174266699244632,
                    2.308692604616948,
                    2.308415714869684,
                    2.2852694948089947,
                    2.325742713589443,
                    2.3185502665906936,
                    2.2953290720962385,
                    2.33643681821028,
                    2.30601226731688,
                    2.300874703956496,
                ],
            ),
        ];
        for (group, year, base, effect, se) in [
            (0, 1, 0, -0.010503246220964435, 0.02375576056795946),
            (0, 2, 0, -0.07042315810314292, 0.031705658998958317),
            (0, 3, 0, -0.137258738889404, 0.03724087517397153),
            (0, 4, 0, -0.10081136308540639, 0.035100423727742344),
            (1, 1, 0, 0.006520112424230895, 0.023578555615574214),
            (1, 2, 1, -0.002750818750511641, 0.019766132102230334),
            (1, 3, 2, -0.004594606952868396, 0.017900486818639733),
            (1, 4, 2, -0.04122447154622488, 0.020412395103389613),
            (2, 1, 0, 0.03050665558328891, 0.01507716398439119),
            (2, 2, 1, -0.0027258928861124687, 0.016448843716650056),
            (2, 3, 2, -0.031087119389693996, 0.01793007705131158),
            (2, 4, 3, -0.026054410719193122, 0.016707955117570478),
        ] {
            let mut weights = [0.0; 5];
            weights[year] += 1.0;
            weights[base] -= 1.0;
            let stratum = Stratum { treated: groups[group].clone(), control: never.clone() };
            let found = difference(&[stratum], &weights).unwrap();
            close(found.value, effect);
            close(found.se.unwrap(), se);
        }
        // Published are -0.0199, -0.0510, -0.1373 and -0.1008 by years since the start, whose mean is -0.0772, and -0.0400 for all.
        let [first, second, third] = groups;
        let staggered = Staggered { never, cohorts: vec![(1, first), (3, second), (4, third)] };
        for (since, effect, se, df) in [
            (-3, 0.025021829597554612, 0.01815707613075188, 343.7624190744879),
            (-2, 0.024458744971171953, 0.014260552124899503, 337.7840207325431),
            (0, -0.019931816789258483, 0.011861622458470738, 279.1918185092143),
            (1, -0.05095736706519727, 0.017045299274211882, 90.3294391831651),
            (2, -0.137258738889404, 0.03724087517397153, 26.522431293961017),
            (3, -0.10081136308540639, 0.035100423727742344, 27.879853429827065),
        ] {
            let found = staggered.effect(|after| after == since).unwrap();
            close(found.value, effect);
            close(found.se.unwrap(), se);
            close(found.df.unwrap(), df);
        }
        let all = staggered.effect(|after| after >= 0).unwrap();
        close(all.value, -0.03995127515517666);
        close(all.se.unwrap(), 0.011877264212665358);
        assert_eq!(staggered.effect(|after| after == 4).unwrap_err(), Undefined::EmptyBase);
    }

    #[test]
    fn where_few_never_start_those_who_wait_are_compared_with_too() {
        let never = of_customers(&[&[0.0, 1.0, 3.0], &[2.0, 1.0, 5.0]]);
        let early = of_customers(&[&[1.0, 9.0, 9.0], &[1.0, 7.0, 8.0]]);
        let late = of_customers(&[&[0.0, 4.0, 7.0], &[0.0, 2.0, 9.0], &[0.0, 3.0, 5.0]]);
        let alone = of_customers(&[&[0.0, 0.0, 99.0]]);
        let staggered =
            Staggered { never: never.clone(), cohorts: vec![(1, early.clone()), (2, late.clone()), (0, alone)] };
        // In its first month the early cohort gains 7; of the others three who wait gain 3, and two 0: 9/5. The late one gains 4 in its own, the two 3.
        let first = staggered.effect(|after| after == 0).unwrap();
        close(first.value, (2.0 * (7.0 - 1.8) + 3.0 * (4.0 - 3.0)) / 5.0);
        let early_only = Staggered { never: never.clone(), cohorts: vec![(1, early)] };
        close(early_only.effect(|after| after == 0).unwrap().value, 7.0);
        // Those whose start is not seen have no months of their own.
        let unseen = Staggered { never: never.clone(), cohorts: vec![(3, late.clone())] };
        assert_eq!(unseen.effect(|_| true).unwrap_err(), Undefined::EmptyBase);
        let nobody = Staggered { never: of_customers(&[&[0.0, 1.0, 3.0]]), cohorts: vec![(2, late)] };
        assert_eq!(nobody.effect(|_| true).unwrap_err(), Undefined::EmptyBase);
    }

    /// Equal to gbstats 1.2 and to scipy's `ttest_ind` of what is left after θ.
    #[test]
    fn what_was_known_before_is_taken_out_of_a_lottery() {
        let (before, after) = ([3, 0, 5, 2, 8, 1, 4, 0, 6, 2], [4, 1, 5, 4, 9, 0, 6, 2, 7, 2]);
        let (other, later) = ([2, 1, 0, 7, 3, 5, 1, 4], [2, 0, 1, 6, 2, 4, 2, 3]);
        let arm = |before: &[i32], after: &[i32]| {
            let pairs: Vec<_> = before.iter().zip(after).map(|(one, two)| [f64::from(*one), f64::from(*two)]).collect();
            of_customers(&pairs.iter().map(<[f64; 2]>::as_slice).collect::<Vec<_>>())
        };
        let stratum = Stratum { treated: arm(&before, &after), control: arm(&other, &later) };
        let found = cuped(&stratum, Months { before: 1, between: 0, after: 1 }).unwrap();
        close(found.value, 1.2948529411764702);
        close(found.se.unwrap(), 0.4267870356752985);
        close(found.df.unwrap(), 15.99162087509189);
        close(found.p.unwrap(), 0.007902903738893989);
    }

    #[test]
    fn a_lottery_that_went_wrong_is_seen() {
        let found = sample_ratio([5210.0, 4790.0], 0.5).unwrap();
        close(found.value, 17.64);
        close(found.p.unwrap(), 2.6691498031812692e-05);
        assert!(sample_ratio([10.0, 0.0], 0.0).is_err());
        assert_eq!(sample_ratio([0.0, 0.0], 0.1).unwrap_err(), Undefined::EmptyBase);
    }

    #[test]
    fn strata_weigh_as_many_as_they_treat_and_need_both_arms() {
        let cell = |treated: &[&[f64]], control: &[&[f64]]| Stratum {
            treated: of_customers(treated),
            control: of_customers(control),
        };
        let one = cell(&[&[1.0, 4.0], &[1.0, 6.0], &[1.0, 5.0]], &[&[1.0, 1.0], &[1.0, 3.0]]);
        let other = cell(&[&[0.0, 9.0], &[0.0, 7.0]], &[&[2.0, 2.0], &[2.0, 4.0]]);
        let alone = cell(&[&[0.0, 99.0], &[0.0, 0.0]], &[&[0.0, 0.0]]);
        let strata = [one, other, alone];
        let months = Months { before: 1, between: 0, after: 1 };
        let found = difference(&strata, &months.change()).unwrap();
        // 3/5 of (5 - 1) - (2 - 1), 2/5 of 8 - (3 - 2).
        close(found.value, 0.6 * 3.0 + 0.4 * 7.0);
        close(found.se.unwrap(), (0.36 * (1.0 / 3.0 + 1.0) + 0.16_f64 * (1.0 + 1.0)).sqrt());
        close(treated_kept(&strata), 5.0);
        close(Stratum::pooled(&strata).treated.customers, 7.0);
        assert_eq!(difference(&strata[2..], &months.change()).unwrap_err(), Undefined::EmptyBase);
        for of_one_month in [months.slope(), months.trend_adjusted_change()] {
            assert_eq!(difference(&strata, &of_one_month).unwrap_err(), Undefined::EmptyBase);
        }
    }

    #[test]
    fn weights_are_of_the_months_that_they_name() {
        let months = Months { before: 3, between: 1, after: 2 };
        let third = -1.0 / 3.0;
        let same =
            |found: Vec<f64>, want: [f64; 6]| found.iter().zip(want).for_each(|(found, want)| close(*found, want));
        same(months.change(), [third, third, third, 0.0, 0.5, 0.5]);
        same(months.event(4), [0.0, 0.0, -1.0, 0.0, 1.0, 0.0]);
        same(months.event(0), [1.0, 0.0, -1.0, 0.0, 0.0, 0.0]);
        same(months.slope(), [-0.5, 0.0, 0.5, 0.0, 0.0, 0.0]);
        // A customer who spends one more each month was not changed.
        let trend: f64 =
            months.trend_adjusted_change().iter().zip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).map(|(one, two)| one * two).sum();
        close(trend, 0.0);
        same(months.excess(|month| [0.9, 0.8][month]), [1.7 * third, 1.7 * third, 1.7 * third, 0.0, 0.9, 0.8]);
    }

    #[test]
    fn arms_that_went_together_before_are_told_from_others() {
        let months = Months { before: 3, between: 0, after: 1 };
        let treated =
            of_customers(&[&[1.0, 2.0, 3.0, 9.0], &[2.0, 1.0, 5.0, 9.0], &[4.0, 2.0, 1.0, 9.0], &[0.0, 3.0, 3.0, 9.0]]);
        let same = Stratum { treated: treated.clone(), control: treated.clone() };
        close(joint_pretrend(&same, months).unwrap().value, 0.0);
        close(joint_pretrend(&same, months).unwrap().p.unwrap(), 1.0);
        let other =
            of_customers(&[&[9.0, 2.0, 3.0, 9.0], &[8.0, 1.0, 5.0, 9.0], &[9.0, 2.0, 1.0, 9.0], &[7.0, 3.0, 2.0, 9.0]]);
        let found = joint_pretrend(&Stratum { treated: treated.clone(), control: other }, months).unwrap();
        assert!(found.p.unwrap() < 0.01, "{found:?}");
        let flat = of_customers(&[&[1.0, 1.0, 1.0, 9.0], &[2.0, 2.0, 2.0, 9.0]]);
        let flat = Stratum { treated: flat.clone(), control: flat };
        assert_eq!(joint_pretrend(&flat, months).unwrap_err(), Undefined::Collinear);
    }

    #[test]
    fn confidence_and_the_smallest_effect_follow_from_the_error() {
        // The callback programme of the golden lake.
        let effect = Estimate::student(4.31233787887771, 1.2533663661961985, 243.87464880098506);
        close(minimum_detectable(&effect).unwrap(), 3.523664408406125);
        close(confidence_above(&effect, 2.2857142857142856).unwrap(), 0.9464084784200815);
        assert_eq!(confidence_above(&Estimate::census(1.0), 0.0), None);
    }
}
