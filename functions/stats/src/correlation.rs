//! Correlation of two numbers of a customer, by value (Pearson) and by rank (Spearman).
//!
//! References: R. A. Fisher, *On the probable error of a coefficient of correlation* (1921), for the interval; D. G. Bonett,
//! T. A. Wright, *Sample size requirements for estimating Pearson, Kendall and Spearman correlations*, Psychometrika 65 (2000),
//! for that of ranks. Equal to `scipy.stats.pearsonr` and `spearmanr`, whose p-values are those of t with n − 2 degrees of
//! freedom.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Estimate, NORMAL_975, Undefined};

/// Sums over customers of two numbers less constants that are near their means.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PairSums {
    /// Customers.
    pub n: f64,
    /// Σx and Σy.
    pub sums: [f64; 2],
    /// Σx², Σxy and Σy².
    pub products: [f64; 3],
}

impl PairSums {
    /// From sums of products of the list 1, x, y, each element with each, row by row.
    ///
    /// # Errors
    /// [`Undefined::Impossible`] unless there are nine of them.
    pub fn of(products: &[f64]) -> Result<Self, Undefined> {
        match *products {
            [n, x, y, _, xx, xy, _, _, yy] => Ok(Self { n, sums: [x, y], products: [xx, xy, yy] }),
            _ => Err(Undefined::Impossible("sums of products of another length")),
        }
    }

    /// The sums over the customers of both; nobody is in both.
    pub fn plus(&self, other: &Self) -> Self {
        let add = |one: &f64, other: &f64| one + other;
        Self {
            n: self.n + other.n,
            sums: std::array::from_fn(|at| add(&self.sums[at], &other.sums[at])),
            products: std::array::from_fn(|at| add(&self.products[at], &other.products[at])),
        }
    }

    /// The sums without those customers, who are among them.
    pub fn less(&self, others: &Self) -> Self {
        let negative = |number: &f64| -number;
        let others = Self {
            n: -others.n,
            sums: others.sums.each_ref().map(negative),
            products: others.products.each_ref().map(negative),
        };
        self.plus(&others)
    }

    /// Mean and unbiased variance of y; the variance is NaN for fewer than two customers.
    pub fn mean_and_variance(&self) -> (f64, f64) {
        let mean = self.sums[1] / self.n;
        let squares = self.products[2] - self.sums[1] * mean;
        (mean, if self.n >= 2.0 { (squares / (self.n - 1.0)).max(0.0) } else { f64::NAN })
    }

