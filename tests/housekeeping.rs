//! What is deleted of the output because nothing published stands on it, and who is forgotten.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{Duration, Utc};
use engine::{Config, Forgotten};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::watched::{Death, Watched};
use tests::{CONFIG, Lake, NOW, instant};

async fn config(lake: &Lake) -> Config {
    Config::load(&lake.url.join("cxroi.toml").unwrap(), &lake.stores).await.unwrap()
}

/// Keys of what can be deleted, as seen from tomorrow.
async fn unused(lake: &Lake) -> Vec<String> {
    let tomorrow = Utc::now() + Duration::days(1);
    let found = engine::collect_garbage(&config(lake).await, &lake.stores, Duration::hours(1), tomorrow, true).await;
    found.unwrap().into_iter().map(|object| object.key).collect()
}

async fn problems(lake: &Lake) -> Vec<String> {
    let verified = engine::verify(&config(lake).await, &lake.stores, None).await.unwrap();
    verified.into_values().flat_map(|(_, problems)| problems).collect()
}

#[tokio::test]
async fn what_no_publication_stands_on_goes_and_earlier_runs_stay() {
    let lake = Lake::seven_months().await;
    lake.run().await.unwrap();
    let windows = unused(&lake).await;
    assert!(!windows.is_empty() && windows.iter().all(|key| key.starts_with("facts/windows/")), "{windows:?}");
    // A second publication, then a writer that is cut off when all but the pointer is written.
    let line = |order: &'static str| [(Some("ann"), order, "2024-12-12T10:00:00Z", 5_000)];
    lake.sales("sales/late.parquet", &line("late")).await;
    lake.run().await.unwrap();
    let before = lake.keys("out").await;
    lake.sales("sales/later.parquet", &line("later")).await;
    // By twos: each that dies after it claimed a number leaves one more to claim.
    for after_writes in (7..).step_by(2) {
        let watched = Watched::new(lake.store.clone(), Some(Death { after_writes, last_is_applied: false }));
        let _ = Lake::over(std::sync::Arc::new(watched)).run().await;
        // The last write before the pointer's.
        let told = lake.keys("out/publications").await;
        if told.iter().any(|key| key.ends_with("/restatements.parquet") && !before.contains(key)) {
            break;
        }
    }
    let left: Vec<String> = lake.keys("out").await.into_iter().filter(|key| !before.contains(key)).collect();
    assert!(
        left.iter().any(|key| key.contains("/runs/"))
            && left.iter().any(|key| key.contains("/facts/sess") || key.contains("/facts/records/"))
    );
    assert!(lake.keys("out/published").await.len() == 1 && problems(&lake).await.is_empty());

    let young =
        engine::collect_garbage(&config(&lake).await, &lake.stores, Duration::hours(1), Utc::now(), false).await;
    assert_eq!(young.unwrap(), [], "what is young may be about to be used");
    let tomorrow = Utc::now() + Duration::days(1);
    engine::collect_garbage(&config(&lake).await, &lake.stores, Duration::hours(1), tomorrow, false).await.unwrap();
    let kept: Vec<String> = before.iter().filter(|key| !key.contains("/windows/")).cloned().collect();
    assert_eq!(lake.keys("out").await, kept, "both publications stand as they did");
    assert!(problems(&lake).await.is_empty() && unused(&lake).await.is_empty());
    assert_eq!(lake.run().await.unwrap().months_read.len(), 1, "what the cut-off run had made is made again");
    lake.delete("out/published/2024-12.json").await;
    let lost = engine::collect_garbage(&config(&lake).await, &lake.stores, Duration::hours(1), tomorrow, false).await;
    assert!(lost.unwrap_err().to_string().starts_with("2024-12 has publications and no pointer"));
}

/// Whether some file below the output has the customer in a column of ids, or anywhere in plain text.
async fn holds(lake: &Lake, customer: &str) -> Vec<String> {
    let mut holding = Vec::new();
    for key in lake.keys("out").await {
        let bytes: Bytes = lake.get(&key).await.unwrap();
        let text = if key.ends_with(".parquet") {
            let rows = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
            arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
        } else {
            String::from_utf8_lossy(&bytes).into_owned()
        };
        if text.contains(customer) {
            holding.push(key);
        }
    }
    holding
}

