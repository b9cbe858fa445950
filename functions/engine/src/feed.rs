//! The sources with a time: from when to when each reaches, and therefore which months are closed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::Engine;
use crate::contract::{self, Presence, SOURCES, Source, instant};
use crate::error::{Context, Error, Result};
use crate::month::Month;
use crate::object::{InputObject, Span};
use crate::plan::Plan;
use crate::rollup::Record;
use crate::rows::Rows;
use crate::session::{self, View};
use crate::wording::plural;

/// How long before a month's end a feed's last row may lie for the month to count as complete.
const FEED_SILENCE: Duration = Duration::days(3);

/// A source with a time.
#[derive(Debug)]
pub struct Feed {
    /// The earliest readable row.
    pub first: DateTime<Utc>,
    /// The latest readable row that is not in the future.
    pub last: DateTime<Utc>,
    /// The latest time of any row, rejected or not, that is not in the future: what happened until then is known.
    pub(crate) known_until: DateTime<Utc>,
    /// Rows of the source after staging.
    pub rows: u64,
    /// The column of one raw source that is the time unchanged, with the objects' spans; `None` if staging does more.
    pub(crate) column: Option<(String, Vec<Span>)>,
    /// The raw sources that staging reads.
    pub(crate) reads: BTreeSet<String>,
}

impl Feed {
    /// Whether its last row is late enough for a month that ends at this instant to count as complete.
    fn completes(&self, end: DateTime<Utc>) -> bool {
        self.last >= end - FEED_SILENCE
    }
}

/// Names of files for people: of many, the first few and how many more there are.
pub(crate) fn file_list(mut files: Vec<String>) -> String {
    const NAMED: usize = 5;
    let more = files.len().saturating_sub(NAMED);
    files.truncate(NAMED);
    files.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// An instant as people of the zone write it.
fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// The month to report: the one asked for if it is closed, or the last closed one.
pub(crate) fn choose(
    engine: &Engine,
    asked: Option<Month>,
    history_start: Month,
    feeds: &BTreeMap<&'static str, Feed>,
    now: DateTime<Utc>,
) -> Result<(Month, Option<String>)> {
    let zone = engine.config.timezone;
    let open = |month: Month| -> Option<String> {
        let end = month.end(zone);
        if now < end {
            return Some(format!("{month} is not over in {zone}: it ends at {}", local(end, zone)));
        }
        let late = feeds.iter().find(|(_, feed)| !feed.completes(end))?;
        Some(format!(
            "{month} is not closed: the last row of {} is of {}, more than three days before the month's end",
            late.0,
            local(late.1.last, zone),
        ))
    };
    let last_over = Month::of(now, zone) - 1;
    if let Some(month) = asked.filter(|month| now < month.start(zone)) {
        return Err(Error::NotReady(format!("{month} has not begun")));
    }
    let month = match asked {
        Some(month) => month,
        None => match (history_start.0..=last_over.0).rev().map(Month).find(|month| open(*month).is_none()) {
            Some(month) => month,
            None if engine.config.allow_incomplete => last_over.min(Month::of(feeds["sales"].last, zone)),
            None => {
                let reason = open(last_over.max(history_start)).unwrap_or_default();
                return Err(Error::NotReady(format!("no month is closed yet; {reason}")));
            }
        },
    };
    match open(month) {
        Some(reason) if !engine.config.allow_incomplete => Err(Error::NotReady(format!(
            "{reason}; wait for the feed, or set run.allow_incomplete = true to publish it flagged"
        ))),
        reason => Ok((month, reason)),
    }
}

impl Plan {
    /// What the month after the reported one waits for, in a sentence: the feeds that do not reach its last days, and
    /// its end. `None` if that month is closed as well, because an earlier one was asked for, or if even the reported
    /// one is not closed.
    pub fn next_waits_for(&self, engine: &Engine, now: DateTime<Utc>) -> Option<String> {
        let zone = engine.config.timezone;
        let next = self.period + 1;
        let end = next.end(zone);
        let late = self.feeds.iter().filter(|(_, feed)| !feed.completes(end));
        let late: Vec<String> = late.map(|(name, feed)| format!("{name} reach {}", local(feed.last, zone))).collect();
        if self.incomplete.is_some() || late.is_empty() && now >= end {
            return None;
        }
        let days = (now - end).num_days();
        let ends = match now < end {
            true => format!("it ends at {}", local(end, zone)),
            false => format!("it ended {days} {} ago", plural(days, "day", "days")),
        };
        let until = local(end - FEED_SILENCE, zone);
        Some(match late.is_empty() {
            true => format!("{next} is not due: {ends}"),
            false => format!("{next} is not due: {}, and have to reach {until}; {ends}", late.join(", ")),
        })
    }
}

/// Refuses the reported month if the last row that was used of it comes too early. Until then only footers had been
/// asked, and the last row that they know of may have turned out to be unusable.
///
/// # Errors
/// [`Error::NotReady`] naming the feed.
pub(crate) fn confirm_closed(engine: &Engine, plan: &Plan, record: &Record) -> Result<()> {
    let zone = engine.config.timezone;
    let end = plan.period.end(zone);
    for (name, feed) in plan.feeds.iter() {
        let last = record.sources.get(*name).and_then(|counts| counts.last);
        if plan.incomplete.is_none() && feed.last < end && last.is_none_or(|last| last < end - FEED_SILENCE) {
            return Err(Error::NotReady(format!(
                "{} is not closed: the last row of {name} that can be used is of {}, more than three days before the \
                 month's end; `cxroi check` shows the rows that cannot",
                plan.period,
                last.map_or("an earlier month".to_owned(), |last| local(last, zone)),
            )));
        }
    }
    Ok(())
}

/// The configured sources with a time.
///
/// # Errors
/// [`Error::Input`] for a source without a readable row.
pub(crate) async fn all(engine: &Engine, now: DateTime<Utc>) -> Result<BTreeMap<&'static str, Feed>> {
    let session = engine.session(engine.cores);
    let view = engine.view(None);
    view.register(&session, |_, _| true).await?;
    let mut feeds = BTreeMap::new();
    for source in SOURCES.iter().filter(|source| source.time.is_some() && engine.config.lake.contains_key(source.name))
    {
        feeds.insert(source.name, of(engine, &session, &view, source, now).await?);
    }
    Ok(feeds)
}

