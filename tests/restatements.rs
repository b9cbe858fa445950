//! What is made of a publication when its inputs move: restated with the source that moved each number, kept and marked, or
//! left alone.

use arrow::util::pretty::pretty_format_batches;
use engine::{Config, Error, Function, Outcome};
use serde_json::Value;
use tests::{CONFIG, Lake, Line, NOW, instant};

/// Every source but the raw ones.
const ALL: &str = r#"
timezone = "Europe/Rome"
currency = "EUR"
lake.interactions = "interactions/"
lake.sales = "sales/"
lake.customers = "customers.csv"
lake.initiatives = "initiatives.csv"
lake.assignments = "assignments.csv"
lake.control_totals = "ledger.csv"
output.url = "out/"
guards.enabled = false
privacy.min_customers = 0
"#;

const LEDGER: &str = "month,revenue\n2024-11,120\n2024-12,134\n";
const CUSTOMERS: &str = "customer_id,segment,acquired_at,acquisition_cost\n\
    ann,home,2024-02-01,30\nbob,home,2024-03-01,20\ncas,work,,\ndee,work,,\n";
const PROGRAMMES: &str = "initiative,starts_on,ends_on,cost_per_month,one_off_cost\nchat,2024-03-01,,100,50\n";
const ASSIGNMENTS: &str = "initiative,customer_id,arm\nchat,ann,treated\nchat,bob,treated\n";

async fn company() -> Lake {
    let lake = Lake::default();
    for month in 1..=12 {
        lake.month(2023, month).await;
        lake.month(2024, month).await;
    }
    lake.put("customers.csv", CUSTOMERS).await;
    lake.put("initiatives.csv", PROGRAMMES).await;
    lake.put("assignments.csv", ASSIGNMENTS).await;
    lake.put("ledger.csv", LEDGER).await;
    lake
}

async fn run(lake: &Lake, config: &str) -> engine::Result<Outcome> {
    lake.open(config).await?.run(Some("2024-12".parse().unwrap()), instant(NOW), &|_| {}).await
}

