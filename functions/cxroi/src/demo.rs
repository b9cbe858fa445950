//! `cxroi demo`: a made-up company whose truth is known, so that a newcomer sees what the numbers mean.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, Decimal128Builder, Int64Builder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use chrono::{Datelike, Months, NaiveDate};
use engine::{Error, Stores};
use fastrand::Rng;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::arguments::Lake;
use crate::run::Refresh;
use crate::show;

/// Months of history; the last one is reported.
const MONTHS: u32 = 24;
/// The first month whose customers answer and spend as `AFTER` says.
const IMPROVED: u32 = 21;
/// The share of customers that leave before the last three months.
const LEAVERS: f64 = 0.08;
/// The chance that a customer buys in a month.
const BUYS: f64 = 0.8;
/// The factor by which orders of the last six months are worth more than those before.
const UPLIFT: f64 = 1.06;
/// Detractors and promoters among the answers, before and after the improvement.
const BEFORE: (f64, f64) = (0.30, 0.40);
const AFTER: (f64, f64) = (0.25, 0.45);
/// Customers who came in the last three months, as a share of all.
const NEWCOMERS: f64 = 0.05;
/// What a service contact costs on average.
const CONTACT: f64 = 6.0;
/// What an answer does to the order of the month after it, if there is one: `BELOW` less for each point below
/// `EXPECTED`, `ABOVE` more for each point above it. It does nothing later.
const EXPECTED: f64 = 7.5;
const BELOW: f64 = 2.0;
const ABOVE: f64 = 1.0;
/// How much less or more customers who usually give an answer spend in every month, as a multiple of what one such
/// answer does. No answer makes them do it: this is what a placebo is for.
const LASTING: f64 = 1.5;
/// The channels, and the share of the answers there that are the customer's usual one.
const CHANNELS: [(&str, f64); 3] = [("phone", 0.8), ("store", 0.2), ("web", 0.5)];
/// The share of revenue that is margin where sales do not say: the default of `method.default_margin_rate`.
const MARGIN: f64 = 0.35;
/// The programme, its months, and whom it calls back: one in `EVERY` of those who came before `CALLED_BEFORE`.
const PROGRAMME: &str = "callback";
const CALLED_BACK: std::ops::Range<u32> = 15..21;
const CALLED_BEFORE: u32 = 9;
const EVERY: u32 = 8;
/// How much more an order of theirs is worth in its months, and what it costs for each customer and month.
const CALLED: f64 = 10.0;
const CALL: f64 = 1.4;
/// The answers of each band, from and to.
const ANSWERS: [(i64, i64); 3] = [(0, 6), (7, 8), (9, 10)];

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
    crate::run::run(&lake, None, None, Refresh::default()).await?;
    let stores = Stores::default();
    let (_, summary) = engine::summary(&crate::configuration(&lake, None, &stores).await?, &stores, None).await?;
    let config = config.display();
    show::say(&format!(
        "\n{}\nWhat next:\n  cxroi show --config {config} --segments\n  cxroi sql --config {config}\n",
        planted_beside_recovered(&summary)?
    ))
}

/// What an answer does to the next month's order.
fn effect(answer: f64) -> f64 {
    let above = answer - EXPECTED;
    above * if above < 0.0 { BELOW } else { ABOVE }
}

/// The mean of a number over the answers of a band.
fn mean(band: usize, of: impl Fn(f64) -> f64) -> f64 {
    let (first, last) = ANSWERS[band];
    (first..=last).map(|answer| of(answer as f64)).sum::<f64>() / (last - first + 1) as f64
}