#[tokio::test]
async fn a_forgotten_customer_is_in_no_object_and_the_numbers_say_so() {
    let lake = Lake::seven_months().await;
    // An id that no word of any object has; twice in the list of customers, so that it is in the list of copies too.
    let lines = [(Some("zoe-77"), "zoe-1", "2024-12-12T10:00:00Z", 5_000)];
    lake.sales("sales/zoe.parquet", &lines).await;
    lake.customers("customers/zoe.parquet", &[("zoe-77", "home"), ("zoe-77", "work"), ("yan-88", "home")]).await;
    let first = lake.run().await.unwrap();
    assert!(holds(&lake, "zoe-77").await.len() >= 4, "facts, windows, snapshot, list of copies");
    let ids = BTreeSet::from(["zoe-77".to_owned()]);
    let looked = engine::forget(&config(&lake).await, &lake.stores, &ids, None).await.unwrap();
    assert!(looked.objects >= 4 && looked.rows >= 4, "{looked:?}");
    assert_eq!(engine::forget(&config(&lake).await, &lake.stores, &ids, Some(Utc::now())).await.unwrap(), looked);
    assert_eq!(holds(&lake, "zoe-77").await, Vec::<String>::new());
    assert_eq!(problems(&lake).await, Vec::<String>::new(), "what was published stands, without the customer");

    let second = lake.run().await.unwrap();
    assert!(second.published && second.months_read.is_empty() && second.pointer.seq == first.pointer.seq + 1);
    assert_eq!(holds(&lake, "zoe-77").await, Vec::<String>::new());
    let page = lake.get("out/publications/2024-12/2/report.html").await.unwrap();
    let page = String::from_utf8_lossy(&page);
    let (_, table) = page.split_once("What became of every row that was read").unwrap();
    let (table, _) = table.split_once("</table>").unwrap();
    assert!(table.contains("Forgotten"), "{table}");
    let cells = |row: &str| -> Vec<u64> {
        row.split("</td>").filter_map(|cell| cell.rsplit('>').next()?.parse().ok()).collect()
    };
    let rows: Vec<Vec<u64>> = table.split("</tr>").map(cells).filter(|cells| !cells.is_empty()).collect();
    assert!(rows.len() >= 3 && rows.iter().all(|cells| cells[0] == cells[1..].iter().sum::<u64>()), "{rows:?}");
    let (analyst, _) = lake.open(CONFIG).await.unwrap().analyst(instant(NOW)).await.unwrap();
    let sql = "select before, after, array_to_string(moved_by, ', ') as moved_by from roi.restatements \
               where metric = 'revenue' and segment = '(all)' and \"window\" = 'MONTH'";
    let rows = analyst.query(sql).await.unwrap().collect().await.unwrap();
    let rows = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    assert!(rows.contains("| 183.47 | 133.47 | forgotten customers |"), "{rows}");
    let again = engine::forget(&config(&lake).await, &lake.stores, &ids, Some(Utc::now())).await.unwrap();
    assert_eq!(again, Forgotten::default());
    assert!(unused(&lake).await.iter().all(|key| key.starts_with("facts/windows/")), "{:?}", unused(&lake).await);

    // Somebody of whom there is nothing but the line in the list of customers.
    let ids = BTreeSet::from(["yan-88".to_owned()]);
    assert_eq!(engine::forget(&config(&lake).await, &lake.stores, &ids, Some(Utc::now())).await.unwrap().rows, 2);
    assert_eq!((holds(&lake, "yan-88").await, problems(&lake).await), (vec![], vec![]));
    assert!(lake.run().await.unwrap().published);
    let publication = lake.get("out/publications/2024-12/3/publication.json").await.unwrap();
    let publication: serde_json::Value = serde_json::from_slice(&publication).unwrap();
    assert_eq!(publication["moved"], serde_json::json!(["forgotten customers"]));
}
