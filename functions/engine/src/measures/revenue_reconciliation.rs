//! Revenue as analysed, less revenue as finance's ledger has it.

use super::{NOT_RECONCILED, Scope, Sums};
use crate::error::Result;
use crate::estimates::{ALL, Row, Status};

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    if sums.segment != ALL {
        return Ok(Vec::new());
    }
    let (difference, ledger) = (sums.money("difference")?, sums.money("ledger")?);
    let row = Row::new("quality", "revenue_reconciliation", "money", "census").window("MONTH");
    if sums.count("months")? == 0 {
        return Ok(vec![row.without(Status::InsufficientN)]);
    }
    let row = row.amount(difference);
    let off = difference.to_f64().abs() > scope.ledger_tolerance * ledger.to_f64().abs();
    Ok(vec![if off { row.flag(NOT_RECONCILED) } else { row }])
}
