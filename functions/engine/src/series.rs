//! A customer's months as one list: `monthly_series(position, value)` makes it, `moving_sums(series, first, last, from, to)`
//! adds up the months around each, `series_gap(series, length)` finds where it falls silent.
//!
//! One grouping by customer then serves every window on its months, where a window function or a self-join a window would
//! go over all rows again. Positions count from 0; a position without a row holds 0, and so does whatever is beyond the end.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Two centuries of months: a larger position is a mistake, and would only ask for memory.
const POSITIONS: i64 = 2_400;

/// The aggregate `monthly_series`, of whole positions and doubles. A position outside 0..2400 and a second value for a
/// position are errors; rows whose position or value is null are left out.
pub(crate) fn monthly_series() -> AggregateUDF {
    AggregateUDF::new_from_impl(MonthlySeries { signature: Signature::user_defined(Volatility::Immutable) })
}

/// The function `moving_sums(series, first, last, from, to)`: for each position from `first` to `last` the elements from so many
/// after it to so many after it, all counted, added in this order.
pub(crate) fn moving_sums() -> ScalarUDF {
    let signature = Signature::any(5, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Sums, signature })
}

/// The function `series_gap(series, length)`: the first position from which `length` elements in a row are 0.
pub(crate) fn series_gap() -> ScalarUDF {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Gap, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sums,
    Gap,
}

/// A function of a series and whole numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SeriesFunction {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for SeriesFunction {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sums => "moving_sums",
            Kind::Gap => "series_gap",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // A parameter has no type yet when a model is planned.
        let is_number = |data_type: &DataType| data_type.is_integer() || data_type.is_null();
        if types[0] != list_type() || !types[1..].iter().all(is_number) {
            return exec_err!("{} takes a series and whole numbers, not {types:?}", self.name());
        }
        Ok(match self.kind {
            Kind::Sums => list_type(),
            Kind::Gap => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let series = arrays[0].as_list::<i32>();
        let numbers = arrays[1..].iter().map(|array| cast(array, &DataType::Int64));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        let number = |at: usize, row: usize| numbers[at].as_primitive::<Int64Type>().value(row);
        let known = |row: usize| arrays.iter().all(|array| array.is_valid(row));
        // The elements of all rows lie in one piece: an array a row would cost more than the sum.
        let (elements, places) = (series.values().as_primitive::<Float64Type>().values(), series.value_offsets());
        let of = |row: usize| &elements[places[row] as usize..places[row + 1] as usize];
        let rows = 0..series.len();
        Ok(ColumnarValue::Array(match self.kind {
            Kind::Sums => {
                let (mut lengths, mut sums) = (Vec::new(), Vec::new());
                for row in rows {
                    let before = sums.len();
                    if known(row) {
                        let [first, last, from, to] = std::array::from_fn(|at| number(at, row));
                        sums.extend(
                            (first..=last).map(|at| sum(of(row), at.saturating_add(from), at.saturating_add(to))),
                        );
                    }
                    lengths.push(sums.len() - before);
                }
                list(DataType::Float64, OffsetBuffer::from_lengths(lengths), Arc::new(Float64Array::from(sums)))
            }
            Kind::Gap => {
                let gaps = rows.map(|row| known(row).then(|| gap(of(row), number(0, row))));
                Arc::new(gaps.collect::<Int64Array>())
            }
        }))
    }
}

fn sum(series: &[f64], first: i64, last: i64) -> f64 {
    let at = |position: i64| usize::try_from(position).unwrap_or(0).min(series.len());
    let part = series.get(at(first)..at(last.saturating_add(1))).unwrap_or_default();
    part.iter().fold(0.0, |sum, value| sum + value)
}

fn gap(series: &[f64], length: i64) -> i64 {
    let mut start = 0;
    for (at, value) in (0..).zip(series) {
        if at - start >= length {
            break;
        }
        if *value != 0.0 {
            start = at + 1;
        }
    }
    start
}

