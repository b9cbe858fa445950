//! What a won customer costs against what a kept one costs: arithmetic, without an error of its own.

use super::{Scope, Sums};
use crate::error::Result;
use crate::estimates::{ALL, Row, Status};
use crate::rows::Money;

pub(crate) fn finish(scope: &Scope, sums: &Sums) -> Result<Vec<Row>> {
    if sums.segment != ALL {
        return Ok(Vec::new());
    }
    let (acquired, retained) = (sums.integer("acquired_customers")?, sums.integer("retained_customers")?);
    let service = sums.money("service_cost")?;
    let kept = service.to_f64() + sums.number("programme_cost")?;
    let row = Row::new("kpi", "acquisition_to_retention_cost", "ratio", "mean").window("T12M");
    let row = row.of(None, acquired.min(retained));
    // Without any service cost nobody knows what keeping a customer costs.
    let row = if acquired == 0 || retained == 0 || service == Money::default() {
        row.without(Status::InsufficientN)
    } else if kept <= 0.0 {
        row.without(Status::Degenerate)
    } else {
        row.census(sums.money("acquisition_cost")?.to_f64() / acquired as f64 / (kept / retained as f64))
    };
    Ok(vec![scope.needs(24, row)])
}
