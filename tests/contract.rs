//! How raw values become contract values: names, types, times, folders.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use serde_json::Value;
use tests::{CONFIG, Lake, NOW, cents, instant, sales};

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Order lines whose times are of any type; each line is worth one unit more than the one before.
async fn orders(lake: &Lake, key: &str, times: ArrayRef) {
    let lines: Vec<String> = (0..times.len()).map(|line| format!("{key}-{line}")).collect();
    let customers = StringArray::from(vec!["ann"; times.len()]);
    lake.put_columns(
        key,
        vec![
            ("customer_id", Arc::new(customers)),
            ("order_id", Arc::new(StringArray::from(lines))),
            ("ordered_at", times.clone()),
            ("amount", cents((0..times.len()).map(|line| Some(100 + line as i64)))),
        ],
    )
    .await;
}

async fn summary(lake: &Lake, config: &str, period: &str) -> engine::Result<Value> {
    let month = period.parse().expect("a month");
    lake.open(config).await?.run(Some(month), instant(NOW), &|_| {}).await?;
    let summary = lake.get(&format!("out/summaries/files/{period}/summary.json")).await;
    Ok(serde_json::from_slice(&summary.expect("a summary")).expect("valid JSON"))
}

fn number(summary: &Value, metric: &str, window: &str) -> Option<f64> {
    let mut rows = summary["estimates"].as_array().expect("estimates").iter();
    let is_it = |row: &&Value| row["metric"] == metric && row["window"] == window && row["segment"] == "(all)";
    rows.find(is_it).expect("the metric")["value"].as_f64()
}

/// A sales-only lake whose December is closed, in Rome.
const SALES_ONLY: &str = r#"
timezone = "Europe/Rome"
currency = "EUR"
lake.sales = "sales/"
output.url = "out/"
guards.enabled = false
privacy.min_customers = 0
"#;

#[tokio::test]
async fn a_time_of_any_type_falls_into_its_local_month() {
    // 23:30 UTC of 30 November is December in Rome for an instant, and November for a local time.
    let cases: Vec<(&str, &str, ArrayRef, f64)> = vec![
        (
            "text with an offset",
            "",
            texts(&["2024-11-30T23:30:00Z", "2024-11-30T22:30:00Z", "2024-12-31T09:00:00+01:00"]),
            1.00 + 1.02,
        ),
        (
            "text without an offset",
            "naive_timezone = 'Europe/Rome'",
            texts(&["2024-12-01 00:00:00", "2024-11-30 23:59:59", "2024-12-31 10:00:00"]),
            1.00 + 1.02,
        ),
        ("text of a date", "", texts(&["2024-12-01", "2024-11-30", "2024-12-31"]), 1.00 + 1.02),
        (
            "a skipped and a repeated hour",
            "naive_timezone = 'Europe/Rome'",
            texts(&["2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-12-31 10:00:00"]),
            1.02,
        ),
        ("dates", "", Arc::new(Date32Array::from(vec![20_058, 20_057, 20_088])), 1.00 + 1.02),
        (
            "milliseconds of UTC",
            "",
            Arc::new(
                TimestampMillisecondArray::from(vec![1_733_009_400_000, 1_733_005_800_000, 1_735_632_000_000])
                    .with_timezone("UTC"),
            ),
            1.00 + 1.02,
        ),
        (
            "nanoseconds without a zone",
            "naive_timezone = 'Europe/Rome'",
            Arc::new(TimestampNanosecondArray::from(vec![
                1_733_011_200_000_000_000,
                1_733_011_199_999_999_999,
                1_735_632_000_000_000_000,
            ])),
            1.00 + 1.02,
        ),
    ];
    for (name, method, times, want) in cases {
        let lake = Lake::default();
        orders(&lake, "sales/a.parquet", times).await;
        let config = format!("{SALES_ONLY}\n[method]\n{method}");
        let summary = summary(&lake, &config, "2024-12").await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let revenue = number(&summary, "revenue", "MONTH").expect(name);
        assert!((revenue - want).abs() < 1e-9, "{name}: {revenue}");
        assert_eq!(number(&summary, "rejected_rows", "ALL"), Some(0.0), "{name}");
    }
}

