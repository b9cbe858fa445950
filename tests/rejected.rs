//! Rows that cannot be used are set aside, counted and listed with their file, their place and the reason.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use engine::Check;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tests::{CONFIG, Lake, Line, NOW, Touch, instant, setting};

/// The newest listing: source, month, file, row, key, reason.
async fn listing(lake: &Lake) -> Vec<String> {
    let summary = lake.get("out/summaries/latest/summary.json").await.expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("valid JSON");
    let file = format!("out/{}", summary["rejected"]["file"].as_str().expect("a key"));
    let bytes = lake.get(&file).await.expect("the listing is there");
    let batches: Vec<RecordBatch> =
        ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap().map(Result::unwrap).collect();
    let mut lines = Vec::new();
    for batch in batches {
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            if column.is_null(row) { "-" } else { column.value(row) }.to_owned()
        };
        for row in 0..batch.num_rows() {
            let place = batch.column_by_name("row").unwrap().as_primitive::<Int64Type>();
            let place = if place.is_null(row) { "-".to_owned() } else { place.value(row).to_string() };
            let parts = [
                text("source", row),
                text("month", row),
                text("file", row),
                place,
                text("key", row),
                text("reason", row),
            ];
            lines.push(parts.join(" | "));
        }
    }
    assert_eq!(summary["rejected"]["listed"], lines.len());
    lines
}

/// The same seven months with a thousand good lines more, so that a few bad ones are below the limit.
async fn large() -> Lake {
    let lake = Lake::seven_months().await;
    let orders: Vec<String> = (0..1_000).map(|order| format!("many-{order}")).collect();
    let lines: Vec<_> = orders.iter().map(|order| (Some("ann"), order.as_str(), "2024-11-05T10:00:00Z", 1)).collect();
    lake.sales("sales/many.parquet", &lines).await;
    let touches: Vec<_> = (0..1_000).map(|_| (Some("ann"), "2024-11-05T10:00:00Z", None, None)).collect();
    lake.interactions("interactions/many.parquet", &touches).await;
    lake
}

#[tokio::test]
async fn each_rejected_row_is_listed_with_its_file_and_reason() {
    let lake = large().await;
    lake.run().await.unwrap();
    assert_eq!(listing(&lake).await, Vec::<String>::new());
    lake.sales(
        "sales/bad.parquet",
        &[
            (Some("ann"), "good-1", "2024-10-03T10:00:00Z", 100),
            (Some("ann"), "", "2024-10-04T10:00:00Z", 200),
            (Some("ann"), "good-2", "2024-11-03T10:00:00Z", 300),
            (None, "", "2024-11-04T10:00:00Z", 400),
            (Some("ann"), "early", "2025-06-01T10:00:00Z", 500),
        ],
    )
    .await;
    lake.interactions("interactions/before.parquet", &[(Some("ann"), "2024-05-31T10:00:00Z", Some(5), None)]).await;
    lake.run().await.unwrap();
    let want = [
        "sales | 2024-10 | bad.parquet | 2 | ordered_at=2024-10-04T10:00:00Z order_id=? line_id=? | order_id is missing",
        "sales | 2024-11 | bad.parquet | 4 | ordered_at=2024-11-04T10:00:00Z order_id=? line_id=? | order_id is missing",
        "interactions | - | before.parquet | 1 | occurred_at=2024-05-31T10:00:00Z interaction_id=? | occurred_at is before the first sale",
        "sales | - | bad.parquet | 5 | ordered_at=2025-06-01T10:00:00Z order_id=early line_id=? | ordered_at is in the future",
    ];
    assert_eq!(listing(&lake).await, want);
    // The listing of a month is kept with its facts: a new month does not read the old one again.
    lake.month(2025, 1).await;
    let outcome = lake.run_at("2025-02-03T06:00:00Z").await.unwrap();
    assert_eq!(outcome.months_read.len(), 1);
    assert_eq!(listing(&lake).await, want);
}

