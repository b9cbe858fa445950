//! What a run has to do: which month is reported, and which months of facts are missing or out of date.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use crate::Engine;
use crate::contract::{SOURCES, Source};
use crate::error::{Context, Error, Result};
use crate::lake::{InputObject, Span};
use crate::month::Month;
use crate::rollup::Record;
use crate::rows::Rows;
use crate::session::{self, View};

/// The version of what the facts' columns mean. Raise it when the same SQL would be read differently.
const FACTS_FORMAT: u32 = 1;

/// How long before a month's end a feed's last row may lie for the month to count as complete.
const FEED_SILENCE: Duration = Duration::days(3);

/// What a run will do.
#[derive(Debug)]
pub struct Plan {
    /// The reported month.
    pub period: Month,
    /// The first month of complete history.
    pub history_start: Month,
    /// Every month from the start of history to the reported one.
    pub months: Vec<MonthPlan>,
    /// The sources with a time, by name.
    pub feeds: BTreeMap<&'static str, Feed>,
    /// Why the month is not closed, where a run was asked for all the same.
    pub incomplete: Option<String>,
}

/// One month of facts.
#[derive(Debug, Clone)]
pub struct MonthPlan {
    /// The local month.
    pub month: Month,
    /// Names the facts: a hash of everything that they depend on.
    pub fingerprint: String,
    /// The finished facts, if they are there.
    pub record: Option<Record>,
    objects: BTreeSet<(String, usize)>,
}

/// A source with a time.
#[derive(Debug)]
pub struct Feed {
    /// The earliest readable row.
    pub first: DateTime<Utc>,
    /// The latest readable row that is not in the future.
    pub last: DateTime<Utc>,
    /// Rows of the source after staging.
    pub rows: u64,
    /// The column of one raw source that is the time unchanged, with the objects' spans; `None` if staging does more.
    column: Option<(String, Vec<Span>)>,
    /// The raw sources that staging reads.
    reads: BTreeSet<String>,
}

impl Plan {
    /// The months whose facts have to be made.
    pub fn to_read(&self) -> impl Iterator<Item = &MonthPlan> {
        self.months.iter().filter(|month| month.record.is_none())
    }
}

impl MonthPlan {
    /// Whether the month's rollup reads the object at this position of a raw source.
    pub(crate) fn reads(&self, engine: &Engine, raw: &str, object: &InputObject) -> bool {
        let position = engine.lake.sources[raw].objects.binary_search_by(|known| known.meta.location.cmp(&object.meta.location));
        position.is_ok_and(|position| self.objects.contains(&(raw.to_owned(), position)))
    }
}

/// Plans a run at the instant `now`, for a month or for the last closed one.
///
/// # Errors
/// [`Error::NotReady`] naming the feed that is late; [`Error::Input`] for a month before the first sale.
pub(crate) async fn plan(engine: &Engine, period: Option<Month>, now: DateTime<Utc>) -> Result<Plan> {
    let session = engine.session(engine.cores);
    let view = engine.view(None);
    view.register(&session, |_, _| true).await?;
    let mut feeds = BTreeMap::new();
    for source in SOURCES.iter().filter(|source| source.time.is_some() && engine.config.lake.contains_key(source.name)) {
        feeds.insert(source.name, feed(engine, &session, &view, source, now).await?);
    }
    let zone = engine.config.timezone;
    let first_sale = Month::of(feeds["sales"].first, zone);
    let history_start = engine.config.method.history_from.unwrap_or(first_sale);
    let (period, incomplete) = choose(engine, period, history_start, &feeds, now)?;
    if history_start > period {
        return Err(Error::Input(format!("{period} is before the start of history, {history_start}: there is no month to report")));
    }
    if period.0 - history_start.0 > 50 * 12 {
        return Err(Error::Input(format!(
            "the first sale is of {first_sale}, more than 50 years before {period}; set method.history_from to the first month of real history"
        )));
    }
    let months: Vec<Month> = (history_start.0..=period.0).map(Month).collect();
    let settings = settings(engine);
    let months = futures::stream::iter(months)
        .map(|month| {
            let (feeds, settings) = (&feeds, &settings);
            async move {
                let objects = objects(engine, feeds, month);
                let fingerprint = fingerprint(engine, settings, &objects);
                let record = Record::load(engine, month, &fingerprint).await?;
                Ok::<_, Error>(MonthPlan { month, fingerprint, record, objects })
            }
        })
        .buffered(16)
        .try_collect()
        .await?;
    Ok(Plan { period, history_start, months, feeds, incomplete })
}

