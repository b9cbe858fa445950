//! The mathematics of `cxroi`: sums in, estimates out.
//!
//! Every function is pure. It takes sums that merge by addition (made by the files of `sql/measures/`) and
//! returns an [`Estimate`], or says why there is none ([`Undefined`]). Nothing here knows files, SQL or money
//! types; amounts arrive as `f64` after they were summed exactly.
//!
//! Contracts that hold everywhere:
//! * the customer is the sampling unit: standard errors are clustered by customer,
//! * an interval is two-sided at the 95 % level,
//! * an undefined statistic is an [`Undefined`], never 0, 1 or NaN,
//! * a spread of exactly zero gives no interval: it would claim a certainty that the data cannot give.

pub mod correlation;
pub mod drivers;
pub mod fieller;
pub mod lifetime_value;
pub mod proportion;
pub mod ratio;
pub mod regression;
pub mod survival;

/// The 97.5 % quantile of the standard normal distribution.
pub const NORMAL_975: f64 = 1.959_963_984_540_054;

/// A number with its uncertainty.
///
/// All fields but `value` are `None` where the method has no such quantity (a count of all customers has no
/// standard error) or where it cannot be known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The point estimate, in the unit of the sums.
    pub value: f64,
    /// Standard error, in the unit of `value`.
    pub se: Option<f64>,
    /// Degrees of freedom of the t distribution behind `lo`, `hi` and `p`.
    pub df: Option<f64>,
    /// Lower end of the 95 % interval.
    pub lo: Option<f64>,
    /// Upper end of the 95 % interval.
    pub hi: Option<f64>,
    /// Two-sided p-value of "the value is zero".
    pub p: Option<f64>,
}

impl Estimate {
    /// A number without sampling error: everything was counted.
    pub fn census(value: f64) -> Self {
        Self { value, se: None, df: None, lo: None, hi: None, p: None }
    }

    /// Drops everything but the value, as where a sample is too small for an interval to be trusted.
    pub fn without_interval(self) -> Self {
        Self::census(self.value)
    }

    /// A value with a symmetric interval from the t distribution with `df` degrees of freedom.
    ///
    /// Without a positive, finite `se` or at least one degree of freedom there is no interval.
    fn student(value: f64, se: f64, df: f64) -> Self {
        use statrs::distribution::{ContinuousCDF, StudentsT};
        if !(se.is_finite() && se > 0.0) {
            return Self::census(value);
        }
        let Ok(t) = StudentsT::new(0.0, 1.0, df) else {
            return Self::census(value);
        };
        let half_width = t.inverse_cdf(0.975) * se;
        Self { value, se: Some(se), df: Some(df), lo: Some(value - half_width), hi: Some(value + half_width), p: None }
    }

    /// A value with a symmetric interval from the normal distribution; without a positive, finite `se` there is none.
    fn normal(value: f64, se: f64) -> Self {
        if !(se.is_finite() && se > 0.0) {
            return Self::census(value);
        }
        let half_width = NORMAL_975 * se;
        Self { se: Some(se), lo: Some(value - half_width), hi: Some(value + half_width), ..Self::census(value) }
    }

    /// The sum of independent estimates, each times its weight, with a normal interval. One without an error counts as known.
    ///
    /// ```
    /// let [one, other] = [(1.0, 3.0), (10.0, 4.0)].map(|(value, se)| stats::Estimate { se: Some(se), ..stats::Estimate::census(value) });
    /// let difference = stats::Estimate::weighted_sum(&[(1.0, other), (-1.0, one)]);
    /// assert_eq!((difference.value, difference.se), (9.0, Some(5.0)));
    /// ```
    pub fn weighted_sum(parts: &[(f64, Self)]) -> Self {
        let value = parts.iter().map(|(weight, part)| weight * part.value).sum();
        let variance: f64 = parts.iter().map(|(weight, part)| (weight * part.se.unwrap_or(0.0)).powi(2)).sum();
        Self::normal(value, variance.sqrt())
    }

    /// The same with the two-sided p-value of "the value is zero".
    fn tested(self) -> Self {
        use statrs::distribution::{ContinuousCDF, StudentsT};
        let t = self.df.and_then(|df| StudentsT::new(0.0, 1.0, df).ok());
        let p = t.zip(self.se).map(|(t, se)| 2.0 * t.sf((self.value / se).abs()));
        Self { p, ..self }
    }

    /// The estimate in another unit: value, error and interval times `factor`, which is positive.
    pub fn scaled(self, factor: f64) -> Self {
        let scale = |number: Option<f64>| number.map(|number| number * factor);
        Self { value: self.value * factor, se: scale(self.se), lo: scale(self.lo), hi: scale(self.hi), ..self }
    }

    /// The estimate with the other sign.
    pub fn negated(self) -> Self {
        let turn = |number: Option<f64>| number.map(|number| -number);
        Self { value: -self.value, lo: turn(self.hi), hi: turn(self.lo), ..self }
    }

    /// The estimate moved by a constant, as from a ratio to a growth rate.
    pub fn shifted(self, by: f64) -> Self {
        let shift = |number: Option<f64>| number.map(|number| number + by);
        Self { value: self.value + by, lo: shift(self.lo), hi: shift(self.hi), ..self }
    }
}

/// Why a statistic has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// There is nothing to divide by: no rows, or a base that sums to zero.
    #[error("the base is empty or sums to zero")]
    EmptyBase,
    /// A number is the same for all.
    #[error("there is no spread")]
    NoSpread,
    /// The base is negative, as where refunds exceed sales: a ratio to it has no meaning.
    #[error("the base is negative")]
    NegativeBase,
    /// A number in focus, or one that is controlled for, is a combination of the other columns.
    #[error("a column of the model is a combination of the others")]
    Collinear,
    /// Every value is possible: a denominator could be 0.
    #[error("the ratio has no bounds")]
    Unbounded,
    /// The sums contradict each other, as a share above one: a defect upstream, not a property of the data.
    #[error("the sums are not possible: {0}")]
    Impossible(&'static str),
}
