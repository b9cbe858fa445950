//! Small made-up lakes in memory.

pub mod faulty;
pub mod watched;

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use engine::{Config, Engine, Outcome, Stores};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use url::Url;

/// The instant at which runs happen unless a test says otherwise.
pub const NOW: &str = "2025-01-20T12:00:00Z";

/// A configuration over `memory://lake/`, without guards and suppression.
pub const CONFIG: &str = r#"
timezone = "Europe/Rome"
currency = "EUR"
lake = { interactions = "interactions/", sales = "sales/", customers = "customers/" }
output.url = "out/"
guards.enabled = false
privacy.min_customers = 0
"#;

/// A lake in memory and whatever is published beside it.
#[derive(Debug, Clone)]
pub struct Lake {
    /// The store that holds it.
    pub store: Arc<dyn ObjectStore>,
    /// Its folder, as a URL.
    pub url: Url,
    /// What engines are opened with.
    pub stores: Stores,
}

impl Default for Lake {
    fn default() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }
}

/// An order line: customer, order, instant, cents.
pub type Line<'a> = (Option<&'a str>, &'a str, &'a str, i64);
/// An interaction: customer, instant, NPS answer, service cost in cents.
pub type Touch<'a> = (Option<&'a str>, &'a str, Option<i64>, Option<i64>);

impl Lake {
    /// A lake over any store, which it calls `memory://lake/`.
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        let stores = Stores::default();
        let url = Url::parse("memory://lake/").expect("a URL");
        stores.insert(&url, Arc::clone(&store));
        Self { store, url, stores }
    }

    /// A lake at a URL.
    pub fn at(url: &Url) -> Self {
        let stores = Stores::default();
        let store = Arc::clone(stores.locate(url).expect("a URL of a store").store());
        Self { store, url: url.clone(), stores }
    }

    /// Writes an object.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.store.put(&Path::from(key), bytes.into().into()).await.expect("memory takes objects");
    }

    /// Removes an object.
    pub async fn delete(&self, key: &str) {
        self.store.delete(&Path::from(key)).await.expect("the object is there");
    }

    /// Writes columns as a Parquet object.
    pub async fn put_columns(&self, key: &str, columns: Vec<(&str, ArrayRef)>) {
        self.put(key, parquet(columns)).await;
    }

    /// Writes order lines.
    pub async fn sales(&self, key: &str, lines: &[Line<'_>]) {
        self.put_columns(key, sales(lines)).await;
    }

    /// Writes interactions.
    pub async fn interactions(&self, key: &str, touches: &[Touch<'_>]) {
        let text = |get: fn(&Touch<'_>) -> Option<String>| -> ArrayRef {
            Arc::new(touches.iter().map(get).collect::<StringArray>())
        };
        self.put_columns(
            key,
            vec![
                ("customer_id", text(|touch| touch.0.map(str::to_owned))),
                ("occurred_at", instants(touches.iter().map(|touch| touch.1))),
                ("nps", Arc::new(touches.iter().map(|touch| touch.2).collect::<Int64Array>())),
                ("service_cost", cents(touches.iter().map(|touch| touch.3))),
            ],
        )
        .await;
    }

    /// Writes customers with their segments.
    pub async fn customers(&self, key: &str, customers: &[(&str, &str)]) {
        let ids: StringArray = customers.iter().map(|customer| Some(customer.0)).collect();
        let segments: StringArray = customers.iter().map(|customer| Some(customer.1)).collect();
        self.put_columns(key, vec![("customer_id", Arc::new(ids)), ("segment", Arc::new(segments))]).await;
    }

    /// Opens the lake with a configuration text whose relative paths are keys.
    pub async fn open(&self, config: &str) -> engine::Result<Engine> {
        let url = self.url.join("cxroi.toml").expect("a relative path");
        self.put("cxroi.toml", config.to_owned()).await;
        Engine::open(Config::load(&url, &self.stores).await?, &self.stores).await
    }

    /// Runs the last closed month at [`NOW`].
    pub async fn run(&self) -> engine::Result<Outcome> {
        self.run_at(NOW).await
    }

    /// Runs the last closed month at another instant.
    pub async fn run_at(&self, now: &str) -> engine::Result<Outcome> {
        self.open(CONFIG).await?.run(None, instant(now), &|_| {}).await
    }

    /// The keys of all objects below a prefix.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let objects: Vec<_> = self.store.list(Some(&Path::from(prefix))).try_collect().await.expect("a list");
        let mut keys: Vec<String> = objects.into_iter().map(|object| object.location.to_string()).collect();
        keys.sort();
        keys
    }

    /// Seven months of a small company, 2024-06 to 2024-12: five customers, four of them in two segments, one file a month and feed.
    pub async fn seven_months() -> Self {
        let lake = Self::default();
        lake.fill().await;
        lake
    }

    /// Writes the seven months.
    pub async fn fill(&self) {
        self.customers("customers/all.parquet", &[("ann", "home"), ("bob", "home"), ("cas", "work"), ("dee", "work")])
            .await;
        for month in 6..=12 {
            self.month(2024, month).await;
        }
    }

    /// Writes one month's files.
    pub async fn month(&self, year: i32, month: u32) {
        let day = |day: u32| format!("{year}-{month:02}-{day:02}T10:00:00Z");
        // A month is closed if its feeds reach into its last three days.
        let (first, middle, last) = (day(1), day(15), day(if month == 2 { 28 } else { 30 }));
        let orders: Vec<String> = (0..6).map(|order| format!("{year}{month:02}-{order}")).collect();
        let cents = |base: i64| base + i64::from(month) * 7;
        self.sales(
            &format!("sales/month={year}-{month:02}/part-0.parquet"),
            &[
                (Some("ann"), &orders[0], &first, cents(2_000)),
                (Some("bob"), &orders[1], &middle, cents(1_500)),
                (Some("bob"), &orders[1], &last, -300),
                (Some("cas"), &orders[2], &middle, cents(9_000)),
                (if month.is_multiple_of(2) { Some("dee") } else { Some("eve") }, &orders[3], &last, cents(700)),
                (None, &orders[4], &last, 111),
            ],
        )
        .await;
        self.interactions(
            &format!("interactions/month={year}-{month:02}/part-0.parquet"),
            &[
                (Some("ann"), &first, Some(9), None),
                (Some("bob"), &middle, Some(i64::from(month % 11)), Some(450)),
                (Some("cas"), &last, Some(6), Some(0)),
                (None, &last, Some(10), Some(999)),
            ],
        )
        .await;
    }

    /// An object's bytes, if it is there.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        self.store.get(&Path::from(key)).await.ok()?.bytes().await.ok()
    }
}