/// The month to report: the one asked for if it is closed, or the last closed one.
fn choose(
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
            return Some(format!("{month} is not over in {zone}: it ends at {}", end.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z")));
        }
        let late = feeds.iter().find(|(_, feed)| feed.last < end - FEED_SILENCE)?;
        Some(format!(
            "{month} is not closed: the last row of {} is of {}, more than three days before the month's end",
            late.0,
            late.1.last.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z"),
        ))
    };
    let last_over = Month::of(now, zone) - 1;
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

async fn feed(engine: &Engine, session: &SessionContext, view: &View<'_>, source: &Source, now: DateTime<Utc>) -> Result<Feed> {
    let time = source.time.expect("feeds have a time");
    let staged = view.staged(session, source).await?;
    let passed = session::passes_through(staged.logical_plan(), time);
    let column = passed.map(|(raw, column)| {
        let objects = &engine.lake.sources[&raw].objects;
        let spans: Vec<Span> = objects.iter().map(|object| object.span(&column, &engine.config)).collect();
        (raw, spans)
    });
    let mut reads = BTreeSet::new();
    for table in engine.models.get(&format!("staging/{}", source.name))?.references()? {
        match table.schema() {
            Some("raw") => reads.insert(table.table().to_owned()),
            _ => {
                return Err(Error::Input(format!(
                    "sql/staging/{}.sql reads `{table}`; a staging file reads raw.<source> only",
                    source.name
                )));
            }
        };
    }
    if let Some((raw, spans)) = &column
        && let Some((first, last)) = exact_ends(spans)
        && last <= now
    {
        let rows = engine.lake.sources[raw].objects.iter().map(|object| object.rows).sum();
        return Ok(Feed { first, last, rows, column, reads });
    }
    let sql = format!(
        "select count(*) as rows, min({time}) filter (where rejected is null) as first, \
         max({time}) filter (where rejected is null and {time} <= $now) as last from audit.{}",
        source.name
    );
    let context = || format!("cannot read {}", source.name);
    let now = datafusion::common::ScalarValue::TimestampMicrosecond(Some(now.timestamp_micros()), Some("UTC".into()));
    let ends = session::read_only(session, &sql).await.and_then(|ends| ends.with_param_values(vec![("now", now)]));
    let ends = Rows::collect(ends.context(context)?).await.context(context)?;
    let (Some(first), Some(last)) = (ends.instant("first", 0)?, ends.instant("last", 0)?) else {
        return Err(Error::Input(format!("{} has no row with a readable {time} that is not in the future", source.name)));
    };
    Ok(Feed { first, last, rows: ends.count("rows", 0)?, column, reads })
}

fn exact_ends(spans: &[Span]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let mut ends: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
    for span in spans {
        let Span::Within { first, last, exact: true } = *span else { return None };
        ends = Some(ends.map_or((first, last), |(earliest, latest)| (earliest.min(first), latest.max(last))));
    }
    ends
}

/// The objects that hold, or may hold, a row of the month.
fn objects(engine: &Engine, feeds: &BTreeMap<&'static str, Feed>, month: Month) -> BTreeSet<(String, usize)> {
    let zone = engine.config.timezone;
    let mut objects = BTreeSet::new();
    for feed in feeds.values() {
        if let Some((raw, spans)) = &feed.column {
            let touches = |span: &Span| match span {
                Span::Within { first, last, .. } => Month::of(*first, zone) <= month && month <= Month::of(*last, zone),
                Span::Unknown => true,
            };
            let touched = spans.iter().enumerate().filter(|(_, span)| touches(span));
            objects.extend(touched.map(|(position, _)| (raw.clone(), position)));
        } else {
            let all = feed.reads.iter().filter_map(|raw| Some((raw, engine.lake.sources.get(raw)?)));
            objects.extend(all.flat_map(|(raw, source)| (0..source.objects.len()).map(|position| (raw.clone(), position))));
        }
    }
    objects
}

/// Everything but the objects that the facts of any month depend on.
fn settings(engine: &Engine) -> String {
    let Engine { config, models, .. } = engine;
    let mut text = format!(
        "facts format {FACTS_FORMAT}\nzone {} {}\nnaive {}\ncurrency {}\nmargin {}\nhistory {:?}\nscores {:?}\n",
        config.timezone,
        chrono_tz::IANA_TZDB_VERSION,
        config.method.naive_timezone,
        config.currency,
        config.method.default_margin_rate,
        config.method.history_from,
        config.method.scores,
    );
    for model in models.layer("staging").chain(models.layer("facts")) {
        text.push_str(&format!("{} {}\n", model.name, blake3::hash(model.sql.as_bytes())));
    }
    text
}

fn fingerprint(engine: &Engine, settings: &str, objects: &BTreeSet<(String, usize)>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(settings.as_bytes());
    for (raw, position) in objects {
        let source = &engine.lake.sources[raw];
        hasher.update(format!("{raw} {}\n", source.version(&source.objects[*position])).as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Rows of a source outside the planned months, which no rollup counts: without a readable time, before the start of
/// history, after the reported month but not in the future, and in the future.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outside {
    /// The time is missing or cannot be read.
    pub undated: u64,
    /// Before the start of history.
    pub before: u64,
    /// After the reported month.
    pub after: u64,
    /// After the instant of the run.
    pub future: u64,
}

/// Counts them, reading only objects that may hold such rows and whose footers do not say how many.
pub(crate) async fn outside(engine: &Engine, plan: &Plan, source: &str, now: DateTime<Utc>) -> Result<Outside> {
    let zone = engine.config.timezone;
    let (start, end) = (plan.history_start.start(zone), plan.period.end(zone));
    let feed = &plan.feeds[source];
    let mut counts = Outside::default();
    let mut unclear = BTreeSet::new();
    if let Some((raw, spans)) = &feed.column {
        for (object, span) in engine.lake.sources[raw].objects.iter().zip(spans) {
            match *span {
                Span::Within { first, last, .. } if start <= first && last < end => {}
                Span::Within { last, .. } if last < start => counts.before += object.rows,
                Span::Within { first, last, .. } if first >= end && last <= now => counts.after += object.rows,
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
    engine.view(None).register(&session, wanted).await?;
    let time = crate::contract::source(source).and_then(|source| source.time).expect("feeds have a time");
    let sql = format!(
        "select count(*) filter (where {time} is null) as undated, count(*) filter (where {time} < $start) as before, \
         count(*) filter (where {time} >= $end and {time} <= $now) as after, \
         count(*) filter (where {time} >= $end and {time} > $now) as future from audit.{source}"
    );
    let instant = |at: DateTime<Utc>| {
        datafusion::common::ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
    };
    let context = || format!("cannot read {source}");
    let rows = session::read_only(&session, &sql).await.and_then(|rows| {
        rows.with_param_values(vec![("start", instant(start)), ("end", instant(end)), ("now", instant(now))])
    });
    let rows = Rows::collect(rows.context(context)?).await.context(context)?;
    counts.undated += rows.count("undated", 0)?;
    counts.before += rows.count("before", 0)?;
    counts.after += rows.count("after", 0)?;
    counts.future += rows.count("future", 0)?;
    Ok(counts)
}