/// Sales in CSV with ids for lines, read through a staging file or not.
const CSV: &str = "customer_id,order_id,line_id,ordered_at,amount,note\n\
    ann,1,1,2024-12-29 10:00,10.00,\"two\nlines\"\n\
    ann,1,1,2024-12-29 10:00,10.00,the same\n\
    bob,2,1,2024-12-29 11:00,abc,no amount\n\
    bob,3,1,2024-12-29 12:00,5.00,\n\
    bob,3,1,2024-12-29 12:00,7.00,other amount\n\
    cas,4,1,29/12/24,1.00,no date\n";

#[tokio::test]
async fn copies_and_values_that_cannot_be_read_are_listed() {
    let many: String = (0..300).map(|order| format!("dee,many-{order},1,2024-12-30 10:00,1,\n")).collect();
    let lake = Lake::default();
    lake.put("till.csv", CSV.to_owned() + &many).await;
    let config = "currency = 'EUR'\noutput.url = 'out/'\nprivacy.min_customers = 0\n";
    let run = async |config: String| {
        let period = "2024-12".parse().expect("a month");
        lake.open(&config).await.unwrap().run(Some(period), instant(NOW), &|_| {}).await.unwrap()
    };
    run(format!("{config}lake.sales = 'till.csv'")).await;
    let copies = [
        "sales | 2024-12 | - | - | order_id=1 line_id=1 | 2 rows are the same; one is used",
        "sales | 2024-12 | - | - | order_id=3 line_id=1 | 2 rows have this id and 2 contents; the one that sorts first is used",
    ];
    let bad = |file: &str, rows: [&str; 2]| {
        let line = |month: &str, row: &str, key: &str, reason: &str| {
            format!("sales | {month} | {file} | {row} | {key} | {reason}")
        };
        let amount = "amount cannot be read as an amount of money";
        let mut lines = vec![line("2024-12", rows[0], "ordered_at=2024-12-29T11:00:00Z order_id=2 line_id=1", amount)];
        lines.extend(copies.map(str::to_owned));
        lines.push(line(
            "-",
            rows[1],
            "ordered_at=? order_id=4 line_id=1",
            "ordered_at cannot be read as a date and time",
        ));
        lines
    };
    assert_eq!(listing(&lake).await, bad("till.csv", ["3", "6"]));
    // Behind a staging file that joins nobody knows the file.
    lake.put("sql/staging/sales.sql", "select * from raw.sales union all select * from raw.sales where false").await;
    run(format!("{config}lake.sales = 'till.csv'\nsql.overlay = 'sql/'")).await;
    assert_eq!(listing(&lake).await, bad("-", ["-", "-"]));
    let manifests = lake.keys("out/runs").await.into_iter().filter(|key| key.ends_with("manifest.json"));
    for manifest in manifests {
        let manifest: Value = serde_json::from_slice(&lake.get(&manifest).await.unwrap()).unwrap();
        let sales = &manifest["rows"]["sales"];
        for (key, want) in
            [("read", 306), ("rows", 305), ("used", 302), ("rejected", 1), ("duplicate", 2), ("conflicting", 1)]
        {
            assert_eq!(sales[key], want, "{key}");
        }
        assert_eq!(sales["outside"]["undated"], 1);
        // 10 + 10 + 5 + 7 + 300, less a copy of 10 and the second of 5 and 7.
        for (key, want) in [("amount", "332.0000"), ("amount_used", "315.0000"), ("amount_duplicate", "17.0000")] {
            assert_eq!(sales[key], want, "{key}");
        }
    }
}

