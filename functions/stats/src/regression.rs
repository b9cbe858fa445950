//! Least squares with fixed effects, from sums of products, with errors clustered by customer.
//!
//! The columns of a model are a constant, one for each level but the first of each factor, control numbers, and the numbers
//! in focus. Rows arrive as cells, one for each combination of levels, with sums of products of their numbers; that is all
//! that the coefficients need. Their errors need one number a customer, which a second pass over the rows makes of the fit
//! (R. Frisch, F. V. Waugh 1933; M. C. Lovell 1963): the residual of the focal number on all other columns, times the residual
//! of the outcome. So no error needs a matrix of all columns, whatever the number of levels.
//!
//! Solved by sweeps of the matrix scaled to a unit diagonal: J. H. Goodnight, *A tutorial on the SWEEP operator*, The American
//! Statistician 33 (1979). Errors: H. White 1980; K.-Y. Liang, S. L. Zeger 1986; equal to statsmodels `OLS.fit` with
//! `cov_type="HC1"`, and `"cluster"` with `use_correction=True` and `use_t=True`.

use std::collections::BTreeSet;

use crate::{Estimate, Undefined};

/// Below this share of its own sum of squares left by the others, a column says nothing that they do not.
const TOLERANCE: f64 = 1e-8;

/// At most this share of an outcome's size is what rounding leaves of it: its sum of squares is then 10⁻²⁰ of the outcome's. Doubles
/// carry 10⁻¹⁶, of which the sweeps lose four digits at most where a column keeps 10⁻⁸ of its own.
const ROUNDING: f64 = 1e-10;

/// Rows with the same levels.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The level of each factor.
    pub levels: Vec<i64>,
    /// Sums of products of the list 1, controls, focal numbers each with the list 1, controls, focal numbers, outcomes, row by
    /// row. Numbers that are far from 0 beside their spread are to be centred first.
    pub products: Vec<f64>,
}

/// Which numbers a model has.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Numbers that are only controlled for.
    pub controls: usize,
    /// Numbers in focus.
    pub focal: usize,
    /// Outcomes, each a model of its own with the same columns.
    pub outcomes: usize,
}

/// A fitted model.
#[derive(Debug, Clone)]
pub struct Fit {
    shape: Shape,
    levels: Vec<Vec<i64>>,
    /// Rows.
    pub rows: f64,
    /// Columns.
    pub columns: usize,
    /// Columns that are not combinations of those before them.
    pub rank: usize,
    /// Coefficients of the focal numbers on all other columns: other column by focal number.
    projection: Vec<Vec<f64>>,
    /// Sums of products of what is then left of the focal numbers, inverted: focal by focal.
    pub inverse: Vec<Vec<f64>>,
    /// Coefficients of the focal numbers: focal number by outcome.
    pub slopes: Vec<Vec<f64>>,
    /// Coefficients of the other columns: other column by outcome.
    others: Vec<Vec<f64>>,
    /// The size of each outcome: the root of the sum of squares of its means by cell.
    sizes: Vec<f64>,
}

