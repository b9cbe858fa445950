//! What a run reads, writes and shows.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde_json::Value;
use tests::faulty::Faulty;
use tests::watched::{Death, Watched};
use tests::{CONFIG, Lake, NOW, instant};

const ESTIMATES: &str = "out/summaries/estimates/period=2024-12/estimates.parquet";
const FACTS: &str = "out/facts/customer_month/";

async fn json(lake: &Lake, key: &str) -> Option<Value> {
    lake.get(key).await.map(|bytes| serde_json::from_slice(&bytes).expect("valid JSON"))
}

/// The value of a number about everybody in the published summary.
async fn value(lake: &Lake, metric: &str, window: &str) -> Option<f64> {
    let summary = json(lake, "out/summaries/latest/summary.json").await.expect("a published summary");
    let rows = summary["estimates"].as_array().expect("estimates").clone();
    let row =
        rows.into_iter().find(|row| row["metric"] == metric && row["window"] == window && row["segment"] == "(all)");
    row.expect("the metric")["value"].as_f64()
}

fn months(outcome: &engine::Outcome) -> Vec<String> {
    outcome.months_read.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_first_run_reads_every_month_and_publishes_the_last_closed_one() {
    let lake = Lake::seven_months().await;
    let outcome = lake.run().await.unwrap();
    assert_eq!((outcome.period.to_string().as_str(), outcome.published, outcome.pointer.seq), ("2024-12", true, 1));
    assert_eq!(outcome.months_read.len(), 7);
    // 20.84 + 15.84 - 3 + 90.84 + 7.84 + 1.11 in December.
    assert_eq!(value(&lake, "revenue", "MONTH").await, Some(133.47));
    assert_eq!(value(&lake, "history_months", "ALL").await, Some(7.0));
    // Twelve months are more than there are: a status, not a number.
    assert_eq!(value(&lake, "revenue", "T12M").await, None);
    let manifest = lake.keys("out/runs").await.into_iter().find(|key| key.ends_with("manifest.json")).unwrap();
    let manifest = json(&lake, &manifest).await.unwrap();
    assert_eq!(manifest["inputs"].as_array().unwrap().len(), 15);
    let sales = &manifest["rows"]["sales"];
    assert_eq!([&sales["read"], &sales["rows"], &sales["used"]], [42; 3]);
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_reads_no_rows() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let watched = Watched::new(Arc::clone(&memory), None);
    let lake = Lake::over(Arc::new(watched.clone()));
    lake.fill().await;
    lake.run().await.unwrap();
    let engine = lake.open(CONFIG).await.unwrap();
    watched.take();
    let outcome = engine.run(None, instant(NOW), &|_| {}).await.unwrap();
    let (read, written) = watched.take();
    assert!(!outcome.published && outcome.months_read.is_empty() && outcome.repaired == 0, "{outcome:?}");
    assert_eq!(written, Vec::<String>::new());
    let rows: Vec<_> = read.iter().filter(|key| key.starts_with("sales") || key.starts_with("interactions")).collect();
    assert!(rows.is_empty(), "the footers were enough, but it read {rows:?}");
}

#[tokio::test]
async fn a_new_month_is_the_only_one_read() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let before = lake.get(ESTIMATES).await;
    lake.month(2025, 1).await;
    let outcome = lake.run_at("2025-02-03T06:00:00Z").await.unwrap();
    assert_eq!((outcome.period.to_string(), months(&outcome)), ("2025-01".to_owned(), vec!["2025-01".to_owned()]));
    assert_eq!(lake.get(ESTIMATES).await, before, "an earlier period stays as it was");
    assert_eq!(json(&lake, "out/summaries/latest/summary.json").await.unwrap()["period"], "2025-01");
}

