//! `exact_sum(x)`: a sum of floating-point numbers that does not depend on their order, and `exact_products(a, b)`: such
//! sums of the products of each element of one list with each of another.
//!
//! Rounding happens once, at the end, so partitions, batches and file order cannot change a bit of the result.
//! The exact accumulator is the crate `xsum` (R. M. Neal, *Fast exact summation using small and large
//! superaccumulators*, 2015). Partial sums travel between partitions as a short list of numbers whose exact total is
//! the partial sum.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
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
                return exec_err!("exact_sum: {value} is not a number that can be added");
            }
            self.sum.add(value);
            self.is_empty = false;
        }
        Ok(())
    }
}

/// Numbers whose exact total is the sum: its rounded value, the rounded rest, and so on until nothing is left. Zero is a
/// number too.
fn parts(sum: &mut XsumSmall) -> Vec<f64> {
    let mut parts = Vec::new();
    loop {
        let part = sum.sum();
        if part == 0.0 || !part.is_finite() {
            break;
        }
        sum.add(-part);
        parts.push(part);
    }
    for part in &parts {
        sum.add(*part);
    }
    if parts.is_empty() {
        parts.push(0.0);
    }
    parts
}

/// The rounded sum.
fn rounded(sum: &mut XsumSmall) -> Result<f64> {
    if !sum.sum().is_finite() {
        return exec_err!("the sum is beyond the range of a double");
    }
    // xsum 0.1.6 rounds negative sums away from zero: what it leaves over says by how much.
    Ok(parts(sum).into_iter().rev().fold(0.0, |rest, part| part + rest))
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|parts| self.add(&parts))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let parts = Float64Array::from(if self.is_empty { Vec::new() } else { parts(&mut self.sum) });
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(parts)).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (!self.is_empty).then(|| rounded(&mut self.sum)).transpose()?;
        Ok(ScalarValue::Float64(sum))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The aggregate `exact_products`, of two lists of doubles that are as long in all rows: the sums of the products of each
/// element of the first with each of the second, row by row of that matrix. Null over no rows.
pub(crate) fn exact_products() -> AggregateUDF {
    AggregateUDF::new_from_impl(ExactProducts { signature: Signature::any(2, Volatility::Immutable) })
}

fn list_type() -> DataType {
    DataType::new_list(DataType::Float64, true)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactProducts {
    signature: Signature,
}

impl AggregateUDFImpl for ExactProducts {
    fn name(&self) -> &'static str {
        "exact_products"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::List(one), DataType::List(other)]
                if *one.data_type() == DataType::Float64 && *other.data_type() == DataType::Float64 =>
            {
                Ok(list_type())
            }
            _ => exec_err!("exact_products takes two lists of doubles, not {types:?}"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let sums = Field::new_list_field(list_type(), true);
        Ok(vec![Arc::new(Field::new_list(format!("{}[parts]", args.name), sums, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Products(Vec::new())))
    }
}

/// The sums; none before the first row.
struct Products(Vec<XsumSmall>);

impl std::fmt::Debug for Products {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Products").field("sums", &self.0.len()).finish()
    }
}

impl Products {
    fn resize(&mut self, sums: usize) -> Result<()> {
        if self.0.is_empty() {
            self.0.resize_with(sums, XsumSmall::new);
        }
        if self.0.len() != sums {
            return exec_err!("exact_products: lists of different lengths");
        }
        Ok(())
    }
}

impl Accumulator for Products {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (left, right) = (values[0].as_list::<i32>(), values[1].as_list::<i32>());
        for row in 0..left.len() {
            if left.is_null(row) || right.is_null(row) {
                return exec_err!("exact_products: a list is null");
            }
            let (left, right) = (left.value(row), right.value(row));
            if left.null_count() + right.null_count() > 0 {
                return exec_err!("exact_products: an element is null");
            }
            let (left, right) =
                (left.as_primitive::<Float64Type>().values(), right.as_primitive::<Float64Type>().values());
            self.resize(left.len() * right.len())?;
            let products = left.iter().flat_map(|one| right.iter().map(move |other| one * other));
            for (sum, product) in self.0.iter_mut().zip(products) {
                if !product.is_finite() {
                    return exec_err!("exact_products: {product} is not a number that can be added");
                }
                sum.add(product);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for sums in states[0].as_list::<i32>().iter().flatten().filter(|sums| !sums.is_empty()) {
            self.resize(sums.len())?;
            for (sum, parts) in self.0.iter_mut().zip(sums.as_list::<i32>().iter().flatten()) {
                parts.as_primitive::<Float64Type>().values().iter().for_each(|part| sum.add(*part));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sums: Vec<_> = self.0.iter_mut().map(|sum| Some(parts(sum).into_iter().map(Some))).collect();
        let sums = ListArray::from_iter_primitive::<Float64Type, _, _>(sums);
        Ok(vec![SingleRowListArrayBuilder::new(Arc::new(sums)).build_list_scalar()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sums = self.0.iter_mut().map(rounded).collect::<Result<Vec<f64>>>()?;
        if sums.is_empty() {
            return ScalarValue::try_from(list_type());
        }
        Ok(SingleRowListArrayBuilder::new(Arc::new(Float64Array::from(sums))).build_list_scalar())
    }

    fn size(&self) -> usize {
        size_of_val(self) + size_of_val(self.0.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn sums_are_rounded_to_the_nearest() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let mut any = || ((random.i64(..) >> random.u32(10..62)) as f64) * 2_f64.powi(random.i32(0..50));
            let numbers = [any(), any(), any()];
            let whole: i128 = numbers.iter().map(|number| *number as i128).sum();
            let mut sum = exact();
            sum.update_batch(&[Arc::new(Float64Array::from(numbers.to_vec()))]).unwrap();
            assert_eq!(value(&mut sum), Some(whole as f64), "{numbers:?}");
        }
    }

    #[test]
    fn products_are_of_each_element_with_each_and_as_exact() {
        let rows = [([1.0, 1e16], [3.0, 1.0, 0.5]), ([1.0, -1e16], [4.0, 1.0, 0.25]), ([2.0, 0.1], [0.0, 1.0, 10.0])];
        let list = |values: &[f64]| -> ArrayRef {
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(values.iter().copied().map(Some))]))
        };
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let mut merged = Products(Vec::new());
            for row in order {
                let mut partial = Products(Vec::new());
                partial.update_batch(&[list(&rows[row].0), list(&rows[row].1)]).unwrap();
                merged.merge_batch(&[partial.state().unwrap()[0].to_array().unwrap()]).unwrap();
            }
            let sums = merged.evaluate().unwrap().to_array().unwrap();
            let sums = sums.as_list::<i32>().value(0);
            // 2.5e15 + 1 and -1e16 + 0.1 are where plain addition would lose something.
            let want = [7.0, 4.0, 20.75, -1e16, 0.1, 2.5e15 + 1.0];
            assert_eq!(sums.as_primitive::<Float64Type>().values().as_ref(), want, "{order:?}");
        }
        let mut uneven = Products(Vec::new());
        uneven.update_batch(&[list(&[1.0]), list(&[1.0])]).unwrap();
        assert!(uneven.update_batch(&[list(&[1.0]), list(&[1.0, 2.0])]).is_err());
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(exact().update_batch(&[Arc::new(Float64Array::from(vec![bad]))]).is_err());
        }
    }
}
