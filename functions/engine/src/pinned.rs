//! A store that reads the objects of the lake in the versions that were listed: an object that is overwritten meanwhile
//! is an error at the next read, never a mixture.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// A store and the entity tags of some of its objects.
#[derive(Debug)]
pub(crate) struct Pinned {
    store: Arc<dyn ObjectStore>,
    tags: HashMap<Path, String>,
}

impl Pinned {
    /// A store with these of its objects as they were listed.
    pub(crate) fn new<'a>(store: &Arc<dyn ObjectStore>, listed: impl IntoIterator<Item = &'a ObjectMeta>) -> Self {
        let tags = listed.into_iter().filter_map(|object| Some((object.location.clone(), object.e_tag.clone()?)));
        Self { store: Arc::clone(store), tags: tags.collect() }
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as it was listed", self.store)
    }
}

#[async_trait]
impl ObjectStore for Pinned {
    // Ranges are left to the trait, which asks `get_opts` for each: a store's own way would know no condition.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let if_match = options.if_match.or_else(|| self.tags.get(location).cloned());
        self.store.get_opts(location, GetOptions { if_match, ..options }).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::{Error, ObjectStoreExt};

    #[tokio::test]
    async fn an_overwritten_object_is_refused_also_by_ranges_and_others_are_read() {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (listed, other) = (Path::from("listed"), Path::from("other"));
        memory.put(&listed, "as it was".into()).await.unwrap();
        memory.put(&other, "any".into()).await.unwrap();
        let pinned = Pinned::new(&memory, [&memory.head(&listed).await.unwrap()]);
        assert_eq!(pinned.get_ranges(&listed, &[0..2, 3..5]).await.unwrap(), ["as", "it"]);
        memory.put(&listed, "another one".into()).await.unwrap();
        let error = pinned.get_ranges(&listed, &[0..2, 3..5]).await.unwrap_err();
        assert!(matches!(error, Error::Precondition { .. }), "{error}");
        assert!(pinned.get(&listed).await.is_err());
        memory.put(&other, "any other".into()).await.unwrap();
        assert_eq!(pinned.get(&other).await.unwrap().bytes().await.unwrap(), "any other");
    }
}
