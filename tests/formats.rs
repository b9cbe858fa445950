//! Sources that are not Parquet, and the small sources beside the feeds: programmes and finance's ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use engine::Error;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tests::{CONFIG, Lake, NOW, cents, instant, json_lines};

async fn estimates(lake: &Lake, config: &str) -> engine::Result<Vec<Value>> {
    lake.open(config).await?.run(None, instant(NOW), &|_| {}).await?;
    let summary = lake.get("out/summaries/latest/summary.json").await.expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("valid JSON");
    Ok(summary["estimates"].as_array().expect("estimates").clone())
}

fn find<'a>(rows: &'a [Value], metric: &str) -> &'a Value {
    rows.iter().find(|row| row["metric"] == metric && row["segment"] == "(all)").expect("the metric")
}

async fn refused(lake: &Lake, config: &str, parts: &[&str]) {
    let error = estimates(lake, config).await.expect_err("must be refused").to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

/// The same lake with every file written again.
async fn rewritten(ending: &str, write: fn(&RecordBatch) -> Vec<u8>) -> Lake {
    let (from, to) = (Lake::seven_months().await, Lake::default());
    for key in from.keys("").await {
        let bytes = from.get(&key).await.unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            to.put(&key.replace("parquet", ending), write(&batch.unwrap())).await;
        }
    }
    to
}

#[tokio::test]
async fn csv_and_json_give_the_numbers_of_parquet() {
    let want = estimates(&Lake::seven_months().await, CONFIG).await.unwrap();
    assert!(find(&want, "revenue")["value"].as_f64().unwrap() > 0.0);
    let csv = |batch: &RecordBatch| {
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        let mut writer = arrow::csv::WriterBuilder::new().with_delimiter(b';').build(&mut bytes);
        writer.write(batch).unwrap();
        drop(writer);
        bytes
    };
    let array = |batch: &RecordBatch| {
        let mut writer = arrow::json::ArrayWriter::new(Vec::new());
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner()
    };
    type Write = fn(&RecordBatch) -> Vec<u8>;
    let writers: [(&str, Write); 3] = [("csv", csv), ("jsonl", json_lines), ("json", array)];
    for (ending, write) in writers {
        let found = estimates(&rewritten(ending, write).await, CONFIG).await.unwrap();
        assert_eq!(found, want, "{ending}");
    }
}

/// A sales-only lake in CSV.
const CSV_SALES: &str = "currency = 'EUR'\nlake.sales = 'sales.csv'\noutput.url = 'out/'\nprivacy.min_customers = 0";

#[tokio::test]
async fn quotes_line_ends_and_empty_fields_of_csv_are_understood() {
    let lake = Lake::default();
    lake.put(
        "sales.csv",
        "customer_id,order_id,ordered_at,amount,category\r\n\
         ann,1,2024-12-30 10:00:00,10.10,\"a, \"\"b\"\"\r\nand c\"\r\n\
         ,2,2024-12-30 11:00:00,1.01,\r\n",
    )
    .await;
    let rows = estimates(&lake, CSV_SALES).await.unwrap();
    assert_eq!(
        (&find(&rows, "revenue")["amount"], &find(&rows, "revenue")["customers"]),
        (&"11.1100".into(), &1.into())
    );
    assert_eq!(find(&rows, "rejected_rows")["value"], 0.0);
    assert_eq!(find(&rows, "multi_category_rate")["status"], "ok");
}

#[tokio::test]
async fn csv_that_cannot_be_told_apart_is_refused() {
    for (text, parts) in [
        ("customer_id,order_id,ordered_at,amount\nann,1,2024-12-30,10,20\n", ["sales.csv", "line 2"]),
        (
            "customer_id,amount,ordered_at,amount\nann,1,2024-12-30,10\n",
            ["sales.csv", "two columns are called `amount`"],
        ),
        ("\n", ["sales.csv", "names no columns"]),
        // Else everything to the end of the file would be one amount that cannot be read, and the lines in it would be gone.
        (
            "customer_id,order_id,ordered_at,amount\nann,1,2024-12-30,\"10\nbob,2,2024-12-30,20\n",
            ["sales.csv", "the quotation mark in line 2 opens a value that does not end"],
        ),
        (
            "customer_id,order_id,ordered_at,amount\nann,1,2024-12-30,\"10\nbob,2,2024-12-30,\"20\"\n",
            ["sales.csv", "in line 3, text follows the quotation mark that closes a value opened in line 2"],
        ),
    ] {
        let lake = Lake::default();
        lake.put("sales.csv", text).await;
        refused(&lake, CSV_SALES, &parts).await;
    }
    let lake = Lake::default();
    let config = CSV_SALES.replace("sales.csv", "sales/");
    lake.put("sales/a.csv", "customer_id,order_id,ordered_at,amount\nann,1,2024-12-30,10\n").await;
    lake.put("sales/b.csv", "customer_id,order_id,amount,ordered_at\nann,2,10,2024-12-30\n").await;
    refused(&lake, &config, &["sales/a.csv", "sales/b.csv", "the same columns in the same order"]).await;
}

