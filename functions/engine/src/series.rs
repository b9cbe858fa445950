//! A customer's months as one list, and what can be asked of such lists.
//!
//! * `monthly_series` and `series_sums` gather a group's values into a list,
//! * `series_ratio`, `series_difference` and `series_capped` make another list, element by element,
//! * `moving_sums` and `series_total` add elements up,
//! * `series_first`, `series_last` and `series_gap` find the next value, the last one and the next silence,
//! * `series_moments` and `series_change` tell where there are values, and what changed from one to the next.
//!
//! One grouping by customer then serves every window over the customer's months, where window functions or self-joins
//! would go over all rows again for each window. Positions count from 0; a position without a row is null, and adds
//! nothing to a sum.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, filter as filtered};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Two centuries of months: a larger position is a mistake, and would only ask for memory.
pub(crate) const POSITIONS: i64 = 2_400;

/// The aggregate `monthly_series`, of whole positions and doubles. A position outside 0..2400 and a second value for a
/// position are errors; rows whose position or value is null are left out.
pub(crate) fn monthly_series() -> AggregateUDF {
    AggregateUDF::new_from_impl(MonthlySeries {
        adds: false,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// The aggregate `series_sums`, of whole positions and whole numbers: as `monthly_series`, but values at one position are added.
pub(crate) fn series_sums() -> AggregateUDF {
    AggregateUDF::new_from_impl(MonthlySeries { adds: true, signature: Signature::user_defined(Volatility::Immutable) })
}

/// The most sums of a series: months of a thousand years.
const LONGEST: i64 = 12_000;

/// The function `moving_sums(series, first, last, from, to)`: for each position p from `first` to `last`, the sum of
/// the elements from p + `from` to p + `to`, both counted, added in this order.
pub(crate) fn moving_sums() -> ScalarUDF {
    let signature = Signature::any(5, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Sums, signature })
}

/// The function `numbers(a, b, ...)`: the list of these. `[a, b, ...]` means the same, and takes ten times as long.
pub(crate) fn numbers() -> ScalarUDF {
    ScalarUDF::new_from_impl(Numbers { signature: Signature::variadic(vec![DataType::Float64], Volatility::Immutable) })
}

/// The function `series_ratio(a, b)`: each element of series a divided by that of b; null where either is null or
/// beyond the end, or b is 0.
pub(crate) fn series_ratio() -> ScalarUDF {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Ratio, signature })
}

/// The function `series_total(series, from, to)`: the sum of the elements from position `from` to `to`, both counted, added in this
/// order. What is null or beyond an end is 0, and so is all of a null series.
pub(crate) fn series_total() -> ScalarUDF {
    let signature = Signature::any(3, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Total, signature })
}

/// The function `series_capped(series, lowest, highest)`: each element, but none below the lowest or above the highest; null sets no
/// bound.
pub(crate) fn series_capped() -> ScalarUDF {
    let signature = Signature::any(3, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Capped, signature })
}

/// The function `series_difference(a, b)`: each element of a less that of b; what is null or beyond the end is 0, and a null list
/// an empty one.
pub(crate) fn series_difference() -> ScalarUDF {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Difference, signature })
}

/// The function `series_last(series, to)`: the last value up to position `to`, or null.
pub(crate) fn series_last() -> ScalarUDF {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Last, signature })
}

/// The function `series_first(series, from)`: the first position from `from` on that holds a value, or null.
pub(crate) fn series_first() -> ScalarUDF {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::First, signature })
}

/// The function `series_moments(series)`: the positions that hold a value, except the first of them.
pub(crate) fn series_moments() -> ScalarUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Moments, signature })
}

/// The function `series_change(series, moments, distance)`: for each position p at which `moments` holds a value,
/// except the first, with q for the one before it: the series at p + `distance` less the series at q + `distance`. Null
/// where one of these is before the beginning; what is null or beyond the end is 0.
pub(crate) fn series_change() -> ScalarUDF {
    let signature = Signature::any(3, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Change, signature })
}

