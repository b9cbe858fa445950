//! Lifetime value against acquisition cost: the discounted net value of the twelve months after a customer's first answer,
//! by what an acquired customer cost.

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Money;

const MONTHS: i64 = 12;
/// Customers with an answer, and those of them who are known for all twelve months.
const CUSTOMERS: i64 = 100;
const CUSTOMERS_TO_THE_END: i64 = 30;
/// Without two customers a month has no mean that would stand for others.
const FEWEST: i64 = 2;
/// The first answer counts from the fourth month of history, and is followed for twelve.
const HISTORY: i32 = 16;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let months = sums.each()?;
    let discount = (1.0 + scope.annual_discount_rate).powf(-1.0 / 12.0);
    let (mut value, mut value_raw) = (0.0, 0.0);
    let mut observed = Vec::new();
    for month in &months {
        let (after, customers) = (month.integer("months_after")?, month.integer("customers")?);
        let weight = discount.powf(after as f64) / customers as f64;
        value += weight * month.money("net_value")?.to_f64();
        value_raw += weight * month.money("net_value_raw")?.to_f64();
        observed.push(customers);
    }
    let (first, last) = (observed.first().copied().unwrap_or(0), observed.last().copied().unwrap_or(0));
    let acquired = sums.integer("acquired_customers")?;
    let too_few = (observed.len() as i64) < MONTHS
        || last < FEWEST
        || acquired == 0
        || scope.guards && (first < CUSTOMERS || last < CUSTOMERS_TO_THE_END);
    let cost = sums.money("acquisition_cost")?;
    let row = |metric, value: f64| {
        // Whoever knows the value of a customer could tell the cost of few from the ratio.
        let row = Row::new("kpi", metric, "ratio", "mean").window("T12M").of(first, first.min(acquired));
        let row = if too_few {
            row.without(Status::InsufficientN)
        } else if cost <= Money::default() {
            row.without(Status::Degenerate)
        } else {
            row.census(value * acquired as f64 / cost.to_f64())
        };
        scope.needs(HISTORY, row)
    };
    Ok(vec![row("ltv_to_cac", value), row("ltv_to_cac_raw", value_raw)])
}