#[tokio::test]
async fn rows_that_are_the_same_and_have_no_id_are_a_warning_and_count() {
    let lake = Lake::seven_months().await;
    let warnings = async || {
        let engine = lake.open(CONFIG).await.unwrap();
        let (analyst, _) = engine.analyst(instant(NOW)).await.unwrap();
        let mut told = Vec::new();
        for Check { name, claim, rows, is_warning, .. } in engine.checks(&analyst).await.unwrap() {
            let (rows, count) = engine.found(&name, rows, 10).await.unwrap();
            let found = count > 0;
            assert!(is_warning || !found || name == "checks/known_customers", "{name}: {rows:?}");
            if claim.contains("without an id") {
                told.push((
                    name,
                    if found { pretty_format_batches(&rows).unwrap().to_string() } else { String::new() },
                ));
            }
        }
        told
    };
    let nothing = ["audit.interactions", "audit.sales"].map(|name| (name.to_owned(), String::new()));
    assert_eq!(warnings().await, nothing, "of each source whose rows may lack an id, and of no other");

    // Three of a kind, two of another, and two that differ by a cent.
    let line =
        |order: &'static str, cents: i64| -> Line<'static> { (Some("ann"), order, "2024-12-12T10:00:00Z", cents) };
    let lines = [
        line("x", 100),
        line("x", 100),
        line("x", 100),
        line("y", 200),
        line("y", 200),
        line("z", 300),
        line("z", 301),
    ];
    lake.sales("sales/more.parquet", &lines).await;
    let touch = |answer: Option<i64>| -> Touch<'static> { (None, "2024-12-12T10:00:00Z", answer, None) };
    lake.interactions("interactions/more.parquet", &[touch(Some(9)), touch(Some(9)), touch(None)]).await;
    let told = warnings().await;
    let wanted = "|             | 2024-12-12T10:00:00Z | 2    | 1             |";
    assert!(told[0].1.contains(wanted) && told[0].1.lines().count() == 5, "{told:?}");
    for wanted in [
        "| ann         | x        | 2024-12-12T10:00:00Z | 1.0000 | 3    | 3             |",
        "| ann         | y        | 2024-12-12T10:00:00Z | 2.0000 | 2    | 3             |",
    ] {
        assert!(told[1].1.contains(wanted) && told[1].1.lines().count() == 6, "{told:?}");
    }
    lake.run().await.unwrap();
    let (analyst, _) = lake.open(CONFIG).await.unwrap().analyst(instant(NOW)).await.unwrap();
    let used = analyst
        .query("select sum(revenue) as revenue from facts.customer_month where customer_id = 'ann' and month = $as_of");
    let used = pretty_format_batches(&used.await.unwrap().collect().await.unwrap()).unwrap().to_string();
    // 20.84 of every December, and 3 + 4 + 6.01.
    assert!(used.contains("| 33.8500 |"), "{used}");
    // What is published says so as well, and a headline where they are many.
    let summary: Value = serde_json::from_slice(&lake.get("out/summaries/latest/summary.json").await.unwrap()).unwrap();
    let row = |source: &str| {
        let mut rows = summary["estimates"].as_array().unwrap().iter();
        rows.find(|row| row["metric"] == "indistinct_rows" && row["outcome"] == source).unwrap().clone()
    };
    for (source, copies) in [("sales", 3.0), ("interactions", 1.0)] {
        assert_eq!((&row(source)["value"], &row(source)["flags"]), (&copies.into(), &json!(["may_be_twice"])));
    }
    let headline = "3 rows of sales have no id and repeat another in every column";
    assert!(summary["headlines"].to_string().contains(headline), "{}", summary["headlines"]);
}

#[tokio::test]
async fn rows_with_an_id_are_no_warning() {
    let lake = Lake::default();
    lake.put("till.csv", CSV).await;
    let config = "currency = 'EUR'\noutput.url = 'out/'\nlake.sales = 'till.csv'";
    let engine = lake.open(config).await.unwrap();
    let (analyst, _) = engine.analyst(instant(NOW)).await.unwrap();
    let checks = engine.checks(&analyst).await.unwrap();
    let warning = checks.into_iter().find(|check| check.claim.contains("without an id")).expect("a check for them");
    assert_eq!((warning.name.as_str(), warning.is_warning), ("audit.sales", true));
    let (rows, count) = engine.found(&warning.name, warning.rows, 10).await.unwrap();
    assert_eq!(count, 0, "{rows:?}");
}

