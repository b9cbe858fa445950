//! What a run has to do: which month is reported, and which months of facts are missing or out of date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use futures::{StreamExt, TryStreamExt};

use crate::Engine;
use crate::contract;
use crate::encoding::{content_hash, shortened};
use crate::error::{Context, Error, Result};
use crate::feed::{self, Feed};
use crate::month::Month;
use crate::object::{InputObject, Span};
use crate::rollup::Record;
use crate::rows::Rows;
use crate::session;
use crate::wording::plural;

/// The version of what the facts' columns mean. Raise it when the same SQL would be read differently.
pub(crate) const FACTS_FORMAT: u32 = 8;

/// How far after the reported month a repeated contact still counts.
const LOOK_AHEAD: Duration = Duration::days(7);

/// The fact table that is made of the days after the reported month too, and the feed that it is made from.
pub(crate) const LOOKED_AHEAD: (&str, &str) = ("service_contact", "interactions");

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
    pub feeds: Arc<BTreeMap<&'static str, Feed>>,
    /// Why the month is not closed, if it is to be published all the same.
    pub incomplete: Option<String>,
}

/// One month of facts.
#[derive(Debug, Clone)]
pub struct MonthPlan {
    /// The local month.
    pub month: Month,
    /// Names the facts: a hash of everything that they depend on.
    pub fingerprint: String,
    /// The objects that it is made from with their versions, as one hash for each feed.
    pub(crate) inputs: BTreeMap<String, String>,
    /// The first instant whose rows do not count: the end of the month or, if the month is not over, the instant after
    /// the run's.
    pub(crate) until: DateTime<Utc>,
    /// The finished facts, if they are there.
    pub record: Option<Record>,
    pub(crate) objects: BTreeSet<(String, usize)>,
    /// The only fact table that is made; `None` makes all.
    pub(crate) only: Option<&'static str>,
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

    /// The plan of an earlier period, made from the same listing of the lake.
    pub(crate) async fn earlier(&self, engine: &Engine, period: Month, now: DateTime<Utc>) -> Result<Self> {
        let (period, incomplete) = feed::choose(engine, Some(period), self.history_start, &self.feeds, now)?;
        let (known_until, look_ahead) = look_ahead(engine, &self.feeds, period).await?;
        let months = self.months.iter().filter(|month| month.month <= period).cloned().collect();
        Ok(Self { period, months, look_ahead, known_until, incomplete, feeds: Arc::clone(&self.feeds), ..*self })
    }

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
    /// A month of history: the whole of it, or what of it is over at `now`.
    async fn of(
        engine: &Engine,
        feeds: &BTreeMap<&'static str, Feed>,
        month: Month,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let end = month.end(engine.config.timezone);
        let until = end.min(now + Duration::microseconds(1));
        let feeds = feeds.iter().map(|(name, feed)| (*name, feed));
        Self::ending(engine, feeds, month, until, (until < end).then_some(now), None).await
    }

