//! Ratio of two sums over customers, and the difference of two such ratios.
//!
//! R = Σa / Σb over customers g, with the linearised (influence value) variance
//! `Var R = G/(G-1) · Σ(a_g - R b_g)² / (Σb)²` and t quantiles with G - 1 degrees of freedom.
//! For b = "number of rows" this is the cluster-robust (CR1) error of a mean: statsmodels
//! `OLS(y ~ 1).fit(cov_type="cluster", use_t=True)`.
//!
//! References: W. G. Cochran, *Sampling Techniques* (3rd ed., 1977), §6.3; A. C. Cameron and D. L. Miller,
//! *A Practitioner's Guide to Cluster-Robust Inference*, Journal of Human Resources 50 (2015), §II.

use crate::{Estimate, Undefined};

/// Sums of one ratio over customers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioSums {
    /// G: customers with a row in the base.
    pub customers: u64,
    /// Σa, in the unit of the numerator.
    pub numerator: f64,
    /// Σb, in the unit of the denominator.
    pub denominator: f64,
    /// Σ(a - R b)² with R = Σa / Σb, made in a second pass so that nothing cancels.
    pub residual_squares: f64,
}

/// Σa / Σb with its clustered interval.
///
/// # Errors
/// [`Undefined::EmptyBase`] where Σb is zero, [`Undefined::NegativeBase`] where it is below: neither is a ratio.
///
/// ```
/// // Four customers spent 1, 2, 3, 6 in 2, 2, 4, 4 orders: R = 1, residuals -1, 0, -1, 2.
/// let sums = stats::ratio::RatioSums { customers: 4, numerator: 12.0, denominator: 12.0, residual_squares: 6.0 };
/// let mean = stats::ratio::ratio(&sums).unwrap();
/// assert_eq!(mean.value, 1.0);
/// assert!((mean.se.unwrap() - (4.0 / 3.0 * 6.0_f64).sqrt() / 12.0).abs() < 1e-15);
/// ```
pub fn ratio(sums: &RatioSums) -> Result<Estimate, Undefined> {
    let RatioSums { customers, numerator, denominator, residual_squares } = *sums;
    if customers == 0 || denominator == 0.0 {
        return Err(Undefined::EmptyBase);
    }
    if denominator < 0.0 {
        return Err(Undefined::NegativeBase);
    }
    let groups = customers as f64;
    let value = numerator / denominator;
    let se = (groups / (groups - 1.0) * residual_squares).sqrt() / denominator;
    // Residuals that are only the rounding of R are no spread: R carries half a unit in its last place.
    let rounding = 4.0 * f64::EPSILON * numerator.abs() / denominator;
    Ok(Estimate::student(value, if se <= rounding { 0.0 } else { se }, groups - 1.0))
}

/// Whole-number sums over customers of a score `t` (such as promoters - detractors) and its responses `n`.
///
/// Whole numbers up to 2⁶³, so that the squares need no second pass: they are combined exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScoreSums {
    /// Customers with at least one response.
    pub customers: i64,
    /// Σt
    pub score: i64,
    /// Σn
    pub responses: i64,
    /// Σt²
    pub score_squares: i64,
    /// Σtn
    pub score_responses: i64,
    /// Σn²
    pub responses_squares: i64,
}

impl ScoreSums {
    /// Σ(t - R n)², exact up to the last rounding.
    fn residual_squares(&self) -> f64 {
        let (t, n) = (i128::from(self.score), i128::from(self.responses));
        let scaled = n * n * i128::from(self.score_squares) - 2 * t * n * i128::from(self.score_responses)
            + t * t * i128::from(self.responses_squares);
        scaled as f64 / (n as f64 * n as f64)
    }

    /// The mean score a response, clustered by customer.
    ///
    /// # Errors
    /// [`Undefined::EmptyBase`] without a response; [`Undefined::Impossible`] beyond 2⁴⁰ responses, where the exact
    /// sums of squares would not fit.
    pub fn mean(&self) -> Result<Estimate, Undefined> {
        self.check_size()?;
        if self.responses == 0 {
            return Err(Undefined::EmptyBase);
        }
        ratio(&RatioSums {
            customers: self.customers as u64,
            numerator: self.score as f64,
            denominator: self.responses as f64,
            residual_squares: self.residual_squares(),
        })
    }

    /// The sums over the customers of both; nobody is in both.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            customers: self.customers + other.customers,
            score: self.score + other.score,
            responses: self.responses + other.responses,
            score_squares: self.score_squares + other.score_squares,
            score_responses: self.score_responses + other.score_responses,
            responses_squares: self.responses_squares + other.responses_squares,
        }
    }

    fn check_size(&self) -> Result<(), Undefined> {
        const LIMIT: i64 = 1 << 40;
        if self.responses >= LIMIT || self.score.abs() >= LIMIT {
            return Err(Undefined::Impossible("more than 2^40 responses"));
        }
        Ok(())
    }
}

/// Sums of products across two windows, over the customers who answered in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CrossSums {
    /// Customers who answered in either window.
    pub customers: i64,
    /// Σ t₁t₀
    pub score_score: i64,
    /// Σ t₁n₀
    pub score_responses: i64,
    /// Σ n₁t₀
    pub responses_score: i64,
    /// Σ n₁n₀
    pub responses_responses: i64,
}

