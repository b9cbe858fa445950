//! Where objects are: URLs to object stores, one code path for local folders and memory.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
};
use url::Url;

use crate::error::{Context, Error, Result};
use crate::s3::{KmsKey, S3Store};

/// The object stores of a process, by URL scheme and authority.
///
/// A cheap handle: clones share the stores, so an in-memory store lives as long as any clone.
#[derive(Debug, Clone, Default)]
pub struct Stores(Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>);

impl Stores {
    /// Serves all URLs below `base` (scheme and authority only, as `memory://lake`) from `store`.
    pub fn insert(&self, base: &Url, store: Arc<dyn ObjectStore>) {
        self.0.lock().expect("no holder of this lock panics").insert(base_of(base), store);
    }

    /// The place that a URL names.
    ///
    /// # Errors
    /// [`Error::Input`] for a scheme without a store.
    pub fn locate(&self, url: &Url) -> Result<Location> {
        let base = base_of(url);
        let mut stores = self.0.lock().expect("no holder of this lock panics");
        let store = match (stores.get(&base), url.scheme()) {
            (Some(store), _) => Arc::clone(store),
            (None, "file") => Arc::new(LocalStore(LocalFileSystem::new())) as Arc<dyn ObjectStore>,
            (None, "memory") => Arc::new(InMemory::new()),
            (None, "s3") => {
                let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
                let missing = || Error::Input(format!("{url}: name a bucket, as in s3://bucket/folder/"));
                Arc::new(S3Store::new(bucket.ok_or_else(missing)?))
            }
            (None, scheme) => {
                return Err(Error::Input(format!(
                    "{url}: no store for `{scheme}://`; use a local path, s3://, file:// or memory://"
                )));
            }
        };
        stores.insert(base, Arc::clone(&store));
        let path = Path::from_url_path(url.path()).map_err(|error| Error::Input(format!("{url}: {error}")))?;
        Ok(Location { url: url.clone(), store, path, kms_key: None })
    }
}

fn base_of(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}

/// A folder or an object in a store.
#[derive(Debug, Clone)]
pub struct Location {
    url: Url,
    store: Arc<dyn ObjectStore>,
    path: Path,
    kms_key: Option<String>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name_of(&self.path))
    }
}

impl Location {
    /// The store that serves it.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Its key in the store.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Scheme and authority, as DataFusion registers stores.
    pub(crate) fn base(&self) -> Url {
        Url::parse(&format!("{}/", base_of(&self.url))).expect("a part of a URL that was parsed")
    }

    /// The same place, where what is written is encrypted with a key of KMS.
    pub(crate) fn encrypted(self, kms_key: Option<String>) -> Self {
        Self { kms_key, ..self }
    }

    /// The same place in another store.
    pub(crate) fn within(self, store: Arc<dyn ObjectStore>) -> Self {
        Self { store, ..self }
    }

    /// The place below this one.
    pub fn join(&self, key: &str) -> Self {
        let path = key.split('/').filter(|part| !part.is_empty()).fold(self.path.clone(), |path, part| path.join(part));
        Self { path, ..self.clone() }
    }

    /// How a person would write the key of an object in this store.
    pub(crate) fn name_of(&self, path: &Path) -> String {
        match self.url.scheme() {
            "file" => format!("/{path}"),
            _ => format!("{}/{path}", base_of(&self.url)),
        }
    }

    /// The key relative to this place.
    pub(crate) fn relative(&self, path: &Path) -> String {
        let text = path.as_ref();
        text.strip_prefix(self.path.as_ref()).map_or(text, |rest| rest.trim_start_matches('/')).to_owned()
    }

