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
pub mod difference_in_differences;
pub mod drivers;
pub mod fieller;
pub mod interrupted_series;
pub mod lifetime_value;
pub mod moments;
pub mod proportion;
pub mod ratio;
pub mod regression;
pub mod survival;

/// The 97.5 % quantile of the standard normal distribution.
pub const NORMAL_975: f64 = 1.959_963_984_540_054;

/// The 97.5 % quantile of t; `None` without a degree of freedom.
///
/// From a thousand degrees on by its distance from the normal quantile (M. Abramowitz, I. A. Stegun, *Handbook of Mathematical
/// Functions*, 26.7.5): there the quantile of `statrs` 0.19 loses digits, is 7 % off at 10⁷ degrees, and does not end at 10⁸.
fn student_975(df: f64) -> Option<f64> {
    use statrs::distribution::{ContinuousCDF, StudentsT};
    if df < 1e3 {
        return Some(StudentsT::new(0.0, 1.0, df).ok()?.inverse_cdf(0.975));
    }
    let power = |exponent| NORMAL_975.powi(exponent);
    let first = (power(3) + power(1)) / 4.0;
    let second = (5.0 * power(5) + 16.0 * power(3) + 3.0 * power(1)) / 96.0;
    let third = (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * power(1)) / 384.0;
    df.is_finite().then(|| NORMAL_975 + first / df + second / df.powi(2) + third / df.powi(3))
}

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
        if !(se.is_finite() && se > 0.0) {
            return Self::census(value);
        }
        let Some(quantile) = student_975(df) else {
            return Self::census(value);
        };
        let half_width = quantile * se;
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

    /// The estimate moved by a constant, as from a ratio to a growth rate; a p-value is then of "the moved value is zero".
    pub fn shifted(self, by: f64) -> Self {
        let shift = |number: Option<f64>| number.map(|number| number + by);
        let moved = Self { value: self.value + by, lo: shift(self.lo), hi: shift(self.hi), ..self };
        if self.p.is_some() { moved.tested() } else { moved }
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

#[cfg(test)]
mod tests {
    use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor, Normal, StudentsT};
    use statrs::function::gamma::ln_gamma;

    /// `dist_reference.json` of the method's reference, and other degrees of freedom, from scipy: far tails keep their relative
    /// digits too.
    #[test]
    fn distributions_equal_scipys() {
        let t = |df: f64| StudentsT::new(0.0, 1.0, df).unwrap();
        let normal = Normal::new(0.0, 1.0).unwrap();
        let chi_squared = |df: f64| ChiSquared::new(df).unwrap();
        let f = |one: f64, other: f64| FisherSnedecor::new(one, other).unwrap();
        for (found, want) in [
            (super::NORMAL_975, 1.959963984540054),
            (normal.inverse_cdf(0.975), 1.959963984540054),
            (normal.cdf(1.96), 0.9750021048517795),
            (normal.sf(8.0), 6.22096057427174e-16),
            (super::student_975(1.0).unwrap(), 12.706204736174694),
            (super::student_975(5.5).unwrap(), 2.501858617589239),
            (super::student_975(29.0).unwrap(), 2.045229642132703),
            (super::student_975(63.0).unwrap(), 1.998340542520741),
            (super::student_975(1351.01795448).unwrap(), 1.9617214458585692),
            (super::student_975(1e7).unwrap(), 1.959964221767205),
            (super::student_975(999.5).unwrap(), 1.9623402703838457),
            (super::student_975(1e3).unwrap(), 1.9623390808264083),
            (super::student_975(1e5).unwrap(), 1.9599877075346095),
            (super::student_975(1e9).unwrap(), 1.959963986912325),
            (t(9.0).sf(2.5), 0.016930913841492867),
            (t(2641.0).sf(14.7265), 1.5454692546842934e-47),
            (t(100.0).sf(40.0), 1.2310538010700354e-63),
            (chi_squared(5.0).sf(5.884), 0.31767039376800565),
            (chi_squared(2.0).sf(100.0), 1.9287498479639183e-22),
            (f(5.0, 2499.0).sf(1.177), 0.3179099776908259),
            (f(4.0, 60.0).sf(3.2), 0.01897539600144143),
            (ln_gamma(0.2426), 1.3197854750907922),
            (ln_gamma(1234.5), 7550.550901077894),
        ] {
            assert!((found - want).abs() <= 1e-9 * want.abs(), "{found} is not {want}");
        }
    }
}