    fn correlation(&self) -> Result<f64, Undefined> {
        if self.n < 3.0 {
            return Err(Undefined::EmptyBase);
        }
        let [x, y] = self.sums;
        let [xx, xy, yy] = self.products;
        let (xx, xy, yy) = (xx - x * x / self.n, xy - x * y / self.n, yy - y * y / self.n);
        // What rounding leaves of no spread at all is no spread.
        let spread = |own: f64, raw: f64| own > 1e-12 * raw;
        if !(spread(xx, self.products[0]) && spread(yy, self.products[2])) {
            return Err(Undefined::NoSpread);
        }
        Ok((xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
    }

    /// Pearson's r with Fisher's interval.
    ///
    /// # Errors
    /// [`Undefined::EmptyBase`] below three customers; [`Undefined::NoSpread`] where either number is the same for all.
    ///
    /// ```
    /// // (1, 1), (2, 3), (3, 2), (4, 4)
    /// let sums = stats::correlation::PairSums { n: 4.0, sums: [10.0, 10.0], products: [30.0, 29.0, 30.0] };
    /// assert!((sums.pearson().unwrap().value - 0.8).abs() < 1e-15);
    /// ```
    pub fn pearson(&self) -> Result<Estimate, Undefined> {
        Ok(self.tested(self.correlation()?, 1.0))
    }

    /// Spearman's ρ of sums over ranks, with the interval of Bonett and Wright.
    ///
    /// # Errors
    /// As [`PairSums::pearson`].
    pub fn spearman(&self) -> Result<Estimate, Undefined> {
        let correlation = self.correlation()?;
        Ok(self.tested(correlation, 1.0 + correlation * correlation / 2.0))
    }

    /// The interval on Fisher's scale, where the variance is this over n − 3.
    fn tested(&self, r: f64, variance: f64) -> Estimate {
        let free = self.n - 2.0;
        let t = r * (free / (1.0 - r * r)).sqrt();
        let p = StudentsT::new(0.0, 1.0, free).ok().map(|distribution| 2.0 * distribution.sf(t.abs()));
        if self.n <= 3.0 || r.abs() >= 1.0 {
            return Estimate { p, ..Estimate::census(r) };
        }
        let half_width = NORMAL_975 * (variance / (self.n - 3.0)).sqrt();
        let [lo, hi] = [-half_width, half_width].map(|width| (r.atanh() + width).tanh());
        Estimate { p, lo: Some(lo), hi: Some(hi), ..Estimate::census(r) }
    }
}

/// The mean with its error and t interval of n − 1 degrees of freedom.
///
/// # Errors
/// [`Undefined::EmptyBase`] without a customer.
pub fn mean(sums: &PairSums) -> Result<Estimate, Undefined> {
    if sums.n < 1.0 {
        return Err(Undefined::EmptyBase);
    }
    let (mean, variance) = sums.mean_and_variance();
    Ok(Estimate::student(mean, (variance / sums.n).sqrt(), sums.n - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(pairs: &[[f64; 2]]) -> PairSums {
        let pair = |[x, y]: &[f64; 2]| PairSums { n: 1.0, sums: [*x, *y], products: [x * x, x * y, y * y] };
        pairs.iter().map(pair).fold(PairSums::default(), |all, own| all.plus(&own))
    }

    /// `small_functions.json` of the method's reference: r = 0.3 of 50.
    #[test]
    fn the_interval_is_fishers() {
        let half = (1.0 - 0.09_f64).sqrt();
        let pairs: Vec<[f64; 2]> = (0..50)
            .map(|at| {
                let (x, e) = (if at % 2 == 0 { 1.0 } else { -1.0 }, if at % 4 < 2 { 1.0 } else { -1.0 });
                [x, 0.3 * x + half * e]
            })
            .collect();
        // 25 and 25, 26 and 24: no exact orthogonality of 50, so only nearly 0.3.
        let found = sums(&pairs[..48]).pearson().unwrap();
        assert!((found.value - 0.3).abs() < 1e-12, "{found:?}");
        let found = PairSums { n: 50.0, sums: [0.0; 2], products: [1.0, 0.3, 1.0] }.pearson().unwrap();
        assert!((found.lo.unwrap() - 0.023625077388833595).abs() < 1e-14, "{found:?}");
        assert!((found.hi.unwrap() - 0.5337751868855202).abs() < 1e-14, "{found:?}");
    }

    const PEARSON: [f64; 4] = [0.8880465131073148, 0.018098785668360703, 0.2738502498679114, 0.9877396868193036];
    const SPEARMAN: [f64; 2] = [0.8857142857142858, 0.01884548104956266];

    /// `scipy.stats.pearsonr([1, 2, 3, 4, 5, 9], [2, 1, 4, 3, 7, 8])`, and of their ranks `spearmanr`.
    #[test]
    fn correlations_equal_scipy() {
        let pairs = [[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0], [5.0, 7.0], [9.0, 8.0]];
        let found = sums(&pairs).pearson().unwrap();
        for (found, want) in [
            (found.value, PEARSON[0]),
            (found.p.unwrap(), PEARSON[1]),
            (found.lo.unwrap(), PEARSON[2]),
            (found.hi.unwrap(), PEARSON[3]),
        ] {
            assert!((found - want).abs() < 1e-13, "{found} is not {want}");
        }
        let ranks = [[1.0, 2.0], [2.0, 1.0], [3.0, 4.0], [4.0, 3.0], [5.0, 5.0], [6.0, 6.0]];
        let found = sums(&ranks).spearman().unwrap();
        for (found, want) in [(found.value, SPEARMAN[0]), (found.p.unwrap(), SPEARMAN[1])] {
            assert!((found - want).abs() < 1e-13, "{found} is not {want}");
        }
    }

    #[test]
    fn without_spread_there_is_none() {
        assert_eq!(sums(&[[1.0, 0.1], [2.0, 0.1], [3.0, 0.1]]).pearson(), Err(Undefined::NoSpread));
        assert_eq!(sums(&[[1.0, 2.0], [2.0, 3.0]]).pearson(), Err(Undefined::EmptyBase));
        let line = sums(&[[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]]).pearson().unwrap();
        assert_eq!((line.value, line.lo), (1.0, None));
        assert_eq!(mean(&PairSums::default()), Err(Undefined::EmptyBase));
        assert_eq!(mean(&sums(&[[0.0, 3.0]])).map(|found| (found.value, found.se)), Ok((3.0, None)));
    }
}
