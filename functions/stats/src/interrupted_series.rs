//! What changed when a programme began, where there is nobody to compare with: the line through the months before, carried on,
//! against the line through the months after (A. K. Wagner et al., *Segmented regression analysis of interrupted time series
//! studies*, 2002). Whatever else changed at that time is in it too.
//!
//! Errors of Newey and West (1987) are those of statsmodels `OLS.fit(cov_type="HAC", cov_kwds={"maxlags": L,
//! "use_correction": True}, use_t=True)`; at the lengths of such series they are too small, so a fit by generalised least
//! squares with errors of the first order of autoregression stands beside, whose parameter maximises the restricted likelihood
//! (nlme `gls(..., correlation = corAR1(form = ~ month), method = "REML")`).

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::{Estimate, Undefined};

/// From two years before the start on, the seasons are told apart.
const SEASONAL: usize = 24;
/// The parameter is looked for on a grid of this many steps, and then within one of them.
const STEPS: i32 = 199;
const LARGEST: f64 = 0.995;

/// What changed at the start, and by how much all months since then are above the line of those before, on the average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interruption {
    /// The step at the start.
    pub level: Estimate,
    /// Step and change of slope together, in the mean of the months since.
    pub effect: Estimate,
}

/// A series of months, of which each has a number; some may be missing.
#[derive(Debug, Clone)]
pub struct Series {
    months: Vec<f64>,
    values: DVector<f64>,
    columns: DMatrix<f64>,
    effect: DVector<f64>,
}

impl Series {
    /// Of pairs of month and value in the order of months; `start` is the first month that counts as after.
    ///
    /// # Errors
    /// [`Undefined::EmptyBase`] with fewer months than coefficients and one more, or without one on each side.
    pub fn new(values: &[(i32, f64)], start: i32) -> Result<Self, Undefined> {
        let before = values.iter().filter(|(month, _)| *month < start).count();
        let seasons = if before >= SEASONAL { 2 } else { 0 };
        if before == 0 || before == values.len() || values.len() <= 4 + seasons {
            return Err(Undefined::EmptyBase);
        }
        let column = |row: usize, column: usize| {
            let month = values[row].0;
            let after = f64::from(u8::from(month >= start));
            let year = std::f64::consts::TAU * f64::from(month) / 12.0;
            match column {
                0 => 1.0,
                1 => f64::from(month - values[0].0),
                2 => after,
                3 => after * f64::from(month - start),
                4 => year.sin(),
                _ => year.cos(),
            }
        };
        let columns = DMatrix::from_fn(values.len(), 4 + seasons, column);
        let mut effect = DVector::zeros(4 + seasons);
        effect[2] = 1.0;
        effect[3] = columns.column(3).sum() / (values.len() - before) as f64;
        Ok(Self {
            months: values.iter().map(|(month, _)| f64::from(*month)).collect(),
            values: DVector::from_iterator(values.len(), values.iter().map(|(_, value)| *value)),
            columns,
            effect,
        })
    }

    /// How many months.
    pub fn size(&self) -> usize {
        self.months.len()
    }

    /// The number of neighbouring months whose errors Newey and West let go together: ⌊4 (n / 100)^(2/9)⌋.
    pub fn lags(&self) -> usize {
        (4.0 * (self.size() as f64 / 100.0).powf(2.0 / 9.0)) as usize
    }

    fn estimates(&self, coefficients: &DVector<f64>, covariance: &DMatrix<f64>) -> Interruption {
        let df = (self.columns.nrows() - self.columns.ncols()) as f64;
        let of = |weights: &DVector<f64>| {
            let variance = weights.dot(&(covariance * weights));
            Estimate::student(weights.dot(coefficients), variance.max(0.0).sqrt(), df).tested()
        };
        let mut step = DVector::zeros(self.columns.ncols());
        step[2] = 1.0;
        Interruption { level: of(&step), effect: of(&self.effect) }
    }