/// The function `series_gap(series, from, length)`: the first position from `from` on at which `length` elements in a
/// row begin that are 0, null, or beyond the end.
pub(crate) fn series_gap() -> ScalarUDF {
    let signature = Signature::any(3, Volatility::Immutable);
    ScalarUDF::new_from_impl(SeriesFunction { kind: Kind::Gap, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Numbers {
    signature: Signature,
}

impl ScalarUDFImpl for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.into_iter().map(|argument| argument.into_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = arrays.iter().map(|array| array.as_primitive::<Float64Type>()).collect();
        let lengths = OffsetBuffer::from_repeated_length(columns.len(), args.number_rows);
        let elements: Float64Array = if columns.iter().all(|column| column.null_count() == 0) {
            let slices: Vec<&[f64]> = columns.iter().map(|column| column.values().as_ref()).collect();
            (0..args.number_rows).flat_map(|row| slices.iter().map(move |slice| slice[row])).collect::<Vec<_>>().into()
        } else {
            let element =
                |row: usize| columns.iter().map(move |column| column.is_valid(row).then(|| column.value(row)));
            (0..args.number_rows).flat_map(element).collect()
        };
        Ok(ColumnarValue::Array(list(DataType::Float64, lengths, Arc::new(elements))))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sums,
    Total,
    First,
    Moments,
    Change,
    Gap,
    Ratio,
    Capped,
    Difference,
    Last,
}

/// A function of one or two series and whole numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SeriesFunction {
    kind: Kind,
    signature: Signature,
}

impl SeriesFunction {
    /// How many of the arguments are series; the last of them has the moments, or what is divided by.
    fn series(&self) -> usize {
        if matches!(self.kind, Kind::Change | Kind::Ratio | Kind::Difference) { 2 } else { 1 }
    }
}

impl ScalarUDFImpl for SeriesFunction {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sums => "moving_sums",
            Kind::Total => "series_total",
            Kind::First => "series_first",
            Kind::Moments => "series_moments",
            Kind::Change => "series_change",
            Kind::Gap => "series_gap",
            Kind::Ratio => "series_ratio",
            Kind::Capped => "series_capped",
            Kind::Difference => "series_difference",
            Kind::Last => "series_last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // A parameter has no type yet when a model is planned.
        let is_number = |data_type: &DataType| {
            let fits = if self.kind == Kind::Capped { data_type.is_numeric() } else { data_type.is_integer() };
            fits || data_type.is_null()
        };
        let series = self.series();
        if types[..series].iter().any(|found| *found != list_type()) || !types[series..].iter().all(is_number) {
            let numbers = if self.kind == Kind::Capped { "numbers" } else { "whole numbers" };
            return exec_err!("{} takes {series} series, then {numbers}, not {types:?}", self.name());
        }
        Ok(match self.kind {
            Kind::First | Kind::Gap => DataType::Int64,
            Kind::Last | Kind::Total => DataType::Float64,
            _ => list_type(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let series = arrays[0].as_list::<i32>();
        let moments = arrays[self.series() - 1].as_list::<i32>();
        let numbers = arrays[self.series()..].iter().map(|array| cast(array, &DataType::Int64));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        let number = |at: usize, row: usize| numbers[at].as_primitive::<Int64Type>().value(row);
        let known = |row: usize| arrays.iter().all(|array| array.is_valid(row));
        // The elements of all rows lie in one piece: an array a row would cost more than the sum.
        let (elements, places) = (series.values().as_primitive::<Float64Type>(), series.value_offsets());
        let span = |row: usize| places[row] as usize..places[row + 1] as usize;
        let amounts = if matches!(self.kind, Kind::Sums | Kind::Change | Kind::Gap | Kind::Difference) {
            filled(elements)
        } else {
            elements.values().clone()
        };
        let of = |row: usize| &amounts[span(row)];
        let rows = 0..series.len();
        Ok(ColumnarValue::Array(match self.kind {
            Kind::Sums => {
                let (mut lengths, mut sums) = (Vec::new(), Vec::new());
                for row in rows {
                    let before = sums.len();
                    if known(row) {
                        let [first, last, from, to] = std::array::from_fn(|at| number(at, row));
                        if last.saturating_sub(first) > LONGEST {
                            return exec_err!(
                                "moving_sums makes at most {LONGEST} sums of a series, not from {first} to {last}"
                            );
                        }
                        sums.extend(
                            (first..=last).map(|at| sum(of(row), at.saturating_add(from), at.saturating_add(to))),
                        );
                    }
                    lengths.push(sums.len() - before);
                }
                list(DataType::Float64, OffsetBuffer::from_lengths(lengths), Arc::new(Float64Array::from(sums)))
            }
            Kind::Total => {
                let totals = rows.map(|row| {
                    if numbers.iter().any(|numbers| numbers.is_null(row)) {
                        return None;
                    }
                    let length = if series.is_valid(row) { span(row).len() as i64 } else { 0 };
                    let first = number(0, row).clamp(0, length);
                    let last = number(1, row).saturating_add(1).clamp(first, length);
                    let part = span(row).start + first as usize..span(row).start + last as usize;
                    let there = part.filter(|place| elements.is_valid(*place));
                    Some(there.fold(0.0, |sum, place| sum + elements.value(place)))
                });
                Arc::new(totals.collect::<Float64Array>())
            }
            Kind::Moments | Kind::Change => {
                let (nulls, places) = (moments.values().nulls(), moments.value_offsets());
                let holds = |at: usize| nulls.is_none_or(|nulls| nulls.is_valid(at));
                let (mut lengths, mut found) = (Vec::new(), Vec::new());
                for row in rows {
                    let before = found.len();
                    let of_moments = if known(row) { places[row] as usize..places[row + 1] as usize } else { 0..0 };
                    let moments = (0_i64..).zip(of_moments).filter(|(_, at)| holds(*at)).map(|(place, _)| place);
                    if self.kind == Kind::Moments {
                        found.extend(moments.skip(1).map(|place| Some(place as f64)));
                    } else {
                        push_changes(&mut found, of(row), moments, number(0, row));
                    }
                    lengths.push(found.len() - before);
                }
                list(DataType::Float64, OffsetBuffer::from_lengths(lengths), Arc::new(Float64Array::from(found)))
            }
            Kind::Ratio => {
                let (by, places) = (moments.values().as_primitive::<Float64Type>(), moments.value_offsets());
                let (mut lengths, mut found) = (Vec::new(), Vec::new());
                for row in rows {
                    let before = found.len();
                    let divisors = places[row] as usize..places[row + 1] as usize;
                    for (one, other) in span(row).zip(divisors).filter(|_| known(row)) {
                        let there = elements.is_valid(one) && by.is_valid(other) && by.value(other) != 0.0;
                        found.push(there.then(|| elements.value(one) / by.value(other)));
                    }
                    lengths.push(found.len() - before);
                }
                list(DataType::Float64, OffsetBuffer::from_lengths(lengths), Arc::new(Float64Array::from(found)))
            }
            Kind::Capped => {
                let bounds = [cast(&arrays[1], &DataType::Float64)?, cast(&arrays[2], &DataType::Float64)?];
                let [lowest, highest] = bounds.each_ref().map(|bounds| bounds.as_primitive::<Float64Type>());
                let mut capped = elements.values().to_vec();
                for row in rows {
                    let bound =
                        |bounds: &Float64Array, none| if bounds.is_valid(row) { bounds.value(row) } else { none };
                    let (lowest, highest) = (bound(lowest, f64::NEG_INFINITY), bound(highest, f64::INFINITY));
                    capped[span(row)].iter_mut().for_each(|value| *value = value.min(highest).max(lowest));
                }
                let capped = Float64Array::new(capped.into(), elements.nulls().cloned());
                let field = Arc::new(Field::new_list_field(DataType::Float64, true));
                Arc::new(ListArray::new(field, series.offsets().clone(), Arc::new(capped), series.nulls().cloned()))
            }
            Kind::Difference => {
                let (less, places) = (filled(moments.values().as_primitive()), moments.value_offsets());
                let (mut lengths, mut found) = (Vec::new(), Vec::new());
                for row in rows {
                    let one = if series.is_valid(row) { of(row) } else { &[] };
                    let other =
                        if moments.is_valid(row) { places[row] as usize..places[row + 1] as usize } else { 0..0 };
                    let (other, longer) = (&less[other.clone()], one.len().max(other.len()));
                    let at = |values: &[f64], place: usize| values.get(place).copied().unwrap_or_default();
                    found.extend((0..longer).map(|place| at(one, place) - at(other, place)));
                    lengths.push(longer);
                }
                list(DataType::Float64, OffsetBuffer::from_lengths(lengths), Arc::new(Float64Array::from(found)))
            }
            Kind::Last => {
                let last = |row: usize| {
                    let to = number(0, row).saturating_add(1).clamp(0, span(row).len() as i64) as usize;
                    let found = span(row).take(to).rev().find(|place| elements.is_valid(*place));
                    found.map(|place| elements.value(place))
                };
                let lasts = rows.map(|row| known(row).then(|| last(row)).flatten());
                Arc::new(lasts.collect::<Float64Array>())
            }
            Kind::First => {
                let first = |row: usize| {
                    let at = usize::try_from(number(0, row).max(0)).unwrap_or(usize::MAX);
                    span(row).skip(at).find(|place| elements.is_valid(*place)).map(|place| place - span(row).start)
                };
                let firsts = rows.map(|row| first(row).filter(|_| known(row)).map(|at| at as i64));
                Arc::new(firsts.collect::<Int64Array>())
            }
            Kind::Gap => {
                let gaps = rows.map(|row| known(row).then(|| gap(of(row), number(0, row), number(1, row))));
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

/// The elements of lists one after the other, 0 where they are null.
fn filled(elements: &Float64Array) -> ScalarBuffer<f64> {
    match elements.nulls() {
        None => elements.values().clone(),
        Some(_) => elements.iter().map(Option::unwrap_or_default).collect(),
    }
}

fn push_changes(changes: &mut Vec<Option<f64>>, series: &[f64], moments: impl Iterator<Item = i64>, distance: i64) {
    let at = |position: i64| {
        let position = usize::try_from(position.saturating_add(distance)).ok();
        position.map(|at| series.get(at).copied().unwrap_or_default())
    };
    let mut before: Option<i64> = None;
    for moment in moments {
        if let Some(before) = before.replace(moment) {
            changes.push(at(before).zip(at(moment)).map(|(first, second)| second - first));
        }
    }
}

fn gap(series: &[f64], from: i64, length: i64) -> i64 {
    let mut start = from.max(0);
    for (at, value) in (0..).zip(series).skip(usize::try_from(start).unwrap_or(usize::MAX)) {
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
    /// Whether values at one position are added, or an error.
    adds: bool,
    signature: Signature,
}

impl AggregateUDFImpl for MonthlySeries {
    fn name(&self) -> &'static str {
        if self.adds { "series_sums" } else { "monthly_series" }
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
            _ => exec_err!("{} takes a position and a number, not {types:?}", self.name()),
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
        Ok(Box::new(OneGroup(AllSeries { groups: 1, adds: self.adds, ..AllSeries::default() })))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(AllSeries { adds: self.adds, ..AllSeries::default() }))
    }
}

/// A series a group, one after the other in places of the same width: a vector a group would be as many allocations.
#[derive(Debug, Clone, Default)]
struct AllSeries {
    elements: Vec<f64>,
    groups: usize,
    width: usize,
    adds: bool,
}

/// What holds the place of a value that is not there yet: no value is like it.
const NOT_YET: f64 = f64::NAN;

impl AllSeries {
    fn resize(&mut self, groups: usize) {
        self.groups = groups;
        self.elements.resize(groups * self.width, NOT_YET);
    }

    /// Makes room for a position, and the other months of its year.
    fn widen(&mut self, position: usize) {
        let width = (position + 1).next_multiple_of(12);
        let mut wider = vec![NOT_YET; self.groups * width];
        if self.width > 0 {
            for (to, from) in wider.chunks_exact_mut(width).zip(self.elements.chunks_exact(self.width)) {
                to[..self.width].copy_from_slice(from);
            }
        }
        (self.elements, self.width) = (wider, width);
    }

    /// The first groups, or all.
    fn take(&mut self, emit: EmitTo) -> Self {
        let groups = match emit {
            EmitTo::All => self.groups,
            EmitTo::First(groups) => groups,
        };
        let rest = self.elements.split_off(groups * self.width);
        let elements = std::mem::replace(&mut self.elements, rest);
        self.groups -= groups;
        Self { elements, groups, ..*self }
    }

    fn series(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.groups).map(|group| &self.elements[group * self.width..(group + 1) * self.width])
    }

    fn put(&mut self, group: usize, position: i64, value: f64) -> Result<()> {
        let at = place(position, value)?;
        if at >= self.width {
            self.widen(at);
        }
        let element = &mut self.elements[group * self.width + at];
        if self.adds {
            // Whole numbers add up to the same in any order.
            if value.fract() != 0.0 {
                return exec_err!("series_sums: {value} is not a whole number");
            }
            *element = if element.is_nan() { value } else { *element + value };
        } else if !std::mem::replace(element, value).is_nan() {
            return exec_err!("monthly_series: two values for position {position}; group them first");
        }
        Ok(())
    }
}

/// The place of a value in its series.
fn place(position: i64, value: f64) -> Result<usize> {
    if !value.is_finite() {
        return exec_err!("a series: {value} is not a number that can be added");
    }
    match usize::try_from(position) {
        Ok(place) if position < POSITIONS => Ok(place),
        _ => exec_err!("a series: position {position} is not one of 0 to {}", POSITIONS - 1),
    }
}

/// The rows with a position and a value that the filter wants.
fn wanted(arrays: &[ArrayRef], filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let known = NullBuffer::union(arrays[0].nulls(), arrays[1].nulls()).map(|known| known.inner().clone());
    let filter = filter.map(|filter| match filter.nulls() {
        Some(known) => filter.values() & known.inner(),
        None => filter.values().clone(),
    });
    match (known, filter) {
        (Some(known), Some(filter)) => Some(&known & &filter),
        (one, other) => one.or(other),
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
        let positions = arrays[0].as_primitive::<Int64Type>().values();
        let values = arrays[1].as_primitive::<Float64Type>().values();
        match wanted(arrays, filter) {
            None => (0..groups.len()).try_for_each(|row| self.put(groups[row], positions[row], values[row])),
            Some(rows) => rows.set_indices().try_for_each(|row| self.put(groups[row], positions[row], values[row])),
        }
    }

    fn merge_batch(&mut self, arrays: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.resize(total);
        let (positions, values) = (arrays[0].as_list::<i32>(), arrays[1].as_list::<i32>());
        // The elements of all rows lie in one piece: an array a row would cost more than the rest.
        let ends = positions.value_offsets().windows(2).zip(values.value_offsets().windows(2));
        let positions = positions.values().as_primitive::<Int64Type>().values();
        let values = values.values().as_primitive::<Float64Type>().values();
        for (group, (of_positions, of_values)) in groups.iter().zip(ends) {
            let positions = &positions[of_positions[0] as usize..of_positions[1] as usize];
            let values = &values[of_values[0] as usize..of_values[1] as usize];
            positions.iter().zip(values).try_for_each(|(position, value)| self.put(*group, *position, *value))?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let taken = self.take(emit);
        let length = |series: &[f64]| series.iter().rposition(|value| !value.is_nan()).map_or(0, |last| last + 1);
        let lengths: Vec<usize> = taken.series().map(length).collect();
        let mut values = Vec::with_capacity(lengths.iter().sum());
        for (series, length) in taken.series().zip(&lengths) {
            values.extend_from_slice(&series[..*length]);
        }
        let known: NullBuffer = values.iter().map(|value| !value.is_nan()).collect();
        let values = Float64Array::new(values.into(), Some(known));
        Ok(list(DataType::Float64, OffsetBuffer::from_lengths(lengths), Arc::new(values)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let taken = self.take(emit);
        let there = |series: &[f64]| series.iter().filter(|value| !value.is_nan()).count();
        let lengths = OffsetBuffer::from_lengths(taken.series().map(there));
        let known = || taken.series().flat_map(|series| (0_i64..).zip(series)).filter(|(_, value)| !value.is_nan());
        let positions: Vec<i64> = known().map(|(position, _)| position).collect();
        let values: Vec<f64> = known().map(|(_, value)| *value).collect();
        Ok(vec![
            list(DataType::Int64, lengths.clone(), Arc::new(Int64Array::from(positions))),
            list(DataType::Float64, lengths, Arc::new(Float64Array::from(values))),
        ])
    }

    fn convert_to_state(&self, arrays: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = arrays[0].len();
        let rows = wanted(arrays, filter).unwrap_or_else(|| BooleanBuffer::new_set(rows));
        let lengths = OffsetBuffer::from_lengths(rows.iter().map(usize::from));
        let rows = BooleanArray::new(rows, None);
        let state = |array: &ArrayRef| Ok(list(array.data_type().clone(), lengths.clone(), filtered(array, &rows)?));
        arrays.iter().map(state).collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.elements.capacity() * size_of::<f64>()
    }
}

/// Lists of these lengths over their elements, one after the other.
pub(crate) fn list(item: DataType, lengths: OffsetBuffer<i32>, values: ArrayRef) -> ArrayRef {
    Arc::new(ListArray::new(Arc::new(Field::new_list_field(item, true)), lengths, values, None))
}

/// An aggregate of everything: that of the one group 0. It can be asked again, so it keeps what it gives.
#[derive(Debug)]
pub(crate) struct OneGroup<G>(pub(crate) G);

impl<G: GroupsAccumulator + Clone + Sync + std::fmt::Debug> Accumulator for OneGroup<G> {
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
        self.0.size()
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
        let functions = [
            moving_sums(),
            numbers(),
            series_capped(),
            series_change(),
            series_difference(),
            series_first(),
            series_gap(),
            series_last(),
            series_moments(),
            series_total(),
        ];
        for function in functions {
            session.register_udf(function);
        }
        session
    }

    #[tokio::test]
    async fn months_are_gathered_and_missing_ones_are_null() {
        let sql = "select customer, monthly_series(month, value) filter (where value <> 9) as series
            from (values ('a', 3, 1.5), ('b', 0, 2.0), ('a', 0, -1.0), ('a', 5, 9.0), ('c', 1, 9.0), ('d', 1, null))
                as months (customer, month, value)
            group by customer order by customer";
        for partitions in [1, 3] {
            let found = session(partitions).sql(sql).await.unwrap().collect().await.unwrap();
            assert_batches_eq!(
                [
                    "+----------+-----------------+",
                    "| customer | series          |",
                    "+----------+-----------------+",
                    "| a        | [-1.0, , , 1.5] |",
                    "| b        | [2.0]           |",
                    "| c        | []              |",
                    "| d        | []              |",
                    "+----------+-----------------+",
                ],
                &found
            );
        }
    }

    #[tokio::test]
    async fn parts_are_added_and_gaps_found() {
        let sql = "select moving_sums(series, 0, 3, 1, 2), moving_sums(series, -1, 0, -9, 99), moving_sums(series, 3, 2, 0, 0),
                moving_sums(series, 5, 6, 0, -1), series_gap(series, 0, 1), series_gap(series, 0, 2), series_gap(series, 1, 3), series_gap(series, 7, 1),
                series_first(series, -1), series_first(series, 1), series_first(series, 5), series_first(series, 6)
            from (select monthly_series(month, value) as series
                from (values (0, 1.0), (2, 4.0), (5, 8.0)) as months (month, value)) as made";
        let found = session(1).sql(sql).await.unwrap().collect().await.unwrap();
        let values: Vec<String> = found[0]
            .columns()
            .iter()
            .map(|column| arrow::util::display::array_value_to_string(column, 0).unwrap())
            .collect();
        assert_eq!(
            values,
            ["[4.0, 4.0, 0.0, 8.0]", "[13.0, 13.0]", "[]", "[0.0, 0.0]", "1", "3", "6", "7", "0", "2", "5", ""]
        );
    }

    #[tokio::test]
    async fn series_are_capped_and_taken_from_each_other() {
        let sql = "select series_capped(a, -cap, cap) as capped, series_capped(a, null, cap) as highest, series_difference(a, b) as less, series_difference(b, a) as more,
                series_last(a, 1) as early, series_last(a, 9) as late, series_last(a, -1) as never, series_total(a, 1, 9) as after,
                series_total(a, -3, 0) as until, series_total(a, 3, 2) as none, series_total(a, null, 2) as unknown
            from (values ([1.0, null, 4.0, -8.0], [2.0], 3.0), (null, [2.0], 3.0), ([5.0], null, null)) as lists (a, b, cap)";
        let found = session(1).sql(sql).await.unwrap().collect().await.unwrap();
        assert_batches_eq!(
            [
                "+--------------------+--------------------+------------------------+-----------------------+-------+------+-------+-------+-------+------+---------+",
                "| capped             | highest            | less                   | more                  | early | late | never | after | until | none | unknown |",
                "+--------------------+--------------------+------------------------+-----------------------+-------+------+-------+-------+-------+------+---------+",
                "| [1.0, , 3.0, -3.0] | [1.0, , 3.0, -8.0] | [-1.0, 0.0, 4.0, -8.0] | [1.0, 0.0, -4.0, 8.0] | 1.0   | -8.0 |       | -4.0  | 1.0   | 0.0  |         |",
                "|                    |                    | [-2.0]                 | [2.0]                 |       |      |       | 0.0   | 0.0   | 0.0  |         |",
                "| [5.0]              | [5.0]              | [5.0]                  | [-5.0]                | 5.0   | 5.0  |       | 0.0   | 5.0   | 0.0  |         |",
                "+--------------------+--------------------+------------------------+-----------------------+-------+------+-------+-------+-------+------+---------+",
            ],
            &found
        );
    }

    #[tokio::test]
    async fn changes_go_from_one_moment_to_the_next() {
        // Moments at 1, 2 and 5; the series is 1, 2, 4, 8, nothing, 32.
        let sql = "select series_moments(moments) as moments, series_change(series, moments, 0) as same,
                series_change(series, moments, 1) as later, series_change(series, moments, -2) as earlier,
                series_change(moments, moments, 0) as own, series_change(moments, series_zero, 0) as none
            from (select monthly_series(month, value) filter (where month <> 4) as series,
                    monthly_series(month, month) filter (where month in (1, 2, 5)) as moments,
                    monthly_series(month, month) filter (where month = 0) as series_zero
                from (values (0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (5, 32.0)) as months (month, value)) as made";
        let found = session(1).sql(sql).await.unwrap().collect().await.unwrap();
        assert_batches_eq!(
            [
                "+------------+-------------+-------------+---------+------------+------+",
                "| moments    | same        | later       | earlier | own        | none |",
                "+------------+-------------+-------------+---------+------------+------+",
                "| [2.0, 5.0] | [2.0, 28.0] | [4.0, -8.0] | [, 7.0] | [1.0, 3.0] | []   |",
                "+------------+-------------+-------------+---------+------------+------+",
            ],
            &found
        );
    }

    #[tokio::test]
    async fn numbers_are_a_list_of_doubles() {
        let sql = "select numbers(1, x, x * 2) as three, numbers(x) as one, numbers(x, y) as with_null
            from (values (0.5, 1.0), (2.0, null)) as pairs (x, y)";
        let found = session(1).sql(sql).await.unwrap().collect().await.unwrap();
        assert_batches_eq!(
            [
                "+-----------------+-------+------------+",
                "| three           | one   | with_null  |",
                "+-----------------+-------+------------+",
                "| [1.0, 0.5, 1.0] | [0.5] | [0.5, 1.0] |",
                "| [1.0, 2.0, 4.0] | [2.0] | [2.0, ]    |",
                "+-----------------+-------+------------+",
            ],
            &found
        );
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
