//! Shares of customers with the Wilson score interval.
//!
//! Reference: E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the
//! American Statistical Association 22 (1927); equals statsmodels `proportion_confint(k, n, method="wilson")`.

use crate::{Estimate, NORMAL_975, Undefined};

/// `successes` of `base` customers as a share (0..1) with its Wilson interval.
///
/// The interval is not symmetric, so there is no standard error to go with it.
///
/// # Errors
/// [`Undefined::EmptyBase`] without a base; [`Undefined::Impossible`] if `successes` exceeds it.
///
/// ```
/// let retention = stats::proportion::wilson(579, 719).unwrap();
/// assert!((retention.lo.unwrap() - 0.7747502044184804).abs() < 1e-12);
/// ```
pub fn wilson(successes: u64, base: u64) -> Result<Estimate, Undefined> {
    if base == 0 {
        return Err(Undefined::EmptyBase);
    }
    if successes > base {
        return Err(Undefined::Impossible("more successes than cases"));
    }
    let n = base as f64;
    let share = successes as f64 / n;
    let z2 = NORMAL_975 * NORMAL_975;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half_width = NORMAL_975 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Ok(Estimate {
        // The ends are exact at 0 and 1, where the formula leaves rounding behind.
        lo: Some(if successes == 0 { 0.0 } else { (centre - half_width).max(0.0) }),
        hi: Some(if successes == base { 1.0 } else { (centre + half_width).min(1.0) }),
        ..Estimate::census(share)
    })
}

/// The share of the others: 1 - value, with the interval turned round.
pub fn complement(share: Estimate) -> Estimate {
    Estimate { value: 1.0 - share.value, lo: share.hi.map(|hi| 1.0 - hi), hi: share.lo.map(|lo| 1.0 - lo), ..share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_equals_the_published_formula() {
        // statsmodels 0.15.0 proportion_confint(k, n, method="wilson").
        for (k, n, lo, hi) in [
            (0, 10, 0.0, 0.277_532_799_862_889),
            (10, 10, 0.722_467_200_137_111, 1.0),
            (1, 3, 0.061_491_944_720_396, 0.792_340_399_197_953),
            (579, 719, 0.774_750_204_418_48, 0.832_575_225_858_06),
        ] {
            let share = wilson(k, n).unwrap();
            assert!((share.lo.unwrap() - lo).abs() < 1e-12, "{k}/{n}: {share:?}");
            assert!((share.hi.unwrap() - hi).abs() < 1e-12, "{k}/{n}: {share:?}");
        }
    }

    #[test]
    fn churn_is_retention_turned_round() {
        let churn = complement(wilson(579, 719).unwrap());
        assert!((churn.value - 140.0 / 719.0).abs() < 1e-15);
        assert!((churn.lo.unwrap() - 0.167_424_774_141_94).abs() < 1e-12);
    }

    #[test]
    fn a_share_of_nobody_or_above_one_is_refused() {
        assert_eq!(wilson(0, 0), Err(Undefined::EmptyBase));
        assert!(matches!(wilson(2, 1), Err(Undefined::Impossible(_))));
    }
}
