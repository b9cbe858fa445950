//! Small query results, read by column name.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::contract;
use crate::error::{Context, Error, Result};
use crate::session;

/// All rows of a result.
#[derive(Debug)]
pub(crate) struct Rows(RecordBatch);

impl Rows {
    /// Runs a query whose result is small.
    pub(crate) async fn collect(query: DataFrame) -> datafusion::error::Result<Self> {
        let reading = async move {
            // Not the schema of the query as it was written: types settle when it is planned.
            let stream = query.execute_stream().await?;
            let schema = stream.schema();
            Ok::<_, DataFusionError>((schema, stream.try_collect::<Vec<_>>().await?))
        };
        let (schema, batches) = session::apart(reading).await??;
        let found = concat_batches(&schema, &batches)?;
        // Cast once to the types that are asked for: casting a column for each of its rows would take time quadratic in
        // the rows.
        let columns = found.columns().iter().map(|column| match column.data_type() {
            DataType::Utf8View => cast(column, &DataType::Utf8),
            kind if kind.is_integer() => cast(column, &DataType::Int64),
            _ => Ok(ArrayRef::clone(column)),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        let names = schema.fields().iter().map(|field| field.name());
        Ok(Self(RecordBatch::try_from_iter_with_nullable(
            names.zip(columns).map(|(name, column)| (name, column, true)),
        )?))
    }

    /// The rows of a small query that reads a table.
    pub(crate) async fn of(session: &SessionContext, table: &str, sql: &str) -> Result<Self> {
        let context = || format!("cannot read {table}");
        Self::collect(session::read_only(session, sql).await.context(context)?).await.context(context)
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.0.num_rows()
    }

    fn column(&self, name: &str, data_type: &DataType) -> Result<ArrayRef> {
        let column =
            self.0.column_by_name(name).ok_or_else(|| Error::Input(format!("the query gives no column `{name}`")))?;
        if column.data_type() == data_type {
            return Ok(ArrayRef::clone(column));
        }
        cast(column, data_type).context(|| format!("column `{name}`"))
    }

    /// A text, or null.
    pub(crate) fn text(&self, name: &str, row: usize) -> Result<Option<String>> {
        let column = self.column(name, &DataType::Utf8)?;
        Ok(column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned()))
    }

    /// A whole number; 0 where it is null, as a sum over no rows.
    pub(crate) fn integer(&self, name: &str, row: usize) -> Result<i64> {
        let column = self.column(name, &DataType::Int64)?;
        Ok(if column.is_valid(row) { column.as_primitive::<Int64Type>().value(row) } else { 0 })
    }

    /// A count.
    pub(crate) fn count(&self, name: &str, row: usize) -> Result<u64> {
        let count = self.integer(name, row)?;
        u64::try_from(count)
            .map_err(|_| Error::Input(format!("column `{name}` is {count}, a count cannot be negative")))
    }

    /// A floating-point number, or null.
    pub(crate) fn number(&self, name: &str, row: usize) -> Result<Option<f64>> {
        let column = self.column(name, &DataType::Float64)?;
        Ok(column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row)))
    }

    /// A list of floating-point numbers; empty where it is null.
    pub(crate) fn numbers(&self, name: &str, row: usize) -> Result<Vec<f64>> {
        let column = self.column(name, &crate::series::list_type())?;
        let column = column.as_list::<i32>();
        Ok(if column.is_valid(row) {
            column.value(row).as_primitive::<Float64Type>().values().to_vec()
        } else {
            Vec::new()
        })
    }

    /// A list of texts; empty where it is null.
    pub(crate) fn texts(&self, name: &str, row: usize) -> Result<Vec<String>> {
        let column = self.column(name, &DataType::new_list(DataType::Utf8, true))?;
        let column = column.as_list::<i32>();
        let texts = column.is_valid(row).then(|| column.value(row));
        let texts = texts.iter().flat_map(|texts| {
            texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect::<Vec<_>>()
        });
        Ok(texts.collect())
    }

    /// An exact amount; 0 where it is null, as a sum over no rows.
    pub(crate) fn money(&self, name: &str, row: usize) -> Result<Money> {
        let column = self.column(name, &DataType::Decimal128(38, 4))?;
        Ok(Money(if column.is_valid(row) { column.as_primitive::<Decimal128Type>().value(row) } else { 0 }))
    }

    /// An instant, or null.
    pub(crate) fn instant(&self, name: &str, row: usize) -> Result<Option<DateTime<Utc>>> {
        let column = self.column(name, &contract::instant_type())?;
        let micros = column.is_valid(row).then(|| column.as_primitive::<TimestampMicrosecondType>().value(row));
        Ok(micros.and_then(DateTime::from_timestamp_micros))
    }
}

/// An exact amount in ten-thousandths of the currency unit, as in `DECIMAL(38, 4)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(pub i128);

impl Money {
    /// The nearest double, for estimates.
    pub fn to_f64(self) -> f64 {
        // Whole units and the rest apart, so that both are exact and only the sum rounds.
        (self.0 / 10_000) as f64 + (self.0 % 10_000) as f64 / 10_000.0
    }

    /// The sum, or an error where it would leave 38 digits.
    pub(crate) fn plus(self, other: Self) -> Result<Self> {
        const LIMIT: i128 = 10_i128.pow(38);
        let sum = self.0.checked_add(other.0).filter(|sum| sum.abs() < LIMIT);
        sum.map(Self).ok_or_else(|| Error::Input("an amount of money has more than 38 digits".to_owned()))
    }

    /// The amount with the other sign.
    pub(crate) fn negated(self) -> Self {
        Self(-self.0)
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:04}", self.0.abs() / 10_000, self.0.abs() % 10_000)
    }
}

impl serde::Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits =
            text.split_once('.').filter(|(_, rest)| rest.len() == 4).map(|(whole, rest)| format!("{whole}{rest}"));
        let amount = digits.and_then(|digits| digits.parse().ok());
        amount
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an amount with four decimals")))
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn money_is_written_and_read_to_the_last_decimal() {
        for (ten_thousandths, text) in
            [(0, "0.0000"), (-1, "-0.0001"), (12_345_678, "1234.5678"), (-99_999_999, "-9999.9999")]
        {
            let money = Money(ten_thousandths);
            assert_eq!(money.to_string(), text);
            let json = serde_json::to_string(&money).unwrap();
            assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
        assert!(serde_json::from_str::<Money>("\"1.5\"").is_err());
        assert_eq!(Money(968_770_300).to_f64(), 96_877.03);
    }
}
