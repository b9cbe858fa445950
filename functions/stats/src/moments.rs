//! Moments that are added to and merge, for questions asked by hand: a line through points, and the difference of two means.
//!
//! References: T. F. Chan, G. H. Golub, R. J. LeVeque, *Algorithms for computing the sample variance*, The American
//! Statistician 37 (1983), for merging; B. L. Welch, *The generalization of "Student's" problem when several different
//! population variances are involved*, Biometrika 34 (1947).

use crate::{Estimate, Undefined};

/// Rows, means, and centred sums of squares and products of two numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Rows.
    pub rows: f64,
    /// The mean of x, and of y.
    pub means: [f64; 2],
    /// Sums of squares about the means, of x and of y.
    pub squares: [f64; 2],
    /// The sum of products about the means.
    pub products: f64,
}

/// A line through points by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Where it is at x = 0.
    pub intercept: f64,
    /// What y rises by with x, with the error of independent rows of one variance, and its p-value.
    pub slope: Estimate,
    /// The share of the variance of y that goes with x, from 0 to 1.
    pub r_squared: f64,
}

impl Moments {
    /// Of one row.
    pub fn of(x: f64, y: f64) -> Self {
        Self { rows: 1.0, means: [x, y], ..Self::default() }
    }

    /// Of the rows of both.
    pub fn plus(&self, other: &Self) -> Self {
        let rows = self.rows + other.rows;
        if rows == 0.0 {
            return *self;
        }
        let away: [f64; 2] = std::array::from_fn(|at| other.means[at] - self.means[at]);
        let weight = self.rows * other.rows / rows;
        Self {
            rows,
            means: std::array::from_fn(|at| self.means[at] + away[at] * other.rows / rows),
            squares: std::array::from_fn(|at| self.squares[at] + other.squares[at] + away[at] * away[at] * weight),
            products: self.products + other.products + away[0] * away[1] * weight,
        }
    }

    /// The line of y on x.
    ///
    /// # Errors
    /// [`Undefined::EmptyBase`] for fewer than two rows, [`Undefined::NoSpread`] if x is the same in all.
    ///
    /// ```
    /// use stats::moments::Moments;
    /// let points = [(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)].map(|(x, y)| Moments::of(x, y));
    /// let line = points.iter().fold(Moments::default(), |sums, point| sums.plus(point)).line().unwrap();
    /// assert!((line.slope.value - 2.0).abs() < 1e-12 && (line.intercept - 1.0).abs() < 1e-12);
    /// ```
    pub fn line(&self) -> Result<Line, Undefined> {
        if self.rows < 2.0 {
            return Err(Undefined::EmptyBase);
        }
        let ([x, y], [xx, yy]) = (self.means, self.squares);
        if xx <= 0.0 {
            return Err(Undefined::NoSpread);
        }
        let slope = self.products / xx;
        let residual = (yy - slope * self.products).max(0.0);
        let df = self.rows - 2.0;
        let se = (residual / df / xx).sqrt();
        let r_squared = if yy > 0.0 { 1.0 - residual / yy } else { 1.0 };
        Ok(Line { intercept: y - slope * x, slope: Estimate::student(slope, se, df).tested(), r_squared })
    }
}

/// The mean of x in the one group less that in the other, whose variances may differ, with Welch's degrees of freedom and the
/// p-value of no difference.
///
/// # Errors
/// [`Undefined::EmptyBase`] where a group has fewer than two rows, [`Undefined::NoSpread`] where neither varies.
pub fn welch(one: &Moments, other: &Moments) -> Result<Estimate, Undefined> {
    if one.rows < 2.0 || other.rows < 2.0 {
        return Err(Undefined::EmptyBase);
    }
    let of_mean = |moments: &Moments| moments.squares[0] / (moments.rows - 1.0) / moments.rows;
    let (first, second) = (of_mean(one), of_mean(other));
    let variance = first + second;
    if variance <= 0.0 {
        return Err(Undefined::NoSpread);
    }
    let df = variance * variance / (first * first / (one.rows - 1.0) + second * second / (other.rows - 1.0));
    Ok(Estimate::student(one.means[0] - other.means[0], variance.sqrt(), df).tested())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(rows: impl IntoIterator<Item = (f64, f64)>) -> Moments {
        rows.into_iter().fold(Moments::default(), |sums, (x, y)| sums.plus(&Moments::of(x, y)))
    }

    /// R's `sleep` (Student 1908): `t.test(extra ~ group, data = sleep)`.
    #[test]
    fn the_difference_of_two_means_is_that_of_r() {
        let one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let other = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let [one, other] = [one, other].map(|values| moments(values.map(|value| (value, 0.0))));
        let difference = welch(&one, &other).unwrap();
        assert!((difference.value + 1.58).abs() < 1e-12);
        assert!((difference.df.unwrap() - 17.776473516178).abs() < 1e-9, "{difference:?}");
        assert!((difference.p.unwrap() - 0.07939414018735807).abs() < 1e-9, "{difference:?}");
        assert!((difference.lo.unwrap() + 3.3654832307171043).abs() < 1e-9, "{difference:?}");
        assert_eq!(welch(&one, &moments([(1.0, 0.0)])), Err(Undefined::EmptyBase));
    }

    /// R's `cars` as far as its first ten rows: `lm(dist ~ speed, cars[1:10, ])`.
    #[test]
    fn a_line_is_that_of_least_squares_however_rows_are_merged() {
        let points = [4, 4, 7, 7, 8, 9, 10, 10, 10, 11].map(f64::from);
        let ys = [2, 10, 4, 22, 16, 10, 18, 26, 34, 17].map(f64::from);
        let rows: Vec<(f64, f64)> = points.into_iter().zip(ys).collect();
        let whole = moments(rows.clone()).line().unwrap();
        let halves = moments(rows[..3].to_vec()).plus(&moments(rows[3..].to_vec())).line().unwrap();
        assert!((whole.slope.value - halves.slope.value).abs() < 1e-12);
        // By the normal equations in whole numbers: n = 10, Σx = 80, Σy = 159, Σxx = 696, Σxy = 1415, Σyy = 3405.
        let (xx, xy, yy) = (696.0 - 640.0, 1415.0 - 80.0 * 15.9, 3405.0 - 10.0 * 15.9 * 15.9);
        assert!((whole.slope.value - xy / xx).abs() < 1e-12, "{whole:?}");
        let residual = yy - xy * xy / xx;
        assert!((whole.slope.se.unwrap() - (residual / 8.0 / xx).sqrt()).abs() < 1e-12, "{whole:?}");
        assert!((whole.r_squared - xy * xy / xx / yy).abs() < 1e-12 && whole.slope.df == Some(8.0));
        assert_eq!(moments([(1.0, 2.0), (1.0, 3.0)]).line(), Err(Undefined::NoSpread));
    }
}
