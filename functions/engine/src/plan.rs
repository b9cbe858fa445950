//! What a run has to do: which month is reported, and which months of facts are missing or out of date.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use crate::Engine;
use crate::contract::{self, Presence, SOURCES, Source, instant};
use crate::error::{Context, Error, Result};
use crate::month::Month;
use crate::object::{InputObject, Span};
use crate::rollup::Record;
use crate::rows::Rows;
use crate::session::{self, View};

/// The version of what the facts' columns mean. Raise it when the same SQL would be read differently.
pub(crate) const FACTS_FORMAT: u32 = 4;

/// How long before a month's end a feed's last row may lie for the month to count as complete.
const FEED_SILENCE: Duration = Duration::days(3);

/// How far after the reported month a repeated contact still counts.
const LOOK_AHEAD: Duration = Duration::days(7);

/// The facts that are made of the days after the reported month, from the feed that they are about.
const LOOKED_AHEAD: (&str, &str) = ("service_contact", "interactions");

/// What a run will do.
#[derive(Debug)]
pub struct Plan {
    /// The reported month.
    pub period: Month,
    /// The first month of complete history, as far as footers tell.
    pub history_start: Month,
    /// Whether the configuration says where history starts.
    pub(crate) history_is_set: bool,
    /// Every month from the start of history to the reported one.
    pub months: Vec<MonthPlan>,
    /// The days after the reported month, if anything is known of them.
    pub(crate) look_ahead: Option<MonthPlan>,
    /// The last interaction that is known, or the end of the look-ahead.
    pub(crate) known_until: DateTime<Utc>,
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
    /// The first instant whose rows do not count: the end of the month or, if it is not over, what follows the run's.
    pub(crate) until: DateTime<Utc>,
    /// The finished facts, if they are there.
    pub record: Option<Record>,
    objects: BTreeSet<(String, usize)>,
    /// The only fact table that is made.
    pub(crate) only: Option<&'static str>,
}

/// A source with a time.
#[derive(Debug)]
pub struct Feed {
    /// The earliest readable row.
    pub first: DateTime<Utc>,
    /// The latest readable row that is not in the future.
    pub last: DateTime<Utc>,
    /// The latest time that is not in the future, of whatever row: until then we know what happened.
    pub(crate) known_until: DateTime<Utc>,
    /// Rows of the source after staging.
    pub rows: u64,
    /// The column of one raw source that is the time unchanged, with the objects' spans; `None` if staging does more.
    column: Option<(String, Vec<Span>)>,
    /// The raw sources that staging reads.
    reads: BTreeSet<String>,
}

impl Plan {
    /// Whether all days after the reported month that count are known.
    pub(crate) fn has_looked_ahead(&self, engine: &Engine) -> bool {
        !self.feeds.contains_key(LOOKED_AHEAD.1)
            || self.known_until >= self.period.end(engine.config.timezone) + LOOK_AHEAD
    }

    /// The months whose facts have to be made.
    pub fn to_read(&self) -> impl Iterator<Item = &MonthPlan> {
        self.months.iter().filter(|month| month.record.is_none())
    }
}

impl Plan {
    /// Whether an object that a feed reads may hold rows that belong to no month.
    pub(crate) fn may_stray(
        &self,
        engine: &Engine,
        feed: &str,
        raw: &str,
        object: &InputObject,
        now: DateTime<Utc>,
    ) -> bool {
        let start = self.history_start.start(engine.config.timezone);
        let feed = &self.feeds[feed];
        let Some((table, spans)) = &feed.column else { return feed.reads.contains(raw) };
        let inside = |span: &Span| match *span {
            Span::Empty => true,
            Span::Within { first, last, .. } => start <= first && last <= now,
            Span::Unknown => false,
        };
        let position = engine.lake.sources[table].position(object);
        table == raw && position.is_some_and(|position| !inside(&spans[position]))
    }
}

impl MonthPlan {
    /// Whether the month's rollup reads the object at this position of a raw source.
    pub(crate) fn reads(&self, engine: &Engine, raw: &str, object: &InputObject) -> bool {
        let position = engine.lake.sources[raw].position(object);
        position.is_some_and(|position| self.objects.contains(&(raw.to_owned(), position)))
    }
}

impl MonthPlan {
    /// The files that the month's rollup reads, for people; the first few of many.
    pub(crate) fn files(&self, engine: &Engine) -> String {
        let sources = &engine.lake.sources;
        let name = |(raw, position): &(String, usize)| {
            sources[raw].location.name_of(&sources[raw].objects[*position].meta.location)
        };
        some(self.objects.iter().map(name).collect())
    }
}