#[tokio::test]
async fn times_without_a_zone_are_a_warning_unless_somebody_says_which_they_have() {
    let lake = Lake::default();
    let csv = "customer_id,order_id,ordered_at,amount\n\
               ann,1,2024-12-01T10:00:00Z,5\n\
               ann,2,2024-12-30 10:00+01:00,5\n\
               ann,3,2024-12-31,5\n\
               ann,4,2024-11-30 23:30,5\n\
               ann,5,2024-12-31T23:30:00.5,5\n";
    lake.put("till.csv", csv).await;
    let rows = [("customer_id", "ann"), ("order_id", "1"), ("amount", "5")];
    let mut columns: Vec<(&str, ArrayRef)> =
        rows.map(|(name, value)| (name, Arc::new(StringArray::from(vec![value])) as ArrayRef)).into();
    columns.push(("ordered_at", Arc::new(TimestampMillisecondArray::from(vec![1_735_632_000_000]))));
    lake.put_columns("typed.parquet", columns).await;
    let warned = async |file: &str, settings: &str| {
        let config = format!("currency = 'EUR'\noutput.url = 'out/'\nlake.sales = '{file}'\n{settings}");
        let engine = lake.open(&config).await.unwrap();
        let (analyst, _) = engine.analyst(instant(NOW)).await.unwrap();
        let checks = engine.checks(&analyst).await.unwrap();
        let check = checks.into_iter().find(|check| check.claim.contains("names its zone"))?;
        assert!(check.is_warning && check.claim.contains("method.naive_timezone (UTC is taken"), "{}", check.claim);
        let (rows, _) = engine.found(&check.name, check.rows, 10).await.unwrap();
        Some(pretty_format_batches(&rows).unwrap().to_string())
    };
    let told = warned("till.csv", "timezone = 'Europe/Rome'").await.unwrap();
    assert!(told.contains("| 2    | 2024-11-30 23:30 | 2024-12-31T23:30:00.5 |"), "{told}");
    let told = warned("typed.parquet", "timezone = 'Europe/Rome'").await.unwrap();
    assert!(told.contains("| 1    | 2024-12-31T08:00:00 | 2024-12-31T08:00:00 |"), "{told}");
    for settings in ["timezone = 'Europe/Rome'\nmethod.naive_timezone = 'UTC'", "timezone = 'UTC'"] {
        assert_eq!(warned("till.csv", settings).await, None, "{settings}");
    }
    lake.put("zoned.csv", "customer_id,order_id,ordered_at,amount\nann,1,2024-12-31T10:00:00Z,5\n").await;
    let told = warned("zoned.csv", "timezone = 'Europe/Rome'").await.unwrap();
    assert!(!told.contains("2024"), "{told}");
}

/// What each check of a lake finds, by its name and the first words of its claim.
async fn checked(lake: &Lake, config: &str) -> BTreeMap<String, String> {
    let engine = lake.open(config).await.unwrap();
    let (analyst, _) = engine.analyst(instant(NOW)).await.unwrap();
    let mut told = BTreeMap::new();
    for Check { name, claim, rows, is_warning, about, nothing, more } in engine.checks(&analyst).await.unwrap() {
        let (rows, count) = engine.found(&name, rows, 10).await.unwrap();
        let (_, there) = engine.found(&name, about, 1).await.unwrap();
        let mut text = match (count, there) {
            (0, 0) => nothing.to_owned(),
            (0, _) => "ok".to_owned(),
            _ => format!("{count} {is_warning}\n{}", pretty_format_batches(&rows).unwrap()),
        };
        if let Some(more) = more {
            text += &pretty_format_batches(&engine.found(&name, more, 100).await.unwrap().0).unwrap().to_string();
        }
        let words: Vec<&str> = claim.split(' ').take(3).collect();
        told.insert(format!("{name} {}", words.join(" ")), text);
    }
    told
}