#[tokio::test]
async fn days_without_rows_may_leave_several_files_with_a_header_alone() {
    let lake = Lake::default();
    lake.put("sales/a.csv", "order_id,ordered_at,amount,customer_id\n1,2024-12-30,1.5,ann\n").await;
    for day in ["b", "c"] {
        lake.put(&format!("sales/{day}.csv"), "order_id,ordered_at,amount,customer_id\r\n").await;
    }
    let rows = estimates(&lake, &CSV_SALES.replace("sales.csv", "sales/")).await.unwrap();
    assert_eq!(find(&rows, "revenue")["amount"], "1.5000");
}

#[tokio::test]
async fn the_last_row_counts_whatever_the_unit_of_its_time() {
    for (unit, time) in [
        ("s", "2025-01-03T10:00:00Z"),
        ("ms", "2025-01-03T10:00:00.001Z"),
        ("us", "2025-01-03T10:00:00.000001Z"),
        ("ns", "2025-01-03T10:00:00.000001Z"),
    ] {
        let lake = Lake::seven_months().await;
        // The second contact is the last row that is known and, seven days to the instant later, makes the first unresolved.
        let last = instant(time).timestamp_micros();
        let micros = [last - 7 * 24 * 3_600_000_000, last];
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("UTC"));
        let unit = match unit {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" => TimeUnit::Microsecond,
            _ => TimeUnit::Nanosecond,
        };
        let times = arrow::compute::cast(&times, &DataType::Timestamp(unit, Some("UTC".into()))).unwrap();
        let customers: ArrayRef = Arc::new(StringArray::from(vec!["zoe"; 2]));
        let columns =
            vec![("customer_id", customers), ("occurred_at", times), ("service_cost", cents([Some(1); 2].into_iter()))];
        for key in lake.keys("interactions").await {
            lake.delete(&key).await;
        }
        lake.put_columns("interactions/all.parquet", columns).await;
        let rows = estimates(&lake, CONFIG).await.unwrap();
        let row = find(&rows, "first_contact_resolution");
        assert_eq!((&row["n"], &row["value"]), (&1.into(), &0.0.into()), "{time}");
    }
}

/// The seven months with a ledger and two programmes.
fn with(extra: &str) -> String {
    CONFIG.replace("customers = \"customers/\"", &format!("customers = \"customers/\", {extra}"))
}

#[tokio::test]
async fn an_earlier_month_off_the_ledger_flags_the_windows_that_hold_it() {
    let lake = Lake::seven_months().await;
    for month in 1..=12 {
        lake.month(2023, month).await;
        lake.month(2024, month).await;
    }
    // The thirteenth month, counted back, is in no amount of these windows.
    for (month, flagged) in [("2024-10", "T3M T12M bridge"), ("2024-09", "T12M bridge"), ("2023-12", "")] {
        lake.put("ledger.csv", format!("month,revenue\n{month},5\n2024-12,133.47\n")).await;
        let rows = estimates(&lake, &with("control_totals = \"ledger.csv\"")).await.unwrap();
        let mut seen = BTreeSet::new();
        for row in rows.iter().filter(|row| row["unit"] == "money" && row["status"] == "ok") {
            let of = |name: &str| row[name].as_str().unwrap_or_default();
            let about = if of("section") == "bridge" { "bridge" } else { of("window") };
            let flags = row["flags"].as_array().cloned().unwrap_or_default();
            let count = flags.iter().filter(|flag| *flag == "not_reconciled").count();
            let is_flagged = flagged.split_whitespace().any(|flagged| flagged == about);
            assert_eq!(count, usize::from(is_flagged), "{month}: {row}");
            seen.insert(about.to_owned());
        }
        assert!(["MONTH", "T3M", "T12M", "bridge"].iter().all(|about| seen.contains(*about)), "{seen:?}");
    }
}