/// The type of lists of doubles.
pub(crate) fn list_type() -> DataType {
    DataType::new_list(DataType::Float64, true)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MonthlySeries {
    signature: Signature,
}

impl AggregateUDFImpl for MonthlySeries {
    fn name(&self) -> &'static str {
        "monthly_series"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }

    /// Counts and money become doubles by themselves.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [position, value]
                if (position.is_integer() || position.is_null()) && (value.is_numeric() || value.is_null()) =>
            {
                Ok(vec![DataType::Int64, DataType::Float64])
            }
            _ => exec_err!("monthly_series takes a position and a number, not {types:?}"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, data_type| {
            let item = Field::new_list_field(data_type, true);
            Arc::new(Field::new_list(format!("{}[{name}]", args.name), item, true))
        };
        Ok(vec![list("positions", DataType::Int64), list("values", DataType::Float64)])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneSeries(AllSeries { groups: vec![Vec::new()], ..AllSeries::default() })))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(AllSeries::default()))
    }
}

/// A series a group.
#[derive(Debug, Clone, Default)]
struct AllSeries {
    groups: Vec<Vec<f64>>,
    /// Elements of the longest series so far: another is likely to become as long.
    longest: usize,
    /// What the groups take.
    bytes: usize,
}

/// What holds the place of a value that is not there yet: no value is like it.
const NOT_YET: f64 = f64::NAN;

impl AllSeries {
    fn resize(&mut self, total: usize) {
        self.bytes += total.saturating_sub(self.groups.len()) * size_of::<Vec<f64>>();
        self.groups.resize(total, Vec::new());
    }

    fn take(&mut self, emit: EmitTo) -> Vec<Vec<f64>> {
        let taken = emit.take_needed(&mut self.groups);
        self.bytes = self.groups.iter().map(|series| size_of_val(series) + size_of_val(series.as_slice())).sum();
        taken
    }

    fn put(&mut self, group: usize, positions: &Int64Array, values: &Float64Array, row: usize) -> Result<()> {
        if positions.is_null(row) || values.is_null(row) {
            return Ok(());
        }
        let (position, value) = (positions.value(row), values.value(row));
        if !(0..POSITIONS).contains(&position) {
            return exec_err!("monthly_series: position {position} is not one of 0 to {}", POSITIONS - 1);
        }
        if !value.is_finite() {
            return exec_err!("monthly_series: {value} is not a number that can be added");
        }
        let (series, position) = (&mut self.groups[group], usize::try_from(position).unwrap_or_default());
        self.longest = self.longest.max(position + 1);
        if series.len() <= position {
            let capacity = series.capacity();
            series.reserve_exact(self.longest - series.len());
            series.resize(position + 1, NOT_YET);
            self.bytes += (series.capacity() - capacity) * size_of::<f64>();
        }
        if !std::mem::replace(&mut series[position], value).is_nan() {
            return exec_err!("monthly_series: two values for position {position}; group them first");
        }
        Ok(())
    }
}