async fn of(
    engine: &Engine,
    session: &SessionContext,
    view: &View<'_>,
    source: &Source,
    now: DateTime<Utc>,
) -> Result<Feed> {
    let time = source.time.expect("feeds have a time");
    let staged = view.staged(session, source).await?;
    let model = engine.models.get(&format!("staging/{}", source.name))?;
    let reads: BTreeSet<String> = model.references()?.iter().map(|table| table.table().to_owned()).collect();
    // Unless staging takes its rows one by one from one table, any object that it reads may matter to any month.
    let passed = session::passes_through(staged.logical_plan(), time).filter(|_| reads.len() == 1);
    if passed.is_some() {
        every_object_has_its_columns(engine, source, staged.logical_plan())?;
    }
    let column = passed.map(|(raw, column)| {
        let objects = &engine.lake.sources[&raw].objects;
        let spans: Vec<Span> = objects.iter().map(|object| object.span(&column, &engine.config)).collect();
        (raw, spans)
    });
    if let Some((raw, spans)) = &column
        && let Some((first, last)) = exact_ends(spans)
        && last <= now
    {
        let rows = engine.lake.sources[raw].objects.iter().filter_map(|object| object.rows).sum();
        return Ok(Feed { first, last, known_until: last, rows, column, reads });
    }
    let sql = format!(
        "select count(*) as rows, min({time}) filter (where rejected is null and {time} >= $earliest) as first, \
         max({time}) filter (where rejected is null and {time} <= $now) as last, \
         max({time}) filter (where {time} <= $now) as known_until from audit.{}",
        source.name
    );
    let context = || {
        let files = reads.iter().filter_map(|raw| engine.lake.sources.get(raw));
        let files = files.flat_map(|raw| raw.objects.iter().map(|object| raw.location.name_of(&object.meta.location)));
        format!("cannot read {} from {}", source.name, file_list(files.collect()))
    };
    // A time before the year 1 is a stray like others, and not where the feed begins.
    let earliest = DateTime::from_timestamp(-62_135_596_800, 0).unwrap_or_default();
    let bounds = vec![("now", instant(now)), ("earliest", instant(earliest))];
    let ends = session::read_only(session, &sql).await.and_then(|ends| ends.with_param_values(bounds));
    let ends = Rows::collect(ends.context(context)?).await.context(context);
    let ends = engine.name_damaged_file(ends, |raw, _| reads.contains(raw)).await?;
    let (Some(first), Some(last)) = (ends.instant("first", 0)?, ends.instant("last", 0)?) else {
        return Err(Error::Input(format!(
            "{} has no row with a readable {time} that is not in the future",
            source.name
        )));
    };
    let known_until = ends.instant("known_until", 0)?.unwrap_or(last);
    Ok(Feed { first, last, known_until, rows: ends.count("rows", 0)?, column, reads })
}