#[tokio::test]
async fn money_that_the_ledger_does_not_confirm_is_flagged() {
    let lake = Lake::seven_months().await;
    let december = "133.4700"; // What `Lake::month` writes for 2024-12.
    for (ledger, difference, flagged) in [
        ("month,revenue\n2024-12,133.47\n", Some("0.0000"), false),
        ("month,revenue\n2024-12,134.14\n", Some("-0.6700"), false),
        ("month,revenue\n2024-12,134.15\n", Some("-0.6800"), true),
        ("month,revenue\n2024-11,133.47\n", None, false),
    ] {
        lake.put("ledger.csv", ledger).await;
        let rows = estimates(&lake, &with("control_totals = \"ledger.csv\"")).await.unwrap();
        assert_eq!(find(&rows, "revenue")["amount"], december);
        assert_eq!(find(&rows, "revenue_reconciliation")["amount"].as_str(), difference, "{ledger}");
        for row in rows.iter().filter(|row| row["unit"] == "money" && row["status"] == "ok") {
            let flags = row["flags"].as_array().cloned().unwrap_or_default();
            assert_eq!(flags.iter().filter(|flag| *flag == "not_reconciled").count(), usize::from(flagged), "{row}");
        }
    }
    lake.put("ledger.csv", "month,revenue\n2024-12,1\n2024-12,2\n").await;
    refused(&lake, &with("control_totals = \"ledger.csv\""), &["control_totals: 1 row repeats the month"]).await;
    lake.put("ledger.csv", "month,revenue\n12/2024,1\n").await;
    refused(&lake, &with("control_totals = \"ledger.csv\""), &["month cannot be read as a month, as 2024-12: 1 row"])
        .await;
}

