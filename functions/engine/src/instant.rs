//! Reads dates and times that do not say which instant they are: text, timestamps without zone, and bare dates.
//!
//! One function instead of casts: those know neither a time without seconds nor what to do with an hour that a clock change
//! skips or repeats.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::contract::instant_type;

/// The instant of `raw`, null where it cannot be read. A time without zone is one of `naive`, a bare date the start of that
/// day in `local`; text may carry its own offset and leave out the seconds.
pub(crate) fn read_instant(raw: Expr, naive: Tz, local: Tz) -> Expr {
    ScalarUDF::from(ReadInstant { naive, local, signature: Signature::any(1, Volatility::Immutable) }).call(vec![raw])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ReadInstant {
    naive: Tz,
    local: Tz,
    signature: Signature,
}

impl ScalarUDFImpl for ReadInstant {
    fn name(&self) -> &'static str {
        "read_instant"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(instant_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let raw = &ColumnarValue::values_to_arrays(&args.args)?[0];
        let instants: TimestampMicrosecondArray = match raw.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let texts = cast(raw, &DataType::Utf8View)?;
                texts.as_string_view().iter().map(|text| micros(self.text(text?))).collect()
            }
            DataType::Timestamp(_, None) => {
                let times = cast(raw, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let time = |micros| Some(DateTime::from_timestamp_micros(micros)?.naive_utc());
                times.iter().map(|value| micros(localised(time(value?)?, self.naive))).collect()
            }
            DataType::Date32 | DataType::Date64 => {
                let days = cast(raw, &DataType::Date32)?;
                let days = days.as_primitive::<Date32Type>();
                days.iter().map(|day| micros(self.date(Date32Type::to_naive_date_opt(day?)?))).collect()
            }
            other => return exec_err!("{other} is neither text, nor a date or a time without zone"),
        };
        let instants: ArrayRef = Arc::new(instants.with_timezone("UTC"));
        Ok(ColumnarValue::Array(instants))
    }
}

fn micros(instant: Option<DateTime<Utc>>) -> Option<i64> {
    instant.map(|instant| instant.timestamp_micros())
}

impl ReadInstant {
    fn date(&self, day: NaiveDate) -> Option<DateTime<Utc>> {
        localised(day.and_time(NaiveTime::MIN), self.local)
    }

    fn text(&self, text: &str) -> Option<DateTime<Utc>> {
        let text = text.trim();
        if text.len() == 10 {
            return self.date(text.parse().ok()?);
        }
        let (minutes, rest) = (text.get(..16)?, text.get(16..)?);
        let whole = if rest.starts_with(':') { text.to_owned() } else { format!("{minutes}:00{rest}") };
        let instant = string_to_datetime(&Utc, &whole).ok()?.to_utc();
        // Without an offset or the name of a zone it was taken for UTC.
        if rest.contains(|letter: char| letter.is_alphabetic() || matches!(letter, '+' | '-')) {
            return Some(instant);
        }
        localised(instant.naive_utc(), self.naive)
    }
}

/// A time that a clock change skips or repeats is the one that an hour's wait after the hour before it gives.
fn localised(time: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let hour = Duration::hours(1);
    let single = |time: NaiveDateTime| zone.from_local_datetime(&time).single().map(|instant| instant.to_utc());
    single(time).or_else(|| single(time - hour).map(|instant| instant + hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_an_instant_a_local_time_or_a_local_date() {
        let rome = ReadInstant {
            naive: chrono_tz::Europe::Rome,
            local: chrono_tz::Europe::Rome,
            signature: Signature::any(1, Volatility::Immutable),
        };
        for (text, want) in [
            ("2024-12-31", Some("2024-12-30T23:00:00Z")),
            ("2024-12-31 10:15", Some("2024-12-31T09:15:00Z")),
            (" 2024-07-31T10:15:30.5 ", Some("2024-07-31T08:15:30.500Z")),
            ("2024-12-31 10:15:00Z", Some("2024-12-31T10:15:00Z")),
            ("2024-12-31T10:15:00+05:30", Some("2024-12-31T04:45:00Z")),
            ("2024-12-31T10:15:00-0300", Some("2024-12-31T13:15:00Z")),
            ("2024-12-31T10:15Z", Some("2024-12-31T10:15:00Z")),
            ("2024-12-31 10:15 +01:00", Some("2024-12-31T09:15:00Z")),
            ("2024-12-31 10:15:00 UTC", Some("2024-12-31T10:15:00Z")),
            ("2024-12-31 10:15:00.25 America/New_York", Some("2024-12-31T15:15:00.250Z")),
            // Skipped in spring, repeated in autumn.
            ("2024-03-31 02:30:00", Some("2024-03-31T01:30:00Z")),
            ("2024-10-27 02:30:00", Some("2024-10-27T00:30:00Z")),
            ("31/12/2024", None),
            ("2024-12-31 25:00", None),
            ("2024-02-30", None),
            ("yesterday", None),
            ("2024-12-3\u{e9}1 10:15", None),
        ] {
            let want = want.map(|want| want.parse::<DateTime<Utc>>().unwrap());
            assert_eq!(rome.text(text), want, "{text}");
        }
    }
}