#[tokio::test]
async fn a_plan_says_what_the_month_after_the_reported_one_waits_for() {
    let lake = Lake::seven_months().await;
    let waits = async |period: Option<&str>, config: &str, now: &str| {
        let engine = lake.open(config).await.unwrap();
        let plan = engine.plan(period.map(|period| period.parse().unwrap()), instant(now)).await.unwrap();
        plan.next_waits_for(&engine, instant(now))
    };
    assert_eq!(
        waits(None, CONFIG, NOW).await.unwrap(),
        "2025-01 is not due: interactions reach 2024-12-30 11:00 CET, sales reach 2024-12-30 11:00 CET, and have to reach \
         2025-01-29 00:00 CET; it ends at 2025-02-01 00:00 CET"
    );
    assert_eq!(waits(Some("2024-11"), CONFIG, NOW).await, None, "December is closed as well");
    let incomplete = format!("{CONFIG}\nrun.allow_incomplete = true");
    assert_eq!(waits(Some("2025-01"), &incomplete, NOW).await, None, "even January is not closed");
    // One feed comes and the other does not; the month has been over for two days and an hour.
    lake.sales("sales/january.parquet", &[(Some("ann"), "j-1", "2025-01-29T10:00:00Z", 4_200)]).await;
    assert_eq!(
        waits(None, CONFIG, "2025-02-03T00:00:00Z").await.unwrap(),
        "2025-01 is not due: interactions reach 2024-12-30 11:00 CET, and have to reach 2025-01-29 00:00 CET; it ended 2 days ago"
    );
    lake.interactions("interactions/january.parquet", &[(Some("ann"), "2025-01-29T10:00:00Z", Some(9), None)]).await;
    assert_eq!(
        waits(None, CONFIG, "2025-01-30T12:00:00Z").await.unwrap(),
        "2025-01 is not due: it ends at 2025-02-01 00:00 CET"
    );
}

#[tokio::test]
async fn a_late_row_in_an_old_month_restates_the_numbers_and_keeps_the_old_run() {
    let lake = Lake::seven_months().await;
    let first = lake.run().await.unwrap();
    let old: Vec<String> = lake.keys("out/runs").await;
    let facts = lake.keys(FACTS).await.len();
    let retained = value(&lake, "revenue", "T3M").await;
    lake.sales("sales/late.parquet", &[(Some("ann"), "late-1", "2024-10-31T22:30:00Z", 5_000)]).await;
    let second = lake.run().await.unwrap();
    // 22:30 UTC on the last of October is 23:30 in Rome: the row belongs to October, which is read again alone.
    assert_eq!(months(&second), ["2024-10"]);
    assert_eq!((second.published, second.pointer.seq), (true, 2));
    assert_ne!(first.pointer.run_id, second.pointer.run_id);
    let difference = value(&lake, "revenue", "T3M").await.unwrap() - retained.unwrap();
    assert!((difference - 50.0).abs() < 1e-9, "{difference}");
    assert_eq!(lake.keys(FACTS).await.len(), facts + 1, "facts are immutable: a new object beside the old one");
    let now = lake.keys("out/runs").await;
    assert!(old.iter().all(|key| now.contains(key)), "an earlier run stays readable");
}

#[tokio::test]
async fn a_killed_run_shows_nothing_partial_and_the_next_one_finishes_it() {
    let reference = Lake::seven_months().await;
    reference.run().await.unwrap();
    let mut deaths = 0;
    for last_is_applied in [false, true] {
        for after_writes in 0.. {
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let healthy = Lake::over(Arc::clone(&memory));
            healthy.fill().await;
            healthy.put("cxroi.toml", CONFIG).await;
            let watched =
                Watched::new(Arc::clone(&memory), Some(Death { after_writes: after_writes + 1, last_is_applied }));
            let result = Lake::over(Arc::new(watched.clone())).run().await;
            if !watched.is_dead() {
                assert!(result.unwrap().published);
                break;
            }
            deaths += 1;
            let at = format!("killed at write {after_writes}, applied: {last_is_applied}");
            assert!(result.is_err(), "{at}");
            if let Some(pointer) = json(&healthy, "out/published/2024-12.json").await {
                let run = format!(
                    "out/runs/2024-12/{}/{}",
                    pointer["run_id"].as_str().unwrap(),
                    pointer["attempt"].as_str().unwrap()
                );
                let manifest = json(&healthy, &format!("{run}/manifest.json")).await.expect(&at);
                for file in manifest["files"].as_object().unwrap().keys() {
                    assert!(
                        healthy.get(&format!("{run}/{file}")).await.is_some(),
                        "{at}: {file} is visible and not there"
                    );
                }
                let summary = format!("out/publications/2024-12/{}/summary.json", pointer["seq"]);
                assert!(healthy.get(&summary).await.is_some(), "{at}");
            } else {
                assert!(healthy.keys("out/summaries").await.is_empty(), "{at}: copies without a pointer");
            }
            let finished = healthy.keys("out/facts/records").await.len();
            let outcome = healthy.run().await.expect(&at);
            assert_eq!(outcome.months_read.len(), 7 - finished, "{at}: finished months are kept");
            assert_eq!(healthy.get(ESTIMATES).await, reference.get(ESTIMATES).await, "{at}");
            let again = healthy.run().await.expect(&at);
            assert!(!again.published && again.repaired == 0, "{at}: {again:?}");
        }
    }
    assert!(deaths > 40, "{deaths} deaths are too few to have tried every write");
}

