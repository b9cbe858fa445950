//! How long customers stay: the product-limit estimate of survival, and the test whether groups differ.
//!
//! Time is in whole months. A lifetime of k months ended in month k, or was seen to go on until then (censored); who is
//! censored in a month was at risk in it.
//!
//! References: E. L. Kaplan and P. Meier, *Nonparametric estimation from incomplete observations*, Journal of the American
//! Statistical Association 53 (1958); M. Greenwood, *The natural duration of cancer* (1926); N. Mantel, *Evaluation of
//! survival data and two new rank order statistics* (1966). Equal to `KaplanMeierFitter` and `multivariate_logrank_test` of
//! lifelines.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::{Estimate, NORMAL_975, Undefined};

/// The lifetimes of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// By month: lifetimes that ended in it, and that were censored in it.
    months: BTreeMap<u32, (u64, u64)>,
}

/// A test of several groups against each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogRank {
    /// χ², 0 where all groups lose customers at the same rate.
    pub chi_squared: f64,
    /// Groups less one.
    pub df: f64,
    /// The probability of such a χ² or a larger one if there is no difference.
    pub p: f64,
}

impl Lifetimes {
    /// Adds lifetimes of so many months.
    pub fn add(&mut self, months: u32, ended: u64, censored: u64) {
        let (events, others) = self.months.entry(months).or_default();
        *events += ended;
        *others += censored;
    }

    /// Lifetimes that ended.
    pub fn ended(&self) -> u64 {
        self.months.values().map(|(ended, _)| ended).sum()
    }

    /// Lifetimes of at least so many months.
    pub fn at_risk(&self, month: u32) -> u64 {
        self.months.range(month..).map(|(_, (ended, censored))| ended + censored).sum()
    }

    /// The share (0..1) of customers who stay longer than so many months, with the log-log interval on Greenwood's
    /// variance: S^exp(±z √(Σ d / n(n - d)) / ln S). Where none has left yet, or all have, there is a value without an
    /// interval.
    ///
    /// # Errors
    /// [`Undefined::EmptyBase`] where nobody is at risk in the last month.
    ///
    /// ```
    /// // Ten customers; three leave after 1, 2 and 4 months, one is last seen after 3, the others after 6.
    /// let mut lifetimes = stats::survival::Lifetimes::default();
    /// for (months, ended, censored) in [(1, 1, 0), (2, 1, 0), (3, 0, 1), (4, 1, 0), (6, 0, 6)] {
    ///     lifetimes.add(months, ended, censored);
    /// }
    /// let survival = lifetimes.survival(4).unwrap();
    /// assert!((survival.value - 0.9 * (8.0 / 9.0) * (6.0 / 7.0)).abs() < 1e-15);
    /// ```
    pub fn survival(&self, month: u32) -> Result<Estimate, Undefined> {
        if self.at_risk(month) == 0 {
            return Err(Undefined::EmptyBase);
        }
        let (mut survival, mut greenwood) = (1.0, 0.0);
        for (&at, &(ended, _)) in self.months.range(..=month).filter(|(_, (ended, _))| *ended > 0) {
            let (risk, ended) = (self.at_risk(at) as f64, ended as f64);
            survival *= 1.0 - ended / risk;
            greenwood += ended / (risk * (risk - ended));
        }
        let estimate = Estimate::census(survival);
        if survival <= 0.0 || survival >= 1.0 {
            return Ok(estimate);
        }
        let ends = [1.0, -1.0].map(|sign| survival.powf((sign * NORMAL_975 * greenwood.sqrt() / survival.ln()).exp()));
        Ok(Estimate { lo: Some(ends[0].min(ends[1])), hi: Some(ends[0].max(ends[1])), ..estimate })
    }
}

