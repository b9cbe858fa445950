//! What is refused, and whether the message names the thing and the fix. Nothing is written then.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use engine::{Engine, Error};
use tests::{CONFIG, Lake, NOW, cents, instant, instants, sales};

/// The message of a run that must fail, after checking that it left nothing behind.
async fn refused(lake: &Lake, config: &str) -> String {
    let error = match lake.open(config).await {
        Ok(engine) => run(&engine).await.expect_err("the run must be refused"),
        Err(error) => error,
    };
    let error = error.to_string();
    assert_eq!(lake.keys("out").await, Vec::<String>::new(), "{error}");
    error
}

async fn run(engine: &Engine) -> engine::Result<engine::Outcome> {
    engine.run(None, instant(NOW), &|_| {}).await
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[tokio::test]
async fn a_bad_configuration_lists_every_problem() {
    let lake = Lake::seven_months().await;
    let message = refused(&lake, "timezone = 'Rome'\ncurency = 'EUR'").await;
    says(
        &message,
        &[
            "cxroi.toml: ",
            "`timezone` is not a time zone: `Rome`",
            "did you mean `currency`?",
            "`lake.sales` is missing",
        ],
    );
}

#[tokio::test]
async fn a_table_of_thousands_of_columns_is_refused_before_it_is_planned() {
    let lake = Lake::default();
    let names: Vec<String> = (0..=5_000).map(|column| format!("c{column}")).collect();
    lake.put("sales/wide.csv", names.join(",")).await;
    let message = refused(&lake, "currency = 'EUR'\nlake.sales = 'sales/'\noutput.url = 'out/'").await;
    says(&message, &["sales: there are more than 5000 columns", "sales/wide.csv"]);
}

#[tokio::test]
async fn a_missing_column_is_named_with_the_columns_that_there_are() {
    let lake = Lake::seven_months().await;
    let mut columns = sales(&[(Some("ann"), "1", "2024-12-30T10:00:00Z", 100)]);
    columns.retain(|(name, _)| *name != "amount");
    columns.push(("amont", cents([Some(1)].into_iter())));
    for key in lake.keys("sales").await {
        lake.put_columns(&key, columns.clone().into_iter().chain([("n", text(&key))]).collect()).await;
    }
    let message = refused(&lake, CONFIG).await;
    says(
        &message,
        &["column `amount` is missing; did you mean `amont`?", "customer_id, order_id", "sql/staging/sales.sql"],
    );
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

#[tokio::test]
async fn an_empty_lake_is_named() {
    says(
        &refused(&Lake::default(), CONFIG).await,
        &["customers: there is no file below memory://lake/customers", ".parquet, .csv"],
    );
}

#[tokio::test]
async fn a_file_of_no_known_format_is_named() {
    let lake = Lake::seven_months().await;
    lake.put("sales/export.xlsx", "order_id,amount").await;
    says(&refused(&lake, CONFIG).await, &["sales: memory://lake/sales/export.xlsx is not a .parquet, .csv", "move it"]);
}

#[tokio::test]
async fn a_source_of_two_formats_is_refused() {
    let lake = Lake::seven_months().await;
    lake.put("sales/export.csv", "order_id,amount").await;
    says(&refused(&lake, CONFIG).await, &["sales/export.csv and ", "part-0.parquet are not in the same format"]);
}

#[tokio::test]
async fn an_unreadable_file_is_named() {
    for cut in [0, 3, 40, 700] {
        let lake = Lake::seven_months().await;
        let whole = lake.get("sales/month=2024-06/part-0.parquet").await.unwrap();
        lake.put("sales/broken.parquet", whole.slice(..cut)).await;
        says(&refused(&lake, CONFIG).await, &["memory://lake/sales/broken.parquet cannot be read as Parquet"]);
    }
}

#[tokio::test]
async fn an_empty_file_and_one_that_is_not_utf_8_are_said_to_be_so() {
    let config = "currency = 'EUR'\nlake.sales = 'till.csv'\noutput.url = 'out/'";
    let header = "customer_id,order_id,ordered_at,amount\n";
    let lake = Lake::default();
    lake.put("till.csv", "").await;
    says(&refused(&lake, config).await, &["till.csv cannot be read as CSV", "it is empty"]);
    lake.put("till.csv", [header.as_bytes(), b"caf\xe9,1,2024-12-30T10:00:00Z,5\n"].concat()).await;
    says(&refused(&lake, config).await, &["till.csv cannot be read: ", "; save it as UTF-8"]);
    lake.put("till.csv", [&b"caf\xe9,"[..], header.as_bytes()].concat()).await;
    says(&refused(&lake, config).await, &["till.csv cannot be read as CSV: ", "; save it as UTF-8"]);
}

#[tokio::test]
async fn mixed_currencies_are_refused_with_their_counts() {
    let lake = Lake::seven_months().await;
    let line = [(Some("ann"), "usd-1", "2024-11-03T10:00:00Z", 100)];
    lake.put_columns("sales/usd.parquet", sales(&line).into_iter().chain([("currency", text("USD"))]).collect()).await;
    let line = [(Some("ann"), "eur-1", "2024-12-03T10:00:00Z", 100)];
    lake.put_columns("sales/eur.parquet", sales(&line).into_iter().chain([("currency", text("EUR"))]).collect()).await;
    says(&refused(&lake, CONFIG).await, &["EUR (1 line), USD (1 line)", "sql/staging/sales.sql"]);
}

#[tokio::test]
async fn a_month_that_is_not_closed_names_the_feed_and_its_last_row() {
    let lake = Lake::seven_months().await;
    let engine = lake.open(CONFIG).await.unwrap();
    let month = Some("2025-01".parse().unwrap());
    let early = engine.run(month, instant(NOW), &|_| {}).await.unwrap_err();
    says(&early.to_string(), &["2025-01 is not over in Europe/Rome: it ends at 2025-02-01 00:00 CET"]);
    let late = engine.run(month, instant("2025-02-03T00:00:00Z"), &|_| {}).await.unwrap_err();
    assert!(matches!(late, Error::NotReady(_)), "{late}");
    says(&late.to_string(), &["the last row of interactions is of 2024-12-30 11:00 CET", "run.allow_incomplete"]);
    assert_eq!(lake.keys("out").await, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_content_under_two_keys_is_refused() {
    let lake = Lake::seven_months().await;
    let copy = lake.get("sales/month=2024-09/part-0.parquet").await.unwrap();
    lake.put("sales/month=2024-09/copy.parquet", copy).await;
    says(&refused(&lake, CONFIG).await, &["sales/month=2024-09/copy.parquet", "have the same content", "remove one"]);
}

#[tokio::test]
async fn more_than_one_bad_row_in_a_hundred_stops_the_run_with_the_reasons() {
    let lake = Lake::seven_months().await;
    let mut columns = sales(&[(Some("ann"), "n-1", "2024-12-03T10:00:00Z", 1)]);
    columns.retain(|(name, _)| *name != "amount");
    columns.push(("amount", Arc::new(Float64Array::from(vec![f64::NAN]))));
    // The other files have decimals: a lake of two types is refused before any value is looked at.
    lake.put_columns("sales/nan.parquet", columns.clone()).await;
    says(
        &refused(&lake, CONFIG).await,
        &["column `amount` is decimal(18, 2) in", "and double in memory://lake/sales/nan.parquet"],
    );

    for key in lake.keys("sales").await {
        lake.delete(&key).await;
    }
    columns.retain(|(name, _)| *name != "amount" && *name != "ordered_at");
    columns.push(("amount", Arc::new(Float64Array::from(vec![f64::NAN]))));
    columns.push(("ordered_at", instants(["2024-12-30T10:00:00Z"].into_iter())));
    lake.put_columns("sales/nan.parquet", columns.clone()).await;
    columns.retain(|(name, _)| *name != "amount");
    columns.push(("amount", Arc::new(Float64Array::from(vec![12.5]))));
    lake.put_columns("sales/good.parquet", columns).await;
    let engine = lake.open(CONFIG).await.unwrap();
    let message = run(&engine).await.unwrap_err().to_string();
    says(
        &message,
        &["1 of 2 rows of sales was rejected", "amount cannot be read as an amount of money: 1 row", "audit.sales"],
    );
    assert_eq!(lake.keys("out/published").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_staging_file_of_the_users_adapts_other_columns() {
    let lake = Lake::seven_months().await;
    let reference = Lake::seven_months().await;
    reference.run().await.unwrap();
    // The same sales under other names, and the amount in cents.
    for key in lake.keys("sales").await {
        let bytes = lake.get(&key).await.unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let renamed = ["buyer", "receipt", "Sold At", "value"].into_iter().zip(batch.columns().to_vec()).collect();
        lake.put_columns(&key, renamed).await;
    }
    let config = format!("{CONFIG}\nsql.overlay = \"sql/\"");
    says(&refused(&lake, CONFIG).await, &["column `customer_id` is missing"]);
    let staging =
        r#"select buyer as customer_id, receipt as order_id, "Sold At" as ordered_at, value as amount from raw.sales"#;
    lake.put("sql/staging/sales.sql", staging).await;
    run(&lake.open(&config).await.unwrap()).await.unwrap();
    let key = "out/summaries/money/period=2024-12/money.parquet";
    let amounts = |bytes: Option<bytes::Bytes>| {
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes.unwrap()).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        batch.column_by_name("amount").unwrap().clone()
    };
    assert_eq!(&amounts(lake.get(key).await), &amounts(reference.get(key).await));
}

#[tokio::test]
async fn a_broken_overlay_is_named_with_the_place() {
    let lake = Lake::seven_months().await;
    let config = format!("{CONFIG}\nsql.overlay = \"sql/\"");
    lake.put("sql/staging/sales.sql", "select * form raw.sales").await;
    says(&refused(&lake, &config).await, &["staging/sales (memory://lake/sql/staging/sales.sql)", "form"]);
    lake.put("sql/staging/sales.sql", "delete from raw.sales").await;
    says(&refused(&lake, &config).await, &["staging/sales"]);
    lake.delete("sql/staging/sales.sql").await;
    lake.put("sql/measures/npss.sql", "select 1").await;
    says(&refused(&lake, &config).await, &["sql/measures/npss.sql replaces no model; did you mean `measures/nps`?"]);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_with_the_nearest() {
    let lake = Lake::seven_months().await;
    let engine = lake.open(CONFIG).await.unwrap();
    let (analyst, _) = engine.analyst(instant(NOW)).await.unwrap();
    for (table, want) in [
        ("raw.sale", "table 'raw.sale' not found; did you mean `raw.sales`?"),
        ("customers", "table 'customers' not found; did you mean `audit.customers`?"),
        ("raw.nothing_like_it", "table 'raw.nothing_like_it' not found"),
        ("roi.estimates", "table 'roi.estimates' not found; nothing is published yet: `cxroi run` publishes a month"),
    ] {
        let error = analyst.query(&format!("select * from {table}")).await.unwrap_err().strip_backtrace();
        assert_eq!(error, format!("Error during planning: {want}"));
    }
    lake.run().await.unwrap();
    let (analyst, _) = lake.open(CONFIG).await.unwrap().analyst(instant(NOW)).await.unwrap();
    let error = analyst.query("select * from roi.estimate").await.unwrap_err().strip_backtrace();
    assert!(error.ends_with("table 'roi.estimate' not found; did you mean `roi.estimates`?"), "{error}");
}

#[tokio::test]
async fn ad_hoc_sql_cannot_write() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let engine = lake.open(CONFIG).await.unwrap();
    let (analyst, _) = engine.analyst(instant(NOW)).await.unwrap();
    for sql in [
        "drop table raw.sales",
        "create table roi.mine as select 1",
        "insert into raw.sales select * from raw.sales",
        "copy raw.sales to '/tmp/stolen.parquet'",
        "create external table t stored as csv location '/etc/passwd'",
        "set datafusion.execution.batch_size = 1",
        "select * from '/etc/passwd'",
    ] {
        assert!(analyst.query(sql).await.is_err(), "{sql}");
    }
    let rows = analyst.query("select count(*) as n from facts.customer_month where month <= $as_of").await.unwrap();
    assert_eq!(rows.count().await.unwrap(), 1);
}
