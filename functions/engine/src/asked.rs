//! Statistics for questions asked by hand, as SQL functions: `wilson_low(successes, n)` and `wilson_high(successes, n)`, `nps(score)`,
//! `ols(y, x)`, `welch(value, in_first_group)` and `bh(p)`. No measure uses them: their last digits depend on the order of rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, ColumnarValue, ScalarUDF, Volatility, create_udaf, create_udf,
};
use stats::moments::{Moments, welch};
use stats::regression::benjamini_hochberg;

use crate::series::list_type;

/// The scalar functions.
pub(crate) fn scalars() -> [ScalarUDF; 3] {
    let doubles = || vec![DataType::Float64; 2];
    let end = |name: &str, of: fn(&stats::Estimate) -> Option<f64>| {
        let calculate = move |values: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(values)?;
            let [successes, rows] = [0, 1].map(|at| arrays[at].as_primitive::<Float64Type>());
            let ends = successes.iter().zip(rows).map(|pair| match pair {
                (Some(successes), Some(rows)) => {
                    wilson(successes, rows).map(|share| share.and_then(|share| of(&share)))
                }
                _ => Ok(None),
            });
            let ends: Float64Array = ends.collect::<Result<Vec<Option<f64>>>>()?.into();
            Ok(ColumnarValue::Array(Arc::new(ends)))
        };
        create_udf(name, doubles(), DataType::Float64, Volatility::Immutable, Arc::new(calculate))
    };
    let bh = |values: &[ColumnarValue]| {
        let lists = ColumnarValue::values_to_arrays(values)?;
        Ok(ColumnarValue::Array(Arc::new(discoveries(lists[0].as_list::<i32>())?)))
    };
    [
        end("wilson_low", |share| share.lo),
        end("wilson_high", |share| share.hi),
        create_udf("bh", vec![list_type()], list_type(), Volatility::Immutable, Arc::new(bh)),
    ]
}

/// The share with its interval; of nobody, none.
fn wilson(successes: f64, rows: f64) -> Result<Option<stats::Estimate>> {
    let whole = |number: f64| number >= 0.0 && number.fract() == 0.0 && number < 9e15;
    if !whole(successes) || !whole(rows) || successes > rows {
        return exec_err!("Wilson's interval is of whole numbers, as 3 successes of 10, not {successes} of {rows}");
    }
    Ok(stats::proportion::wilson(successes as u64, rows as u64).ok())
}

/// The false discovery rate of each p-value of a list, in its order; null where there is none.
fn discoveries(lists: &ListArray) -> Result<ListArray> {
    let (mut lengths, mut rates) = (Vec::new(), Vec::new());
    for row in 0..lists.len() {
        let values = lists.value(row);
        let values = values.as_primitive::<Float64Type>();
        let known: Vec<f64> = values.iter().flatten().collect();
        if let Some(wrong) = known.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return exec_err!("a p-value is from 0 to 1, not {wrong}");
        }
        let mut found = benjamini_hochberg(&known).into_iter();
        let length = if lists.is_valid(row) { values.len() } else { 0 };
        rates.extend(values.iter().take(length).map(|p| p.and_then(|_| found.next())));
        lengths.push(length);
    }
    let rates: ArrayRef = Arc::new(Float64Array::from(rates));
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    Ok(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), rates, lists.nulls().cloned())?)
}

/// The aggregates.
pub(crate) fn aggregates() -> [AggregateUDF; 3] {
    [Question::NetPromoterScore, Question::Line, Question::Difference].map(|question| {
        let state = Arc::new(vec![DataType::Float64; 2 * SUMS]);
        let (name, inputs) = question.signature();
        let of = Arc::new(move |_: datafusion::logical_expr::function::AccumulatorArgs<'_>| {
            Ok(Box::new(Asked { question, groups: [Moments::default(); 2] }) as Box<dyn Accumulator>)
        });
        create_udaf(name, inputs, Arc::new(question.answer()), Volatility::Immutable, of, state)
    })
}

/// What an aggregate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    NetPromoterScore,
    Line,
    Difference,
}

impl Question {
    fn signature(self) -> (&'static str, Vec<DataType>) {
        match self {
            Self::NetPromoterScore => ("nps", vec![DataType::Float64]),
            Self::Line => ("ols", vec![DataType::Float64; 2]),
            Self::Difference => ("welch", vec![DataType::Float64, DataType::Boolean]),
        }
    }

    fn fields(self) -> Fields {
        let names: &[&str] = match self {
            Self::NetPromoterScore => &[],
            Self::Line => &["intercept", "slope", "standard_error", "lo", "hi", "p", "r_squared", "n"],
            Self::Difference => &["difference", "standard_error", "lo", "hi", "degrees_of_freedom", "p"],
        };
        names.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect()
    }

    fn answer(self) -> DataType {
        match self {
            Self::NetPromoterScore => DataType::Float64,
            _ => DataType::Struct(self.fields()),
        }
    }
}

/// Numbers of one group's moments.
const SUMS: usize = 6;

