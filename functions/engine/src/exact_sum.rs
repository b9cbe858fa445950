//! `exact_sum(x)`: a sum of floating-point numbers that does not depend on their order.
//!
//! Rounding happens once, at the end, so partitions, batches and file order cannot change a bit of the result.
//! The exact accumulator is the crate `xsum` (R. M. Neal, *Fast exact summation using small and large
//! superaccumulators*, 2015). Partial sums travel between partitions as a short list of numbers whose exact total is
//! the partial sum.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use xsum::{Xsum, XsumSmall};

/// The aggregate `exact_sum`, of doubles. Null over no rows; an infinite or undefined summand is an error.
pub(crate) fn exact_sum() -> AggregateUDF {
    AggregateUDF::new_from_impl(ExactSum {
        signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    signature: Signature,
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &'static str {
        "exact_sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let parts =
            Field::new_list(format!("{}[parts]", args.name), Field::new_list_field(DataType::Float64, true), true);
        Ok(vec![Arc::new(parts)])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Exact { sum: XsumSmall::new(), is_empty: true }))
    }
}

struct Exact {
    sum: XsumSmall,
    is_empty: bool,
}

impl std::fmt::Debug for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exact").field("is_empty", &self.is_empty).finish_non_exhaustive()
    }
}

impl Exact {
    fn add(&mut self, values: &dyn Array) -> Result<()> {
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            if !value.is_finite() {
                return Err(DataFusionError::Execution(format!(
                    "exact_sum: {value} is not a number that can be added"
                )));
            }
            self.sum.add(value);
            self.is_empty = false;
        }
        Ok(())
    }

    /// Numbers whose exact total is the sum: its rounded value, the rounded rest, and so on until nothing is left.
    fn parts(&mut self) -> Vec<f64> {
        let mut parts = Vec::new();
        loop {
            let part = self.sum.sum();
            if part == 0.0 || !part.is_finite() {
                break;
            }
            self.sum.add(-part);
            parts.push(part);
        }
        for part in &parts {
            self.sum.add(*part);
        }
        if parts.is_empty() && !self.is_empty {
            parts.push(0.0);
        }
        parts
    }
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|parts| self.add(&parts))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let parts = arrow::array::Float64Array::from(self.parts());
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(parts)).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.sum.sum();
        if !self.is_empty && !sum.is_finite() {
            return Err(DataFusionError::Execution("exact_sum: the sum is beyond the range of a double".to_owned()));
        }
        // An empty superaccumulator may answer -0.
        Ok(ScalarValue::Float64((!self.is_empty).then_some(sum + 0.0)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;

    fn exact() -> Exact {
        Exact { sum: XsumSmall::new(), is_empty: true }
    }

    fn value(sum: &mut Exact) -> Option<f64> {
        match sum.evaluate().unwrap() {
            ScalarValue::Float64(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_order_and_any_split_gives_the_same_bits() {
        // Cancelling magnitudes: plain addition gives 0, 1, 2 or 3 here, depending on the order.
        let numbers = [1e100, 1.0, -1e100, 1e-300, 1.0, 3.5e15, 0.1, -3.5e15, 0.2];
        let mut whole = exact();
        whole.update_batch(&[Arc::new(Float64Array::from(numbers.to_vec()))]).unwrap();
        let want = value(&mut whole).unwrap();
        assert_eq!(want, 2.3);
        for split in 0..=numbers.len() {
            let mut merged = exact();
            for part in [&numbers[split..], &numbers[..split]] {
                let mut partial = exact();
                let reversed: Vec<f64> = part.iter().rev().copied().collect();
                partial.update_batch(&[Arc::new(Float64Array::from(reversed))]).unwrap();
                let state = partial.state().unwrap()[0].to_array().unwrap();
                merged.merge_batch(&[state]).unwrap();
            }
            assert_eq!(value(&mut merged).map(f64::to_bits), Some(want.to_bits()), "split at {split}");
        }
    }

    #[test]
    fn nothing_is_null_and_cancelled_is_zero() {
        assert_eq!(value(&mut exact()), None);
        let mut cancelled = exact();
        cancelled.update_batch(&[Arc::new(Float64Array::from(vec![1.5, -1.5]))]).unwrap();
        let state = cancelled.state().unwrap()[0].to_array().unwrap();
        let mut merged = exact();
        merged.merge_batch(&[state]).unwrap();
        assert_eq!(value(&mut merged).map(f64::to_bits), Some(0.0_f64.to_bits()));
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(exact().update_batch(&[Arc::new(Float64Array::from(vec![bad]))]).is_err());
        }
    }
}
