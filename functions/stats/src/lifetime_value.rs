//! Lifetime value as it was observed: the mean net value of the months after an event, discounted to it.
//!
//! Month k counts the customers for whom it is known, and a month without a row counts as 0, so nobody is left out for having
//! gone. Nothing is extrapolated beyond the last month. The error is that of a sum of means over the same customers, by their
//! influence values. Reference: P. S. Fader, B. G. S. Hardie, *Customer-base valuation in a contractual setting* (2010), for
//! the discounting; F. R. Hampel, *The influence curve and its role in robust estimation* (1974), for the error.

use crate::{Estimate, Undefined};

/// Without two customers a month has no mean that would stand for others.
const FEWEST: f64 = 2.0;

/// Customers for whom equally many months are known.
#[derive(Debug, Clone, Copy)]
pub struct Cohort<'a> {
    /// How many months after the event are known.
    pub months: usize,
    /// Sums over the customers of the products of the list 1, value of month 1, ... month h, each element with each, row by
    /// row: (h + 1)² numbers. Values of months that are not known are 0.
    pub products: &'a [f64],
}

impl Cohort<'_> {
    /// Customers.
    pub fn customers(&self) -> f64 {
        self.products[0]
    }
}

/// Customers for whom the last of `months` months is known.
pub fn customers_at(cohorts: &[Cohort<'_>], months: usize) -> f64 {
    cohorts.iter().filter(|cohort| cohort.months >= months).map(Cohort::customers).sum()
}

/// The discounted value of a customer, in the unit of the values, with a normal interval. `discount` holds what one unit of
/// month 1, ... h is worth at the event.
///
/// # Errors
/// [`Undefined::EmptyBase`] if some month is known of fewer than two customers; [`Undefined::Impossible`] for sums of other
/// lengths than `discount` asks for.
///
/// ```
/// use stats::lifetime_value::{Cohort, lifetime_value};
/// // Two customers and one month, worth 1 and 3: the list is (1, 1), then (1, 3).
/// let cohort = Cohort { months: 1, products: &[2.0, 4.0, 4.0, 10.0] };
/// let value = lifetime_value(&[cohort], &[0.5]).unwrap();
/// assert_eq!((value.value, value.se), (1.0, Some(0.5)));
/// ```
pub fn lifetime_value(cohorts: &[Cohort<'_>], discount: &[f64]) -> Result<Estimate, Undefined> {
    let side = discount.len() + 1;
    if cohorts.iter().any(|cohort| cohort.products.len() != side * side) {
        return Err(Undefined::Impossible("sums of products of another length"));
    }
    // What a unit of month k adds to the value, and the mean of that month.
    let (mut weights, mut means) = (Vec::new(), Vec::new());
    for (month, discount) in (1..).zip(discount) {
        let known = customers_at(cohorts, month);
        if known < FEWEST {
            return Err(Undefined::EmptyBase);
        }
        let sum: f64 = cohorts.iter().map(|cohort| cohort.products[month]).sum();
        weights.push(discount / known);
        means.push(sum / known);
    }
    let value = discount.iter().zip(&means).map(|(discount, mean)| discount * mean).sum();
    let mut squares = 0.0;
    for cohort in cohorts {
        let months = cohort.months.min(discount.len());
        let (weights, means) = (&weights[..months], &means[..months]);
        let expected: f64 = weights.iter().zip(means).map(|(weight, mean)| weight * mean).sum();
        // Each customer's weighted values less what is expected of it, squared: (1, values) times these.
        let influence: Vec<f64> = std::iter::once(-expected).chain(weights.iter().copied()).collect();
        for (row, one) in influence.iter().enumerate() {
            for (column, other) in influence.iter().enumerate() {
                squares += one * other * cohort.products[row * side + column];
            }
        }
    }
    let customers: f64 = cohorts.iter().map(Cohort::customers).sum();
    // Rounding may leave less than nothing where all values are equal.
    let variance = (customers / (customers - 1.0) * squares).max(0.0);
    Ok(Estimate::normal(value, variance.sqrt()))
}

/// What it goes with if so many of customers belonged to another band: their number times the difference of the bands' values,
/// less a cost that is known. An association: whoever moved is taken to be worth what those are who are there already.
///
/// ```
/// use stats::{Estimate, lifetime_value::moved};
/// let [from, to] = [(80.0, 3.0), (110.0, 4.0)].map(|(value, se)| Estimate { se: Some(se), ..Estimate::census(value) });
/// let change = moved(100.0, from, to, 500.0);
/// assert_eq!((change.value, change.se), (2_500.0, Some(500.0)));
/// ```
pub fn moved(customers: f64, from: Estimate, to: Estimate, cost: f64) -> Estimate {
    Estimate::weighted_sum(&[(customers, to), (-customers, from)]).shifted(-cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums of customers with these values.
    fn products(customers: &[[f64; 2]]) -> Vec<f64> {
        let mut sums = vec![0.0; 9];
        for [one, two] in customers {
            let list = [1.0, *one, *two];
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum += list[at / 3] * list[at % 3];
            }
        }
        sums
    }

    /// The influence values themselves, customer by customer.
    #[test]
    fn the_error_is_that_of_the_influence_values() {
        let long = [[1.0, 4.0], [0.0, 2.5], [7.0, 0.0]];
        let short = [[3.0, 0.0], [5.0, 0.0]];
        let discount = [0.9, 0.8];
        let (mean_one, mean_two) = (16.0 / 5.0, 6.5 / 3.0);
        let psi = long.iter().map(|[one, two]| 0.9 * (one - mean_one) / 5.0 + 0.8 * (two - mean_two) / 3.0);
        let psi = psi.chain(short.iter().map(|[one, _]| 0.9 * (one - mean_one) / 5.0));
        let variance: f64 = 5.0 / 4.0 * psi.map(|psi| psi * psi).sum::<f64>();
        let (long, short) = (products(&long), products(&short));
        let cohorts = [Cohort { months: 2, products: &long }, Cohort { months: 1, products: &short }];
        let value = lifetime_value(&cohorts, &discount).unwrap();
        assert!((value.value - (0.9 * mean_one + 0.8 * mean_two)).abs() < 1e-15, "{value:?}");
        assert!((value.se.unwrap() - variance.sqrt()).abs() < 1e-15, "{value:?}");
    }

    #[test]
    fn a_month_of_one_customer_has_no_mean() {
        let (long, short) = (products(&[[1.0, 4.0]]), products(&[[3.0, 0.0]]));
        let cohorts = [Cohort { months: 2, products: &long }, Cohort { months: 1, products: &short }];
        assert_eq!(lifetime_value(&cohorts, &[1.0, 1.0]), Err(Undefined::EmptyBase));
    }

    #[test]
    fn equal_customers_give_no_interval() {
        let same = products(&[[0.1, 0.3]; 7]);
        let value = lifetime_value(&[Cohort { months: 2, products: &same }], &[1.0, 1.0]).unwrap();
        assert!((value.value - 0.4).abs() < 1e-15);
        // What rounding leaves is of no size.
        assert!(value.se.is_none_or(|se| se < 1e-8), "{value:?}");
    }
}