#[tokio::test]
async fn copies_of_a_row_with_an_id_are_a_warning_and_other_content_is_found() {
    let lake = Lake::default();
    let csv = "customer_id,order_id,line_id,ordered_at,amount\n\
               ann,a,1,2024-12-30T10:00:00Z,5\n\
               ann,a,1,2024-12-30T10:00:00Z,5\n\
               ann,b,1,2024-12-30T10:00:00Z,5\n\
               ann,b,1,2024-12-30T10:00:00Z,6\n\
               ann,b,1,2024-12-30T10:00:00Z,6\n\
               ann,b,1,2024-11-30T10:00:00Z,7\n\
               ann,c,,2024-12-30T10:00:00Z,5\n";
    lake.put("till.csv", csv).await;
    let told = checked(&lake, "currency = 'EUR'\noutput.url = 'out/'\nlake.sales = 'till.csv'").await;
    let copies = &told["audit.sales No row with"];
    assert!(copies.starts_with("1 true") && copies.contains("| a        | 1       | 2024-12 | 2    | 1 "), "{copies}");
    let conflicts = &told["audit.sales No id has"];
    assert!(
        conflicts.starts_with("1 false") && conflicts.contains("| b        | 1       | 2024-12 | 3    | 2 "),
        "{conflicts}"
    );
}

#[tokio::test]
async fn a_check_without_anything_to_look_at_says_so() {
    let lake = Lake::default();
    lake.put("till.csv", "customer_id,order_id,ordered_at,amount\nann,1,2024-12-30T10:00:00Z,5\n").await;
    lake.put("ledger.csv", "month,revenue\n2024-12,about 5\n").await;
    lake.put("people.csv", "customer_id,segment\n").await;
    let config = "currency = 'EUR'\noutput.url = 'out/'\n\
                  lake = { sales = 'till.csv', control_totals = 'ledger.csv', customers = 'people.csv' }";
    let told = checked(&lake, config).await;
    for (check, want) in [
        ("audit.sales Every row can", "ok"),
        ("audit.sales No row with", "it has no row with an id that can be used"),
        ("audit.customers Every row can", "it has no row"),
        ("audit.control_totals No id has", "it has no row with an id that can be used"),
        ("checks/every_month_of_sales There are sales", "ok"),
        ("checks/one_currency All sales are", "no row of sales says its currency"),
    ] {
        assert_eq!(told[check], want, "{check}");
    }
    let ledger = &told["checks/ledger Net revenue of"];
    assert!(ledger.starts_with("no row has both sides"), "{ledger}");
    assert!(told["audit.control_totals Every row can"].starts_with("1 false"), "{told:?}");
}

#[tokio::test]
async fn every_month_of_the_ledger_is_told_also_within_the_tolerance() {
    let lake = Lake::default();
    let csv = "customer_id,order_id,ordered_at,amount\n\
               ann,1,2024-09-30T10:00:00Z,9\n\
               ann,2,2024-10-30T10:00:00Z,1001\n\
               ann,3,2024-11-30T10:00:00Z,7\n\
               ann,4,2024-12-30T10:00:00Z,999\n";
    lake.put("till.csv", csv).await;
    lake.put("ledger.csv", "month,revenue\n2024-10,1000\n2024-12,1000\n2025-01,5\n").await;
    let config = "currency = 'EUR'\noutput.url = 'out/'\nlake = { sales = 'till.csv', control_totals = 'ledger.csv' }";
    let told = checked(&lake, config).await;
    let ledger = &told["checks/ledger Net revenue of"];
    assert!(ledger.starts_with("ok") && !ledger.contains("2024-09"), "{ledger}");
    for month in [
        "| 2024-10 | 1001.0000 | 1000.0000 | 1.0000     |",
        "| 2024-11 | 7.0000    |           |            |",
        "| 2024-12 | 999.0000  | 1000.0000 | -1.0000    |",
        "| 2025-01 |           | 5.0000    |            |",
    ] {
        assert!(ledger.contains(month), "{month}\n{ledger}");
    }
}