/// Names of files for people: the first few of many.
fn some(mut files: Vec<String>) -> String {
    const NAMED: usize = 5;
    let more = files.len().saturating_sub(NAMED);
    files.truncate(NAMED);
    files.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
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
    for source in SOURCES.iter().filter(|source| source.time.is_some() && engine.config.lake.contains_key(source.name))
    {
        feeds.insert(source.name, feed(engine, &session, &view, source, now).await?);
    }
    let zone = engine.config.timezone;
    let first_sale = Month::of(feeds["sales"].first, zone);
    let history_start = engine.config.method.history_from.unwrap_or(first_sale);
    let (period, incomplete) = choose(engine, period, history_start, &feeds, now)?;
    if history_start > period {
        return Err(Error::Input(format!(
            "{period} is before the start of history, {history_start}: there is no month to report"
        )));
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
                let objects = objects(engine, feeds.values(), month);
                let end = month.end(zone);
                let until = end.min(now + Duration::microseconds(1));
                let fingerprint = fingerprint(engine, settings, &objects, (until < end).then_some(now));
                let record = Record::load(engine, month, &fingerprint).await?;
                Ok::<_, Error>(MonthPlan { month, fingerprint, until, record, objects, only: None })
            }
        })
        .buffered(16)
        .try_collect()
        .await?;
    let history_is_set = engine.config.method.history_from.is_some();
    let end = period.end(zone);
    let known_until = feeds.get(LOOKED_AHEAD.1).map_or(end, |feed| feed.known_until.min(end + LOOK_AHEAD));
    let look_ahead = look_ahead(engine, &feeds, &settings, period + 1, known_until).await?;
    Ok(Plan { period, history_start, history_is_set, months, look_ahead, known_until, feeds, incomplete })
}

/// The days after the reported month, up to and with `known_until`; `None` if nothing is known of them.
async fn look_ahead(
    engine: &Engine,
    feeds: &BTreeMap<&'static str, Feed>,
    settings: &str,
    month: Month,
    known_until: DateTime<Utc>,
) -> Result<Option<MonthPlan>> {
    let (table, source) = LOOKED_AHEAD;
    let Some(feed) = feeds.get(source).filter(|_| known_until >= month.start(engine.config.timezone)) else {
        return Ok(None);
    };
    let objects = objects(engine, [feed], month);
    let until = known_until + Duration::microseconds(1);
    let fingerprint = fingerprint(engine, settings, &objects, Some(until));
    let record = Record::load(engine, month, &fingerprint).await?;
    Ok(Some(MonthPlan { month, fingerprint, until, record, objects, only: Some(table) }))
}

/// An instant as people of the zone write it.
fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
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
            return Some(format!("{month} is not over in {zone}: it ends at {}", local(end, zone)));
        }
        let late = feeds.iter().find(|(_, feed)| feed.last < end - FEED_SILENCE)?;
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