    /// The rows of a month before the instant `until`. `open_at` is set where these are not the whole month, because it is not
    /// over or is only looked ahead to: such facts must not be taken for those of the whole month later.
    async fn ending(
        engine: &Engine,
        feeds: impl IntoIterator<Item = (&'static str, &Feed)>,
        month: Month,
        until: DateTime<Utc>,
        open_at: Option<DateTime<Utc>>,
        only: Option<&'static str>,
    ) -> Result<Self> {
        let mut objects = BTreeSet::new();
        let mut inputs = BTreeMap::new();
        let mut hasher = blake3::Hasher::new();
        hasher.update(settings(engine).as_bytes());
        for (name, feed) in feeds {
            let read = objects_of(engine, feed, month);
            let mut versions = format!("{open_at:?}\n");
            for (raw, position) in &read {
                let source = &engine.lake.sources[raw];
                versions.push_str(&format!("{raw} {}\n", source.version(&source.objects[*position])));
            }
            let versions = content_hash(versions.as_bytes());
            hasher.update(format!("{name} {versions}\n").as_bytes());
            inputs.insert(name.to_owned(), versions);
            objects.extend(read);
        }
        let fingerprint = shortened(hasher.finalize());
        let record = Record::load(engine, month, &fingerprint).await?;
        Ok(Self { month, fingerprint, inputs, until, record, objects, only })
    }

    /// Whether the month's rollup reads the object at this position of a raw source.
    pub(crate) fn reads(&self, engine: &Engine, raw: &str, object: &InputObject) -> bool {
        let position = engine.lake.sources[raw].position(object);
        position.is_some_and(|position| self.objects.contains(&(raw.to_owned(), position)))
    }

    /// The files that the month's rollup reads, for people; the first few of many.
    pub(crate) fn files(&self, engine: &Engine) -> String {
        let sources = &engine.lake.sources;
        let name = |(raw, position): &(String, usize)| {
            sources[raw].location.name_of(&sources[raw].objects[*position].meta.location)
        };
        feed::file_list(self.objects.iter().map(name).collect())
    }

    /// The bytes of the objects that it is made from.
    pub(crate) fn bytes(&self, engine: &Engine) -> u64 {
        let size = |(raw, position): &(String, usize)| engine.lake.sources[raw].objects[*position].meta.size;
        self.objects.iter().map(size).sum()
    }
}

/// Plans a run at the instant `now`, for a month or for the last closed one.
///
/// # Errors
/// [`Error::NotReady`] naming the feed that is late; [`Error::Input`] for a month before the first sale.
pub(crate) async fn plan(engine: &Engine, period: Option<Month>, now: DateTime<Utc>) -> Result<Plan> {
    let feeds = feed::all(engine, now).await?;
    let first_sale = Month::of(feeds["sales"].first, engine.config.timezone);
    let history_start = engine.config.method.history_from.unwrap_or(first_sale);
    let (period, incomplete) = feed::choose(engine, period, history_start, &feeds, now)?;
    if history_start > period {
        return Err(Error::Input(format!(
            "{period} is before the start of history, {history_start}: there is no month to report"
        )));
    }
    if period.0 - history_start.0 > 50 * 12 {
        return Err(Error::Input(format!(
            "the first sale is of {first_sale}, more than 50 years before {period}: `cxroi sql -c \"select * from audit.sales order \
             by ordered_at limit 1\"` shows the row; mend it, or set method.history_from to the first month of real history"
        )));
    }
    let months = futures::stream::iter(history_start.0..=period.0)
        .map(|month| MonthPlan::of(engine, &feeds, Month(month), now))
        .buffered(16)
        .try_collect()
        .await?;
    let (known_until, look_ahead) = look_ahead(engine, &feeds, period).await?;
    let history_is_set = engine.config.method.history_from.is_some();
    let feeds = Arc::new(feeds);
    Ok(Plan { period, history_start, history_is_set, months, look_ahead, known_until, feeds, incomplete })
}

/// What is known of the days after a period: until when, and what their facts are made of.
async fn look_ahead(
    engine: &Engine,
    feeds: &BTreeMap<&'static str, Feed>,
    period: Month,
) -> Result<(DateTime<Utc>, Option<MonthPlan>)> {
    let (table, source) = LOOKED_AHEAD;
    let end = period.end(engine.config.timezone);
    let Some(feed) = feeds.get(source) else { return Ok((end, None)) };
    let known_until = feed.known_until.min(end + LOOK_AHEAD);
    if known_until < end {
        return Ok((known_until, None));
    }
    let until = known_until + Duration::microseconds(1);
    let feeds = [(source, feed)];
    Ok((known_until, Some(MonthPlan::ending(engine, feeds, period + 1, until, Some(until), Some(table)).await?)))
}

/// The objects of a feed that hold, or may hold, a row of the month.
fn objects_of(engine: &Engine, feed: &Feed, month: Month) -> BTreeSet<(String, usize)> {
    let zone = engine.config.timezone;
    let Some((raw, spans)) = &feed.column else {
        let all = feed.reads.iter().filter_map(|raw| Some((raw, engine.lake.sources.get(raw)?)));
        let all = all.flat_map(|(raw, source)| (0..source.objects.len()).map(|position| (raw.clone(), position)));
        return all.collect();
    };
    let touches = |span: &Span| match span {
        Span::Within { first, last, .. } => Month::of(*first, zone) <= month && month <= Month::of(*last, zone),
        Span::Empty => false,
        Span::Unknown => true,
    };
    let touched = spans.iter().enumerate().filter(|(_, span)| touches(span));
    touched.map(|(position, _)| (raw.clone(), position)).collect()
}

/// What the facts of any month depend on beside its objects.
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
        text.push_str(&format!("{} {}\n", model.name, content_hash(model.sql.as_bytes())));
    }
    text
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
    view.register(&unsettled, &wanted).await?;
    let foreign = session::plan_model(&unsettled, check, &session::parameters(&engine.config, None)).await?;
    let foreign = engine.name_damaged_file(Rows::collect(foreign).await.context(context), &wanted).await?;
    if foreign.len() == 0 {
        return Ok(());
    }
    let sql = "select currency, count(*) as lines from staging.sales where currency is not null group by currency order by currency";
    let all = session::read_only(&session, sql).await.context(context)?;
    let all = Rows::collect(all).await.context(context)?;
    let mut list = Vec::new();
    for row in 0..all.len() {
        let (currency, lines) = (all.text("currency", row)?.unwrap_or_default(), all.count("lines", row)?);
        list.push(format!("{currency} ({lines} {})", plural(lines, "line", "lines")));
    }
    Err(Error::Input(format!(
        "sales are in {}, but `currency` is {}; convert the amounts in sql/staging/sales.sql, or correct the setting",
        list.join(", "),
        engine.config.currency
    )))
}