#[tokio::test]
async fn the_same_rows_in_other_files_give_the_same_bytes() {
    let one = Lake::seven_months().await;
    one.run().await.unwrap();
    // All of it again, every file's rows reversed and split in two, without folders.
    let other = Lake::default();
    for key in one.keys("").await.into_iter().filter(|key| key.ends_with(".parquet") && !key.starts_with("out/")) {
        let source = key.split('/').next().unwrap();
        let bytes = one.get(&key).await.unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let backwards = arrow::array::UInt64Array::from_iter_values((0..batch.num_rows() as u64).rev());
        let columns = batch.columns().iter().map(|column| arrow::compute::take(column, &backwards, None).unwrap());
        let fields = batch.schema();
        let columns: Vec<_> = fields.fields().iter().map(|field| field.name().as_str()).zip(columns).collect();
        for (part, from, rows) in [("a", 0, 1), ("b", 1, batch.num_rows() - 1)] {
            let part = format!("{source}/{part}{}", key.replace(['/', '='], "-"));
            other
                .put_columns(&part, columns.iter().map(|(name, column)| (*name, column.slice(from, rows))).collect())
                .await;
        }
    }
    other.run().await.unwrap();
    for table in ["estimates", "money"] {
        let key = format!("out/summaries/{table}/period=2024-12/{table}.parquet");
        assert_eq!(one.get(&key).await.unwrap(), other.get(&key).await.unwrap(), "{table}");
    }
}

#[tokio::test]
async fn of_many_writers_one_publishes_and_the_others_know() {
    let lake = Lake::seven_months().await;
    for round in 1..=5 {
        // Something new each round, so that there is something to publish.
        lake.sales(&format!("sales/late-{round}.parquet"), &[(Some("bob"), "late", "2024-11-05T10:00:00Z", round)])
            .await;
        let engine = lake.open(CONFIG).await.unwrap();
        let writers = (0..6).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.run(None, instant(NOW), &|_| {}).await })
        });
        let outcomes = futures::future::join_all(writers).await;
        let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.published).count(), 1, "round {round}: {outcomes:?}");
        let pointer = json(&lake, "out/published/2024-12.json").await.unwrap();
        assert!(
            outcomes.iter().all(|outcome| outcome.pointer.seq == pointer["seq"].as_u64().unwrap()),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_copy_that_was_lost_or_spoilt_is_mended_by_the_next_run() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let good = lake.get(ESTIMATES).await;
    lake.put(ESTIMATES, "spoilt").await;
    lake.delete("out/summaries/latest/summary.json").await;
    let outcome = lake.run().await.unwrap();
    assert_eq!((outcome.published, outcome.repaired), (false, 2));
    assert_eq!(lake.get(ESTIMATES).await, good);
}

#[tokio::test]
async fn a_month_that_is_not_closed_is_published_flagged_where_that_was_asked_for() {
    let lake = Lake::seven_months().await;
    let config = format!("{CONFIG}\nrun.allow_incomplete = true");
    let period = Some("2025-01".parse().unwrap());
    lake.sales("sales/january.parquet", &[(Some("ann"), "j-1", "2025-01-03T10:00:00Z", 4_200)]).await;
    lake.open(&config).await.unwrap().run(period, instant(NOW), &|_| {}).await.unwrap();
    assert_eq!(value(&lake, "revenue", "MONTH").await, Some(42.0));
    let summary = json(&lake, "out/summaries/latest/summary.json").await.unwrap();
    assert!(summary["incomplete"].as_str().unwrap().contains("2025-01 is not over in Europe/Rome"), "{summary}");
    let rows = summary["estimates"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["flags"].as_array().is_some_and(|flags| flags.contains(&"incomplete".into()))));
}