/// Fits all outcomes.
///
/// # Errors
/// [`Undefined::EmptyBase`] without rows; [`Undefined::Collinear`] if a control or focal number is a combination of the other
/// columns; [`Undefined::Impossible`] for cells that do not have this shape. A level that is a combination of those before it
/// is left out.
pub fn fit(cells: &[Cell], shape: Shape) -> Result<Fit, Undefined> {
    let Shape { controls, focal, outcomes } = shape;
    let numbers = 1 + controls + focal;
    let (first, width) = (cells.first().ok_or(Undefined::EmptyBase)?, numbers + outcomes);
    if cells.iter().any(|cell| cell.products.len() != numbers * width || cell.levels.len() != first.levels.len()) {
        return Err(Undefined::Impossible("cells of another shape"));
    }
    let levels: Vec<Vec<i64>> = (0..first.levels.len())
        .map(|factor| cells.iter().map(|cell| cell.levels[factor]).collect::<BTreeSet<_>>().into_iter().collect())
        .collect();
    let dummies: usize = levels.iter().map(|levels| levels.len() - 1).sum();
    let (others, columns) = (1 + dummies + controls, 1 + dummies + controls + focal);

    // The columns' products with each other and with the outcomes. A number of a cell is at 1 + dummies + its place.
    let mut matrix = vec![vec![0.0; columns + outcomes]; columns];
    for cell in cells {
        let product = |row: usize, column: usize| cell.products[row * width + column];
        let indicators = indicators(&levels, &cell.levels);
        for &row in &indicators {
            for &column in &indicators {
                matrix[row][column] += product(0, 0);
            }
            for number in 1..width {
                matrix[row][dummies + number] += product(0, number);
            }
            for number in 1..numbers {
                matrix[dummies + number][row] += product(number, 0);
            }
        }
        for row in 1..numbers {
            for column in 1..width {
                matrix[dummies + row][dummies + column] += product(row, column);
            }
        }
    }
    let rows = matrix[0][0];
    let scale: Vec<f64> = (0..columns).map(|column| matrix[column][column].sqrt()).collect();
    if rows <= 0.0 || scale.iter().skip(1 + dummies).any(|scale| *scale <= 0.0) {
        return Err(if rows <= 0.0 { Undefined::EmptyBase } else { Undefined::Collinear });
    }
    for (row, values) in matrix.iter_mut().enumerate() {
        for (column, value) in values.iter_mut().enumerate() {
            *value /= scale[row] * scale.get(column).unwrap_or(&1.0);
        }
    }
    let mut rank = 0;
    for column in 0..others {
        if matrix[column][column] > TOLERANCE {
            sweep(&mut matrix, column);
            rank += 1;
        } else if column <= dummies {
            // A combination of the levels before it: its coefficient is 0.
            matrix[column].fill(0.0);
            matrix.iter_mut().for_each(|row| row[column] = 0.0);
        } else {
            return Err(Undefined::Collinear);
        }
    }
    let projection =
        (0..others).map(|row| (others..columns).map(|of| matrix[row][of] * scale[of] / scale[row]).collect());
    let projection = projection.collect();
    for column in others..columns {
        if matrix[column][column] <= TOLERANCE {
            return Err(Undefined::Collinear);
        }
        sweep(&mut matrix, column);
        rank += 1;
    }
    let coefficients = |row: usize| (columns..columns + outcomes).map(|of| matrix[row][of] / scale[row]).collect();
    let inverse = |row: usize| (others..columns).map(|of| matrix[row][of] / (scale[row] * scale[of])).collect();
    let size = |outcome: usize| {
        let squares = cells.iter().filter(|cell| cell.products[0] > 0.0);
        squares.map(|cell| cell.products[numbers + outcome].powi(2) / cell.products[0]).sum::<f64>().sqrt()
    };
    Ok(Fit {
        shape,
        levels,
        rows,
        columns,
        rank,
        projection,
        inverse: (others..columns).map(inverse).collect(),
        slopes: (others..columns).map(coefficients).collect(),
        others: (0..others).map(coefficients).collect(),
        sizes: (0..outcomes).map(size).collect(),
    })
}

/// The columns that are 1 in rows of these levels: the constant, and those of the levels that have one.
fn indicators(levels: &[Vec<i64>], of: &[i64]) -> Vec<usize> {
    let mut found = vec![0];
    let mut start = 1;
    for (levels, level) in levels.iter().zip(of) {
        match levels.binary_search(level) {
            Ok(at) if at > 0 => found.push(start + at - 1),
            _ => {}
        }
        start += levels.len() - 1;
    }
    found
}

