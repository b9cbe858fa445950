//! S3 as an [`ObjectStore`], on the AWS SDK: the only file that knows it.
//!
//! Region, credentials, endpoint, retries and checksums come from where all AWS tools look for them: the environment, the
//! profile, SSO, container and instance roles. A server with an endpoint of its own is addressed path-style.
//!
//! A conditional write may be answered by its own echo: the reply is lost, the SDK sends again, and the object that is in
//! the way is the one just written. So each carries an attempt id in its metadata, and whoever is refused, or hears
//! nothing, reads back whose object is there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime as SdkTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use aws_sdk_s3::{Client, config};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, TagSet, UploadPart,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OnceCell;
use url::Url;

/// The metadata in which a conditional write names itself.
const ATTEMPT: &str = "cxroi-attempt";

/// How often a write is sent again that met another one on the way (409).
const CONFLICTS: u32 = 6;

/// How often a body that breaks off is asked for again, from where it broke off, without a byte more.
const RESUMPTIONS: u32 = 5;

/// Requests at a time where a caller hands over many keys.
const AT_ONCE: usize = 16;

/// What a key may hold unescaped in the header that names a copy's source.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The KMS key that an object is encrypted with, as an extension of a write's options.
#[derive(Debug, Clone)]
pub(crate) struct KmsKey(pub(crate) String);

