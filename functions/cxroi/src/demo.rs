//! `cxroi demo`: a made-up company whose truth is known, so that a newcomer sees what the numbers mean.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use chrono::{Datelike, Months, NaiveDate};
use engine::{Error, Stores};
use fastrand::Rng;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::Refresh;
use crate::arguments::Lake;
use crate::show;

/// Months of history; the last one is reported.
const MONTHS: u32 = 24;
/// The first month whose customers answer and spend as `AFTER` says.
const IMPROVED: u32 = 21;
/// The share of customers that leave before the last three months.
const LEAVERS: f64 = 0.08;
/// The chance that a customer buys in a month.
const BUYS: f64 = 0.8;
/// What the last six months' orders are worth more than those before.
const UPLIFT: f64 = 1.06;
/// Detractors and promoters among the answers, before and after the improvement.
const BEFORE: (f64, f64) = (0.30, 0.40);
const AFTER: (f64, f64) = (0.25, 0.45);
/// Customers who came in the last three months, as a share of all.
const NEWCOMERS: f64 = 0.05;
/// What a service contact costs on average.
const CONTACT: f64 = 6.0;

pub(crate) async fn run(folder: &Path, customers: u32) -> Result<()> {
    let config = folder.join("cxroi.toml");
    if config.exists() {
        eprintln!("{} is there already and is used as it is", folder.display());
    } else {
        let lines =
            write_lake(folder, customers).with_context(|| format!("cannot make the lake in {}", folder.display()))?;
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        eprintln!("made {}: {customers} customers, {MONTHS} months, {lines} rows", folder.display());
    }
    let lake = Lake { config: config.to_string_lossy().into_owned() };
    crate::run(&lake, None, None, Refresh::default()).await?;
    let stores = Stores::default();
    let (_, summary) = engine::summary(&crate::configuration(&lake, None, &stores).await?, &stores, None).await?;
    let config = config.display();
    show::say(&format!(
        "\n{}\nWhat next:\n  cxroi show --config {config} --segments\n  cxroi sql --config {config}\n",
        planted_beside_recovered(&summary)?
    ))
}

/// What the generator put in, as a metric of the report with its window.
fn planted() -> [(&'static str, &'static str, f64); 7] {
    let nps = |(detractors, promoters): (f64, f64)| 100.0 * (promoters - detractors);
    // A customer who stays buys at least once in three months unless they skip all three.
    let retention = (1.0 - LEAVERS) * (1.0 - (1.0 - BUYS).powi(3));
    [
        ("nps", "T3M", nps(AFTER)),
        ("nps", "T3M_prev", nps(BEFORE)),
        ("nps_change", "T3M", nps(AFTER) - nps(BEFORE)),
        ("retention", "T3M", retention),
        ("churn", "T3M", 1.0 - retention),
        // Leavers still buy in three of the six months.
        ("nrr", "T6M", UPLIFT * (1.0 - LEAVERS / 2.0)),
        ("cost_per_contact", "T3M", CONTACT),
    ]
}

fn planted_beside_recovered(summary: &str) -> Result<String> {
    let summary: Value = serde_json::from_str(summary).context("the summary is damaged")?;
    let currency = summary["currency"].as_str().unwrap_or_default();
    let mut text = format!(
        "{:<18} {:<9} {:>10} {:>11}  {:<24} {}\n",
        "metric", "window", "planted", "recovered", "95 % interval", ""
    );
    for (metric, window, truth) in planted() {
        let rows = summary["estimates"].as_array().context("the summary has no estimates")?;
        let row = rows
            .iter()
            .find(|row| row["metric"] == metric && row["window"] == window && row["segment"] == "(all)")
            .ok_or_else(|| Error::Input(format!("{metric} {window} is not in the summary")))?;
        let unit = row["unit"].as_str().unwrap_or_default();
        let figure = |value: f64| engine::figure(value, unit, currency);
        let number = |key: &str| row[key].as_f64();
        let interval = number("lo").zip(number("hi"));
        text.push_str(&format!(
            "{metric:<18} {window:<9} {:>10} {:>11}  {:<24} {}\n",
            figure(truth),
            number("value").map_or_else(|| row["status"].as_str().unwrap_or_default().to_owned(), figure),
            interval.map(|(lo, hi)| format!("{} to {}", figure(lo), figure(hi))).unwrap_or_default(),
            match interval {
                Some((lo, hi)) if lo <= truth && truth <= hi => "holds the truth",
                Some(_) => "misses the truth (1 in 20 does)",
                None => "no interval",
            },
        ));
    }
    Ok(text)
}