/// Takes the column out of all others, and puts its part of the inverse in its place.
fn sweep(matrix: &mut [Vec<f64>], pivot: usize) {
    let inverse = 1.0 / matrix[pivot][pivot];
    let mut own = std::mem::take(&mut matrix[pivot]);
    own.iter_mut().for_each(|value| *value *= inverse);
    for (row, values) in matrix.iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
        debug_assert!(row < own.len());
        let factor = std::mem::take(&mut values[pivot]);
        for (value, own) in values.iter_mut().zip(&own) {
            *value -= factor * own;
        }
        values[pivot] = -factor * inverse;
    }
    own[pivot] = inverse;
    matrix[pivot] = own;
}

impl Fit {
    /// What the constant and the levels of a cell say of each focal number, and of each outcome.
    pub fn of_cell(&self, levels: &[i64]) -> (Vec<f64>, Vec<f64>) {
        let indicators = indicators(&self.levels, levels);
        let sum = |of: &[Vec<f64>], count: usize| {
            (0..count).map(|at| indicators.iter().map(|row| of[*row][at]).sum()).collect()
        };
        (sum(&self.projection, self.shape.focal), sum(&self.others, self.shape.outcomes))
    }

    /// What a unit of a control says of each focal number.
    pub fn focal_on_control(&self, control: usize) -> &[f64] {
        &self.projection[self.others.len() - self.shape.controls + control]
    }

    /// The coefficients of a control, by outcome.
    pub fn of_control(&self, control: usize) -> &[f64] {
        &self.others[self.others.len() - self.shape.controls + control]
    }

    /// The covariance of the focal slopes of an outcome, clustered: `squares` holds Σ over customers of the products of their
    /// sums of (residual focal number × residual outcome), focal by focal.
    pub fn clustered(&self, squares: &[Vec<f64>], customers: f64) -> Vec<Vec<f64>> {
        let factor = customers / (customers - 1.0) * (self.rows - 1.0) / (self.rows - self.rank as f64);
        let of = 0..self.shape.focal;
        let part = |row: usize, one: usize, other: usize, column: usize| {
            factor * self.inverse[row][one] * squares[one][other] * self.inverse[other][column]
        };
        let sum = |row: usize, column: usize| {
            of.clone()
                .flat_map(|one| of.clone().map(move |other| (one, other)))
                .map(|(one, other)| part(row, one, other, column))
                .sum()
        };
        of.clone().map(|row| of.clone().map(|column| sum(row, column)).collect()).collect()
    }

    /// Whether an outcome, weighed of those of the model, does not vary where all but the focal numbers is held equal: what these
    /// say of it, and what they leave, is rounding. `squares` is of each focal number as for [`Fit::clustered`].
    fn is_flat(&self, weights: &[f64], squares: &[f64]) -> bool {
        let size: f64 = weights.iter().zip(&self.sizes).map(|(weight, size)| (weight * size).abs()).sum();
        let rounding = (ROUNDING * size).powi(2);
        squares.iter().enumerate().all(|(at, squares)| {
            // The sum of squares of the focal number that is left by all others.
            let left = 1.0 / self.inverse[at][at];
            self.slope(at, weights).powi(2) * left <= rounding && *squares <= rounding * left
        })
    }

    /// The slope of a focal number for an outcome that is weighed of those of the model.
    fn slope(&self, focal: usize, weights: &[f64]) -> f64 {
        weights.iter().zip(&self.slopes[focal]).map(|(weight, slope)| weight * slope).sum()
    }

    /// The slopes of the one outcome, each with its clustered error and p-value, and their covariance; `squares` as for
    /// [`Fit::clustered`].
    ///
    /// # Errors
    /// [`Undefined::NoSpread`] where nothing of the outcome varies once the other columns are held equal.
    pub fn clustered_slopes(
        &self,
        squares: &[Vec<f64>],
        customers: f64,
    ) -> Result<(Vec<Estimate>, Vec<Vec<f64>>), Undefined> {
        let own: Vec<f64> = squares.iter().enumerate().map(|(at, squares)| squares[at]).collect();
        if self.is_flat(&[1.0], &own) {
            return Err(Undefined::NoSpread);
        }
        let covariance = self.clustered(squares, customers);
        let slopes = self
            .slopes
            .iter()
            .enumerate()
            .map(|(at, slopes)| Estimate::student(slopes[0], covariance[at][at].sqrt(), customers - 1.0).tested());
        Ok((slopes.collect(), covariance))
    }