/// Mean of the current window minus mean of the one before, for customers who may have answered in both.
///
/// The influence of a customer is summed over both windows, so that the covariance of repeat respondents counts;
/// the variance has the CR1 factor with n = all responses and k = 2. This is the coefficient of a period dummy in
/// statsmodels `OLS(score ~ now).fit(cov_type="cluster", use_t=True)`.
///
/// # Errors
/// [`Undefined::EmptyBase`] where either window has no response.
pub fn difference(now: &ScoreSums, before: &ScoreSums, cross: &CrossSums) -> Result<Estimate, Undefined> {
    now.check_size()?;
    before.check_size()?;
    if now.responses == 0 || before.responses == 0 {
        return Err(Undefined::EmptyBase);
    }
    let (n1, n0) = (now.responses as f64, before.responses as f64);
    let (r1, r0) = (now.score as f64 / n1, before.score as f64 / n0);
    let products = cross.score_score as f64 - r1 * cross.responses_score as f64 - r0 * cross.score_responses as f64
        + r1 * r0 * cross.responses_responses as f64;
    let influence_squares =
        now.residual_squares() / (n1 * n1) + before.residual_squares() / (n0 * n0) - 2.0 * products / (n1 * n0);
    let (groups, rows) = (cross.customers as f64, n1 + n0);
    let correction = groups / (groups - 1.0) * (rows - 1.0) / (rows - 2.0);
    // Where no customer's scores vary the terms cancel to rounding only; a negative square is that too.
    let scale = (1.0 + r1.abs() + r0.abs()) * (1.0 / n1 + 1.0 / n0);
    let influence_squares = if influence_squares <= 16.0 * f64::EPSILON * scale { 0.0 } else { influence_squares };
    Ok(Estimate::student(r1 - r0, (correction * influence_squares).sqrt(), groups - 1.0).tested())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "got {got}, want {want}");
    }

    /// (t, n) of a window; sums them over customers.
    fn sums(rows: &[(i64, i64)]) -> ScoreSums {
        rows.iter().filter(|(_, n)| *n > 0).fold(ScoreSums::default(), |s, &(t, n)| ScoreSums {
            customers: s.customers + 1,
            score: s.score + t,
            responses: s.responses + n,
            score_squares: s.score_squares + t * t,
            score_responses: s.score_responses + t * n,
            responses_squares: s.responses_squares + n * n,
        })
    }

    fn cross(now: &[(i64, i64)], before: &[(i64, i64)]) -> CrossSums {
        now.iter().zip(before).fold(CrossSums::default(), |s, (&(t1, n1), &(t0, n0))| CrossSums {
            customers: s.customers + i64::from(n1 + n0 > 0),
            score_score: s.score_score + t1 * t0,
            score_responses: s.score_responses + t1 * n0,
            responses_score: s.responses_score + n1 * t0,
            responses_responses: s.responses_responses + n1 * n0,
        })
    }

    // (promoters - detractors, responses) a customer. The literals below are statsmodels 0.15.0,
    // OLS(...).fit(cov_type="cluster", cov_kwds={"groups": customer}, use_t=True), on one row a response.
    const NOW: [(i64, i64); 6] = [(2, 2), (0, 2), (-1, 1), (1, 3), (0, 0), (-2, 2)];
    const BEFORE: [(i64, i64); 6] = [(1, 1), (-1, 2), (-1, 1), (0, 0), (1, 1), (-1, 1)];

    #[test]
    fn a_mean_of_repeat_respondents_equals_statsmodels() {
        let mean = sums(&NOW).mean().unwrap();
        close(mean.value, 0.0);
        close(mean.se.unwrap(), 0.353_553_390_593_273_8);
        assert_eq!(mean.df, Some(4.0));
        close(mean.hi.unwrap(), 0.981_621_580_654_5);
    }

    #[test]
    fn a_change_keeps_the_covariance_of_customers_in_both_windows() {
        let change = difference(&sums(&NOW), &sums(&BEFORE), &cross(&NOW, &BEFORE)).unwrap();
        close(change.value, 1.0 / 6.0);
        close(change.se.unwrap(), 0.290_046_520_625_543_54);
        assert_eq!(change.df, Some(5.0));
        close(change.p.unwrap(), 0.590_433_651_129_787_2);
    }

    #[test]
    fn no_spread_gives_no_interval() {
        let promoters_only = sums(&[(3, 3), (1, 1), (2, 2)]);
        let mean = promoters_only.mean().unwrap();
        assert_eq!((mean.value, mean.se, mean.lo), (1.0, None, None));
        let unchanged =
            difference(&promoters_only, &promoters_only, &cross(&[(3, 3), (1, 1), (2, 2)], &[(3, 3), (1, 1), (2, 2)]));
        assert_eq!(unchanged.unwrap(), Estimate::census(0.0));
        // Every contact cost 0.1: the residuals are rounding, not spread.
        let rounding =
            RatioSums { customers: 3, numerator: 0.1 + 0.1 + 0.1, denominator: 3.0, residual_squares: 1e-33 };
        assert_eq!(ratio(&rounding).unwrap().se, None);
    }

    #[test]
    fn one_customer_has_no_interval() {
        let mean = sums(&[(1, 4)]).mean().unwrap();
        assert_eq!(mean, Estimate::census(0.25));
    }

    #[test]
    fn an_empty_base_is_no_number() {
        assert_eq!(ScoreSums::default().mean(), Err(Undefined::EmptyBase));
        assert_eq!(difference(&sums(&NOW), &ScoreSums::default(), &CrossSums::default()), Err(Undefined::EmptyBase));
        let sums = RatioSums { customers: 2, numerator: 1.0, denominator: 0.0, residual_squares: 1.0 };
        assert_eq!(ratio(&sums), Err(Undefined::EmptyBase));
        assert_eq!(ratio(&RatioSums { denominator: -5.0, ..sums }), Err(Undefined::NegativeBase));
    }
}
