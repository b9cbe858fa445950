//! How much of an outcome's variance each of several drivers goes with: the mean gain in R² over all orders in which they can
//! be added.
//!
//! References: R. H. Lindeman, P. F. Merenda, R. Z. Gold, *Introduction to Bivariate and Multivariate Analysis* (1980), LMG;
//! equal to the Shapley value of R² and to `pingouin.linear_regression(relimp=True)`. Errors: the delete-a-group jackknife, P. S.
//! Kott, *The delete-a-group jackknife*, Journal of Official Statistics 17 (2001).

use crate::{Estimate, Undefined};

/// More drivers would be more than 4,096 subsets.
pub const MOST_DRIVERS: usize = 12;

/// Below this smallest eigenvalue a correlation matrix does not tell its drivers apart.
const SMALLEST_EIGENVALUE: f64 = 1e-6;

/// The share of the outcome's variance that each driver goes with; they add up to R². `between` are the drivers' correlations
/// with each other, a symmetric matrix with ones on its diagonal, `outcome` those of each with the outcome. Correlations may
/// be pairwise, each over the customers who have both.
///
/// # Errors
/// [`Undefined::EmptyBase`] unless there are 2 to [`MOST_DRIVERS`] drivers; [`Undefined::Collinear`] if the smallest eigenvalue
/// of the matrix is 1e-6 or less, or if such pairwise correlations would explain more than everything.
///
/// ```
/// // Of drivers that do not go together each has its own square.
/// let shares = stats::drivers::lmg(&[vec![1.0, 0.0], vec![0.0, 1.0]], &[0.3, 0.4]).unwrap();
/// assert!((shares[0] - 0.09).abs() < 1e-15 && (shares[1] - 0.16).abs() < 1e-15);
/// ```
pub fn lmg(between: &[Vec<f64>], outcome: &[f64]) -> Result<Vec<f64>, Undefined> {
    let drivers = outcome.len();
    if !(2..=MOST_DRIVERS).contains(&drivers) {
        return Err(Undefined::EmptyBase);
    }
    if between.len() != drivers || between.iter().any(|row| row.len() != drivers) {
        return Err(Undefined::Impossible("correlations of another number of drivers"));
    }
    if !is_positive_definite(between, SMALLEST_EIGENVALUE) {
        return Err(Undefined::Collinear);
    }
    // The outcome is the last column; what is left of its 1 when drivers are taken out is 1 - R².
    let row = |(row, correlation): (&Vec<f64>, &f64)| [row.clone(), vec![*correlation]].concat();
    let mut matrix: Vec<Vec<f64>> = between.iter().zip(outcome).map(row).collect();
    matrix.push([outcome, &[1.0]].concat());
    let mut explained = vec![0.0; 1 << drivers];
    explain(&matrix, 0, 0, &mut explained);
    if explained[explained.len() - 1] > 1.0 {
        return Err(Undefined::Collinear);
    }
    // |S|! (p - |S| - 1)! / p! of the sets S that a driver is added to: 1 / p of each size, shared among the sets of that size.
    let mut weights = vec![1.0 / drivers as f64; drivers];
    for size in 1..drivers {
        weights[size] = weights[size - 1] * size as f64 / (drivers - size) as f64;
    }
    let share = |driver: usize| {
        let without = (0..explained.len()).filter(|set| set & (1 << driver) == 0);
        let gains =
            without.map(|set| weights[set.count_ones() as usize] * (explained[set | 1 << driver] - explained[set]));
        gains.sum()
    };
    Ok((0..drivers).map(share).collect())
}

/// Notes R² of every set that `chosen` grows into by drivers from `next` on; those chosen are out of the matrix.
fn explain(matrix: &[Vec<f64>], chosen: usize, next: usize, explained: &mut [f64]) {
    let outcome = matrix.len() - 1;
    explained[chosen] = 1.0 - matrix[outcome][outcome];
    for driver in next..outcome {
        let mut left = matrix.to_vec();
        for row in driver + 1..=outcome {
            let factor = matrix[row][driver] / matrix[driver][driver];
            for column in driver + 1..=outcome {
                left[row][column] -= factor * matrix[driver][column];
            }
        }
        explain(&left, chosen | 1 << driver, driver + 1, explained);
    }
}

/// Whether all eigenvalues of a symmetric matrix are above `least`.
fn is_positive_definite(matrix: &[Vec<f64>], least: f64) -> bool {
    let mut left = matrix.to_vec();
    left.iter_mut().enumerate().for_each(|(at, row)| row[at] -= least);
    for pivot in 0..left.len() {
        if left[pivot][pivot].is_nan() || left[pivot][pivot] <= 0.0 {
            return false;
        }
        let (above, below) = left.split_at_mut(pivot + 1);
        let own = &above[pivot];
        for row in below {
            let factor = row[pivot] / own[pivot];
            row.iter_mut().zip(own).for_each(|(value, own)| *value -= factor * own);
        }
    }
    true
}

