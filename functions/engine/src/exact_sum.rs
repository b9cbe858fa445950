//! `exact_sum(x)`: a sum of floating-point numbers that does not depend on their order, and `exact_products(a, b)`: such
//! sums of the products of each element of one list with each of another.
//!
//! Rounding happens once, at the end, so partitions, batches and file order cannot change a bit of the result.
//! The exact accumulator is the crate `xsum` (R. M. Neal, *Fast exact summation using small and large
//! superaccumulators*, 2015). Partial sums travel between partitions as a short list of numbers whose exact total is
//! the partial sum.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use xsum::{Xsum, XsumSmall};

use crate::series::{list, list_type};

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

/// The aggregate `exact_products`, of two lists of doubles, each of the same length in all rows: the sums of the
/// products of each element of the first with each of the second, row by row of that matrix. Null over no rows.
pub(crate) fn exact_products() -> AggregateUDF {
    AggregateUDF::new_from_impl(ExactProducts { signature: Signature::any(2, Volatility::Immutable) })
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

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Products::of(&args)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Products::of(&args)))
    }
}

/// The sums of each group; none before its first row.
#[derive(Default)]
struct Products {
    groups: Vec<Vec<XsumSmall>>,
    /// Whether both lists are the same: then the products of each element with itself and with those after it are
    /// enough.
    is_square: bool,
}

impl std::fmt::Debug for Products {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Products").field("groups", &self.groups.len()).finish()
    }
}

/// The two lists of each row. The elements of all rows lie in one piece.
struct Lists<'a> {
    sides: [&'a ListArray; 2],
    elements: [&'a [f64]; 2],
    filter: Option<&'a BooleanArray>,
}

impl<'a> Lists<'a> {
    fn new(arrays: &'a [ArrayRef], filter: Option<&'a BooleanArray>) -> Result<Self> {
        let sides = [arrays[0].as_list::<i32>(), arrays[1].as_list::<i32>()];
        if sides.iter().any(|side| side.values().null_count() > 0) {
            return exec_err!("exact_products: an element is null");
        }
        let elements = sides.map(|side| side.values().as_primitive::<Float64Type>().values().as_ref());
        Ok(Self { sides, elements, filter })
    }

    /// The products of a row's elements, in the order of the sums, and how many they are; `None` where the row is not wanted.
    fn products(&self, row: usize, is_square: bool) -> Result<Option<(usize, impl Iterator<Item = f64>)>> {
        if self.filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
            return Ok(None);
        }
        if self.sides.iter().any(|side| side.is_null(row)) {
            return exec_err!("exact_products: a list is null");
        }
        let of = |side: usize| {
            let places = self.sides[side].value_offsets();
            &self.elements[side][places[row] as usize..places[row + 1] as usize]
        };
        let (left, right) = (of(0), of(1));
        let count = if is_square { left.len() * (left.len() + 1) / 2 } else { left.len() * right.len() };
        let products = left
            .iter()
            .enumerate()
            .flat_map(move |(at, one)| right[if is_square { at } else { 0 }..].iter().map(move |other| one * other));
        Ok(Some((count, products)))
    }
}

#[inline]
fn finite(product: f64) -> Result<f64> {
    if !product.is_finite() {
        return exec_err!("exact_products: {product} is not a number that can be added");
    }
    Ok(product)
}

impl Products {
    fn of(args: &AccumulatorArgs<'_>) -> Self {
        Self { groups: Vec::new(), is_square: args.exprs[0].as_ref() == args.exprs[1].as_ref() }
    }

    /// The rounded sums of a group, all of them.
    fn rounded(sums: &mut [XsumSmall], is_square: bool) -> Result<Vec<f64>> {
        let sums = sums.iter_mut().map(rounded).collect::<Result<Vec<f64>>>()?;
        if !is_square {
            return Ok(sums);
        }
        let length = (((1 + 8 * sums.len()) as f64).sqrt() as usize - 1) / 2;
        // Row by row of a triangle, each shorter by one.
        let of = |(row, column): (usize, usize)| sums[row * (2 * length - row + 1) / 2 + column - row];
        let places = (0..length).flat_map(|row| (0..length).map(move |column| (row.min(column), row.max(column))));
        Ok(places.map(of).collect())
    }

    fn sums(&mut self, group: usize, count: usize) -> Result<&mut [XsumSmall]> {
        let sums = &mut self.groups[group];
        if sums.is_empty() {
            sums.resize_with(count, XsumSmall::new);
        }
        if sums.len() != count {
            return exec_err!("exact_products: lists of different lengths");
        }
        Ok(sums)
    }
}

/// Lists of lists of doubles.
fn nested(groups: &[Vec<Vec<f64>>]) -> ArrayRef {
    let inner = OffsetBuffer::from_lengths(groups.iter().flatten().map(Vec::len));
    let values: Float64Array = groups.iter().flatten().flatten().map(|part| Some(*part)).collect();
    let inner = list(DataType::Float64, inner, Arc::new(values));
    list(list_type(), OffsetBuffer::from_lengths(groups.iter().map(Vec::len)), inner)
}

