//! A store that fails as networks and processes do, by a seed: the same integer is the same schedule of faults.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The store. Faults are drawn for each operation, kind of key, and how often it was called: not for the time of the call,
/// which differs from run to run.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    seed: u64,
    /// The shares of reads and of writes that fail before they reach the store; as many fail after it, or break off.
    rates: (f64, f64),
    /// Whether it takes no notice of preconditions, as some stores do.
    careless: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    calls: HashMap<(&'static str, String), u64>,
    /// Writes until the process is killed.
    lives: usize,
    /// Every content of a pointer that took effect.
    pointers: Arc<Mutex<Vec<Bytes>>>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Works,
    FailsBefore,
    FailsAfter,
    BreaksOff,
}

impl Faulty {
    /// A process's view of a store. `pointers` collects what it wrote below `published/`.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        seed: u64,
        rates: (f64, f64),
        lives: usize,
        pointers: Arc<Mutex<Vec<Bytes>>>,
    ) -> Self {
        let state = State { calls: HashMap::new(), lives, pointers };
        Self { inner, seed, rates, careless: false, state: Arc::new(Mutex::new(state)) }
    }

    /// A store without a fault but that it takes no notice of preconditions.
    pub fn careless(inner: Arc<dyn ObjectStore>) -> Self {
        Self { careless: true, ..Self::new(inner, 0, (0.0, 0.0), usize::MAX, Arc::default()) }
    }

    /// Draws the fate of a call, after a while in which others may come first.
    async fn fate(&self, operation: &'static str, location: &Path) -> Result<Fate> {
        // Attempts have names of their own each time; what they write has not.
        let parts: Vec<String> = location.parts().map(|part| part.as_ref().to_owned()).collect();
        let kind = format!("{:?} {:?}", parts.first(), parts.last());
        let (number, dead) = {
            let mut state = self.state.lock().unwrap();
            let calls = state.calls.entry((operation, kind.clone())).or_default();
            *calls += 1;
            (*calls, state.lives == 0)
        };
        if dead {
            return Err(failed("the process was killed"));
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, operation, &kind, number).hash(&mut hasher);
        let mut random = fastrand::Rng::with_seed(hasher.finish());
        for _ in 0..random.usize(0..6) {
            tokio::task::yield_now().await;
        }
        let rate = if operation == "put" { self.rates.1 } else { self.rates.0 };
        let drawn = random.f64();
        Ok(match drawn {
            _ if drawn < rate => Fate::FailsBefore,
            _ if drawn < 2.0 * rate => Fate::FailsAfter,
            _ if drawn < 3.0 * rate => Fate::BreaksOff,
            _ => Fate::Works,
        })
    }

    /// Whether the process lives on after a write; it dies with or without having written.
    fn lives_on(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.lives = state.lives.saturating_sub(1);
        state.lives > 0
    }
}

fn failed(what: &str) -> Error {
    Error::Generic { store: "faulty", source: what.to_owned().into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fate = self.fate("put", location).await?;
        let lives_on = self.lives_on();
        if fate == Fate::FailsBefore || !lives_on && self.seed.is_multiple_of(2) {
            return Err(failed("503: slow down"));
        }
        let bytes = Bytes::from(payload.clone());
        let options = if self.careless { PutOptions::default() } else { options };
        let put = self.inner.put_opts(location, payload, options).await?;
        if location.as_ref().contains("/published/") {
            self.state.lock().unwrap().pointers.lock().unwrap().push(bytes);
        }
        if fate == Fate::FailsAfter || !lives_on {
            return Err(failed("the reply was lost"));
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fate = self.fate(if options.head { "head" } else { "get" }, location).await?;
        if matches!(fate, Fate::FailsBefore | Fate::FailsAfter) {
            return Err(failed("503: slow down"));
        }
        let if_match = options.if_match.filter(|_| !self.careless);
        let mut result = self.inner.get_opts(location, GetOptions { if_match, ..options }).await?;
        if fate == Fate::BreaksOff && !result.range.is_empty() {
            let rest = result.payload;
            let GetResultPayload::Stream(stream) = rest else { panic!("memory answers with streams") };
            let half = stream.map(|part| part.map(|bytes| bytes.slice(..bytes.len() / 2))).take(1);
            let broken = futures::stream::once(async { Err(failed("the connection was reset")) });
            result.payload = GetResultPayload::Stream(half.chain(broken).boxed());
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listed = async move {
            match store.fate("list", &prefix).await {
                Ok(Fate::Works) => store.inner.list(Some(&prefix)),
                // A listing may break off between two pages.
                Ok(_) => store.inner.list(Some(&prefix)).take(1).chain(broken()).boxed(),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            }
        };
        futures::stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn broken() -> BoxStream<'static, Result<ObjectMeta>> {
    futures::stream::once(async { Err(failed("the connection was reset")) }).boxed()
}
