//! `pair_sums(x, y, rows, columns)`: what the correlations of many pairs need, each over the rows of the table that have both.
//! `list_products(x, length)`: what the mean and the covariance of any weighted sums of a list need, and `list_sums(x, length)` the sums
//! alone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::series::{OneGroup, POSITIONS, list, list_type};

/// Rows, x, y, xx, xy, yy.
const SUMS: usize = 6;
/// Numbers are taken to nine decimals: sums of whole numbers do not depend on their order.
const SCALE: f64 = 1e9;
/// Below 2⁶³ at that scale.
const LARGEST: f64 = 9e9;
/// Money has four decimals, and products of two of the largest numbers fit into a sum.
const MONEY_SCALE: f64 = 1e4;
const LARGEST_MONEY: f64 = 9e14;
/// A list of more elements is a mistake, and would only ask for memory.
const ELEMENTS: i64 = 100;

/// The aggregate `pair_sums(x, y, rows, columns)` of two lists of doubles: for each of the first `rows` elements of x with each of the
/// first `columns` elements of y, over the rows of the table in which neither is null or beyond the end of its list, how
/// many these are, and their sums of x, y, x², xy and y². Numbers are taken to nine decimals.
pub(crate) fn pair_sums() -> AggregateUDF {
    AggregateUDF::new_from_impl(WholeSums {
        kind: Kind::Pairs,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// The aggregate `list_products(x, length)` of a list of doubles: how many rows there are, the sums of each of the first `length`
/// elements, and those of the products of each with itself and each after it, row by row of that triangle. What is null or
/// beyond the end of a list is 0. Numbers are taken to four decimals.
pub(crate) fn list_products() -> AggregateUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    AggregateUDF::new_from_impl(WholeSums { kind: Kind::Products, signature })
}

/// The aggregate `list_sums(x, length)` of a list of doubles: the sums of each of the first `length` elements. What is null or
/// beyond the end of a list is 0. Numbers are taken to four decimals.
pub(crate) fn list_sums() -> AggregateUDF {
    AggregateUDF::new_from_impl(WholeSums {
        kind: Kind::Sums,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Pairs,
    Products,
    Sums,
}

/// An aggregate whose sums are of whole numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WholeSums {
    kind: Kind,
    signature: Signature,
}

fn state_type() -> DataType {
    DataType::Decimal128(38, 0)
}

impl AggregateUDFImpl for WholeSums {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Pairs => "pair_sums",
            Kind::Products => "list_products",
            Kind::Sums => "list_sums",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let lists = match self.kind {
            Kind::Pairs => 2,
            Kind::Products | Kind::Sums => 1,
        };
        let (given, sizes) = types.split_at(lists.min(types.len()));
        let are_sizes = sizes.len() == lists && sizes.iter().all(DataType::is_integer);
        if !are_sizes || given.iter().any(|list| *list != list_type()) {
            let (name, kinds) = (self.name(), if lists == 1 { "a list" } else { "two lists" });
            return exec_err!("{name} takes {kinds} of doubles and as many whole numbers, not {types:?}");
        }
        Ok([vec![list_type(); lists], vec![DataType::Int64; lists]].concat())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(state_type(), true);
        Ok(vec![Arc::new(Field::new_list(format!("{}[sums]", args.name), item, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        // The one group is there without a row too.
        Ok(Box::new(OneGroup(Sums { kind: self.kind, groups: vec![Vec::new()] })))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sums { kind: self.kind, groups: Vec::new() }))
    }
}

/// The sums of each group; none before its first row.
#[derive(Debug, Clone)]
struct Sums {
    kind: Kind,
    groups: Vec<Vec<i128>>,
}

/// Finds a list's elements that are there, by place. What was found of the row before is forgotten.
fn known(
    elements: &Float64Array,
    list: std::ops::Range<usize>,
    places: usize,
    found: &mut Vec<(usize, i128)>,
) -> Result<()> {
    found.clear();
    for (place, at) in list.enumerate().filter(|(_, at)| elements.is_valid(*at)) {
        let number = elements.value(at);
        if place >= places {
            return exec_err!("pair_sums: a list has an element at {place}, and {places} are asked for");
        }
        if number.is_nan() || number.abs() > LARGEST {
            return exec_err!("pair_sums: {number} is not a number from -{LARGEST} to {LARGEST}");
        }
        found.push((place, i128::from((number * SCALE).round() as i64)));
    }
    Ok(())
}

impl Sums {
    /// The sums of a group, which are so many.
    fn of(&mut self, group: usize, count: usize) -> Result<&mut [i128]> {
        let sums = &mut self.groups[group];
        if sums.is_empty() {
            sums.resize(count, 0);
        }
        if sums.len() != count {
            return exec_err!("not as many elements are asked for in all rows");
        }
        Ok(sums)
    }

    fn take(&mut self, emit: EmitTo) -> Vec<Vec<i128>> {
        emit.take_needed(&mut self.groups)
    }

    fn add_lists(&mut self, arrays: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let lists: &ListArray = arrays[0].as_list();
        let (elements, offsets) = (lists.values().as_primitive::<Float64Type>(), lists.value_offsets());
        let mut found: Vec<(usize, i64)> = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            let length = size(&arrays[1], row, if self.kind == Kind::Sums { POSITIONS } else { ELEMENTS })?;
            let list = if lists.is_valid(row) { offsets[row] as usize..offsets[row + 1] as usize } else { 0..0 };
            if list.len() > length {
                return exec_err!("a list has {} elements, and {length} are asked for", list.len());
            }
            found.clear();
            for (place, at) in list.enumerate().filter(|(_, at)| elements.is_valid(*at)) {
                let number = elements.value(at);
                if number.is_nan() || number.abs() > LARGEST_MONEY {
                    return exec_err!("{number} is not a number from -{LARGEST_MONEY} to {LARGEST_MONEY}");
                }
                if number != 0.0 {
                    found.push((place, (number * MONEY_SCALE).round() as i64));
                }
            }
            if self.kind == Kind::Sums {
                let sums = self.of(*group, length)?;
                found.iter().for_each(|(place, number)| sums[*place] += i128::from(*number));
                continue;
            }
            let sums = self.of(*group, 1 + length + length * (length + 1) / 2)?;
            sums[0] += 1;
            for (after, (place, number)) in found.iter().enumerate() {
                // Of so many products of the places before, each row is one shorter than the one above it.
                let first = 1 + length + place * (2 * length - place + 1) / 2 - place;
                sums[1 + place] += i128::from(*number);
                for (other, with) in &found[after..] {
                    let sum = &mut sums[first + other];
                    let Some(added) = sum.checked_add(i128::from(*number) * i128::from(*with)) else {
                        return exec_err!("a sum has more than 38 digits");
                    };
                    *sum = added;
                }
            }
        }
        Ok(())
    }
}

/// How many elements are asked for.
fn size(sizes: &ArrayRef, row: usize, most: i64) -> Result<usize> {
    let sizes = sizes.as_primitive::<Int64Type>();
    match sizes.is_valid(row).then(|| sizes.value(row)) {
        Some(size) if (1..=most).contains(&size) => Ok(size as usize),
        size => exec_err!("{size:?} elements, and not 1 to {most}"),
    }
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        arrays: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        if self.kind != Kind::Pairs {
            return self.add_lists(arrays, groups, filter);
        }
        let sides: [&ListArray; 2] = [arrays[0].as_list(), arrays[1].as_list()];
        let elements = sides.map(|side| side.values().as_primitive::<Float64Type>());
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            let places = [size(&arrays[2], row, ELEMENTS)?, size(&arrays[3], row, ELEMENTS)?];
            for (side, found) in [&mut left, &mut right].into_iter().enumerate() {
                let offsets = sides[side].value_offsets();
                let list = offsets[row] as usize..offsets[row + 1] as usize;
                known(elements[side], if sides[side].is_valid(row) { list } else { 0..0 }, places[side], found)?;
            }
            let sums = self.of(*group, places[0] * places[1] * SUMS)?;
            for (one, x) in &left {
                for (other, y) in &right {
                    let at = (one * places[1] + other) * SUMS;
                    for (sum, part) in sums[at..at + SUMS].iter_mut().zip([1, *x, *y, x * x, x * y, y * y]) {
                        let Some(added) = sum.checked_add(part) else {
                            return exec_err!("pair_sums: a sum has more than 38 digits");
                        };
                        *sum = added;
                    }
                }
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Vec::new);
        let states: &ListArray = arrays[0].as_list();
        let parts = states.values().as_primitive::<Decimal128Type>().values();
        for (group, span) in groups.iter().zip(states.value_offsets().windows(2)) {
            let parts = &parts[span[0] as usize..span[1] as usize];
            if parts.is_empty() {
                continue;
            }
            for (sum, part) in self.of(*group, parts.len())?.iter_mut().zip(parts) {
                *sum += part;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit);
        let scale = [1.0, SCALE, SCALE, SCALE * SCALE, SCALE * SCALE, SCALE * SCALE];
        let kind = self.kind;
        let numbers = |sums: &Vec<i128>| -> Vec<f64> {
            // Of l elements there are 1 + l + l(l + 1)/2 sums.
            let elements = ((1.0 + 8.0 * sums.len() as f64).sqrt() as usize).saturating_sub(3) / 2;
            let scale = |at: usize| match kind {
                Kind::Pairs => scale[at % SUMS],
                Kind::Sums => MONEY_SCALE,
                Kind::Products if at == 0 => 1.0,
                Kind::Products if at <= elements => MONEY_SCALE,
                Kind::Products => MONEY_SCALE * MONEY_SCALE,
            };
            sums.iter().enumerate().map(|(at, sum)| *sum as f64 / scale(at)).collect()
        };
        let sums = Float64Array::from(groups.iter().flat_map(numbers).collect::<Vec<_>>());
        Ok(list(DataType::Float64, OffsetBuffer::from_lengths(groups.iter().map(Vec::len)), Arc::new(sums)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit);
        let lengths = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let sums = Decimal128Array::from_iter_values(groups.into_iter().flatten()).with_data_type(state_type());
        Ok(vec![list(state_type(), lengths, Arc::new(sums))])
    }

    fn convert_to_state(&self, arrays: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Self { kind: self.kind, groups: Vec::new() };
        let count = arrays[0].len();
        GroupsAccumulator::update_batch(&mut rows, arrays, &(0..count).collect::<Vec<_>>(), filter, count)?;
        GroupsAccumulator::state(&mut rows, EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.groups.iter().map(|sums| size_of_val(sums) + sums.capacity() * size_of::<i128>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn ask(rows: &str, arguments: &str) -> Result<Vec<f64>> {
        ask_of("pair_sums", rows, arguments).await
    }

    async fn ask_of(aggregate: &str, rows: &str, arguments: &str) -> Result<Vec<f64>> {
        let session = SessionContext::new();
        session.register_udaf(pair_sums());
        session.register_udaf(list_products());
        session.register_udaf(list_sums());
        let sql = format!("select {aggregate}({arguments}) as sums from (values {rows}) as t (x, y, g)");
        let found = session.sql(&sql).await?.collect().await?;
        let sums: &ListArray = found[0].column(0).as_list();
        Ok(sums.value(0).as_primitive::<Float64Type>().values().to_vec())
    }

    const ROWS: &str =
        "([1.0, null, 3.0], [10.0, 0.5], 1), ([2.0, 5.0], [null, 1.5], 1), (null, [1.0, 1.0], 2), ([4.0], [0.25], 2)";

    #[tokio::test]
    async fn a_pair_counts_the_rows_that_have_both() {
        let sums = ask(ROWS, "x, y, 3, 2").await.unwrap();
        let pair = |x: usize, y: usize| &sums[(x * 2 + y) * SUMS..(x * 2 + y + 1) * SUMS];
        assert_eq!(pair(0, 0), [2.0, 5.0, 10.25, 17.0, 11.0, 100.0625]);
        assert_eq!(pair(0, 1), [2.0, 3.0, 2.0, 5.0, 3.5, 2.5]);
        assert_eq!(pair(1, 0), [0.0; 6]);
        assert_eq!(pair(1, 1), [1.0, 5.0, 1.5, 25.0, 7.5, 2.25]);
        assert_eq!(pair(2, 0), [1.0, 3.0, 10.0, 9.0, 30.0, 100.0]);
        assert_eq!(sums.len(), 36);
    }

    #[tokio::test]
    async fn products_count_what_is_missing_as_0() {
        let sums = ask_of("list_products", ROWS, "x, 3").await.unwrap();
        // Four lists, one of them null: sums of three elements, then 1·1, 1·2, 1·3, 2·2, 2·3, 3·3.
        assert_eq!(sums, [4.0, 7.0, 5.0, 3.0, 21.0, 10.0, 3.0, 25.0, 0.0, 9.0]);
        assert_eq!(ask_of("list_products", ROWS, "y, 2").await.unwrap(), [4.0, 11.25, 3.0, 101.0625, 6.0, 3.5]);
        assert_eq!(ask_of("list_sums", ROWS, "x, 4").await.unwrap(), [7.0, 5.0, 3.0, 0.0]);
        assert!(ask_of("list_sums", ROWS, "x, 2").await.is_err());
        let cents = "([0.1, -0.2], [0.0], 1), ([0.2, 0.3], [0.0], 1)";
        assert_eq!(ask_of("list_products", cents, "x, 2").await.unwrap(), [2.0, 0.3, 0.1, 0.05, 0.04, 0.13]);
        assert!(ask_of("list_products", ROWS, "x, 2").await.unwrap_err().to_string().contains("has 3 elements"));
        assert!(ask_of("list_products", "([1e15], [1.0], 1)", "x, 1").await.is_err());
    }

    #[tokio::test]
    async fn what_does_not_fit_is_an_error() {
        assert!(ask(ROWS, "x, y, 2, 2").await.unwrap_err().to_string().contains("element at 2"));
        assert!(ask(ROWS, "x, y, 3, 0").await.is_err());
        assert!(ask(ROWS, "x, y, g, 2").await.unwrap_err().to_string().contains("element at"));
        assert!(ask("([1e10], [1.0], 1)", "x, y, 1, 1").await.unwrap_err().to_string().contains("not a number"));
    }
}
