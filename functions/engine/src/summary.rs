//! What people open of a publication: `summary.json`, and all that the page and the workbook show beside it.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use serde::Serialize;

use crate::estimates::{ALL, Row};
use crate::report::Ledger;

/// The version of `summary.json`'s shape.
pub(crate) const SCHEMA: u32 = 1;

/// One publication, for people.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) schema: u32,
    pub(crate) period: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) seq: u64,
    pub(crate) version: &'a str,
    pub(crate) currency: &'a str,
    pub(crate) timezone: &'a str,
    pub(crate) incomplete: Option<&'a str>,
    pub(crate) rejected: Rejected,
    pub(crate) restated: Restated<'a>,
    pub(crate) late_rows: &'a BTreeMap<String, u64>,
    pub(crate) headlines: Vec<String>,
    pub(crate) estimates: &'a [Row],
    /// What became of the rows of each source.
    #[serde(skip)]
    pub(crate) ledgers: &'a BTreeMap<String, Ledger>,
    /// Every number that this publication and those before it changed.
    #[serde(skip)]
    pub(crate) restatements: &'a RecordBatch,
    /// The periods published before this one, oldest first.
    #[serde(skip)]
    pub(crate) earlier: &'a [Earlier],
}

/// The rows that were set aside.
#[derive(Debug, Serialize)]
pub(crate) struct Rejected {
    pub(crate) listed: usize,
    /// Below the output.
    pub(crate) file: String,
}

/// What this publication changed of the one before.
#[derive(Debug, Serialize)]
pub(crate) struct Restated<'a> {
    pub(crate) numbers: usize,
    pub(crate) moved_by: &'a BTreeSet<String>,
}

/// The indicators about everybody of an earlier period, as they are published.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) period: String,
    /// The inputs that moved since it was published, where its numbers stayed as they were.
    pub(crate) stale: BTreeSet<String>,
    numbers: BTreeMap<[String; 3], Number>,
}

/// A value and its interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) value: f64,
    pub(crate) interval: Option<(f64, f64)>,
}

impl Number {
    /// The value of a row, if it has one.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        let estimate = row.estimate?;
        Some(Self { value: estimate.value, interval: estimate.lo.zip(estimate.hi) })
    }
}

impl Earlier {
    /// Out of a published table of estimates.
    pub(crate) fn new(period: String, stale: BTreeSet<String>, estimates: &RecordBatch) -> Self {
        let text = |name: &str| {
            let column = estimates.column_by_name(name).filter(|column| *column.data_type() == DataType::Utf8);
            column.map(|column| column.as_string::<i32>())
        };
        let number = |name: &str| {
            let column = estimates.column_by_name(name).filter(|column| *column.data_type() == DataType::Float64);
            column.map(|column| column.as_primitive::<Float64Type>())
        };
        let mut numbers = BTreeMap::new();
        // Another version may have published it with other columns: then nothing is known of it here.
        let columns =
            (["section", "segment", "metric", "window", "method"].map(text), ["value", "lo", "hi"].map(number));
        if let (
            [Some(section), Some(segment), Some(metric), Some(window), Some(method)],
            [Some(value), Some(lo), Some(hi)],
        ) = columns
        {
            for row in 0..estimates.num_rows() {
                let at = |column: &arrow::array::Float64Array| column.is_valid(row).then(|| column.value(row));
                if let Some(value) = at(value)
                    && (section.value(row) == "kpi" || metric.value(row) == "detractor_share")
                    && segment.value(row) == ALL
                {
                    let name = [
                        metric.value(row),
                        if window.is_valid(row) { window.value(row) } else { "" },
                        method.value(row),
                    ];
                    numbers.insert(name.map(str::to_owned), Number { value, interval: at(lo).zip(at(hi)) });
                }
            }
        }
        Self { period, stale, numbers }
    }

    /// The same indicator then.
    pub(crate) fn number(&self, row: &Row) -> Option<Number> {
        let name = [row.metric, row.window.unwrap_or_default(), row.method].map(str::to_owned);
        self.numbers.get(&name).copied()
    }
}