/// The moments of all rows, or of two groups of them.
#[derive(Debug)]
struct Asked {
    question: Question,
    groups: [Moments; 2],
}

impl Accumulator for Asked {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let first = values[0].as_primitive::<Float64Type>();
        for (row, value) in first.iter().enumerate() {
            let Some(value) = value else { continue };
            let (group, moments) = match self.question {
                // Promoters count 100, detractors -100: the score is their mean.
                Question::NetPromoterScore if !(0.0..=10.0).contains(&value) => continue,
                Question::NetPromoterScore => (
                    0,
                    Moments::of(
                        if value >= 9.0 {
                            100.0
                        } else if value < 7.0 {
                            -100.0
                        } else {
                            0.0
                        },
                        0.0,
                    ),
                ),
                _ if values[1].is_null(row) => continue,
                Question::Line => (0, Moments::of(values[1].as_primitive::<Float64Type>().value(row), value)),
                Question::Difference => (usize::from(!values[1].as_boolean().value(row)), Moments::of(value, 0.0)),
            };
            self.groups[group] = self.groups[group].plus(&moments);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let [one, other] = &self.groups;
        let answer: Option<Vec<Option<f64>>> = match self.question {
            Question::NetPromoterScore => {
                return Ok(ScalarValue::Float64((one.rows > 0.0).then_some(one.means[0])));
            }
            Question::Line => one.line().ok().map(|line| {
                let slope = line.slope;
                let errors = [slope.se, slope.lo, slope.hi, slope.p];
                [&[Some(line.intercept), Some(slope.value)], &errors[..], &[Some(line.r_squared), Some(one.rows)]]
                    .concat()
            }),
            Question::Difference => welch(one, other).ok().map(|difference| {
                let stats::Estimate { value, se, lo, hi, df, p } = difference;
                vec![Some(value), se, lo, hi, df, p]
            }),
        };
        let fields = self.question.fields();
        // Where there is no answer, none of its parts is known.
        let parts = answer.unwrap_or_else(|| vec![None; fields.len()]);
        let columns = parts.into_iter().map(|part| Arc::new(Float64Array::from(vec![part])) as ArrayRef).collect();
        Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(fields, columns, None)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers = self.groups.iter().flat_map(|group| {
            let Moments { rows, means, squares, products } = *group;
            [rows, means[0], means[1], squares[0], squares[1], products]
        });
        Ok(numbers.map(|number| ScalarValue::Float64(Some(number))).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let number = |at: usize| states[at].as_primitive::<Float64Type>().value(row);
            for (group, moments) in self.groups.iter_mut().enumerate() {
                let [rows, x, y, xx, yy, products] = std::array::from_fn(|at| number(group * SUMS + at));
                *moments = moments.plus(&Moments { rows, means: [x, y], squares: [xx, yy], products });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::empty_session;

    async fn asked(sql: &str) -> String {
        let rows = empty_session().unwrap().sql(sql).await.unwrap().collect().await.unwrap();
        arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
    }

    #[tokio::test]
    async fn questions_are_answered_by_stats_whatever_the_type_of_the_numbers() {
        let sleep = "(values (0.7, true), (-1.6, true), (-0.2, true), (-1.2, true), (-0.1, true), (3.4, true), (3.7, true), (0.8, true),
            (0.0, true), (2.0, true), (1.9, false), (0.8, false), (1.1, false), (0.1, false), (-0.1, false), (4.4, false), (5.5, false),
            (1.6, false), (4.6, false), (3.4, false), (null, true), (5, null)) as sleep(extra, first)";
        let told = asked(&format!(
            "select round(w.difference, 9) || ' ' || round(w.degrees_of_freedom, 9) || ' ' || round(w.p, 9) as answer
             from (select welch(extra, first) as w from {sleep})"
        ))
        .await;
        assert!(told.contains("-1.58 17.776473516 0.07939414"), "{told}");
        let told = asked(
            "select nps(score) as nps from (values (10), (9), (8), (7), (6), (0), (3), (99), (null)) as answers(score)",
        )
        .await;
        assert!(told.contains("-14.28"), "{told}");
        let told = asked(
            "select l.slope, l.intercept, l.n from (select ols(y, x) as l from (values (1, 3), (2, 5), (4, 9)) as points(x, y))",
        )
        .await;
        assert!(told.contains("| 2.0 ") && told.contains("| 1.0 ") && told.contains("| 3.0 "), "{told}");
        let told = asked("select round(wilson_low(579, 719), 9) as low, round(wilson_high(579, 719), 9) as high, wilson_low(0, 0) as none").await;
        assert!(told.contains("0.774750204"), "{told}");
        let told =
            asked("select bh(array_agg(p order by p)) as q from (values (0.01), (0.02), (0.9)) as tests(p)").await;
        assert!(told.contains("[0.03, 0.03, 0.9]"), "{told}");
        let told =
            asked("select l.slope as slope from (select ols(y, x) as l from (values (1.0, 1.0)) as points(x, y))")
                .await;
        assert!(told.contains("|       |"), "{told}");
    }
}