/// The slope of first differences that is planted: how much more is spent in the month after an answer for each point
/// that it is above the answer before. In one of four pairs, both are the customer's usual answer, and so of one band.
fn slope() -> f64 {
    let shares = [BEFORE.0, 1.0 - BEFORE.0 - BEFORE.1, BEFORE.1];
    let expected = |of: &dyn Fn(f64) -> f64| (0..3).map(|band| shares[band] * mean(band, of)).sum::<f64>();
    let covariance = |of: &dyn Fn(f64) -> f64| {
        let within = (0..3).map(|band| shares[band] * (mean(band, |x| of(x) * x) - mean(band, of) * mean(band, |x| x)));
        let all = expected(&|x| of(x) * x) - expected(of) * expected(&|x| x);
        0.75 * all + 0.25 * within.sum::<f64>()
    };
    BUYS * covariance(&effect) / covariance(&|x| x)
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

/// What calling back brings, by customer and month.
fn brought() -> f64 {
    MARGIN * BUYS * CALLED
}

fn planted_beside_recovered(summary: &str) -> Result<String> {
    let summary: Value = serde_json::from_str(summary).context("the summary is damaged")?;
    let currency = summary["currency"].as_str().unwrap_or_default();
    let rows = summary["estimates"].as_array().context("the summary has no estimates")?;
    let find = |name: &[(&str, Value)]| {
        let is_it = |row: &&Value| row["segment"] == "(all)" && name.iter().all(|(key, value)| row[*key] == *value);
        rows.iter().find(is_it).ok_or_else(|| Error::Input(format!("the summary has no {name:?}")))
    };
    let text = |text: &str| Value::from(text);
    let of_nps =
        |metric: &str, method: &str| vec![("metric", text(metric)), ("method", text(method)), ("score", text("nps"))];
    let mut table = format!("{:<28} {:>11} {:>11}  {:<26} {}\n", "", "planted", "recovered", "95 % interval", "");
    let mut line = |name: &str, truth: f64, row: &Value| {
        let unit = row["unit"].as_str().unwrap_or_default();
        let figure = |value: f64| engine::figure(value, unit, currency);
        let number = |key: &str| row[key].as_f64();
        let interval = number("lo").zip(number("hi"));
        table.push_str(&format!(
            "{name:<28} {:>11} {:>11}  {:<26} {}\n",
            figure(truth),
            number("value").map_or_else(|| row["status"].as_str().unwrap_or_default().to_owned(), figure),
            interval.map(|(lo, hi)| format!("{} to {}", figure(lo), figure(hi))).unwrap_or_default(),
            match interval {
                Some((lo, hi)) if lo <= truth && truth <= hi => "holds the truth",
                Some(_) => "misses the truth (1 in 20 does)",
                None => "no interval",
            },
        ));
    };
    for (metric, window, truth) in planted() {
        line(&format!("{metric} {window}"), truth, find(&[("metric", text(metric)), ("window", text(window))])?);
    }
    let lag = |lag: i64| [of_nps("slope", "first_difference_gap5"), vec![("lag", Value::from(lag))]].concat();
    line("first difference, lag 1", slope(), find(&lag(1))?);
    line("first difference, lag 2", 0.0, find(&lag(2))?);
    line("slope_ratio below to above", BELOW / ABOVE, find(&of_nps("slope_ratio", "fieller"))?);
    let of_programme = |metric: &str| {
        find(&[("initiative", text(PROGRAMME)), ("metric", text(metric)), ("method", text("stratified"))])
    };
    line("programme callback, effect", brought(), of_programme("did_net_value")?);
    line("programme callback, ROI", brought() / CALL - 1.0, of_programme("roi")?);

    let (penalty, reward) = (find(&of_nps("penalty", "ancova"))?, find(&of_nps("reward", "ancova"))?);
    let ratio = penalty["value"].as_f64().zip(reward["value"].as_f64()).map(|(penalty, reward)| penalty / reward);
    let said = |ratio: Option<f64>| ratio.map_or_else(|| "not known".to_owned(), |ratio| format!("{ratio:.2}"));
    let true_ratio = (mean(1, effect) - mean(0, effect)) / (mean(2, effect) - mean(1, effect));
    table.push_str(&format!(
        "{:<28} {true_ratio:>11.2} {:>11}  of two estimates, no interval\n",
        "penalty : reward",
        said(ratio)
    ));
    let shares = rows.iter().filter(|row| row["metric"] == "lmg" && row["segment"] == "(all)");
    let shares = shares.filter(|row| row["score"] == "nps" && row["outcome"] == "revenue");
    let strongest = shares.filter_map(|row| Some((row["value"].as_f64()?, row["driver"].as_str()?)));
    let strongest = strongest.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let strongest = strongest.map_or("not known", |(_, driver)| driver);
    table.push_str(&format!(
        "{:<28} {:>11} {strongest:>11}\n",
        "strongest driver",
        format!("channel:{}", CHANNELS[0].0)
    ));

    let outcome = |outcome: &str| find(&[of_nps("slope", "ancova"), vec![("outcome", text(outcome))]].concat());
    let value = |row: &Value| {
        let unit = row["unit"].as_str().unwrap_or_default();
        row["value"].as_f64().map_or_else(|| "not known".to_owned(), |value| engine::figure(value, unit, currency))
    };
    let point = find(&of_nps("nps_point_value_total", "mean"))?;
    let true_point = find(&[("metric", text("active_customers"))])?["value"].as_f64().map_or_else(
        || "not known".to_owned(),
        |active| {
            let worth = 0.01 * active * 0.5 * MARGIN * BUYS * (mean(2, effect) - mean(0, effect));
            engine::figure(worth, "money", currency)
        },
    );
    Ok(format!(
        "{table}
Where a naive reading goes wrong: customers who answer one point higher spend {} more a month over six months, all else equal,
but {} of that they spent before they answered (the placebo); an answer itself moves one month of six, {} a month. In
the same way one point of NPS seems worth {}, and {} of it is what answers do. First differences compare each
customer with themselves, and see through that.
",
        value(outcome("revenue_6m")?),
        value(outcome("placebo")?),
        engine::figure(slope() / 6.0, "money", currency),
        value(point),
        true_point,
    ))
}

const CONFIG: &str = r#"# The demo: a made-up company. `cxroi run --config` this file again to see that nothing changes.
timezone = "Europe/Rome"
currency = "EUR"

[lake]
interactions = "lake/interactions/"
sales = "lake/sales/"
customers = "lake/customers/"
initiatives = "lake/initiatives.json"
assignments = "lake/assignments/"

[output]
url = "out/"

[privacy]
min_customers = 0               # everybody here is made up; leave it out for people, and numbers about few are withheld
"#;

struct Customer {
    id: String,
    segment: &'static str,
    first_month: u32,
    leaves: bool,
    spend: f64,
    /// Their usual answer, as a uniform number to hold against the shares of the month.
    mood: f64,
    /// What the answer of the month before does to the order of this one.
    moved: f64,
    is_called_back: bool,
}

/// The band of a mood.
fn band(mood: f64, (detractors, promoters): (f64, f64)) -> usize {
    usize::from(mood >= detractors) + usize::from(mood >= 1.0 - promoters)
}

/// Writes the lake and returns its rows. The same seed and size give the same rows.
fn write_lake(folder: &Path, customers: u32) -> Result<u64> {
    let mut rng = Rng::with_seed(7);
    let mut customers: Vec<Customer> = (0..customers).map(|number| customer(number, &mut rng)).collect();
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
    let called: Vec<&Customer> = customers.iter().filter(|customer| customer.is_called_back).collect();
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(called.iter().map(|customer| &customer.id)));
    let all = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(called.iter().map(|_| text))) };
    let columns = vec![("initiative", all(PROGRAMME)), ("customer_id", ids), ("arm", all("treated"))];
    write(&folder.join("lake/assignments"), "assignments.parquet", columns)?;
    let first = NaiveDate::from_ymd_opt(2023, 1, 1).context("a date")?;
    let programme = json!([{
        "initiative": PROGRAMME,
        "starts_on": first + Months::new(CALLED_BACK.start),
        "ends_on": (first + Months::new(CALLED_BACK.end)).pred_opt(),
        "cost_per_month": (CALL * called.len() as f64 * 100.0).round() / 100.0,
    }]);
    fs::write(folder.join("lake/initiatives.json"), programme.to_string())?;
    let mut rows = (customers.len() + called.len() + 1) as u64;
    for month in 0..MONTHS {
        let start = first + Months::new(month);
        let folder_name = format!("month={}-{:02}", start.year(), start.month());
        let (interactions, sales) = write_month(&mut customers, month, start, &mut rng);
        rows += (interactions[0].1.len() + sales[0].1.len()) as u64;
        write(&folder.join("lake/interactions").join(&folder_name), "part-0.parquet", interactions)?;
        write(&folder.join("lake/sales").join(&folder_name), "part-0.parquet", sales)?;
    }
    Ok(rows)
}