    /// Every object below this place, or the object itself, by key.
    pub(crate) async fn list(&self) -> Result<Vec<ObjectMeta>> {
        let mut objects: Vec<ObjectMeta> =
            self.store.list(Some(&self.path)).try_collect().await.context(|| format!("cannot list {self}"))?;
        if objects.is_empty() {
            match self.store.head(&self.path).await {
                Ok(object) => objects.push(object),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error).context(|| format!("cannot read {self}")),
            }
        }
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// The object's bytes with its entity tag, or `None` where there is none.
    pub(crate) async fn get(&self) -> Result<Option<(Bytes, Option<String>)>> {
        let result = match self.store.get(&self.path).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error).context(|| format!("cannot read {self}")),
        };
        let e_tag = result.meta.e_tag.clone();
        let bytes = result.bytes().await.context(|| format!("cannot read {self}"))?;
        Ok(Some((bytes, e_tag)))
    }

    /// Writes the object, whole or not at all.
    pub(crate) async fn put(&self, bytes: impl Into<Bytes>) -> Result<()> {
        self.write(bytes, PutMode::Overwrite).await.context(|| format!("cannot write {self}"))
    }

    /// Writes the object only if `mode` allows it. `false`: somebody else was there first.
    pub(crate) async fn put_if(&self, bytes: impl Into<Bytes>, mode: PutMode) -> Result<bool> {
        match self.write(bytes, mode).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error).context(|| format!("cannot write {self}")),
        }
    }

    /// A link to the object that works for a while without a key to the store.
    ///
    /// # Errors
    /// [`Error::Input`] for a store that makes none.
    pub(crate) async fn link(&self, valid: Duration) -> Result<Url> {
        let Some(store) = self.s3() else {
            return Err(Error::Input(format!(
                "{self}: only objects on S3 have links; `cxroi pull` gets the files to send"
            )));
        };
        store.link(&self.path, valid).await.context(|| format!("cannot make a link to {self}"))
    }

    /// The same place, listed in pages of this many objects if the store has pages.
    pub(crate) fn in_pages_of(&self, objects: i32) -> Self {
        match self.s3() {
            Some(store) => self.clone().within(Arc::new(store.in_pages_of(objects))),
            None => self.clone(),
        }
    }

    fn s3(&self) -> Option<S3Store> {
        self.url.host_str().filter(|_| self.url.scheme() == "s3").map(S3Store::new)
    }

    async fn write(&self, bytes: impl Into<Bytes>, mode: PutMode) -> object_store::Result<()> {
        let mut options = PutOptions::from(mode);
        if let Some(key) = &self.kms_key {
            options.extensions.insert(KmsKey(key.clone()));
        }
        self.store.put_opts(&self.path, PutPayload::from_bytes(bytes.into()), options).await?;
        Ok(())
    }
}

/// Looks at objects, a few at a time; the answers come in the order of the paths.
pub(crate) async fn heads(
    store: &Arc<dyn ObjectStore>,
    paths: impl IntoIterator<Item = Path>,
) -> Vec<object_store::Result<ObjectMeta>> {
    let paths: Vec<Path> = paths.into_iter().collect();
    let looks = paths.into_iter().map(|path| {
        let store = Arc::clone(store);
        async move { store.head(&path).await }
    });
    futures::stream::iter(looks).buffered(16).collect().await
}

/// A local folder that also knows the conditional update which object_store's own local store lacks: a file lock
/// is held around compare and rename.
#[derive(Debug)]
struct LocalStore(LocalFileSystem);

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl LocalStore {
    /// An exclusive lock on the object's folder, released on drop.
    async fn lock(&self, location: &Path) -> object_store::Result<File> {
        let object: PathBuf = self.0.path_to_filesystem(location)?;
        let failed = |source: std::io::Error| object_store::Error::Generic { store: "local", source: Box::new(source) };
        let task = tokio::task::spawn_blocking(move || {
            let folder = object.parent().expect("an object has a folder");
            std::fs::create_dir_all(folder)?;
            let file = File::options().create(true).append(true).open(folder.join(".lock"))?;
            file.lock()?;
            Ok(file)
        });
        task.await.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let PutMode::Update(expected) = &options.mode else {
            return self.0.put_opts(location, payload, options).await;
        };
        let _lock = self.lock(location).await?;
        let found = self.0.head(location).await?.e_tag;
        if found != expected.e_tag {
            return Err(object_store::Error::Precondition {
                path: location.to_string(),
                source: format!("expected entity tag {:?}, found {found:?}", expected.e_tag).into(),
            });
        }
        options.mode = PutMode::Overwrite;
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::UpdateVersion;

    #[tokio::test]
    async fn of_many_local_writers_with_one_tag_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path()).unwrap();
        let pointer = Stores::default().locate(&url).unwrap().join("published/2024-12.json");
        assert!(pointer.put_if("0", PutMode::Create).await.unwrap());
        assert!(!pointer.put_if("again", PutMode::Create).await.unwrap());
        for round in 1..20 {
            let (_, e_tag) = pointer.get().await.unwrap().unwrap();
            let writers = (0..8).map(|writer| {
                let (pointer, e_tag) = (pointer.clone(), e_tag.clone());
                tokio::spawn(async move {
                    let mode = PutMode::Update(UpdateVersion { e_tag, version: None });
                    pointer.put_if(format!("{round} {writer}"), mode).await.unwrap()
                })
            });
            let won = futures::future::join_all(writers).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
            assert_eq!(won, 1, "round {round}");
        }
    }
}