/// A number of the environment, for tests that can run longer than they do by default.
///
/// # Panics
/// Where it is no number.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The columns of order lines.
pub fn sales<'a>(lines: &[Line<'a>]) -> Vec<(&'a str, ArrayRef)> {
    let customers: StringArray = lines.iter().map(|line| line.0).collect();
    let orders: StringArray = lines.iter().map(|line| Some(line.1)).collect();
    vec![
        ("customer_id", Arc::new(customers)),
        ("order_id", Arc::new(orders)),
        ("ordered_at", instants(lines.iter().map(|line| line.2))),
        ("amount", cents(lines.iter().map(|line| Some(line.3)))),
    ]
}

/// Instants from RFC 3339 text.
pub fn instants<'a>(texts: impl Iterator<Item = &'a str>) -> ArrayRef {
    let micros: Vec<i64> = texts.map(|text| instant(text).timestamp_micros()).collect();
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

/// Amounts from cents.
pub fn cents(amounts: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let amounts: Decimal128Array = amounts.map(|cents| cents.map(i128::from)).collect();
    Arc::new(amounts.with_precision_and_scale(18, 2).expect("a valid precision"))
}

/// An instant from RFC 3339 text.
pub fn instant(text: &str) -> DateTime<Utc> {
    text.parse().expect("a date and time")
}

/// Columns as the bytes of a Parquet file.
pub fn parquet(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("memory takes rows");
    writer.into_inner().expect("memory takes a footer").into()
}

/// Rows as JSON, an object a line.
pub fn json_lines(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch).expect("memory takes rows");
    writer.finish().expect("memory takes rows");
    writer.into_inner()
}