#[tokio::test]
async fn a_sales_only_lake_says_that_experience_is_not_applicable() {
    let lake = Lake::default();
    orders(&lake, "sales/a.parquet", texts(&["2024-12-01", "2024-12-31"])).await;
    let summary = summary(&lake, SALES_ONLY, "2024-12").await.unwrap();
    let rows = summary["estimates"].as_array().unwrap();
    let nps: Vec<_> = rows.iter().filter(|row| row["metric"] == "nps").map(|row| row["status"].as_str()).collect();
    assert_eq!(nps, [Some("not_applicable"); 4], "two windows, for everybody and for those without a segment");
}

#[tokio::test]
async fn every_metric_has_a_value_or_a_status_however_little_there_is() {
    let names = |summary: &Value| {
        let rows = summary["estimates"].as_array().unwrap().clone();
        for row in &rows {
            assert_eq!(row["status"] == "ok", row["value"].is_number(), "{row}");
        }
        let all = rows.into_iter().filter(|row| row["segment"] == "(all)");
        let name = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        all.map(|row| ["section", "metric", "window", "method", "outcome"].map(|key| name(&row, key)))
            .collect::<BTreeSet<_>>()
    };
    let status = |summary: &Value, metric: &str| {
        let rows = summary["estimates"].as_array().unwrap();
        let row = rows.iter().find(|row| row["metric"] == metric && row["segment"] == "(all)").unwrap();
        row["status"].as_str().unwrap().to_owned()
    };
    let full = summary(&Lake::seven_months().await, CONFIG, "2024-12").await.unwrap();
    let every = names(&full);
    // No categories, no sessions, no tasks, and seven months of history.
    for (metric, want) in [
        ("aov", "ok"),
        ("customer_coverage", "insufficient_history"),
        ("cross_sell_rate", "insufficient_history"),
        ("multi_category_rate", "not_applicable"),
        ("conversion", "insufficient_n"),
        ("task_success", "insufficient_n"),
        ("csat_top2", "insufficient_n"),
    ] {
        assert_eq!(status(&full, metric), want, "{metric}");
    }
    let day = "2024-12-30T10:00:00Z";
    let lakes: [(&str, &[tests::Line<'_>]); 4] = [
        ("one row", &[(Some("ann"), "1", day, 500)]),
        ("one refund", &[(Some("ann"), "1", day, -500)]),
        ("one customer", &[(Some("ann"), "1", "2023-01-05T10:00:00Z", 500), (Some("ann"), "2", day, 700)]),
        ("nobody", &[(None, "1", day, 500)]),
    ];
    for (name, lines) in lakes {
        let lake = Lake::default();
        lake.sales("sales/a.parquet", lines).await;
        let summary = summary(&lake, SALES_ONLY, "2024-12").await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(names(&summary), every, "{name}");
        for metric in ["csat_top2", "ces_mean", "response_rate", "conversion", "customer_coverage"] {
            assert_eq!(status(&summary, metric), "not_applicable", "{name}: {metric}");
        }
    }
}

#[tokio::test]
async fn a_lake_of_answers_alone_has_no_response_rate() {
    let lake = Lake::seven_months().await;
    let rates = async || {
        let summary = summary(&lake, CONFIG, "2024-12").await.unwrap();
        let rows = summary["estimates"].as_array().unwrap().clone();
        rows.into_iter().filter(|row| row["metric"] == "response_rate").collect::<Vec<Value>>()
    };
    // Everybody who was met answered each time; of those whom the list does not have nobody was.
    let alone = rates().await;
    for (segment, status) in [("(all)", "not_applicable"), ("home", "not_applicable"), ("(unknown)", "insufficient_n")]
    {
        let row = alone.iter().find(|row| row["segment"] == segment).expect("the segment");
        assert_eq!(row["status"], status, "{row}");
        let flagged = row["flags"].as_array().is_some_and(|flags| flags.contains(&"only_answers".into()));
        assert_eq!(flagged, status == "not_applicable", "{row}");
    }
    // One contact without an answer, and what is not answered is known of.
    lake.interactions("interactions/call.parquet", &[(Some("dee"), "2024-12-12T10:00:00Z", None, Some(100))]).await;
    let rates = rates().await;
    let all = rates.iter().find(|row| row["segment"] == "(all)").expect("everybody");
    assert_eq!((&all["value"], &all["customers"]), (&0.75.into(), &4.into()), "{all}");
}

#[tokio::test]
async fn an_amount_with_more_digits_than_its_type_is_damage() {
    for column in ["amount", "margin"] {
        let lake = Lake::seven_months().await;
        let key = "sales/month=2024-12/damaged.parquet";
        let mut columns = sales(&[(Some("ann"), "damaged", "2024-12-05T10:00:00Z", 100)]);
        columns.retain(|(name, _)| *name != column);
        let many: ArrayRef = cents(std::iter::once(Some(1_000_000_000_000_000_000)));
        columns.push((column, many));
        lake.put_columns(key, columns).await;
        let error = lake.run().await.unwrap_err();
        assert_eq!(error.kind(), "Input", "{error}");
        let said = error.to_string();
        assert!(
            said.contains(key) && said.contains(&format!("`{column}`")) && said.contains("DECIMAL(18, 2)"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn columns_that_only_folders_name_are_read_from_them() {
    let lake = Lake::seven_months().await;
    for currency in ["EUR", "USD"] {
        let key = format!("sales/currency={currency}/extra.parquet");
        lake.sales(&key, &[(Some("ann"), currency, "2024-12-05T10:00:00Z", 100)]).await;
    }
    let error = lake.run().await.unwrap_err().to_string();
    assert!(error.contains("EUR (1 line), USD (1 line)"), "{error}");
    lake.delete("sales/currency=USD/extra.parquet").await;
    lake.run().await.unwrap();
}

#[tokio::test]
async fn leftovers_of_writers_are_not_read() {
    let lake = Lake::seven_months().await;
    let before = lake.run().await.unwrap();
    lake.sales("sales/_temporary/0/part-1.parquet", &[(Some("ann"), "t", "2024-12-05T10:00:00Z", 100)]).await;
    lake.put("sales/.part-0.parquet.crc", "x").await;
    assert_eq!(lake.run().await.unwrap().pointer, before.pointer);
}

#[tokio::test]
async fn a_file_without_rows_makes_no_month_stale() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    lake.sales("sales/empty.parquet", &[]).await;
    assert!(lake.run().await.unwrap().months_read.is_empty());
}

#[tokio::test]
async fn an_empty_text_is_no_id() {
    let lake = Lake::seven_months().await;
    let lines = [(Some(""), "e-1", "2024-12-05T10:00:00Z", 100), (Some(""), "e-2", "2024-12-06T10:00:00Z", 200)];
    let columns = sales(&lines).into_iter().chain([("line_id", texts(&["", ""]))]);
    lake.put_columns("sales/empty-ids.parquet", columns.collect()).await;
    let with = summary(&lake, CONFIG, "2024-12").await.unwrap();
    // Both lines count as revenue, neither as a copy of the other, and nobody is their customer.
    assert_eq!(number(&with, "revenue", "MONTH"), Some(136.47));
    assert_eq!(number(&with, "duplicate_rows", "ALL"), Some(0.0));
    assert_eq!(number(&with, "retained_customers", "T3M"), Some(5.0));
}

#[tokio::test]
async fn a_column_that_one_file_spells_otherwise_is_refused() {
    let lake = Lake::seven_months().await;
    let renamed = |from: &str, to: &'static str| {
        let line = [(Some("ann"), "r-1", "2024-12-05T10:00:00Z", 100)];
        sales(&line)
            .into_iter()
            .map(|(name, column)| (if name == from { to } else { name }, column))
            .collect::<Vec<_>>()
    };
    let columns: Vec<(&str, ArrayRef)> =
        renamed("customer_id", "customerId").into_iter().map(|(name, column)| (leak(name), column)).collect();
    lake.put_columns("sales/spelt.parquet", columns).await;
    let error = lake.run().await.unwrap_err().to_string();
    assert!(error.contains("is called `customerId` in memory://lake/sales/spelt.parquet"), "{error}");
    let columns: Vec<(&str, ArrayRef)> =
        renamed("customer_id", "client").into_iter().map(|(name, column)| (leak(name), column)).collect();
    lake.put_columns("sales/spelt.parquet", columns).await;
    let error = lake.run().await.unwrap_err().to_string();
    assert!(error.contains("sales/spelt.parquet has no column `customer_id`"), "{error}");
}

/// Names of made-up columns live as long as the test.
fn leak(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

#[tokio::test]
async fn whole_and_floating_answers_meet_and_what_is_off_the_scale_is_no_answer() {
    let lake = Lake::seven_months().await;
    let answers = Float64Array::from(vec![Some(10.0), Some(11.0), Some(7.5), Some(f64::NAN), None]);
    lake.put_columns(
        "interactions/floats.parquet",
        vec![
            ("customer_id", texts(&["ann", "bob", "cas", "dee", "eve"])),
            ("occurred_at", tests::instants(["2024-12-20T10:00:00Z"; 5].into_iter())),
            ("nps", Arc::new(answers)),
        ],
    )
    .await;
    let summary = summary(&lake, CONFIG, "2024-12").await.unwrap();
    assert_eq!(number(&summary, "invalid_nps", "ALL"), Some(3.0));
    assert_eq!(number(&summary, "rejected_rows", "ALL"), Some(0.0));
}

#[tokio::test]
async fn staging_that_looks_at_other_tables_is_followed_there() {
    let lake = Lake::seven_months().await;
    let config = CONFIG.replace("customers/\" }", "customers/\" }\nraw.rates = \"rates/\"\nsql.overlay = \"sql/\"");
    let rate = |percent: i64| -> Vec<(&str, ArrayRef)> { vec![("percent", Arc::new(Int64Array::from(vec![percent])))] };
    lake.put_columns("rates/r.parquet", rate(50)).await;
    let staging = "select customer_id, order_id, ordered_at, \
                   amount * (select max(percent) from raw.rates) / 100 as amount from raw.sales";
    lake.put("sql/staging/sales.sql", staging).await;
    let half = summary(&lake, &config, "2024-12").await.unwrap();
    let revenue = number(&half, "revenue", "MONTH").unwrap();
    assert!((revenue - 133.47 / 2.0).abs() < 0.001, "{revenue}");
    // Another rate makes every month stale.
    lake.put_columns("rates/r.parquet", rate(100)).await;
    let whole = summary(&lake, &config, "2024-12").await.unwrap();
    assert_eq!(number(&whole, "revenue", "MONTH"), Some(133.47));
}

#[tokio::test]
async fn a_month_is_closed_by_rows_that_can_be_used_only() {
    let lake = Lake::default();
    orders(&lake, "sales/a.parquet", Arc::new(StringArray::from(vec!["2024-12-10T10:00:00Z"; 200]))).await;
    let lines = [(Some("ann"), "late", "2024-12-31T10:00:00Z", 100)];
    let mut columns = sales(&lines);
    columns.retain(|(name, _)| *name != "amount" && *name != "ordered_at");
    columns.push(("ordered_at", texts(&["2024-12-31T10:00:00Z"])));
    columns.push(("amount", cents([None].into_iter())));
    lake.put_columns("sales/b.parquet", columns).await;
    let error = summary(&lake, SALES_ONLY, "2024-12").await.unwrap_err();
    assert!(matches!(error, engine::Error::NotReady(_)), "{error}");
}

#[tokio::test]
async fn copies_of_a_row_are_dropped_and_rows_without_consent_are_left_out() {
    let lake = Lake::seven_months().await;
    let lines = [
        (Some("ann"), "c-1", "2024-12-05T10:00:00Z", 100),
        (Some("ann"), "c-1", "2024-12-05T10:00:00Z", 100),
        (Some("ann"), "c-1", "2024-12-05T10:00:00Z", 300),
        (Some("ann"), "c-1", "2024-12-05T10:00:00Z", 200),
    ];
    // The first two are the same row, the third has the id of another with other content, the last is another line.
    let columns = sales(&lines).into_iter().chain([("line_id", texts(&["1", "1", "1", "2"]))]);
    lake.put_columns("sales/copies.parquet", columns.collect()).await;
    let consent = arrow::array::BooleanArray::from(vec![Some(false), Some(true), None]);
    lake.put_columns(
        "interactions/consent.parquet",
        vec![
            ("customer_id", texts(&["ann", "bob", "cas"])),
            ("occurred_at", tests::instants(["2024-12-20T10:00:00Z"; 3].into_iter())),
            ("service_cost", cents([Some(100_000), Some(150), Some(150)].into_iter())),
            ("consent", Arc::new(consent)),
        ],
    )
    .await;
    let summary = summary(&lake, CONFIG, "2024-12").await.unwrap();
    assert_eq!(number(&summary, "revenue", "MONTH"), Some(133.47 + 3.0));
    assert_eq!(number(&summary, "duplicate_rows", "ALL"), Some(2.0));
    // bob 4.50 in each of three months and 1.50, cas 0 in each and 1.50: 16.50 over 8 contacts.
    assert_eq!(number(&summary, "cost_per_contact", "T3M"), Some(16.5 / 8.0));
    let manifest = lake.keys("out/runs").await.into_iter().find(|key| key.ends_with("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&lake.get(&manifest).await.unwrap()).unwrap();
    assert_eq!(manifest["rows"]["sales"]["conflicting"], 1);
    assert_eq!(manifest["rows"]["interactions"]["no_consent"], 1);
}