#[tokio::test]
async fn a_small_sample_keeps_its_value_and_loses_its_interval_and_a_small_cell_leaves_nothing() {
    let lake = Lake::seven_months().await;
    let nps = async |config: &str| {
        lake.open(config).await.unwrap().run(None, instant(NOW), &|_| {}).await.unwrap();
        let summary = json(&lake, "out/summaries/latest/summary.json").await.unwrap();
        let rows = summary["estimates"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["metric"] == "nps" && row["segment"] == "(all)").unwrap()
    };
    // Nine answers of three customers: ann promotes, cas detracts, bob answered 10, 0 and 1.
    let open = nps(CONFIG).await;
    assert_eq!((open["n"].as_i64(), open["customers"].as_i64()), (Some(9), Some(3)));
    assert!(open["lo"].is_number() && open["flags"].is_null(), "{open}");
    let guarded = nps(&CONFIG.replace("guards.enabled = false", "guards.enabled = true")).await;
    assert_eq!(guarded["value"], open["value"]);
    assert!(guarded["lo"].is_null() && guarded["se"].is_null(), "{guarded}");
    assert_eq!(guarded["flags"][0], "interval_withheld");
    let private = nps(&CONFIG.replace("min_customers = 0", "min_customers = 4")).await;
    assert_eq!(private["status"], "suppressed");
    for field in ["value", "n", "customers", "lo", "flags"] {
        assert!(private[field].is_null(), "{field} of a small cell is in {private}");
    }
}

#[tokio::test]
async fn an_object_overwritten_while_it_is_read_stops_the_run() {
    let lake = Lake::seven_months().await;
    let engine = lake.open(CONFIG).await.unwrap();
    // The same shape and size, other money, after the lake was listed.
    let key = "sales/month=2024-11/part-0.parquet";
    let bytes = lake.get(key).await.unwrap();
    lake.put(key, bytes).await;
    let error = engine.run(None, instant(NOW), &|_| {}).await.unwrap_err();
    assert!(matches!(error, engine::Error::Changed(_)), "{error:?}");
    assert!(error.to_string().contains("sales/month=2024-11/part-0.parquet changed while it was read"), "{error}");
    assert!(lake.keys("out/published").await.is_empty());
}

#[tokio::test]
async fn a_slow_run_does_not_hide_what_was_published_meanwhile() {
    let lake = Lake::seven_months().await;
    let slow = lake.open(CONFIG).await.unwrap();
    lake.sales("sales/late.parquet", &[(Some("ann"), "late-1", "2024-12-05T10:00:00Z", 5_000)]).await;
    let quick = lake.run().await.unwrap();
    let error = slow.run(None, instant(NOW), &|_| {}).await.unwrap_err();
    assert!(matches!(error, engine::Error::Conflict(_)), "{error}");
    assert_eq!(value(&lake, "revenue", "MONTH").await, Some(183.47));
    assert_eq!(lake.run().await.unwrap().pointer, quick.pointer);
}