impl GroupsAccumulator for Products {
    fn update_batch(
        &mut self,
        arrays: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        let lists = Lists::new(arrays, filter)?;
        for (row, group) in groups.iter().enumerate() {
            let Some((count, products)) = lists.products(row, self.is_square)? else { continue };
            for (sum, product) in self.sums(*group, count)?.iter_mut().zip(products) {
                sum.add(finite(product)?);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        let states = arrays[0].as_list::<i32>();
        for (row, group) in groups.iter().enumerate() {
            let state = states.value(row);
            if state.is_empty() {
                continue;
            }
            for (sum, parts) in self.sums(*group, state.len())?.iter_mut().zip(state.as_list::<i32>().iter().flatten())
            {
                parts.as_primitive::<Float64Type>().values().iter().for_each(|part| sum.add(*part));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let mut groups = emit.take_needed(&mut self.groups);
        let known: NullBuffer = groups.iter().map(|sums| !sums.is_empty()).collect();
        let groups = groups.iter_mut().map(|sums| Self::rounded(sums, self.is_square)).collect::<Result<Vec<_>>>()?;
        let lengths = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let sums = groups.concat();
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        Ok(Arc::new(ListArray::new(item, lengths, Arc::new(Float64Array::from(sums)), Some(known))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut groups = emit.take_needed(&mut self.groups);
        let parts: Vec<Vec<Vec<f64>>> = groups.iter_mut().map(|sums| sums.iter_mut().map(parts).collect()).collect();
        Ok(vec![nested(&parts)])
    }

    fn convert_to_state(&self, arrays: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let lists = Lists::new(arrays, filter)?;
        let mut rows = Vec::new();
        for row in 0..arrays[0].len() {
            let parts = lists
                .products(row, self.is_square)?
                .map(|(_, products)| products.map(|product| Ok(vec![finite(product)?])));
            rows.push(parts.into_iter().flatten().collect::<Result<Vec<_>>>()?);
        }
        Ok(vec![nested(&rows)])
    }

    fn size(&self) -> usize {
        let sums = self.groups.first().map_or(0, Vec::len);
        size_of_val(self) + self.groups.len() * (size_of::<Vec<XsumSmall>>() + sums * size_of::<XsumSmall>())
    }
}

/// The sums of everything.
impl Accumulator for Products {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        GroupsAccumulator::update_batch(self, arrays, &vec![0; arrays[0].len()], None, 1)
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        GroupsAccumulator::merge_batch(self, arrays, &vec![0; arrays[0].len()], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.groups.resize_with(1, Vec::new);
        let parts: Vec<Vec<f64>> = self.groups[0].iter_mut().map(parts).collect();
        Ok(vec![ScalarValue::try_from_array(&nested(&[parts]), 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.groups.resize_with(1, Vec::new);
        let sums = Self::rounded(&mut self.groups[0], self.is_square)?;
        if sums.is_empty() {
            return ScalarValue::try_from(list_type());
        }
        Ok(SingleRowListArrayBuilder::new(Arc::new(Float64Array::from(sums))).build_list_scalar())
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(self)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{SessionConfig, SessionContext};

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
            let mut merged = Products::default();
            for row in order {
                let mut partial = Products::default();
                Accumulator::update_batch(&mut partial, &[list(&rows[row].0), list(&rows[row].1)]).unwrap();
                let state = Accumulator::state(&mut partial).unwrap()[0].to_array().unwrap();
                Accumulator::merge_batch(&mut merged, &[state]).unwrap();
            }
            let sums = Accumulator::evaluate(&mut merged).unwrap().to_array().unwrap();
            let sums = sums.as_list::<i32>().value(0);
            // 2.5e15 + 1 and -1e16 + 0.1 are where plain addition would lose something.
            let want = [7.0, 4.0, 20.75, -1e16, 0.1, 2.5e15 + 1.0];
            assert_eq!(sums.as_primitive::<Float64Type>().values().as_ref(), want, "{order:?}");
        }
        let mut uneven = Products::default();
        Accumulator::update_batch(&mut uneven, &[list(&[1.0]), list(&[1.0])]).unwrap();
        assert!(Accumulator::update_batch(&mut uneven, &[list(&[1.0]), list(&[1.0, 2.0])]).is_err());
    }

    #[tokio::test]
    async fn products_of_a_list_with_itself_are_those_of_two_that_are_equal() {
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        session.register_udaf(exact_products());
        let sql = "select exact_products(x, x) as same, exact_products(x, y) as equal
            from (select [g * 1.0e8, 0.1, v - 2.0e0] as x, [g * 1.0e8, 0.1, v - 2.0e0] as y, g
                from (values (1, 3.0e0), (2, 0.7e0), (1, 1.0e-9)) as t (g, v))";
        for grouped in ["", " group by g order by g"] {
            for batch in session.sql(&format!("{sql}{grouped}")).await.unwrap().collect().await.unwrap() {
                let lists = batch.columns().iter().map(|column| column.as_list::<i32>().values().clone());
                let lists: Vec<ArrayRef> = lists.collect();
                assert_eq!(&lists[0], &lists[1]);
                assert_eq!(lists[0].len(), 9 * batch.num_rows());
            }
        }
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(exact().update_batch(&[Arc::new(Float64Array::from(vec![bad]))]).is_err());
        }
    }
}
