//! The table `estimates`: one row per number, and the only door out for numbers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use serde::Serialize;
use stats::{Estimate, Undefined};

use crate::error::{Context, Error, Result};
use crate::rows::Money;

/// The segment of a number about everybody.
pub(crate) const ALL: &str = "(all)";

/// The segment of customers for whom the lake names none.
pub(crate) const UNKNOWN: &str = "(unknown)";

/// The bands of an answer, from the lowest.
pub(crate) const BANDS: [&str; 3] = ["detractor", "passive", "promoter"];

/// Whether a number is known, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is a value.
    Ok,
    /// Too few rows or customers.
    InsufficientN,
    /// The window is longer than the history.
    InsufficientHistory,
    /// Too few customers to be published.
    Suppressed,
    /// The statistic is not defined for these sums.
    Degenerate,
    /// What is asked about is a combination of what is held equal.
    Collinear,
    /// Every value is possible.
    Unbounded,
    /// The lake lacks the source that it needs.
    NotApplicable,
}

impl Status {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::InsufficientN => "insufficient_n",
            Self::InsufficientHistory => "insufficient_history",
            Self::Suppressed => "suppressed",
            Self::Degenerate => "degenerate",
            Self::Collinear => "collinear",
            Self::Unbounded => "unbounded",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// One number with everything that is needed to read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The part of the report.
    pub section: &'static str,
    /// What is measured.
    pub metric: &'static str,
    /// The months that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<&'static str>,
    /// `(all)` or one segment.
    pub segment: String,
    /// `nps`, `csat` or `ces`; `service_contacts` where these stand in the place of a score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<&'static str>,
    /// The outcome that the number is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// The band of an answer that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<&'static str>,
    /// The channel, touchpoint or stage that it is about, as `channel:phone`, or two of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The programme that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiative: Option<String>,
    /// Months between a score and an outcome, from the start of a programme, or since the beginning of a curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i32>,
    /// Rows behind the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<i64>,
    /// Distinct customers behind the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customers: Option<i64>,
    /// The number and its uncertainty; `None` unless the status is `ok`.
    #[serde(flatten, serialize_with = "estimate")]
    pub estimate: Option<Estimate>,
    /// The false discovery rate at which the p-value would count, within its family of tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<f64>,
    /// The same number to the last decimal, where it is an exact amount of money.
    #[serde(rename = "amount", skip_serializing_if = "Option::is_none")]
    pub exact: Option<Money>,
    /// `points`, `share`, `money`, `count`, `months`, `rows`.
    pub unit: &'static str,
    /// The estimator.
    pub method: &'static str,
    /// The grade of the evidence.
    pub grade: &'static str,
    /// Whether the number is known.
    pub status: Status,
    /// What a reader must know beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    /// The sources whose rows can move it.
    #[serde(skip)]
    pub reads: Vec<&'static str>,
    /// How much of the money that the number adds up is one customer's.
    #[serde(skip)]
    pub concentration: Option<Concentration>,
}

/// How much of an amount is one customer's: amounts without their signs, as refunds do not make a customer smaller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Concentration {
    /// Of the customer with most.
    pub largest: Money,
    /// Of all customers.
    pub total: Money,
}

fn estimate<S: serde::Serializer>(estimate: &Option<Estimate>, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(None)?;
    if let Some(Estimate { value, se, df, lo, hi, p }) = estimate {
        map.serialize_entry("value", value)?;
        for (name, number) in [("se", se), ("df", df), ("lo", lo), ("hi", hi), ("p", p)] {
            if let Some(number) = number {
                map.serialize_entry(name, number)?;
            }
        }
    }
    map.end()
}

/// The smallest sample whose interval is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    pub(crate) n: i64,
    pub(crate) customers: i64,
}

/// Means, ratios and NPS: 30 rows of 30 customers.
pub(crate) const MEAN: Guard = Guard { n: 30, customers: 30 };
/// Shares of customers: a base of 30.
pub(crate) const PROPORTION: Guard = Guard { n: 30, customers: 0 };

/// A raw value may differ from the capped one by this share of it.
const TAIL_SENSITIVE: f64 = 0.25;

