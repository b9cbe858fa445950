//! Earned growth: what came from keeping customers and from their referrals. Everything was counted.

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{Row, Status};
use crate::rows::Money;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    let row = Row::new("kpi", "earned_growth", "share", "census").window("T12M").of(None, sums.integer("customers")?);
    let row = row.concentrated(sums.concentration("revenue_before")?);
    let (base, before) = (sums.money("retained_base")?, sums.money("revenue_before")?);
    let row = if sums.count("referral_known")? == 0 {
        row.of(None, None).without(Status::NotApplicable)
    } else if base <= Money::default() || before <= Money::default() {
        row.without(Status::Degenerate)
    } else {
        let retained = sums.money("retained_revenue")?.to_f64() / base.to_f64();
        row.census(retained + sums.money("referred_revenue")?.to_f64() / before.to_f64() - 1.0)
    };
    Ok(vec![scope.needs(24, row)])
}