/// Refuses a file that lacks a required column, which would silently be read as null.
fn every_object_has_its_columns(engine: &Engine, source: &Source, staged: &LogicalPlan) -> Result<()> {
    for column in source.columns.iter().filter(|column| column.presence != Presence::Optional) {
        let Some((raw, name)) = session::passes_through(staged, column.name) else { continue };
        let Some(raw) = engine.lake.sources.get(&raw) else { continue };
        if let Some(object) = raw.objects.iter().find(|object| object.has_rows() && !raw.has_column(object, &name)) {
            return Err(Error::Input(format!(
                "{}: {} has no column `{name}`, though other files of the source have; write it again with the column",
                source.name,
                raw.location.name_of(&object.meta.location)
            )));
        }
    }
    Ok(())
}

fn exact_ends(spans: &[Span]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let mut ends: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
    for span in spans {
        if *span == Span::Empty {
            continue;
        }
        let Span::Within { first, last, exact: true } = *span else { return None };
        ends = Some(ends.map_or((first, last), |(earliest, latest)| (earliest.min(first), latest.max(last))));
    }
    ends
}

/// Rows of a source that no rollup counts: without a readable time, before the start of history, after the reported
/// month but not in the future, and in the future.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outside {
    /// The time is missing or cannot be read.
    pub undated: u64,
    /// Before the start of history.
    pub before: u64,
    /// After the reported month.
    pub after: u64,
    /// After the instant of the run, in whatever month.
    pub future: u64,
}

/// Counts the rows of a source that no rollup counts, reading only objects that may hold such rows and whose footers do
/// not say how many.
pub(crate) async fn outside(engine: &Engine, plan: &Plan, source: &str, now: DateTime<Utc>) -> Result<Outside> {
    let zone = engine.config.timezone;
    let (start, end) = (plan.history_start.start(zone), plan.period.end(zone));
    let feed = &plan.feeds[source];
    let mut counts = Outside::default();
    let mut unclear = BTreeSet::new();
    if let Some((raw, spans)) = &feed.column {
        for (object, span) in engine.lake.sources[raw].objects.iter().zip(spans) {
            match *span {
                Span::Empty => {}
                Span::Within { first, last, .. } if start <= first && last < end && last <= now => {}
                Span::Within { last, .. } if last < start => counts.before += object.rows.unwrap_or(0),
                Span::Within { first, last, .. } if first >= end && last <= now => {
                    counts.after += object.rows.unwrap_or(0)
                }
                _ => {
                    unclear.insert(object.meta.location.clone());
                }
            }
        }
        if unclear.is_empty() {
            return Ok(counts);
        }
    }
    let session = engine.session(engine.cores);
    let wanted = |_: &str, object: &InputObject| feed.column.is_none() || unclear.contains(&object.meta.location);
    engine.view(None).register(&session, &wanted).await?;
    let time = contract::source(source).and_then(|source| source.time).expect("feeds have a time");
    let sql = format!(
        "select count(*) filter (where {time} is null) as undated, count(*) filter (where {time} < $start) as before, \
         count(*) filter (where {time} >= $end and {time} <= $now) as after, \
         count(*) filter (where {time} >= $start and {time} > $now) as future from audit.{source}"
    );
    let context = || format!("cannot read {source}");
    let rows = session::read_only(&session, &sql).await.and_then(|rows| {
        rows.with_param_values(vec![("start", instant(start)), ("end", instant(end)), ("now", instant(now))])
    });
    let rows = Rows::collect(rows.context(context)?).await.context(context);
    let rows = engine.name_damaged_file(rows, |raw, object| feed.reads.contains(raw) && wanted(raw, object)).await?;
    counts.undated += rows.count("undated", 0)?;
    counts.before += rows.count("before", 0)?;
    counts.after += rows.count("after", 0)?;
    counts.future += rows.count("future", 0)?;
    Ok(counts)
}