/// Lines of sales with whatever is wrong with them, and what must become of them by plain counting.
/// `CXROI_RECONCILED_LAKES=10000` is a long run.
#[tokio::test]
async fn rows_and_money_of_any_lines_reconcile() {
    let (lakes, first) = (setting("CXROI_RECONCILED_LAKES", 100), setting("CXROI_RECONCILED_SEED", 1));
    for seed in first..first + lakes {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut csv = "customer_id,order_id,line_id,ordered_at,amount\n".to_owned();
        let (mut readable, mut of_rejected) = (0, 0);
        let (mut rows, mut rejected) = (0, 0);
        // Of each id the contents, in cents and by customer.
        let mut lines = BTreeMap::<(u8, u8), Vec<(u8, i128)>>::new();
        for _ in 0..random.u64(1..60) {
            let (customer, order, line) = (random.u8(0..4), random.u8(0..12), random.u8(0..3));
            let cents = i128::from(random.i64(-5_000..50_000));
            let day = 1 + (order + line) % 31;
            let (order_id, amount) = (if random.u8(0..20) == 0 { String::new() } else { format!("o{order}") }, {
                let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.abs());
                match random.u8(0..30) {
                    0 => "abc".to_owned(),
                    1 => String::new(),
                    2 => "1e30".to_owned(),
                    _ => format!("{sign}{}.{:02}", cents / 100, cents % 100),
                }
            });
            writeln!(csv, "c{customer},{order_id},{line},2024-12-{day:02} 10:00,{amount}").unwrap();
            rows += 1;
            let is_money = amount.contains('.');
            readable += if is_money { cents } else { 0 };
            if !is_money || order_id.is_empty() {
                rejected += 1;
                of_rejected += if is_money { cents } else { 0 };
            } else {
                lines.entry((order, line)).or_default().push((customer, cents));
            }
        }
        let conflicting = lines.values().filter(|copies| copies.iter().any(|copy| *copy != copies[0]));
        let conflicts = conflicting.clone().count() > 0;
        let lake = Lake::default();
        lake.put("sales/all.csv", csv.clone()).await;
        lake.put(
            "sales/last.csv",
            "customer_id,order_id,line_id,ordered_at,amount\nann,last,1,2024-12-31 20:00,0.01\n",
        )
        .await;
        let engine = lake.open("currency = 'EUR'\nlake.sales = 'sales/'\noutput.url = 'out/'").await.unwrap();
        let made = engine.make_facts("2024-12".parse().unwrap(), instant("2025-01-05T06:00:00Z")).await;
        let (record, _) = made.unwrap_or_else(|error| panic!("lake {seed}: {error}\n{csv}"));
        let found = &record.sources["sales"];
        let cents = |money: engine::Money| money.0 / 100;
        let used = lines.len() as u64 + 1;
        let what = format!("lake {seed}: {found:?}\n{csv}");
        assert_eq!((found.rows, found.used, found.rejected), (rows + 1, used, rejected), "{what}");
        assert_eq!(found.duplicate, rows + 1 - used - rejected, "{what}");
        assert_eq!(found.conflicting > 0, conflicts, "{what}");
        assert_eq!((cents(found.amount), cents(found.amount_rejected)), (readable + 1, of_rejected), "{what}");
        assert_eq!(cents(found.amount_used) + cents(found.amount_duplicate), readable + 1 - of_rejected, "{what}");
        if !conflicts {
            let first: i128 = lines.values().map(|copies| copies[0].1).sum();
            assert_eq!(cents(found.amount_used), first + 1, "{what}");
        }
    }
}
