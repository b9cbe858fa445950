//! The ratio of two correlated estimates with an interval that may not exist.
//!
//! Reference: E. C. Fieller, *Some problems in interval estimation*, Journal of the Royal Statistical Society B 16 (1954). Where
//! the denominator could be 0, every ratio is possible, and no interval is given; the delta method would give one all the same.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Estimate, Undefined, student_975};

/// Two estimates and their covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The numerator.
    pub above: f64,
    /// The denominator.
    pub below: f64,
    /// Variance of the numerator, covariance, variance of the denominator.
    pub covariance: [f64; 3],
    /// Degrees of freedom of the t distribution.
    pub df: f64,
}

impl Pair {
    fn t(&self) -> Result<StudentsT, Undefined> {
        StudentsT::new(0.0, 1.0, self.df).map_err(|_| Undefined::EmptyBase)
    }

    /// The ratio with its 95 % interval.
    ///
    /// # Errors
    /// [`Undefined::Unbounded`] where the denominator's own interval holds 0; [`Undefined::EmptyBase`] without degrees of
    /// freedom.
    ///
    /// ```
    /// use stats::fieller::Pair;
    /// let sure = Pair { above: 4.0, below: 2.0, covariance: [0.01, 0.0, 0.01], df: 100.0 };
    /// assert_eq!(sure.ratio().unwrap().value, 2.0);
    /// assert_eq!(Pair { below: 0.1, ..sure }.ratio(), Err(stats::Undefined::Unbounded));
    /// ```
    pub fn ratio(&self) -> Result<Estimate, Undefined> {
        let t2 = student_975(self.df).ok_or(Undefined::EmptyBase)?.powi(2);
        let [vaa, vab, vbb] = self.covariance;
        let a = self.below * self.below - t2 * vbb;
        let b = self.above * self.below - t2 * vab;
        let c = self.above * self.above - t2 * vaa;
        if a <= 0.0 {
            return Err(Undefined::Unbounded);
        }
        let root = (b * b - a * c).max(0.0).sqrt();
        let value = self.above / self.below;
        // The ratio is between these ends, but for the rounding where there is next to no error.
        let (lo, hi) = (((b - root) / a).min(value), ((b + root) / a).max(value));
        Ok(Estimate { df: Some(self.df), lo: Some(lo), hi: Some(hi), ..Estimate::census(value) })
    }

    /// The test of "the ratio is `ratio`", without a division: t of numerator less so many denominators, and its p-value.
    ///
    /// # Errors
    /// [`Undefined::NoSpread`] where that difference has no error; [`Undefined::EmptyBase`] without degrees of freedom.
    pub fn test(&self, ratio: f64) -> Result<Estimate, Undefined> {
        let [vaa, vab, vbb] = self.covariance;
        let variance = vaa - 2.0 * ratio * vab + ratio * ratio * vbb;
        if variance <= 0.0 {
            return Err(Undefined::NoSpread);
        }
        let t = (self.above - ratio * self.below) / variance.sqrt();
        let p = 2.0 * self.t()?.sf(t.abs());
        Ok(Estimate { df: Some(self.df), p: Some(p), ..Estimate::census(t) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two cases of `small_functions.json` of the method's reference.
    #[test]
    fn a_ratio_is_never_outside_its_own_interval() {
        for step in 1..2_000 {
            let (above, below) = (1.0 / f64::from(step), 3.0 / f64::from(2 * step + 1));
            let tiny = 1e-31 * f64::from(step);
            let pair = Pair { above, below, covariance: [tiny, 0.3 * tiny, tiny], df: 5.0 };
            let Estimate { value, lo, hi, .. } = pair.ratio().unwrap();
            assert!(lo.unwrap() <= value && value <= hi.unwrap(), "{value} of {lo:?} to {hi:?}");
        }
    }

    #[test]
    fn bounded_and_not() {
        let bounded = Pair {
            above: 4.723083,
            below: 2.974119,
            covariance: [0.023826700880999998, -0.0172714, 0.03139984],
            // The reference takes t = 2.
            df: 60.0,
        };
        let found = bounded.ratio().unwrap();
        let t = student_975(60.0).unwrap();
        assert!((t - 2.0).abs() < 0.001);
        assert!((found.lo.unwrap() - 1.3479926583153725).abs() < 1e-4, "{found:?}");
        assert!((found.hi.unwrap() - 1.889724178300842).abs() < 1e-4, "{found:?}");
        let golden = Pair {
            above: 2.3552099238107744,
            below: 1.1864487590599697,
            covariance: [0.39489923037325203, -0.3365660739262342, 1.2696773794139586],
            df: 500.0,
        };
        assert_eq!(golden.ratio(), Err(Undefined::Unbounded));
        // The ratio is nearly two, and neither one nor two can be refused.
        assert!(golden.test(1.0).unwrap().p.unwrap() > 0.05 && golden.test(2.0).unwrap().p.unwrap() > 0.9);
    }

    /// The ends are where the test of that very ratio has p = 0.05.
    #[test]
    fn the_interval_holds_what_is_not_refused() {
        let pair = Pair { above: 3.0, below: 1.5, covariance: [0.2, 0.05, 0.04], df: 40.0 };
        let found = pair.ratio().unwrap();
        for end in [found.lo.unwrap(), found.hi.unwrap()] {
            assert!((pair.test(end).unwrap().p.unwrap() - 0.05).abs() < 1e-9, "{end}");
        }
        assert!(found.lo.unwrap() < 2.0 && 2.0 < found.hi.unwrap());
    }
}