/// A bucket. Clones share one client, which is made at the first request.
#[derive(Debug, Clone)]
pub(crate) struct S3Store {
    bucket: String,
    client: Arc<OnceCell<Client>>,
    /// Objects a page of a listing; the store's own choice where it is not set.
    page: Option<i32>,
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

impl S3Store {
    pub(crate) fn new(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), client: Arc::default(), page: None }
    }

    /// The same bucket, listed in pages of so many objects.
    pub(crate) fn in_pages_of(self, objects: i32) -> Self {
        Self { page: Some(objects), ..self }
    }

    /// A link that reads an object for a while, signed by whose keys these are.
    pub(crate) async fn link(&self, location: &Path, valid: Duration) -> Result<Url> {
        let valid = PresigningConfig::expires_in(valid).map_err(|error| generic(chain(&error)))?;
        let request = self.client().await.get_object().bucket(&self.bucket).key(location.as_ref()).presigned(valid);
        let signed = request.await.map_err(|error| generic(chain(&error)))?;
        Url::parse(signed.uri()).map_err(|error| generic(error.to_string()))
    }

    async fn client(&self) -> &Client {
        let connect = async || {
            let region = RegionProviderChain::default_provider().or_else("us-east-1");
            let shared = aws_config::defaults(BehaviorVersion::latest())
                .region(region)
                .retry_config(RetryConfig::adaptive().with_max_attempts(6))
                .timeout_config(patience(0))
                .load()
                .await;
            let own_endpoint = shared.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
            Client::from_conf(config::Builder::from(&shared).force_path_style(own_endpoint).build())
        };
        self.client.get_or_init(connect).await
    }

    /// What is at `location`, if it is what this attempt wrote.
    async fn landed(&self, location: &Path, attempt: &str) -> Result<Option<PutResult>> {
        let request = self.client().await.head_object().bucket(&self.bucket).key(location.as_ref());
        match request.send().await.map_err(|error| self.failed(location, &error)) {
            Ok(head) => {
                let ours = head.metadata().and_then(|metadata| metadata.get(ATTEMPT)).is_some_and(|id| id == attempt);
                Ok(ours.then_some(PutResult { e_tag: head.e_tag, version: head.version_id }))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn head(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let request = self.client().await.head_object().bucket(&self.bucket).key(location.as_ref());
        let request = request.set_if_match(options.if_match).set_if_none_match(options.if_none_match);
        let request = request.set_if_modified_since(options.if_modified_since.map(sdk_time));
        let request = request.set_if_unmodified_since(options.if_unmodified_since.map(sdk_time));
        let head = request.set_version_id(options.version).send().await;
        let head = head.map_err(|error| self.failed(location, &error))?;
        let size = unsigned(head.content_length());
        let tag = head.e_tag().map(str::to_owned);
        let meta = meta(location, size, head.last_modified(), tag, head.version_id().map(str::to_owned));
        let payload = GetResultPayload::Stream(stream::empty().boxed());
        Ok(GetResult { payload, meta, range: 0..0, attributes: Attributes::new() })
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetObjectOutput> {
        let request = self.client().await.get_object().bucket(&self.bucket).key(location.as_ref());
        let request = request.set_if_match(options.if_match).set_if_none_match(options.if_none_match);
        let request = request.set_if_modified_since(options.if_modified_since.map(sdk_time));
        let request = request.set_if_unmodified_since(options.if_unmodified_since.map(sdk_time));
        let request = request.set_range(options.range.map(|range| match range {
            GetRange::Bounded(Range { start, end }) => format!("bytes={start}-{}", end.saturating_sub(1)),
            GetRange::Offset(start) => format!("bytes={start}-"),
            GetRange::Suffix(length) => format!("bytes=-{length}"),
        }));
        let output = request.set_version_id(options.version).send().await;
        output.map_err(|error| self.failed(location, &error))
    }

    /// The rest of a body. Where it breaks off, the same version is asked for from there.
    fn body(
        &self,
        location: Path,
        of: GetOptions,
        body: ByteStream,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes>> {
        struct Reading {
            store: S3Store,
            location: Path,
            of: GetOptions,
            body: ByteStream,
            range: Range<u64>,
            resumptions: u32,
        }
        let reading = Reading { store: self.clone(), location, of, body, range, resumptions: 0 };
        let next = async |mut reading: Reading| -> Result<Option<(Bytes, Reading)>> {
            loop {
                let left = reading.range.end - reading.range.start;
                let broken = match reading.body.next().await {
                    Some(Ok(bytes)) if bytes.len() as u64 > left => {
                        return Err(generic(format!("{}: more bytes came than were asked for", reading.location)));
                    }
                    Some(Ok(bytes)) => {
                        reading.range.start += bytes.len() as u64;
                        reading.resumptions = 0;
                        return Ok(Some((bytes, reading)));
                    }
                    None if left == 0 => return Ok(None),
                    None => "the body ended early".to_owned(),
                    // After the last byte it is the checksum that does not fit: what was handed on is wrong.
                    Some(Err(error)) if left == 0 => {
                        return Err(generic(format!("{}: {}", reading.location, chain(&error))));
                    }
                    Some(Err(error)) => chain(&error),
                };
                if reading.resumptions == RESUMPTIONS {
                    return Err(generic(format!("{}: {broken}", reading.location)));
                }
                tracing::warn!("{} broke off, reading on: {broken}", reading.location);
                tokio::time::sleep(Duration::from_millis(50 << reading.resumptions)).await;
                reading.resumptions += 1;
                let of = GetOptions { range: Some(GetRange::Bounded(reading.range.clone())), ..reading.of.clone() };
                let rest = reading.store.get(&reading.location, of).await?;
                let start = rest.content_range().and_then(content_range).map(|(start, _)| start);
                if start != Some(reading.range.start) {
                    return Err(generic(format!("{}: the store does not read on where asked to", reading.location)));
                }
                reading.body = rest.body;
            }
        };
        stream::try_unfold(reading, next).boxed()
    }

    /// The pages of a listing: objects, and common prefixes where `delimiter` cuts keys.
    fn pages(&self, prefix: Option<&Path>, delimiter: Option<&str>) -> BoxStream<'static, Result<ListResult>> {
        let store = self.clone();
        let prefix = prefix.filter(|prefix| !prefix.as_ref().is_empty()).map(|prefix| format!("{prefix}/"));
        let delimiter = delimiter.map(str::to_owned);
        let pages = async move {
            let request = store.client().await.list_objects_v2().bucket(&store.bucket).set_prefix(prefix);
            let pages = request.set_delimiter(delimiter).set_max_keys(store.page).into_paginator().send();
            stream::try_unfold((store, pages), async |(store, mut pages)| {
                let Some(page) = pages.next().await else { return Ok(None) };
                let page = page.map_err(|error| store.failed(&Path::default(), &error))?;
                let mut listed = ListResult { objects: Vec::new(), common_prefixes: Vec::new() };
                for object in page.contents() {
                    // A key that ends with the delimiter is the mark of an empty folder.
                    let Some(key) = object.key().filter(|key| !key.ends_with('/')) else { continue };
                    let (size, tag) = (unsigned(object.size()), object.e_tag().map(str::to_owned));
                    listed.objects.push(meta(&Path::parse(key)?, size, object.last_modified(), tag, None));
                }
                for prefix in page.common_prefixes().iter().filter_map(|prefix| prefix.prefix()) {
                    listed.common_prefixes.push(Path::parse(prefix)?);
                }
                Ok(Some((listed, (store, pages))))
            })
        };
        pages.flatten_stream().boxed()
    }

    /// The error of a request in the terms of `object_store`.
    fn failed<E>(&self, location: &Path, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let text = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            _ if status > 0 => format!("status {status}"),
            _ => chain(error),
        };
        let path = location.to_string();
        match (status, error.code()) {
            (404, Some("NoSuchBucket")) => generic(format!("there is no bucket {}", self.bucket)),
            (404, _) => Error::NotFound { path, source: text.into() },
            (304, _) => Error::NotModified { path, source: text.into() },
            (412, _) => Error::Precondition { path, source: text.into() },
            (401, _) => Error::Unauthenticated { path, source: text.into() },
            (403, _) => Error::PermissionDenied { path, source: text.into() },
            _ => generic(format!("{self}/{path}: {text}")),
        }
    }
}

/// How long an attempt may take: bounded, so that a lost connection costs minutes and not a function's whole time, but with
/// a second more for each 100 kB that go up.
fn patience(upload: usize) -> TimeoutConfig {
    let seconds = 120 + upload as u64 / 100_000;
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(seconds))
        .build()
}

fn generic(text: String) -> Error {
    Error::Generic { store: "S3", source: text.into() }
}

/// An error with its causes, each told once.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let mut told: Vec<String> = Vec::new();
    for cause in causes {
        if told.last().is_none_or(|last| !last.contains(&cause)) {
            told.push(cause);
        }
    }
    told.join(": ")
}

