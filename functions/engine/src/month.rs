//! Local months as whole numbers, so that windows are plain subtraction.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A month of the configured time zone: year × 12 + (month - 1). In SQL the same number is the column `month`, in JSON and
/// on paper it is `2024-12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Month(pub i32);

impl Month {
    /// The local month that holds an instant.
    pub fn of(instant: DateTime<Utc>, zone: Tz) -> Self {
        let local = instant.with_timezone(&zone);
        Self(local.year() * 12 + local.month0() as i32)
    }

    /// The instant at which the month begins in `zone`: the first local time that exists on its first day.
    pub fn start(self, zone: Tz) -> DateTime<Utc> {
        let first = NaiveDate::from_ymd_opt(self.0.div_euclid(12), self.0.rem_euclid(12) as u32 + 1, 1)
            .expect("months are built from dates, or checked on parsing");
        let midnight = first.and_time(NaiveTime::MIN);
        // Clocks that go forward at midnight skip it: the month starts with the first quarter of an hour that exists.
        (0..96)
            .find_map(|quarter| zone.from_local_datetime(&(midnight + Duration::minutes(15 * quarter))).earliest())
            .unwrap_or_else(|| zone.from_utc_datetime(&midnight))
            .to_utc()
    }

    /// The instant at which the month is over.
    pub fn end(self, zone: Tz) -> DateTime<Utc> {
        (self + 1).start(zone)
    }
}

impl Add<i32> for Month {
    type Output = Self;
    fn add(self, months: i32) -> Self {
        Self(self.0 + months)
    }
}

impl Sub<i32> for Month {
    type Output = Self;
    fn sub(self, months: i32) -> Self {
        Self(self.0 - months)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Month {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2);
        let (year, month) = parsed
            .and_then(|(year, month)| Some((year.parse::<u16>().ok()?, month.parse::<u8>().ok()?)))
            .filter(|(year, month)| (1900..=9998).contains(year) && (1..=12).contains(month))
            .ok_or_else(|| format!("`{text}` is not a month; write it as 2024-12"))?;
        Ok(Self(i32::from(year) * 12 + i32::from(month) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        let month: Month = "2024-12".parse().unwrap();
        assert_eq!((month.0, (month + 1).to_string()), (2024 * 12 + 11, "2025-01".to_owned()));
        for bad in ["2024-13", "2024-00", "24-12", "2024-1", "2024/12", "", "9999-12"] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_month_starts_at_local_midnight_or_the_first_time_that_exists() {
        let month: Month = "2024-04".parse().unwrap();
        assert_eq!(month.start(chrono_tz::Europe::Rome).to_rfc3339(), "2024-03-31T22:00:00+00:00");
        // Clocks in Asunción went from 00:00 to 01:00 on 2017-10-01.
        let month: Month = "2017-10".parse().unwrap();
        let start = month.start(chrono_tz::America::Asuncion);
        assert_eq!(start.to_rfc3339(), "2017-10-01T04:00:00+00:00");
        assert_eq!(Month::of(start, chrono_tz::America::Asuncion), month);
        assert_eq!(Month::of(start - Duration::nanoseconds(1), chrono_tz::America::Asuncion), month - 1);
    }
}
