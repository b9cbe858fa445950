//! A store that remembers what was read and written, and that can stop working at a chosen write.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// The store; clones watch together.
#[derive(Debug, Clone)]
pub struct Watched {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    read: Vec<String>,
    written: Vec<String>,
    dies: Option<Death>,
    dead: bool,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// Writes that still work.
    pub after_writes: usize,
    /// Whether the write at which it dies takes effect, though nobody hears of it.
    pub last_is_applied: bool,
}

impl Watched {
    /// Watches a store, until the process dies.
    pub fn new(inner: Arc<dyn ObjectStore>, dies: Option<Death>) -> Self {
        Self { inner, state: Arc::new(Mutex::new(State { dies, ..State::default() })) }
    }

    /// The keys read and written so far; the log starts anew.
    pub fn take(&self) -> (Vec<String>, Vec<String>) {
        let mut state = self.state();
        (std::mem::take(&mut state.read), std::mem::take(&mut state.written))
    }

    /// Whether the process died.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn alive(&self) -> Result<()> {
        if self.state().dead {
            return Err(object_store::Error::Generic { store: "watched", source: "the process was killed".into() });
        }
        Ok(())
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watched {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.alive()?;
        let applied = {
            let mut state = self.state();
            state.written.push(location.to_string());
            match &mut state.dies {
                Some(Death { after_writes: 0, last_is_applied }) => {
                    let applied = *last_is_applied;
                    state.dead = true;
                    applied
                }
                Some(Death { after_writes, .. }) => {
                    *after_writes -= 1;
                    true
                }
                None => true,
            }
        };
        if !applied {
            self.alive()?;
        }
        let result = self.inner.put_opts(location, payload, options).await;
        self.alive()?;
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.alive()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.alive()?;
        if !options.head {
            self.state().read.push(location.to_string());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.alive() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.alive()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.alive()?;
        self.inner.copy_opts(from, to, options).await
    }
}