/// Footers may know of a last row that turned out unusable: looks again at what was used of the reported month.
///
/// # Errors
/// [`Error::NotReady`] naming the feed.
pub(crate) fn confirm_closed(engine: &Engine, plan: &Plan, record: &Record) -> Result<()> {
    let zone = engine.config.timezone;
    let end = plan.period.end(zone);
    for (name, feed) in &plan.feeds {
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

async fn feed(
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
    // Row by row from one table, or every object of every table that is read may matter to every month.
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
        "select count(*) as rows, min({time}) filter (where rejected is null) as first, \
         max({time}) filter (where rejected is null and {time} <= $now) as last, \
         max({time}) filter (where {time} <= $now) as known_until from audit.{}",
        source.name
    );
    let context = || {
        let files = reads.iter().filter_map(|raw| engine.lake.sources.get(raw));
        let files = files.flat_map(|raw| raw.objects.iter().map(|object| raw.location.name_of(&object.meta.location)));
        format!("cannot read {} from {}", source.name, some(files.collect()))
    };
    let now = instant(now);
    let ends = session::read_only(session, &sql).await.and_then(|ends| ends.with_param_values(vec![("now", now)]));
    let ends = Rows::collect(ends.context(context)?).await.context(context)?;
    let (Some(first), Some(last)) = (ends.instant("first", 0)?, ends.instant("last", 0)?) else {
        return Err(Error::Input(format!(
            "{} has no row with a readable {time} that is not in the future",
            source.name
        )));
    };
    let known_until = ends.instant("known_until", 0)?.unwrap_or(last);
    Ok(Feed { first, last, known_until, rows: ends.count("rows", 0)?, column, reads })
}

/// A file that lacks a column of the contract would read as null in silence.
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

/// The objects that hold, or may hold, a row of the month.
fn objects<'a>(engine: &Engine, feeds: impl IntoIterator<Item = &'a Feed>, month: Month) -> BTreeSet<(String, usize)> {
    let zone = engine.config.timezone;
    let mut objects = BTreeSet::new();
    for feed in feeds {
        if let Some((raw, spans)) = &feed.column {
            let touches = |span: &Span| match span {
                Span::Within { first, last, .. } => Month::of(*first, zone) <= month && month <= Month::of(*last, zone),
                Span::Empty => false,
                Span::Unknown => true,
            };
            let touched = spans.iter().enumerate().filter(|(_, span)| touches(span));
            objects.extend(touched.map(|(position, _)| (raw.clone(), position)));
        } else {
            let all = feed.reads.iter().filter_map(|raw| Some((raw, engine.lake.sources.get(raw)?)));
            objects.extend(
                all.flat_map(|(raw, source)| (0..source.objects.len()).map(|position| (raw.clone(), position))),
            );
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

/// `open_at` is where the facts of a month end that does not count as a whole: not over, or only looked ahead to.
fn fingerprint(
    engine: &Engine,
    settings: &str,
    objects: &BTreeSet<(String, usize)>,
    open_at: Option<DateTime<Utc>>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(settings.as_bytes());
    hasher.update(format!("{open_at:?}\n").as_bytes());
    for (raw, position) in objects {
        let source = &engine.lake.sources[raw];
        hasher.update(format!("{raw} {}\n", source.version(&source.objects[*position])).as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Rows of a source that no rollup counts: without a readable time, before the start of history, after the reported
/// month but not in the future, and in the future.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
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
    engine.view(None).register(&session, wanted).await?;
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
    let rows = Rows::collect(rows.context(context)?).await.context(context)?;
    counts.undated += rows.count("undated", 0)?;
    counts.before += rows.count("before", 0)?;
    counts.after += rows.count("after", 0)?;
    counts.future += rows.count("future", 0)?;
    Ok(counts)
}

/// Money of several currencies cannot be added up: refuses sales in any but the configured one. Reads only objects of
/// the months to be read whose footers do not settle it.
///
/// # Errors
/// [`Error::Input`] with every currency of the lake and its order lines.
pub(crate) async fn refuse_currencies(engine: &Engine, plan: &Plan) -> Result<()> {
    if plan.to_read().next().is_none() {
        return Ok(());
    }
    let session = engine.session(engine.cores);
    let view = engine.view(None);
    view.register(&session, |_, _| true).await?;
    let sales = contract::source("sales").expect("a source of the contract");
    let staged = view.staged(&session, sales).await?;
    if staged.schema().field_with_unqualified_name("currency").is_err() {
        return Ok(());
    }
    let column = session::passes_through(staged.logical_plan(), "currency");
    let settled = |raw: &str, object: &InputObject| {
        column
            .as_ref()
            .is_some_and(|(table, column)| table == raw && object.holds_only(column, &engine.config.currency))
    };
    let wanted = |raw: &str, object: &InputObject| {
        plan.to_read().any(|month| month.reads(engine, raw, object)) && !settled(raw, object)
    };
    let check = engine.models.get("checks/one_currency")?;
    let context = || format!("sql/{}.sql ({})", check.name, check.origin);
    let unsettled = engine.session(engine.cores);
    view.register(&unsettled, wanted).await?;
    let foreign = session::plan_model(&unsettled, check, &session::parameters(&engine.config, None)).await?;
    if Rows::collect(foreign).await.context(context)?.len() == 0 {
        return Ok(());
    }
    let sql = "select currency, count(*) as lines from staging.sales where currency is not null group by currency order by currency";
    let all = session::read_only(&session, sql).await.context(context)?;
    let all = Rows::collect(all).await.context(context)?;
    let mut list = Vec::new();
    for row in 0..all.len() {
        list.push(format!("{} ({} lines)", all.text("currency", row)?.unwrap_or_default(), all.count("lines", row)?));
    }
    Err(Error::Input(format!(
        "sales are in {}, but `currency` is {}; convert the amounts in sql/staging/sales.sql, or correct the setting",
        list.join(", "),
        engine.config.currency
    )))
}