impl GroupsAccumulator for AllSeries {
    fn update_batch(
        &mut self,
        arrays: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.resize(total);
        let (positions, values) = (arrays[0].as_primitive(), arrays[1].as_primitive());
        let wanted = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let mut rows = groups.iter().enumerate().filter(|(row, _)| wanted(*row));
        rows.try_for_each(|(row, group)| self.put(*group, positions, values, row))
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.resize(total);
        let (positions, values) = (arrays[0].as_list::<i32>(), arrays[1].as_list::<i32>());
        for (row, group) in groups.iter().enumerate() {
            let (positions, values) = (positions.value(row), values.value(row));
            for at in 0..positions.len() {
                self.put(*group, positions.as_primitive(), values.as_primitive(), at)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit);
        let lengths = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let values: Float64Array =
            groups.iter().flatten().map(|value| Some(if value.is_nan() { 0.0 } else { *value })).collect();
        Ok(list(DataType::Float64, lengths, Arc::new(values)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit);
        let there = |series: &Vec<f64>| series.iter().filter(|value| !value.is_nan()).count();
        let lengths = OffsetBuffer::from_lengths(groups.iter().map(there));
        let known = || groups.iter().flat_map(|series| (0_i64..).zip(series)).filter(|(_, value)| !value.is_nan());
        let positions: Int64Array = known().map(|(position, _)| Some(position)).collect();
        let values: Float64Array = known().map(|(_, value)| Some(*value)).collect();
        Ok(vec![
            list(DataType::Int64, lengths.clone(), Arc::new(positions)),
            list(DataType::Float64, lengths, Arc::new(values)),
        ])
    }

    fn convert_to_state(&self, arrays: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Self::default();
        let groups: Vec<usize> = (0..arrays[0].len()).collect();
        rows.update_batch(arrays, &groups, filter, groups.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}

/// Lists of these lengths over their elements, one after the other.
pub(crate) fn list(item: DataType, lengths: OffsetBuffer<i32>, values: ArrayRef) -> ArrayRef {
    Arc::new(ListArray::new(Arc::new(Field::new_list_field(item, true)), lengths, values, None))
}

/// The series of everything.
#[derive(Debug)]
struct OneSeries(AllSeries);

impl Accumulator for OneSeries {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(arrays, &vec![0; arrays[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &vec![0; states[0].len()], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.0.clone().state(EmitTo::All)?;
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.clone().evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::assert_batches_eq;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    fn session(partitions: usize) -> SessionContext {
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
        session.register_udaf(monthly_series());
        session.register_udf(moving_sums());
        session.register_udf(series_gap());
        session
    }

    #[tokio::test]
    async fn months_are_gathered_and_missing_ones_are_zero() {
        let sql = "select customer, monthly_series(month, value) filter (where value <> 9) as series
            from (values ('a', 3, 1.5), ('b', 0, 2.0), ('a', 0, -1.0), ('a', 5, 9.0), ('c', 1, 9.0), ('d', 1, null))
                as months (customer, month, value)
            group by customer order by customer";
        for partitions in [1, 3] {
            let found = session(partitions).sql(sql).await.unwrap().collect().await.unwrap();
            assert_batches_eq!(
                [
                    "+----------+-----------------------+",
                    "| customer | series                |",
                    "+----------+-----------------------+",
                    "| a        | [-1.0, 0.0, 0.0, 1.5] |",
                    "| b        | [2.0]                 |",
                    "| c        | []                    |",
                    "| d        | []                    |",
                    "+----------+-----------------------+",
                ],
                &found
            );
        }
    }

    #[tokio::test]
    async fn parts_are_added_and_gaps_found() {
        let sql = "select moving_sums(series, 0, 3, 1, 2), moving_sums(series, -1, 0, -9, 99), moving_sums(series, 3, 2, 0, 0),
                moving_sums(series, 5, 6, 0, -1), series_gap(series, 1), series_gap(series, 2), series_gap(series, 3)
            from (select monthly_series(month, value) as series
                from (values (0, 1.0), (2, 4.0), (5, 8.0)) as months (month, value)) as made";
        let found = session(1).sql(sql).await.unwrap().collect().await.unwrap();
        let values: Vec<String> = found[0]
            .columns()
            .iter()
            .map(|column| arrow::util::display::array_value_to_string(column, 0).unwrap())
            .collect();
        assert_eq!(values, ["[4.0, 4.0, 0.0, 8.0]", "[13.0, 13.0]", "[]", "[0.0, 0.0]", "1", "3", "6"]);
    }

    #[tokio::test]
    async fn a_month_twice_or_out_of_range_is_refused() {
        for (months, message) in [("(1, 1.0), (1, 2.0)", "two values"), ("(-1, 1.0)", "not one of 0")] {
            let sql = format!("select monthly_series(month, value) from (values {months}) as months (month, value)");
            let error = session(1).sql(&sql).await.unwrap().collect().await.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