    /// The slope of the one focal number for a weighted sum of the outcomes, with its clustered error, t of customers − 1
    /// degrees of freedom, and the p-value.
    ///
    /// # Errors
    /// [`Undefined::NoSpread`] where nothing of the outcome varies once the other columns are held equal.
    pub fn clustered_slope(&self, weights: &[f64], squares: f64, customers: f64) -> Result<Estimate, Undefined> {
        if self.is_flat(weights, &[squares]) {
            return Err(Undefined::NoSpread);
        }
        let variance = self.clustered(&[vec![squares]], customers)[0][0];
        Ok(Estimate::student(self.slope(0, weights), variance.sqrt(), customers - 1.0).tested())
    }

    /// The same with the error of rows of unequal spread (HC1): `squares` is the sum over rows.
    ///
    /// # Errors
    /// As [`Fit::clustered_slope`].
    pub fn robust_slope(&self, weights: &[f64], squares: f64) -> Result<Estimate, Undefined> {
        if self.is_flat(weights, &[squares]) {
            return Err(Undefined::NoSpread);
        }
        let free = self.rows - self.rank as f64;
        let variance = self.rows / free * squares * self.inverse[0][0].powi(2);
        Ok(Estimate::student(self.slope(0, weights), variance.sqrt(), free).tested())
    }
}