const CONFIG: &str = r#"# The demo: a made-up company. `cxroi run --config` this file again to see that nothing changes.
timezone = "Europe/Rome"
currency = "EUR"

[lake]
interactions = "lake/interactions/"
sales = "lake/sales/"
customers = "lake/customers/"

[output]
url = "out/"
"#;

struct Customer {
    id: String,
    segment: &'static str,
    first_month: u32,
    leaves: bool,
    spend: f64,
    /// Their usual answer, as a uniform number to hold against the shares of the month.
    mood: f64,
}

/// Writes the lake and returns its rows. The same seed and size give the same rows.
fn write_lake(folder: &Path, customers: u32) -> Result<u64> {
    let mut rng = Rng::with_seed(7);
    let customers: Vec<Customer> = (0..customers).map(|number| customer(number, &mut rng)).collect();
    let mut table = (StringBuilder::new(), StringBuilder::new());
    for customer in &customers {
        table.0.append_value(&customer.id);
        table.1.append_value(customer.segment);
    }
    write(
        &folder.join("lake/customers"),
        "customers.parquet",
        vec![("customer_id", Arc::new(table.0.finish())), ("segment", Arc::new(table.1.finish()))],
    )?;
    let mut rows = customers.len() as u64;
    let first = NaiveDate::from_ymd_opt(2023, 1, 1).context("a date")?;
    for month in 0..MONTHS {
        let start = first + Months::new(month);
        let folder_name = format!("month={}-{:02}", start.year(), start.month());
        let (interactions, sales) = write_month(&customers, month, start, &mut rng);
        rows += (interactions[0].1.len() + sales[0].1.len()) as u64;
        write(&folder.join("lake/interactions").join(&folder_name), "part-0.parquet", interactions)?;
        write(&folder.join("lake/sales").join(&folder_name), "part-0.parquet", sales)?;
    }
    Ok(rows)
}