impl Row {
    /// A row about everybody without a value yet.
    pub(crate) fn new(section: &'static str, metric: &'static str, unit: &'static str, method: &'static str) -> Self {
        Self {
            section,
            metric,
            window: None,
            segment: ALL.to_owned(),
            score: None,
            outcome: None,
            band: None,
            driver: None,
            initiative: None,
            lag: None,
            n: None,
            customers: None,
            estimate: None,
            q: None,
            exact: None,
            unit,
            method,
            grade: "descriptive",
            status: Status::NotApplicable,
            flags: Vec::new(),
            reads: Vec::new(),
            concentration: None,
        }
    }

    pub(crate) fn window(self, window: &'static str) -> Self {
        Self { window: Some(window), ..self }
    }

    pub(crate) fn segment(self, segment: &str) -> Self {
        Self { segment: segment.to_owned(), ..self }
    }

    pub(crate) fn score(self, score: &'static str) -> Self {
        Self { score: Some(score), ..self }
    }

    pub(crate) fn driver(self, driver: String) -> Self {
        Self { driver: Some(driver), ..self }
    }

    /// The grade of the evidence.
    pub(crate) fn graded(self, grade: &'static str) -> Self {
        Self { grade, ..self }
    }

    /// The sources whose rows can move the number.
    pub(crate) fn reads(self, reads: impl Into<Vec<&'static str>>) -> Self {
        Self { reads: reads.into(), ..self }
    }

    /// Says what a reader must know beside the number, if there is one.
    pub(crate) fn flag(mut self, flag: &'static str) -> Self {
        if self.status == Status::Ok {
            self.flags.push(flag);
        }
        self
    }

    /// The rows and the customers behind the number.
    pub(crate) fn of(self, n: impl Into<Option<i64>>, customers: impl Into<Option<i64>>) -> Self {
        Self { n: n.into(), customers: customers.into(), ..self }
    }

    /// How much of the number's money is one customer's.
    pub(crate) fn concentrated(self, [largest, total]: [Money; 2]) -> Self {
        Self { concentration: Some(Concentration { largest, total }), ..self }
    }

    /// Says why there is no number; what would have been said beside it goes too.
    pub(crate) fn without(self, status: Status) -> Self {
        Self { status, estimate: None, q: None, exact: None, flags: Vec::new(), ..self }
    }

    /// A count or amount of everything.
    pub(crate) fn census(self, value: f64) -> Self {
        Self { estimate: Some(Estimate::census(value)), status: Status::Ok, ..self }
    }

    /// An exact amount of money.
    pub(crate) fn amount(self, amount: Money) -> Self {
        Self { exact: Some(amount), ..self.census(amount.to_f64()) }
    }

    /// A finished statistic. Below the guard, or without spread, the value stays and the interval goes.
    ///
    /// # Errors
    /// [`Error::Audit`] for sums that contradict each other.
    pub(crate) fn statistic(self, result: Result<Estimate, Undefined>, guard: Option<Guard>) -> Result<Self> {
        let estimate = match result {
            Ok(estimate) => estimate,
            Err(Undefined::EmptyBase) => return Ok(self.without(Status::InsufficientN)),
            Err(Undefined::Collinear) => return Ok(self.without(Status::Collinear)),
            Err(Undefined::Unbounded) => return Ok(self.without(Status::Unbounded)),
            Err(Undefined::NegativeBase | Undefined::NoSpread) => return Ok(self.without(Status::Degenerate)),
            Err(error @ Undefined::Impossible(_)) => {
                return Err(Error::Audit(format!("{} of {}: {error}", self.metric, self.segment)));
            }
        };
        let enough = guard.is_none_or(|guard| {
            self.n.is_none_or(|n| n >= guard.n) && self.customers.is_none_or(|customers| customers >= guard.customers)
        });
        let row = Self { status: Status::Ok, ..self };
        if enough && estimate.lo.is_some() {
            return Ok(Self { estimate: Some(estimate), ..row });
        }
        Ok(Self { estimate: Some(estimate.without_interval()), ..row }.flag("interval_withheld"))
    }

    /// A test, whose value has no interval.
    pub(crate) fn test(self, result: Result<Estimate, Undefined>) -> Self {
        match result {
            Ok(estimate) => Self { estimate: Some(estimate), status: Status::Ok, ..self },
            Err(_) => self.without(Status::InsufficientN),
        }
    }

    /// Says that few large amounts decide: capped and raw value differ by more than a quarter, or in sign.
    pub(crate) fn tail_sensitive(self, [capped, raw]: [Option<Estimate>; 2]) -> Self {
        let differ = |(capped, raw): (Estimate, Estimate)| {
            (raw.value - capped.value).abs() > TAIL_SENSITIVE * capped.value.abs() || raw.value * capped.value < 0.0
        };
        if capped.zip(raw).is_some_and(differ) { self.flag("tail_sensitive") } else { self }
    }

