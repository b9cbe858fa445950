//! Revenue as analysed, less revenue as finance's ledger has it.

use super::{NOT_RECONCILED, Scope, Sums};
use crate::error::Result;
use crate::estimates::{ALL, Row, Status};
use crate::rows::Rows;

pub(crate) fn finish(_: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    if sums.segment != ALL {
        return Ok(Vec::new());
    }
    let row = Row::new("quality", "revenue_reconciliation", "money", "census").window("MONTH");
    if sums.count("months")? == 0 {
        return Ok(vec![row.without(Status::InsufficientN)]);
    }
    let row = row.amount(sums.money("difference")?);
    Ok(vec![if sums.integer("months_back")? == 1 { row.flag(NOT_RECONCILED) } else { row }])
}

/// Flags money of windows that hold a month which differs from the ledger, be it an earlier one than the reported.
pub(crate) fn flag_windows(rows: &mut [Row], sums: &Rows) -> Result<()> {
    let back = if sums.len() == 0 { 0 } else { sums.integer("months_back", 0)? };
    let holds = |row: &&mut Row| back > 0 && row.unit == "money" && back <= months(row);
    for row in rows.iter_mut().filter(holds) {
        if row.status == Status::Ok && !row.flags.contains(&NOT_RECONCILED) {
            row.flags.push(NOT_RECONCILED);
        }
    }
    Ok(())
}

/// How many months, counted back from the reported one, the money of a row is of; 0 where its months are others.
fn months(row: &Row) -> i64 {
    match (row.section, row.window) {
        // They start from the half-year before.
        ("bridge" | "retained_revenue", Some("T6M")) | (_, Some("T12M")) => 12,
        (_, Some("T6M")) => 6,
        (_, Some("T3M")) => 3,
        (_, Some("MONTH")) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_starts_from_the_half_year_before() {
        let reach = |section, window| months(&Row::new(section, "revenue", "money", "census").window(window));
        for (section, window, reaches) in [
            ("kpi", "MONTH", 1),
            ("kpi", "T3M", 3),
            ("kpi", "T6M", 6),
            ("kpi", "T12M", 12),
            ("bridge", "T6M", 12),
            ("retained_revenue", "T6M", 12),
        ] {
            assert_eq!(reach(section, window), reaches, "{section} {window}");
        }
        assert_eq!((reach("quality", "ALL"), reach("kpi", "T3M_prev")), (0, 0));
    }
}
