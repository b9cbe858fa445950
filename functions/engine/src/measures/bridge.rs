//! The revenue bridge: exact, and held to its identity before anything is published.

use super::{Scope, Sums};
use crate::error::{Error, Result};
use crate::estimates::Row;
use crate::rows::Money;

/// The parts with their sign in the identity; `current` is what they add up to.
const PARTS: [(&str, i128); 8] = [
    ("base", 1),
    ("churned", -1),
    ("expansion", 1),
    ("contraction", -1),
    ("new", 1),
    ("reactivated", 1),
    ("residual", 1),
    ("current", -1),
];

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut open = Money::default();
    for (part, sign) in PARTS {
        let amount = sums.money(part)?;
        open = open.plus(if sign < 0 { amount.negated() } else { amount })?;
        let customers = sums.integer(&format!("customers_{part}"))?;
        let row = Row::new("bridge", part, "money", "census").window("T6M").of(None, customers);
        let row = row.amount(amount).concentrated(sums.concentration(part)?);
        rows.push(scope.needs(12, row));
    }
    if open != Money::default() {
        return Err(Error::Audit(format!(
            "the revenue bridge of {} does not add up: {open} is left over",
            sums.segment
        )));
    }
    Ok(rows)
}