    /// By least squares, with the errors of Newey and West.
    ///
    /// # Errors
    /// [`Undefined::Collinear`] where the months do not tell the coefficients apart.
    pub fn newey_west(&self) -> Result<Interruption, Undefined> {
        let (rows, columns) = self.columns.shape();
        let inverse = Cholesky::new(self.columns.tr_mul(&self.columns)).ok_or(Undefined::Collinear)?.inverse();
        let coefficients = &inverse * self.columns.tr_mul(&self.values);
        let residuals = &self.values - &self.columns * &coefficients;
        let score = |row: usize| self.columns.row(row).transpose() * residuals[row];
        let mut middle = DMatrix::zeros(columns, columns);
        for lag in 0..=self.lags() {
            let weight = 1.0 - lag as f64 / (self.lags() as f64 + 1.0);
            for row in lag..rows {
                let product = score(row) * score(row - lag).transpose() * weight;
                middle += &product;
                if lag > 0 {
                    middle += product.transpose();
                }
            }
        }
        let correction = rows as f64 / (rows - columns) as f64;
        Ok(self.estimates(&coefficients, &(&inverse * middle * &inverse * correction)))
    }

    /// By generalised least squares, errors of months being correlated by ρ to the power of the months between them.
    ///
    /// # Errors
    /// [`Undefined::Collinear`] as before; [`Undefined::NoSpread`] where the lines go through all values.
    pub fn autoregressive(&self) -> Result<Interruption, Undefined> {
        let spread = (&self.values - DVector::from_element(self.size(), self.values.mean())).norm();
        let likelihood = |rho: f64| self.fitted(rho).map_or(f64::NEG_INFINITY, |fit| fit.likelihood);
        let at = |step: i32| LARGEST * f64::from(2 * step - STEPS) / f64::from(STEPS);
        let best =
            (0..=STEPS).max_by(|one, other| likelihood(at(*one)).total_cmp(&likelihood(at(*other)))).unwrap_or(0);
        // The likelihood is flat at its top: where its slope is 0 is known to more digits.
        let (mut low, mut high) = (at((best - 1).max(0)), at((best + 1).min(STEPS)));
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.slope(middle)? > 0.0 { low = middle } else { high = middle }
        }
        let fit = self.fitted(f64::midpoint(low, high))?;
        if fit.variance.sqrt() <= 1e-9 * spread {
            return Err(Undefined::NoSpread);
        }
        Ok(self.estimates(&fit.coefficients, &(fit.inverse * fit.variance)))
    }

    /// The slope of the likelihood by the parameter, but for a factor of a half: (n − k)·y′P V̇ P y / y′P y − tr(P V̇), where V̇ is the
    /// derivative of the correlations V, and P = V⁻¹ − V⁻¹X(X′V⁻¹X)⁻¹X′V⁻¹.
    fn slope(&self, rho: f64) -> Result<f64, Undefined> {
        let (rows, columns) = self.columns.shape();
        let apart = |row: usize, column: usize| (self.months[row] - self.months[column]).abs();
        let correlation = |row: usize, column: usize| rho.powi(apart(row, column) as i32);
        let change = |row: usize, column: usize| match apart(row, column) {
            same if same < 1.0 => 0.0,
            months => months * rho.powi(months as i32 - 1),
        };
        let inverse = Cholesky::new(DMatrix::from_fn(rows, rows, correlation)).ok_or(Undefined::Collinear)?.inverse();
        let weighted = &inverse * &self.columns;
        let normal = Cholesky::new(self.columns.tr_mul(&weighted)).ok_or(Undefined::Collinear)?;
        let projection = &inverse - &weighted * normal.solve(&weighted.transpose());
        let changes = DMatrix::from_fn(rows, rows, change);
        let residuals = &projection * &self.values;
        let explained = residuals.dot(&(&changes * &residuals)) / self.values.dot(&residuals);
        Ok((rows - columns) as f64 * explained - projection.component_mul(&changes).sum())
    }

    fn fitted(&self, rho: f64) -> Result<Fit, Undefined> {
        let (rows, columns) = self.columns.shape();
        let correlation = |row: usize, column: usize| rho.powi((self.months[row] - self.months[column]).abs() as i32);
        let errors = Cholesky::new(DMatrix::from_fn(rows, rows, correlation)).ok_or(Undefined::Collinear)?;
        let white = |matrix: &DMatrix<f64>| errors.l_dirty().solve_lower_triangular(matrix).ok_or(Undefined::Collinear);
        let values = DMatrix::from_column_slice(rows, 1, self.values.as_slice());
        let (x, y) = (white(&self.columns)?, white(&values)?);
        let normal = Cholesky::new(x.tr_mul(&x)).ok_or(Undefined::Collinear)?;
        let coefficients = normal.solve(&x.tr_mul(&y)).column(0).into_owned();
        let left = (y.column(0) - &x * &coefficients).norm_squared();
        let freedom = (rows - columns) as f64;
        let log_root = |root: &DMatrix<f64>| root.diagonal().iter().map(|value| value.ln()).sum::<f64>();
        let likelihood = -0.5 * freedom * left.ln() - log_root(errors.l_dirty()) - log_root(normal.l_dirty());
        Ok(Fit { coefficients, inverse: normal.inverse(), variance: left / freedom, likelihood })
    }
}