/// A value of all customers with the error that its values without each of J groups of them tell, and t of J − 1 degrees of
/// freedom. Without a spread among these there is no interval.
///
/// ```
/// let found = stats::drivers::jackknife(2.0, &[1.0, 2.0, 3.0]);
/// // (J - 1) / J of the squares about their mean
/// assert!((found.se.unwrap() - (2.0_f64 / 3.0 * 2.0).sqrt()).abs() < 1e-15);
/// assert_eq!(found.df, Some(2.0));
/// ```
pub fn jackknife(value: f64, without_group: &[f64]) -> Estimate {
    let groups = without_group.len() as f64;
    let mean = without_group.iter().sum::<f64>() / groups;
    let squares: f64 = without_group.iter().map(|value| (value - mean).powi(2)).sum();
    Estimate::student(value, ((groups - 1.0) / groups * squares).sqrt(), groups - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Correlations of cyl, disp, hp and gear of `mtcars` (R), and of each with mpg.
    const CARS: [[f64; 4]; 4] = [
        [1.0, 0.9020328721469988, 0.8324474527218194, -0.49268659938947124],
        [0.9020328721469988, 1.0, 0.7909485863698066, -0.5555691985624825],
        [0.8324474527218194, 0.7909485863698066, 1.0, -0.12570425822547415],
        [-0.49268659938947124, -0.5555691985624825, -0.12570425822547415, 1.0],
    ];
    const MILES: [f64; 4] = [-0.8521619594266129, -0.8475513792624785, -0.7761683718265862, 0.4802847573388421];

    fn cars() -> Vec<Vec<f64>> {
        CARS.iter().map(|row| row.to_vec()).collect()
    }

    /// `reference_literals.json` of the method's reference: pingouin on `mpg ~ cyl + disp + hp + gear`.
    #[test]
    fn shares_equal_published_ones_and_add_up() {
        let shares = lmg(&cars(), &MILES).unwrap();
        let want = [0.24705203323520777, 0.24349959479564018, 0.21091289954427409, 0.07772511140793345];
        for (found, want) in shares.iter().zip(want) {
            assert!((found - want).abs() < 1e-12, "{shares:?}");
        }
        assert!((shares.iter().sum::<f64>() - 0.7791896389830555).abs() < 1e-12, "{shares:?}");
    }

    /// Every order, one by one.
    #[test]
    fn shares_are_the_mean_gain_over_all_orders() {
        let want = lmg(&cars(), &MILES).unwrap();
        let r2 = |set: &[usize]| {
            // Cramer's way: 1 - |all| / |drivers|.
            let of = |rows: &[usize]| {
                let entry = |a: usize, b: usize| match (a, b) {
                    (4, 4) => 1.0,
                    (4, other) | (other, 4) => MILES[other],
                    (a, b) => CARS[a][b],
                };
                determinant(&rows.iter().map(|a| rows.iter().map(|b| entry(*a, *b)).collect()).collect::<Vec<_>>())
            };
            1.0 - of(&[set, &[4]].concat()) / of(set)
        };
        let mut gains = [0.0; 4];
        let mut orders = 0.0;
        for code in 0..256_usize {
            let order: Vec<usize> = (0..4).map(|at| code >> (2 * at) & 3).collect();
            if (0..4).all(|driver| order.contains(&driver)) {
                orders += 1.0;
                for at in 0..4 {
                    gains[order[at]] += r2(&order[..=at]) - r2(&order[..at]);
                }
            }
        }
        for (gain, want) in gains.iter().zip(want) {
            assert!((gain / orders - want).abs() < 1e-12, "{gains:?}");
        }
    }

    fn determinant(matrix: &[Vec<f64>]) -> f64 {
        let minor = |column: usize| -> Vec<Vec<f64>> {
            let cut =
                |row: &Vec<f64>| row.iter().enumerate().filter(|(at, _)| *at != column).map(|(_, v)| *v).collect();
            matrix[1..].iter().map(cut).collect()
        };
        let Some(first) = matrix.first() else { return 1.0 };
        first.iter().enumerate().map(|(at, v)| if at % 2 == 0 { 1.0 } else { -1.0 } * v * determinant(&minor(at))).sum()
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let pair = |correlation: f64| vec![vec![1.0, correlation], vec![correlation, 1.0]];
        // The smaller eigenvalue is 1 - r.
        assert_eq!(lmg(&pair(1.0 - 0.9e-6), &[0.5, 0.5]), Err(Undefined::Collinear));
        assert!(lmg(&pair(1.0 - 1.1e-6), &[0.5, 0.5]).is_ok());
        assert_eq!(lmg(&pair(f64::NAN), &[0.5, 0.5]), Err(Undefined::Collinear));
        // Pairwise correlations that no customers could have: R² would be 1.8.
        assert_eq!(lmg(&pair(-0.8), &[0.6, 0.6]), Err(Undefined::Collinear));
        assert_eq!(lmg(&[vec![1.0]], &[0.5]), Err(Undefined::EmptyBase));
        assert_eq!(lmg(&vec![vec![0.0; 13]; 13], &[0.0; 13]), Err(Undefined::EmptyBase));
        assert_eq!(
            lmg(&pair(0.0), &[0.1, 0.2, 0.3]),
            Err(Undefined::Impossible("correlations of another number of drivers"))
        );
        assert_eq!(jackknife(1.0, &[1.0; 64]).lo, None);
    }
}