fn customer(number: u32, rng: &mut Rng) -> Customer {
    let newcomer = rng.f64() < NEWCOMERS;
    Customer {
        id: format!("customer-{number:06}"),
        segment: match rng.u32(0..10) {
            0 => "enterprise",
            1..=3 => "business",
            _ => "consumer",
        },
        first_month: if newcomer { rng.u32(IMPROVED..MONTHS) } else { rng.u32(0..12) },
        leaves: !newcomer && rng.f64() < LEAVERS,
        spend: 20.0 + 60.0 * rng.f64() * rng.f64(),
        mood: rng.f64(),
    }
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn write_month(customers: &[Customer], month: u32, start: NaiveDate, rng: &mut Rng) -> (Columns, Columns) {
    let mut touches = Touches::default();
    let mut lines = Lines::default();
    let shares = if month >= IMPROVED { AFTER } else { BEFORE };
    for customer in customers {
        if month < customer.first_month || customer.leaves && month >= IMPROVED {
            continue;
        }
        if month == customer.first_month || rng.f64() < BUYS {
            let uplift = if month >= MONTHS - 6 { UPLIFT } else { 1.0 };
            let amount = customer.spend * uplift * (0.5 + rng.f64());
            lines.push(&customer.id, format!("order-{month:02}-{}", customer.id), instant(start, rng), amount);
        }
        if rng.f64() < 0.10 {
            // Half of the answers are the customer's usual one: people who answer twice agree with themselves.
            let mood = if rng.bool() { customer.mood } else { rng.f64() };
            let answer = match mood {
                mood if mood < shares.0 => rng.i64(0..=6),
                mood if mood < 1.0 - shares.1 => rng.i64(7..=8),
                _ => rng.i64(9..=10),
            };
            touches.push(&customer.id, instant(start, rng), "survey", Some(answer), None);
        }
        if rng.f64() < 0.15 {
            let cost = CONTACT * (0.5 + rng.f64());
            touches.push(&customer.id, instant(start, rng), "phone", None, Some(cost));
        }
    }
    (touches.finish(), lines.finish())
}

/// Some time of the month, in microseconds UTC; never so late that Rome has the next month already.
fn instant(start: NaiveDate, rng: &mut Rng) -> i64 {
    let midnight = start.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
    let days = i64::from(start.num_days_in_month());
    midnight + rng.i64(0..days * 86_400 - 7_200) * 1_000_000
}

#[derive(Default)]
struct Lines {
    customer: StringBuilder,
    order: StringBuilder,
    at: Vec<i64>,
    amount: Vec<i128>,
}

impl Lines {
    fn push(&mut self, customer: &str, order: String, at: i64, amount: f64) {
        self.customer.append_value(customer);
        self.order.append_value(order);
        self.at.push(at);
        self.amount.push((amount * 100.0).round() as i128);
    }

    fn finish(mut self) -> Columns {
        let mut amount = decimals();
        self.amount.iter().for_each(|cents| amount.append_value(*cents));
        vec![
            ("customer_id", Arc::new(self.customer.finish())),
            ("order_id", Arc::new(self.order.finish())),
            ("ordered_at", Arc::new(TimestampMicrosecondArray::from(self.at).with_timezone("UTC"))),
            ("amount", Arc::new(amount.finish())),
        ]
    }
}

#[derive(Default)]
struct Touches {
    customer: StringBuilder,
    at: Vec<i64>,
    channel: StringBuilder,
    nps: Int64Builder,
    cost: Vec<Option<i128>>,
}

impl Touches {
    fn push(&mut self, customer: &str, at: i64, channel: &str, nps: Option<i64>, cost: Option<f64>) {
        self.customer.append_value(customer);
        self.at.push(at);
        self.channel.append_value(channel);
        self.nps.append_option(nps);
        self.cost.push(cost.map(|cost| (cost * 100.0).round() as i128));
    }

    fn finish(mut self) -> Columns {
        let mut cost = decimals();
        self.cost.iter().for_each(|cents| cost.append_option(*cents));
        vec![
            ("customer_id", Arc::new(self.customer.finish())),
            ("occurred_at", Arc::new(TimestampMicrosecondArray::from(self.at).with_timezone("UTC"))),
            ("channel", Arc::new(self.channel.finish())),
            ("nps", Arc::new(self.nps.finish())),
            ("service_cost", Arc::new(cost.finish())),
        ]
    }
}

fn decimals() -> Decimal128Builder {
    Decimal128Builder::new().with_precision_and_scale(18, 2).expect("a valid precision")
}

fn write(folder: &Path, name: &str, columns: Columns) -> Result<()> {
    fs::create_dir_all(folder)?;
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(fs::File::create(folder.join(name))?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planted_is_what_the_constants_say() {
        let truth = |metric, window| planted().into_iter().find(|row| (row.0, row.1) == (metric, window)).unwrap().2;
        assert!((truth("nps_change", "T3M") - 10.0).abs() < 1e-9);
        assert!((truth("nrr", "T6M") - 1.0176).abs() < 1e-9);
        assert!((truth("retention", "T3M") - 0.91264).abs() < 1e-9);
    }
}
