//! Why the revenue of retained customers changed: exact, and held to its identity before anything is published.

use stats::proportion::wilson;

use super::{Scope, Sums};
use crate::error::{Error, Result};
use crate::estimates::{PROPORTION, Row, Status};
use crate::rows::Money;

/// The parts with their sign in the identity; `delta` is what they add up to.
const PARTS: [(&str, i128); 8] = [
    ("cross_sell", 1),
    ("category_return", 1),
    ("category_lapse", -1),
    ("up_sell", 1),
    ("down_sell", -1),
    ("frequency", 1),
    ("residual", 1),
    ("delta", -1),
];

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let retained = sums.integer("retained_customers")?;
    // Without categories every purchase would be of the same one.
    let unknown = retained > 0 && sums.count("categories")? == 0;
    let finished =
        |row: Row| scope.needs(12, if unknown { row.of(None, None).without(Status::NotApplicable) } else { row });
    let mut rows = Vec::new();
    let mut open = Money::default();
    for (part, sign) in PARTS {
        let amount = sums.money(part)?;
        open = open.plus(if sign < 0 { amount.negated() } else { amount })?;
        let row = Row::new("retained_revenue", part, "money", "census")
            .window("T6M")
            .of(None, sums.integer(&format!("customers_{part}"))?)
            .amount(amount)
            .concentrated(sums.concentration(part)?);
        // Prices are not adjusted for inflation.
        rows.push(finished(if matches!(part, "up_sell" | "down_sell") {
            row.flag("not_inflation_adjusted")
        } else {
            row
        }));
    }
    if open != Money::default() {
        return Err(Error::Audit(format!(
            "the split of retained revenue of {} does not add up: {open} is left over",
            sums.segment
        )));
    }
    let share = wilson(sums.count("cross_sold_customers")?, sums.count("retained_customers")?);
    let row = Row::new("kpi", "cross_sell_rate", "share", "wilson").window("T6M").of(retained, retained);
    rows.push(finished(row.statistic(share, scope.guard(PROPORTION))?));
    Ok(rows)
}