fn customer(number: u32, rng: &mut Rng) -> Customer {
    let newcomer = rng.f64() < NEWCOMERS;
    let mut customer = Customer {
        id: format!("customer-{number:06}"),
        segment: match rng.u32(0..10) {
            0 => "enterprise",
            1..=3 => "business",
            _ => "consumer",
        },
        first_month: if newcomer { rng.u32(IMPROVED..MONTHS) } else { rng.u32(0..12) },
        leaves: !newcomer && rng.f64() < LEAVERS,
        spend: 50.0 + 60.0 * rng.f64() * rng.f64(),
        mood: rng.f64(),
        moved: 0.0,
        is_called_back: false,
    };
    customer.is_called_back = number.is_multiple_of(EVERY) && customer.first_month < CALLED_BEFORE;
    customer
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn write_month(customers: &mut [Customer], month: u32, start: NaiveDate, rng: &mut Rng) -> (Columns, Columns) {
    let mut touches = Touches::default();
    let mut lines = Lines::default();
    let shares = if month >= IMPROVED { AFTER } else { BEFORE };
    for customer in customers {
        if month < customer.first_month || customer.leaves && month >= IMPROVED {
            continue;
        }
        if month == customer.first_month || rng.f64() < BUYS {
            let uplift = if month >= MONTHS - 6 { UPLIFT } else { 1.0 };
            let lasting = LASTING * mean(band(customer.mood, BEFORE), effect);
            let amount = (customer.spend + lasting) * uplift * (0.5 + rng.f64()) + customer.moved;
            let called = if customer.is_called_back && CALLED_BACK.contains(&month) { CALLED } else { 0.0 };
            lines.push(&customer.id, format!("order-{month:02}-{}", customer.id), instant(start, rng), amount + called);
        }
        customer.moved = 0.0;
        if rng.f64() < 0.10 {
            // Half of the answers are the customer's usual one: people who answer twice agree with themselves.
            let (channel, usual) = CHANNELS[rng.usize(0..CHANNELS.len())];
            let mood = if rng.f64() < usual { customer.mood } else { rng.f64() };
            let (first, last) = ANSWERS[band(mood, shares)];
            let answer = rng.i64(first..=last);
            customer.moved = effect(answer as f64);
            touches.push(&customer.id, instant(start, rng), channel, Some(answer), None);
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
        // Means of the bands are 3, 7.5 and 9.5.
        assert_eq!([mean(0, effect), mean(1, effect), mean(2, effect)], [-9.0, -0.25, 2.0]);
        assert_eq!([0.0, 0.29, 0.31, 0.59, 0.61, 1.0].map(|mood| band(mood, BEFORE)), [0, 0, 1, 1, 2, 2]);
    }
}