    /// Everything that makes a row findable; no two rows share it.
    pub(crate) fn name(&self) -> String {
        let said = |what: Option<&str>| what.map(|what| format!(" {what}")).unwrap_or_default();
        format!(
            "{} {}{}{}{}{}{}{}, {}, {}, {}",
            self.section,
            self.metric,
            said(self.score),
            said(self.outcome),
            said(self.band),
            said(self.driver.as_deref()),
            said(self.initiative.as_deref()),
            said(self.lag.map(|lag| format!("lag {lag}")).as_deref()),
            self.window.unwrap_or("no window"),
            self.segment,
            self.method
        )
    }
}

/// The rows as the published table.
pub(crate) fn table(rows: &[Row], run_id: &str, period: &str) -> Result<RecordBatch> {
    let text =
        |get: &dyn Fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(get).collect::<StringArray>()) };
    let always = |get: fn(&Row) -> &str| text(&|row| Some(get(row).to_owned()));
    let number = |get: &dyn Fn(&Estimate) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.estimate.as_ref().and_then(get)).collect::<Float64Array>())
    };
    let count =
        |get: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef { Arc::new(rows.iter().map(get).collect::<Int64Array>()) };
    let mut flags = ListBuilder::new(StringBuilder::new());
    for row in rows {
        flags.append_value(row.flags.iter().map(|flag| Some(*flag)));
    }
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("run_id", text(&|_| Some(run_id.to_owned())), false),
        ("period", text(&|_| Some(period.to_owned())), false),
        ("section", always(|row| row.section), false),
        ("metric", always(|row| row.metric), false),
        ("window", text(&|row| row.window.map(str::to_owned)), true),
        ("segment", always(|row| &row.segment), false),
        ("score", text(&|row| row.score.map(str::to_owned)), true),
        ("outcome", text(&|row| row.outcome.map(str::to_owned)), true),
        ("band", text(&|row| row.band.map(str::to_owned)), true),
        ("driver", text(&|row| row.driver.clone()), true),
        ("initiative", text(&|row| row.initiative.clone()), true),
        ("lag", Arc::new(rows.iter().map(|row| row.lag).collect::<Int32Array>()), true),
        ("n", count(&|row| row.n), true),
        ("customers", count(&|row| row.customers), true),
        ("value", number(&|estimate| Some(estimate.value)), true),
        ("se", number(&|estimate| estimate.se), true),
        ("df", number(&|estimate| estimate.df), true),
        ("lo", number(&|estimate| estimate.lo), true),
        ("hi", number(&|estimate| estimate.hi), true),
        ("p", number(&|estimate| estimate.p), true),
        ("q", Arc::new(rows.iter().map(|row| row.q).collect::<Float64Array>()), true),
        ("unit", always(|row| row.unit), false),
        ("method", always(|row| row.method), false),
        ("grade", always(|row| row.grade), false),
        ("status", always(|row| row.status.as_str()), false),
        ("flags", Arc::new(flags.finish()), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).context(|| "the table of estimates".to_owned())
}

/// The exact amounts among the rows.
pub(crate) fn money_table(rows: &[Row], run_id: &str, period: &str) -> Result<RecordBatch> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.unit == "money" && row.method == "census").collect();
    let text = |get: &dyn Fn(&Row) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(get(row))).collect::<StringArray>())
    };
    let context = || "the table of money".to_owned();
    let amounts: Decimal128Array = rows.iter().map(|row| row.exact.map(|amount| amount.0)).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("run_id", text(&|_| run_id.to_owned()), false),
        ("period", text(&|_| period.to_owned()), false),
        ("section", text(&|row| row.section.to_owned()), false),
        ("metric", text(&|row| row.metric.to_owned()), false),
        ("window", text(&|row| row.window.unwrap_or_default().to_owned()), false),
        ("segment", text(&|row| row.segment.clone()), false),
        ("amount", Arc::new(amounts.with_precision_and_scale(38, 4).context(context)?), true),
        ("customers", Arc::new(rows.iter().map(|row| row.customers).collect::<Int64Array>()), true),
        ("status", text(&|row| row.status.as_str().to_owned()), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).context(context)
}