#[tokio::test]
async fn a_programme_that_ends_before_it_starts_is_refused() {
    let lake = Lake::seven_months().await;
    lake.put("programmes.jsonl", r#"{"initiative": "ivr", "starts_on": "2024-03-15", "ends_on": "2024-03-14"}"#).await;
    refused(&lake, &with("initiatives = \"programmes.jsonl\""), &["initiatives: `ivr` ends before it starts"]).await;
}

#[tokio::test]
async fn broken_json_is_refused_with_its_place() {
    let lake = Lake::seven_months().await;
    lake.put("programmes.json", "[{\"initiative\": \"callback\", \"starts_on\": \"2024-01-01\"},\n oops]").await;
    let error = estimates(&lake, &with("initiatives = \"programmes.json\"")).await.unwrap_err();
    assert!(matches!(error, Error::Input(_)));
    let error = error.to_string();
    assert!(error.contains("programmes.json cannot be read as JSON") && error.contains("line 2"), "{error}");
    lake.put("programmes.json", r#"[{"initiative": "a", "starts_on": "2024-01-01"}, {"initiative": 7}]"#).await;
    let parts = ["programmes.json cannot be read as JSON", "`initiative` is text in some rows and not in row 2"];
    refused(&lake, &with("initiatives = \"programmes.json\""), &parts).await;
    lake.put("programmes.json", r#"[{"initiative": "a", "starts_on": "2024-01-01", "initiative": "b"}]"#).await;
    let parts = ["programmes.json cannot be read as JSON", "`initiative` is there twice in one row"];
    refused(&lake, &with("initiatives = \"programmes.json\""), &parts).await;
}

#[tokio::test]
async fn the_seven_days_after_a_month_decide_about_its_last_contacts() {
    let resolution = |rows: &[Value]| {
        let row = find(rows, "first_contact_resolution");
        (row["n"].as_i64().unwrap(), row["value"].as_f64().unwrap())
    };
    let contact = |customer, at| (Some(customer), at, None, Some(100));
    let lake = Lake::seven_months().await;
    // A first contact on the 30th cannot be judged while December's end is all that is known.
    lake.interactions("interactions/more.parquet", &[contact("ann", "2024-12-28T10:00:00Z")]).await;
    let known = resolution(&estimates(&lake, CONFIG).await.unwrap());
    // Once the first days of January are known it can, and it was not resolved.
    lake.interactions(
        "interactions/january.parquet",
        &[contact("ann", "2025-01-03T10:00:00Z"), (Some("bob"), "2025-01-07T10:00:00Z", None, None)],
    )
    .await;
    let next = resolution(&estimates(&lake, CONFIG).await.unwrap());
    assert_eq!((next.0, known.0), (known.0 + 2, next.0 - 2), "{known:?} {next:?}");
    assert!(next.1 < known.1);
    // What happens after seven days changes nothing, and is not even published again.
    lake.interactions("interactions/later.parquet", &[contact("cas", "2025-01-07T23:00:00Z")]).await;
    estimates(&lake, CONFIG).await.unwrap();
    let before = lake.get("out/published/2024-12.json").await.unwrap();
    lake.interactions("interactions/too_late.parquet", &[contact("bob", "2025-01-07T23:00:00.000001Z")]).await;
    estimates(&lake, CONFIG).await.unwrap();
    assert_eq!(lake.get("out/published/2024-12.json").await.unwrap(), before);
}

/// Six small files of the shape that `tests/olist` adapts: two orders of one person, a product without a category, a review of
/// two lines that stands twice.
const OLIST: [(&str, &str); 6] = [
    (
        "olist_orders_dataset",
        "order_id,customer_id,order_status,order_purchase_timestamp\n\
         o1,k1,delivered,2018-08-01 00:30:00\no2,k2,delivered,2018-08-31 23:59:59\no3,k3,canceled,2018-07-31 23:59:59\n\
         o4,k3,delivered,2018-06-15 12:00:00\n",
    ),
    (
        "olist_order_items_dataset",
        "order_id,order_item_id,product_id,price,freight_value\no1,1,p1,10.10,1.01\no1,2,p2,5.00,0.50\no2,1,p1,20.00,2.22\no3,1,p1,9.00,0.99\no4,1,p1,1.00,0.00\n",
    ),
    (
        "olist_order_reviews_dataset",
        "review_id,order_id,review_score,review_comment_message,review_answer_timestamp\n\
         r1,o1,5,\"good,\nvery good\",2018-08-30 10:00:00\nr1,o1,5,\"good,\nvery good\",2018-08-30 10:00:00\nr1,o2,2,,2018-08-31 10:00:00\n",
    ),
    ("olist_customers_dataset", "customer_id,customer_unique_id,customer_state\nk1,ann,SP\nk2,ann,RJ\nk3,bob,SP\n"),
    ("olist_products_dataset", "product_id,product_category_name\np1,perfumaria\np2,\n"),
    (
        "product_category_name_translation",
        "product_category_name,product_category_name_english\nperfumaria,perfumery\n",
    ),
];

#[tokio::test]
async fn a_union_has_the_types_of_all_its_parts() {
    let lake = Lake::default();
    lake.put("till.csv", "buyer,receipt,at,paid,kind\nann,1,2024-11-05,1.50,toys\nbob,2,2024-12-31,2.50,books\n").await;
    let staging = "select buyer as customer_id, receipt as order_id, at as ordered_at, null as amount, null as category \
                   from raw.sales where receipt is null \
                   union all select buyer, receipt, at, paid, kind from raw.sales";
    lake.put("sql/staging/sales.sql", staging).await;
    let config = "currency = 'EUR'\nlake.sales = 'till.csv'\nsql.overlay = 'sql/'\noutput.url = 'out/'";
    let rows = estimates(&lake, &format!("{config}\nprivacy.min_customers = 0")).await.unwrap();
    assert_eq!(find(&rows, "revenue")["amount"], "2.5000");
    assert_eq!(find(&rows, "rejected_rows")["value"], 0.0);
}

#[tokio::test]
async fn an_export_of_six_files_becomes_a_lake_with_staging_files_alone() {
    let lake = Lake::default();
    for (name, text) in OLIST {
        lake.put(&format!("data/{name}.csv"), text).await;
    }
    for (key, sql) in [
        ("interactions", include_str!("olist/sql/staging/interactions.sql")),
        ("sales", include_str!("olist/sql/staging/sales.sql")),
        ("customers", include_str!("olist/sql/staging/customers.sql")),
    ] {
        lake.put(&format!("sql/staging/{key}.sql"), sql).await;
    }
    let rows = estimates(&lake, include_str!("olist/cxroi.toml")).await.unwrap();
    // In São Paulo o1 and o2 are of August and o3 is not: 11.11 + 5.50 + 22.22.
    assert_eq!(find(&rows, "revenue")["amount"], "38.8300");
    // Of one person, whose latest order went to RJ.
    let of = |metric: &str, segment: &str| {
        let mut found = rows.iter().filter(|row| row["metric"] == metric && row["segment"] == segment);
        found.next().map(|row| (row["n"].clone(), row["customers"].clone(), row["value"].clone()))
    };
    assert_eq!(of("revenue", "RJ"), Some((Value::Null, 1.into(), 38.83.into())));
    // The same review of the same order is a copy; the one of the other order is not.
    assert_eq!(of("csat_top2", "RJ").map(|row| (row.0, row.2)), Some((2.into(), 0.5.into())));
    assert_eq!(find(&rows, "duplicate_rows")["value"], 1.0);
    assert_eq!(find(&rows, "nps")["status"], "insufficient_n");
}