fn unsigned(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn sdk_time(time: DateTime<Utc>) -> SdkTime {
    SdkTime::from_secs_and_nanos(time.timestamp(), time.timestamp_subsec_nanos())
}

fn meta(
    location: &Path,
    size: u64,
    modified: Option<&SdkTime>,
    e_tag: Option<String>,
    version: Option<String>,
) -> ObjectMeta {
    let last_modified =
        modified.and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos())).unwrap_or_default();
    ObjectMeta { location: location.clone(), last_modified, size, e_tag, version }
}

/// The first byte and the size of the whole object, of `bytes 10-19/100`.
fn content_range(header: &str) -> Option<(u64, u64)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

/// The headers of an object that a writer may set.
#[derive(Default)]
struct Headers {
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
    metadata: HashMap<String, String>,
    tagging: Option<String>,
    encryption: Option<ServerSideEncryption>,
    kms_key: Option<String>,
}

impl Headers {
    fn new(attributes: &Attributes, tags: &TagSet, extensions: &Extensions) -> Self {
        let tags = tags.encoded();
        let mut headers = Self { tagging: (!tags.is_empty()).then(|| tags.to_owned()), ..Self::default() };
        if let Some(KmsKey(key)) = extensions.get() {
            headers.encryption = Some(ServerSideEncryption::AwsKms);
            headers.kms_key = Some(key.clone());
        }
        for (attribute, value) in attributes {
            let value = value.to_string();
            match attribute {
                Attribute::ContentType => headers.content_type = Some(value),
                Attribute::ContentEncoding => headers.content_encoding = Some(value),
                Attribute::ContentLanguage => headers.content_language = Some(value),
                Attribute::ContentDisposition => headers.content_disposition = Some(value),
                Attribute::CacheControl => headers.cache_control = Some(value),
                Attribute::Metadata(name) => drop(headers.metadata.insert(name.to_string(), value)),
                _ => {}
            }
        }
        headers
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let body = Bytes::from(payload);
        let mut headers = Headers::new(&options.attributes, &options.tags, &options.extensions);
        let (create, update) = match &options.mode {
            PutMode::Overwrite => (None, None),
            PutMode::Create => (Some("*".to_owned()), None),
            PutMode::Update(version) => {
                let missing = || generic(format!("{location} cannot be compared and swapped without its entity tag"));
                (None, Some(version.e_tag.clone().ok_or_else(missing)?))
            }
        };
        let conditional = create.is_some() || update.is_some();
        let attempt = format!("{:032x}", fastrand::u128(..));
        if conditional {
            headers.metadata.insert(ATTEMPT.to_owned(), attempt.clone());
        }
        let mut conflicts = 0;
        loop {
            let request = self.client().await.put_object().bucket(&self.bucket).key(location.as_ref());
            let request = request.set_if_none_match(create.clone()).set_if_match(update.clone());
            let request = request.set_content_type(headers.content_type.clone());
            let request = request.set_content_encoding(headers.content_encoding.clone());
            let request = request.set_content_language(headers.content_language.clone());
            let request = request.set_content_disposition(headers.content_disposition.clone());
            let request = request.set_cache_control(headers.cache_control.clone());
            let request = request.set_metadata(Some(headers.metadata.clone())).set_tagging(headers.tagging.clone());
            let request = request.set_server_side_encryption(headers.encryption.clone());
            let request = request.set_ssekms_key_id(headers.kms_key.clone());
            let patience = config::Builder::new().timeout_config(patience(body.len()));
            let request = request.body(ByteStream::from(body.clone())).customize().config_override(patience);
            let error = match request.send().await {
                Ok(put) => {
                    return Ok(PutResult { e_tag: put.e_tag, version: put.version_id });
                }
                Err(error) => error,
            };
            if !conditional {
                return Err(self.failed(location, &error));
            }
            if let Some(put) = self.landed(location, &attempt).await? {
                return Ok(put);
            }
            let status = error.raw_response().map_or(0, |response| response.status().as_u16());
            let (path, source) = (location.to_string(), self.failed(location, &error).into());
            match status {
                412 if create.is_some() => return Err(Error::AlreadyExists { path, source }),
                404 | 412 if update.is_some() => return Err(Error::Precondition { path, source }),
                409 if conflicts < CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(10..50 << conflicts))).await;
                }
                _ => return Err(self.failed(location, &error)),
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let headers = Headers::new(&options.attributes, &options.tags, &options.extensions);
        let request = self.client().await.create_multipart_upload().bucket(&self.bucket).key(location.as_ref());
        let request = request.set_content_type(headers.content_type).set_content_encoding(headers.content_encoding);
        let request = request.set_content_language(headers.content_language).set_cache_control(headers.cache_control);
        let request = request.set_content_disposition(headers.content_disposition).set_tagging(headers.tagging);
        let request = request.set_server_side_encryption(headers.encryption).set_ssekms_key_id(headers.kms_key);
        let upload = request.set_metadata(Some(headers.metadata)).send().await;
        let upload = upload.map_err(|error| self.failed(location, &error))?;
        let id = upload.upload_id.ok_or_else(|| generic(format!("{location}: the store began no upload")))?;
        Ok(Box::new(Upload { store: self.clone(), location: location.clone(), id, begun: 0, parts: Arc::default() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.head(location, options).await;
        }
        if let Some(range) = &options.range {
            range.is_valid().map_err(|error| generic(format!("{location}: {error}")))?;
        }
        let output = self.get(location, options.clone()).await?;
        let length = unsigned(output.content_length());
        let (start, size) = output.content_range().and_then(content_range).unwrap_or((0, length));
        let mut attributes = Attributes::new();
        let headers = [
            (Attribute::ContentType, output.content_type()),
            (Attribute::ContentEncoding, output.content_encoding()),
            (Attribute::ContentLanguage, output.content_language()),
            (Attribute::ContentDisposition, output.content_disposition()),
            (Attribute::CacheControl, output.cache_control()),
        ];
        for (attribute, value) in headers {
            if let Some(value) = value {
                attributes.insert(attribute, value.to_owned().into());
            }
        }
        for (name, value) in output.metadata().into_iter().flatten() {
            attributes.insert(Attribute::Metadata(Cow::Owned(name.clone())), value.clone().into());
        }
        let meta = meta(location, size, output.last_modified(), output.e_tag.clone(), output.version_id.clone());
        let range = start..start + length;
        let same = GetOptions { if_match: meta.e_tag.clone(), version: options.version, ..GetOptions::default() };
        let payload = GetResultPayload::Stream(self.body(location.clone(), same, output.body, range.clone()));
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                let request = store.client().await.delete_object().bucket(&store.bucket).key(location.as_ref());
                request.send().await.map_err(|error| store.failed(&location, &error))?;
                Ok(location)
            }
        };
        locations.map(delete).buffered(AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let pages = self.pages(prefix, None);
        pages.map_ok(|page| stream::iter(page.objects.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let pages: Vec<ListResult> = self.pages(prefix, Some("/")).try_collect().await?;
        let mut listed = ListResult { objects: Vec::new(), common_prefixes: Vec::new() };
        for page in pages {
            listed.objects.extend(page.objects);
            listed.common_prefixes.extend(page.common_prefixes);
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if options.mode == CopyMode::Create {
            // Not every store that compares and swaps does so for copies.
            let bytes = ObjectStoreExt::get(self, from).await?.bytes().await?;
            return self.put_opts(to, bytes.into(), PutMode::Create.into()).await.map(|_| ());
        }
        let source = format!("{}/{}", self.bucket, utf8_percent_encode(from.as_ref(), COPY_SOURCE));
        let request = self.client().await.copy_object().bucket(&self.bucket).key(to.as_ref());
        request.copy_source(source).send().await.map_err(|error| self.failed(from, &error))?;
        Ok(())
    }
}

/// A multipart upload: parts in any order, then all of it or nothing.
#[derive(Debug)]
struct Upload {
    store: S3Store,
    location: Path,
    id: String,
    begun: i32,
    parts: Arc<Mutex<Vec<CompletedPart>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.begun += 1;
        let (number, store, parts) = (self.begun, self.store.clone(), Arc::clone(&self.parts));
        let (location, id) = (self.location.clone(), self.id.clone());
        Box::pin(async move {
            let patience = config::Builder::new().timeout_config(patience(data.content_length()));
            let request = store.client().await.upload_part().bucket(&store.bucket).key(location.as_ref());
            let request = request.upload_id(id).part_number(number).body(ByteStream::from(Bytes::from(data)));
            let request = request.customize().config_override(patience);
            let part = request.send().await.map_err(|error| store.failed(&location, &error))?;
            let part = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc32(part.checksum_crc32)
                .set_checksum_crc32_c(part.checksum_crc32_c)
                .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
                .build();
            parts.lock().expect("no holder of this lock panics").push(part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.begun == 0 {
            self.put_part(PutPayload::new()).await?;
        }
        let mut parts = self.parts.lock().expect("no holder of this lock panics").clone();
        if parts.len() != usize::try_from(self.begun).unwrap_or(0) {
            return Err(generic(format!("{}: {} of {} parts arrived", self.location, parts.len(), self.begun)));
        }
        parts.sort_by_key(|part| part.part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.store.client().await.complete_multipart_upload().bucket(&self.store.bucket);
        let request = request.key(self.location.as_ref()).upload_id(&self.id).multipart_upload(parts);
        let put = request.send().await.map_err(|error| self.store.failed(&self.location, &error))?;
        Ok(PutResult { e_tag: put.e_tag, version: put.version_id })
    }

    async fn abort(&mut self) -> Result<()> {
        let request = self.store.client().await.abort_multipart_upload().bucket(&self.store.bucket);
        let request = request.key(self.location.as_ref()).upload_id(&self.id);
        request.send().await.map_err(|error| self.store.failed(&self.location, &error))?;
        Ok(())
    }
}