/// Whether groups lose customers at different rates: observed less expected losses of all groups but the last, weighed by
/// their hypergeometric covariance.
///
/// # Errors
/// [`Undefined::EmptyBase`] for fewer than two groups, or where nobody left or some group is never at risk when one does.
pub fn log_rank(groups: &[Lifetimes]) -> Result<LogRank, Undefined> {
    let free = groups.len().checked_sub(1).filter(|free| *free > 0).ok_or(Undefined::EmptyBase)?;
    let mut months: BTreeMap<u32, u64> = BTreeMap::new();
    for (month, (ended, _)) in groups.iter().flat_map(|group| &group.months).filter(|(_, (ended, _))| *ended > 0) {
        *months.entry(*month).or_default() += ended;
    }
    let mut excess = DVector::zeros(free);
    let mut covariance = DMatrix::zeros(free, free);
    for (month, ended) in months {
        let risks: Vec<f64> = groups.iter().map(|group| group.at_risk(month) as f64).collect();
        let (risk, ended) = (risks.iter().sum::<f64>(), ended as f64);
        // The last one has nobody to be compared with.
        if risk < 2.0 {
            continue;
        }
        let spread = ended * (risk - ended) / (risk - 1.0);
        for (row, group) in groups.iter().take(free).enumerate() {
            let own = group.months.get(&month).map_or(0, |(ended, _)| *ended) as f64;
            excess[row] += own - ended * risks[row] / risk;
            for column in 0..free {
                let same = if row == column { 1.0 } else { 0.0 };
                covariance[(row, column)] += spread * risks[row] / risk * (same - risks[column] / risk);
            }
        }
    }
    let weighed = covariance.cholesky().ok_or(Undefined::EmptyBase)?.solve(&excess);
    let (chi_squared, df) = (excess.dot(&weighed), free as f64);
    let p = ChiSquared::new(df).map_or(f64::NAN, |distribution| distribution.sf(chi_squared));
    Ok(LogRank { chi_squared, df, p })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetimes(rows: &[(u32, u64, u64)]) -> Lifetimes {
        let mut lifetimes = Lifetimes::default();
        for (months, ended, censored) in rows {
            lifetimes.add(*months, *ended, *censored);
        }
        lifetimes
    }

    /// Fruit flies with a mutation beside a control group: `lifelines.datasets.load_waltons`.
    fn waltons() -> [Lifetimes; 2] {
        let control = [
            (7, 1, 1),
            (17, 1, 0),
            (32, 1, 0),
            (33, 1, 0),
            (38, 2, 0),
            (41, 7, 0),
            (45, 9, 1),
            (48, 8, 0),
            (51, 3, 0),
            (53, 7, 0),
            (54, 2, 0),
            (56, 18, 0),
            (58, 4, 0),
            (60, 15, 1),
            (61, 9, 2),
            (63, 9, 0),
            (66, 3, 0),
            (68, 9, 1),
            (69, 12, 1),
            (75, 1, 0),
        ];
        let mutant = [
            (6, 1, 0),
            (9, 3, 0),
            (13, 3, 0),
            (15, 2, 0),
            (19, 3, 0),
            (22, 4, 0),
            (26, 5, 0),
            (29, 5, 0),
            (33, 2, 0),
            (36, 2, 0),
            (43, 1, 0),
            (47, 1, 0),
            (62, 2, 0),
        ];
        [lifetimes(&control), lifetimes(&mutant)]
    }

    #[test]
    fn the_flies_of_walton_differ() {
        let test = log_rank(&waltons()).unwrap();
        assert!((test.chi_squared - 122.249_125_573_006_37).abs() < 1e-10, "{test:?}");
        assert_eq!(test.df, 1.0);
        assert!(test.p < 1e-27, "{test:?}");
    }

    /// `KaplanMeierFitter().fit(T, E)` of lifelines 0.30.
    #[test]
    fn survival_equals_lifelines() {
        let [control, mutant] = waltons();
        for (group, month, [value, lo, hi]) in [
            (0, 26, [0.98443508514924, 0.9391992058810062, 0.9960845048946165]),
            (0, 33, [0.9688091314167127, 0.9190316616678339, 0.9881783090335541]),
            (0, 45, [0.8281755478239636, 0.7508834384954877, 0.8833273959725718]),
            (0, 60, [0.37859453614809785, 0.2946992400743214, 0.4620222923387471]),
            (1, 9, [0.8823529411764705, 0.7162692431097136, 0.9541389989020609]),
            (1, 26, [0.3823529411764705, 0.22328268987780264, 0.5398367628481453]),
            (1, 33, [0.17647058823529407, 0.07162319995288344, 0.3194047053947016]),
            (1, 47, [0.0588235294117647, 0.010526764426069285, 0.17157892776798933]),
        ] {
            let survival = [&control, &mutant][group].survival(month).unwrap();
            let found = [survival.value, survival.lo.unwrap(), survival.hi.unwrap()];
            assert!(found.iter().zip([value, lo, hi]).all(|(a, b)| (a - b).abs() < 1e-12), "{month}: {found:?}");
        }
    }

    #[test]
    fn where_nobody_or_everybody_is_gone_there_is_no_interval() {
        let group = lifetimes(&[(2, 3, 0), (5, 2, 0)]);
        let at = |month| group.survival(month);
        assert_eq!(at(1), Ok(Estimate::census(1.0)));
        assert!(at(2).unwrap().lo.is_some());
        assert_eq!(at(5), Ok(Estimate::census(0.0)));
        assert_eq!(at(6), Err(Undefined::EmptyBase), "nobody is left to be seen");
        let stays = lifetimes(&[(3, 0, 4)]);
        assert_eq!(log_rank(&[stays.clone(), stays]), Err(Undefined::EmptyBase), "nobody left");
        assert_eq!(log_rank(&[group]), Err(Undefined::EmptyBase), "one group");
    }

    #[test]
    fn equal_groups_do_not_differ() {
        let group = lifetimes(&[(1, 4, 1), (2, 3, 2), (4, 1, 9)]);
        let test = log_rank(&[group.clone(), group.clone(), group]).unwrap();
        assert!(test.chi_squared.abs() < 1e-12 && (test.p - 1.0).abs() < 1e-12 && test.df == 2.0, "{test:?}");
    }
}