struct Fit {
    coefficients: DVector<f64>,
    inverse: DMatrix<f64>,
    variance: f64,
    likelihood: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: f64, want: f64, digits: i32) {
        assert!((found - want).abs() <= 10.0_f64.powi(-digits) * want.abs(), "{found} is not {want}");
    }

    fn series() -> Vec<(i32, f64)> {
        let months = (0..=11).chain(13..=17);
        let values = [
            102.5, 98.0, 107.25, 110.0, 104.5, 99.0, 112.75, 118.5, 115.0, 109.5, 121.0, 119.25, 131.5, 140.0, 128.75,
            137.0, 149.5,
        ];
        months.zip(values).collect()
    }

    /// statsmodels 0.14, `OLS(...).fit(cov_type="HAC", cov_kwds=dict(maxlags=2, use_correction=True), use_t=True)`.
    #[test]
    fn newey_and_west_as_statsmodels() {
        let series = Series::new(&series(), 13).unwrap();
        assert_eq!(series.lags(), 2);
        let found = series.newey_west().unwrap();
        close(found.level.value, 8.188519813519871, 10);
        close(found.level.se.unwrap(), 3.2924276054970663, 10);
        close(found.level.p.unwrap(), 0.02724442834314753, 9);
        close(found.effect.value, 11.37768065, 9);
        close(found.effect.se.unwrap(), 2.49533566, 8);
        close(found.effect.p.unwrap(), 0.0005357027475601685, 9);
    }

    /// The restricted likelihood written down in numpy, the root of its slope found by scipy: ρ = 0.10751116584940393.
    #[test]
    fn generalised_least_squares_of_the_best_parameter() {
        let found = Series::new(&series(), 13).unwrap().autoregressive().unwrap();
        close(found.level.value, 8.080758324463204, 11);
        close(found.level.se.unwrap(), 6.356639632733907, 11);
        close(found.effect.value, 11.60633091384921, 11);
        close(found.effect.se.unwrap(), 5.95512847054044, 11);
    }

    #[test]
    fn seasons_are_told_apart_from_two_years_on() {
        let season = |month: i32| 10.0 * (std::f64::consts::TAU * f64::from(month) / 12.0).sin();
        let noise = |month: i32| if month % 3 == 0 { 0.25 } else { -0.125 };
        let values: Vec<_> =
            (0..30).map(|month| (month, season(month) + noise(month) + if month < 26 { 0.0 } else { 5.0 })).collect();
        let found = Series::new(&values, 26).unwrap().newey_west().unwrap();
        assert!((found.effect.value - 5.0).abs() < 0.5, "{found:?}");
        let short = Series::new(&values[8..], 26).unwrap().newey_west().unwrap();
        assert!((short.effect.value - 5.0).abs() > 1.0, "{short:?}");
    }

    #[test]
    fn what_no_line_goes_through_has_no_effect() {
        let values = series();
        for start in [-3, 0, 18] {
            assert_eq!(Series::new(&values, start).unwrap_err(), Undefined::EmptyBase);
        }
        assert_eq!(Series::new(&values[10..14], 13).unwrap_err(), Undefined::EmptyBase);
        // One month after: its slope is that of no line.
        assert_eq!(Series::new(&values[..13], 13).unwrap().newey_west().unwrap_err(), Undefined::Collinear);
        let line: Vec<_> = (0..12).map(|month| (month, f64::from(month))).collect();
        assert_eq!(Series::new(&line, 6).unwrap().autoregressive().unwrap_err(), Undefined::NoSpread);
    }
}