#[tokio::test]
async fn damaged_pages_name_the_file_and_end_the_run_in_order() {
    for seed in 0..40_usize {
        let lake = Lake::seven_months().await;
        let key = "sales/month=2024-08/part-0.parquet";
        let mut bytes = lake.get(key).await.unwrap().to_vec();
        let at = 4 + seed * 13 % (bytes.len() / 3);
        bytes[at] ^= 0xa5;
        lake.put(key, bytes).await;
        match lake.run().await {
            // A flipped bit in a value that no check covers is data.
            Ok(_) => {}
            Err(error) => {
                assert!(error.to_string().contains(key), "{at}: {error}");
                assert_eq!(error.kind(), "Input", "{at}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn damaged_facts_are_named_with_what_to_delete() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let key = lake.keys(FACTS).await.remove(0);
    let mut bytes = lake.get(&key).await.unwrap().to_vec();
    let length = bytes.len();
    bytes[4..length / 3].fill(0xa5);
    lake.put(&key, bytes).await;
    // Everything is measured again, from the facts that are there.
    lake.customers("customers/all.parquet", &[("ann", "work"), ("bob", "work")]).await;
    let engine = lake.open(CONFIG).await.unwrap().refreshing_dimensions();
    let error = engine.run(None, instant(NOW), &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), "Input", "{error}");
    assert!(error.to_string().contains(&key) && error.to_string().contains("facts/records"), "{error}");
}

#[tokio::test]
async fn what_was_changed_or_lost_after_publication_is_found() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let verify = async || {
        let config = engine::Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap();
        engine::verify(&config, &lake.stores, None).await.unwrap().remove("2024-12").unwrap()
    };
    let (objects, problems) = verify().await;
    // Five tables of each of seven months, customers, the run's three files, the publication's four, nine copies.
    assert_eq!((objects, problems), (7 * 5 + 1 + 3 + 4 + 9, vec![]));
    let facts = lake.keys(FACTS).await.remove(0);
    let run = lake.keys("out/runs").await.into_iter().find(|key| key.ends_with("/money.parquet")).unwrap();
    lake.delete(&facts).await;
    lake.put(&run, "other money").await;
    lake.put(ESTIMATES, "other numbers").await;
    let (_, mut problems) = verify().await;
    problems.sort();
    let wrong = [
        format!("memory://lake/{facts} is gone"),
        format!("memory://lake/{run} is not what was written"),
        format!("memory://lake/{ESTIMATES} is not a copy of"),
        "memory://lake/out/summaries/money/period=2024-12/money.parquet is not a copy of".to_owned(),
    ];
    assert_eq!(problems.len(), wrong.len(), "{problems:?}");
    for wrong in wrong {
        assert!(problems.iter().any(|problem| problem.starts_with(&wrong)), "{wrong} is not in {problems:?}");
    }
}

#[tokio::test]
async fn what_a_newer_version_published_in_another_form_names_both_versions() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let config = engine::Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap();
    let rewrite = async |file: &str, changes: &[(&str, &str)]| {
        let key = format!("out/publications/2024-12/1/{file}");
        let text = String::from_utf8(lake.get(&key).await.unwrap().to_vec()).unwrap();
        let text = changes.iter().fold(text, |text, (from, to)| text.replace(from, to));
        lake.put(&key, text).await;
    };
    let refused = async || {
        let error = engine::summary(&config, &lake.stores, None).await.unwrap_err();
        assert_eq!(error.kind(), "Input");
        error.to_string()
    };
    let version = format!("\"version\": \"{}\"", engine::VERSION);
    let newer = (version.as_str(), "\"version\": \"99.1.0\"");
    rewrite("summary.json", &[newer, ("\"schema\": 1", "\"schema\": 2")]).await;
    let said = refused().await;
    assert!(said.contains("version 99.1.0") && said.contains(engine::VERSION), "{said}");
    rewrite("publication.json", &[newer]).await;
    lake.put("out/published/2024-12.json", "{\"seq\": 1, \"runs\": []}").await;
    let said = refused().await;
    assert!(said.contains("version 99.1.0") && !said.contains("damaged"), "{said}");
    lake.put("out/published/2024-12.json", "{\"seq\": ").await;
    let said = refused().await;
    assert!(said.contains("damaged") && said.contains("publications/2024-12/"), "{said}");
}

#[tokio::test]
async fn publications_are_listed_and_the_visible_one_is_pulled_as_it_was_written() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    lake.sales("sales/late.parquet", &[(Some("ann"), "late-1", "2024-10-31T22:30:00Z", 5_000)]).await;
    let second = lake.run().await.unwrap().pointer;
    let config = engine::Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap();

    let listed = engine::publications(&config, &lake.stores, None).await.unwrap();
    let told: Vec<_> = listed.iter().map(|listed| (listed.publication.pointer.seq, listed.visible.as_ref())).collect();
    assert_eq!(told, [(2, Some(&second)), (1, None)]);
    assert!(listed[0].publication.moved.iter().eq(["sales"]) && listed[0].publication.late_rows["sales"] == 1);
    assert!(listed[0].changed > 0 && listed[1].changed == 0, "{listed:?}");

    let (period, pointer, files) = engine::pull(&config, &lake.stores, None).await.unwrap();
    assert_eq!((period.as_str(), &pointer), ("2024-12", &second));
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["estimates.parquet", "money.parquet", "report.html", "restatements.parquet", "roi.xlsx", "summary.json"];
    assert_eq!(names, [&expected[..], &["manifest.json"]].concat());
    for (name, bytes) in files.iter().filter(|(name, _)| !name.contains("manifest")) {
        let folder = match name.strip_suffix(".parquet") {
            Some(table) => format!("{table}/period=2024-12"),
            None => "files/2024-12".to_owned(),
        };
        assert_eq!(lake.get(&format!("out/summaries/{folder}/{name}")).await.as_ref(), Some(bytes), "{name}");
    }

    let hour = std::time::Duration::from_secs(3_600);
    let error = engine::links(&config, &lake.stores, None, hour).await.unwrap_err().to_string();
    assert!(error.contains("only objects on S3 have links"), "{error}");
    lake.put("out/publications/2024-12/2/report.html", "another page").await;
    let error = engine::pull(&config, &lake.stores, None).await.unwrap_err().to_string();
    assert!(error.contains("report.html is not what was written"), "{error}");
}

