//! What readers ask of what is published: the summary, the files, how they came to be, and whether they are still what was
//! written.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use url::Url;

use crate::VERSION;
use crate::encoding::content_hash;
use crate::error::{Error, Result};
use crate::housekeeping::Rewritten;
use crate::publish::{
    Pointer, Publication, RESTATEMENTS, SUMMARY, copies, is_of_a_newer_period, manifest, original, publication,
    published, table, unreadable,
};
use crate::restatement;
use crate::rollup::FactTable;
use crate::store::Location;
use crate::summary::SCHEMA;

/// The one of a run's own files that names customers, and is never handed out.
const REJECTED: &str = "rejected.parquet";

/// What `summary.json` says of itself.
#[derive(Deserialize)]
struct Shape {
    schema: u32,
    version: String,
}

/// What is published of a period: its pointer, and its summary as JSON text.
pub(crate) async fn summary(output: &Location, period: &str) -> Result<(Pointer, String)> {
    let pointer = visible(output, period).await?;
    let summary = output.join(&pointer.publication(period)).join(SUMMARY);
    let bytes = original(&summary).await?;
    let Shape { schema, version } = serde_json::from_slice(&bytes)
        .map_err(|error| unreadable(&summary, &error, &bytes, "restore it from a backup"))?;
    if schema > SCHEMA {
        return Err(Error::Input(format!(
            "{summary} was published by version {version}, and this is version {VERSION}, which knows its shape up to number \
             {SCHEMA} of {schema}; use version {version} or a newer one, or `cxroi pull` for the files as they are"
        )));
    }
    let text = String::from_utf8(bytes.to_vec());
    Ok((pointer, text.map_err(|_| Error::Input(format!("{summary} is damaged: it is not UTF-8")))?))
}

/// The pointer of a period that is published.
async fn visible(output: &Location, period: &str) -> Result<Pointer> {
    let nothing = || {
        Error::Input(format!("{period} is not published; `cxroi run --period {period}` publishes it if it is closed"))
    };
    Ok(published(output, period).await?.ok_or_else(nothing)?.pointer)
}

/// One publication of a period, as it is told of later.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What was written down of it.
    pub publication: Publication,
    /// How many numbers of the publication before it changed.
    pub changed: usize,
    /// Its pointer with the marks of finance and of a schedule, if it is the visible publication.
    pub visible: Option<Pointer>,
}

/// The publications of a period, newest first.
pub(crate) async fn history(output: &Location, period: &str) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    let newest = visible(output, period).await?;
    let mut next = Some(newest.clone());
    while let Some(pointer) = next {
        let publication = publication(output, period, &pointer).await?;
        let restatements = table(&output.join(&pointer.publication(period)).join(RESTATEMENTS)).await?;
        next = publication.replaces.clone();
        let changed = restatement::count(&restatements, pointer.seq);
        let visible = listed.is_empty().then(|| newest.clone());
        listed.push(Listed { publication, changed, visible });
    }
    Ok(listed)
}

/// The files of a publication that name no customer: name, key below the output, and the hash of the content.
async fn files(output: &Location, period: &str, pointer: &Pointer) -> Result<Vec<(String, String, String)>> {
    let (run, place) = (pointer.folder(period), pointer.publication(period));
    let of_run = manifest(output, period, pointer).await?.files.into_iter().filter(|(name, _)| name != REJECTED);
    let of_publication = publication(output, period, pointer).await?.files;
    let of_run = of_run.map(|(name, hash)| (format!("{run}/{name}"), name, hash));
    let of_publication = of_publication.into_iter().map(|(name, hash)| (format!("{place}/{name}"), name, hash));
    Ok(of_run.chain(of_publication).map(|(key, name, hash)| (name, key, hash)).collect())
}

/// The files of what is published of a period, each held against what was written down when it was.
pub(crate) async fn pull(output: &Location, period: &str) -> Result<(Pointer, Vec<(String, Bytes)>)> {
    let pointer = visible(output, period).await?;
    let mut pulled = Vec::new();
    for (name, key, hash) in files(output, period, &pointer).await? {
        let place = output.join(&key);
        let bytes = original(&place).await?;
        if content_hash(&bytes) != hash {
            return Err(Error::Input(format!(
                "{place} is not what was written; `cxroi verify` looks at everything, and a version that the bucket kept \
                 is the way back"
            )));
        }
        pulled.push((name, bytes));
    }
    let lineage = original(&output.join(&pointer.folder(period)).join("manifest.json")).await?;
    pulled.push(("manifest.json".to_owned(), lineage));
    Ok((pointer, pulled))
}

/// Links to the files of what is published of a period, for whoever has no key to the store.
pub(crate) async fn links(output: &Location, period: &str, valid: Duration) -> Result<Vec<(String, Url)>> {
    let pointer = visible(output, period).await?;
    let mut links = Vec::new();
    for (name, key, _) in files(output, period, &pointer).await? {
        links.push((name, output.join(&key).link(valid).await?));
    }
    Ok(links)
}

/// How many objects of a publication there are to look at, and what is wrong with some of them.
pub(crate) async fn verify(output: &Location, period: &str) -> Result<(usize, Vec<String>)> {
    let gone = || Error::Input(format!("{period} is not published any more; try again"));
    let pointer = published(output, period).await?.ok_or_else(gone)?.pointer;
    let manifest = manifest(output, period, &pointer).await?;
    let run = pointer.folder(period);
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    let rewritten = Rewritten::read(output).await?;
    for (name, hash) in manifest.files {
        let written = FactTable { key: format!("{run}/{name}"), content: hash, ..FactTable::default() };
        let now = rewritten.now(&written);
        expected.insert(now.key, now.content);
    }
    for table in manifest.basis.tables() {
        let now = Rewritten::there(output, table.clone()).await?;
        expected.insert(now.key, now.content);
    }
    let publication = publication(output, period, &pointer).await?;
    let place = pointer.publication(period);
    expected.extend(publication.files.into_iter().map(|(name, hash)| (format!("{place}/{name}"), hash)));
    let mut problems = Vec::new();
    let mut objects = expected.len();
    for (key, hash) in expected {
        let place = output.join(&key);
        match place.get().await? {
            None => problems.push(format!("{place} is gone")),
            Some((bytes, _)) if content_hash(&bytes) != hash => {
                problems.push(format!("{place} is not what was written"))
            }
            Some(_) => {}
        }
    }
    for (from, key) in copies(output, period, &pointer).await? {
        if is_of_a_newer_period(output, &key, period).await? {
            continue;
        }
        objects += 1;
        let (from, to) = (output.join(&from), output.join(&key));
        match (from.get().await?, to.get().await?) {
            (None, _) => problems.push(format!("{from} is gone")),
            (_, None) => problems.push(format!("{to} is gone; the next run writes it again")),
            (Some((original, _)), Some((copy, _))) if original != copy => {
                problems.push(format!("{to} is not a copy of {from}; the next run writes it again"));
            }
            _ => {}
        }
    }
    Ok((objects, problems))
}