/// The answer to a query over what is published.
async fn ask(lake: &Lake, sql: &str) -> String {
    let (analyst, _) = lake.open(ALL).await.unwrap().analyst(instant(NOW)).await.unwrap();
    let rows = analyst.query(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

async fn json(lake: &Lake, key: &str) -> Value {
    serde_json::from_slice(&lake.get(key).await.expect(key)).expect("valid JSON")
}

async fn stale(lake: &Lake, period: &str) -> Value {
    json(lake, &format!("out/published/{period}.json")).await["stale"].clone()
}

#[tokio::test]
async fn a_restatement_says_what_each_number_was_and_which_source_moved_it() {
    let lake = company().await;
    run(&lake, ALL).await.unwrap();
    assert!(
        ask(&lake, "select * from roi.restatements").await.lines().count() <= 4,
        "a first publication restates none"
    );
    lake.sales("sales/late.parquet", &[(Some("ann"), "late", "2024-12-12T10:00:00Z", 5_000)]).await;
    assert_eq!(run(&lake, ALL).await.unwrap().pointer.seq, 2);
    let seen = ask(
        &lake,
        "select seq, metric, before, after, array_to_string(moved_by, ', ') as moved_by from roi.restatements \
         where \"window\" = 'MONTH' and segment = '(all)' and metric = 'revenue'",
    )
    .await;
    // 20.84 + 15.84 - 3 + 90.84 + 7.84 + 1.11, and 50.
    assert!(seen.contains("| 2   | revenue | 133.47 | 183.47 | sales    |"), "{seen}");
    let publication = json(&lake, "out/publications/2024-12/2/publication.json").await;
    assert_eq!(publication["late_rows"], serde_json::json!({"interactions": 0, "sales": 1}));
    let summary = json(&lake, "out/summaries/files/2024-12/summary.json").await;
    assert_eq!(summary["restated"]["moved_by"], serde_json::json!(["sales"]));
    assert_eq!(summary["late_rows"]["sales"], 1);

    // A second one stands beside the first, and late rows are counted from the first publication on.
    lake.interactions("interactions/late.parquet", &[(Some("ann"), "2024-12-12T10:00:00Z", Some(0), None)]).await;
    assert_eq!(run(&lake, ALL).await.unwrap().pointer.seq, 3);
    let seen = ask(
        &lake,
        "select seq, array_to_string(moved_by, ', ') as moved_by, count(*) > 0 as some, \
         count(*) filter (where metric = 'nps') > 0 as nps, count(*) filter (where metric = 'revenue') > 0 as revenue \
         from roi.restatements group by 1, 2 order by 1",
    )
    .await;
    assert!(seen.contains("| 2   | sales        | true | false | true    |"), "{seen}");
    assert!(seen.contains("| 3   | interactions | true | true  | false   |"), "{seen}");
    let publication = json(&lake, "out/publications/2024-12/3/publication.json").await;
    assert_eq!(publication["late_rows"], serde_json::json!({"interactions": 1, "sales": 1}));
}

#[tokio::test]
async fn whatever_source_moves_every_number_that_moves_with_it_says_so() {
    let (refreshing, overlay) = ("customers", "overlay");
    for mover in
        ["sales", "interactions", "initiatives", "assignments", "control_totals", refreshing, "settings", overlay]
    {
        let lake = company().await;
        run(&lake, ALL).await.unwrap();
        let mut config = ALL.to_owned();
        match mover {
            "sales" => {
                let lines = [
                    (Some("eve"), "late-1", "2024-12-12T10:00:00Z", 5_000),
                    (Some("ann"), "late-2", "2024-07-12T10:00:00Z", 700),
                    (Some("new"), "late-3", "2023-07-12T10:00:00Z", 900),
                ];
                lake.sales("sales/late.parquet", &lines).await;
            }
            "interactions" => {
                let touches = [
                    (Some("eve"), "2024-12-12T10:00:00Z", Some(11), None),
                    (Some("ann"), "2024-12-13T10:00:00Z", Some(0), Some(500)),
                    (Some("new"), "2023-07-13T10:00:00Z", Some(7), Some(500)),
                ];
                lake.interactions("interactions/late.parquet", &touches).await;
            }
            "initiatives" => lake.put("initiatives.csv", PROGRAMMES.replace("100", "200")).await,
            "assignments" => lake.put("assignments.csv", ASSIGNMENTS.replace("bob", "cas")).await,
            "control_totals" => lake.put("ledger.csv", LEDGER.replace("134", "99")).await,
            "customers" => {
                lake.put("customers.csv", CUSTOMERS.replace("bob,home", "bob,work").replace("30", "40")).await
            }
            "overlay" => {
                let shorter = include_str!("../sql/windows/customer.sql").replace("> $as_of - 3", "> $as_of - 2");
                lake.put("overlay/windows/customer.sql", shorter).await;
                config.push_str("sql.overlay = \"overlay/\"\n");
            }
            _ => config = config.replace("guards.enabled = false", "method.default_margin_rate = 0.5"),
        }
        let engine = lake.open(&config).await.unwrap();
        let engine = if mover == refreshing { engine.refreshing_dimensions() } else { engine };
        let outcome = engine.run(Some("2024-12".parse().unwrap()), instant(NOW), &|_| {}).await.unwrap();
        assert!(outcome.published, "{mover}");
        let seen = ask(
            &lake,
            "select array_to_string(moved_by, ', ') as moved_by, count(*) > 0 as restated from roi.restatements group by 1",
        )
        .await;
        assert_eq!(seen.lines().count(), 5, "{mover} alone moved numbers, but {seen}");
        let said = if mover == overlay { "settings" } else { mover };
        assert!(seen.contains(&format!("| {said} ")), "{mover} moved numbers, but {seen}");
    }
}

#[tokio::test]
async fn where_nobody_has_a_segment_each_restated_number_is_listed_once() {
    let lake = company().await;
    let config = ALL.replace("lake.customers = \"customers.csv\"\n", "");
    let line = |customer: Option<&'static str>, order: &'static str| -> [Line<'static>; 1] {
        [(customer, order, "2024-12-12T10:00:00Z", 5_000)]
    };
    lake.sales("sales/nobody.parquet", &line(None, "n-1")).await;
    run(&lake, &config).await.unwrap();
    lake.sales("sales/late.parquet", &line(Some("ann"), "late")).await;
    assert_eq!(run(&lake, &config).await.unwrap().pointer.seq, 2);
    let twice = ask(
        &lake,
        "select count(*) as twice from (select metric from roi.restatements \
         group by seq, section, metric, \"window\", score, outcome, band, driver, initiative, lag, unit, method \
         having count(*) > 1)",
    )
    .await;
    assert!(twice.contains("| 0     |"), "{twice}");
    let of_month = async |seq: u64| {
        let sql =
            "select segment, before, after from roi.restatements where metric = 'revenue' and \"window\" = 'MONTH'";
        ask(&lake, &format!("{sql} and seq = {seq} order by segment")).await
    };
    // 133.47, 50 of nobody, and 50 of ann.
    let seen = of_month(2).await;
    assert!(seen.contains("| (all)   | 183.47 | 233.47 |") && seen.lines().count() == 5, "{seen}");

    // Nobody turns out to be ann: that moves no revenue but that of customers, who are all of an unknown segment.
    lake.sales("sales/nobody.parquet", &line(Some("ann"), "n-1")).await;
    assert_eq!(run(&lake, &config).await.unwrap().pointer.seq, 3);
    let seen = of_month(3).await;
    assert!(seen.contains("| (unknown) | 182.36 | 232.36 |") && seen.lines().count() == 5, "{seen}");

    // With segments the rest is a segment as any other.
    let lake = company().await;
    lake.sales("sales/eve.parquet", &line(Some("eve"), "e-1")).await;
    run(&lake, ALL).await.unwrap();
    lake.sales("sales/late.parquet", &line(Some("eve"), "late")).await;
    run(&lake, ALL).await.unwrap();
    let sql = "select segment from roi.restatements where metric = 'revenue' and \"window\" = 'MONTH' order by segment";
    let seen = ask(&lake, sql).await;
    assert!(seen.contains("| (all)     |") && seen.contains("| (unknown) |") && seen.lines().count() == 6, "{seen}");
}

#[tokio::test]
async fn what_begins_after_the_period_and_files_written_again_restate_nothing() {
    let lake = company().await;
    let unreadable = || {
        let mut columns = tests::sales(&[(Some("ann"), "unreadable", "2024-12-12T10:00:00Z", 0)]);
        columns[3].1 = tests::cents([None].into_iter());
        columns
    };
    lake.put_columns("sales/unreadable.parquet", unreadable()).await;
    let first = run(&lake, ALL).await.unwrap();
    lake.put("ledger.csv", format!("{LEDGER}2025-01,140\n")).await;
    lake.put("initiatives.csv", format!("{PROGRAMMES}coach,2025-01-01,,10,0\n")).await;
    lake.put("assignments.csv", format!("{ASSIGNMENTS}coach,cas,treated\n")).await;
    let rows = lake.get("sales/month=2024-12/part-0.parquet").await.unwrap();
    lake.put("sales/month=2024-12/part-0.parquet", rows).await;
    lake.delete("sales/unreadable.parquet").await;
    lake.put_columns("sales/renamed.parquet", unreadable()).await;
    let again = run(&lake, ALL).await.unwrap();
    assert!(!again.published && again.pointer == first.pointer, "{again:?}");
    assert_eq!(again.months_read.len(), 1, "the file was looked at");
}

/// Makes it look as if another version had published the period.
async fn as_of_another_version(lake: &Lake, period: &str) {
    let pointer_key = format!("out/published/{period}.json");
    let mut pointer = json(lake, &pointer_key).await;
    let (run, attempt) =
        (pointer["run_id"].as_str().unwrap().to_owned(), pointer["attempt"].as_str().unwrap().to_owned());
    for key in lake.keys(&format!("out/runs/{period}/{run}/{attempt}")).await {
        let bytes = lake.get(&key).await.unwrap();
        lake.put(&key.replace(&run, "00000000000000000000000000000000"), bytes).await;
    }
    let manifest_key = format!("out/runs/{period}/00000000000000000000000000000000/{attempt}/manifest.json");
    let mut manifest = json(lake, &manifest_key).await;
    (manifest["version"], manifest["version_hash"]) = ("0.0.9".into(), "another".into());
    lake.put(&manifest_key, manifest.to_string()).await;
    pointer["run_id"] = "00000000000000000000000000000000".into();
    lake.put(&pointer_key, pointer.to_string()).await;
}

#[tokio::test]
async fn a_new_version_alone_restates_nothing() {
    let lake = company().await;
    run(&lake, ALL).await.unwrap();
    as_of_another_version(&lake, "2024-12").await;
    let engine = lake.open(ALL).await.unwrap();
    assert!(engine.due(instant(NOW)).await.unwrap().publish.is_empty());
    let outcome = run(&lake, ALL).await.unwrap();
    assert_eq!((outcome.published, outcome.other_version.as_deref()), (false, Some("0.0.9")), "{outcome:?}");

    lake.sales("sales/late.parquet", &[(Some("ann"), "late", "2024-12-12T10:00:00Z", 5_000)]).await;
    let engine = lake.open(ALL).await.unwrap();
    assert_eq!(engine.due(instant(NOW)).await.unwrap().publish.len(), 1);
    assert_eq!(run(&lake, ALL).await.unwrap().pointer.seq, 2);
    let seen = ask(&lake, "select distinct array_to_string(moved_by, ', ') as moved_by from roi.restatements").await;
    assert!(seen.contains("| sales, version |") && seen.lines().count() == 5, "{seen}");

    as_of_another_version(&lake, "2024-12").await;
    let engine = lake.open(ALL).await.unwrap().refreshing_version();
    let outcome = engine.run(Some("2024-12".parse().unwrap()), instant(NOW), &|_| {}).await.unwrap();
    assert_eq!((outcome.published, outcome.pointer.seq), (true, 3), "asked for, it is computed anew");
}

#[tokio::test]
async fn closed_and_old_periods_keep_their_numbers_and_are_marked_while_their_inputs_are_others() {
    let lake = Lake::seven_months().await;
    lake.put("cxroi.toml", CONFIG).await;
    let function = Function::new(lake.url.join("cxroi.toml").unwrap(), lake.stores.clone(), None).unwrap();
    // One warm function sees each new file.
    let fire = async |time: &str| {
        let planned = plan::handle(plan::Request { time: Some(time.to_owned()) }, &function).await.unwrap();
        let Some(plan) = planned.plan else { return Vec::new() };
        for month in planned.months {
            rollup::handle(rollup::Request { plan: plan.clone(), month }, &function).await.unwrap();
        }
        let report = report::handle(report::Request { plan }, &function).await.unwrap();
        report.periods.into_iter().map(|published| published.period.to_string()).collect()
    };
    assert_eq!(fire("2025-01-10T06:00:00Z").await, ["2024-12"]);
    for month in 1..=4 {
        lake.month(2025, month).await;
    }
    assert_eq!(fire("2025-05-10T06:00:00Z").await, ["2025-01", "2025-02", "2025-03", "2025-04"]);
    let config = Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap();
    engine::close(&config, &lake.stores, "2025-04".parse().unwrap(), true, instant(NOW)).await.unwrap();
    assert_eq!(fire("2025-05-11T06:00:00Z").await, Vec::<String>::new());
    for period in ["2024-12", "2025-01", "2025-04"] {
        assert_eq!(stale(&lake, period).await, Value::Null, "{period}");
    }

    lake.sales("sales/late.parquet", &[(Some("ann"), "late", "2025-01-12T10:00:00Z", 5_000)]).await;
    // Of the newest three, April is closed; January is older, and December ends before the row.
    assert_eq!(fire("2025-05-12T06:00:00Z").await, ["2025-02", "2025-03"]);
    assert_eq!(stale(&lake, "2024-12").await, Value::Null);
    for period in ["2025-01", "2025-04"] {
        assert_eq!(stale(&lake, period).await, serde_json::json!(["sales"]), "{period}");
    }
    let page = lake.get("out/publications/2025-02/2/report.html").await.unwrap();
    let told = "Since 2025-01: the windows of two months that follow each other share most of their months; the numbers of then are \
                those published before sales moved";
    assert!(String::from_utf8_lossy(&page).contains(told), "the same run says it of the month before");
    let error = lake.run_at("2025-05-12T06:00:00Z").await.unwrap_err();
    assert!(matches!(error, Error::Closed { seq: 1, .. }), "{error}");

    lake.delete("sales/late.parquet").await;
    assert_eq!(fire("2025-05-13T06:00:00Z").await, ["2025-02", "2025-03"]);
    for period in ["2024-12", "2025-01", "2025-04"] {
        assert_eq!(stale(&lake, period).await, Value::Null, "{period} is what it was again");
    }
}
