//! What `cxroi check` proves of the store that the output is in: the promises that publication stands on.

use chrono::{DateTime, Utc};
use object_store::{GetOptions, ObjectStoreExt, PutMode, UpdateVersion};

use crate::error::Result;
use crate::housekeeping;
use crate::publish::attempt_id;
use crate::store::Location;

/// The folder of the objects that are written for this, below the output.
const FOLDER: &str = "checks";

/// Objects a page of the listing that is looked at, and how many there are.
const PAGE: i32 = 2;
const LISTED: usize = 5;

/// A claim on the store, and what was found instead.
pub type Claim = (&'static str, Option<String>);

/// Tries what publication needs of a store on objects of its own, and removes them.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) where nothing can be written, listed or read at all.
pub(crate) async fn prove(output: &Location, now: DateTime<Utc>) -> Result<Vec<Claim>> {
    let folder = output.join(FOLDER).join(&attempt_id(now));
    let proven = tried(&folder).await;
    let left: Vec<String> = folder.list().await?.iter().map(|object| output.relative(&object.location)).collect();
    if let Err(error) = housekeeping::delete(output, left).await {
        tracing::warn!("what was written to try the store stays in {folder}: {error}");
    }
    proven
}

async fn tried(folder: &Location) -> Result<Vec<Claim>> {
    let object = folder.join("one");
    let said = |holds: bool, found: &str| (!holds).then(|| found.to_owned());
    let mut claims = Vec::new();

    object.put_if("first", PutMode::Create).await?;
    let read = object.get().await?;
    let tag = read.as_ref().and_then(|(_, tag)| tag.clone());
    let holds = read.is_some_and(|(bytes, _)| bytes == "first");
    claims.push(("What is written is read back at once.", said(holds, "the object is not there, or another one")));

    let refused = !object.put_if("second", PutMode::Create).await?;
    let kept = object.get().await?.is_some_and(|(bytes, _)| bytes == "first");
    claims.push((
        "A create where something is, is refused (If-None-Match).",
        said(refused && kept, "it overwrote: two runs could publish one after the other, and one be lost"),
    ));

    let update = |tag: &Option<String>| PutMode::Update(UpdateVersion { e_tag: tag.clone(), version: None });
    let found = match &tag {
        None => Some("the store gives no entity tags".to_owned()),
        Some(_) => {
            let swapped = object.put_if("third", update(&tag)).await?;
            let stale = object.put_if("fourth", update(&tag)).await?;
            let kept = object.get().await?.is_some_and(|(bytes, _)| bytes == "third");
            match (swapped, stale) {
                (false, _) => Some("the update of what is unchanged was refused too".to_owned()),
                (true, true) => Some("it overwrote: a run could undo what another published meanwhile".to_owned()),
                (true, false) => said(kept, "it was refused, and overwrote all the same"),
            }
        }
    };
    claims.push(("An update of what changed meanwhile is refused (If-Match).", found));

    let old = GetOptions { if_match: tag, ..GetOptions::default() };
    let gone = folder.store().get_opts(object.path(), old).await.is_err();
    claims.push((
        "A read of a version that was overwritten is refused.",
        said(gone, "it read the new one: an input that changes during a run would not be noticed"),
    ));

    let whole = folder.join("whole");
    whole.put("0123456789").await?;
    let part = folder.store().get_range(whole.path(), 3..7).await;
    let holds = part.is_ok_and(|bytes| bytes == "3456");
    claims.push(("A part of an object can be read.", said(holds, "other bytes came")));

    let many = folder.join("many");
    for number in 0..LISTED {
        many.join(&number.to_string()).put("listed").await?;
    }
    let listed = many.in_pages_of(PAGE).list().await?.len();
    claims.push((
        "A listing of several pages names every object.",
        said(listed == LISTED, &format!("{listed} of {LISTED} objects")),
    ));
    Ok(claims)
}