#[tokio::test]
async fn a_store_is_tried_and_one_that_ignores_preconditions_is_named() {
    let lake = Lake::seven_months().await;
    lake.open(CONFIG).await.unwrap();
    let wrong = async |lake: &Lake| -> Vec<&str> {
        let config = engine::Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap();
        let claims = engine::prove_store(&config, &lake.stores, instant(NOW)).await.unwrap();
        assert_eq!((claims.len(), lake.keys("out/checks").await.len()), (6, 0));
        claims.into_iter().filter_map(|(claim, found)| found.map(|_| claim)).collect()
    };
    assert_eq!(wrong(&lake).await, [""; 0]);
    let careless = Faulty::careless(lake.store.clone());
    assert_eq!(
        wrong(&Lake::over(std::sync::Arc::new(careless))).await,
        [
            "A create where something is, is refused (If-None-Match).",
            "An update of what changed meanwhile is refused (If-Match).",
            "A read of a version that was overwritten is refused.",
        ]
    );
}

#[tokio::test]
async fn partitions_batches_file_order_and_memory_change_no_byte() {
    let mut seen = Vec::new();
    for (number, (partitions, batch_rows)) in
        [1, 2, 3, 6].into_iter().flat_map(|cores| [7, 1_000, 32_768].map(|rows| (cores, rows))).enumerate()
    {
        let lake = Lake::seven_months().await;
        // Two more orders, in two files whose names sort by turns the one and the other way round.
        let lines = |order: &'static str| [(Some("fay"), order, "2024-12-03T10:00:00Z", 1_234)];
        let (first, second) = if number % 2 == 0 { ("a", "b") } else { ("b", "a") };
        lake.sales(&format!("sales/{first}.parquet"), &lines("f-1")).await;
        lake.sales(&format!("sales/{second}.parquet"), &lines("f-2")).await;
        let memory = if number % 3 == 0 { "auto" } else { "1 GB" };
        let config = format!("{CONFIG}run.memory_limit = \"{memory}\"\n");
        let engine = lake.open(&config).await.unwrap().with_parallelism(partitions, batch_rows);
        engine.run(None, instant(NOW), &|_| {}).await.unwrap();
        let mut facts = Vec::new();
        for key in lake.keys(FACTS).await {
            facts.push(lake.get(&key).await.unwrap());
        }
        let money = lake.get("out/summaries/money/period=2024-12/money.parquet").await.unwrap();
        seen.push((lake.get(ESTIMATES).await.unwrap(), money, facts));
    }
    let different = seen.iter().position(|tables| *tables != seen[0]);
    assert!(different.is_none(), "run {different:?} differs from the first");
}
