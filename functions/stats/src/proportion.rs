//! Shares of customers with the Wilson score interval.
//!
//! Reference: E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the
//! American Statistical Association 22 (1927); equals statsmodels `proportion_confint(k, n, method="wilson")`.

use crate::ratio::ScoreSums;
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
    Ok(interval(successes as f64 / base as f64, base as f64))
}

/// Wilson's interval of a share of `n` cases, which need not be a whole number.
fn interval(share: f64, n: f64) -> Estimate {
    let z2 = NORMAL_975 * NORMAL_975;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half_width = NORMAL_975 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Estimate {
        // The ends are exact at 0 and 1, where the formula leaves rounding behind.
        lo: Some(if share == 0.0 { 0.0 } else { (centre - half_width).max(0.0) }),
        hi: Some(if share == 1.0 { 1.0 } else { (centre + half_width).min(1.0) }),
        ..Estimate::census(share)
    }
}

/// The share of rows that are a success, where customers have several rows each, with its design effect.
///
/// `score` counts a customer's successes, `responses` its rows. The clustered error of [`ScoreSums::mean`] against that
/// of independent rows is the design effect, at least 1; the interval is Wilson's on as many rows fewer. Without spread
/// the customers are what was sampled. Reference: L. Kish, *Survey Sampling* (1965), §8.2.
///
/// # Errors
/// As [`ScoreSums::mean`], and [`Undefined::Impossible`] if the successes exceed the rows.
pub fn wilson_clustered(sums: &ScoreSums) -> Result<(Estimate, f64), Undefined> {
    let mean = sums.mean()?;
    if sums.score < 0 || sums.score > sums.responses {
        return Err(Undefined::Impossible("more successes than cases"));
    }
    let (share, rows) = (mean.value, sums.responses as f64);
    let effect = match mean.se {
        Some(se) if share > 0.0 && share < 1.0 => (se * se / (share * (1.0 - share) / rows)).max(1.0),
        _ => rows / sums.customers as f64,
    };
    Ok((Estimate { se: mean.se, ..interval(share, rows / effect) }, effect))
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
    fn repeat_answers_widen_the_interval() {
        // statsmodels 0.15.0: OLS(y ~ 1) clustered by customer for se, proportion_confint on n / deff. Answers a customer:
        // 1 1 | 0 0 0 | 1 | 1 0 | 0 0.
        let sums = ScoreSums {
            customers: 5,
            score: 4,
            responses: 10,
            score_squares: 6,
            score_responses: 7,
            responses_squares: 22,
        };
        let (share, effect) = wilson_clustered(&sums).unwrap();
        assert_eq!(share.value, 0.4);
        assert!((share.se.unwrap() - 0.221_359_436_211_786_5).abs() < 1e-15);
        assert!((effect - 2.041_666_666_666_665_6).abs() < 1e-12);
        assert!((share.lo.unwrap() - 0.116_197_405_384_848_18).abs() < 1e-12);
        assert!((share.hi.unwrap() - 0.771_713_684_776_403_2).abs() < 1e-12);
        assert!(share.lo.unwrap() < wilson(4, 10).unwrap().lo.unwrap());
    }

    #[test]
    fn without_spread_customers_are_the_sample() {
        let all = ScoreSums {
            customers: 3,
            score: 9,
            responses: 9,
            score_squares: 27,
            score_responses: 27,
            responses_squares: 27,
        };
        let (share, effect) = wilson_clustered(&all).unwrap();
        assert_eq!((share.value, effect, share.hi), (1.0, 3.0, Some(1.0)));
        assert!((share.lo.unwrap() - wilson(3, 3).unwrap().lo.unwrap()).abs() < 1e-12);
        assert!(wilson_clustered(&ScoreSums { score: 10, ..all }).is_err());
    }

    #[test]
    fn a_share_of_nobody_or_above_one_is_refused() {
        assert_eq!(wilson(0, 0), Err(Undefined::EmptyBase));
        assert!(matches!(wilson(2, 1), Err(Undefined::Impossible(_))));
    }
}