/// The false discovery rate at which each of the hypotheses of a family would be rejected: Y. Benjamini, Y. Hochberg,
/// *Controlling the false discovery rate*, Journal of the Royal Statistical Society B 57 (1995).
///
/// ```
/// let q = stats::regression::benjamini_hochberg(&[0.01, 0.9, 0.02]);
/// assert_eq!(q, [0.03, 0.9, 0.03]);
/// ```
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*one].total_cmp(&p[*other]));
    let (mut q, mut least) = (vec![0.0; p.len()], 1.0_f64);
    for (rank, at) in order.into_iter().enumerate().rev() {
        least = least.min(p[at] * p.len() as f64 / (rank + 1) as f64);
        q[at] = least;
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of rows with factors, numbers and outcomes.
    fn cells(rows: &[(Vec<i64>, Vec<f64>, Vec<f64>)]) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        for (levels, numbers, outcomes) in rows {
            let left: Vec<f64> = std::iter::once(1.0).chain(numbers.iter().copied()).collect();
            let right: Vec<f64> = left.iter().chain(outcomes).copied().collect();
            let found = cells.iter().position(|cell| cell.levels == *levels);
            let at = found.unwrap_or_else(|| {
                cells.push(Cell { levels: levels.clone(), products: vec![0.0; left.len() * right.len()] });
                cells.len() - 1
            });
            for (row, one) in left.iter().enumerate() {
                for (column, other) in right.iter().enumerate() {
                    cells[at].products[row * right.len() + column] += one * other;
                }
            }
        }
        cells
    }

    /// Segment, month, earlier spend, score, customer, and two outcomes, made up.
    #[rustfmt::skip]
    const ROWS: [(i64, i64, f64, f64, usize, f64, f64); 60] = [
        (2, 13, 3.97, 2.0, 6, 9.9, 1.93), (2, 12, 0.38, 3.0, 12, 9.93, 0.75), (0, 13, 2.49, 0.0, 15, 1.7, 1.64), (2, 10, 1.17, 8.0, 9, 6.5, -0.75), (1, 10, 0.36, 5.0, 12, 10.99, -1.29), (1, 12, 4.48, 4.0, 5, 4.38, -0.51), (1, 11, 6.45, 10.0, 9, 8.79, -0.35), (0, 11, 2.75, 6.0, 8, 5.9, -0.1), (2, 13, 7.37, 10.0, 12, 12.18, -1.9), (0, 10, 0.36, 8.0, 0, 8.17, -2.22), (0, 12, 2.66, 6.0, 4, 6.58, -0.09), (1, 11, 6.54, 5.0, 0, 5.72, -0.34), (1, 11, 0.61, 2.0, 16, 5.2, 0.25), (1, 13, 8.74, 7.0, 9, 9.62, -0.73), (0, 10, 1.86, 8.0, 8, 10.31, -0.32), (0, 11, 2.56, 7.0, 8, 6.24, -0.11), (0, 10, 6.81, 4.0, 0, 3.37, 1.16), (0, 10, 9.9, 0.0, 14, 2.88, 1.93), (0, 11, 4.83, 8.0, 14, 10.35, 0.73), (2, 12, 0.36, 0.0, 0, 3.03, 1.81), (0, 12, 4.97, 8.0, 10, 3.28, -0.94), (1, 11, 11.02, 1.0, 9, 5.64, 0.75), (2, 10, 2.38, 3.0, 6, 6.21, 0.89), (0, 13, 2.69, 2.0, 8, 6.18, 0.29), (0, 13, 2.11, 5.0, 14, 3.1, 0.55), (1, 10, 4.99, 2.0, 10, 6.83, 1.75), (0, 10, 5.39, 2.0, 8, 6.21, -0.2), (2, 11, 2.85, 0.0, 12, 3.46, -0.77), (0, 10, 0.0, 10.0, 11, 6.62, 0.19), (2, 13, 2.86, 2.0, 8, 9.4, 0.62), (2, 12, 1.28, 2.0, 14, 8.82, 1.31), (2, 12, 9.9, 6.0, 9, 11.68, -1.53), (0, 11, 2.03, 1.0, 10, 3.77, 2.53), (1, 12, 2.48, 9.0, 8, 10.52, -0.06), (1, 13, 2.53, 8.0, 10, 7.48, -0.73), (1, 10, 5.25, 3.0, 10, 5.88, 0.05), (1, 13, 0.48, 4.0, 15, 3.42, 0.31), (2, 10, 1.88, 4.0, 4, 6.58, 0.03), (1, 11, 0.29, 8.0, 6, 6.92, -0.88), (0, 13, 3.45, 4.0, 9, 10.58, -0.92), (2, 13, 9.4, 3.0, 5, 7.93, 1.66), (1, 10, 0.77, 7.0, 11, 9.27, -0.44), (2, 13, 2.39, 1.0, 14, 7.86, 0.87), (0, 13, 2.38, 8.0, 3, 6.34, -0.51), (1, 11, 0.73, 4.0, 0, 7.56, -2.16), (2, 11, 4.77, 10.0, 16, 6.08, -0.47), (0, 13, 1.57, 2.0, 8, 3.66, 0.27), (0, 13, 3.08, 4.0, 12, 6.64, -0.09), (1, 12, 2.55, 9.0, 12, 3.47, -0.73), (2, 11, 6.12, 7.0, 16, 7.02, -1.37), (0, 10, 0.08, 0.0, 0, 4.14, 1.84), (2, 13, 0.01, 3.0, 4, 4.99, -0.3), (1, 11, 0.81, 0.0, 16, 1.05, 0.1), (0, 12, 1.37, 9.0, 7, 6.16, -1.66), (1, 12, 16.38, 4.0, 6, 8.83, 0.36), (2, 10, 4.46, 2.0, 4, 7.79, 1.35), (2, 11, 2.61, 7.0, 0, 9.19, -1.0), (2, 12, 4.98, 9.0, 0, 9.43, -2.31), (0, 10, 2.11, 1.0, 16, 1.8, 1.86), (0, 12, 5.17, 5.0, 0, 5.94, -1.07)
    ];

    /// Of the customers 0 to 16 some have no row.
    const CUSTOMERS: f64 = 14.0;
    const SHAPE: Shape = Shape { controls: 1, focal: 1, outcomes: 2 };

    fn model() -> Fit {
        fit(&cells(&ROWS.map(|(a, m, z, x, _, y, w)| (vec![a, m], vec![z, x], vec![y, w]))), SHAPE).unwrap()
    }

    /// The second pass: the sum over customers of the products of their sums of (focal residual × residual), and over rows.
    fn squares(
        fit: &Fit,
        focal: usize,
        outcome: usize,
        of: impl Fn(usize) -> (Vec<i64>, f64, Vec<f64>, f64),
    ) -> (Vec<Vec<f64>>, Vec<f64>) {
        let (mut sums, mut by_row) = (vec![vec![0.0; focal]; 17], vec![0.0; focal]);
        for (row, data) in ROWS.iter().enumerate() {
            let (levels, z, x, y) = of(row);
            let (of_focal, of_outcome) = fit.of_cell(&levels);
            let fitted: f64 = (0..focal).map(|at| fit.slopes[at][outcome] * x[at]).sum();
            let residual = y - fitted - fit.of_control(0)[outcome] * z - of_outcome[outcome];
            for at in 0..focal {
                let part = (x[at] - fit.focal_on_control(0)[at] * z - of_focal[at]) * residual;
                sums[data.4][at] += part;
                by_row[at] += part * part;
            }
        }
        let product = |one: usize, other: usize| sums.iter().map(|sum| sum[one] * sum[other]).sum();
        ((0..focal).map(|one| (0..focal).map(|other| product(one, other)).collect()).collect(), by_row)
    }

    fn close(found: f64, want: f64) {
        assert!((found - want).abs() < 1e-11 * want.abs().max(1.0), "{found} is not {want}");
    }

    /// `smf.ols("y ~ x + z + C(a) + C(m)").fit(...)` of statsmodels 0.14, clustered by customer and HC1.
    #[test]
    fn slopes_and_their_errors_equal_statsmodels() {
        let fit = model();
        assert_eq!((fit.rows, fit.columns, fit.rank), (60.0, 8, 8));
        let of = |outcome: usize| {
            squares(&fit, 1, outcome, move |row| {
                let (a, m, z, x, _, y, w) = ROWS[row];
                (vec![a, m], z, vec![x], [y, w][outcome])
            })
        };
        let (by_customer, by_row) = of(0);
        let slope = fit.clustered_slope(&[1.0, 0.0], by_customer[0][0], CUSTOMERS).unwrap();
        close(slope.value, 0.4238130895261618);
        close(slope.se.unwrap(), 0.06178414824453326);
        close(slope.p.unwrap(), 1.1534896889128804e-05);
        close(slope.lo.unwrap(), 0.2903365521924216);
        close(slope.hi.unwrap(), 0.557289626859902);
        let robust = fit.robust_slope(&[1.0, 0.0], by_row[0]).unwrap();
        close(robust.se.unwrap(), 0.0909678782949128);
        close(robust.p.unwrap(), 2.243029023266642e-05);
        close(fit.of_control(0)[0], 0.1461955245398005);
        let slope = fit.clustered_slope(&[0.0, 1.0], of(1).0[0][0], CUSTOMERS).unwrap();
        close(slope.value, -0.2362973042919185);
        close(slope.se.unwrap(), 0.045115528277044556);
    }

    #[test]
    fn an_outcome_that_does_not_vary_has_no_slope() {
        // The same for all, the same within each level, what earlier spend says exactly, and what the score does.
        let outcomes: [fn(i64, f64, f64) -> f64; 4] =
            [|_, _, _| 0.1, |a, _, _| 0.1 + a as f64 / 3.0, |_, z, _| 0.1 + z / 7.0, |_, _, x| 0.1 + x / 1e3];
        for (at, outcome) in outcomes.into_iter().enumerate() {
            let y = move |row: usize| outcome(ROWS[row].0, ROWS[row].2, ROWS[row].3);
            let numbers = |row: usize| {
                let (a, m, z, x, ..) = ROWS[row];
                (vec![a, m], vec![z, x], vec![y(row), 2.0])
            };
            let fit = fit(&cells(&(0..ROWS.len()).map(numbers).collect::<Vec<_>>()), SHAPE).unwrap();
            let (by_customer, by_row) = squares(&fit, 1, 0, move |row| {
                (vec![ROWS[row].0, ROWS[row].1], ROWS[row].2, vec![ROWS[row].3], y(row))
            });
            let slopes = [
                fit.clustered_slope(&[1.0, 0.0], by_customer[0][0], CUSTOMERS),
                fit.clustered_slope(&[1.0, -0.5], by_customer[0][0], CUSTOMERS),
                fit.robust_slope(&[1.0, 0.0], by_row[0]),
            ];
            for slope in slopes {
                // The last is a line without an error, which has a slope.
                match at {
                    3 => close(slope.unwrap().value * 1e3, 1.0),
                    _ => assert_eq!(slope, Err(Undefined::NoSpread)),
                }
            }
        }
    }

    #[test]
    fn two_focal_numbers_have_a_covariance() {
        let rows = ROWS.map(|(a, m, z, x, _, y, w)| (vec![a, m], vec![z, x, w], vec![y]));
        let fit = fit(&cells(&rows), Shape { controls: 1, focal: 2, outcomes: 1 }).unwrap();
        let (by_customer, _) = squares(&fit, 2, 0, |row| {
            let (a, m, z, x, _, y, w) = ROWS[row];
            (vec![a, m], z, vec![x, w], y)
        });
        close(fit.slopes[0][0], 0.3562078290329649);
        close(fit.slopes[1][0], -0.28610254651776734);
        let covariance = fit.clustered(&by_customer, CUSTOMERS);
        close(covariance[0][0], 0.013017034810751197);
        close(covariance[0][1], 0.038050093951341714);
        close(covariance[1][0], 0.038050093951341714);
        close(covariance[1][1], 0.16084404268083857);
    }

    #[test]
    fn a_level_that_says_nothing_new_is_left_out_and_counted() {
        let rows = ROWS.map(|(a, m, z, x, _, y, w)| (vec![a, m, a + 1], vec![z, x], vec![y, w]));
        let fit = fit(&cells(&rows), SHAPE).unwrap();
        assert_eq!((fit.columns, fit.rank), (10, 8));
        close(fit.slopes[0][0], model().slopes[0][0]);
    }

    #[test]
    fn a_number_that_says_nothing_new_is_refused() {
        let with = |x: fn(i64, f64, f64) -> f64| {
            let rows = ROWS.map(|(a, m, z, own, _, y, w)| (vec![a, m], vec![z, x(a, z, own)], vec![y, w]));
            fit(&cells(&rows), SHAPE).err()
        };
        assert_eq!(with(|_, z, _| 3.0 * z + 1.0), Some(Undefined::Collinear));
        assert_eq!(with(|a, _, _| a as f64), Some(Undefined::Collinear));
        assert_eq!(with(|_, _, _| 0.0), Some(Undefined::Collinear));
        assert_eq!(with(|_, z, x| z + 1e-3 * x), None);
        assert_eq!(fit(&[], SHAPE).err(), Some(Undefined::EmptyBase));
    }

    /// `multipletests(p, method="fdr_bh")` of statsmodels.
    #[test]
    fn false_discovery_rates_equal_statsmodels() {
        assert_eq!(
            benjamini_hochberg(&[0.04, 0.001, 0.03, 0.8]),
            [0.05333333333333334, 0.004, 0.05333333333333334, 0.8]
        );
        assert_eq!(benjamini_hochberg(&[1.0, 1.0]), [1.0, 1.0]);
        assert!(benjamini_hochberg(&[]).is_empty());
    }
}
