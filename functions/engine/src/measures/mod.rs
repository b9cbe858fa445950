//! The measures. Each lives in two rooms of the same name: `sql/measures/<name>.sql` makes the sums, the module here
//! finishes them with `stats`.

mod acquisition_to_retention_cost;
mod association;
mod asymmetry;
mod average_order_value;
mod band_means;
mod bridge;
mod conversion;
mod coverage;
mod customer_acquisition_cost;
mod drivers;
mod earned_growth;
mod first_contact_resolution;
mod first_difference;
mod initiatives;
mod interaction_means;
mod interaction_shares;
mod interrupted_series;
mod lifetime_value;
mod multi_category_rate;
mod nps;
mod panel;
mod rank_correlation;
mod repeat_rate;
mod response_rate;
mod retained_revenue;
mod retention;
mod revenue;
mod revenue_reconciliation;
mod revenue_retention;
mod survival;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use stats::ratio::{RatioSums, ScoreSums};
use stats::regression::benjamini_hochberg;

use crate::Engine;
use crate::error::{Context, Error, Result};
use crate::estimates::{ALL, Guard, Row, Status};
use crate::report::{AT_ONCE, in_order};
use crate::rows::{Money, Rows};
use crate::session::{self, Parameters, Reported};

pub(crate) use drivers::{SameAnswers, same_answers};

type Finish = fn(&Scope, &Sums) -> Result<Vec<Row>>;
type Fit = fn(&Rows) -> Result<RecordBatch>;

/// A measure.
struct Measure {
    /// The name of both its rooms.
    name: &'static str,
    /// The sources without which it says nothing.
    needs: &'static [&'static str],
    /// The sources whose rows can move it, beside customers, who say the segment.
    reads: &'static [&'static str],
    /// What is fitted to the sums: the table `fitted.<name>`, from which `sql/measures/<name>_errors.sql` makes those that the
    /// errors need.
    fit: Option<Fit>,
    finish: Finish,
}

const fn measure(
    name: &'static str,
    needs: &'static [&'static str],
    reads: &'static [&'static str],
    finish: Finish,
) -> Measure {
    Measure { name, needs, reads, fit: None, finish }
}

const SALES: &[&str] = &["sales"];
const INTERACTIONS: &[&str] = &["interactions"];
const BOTH: &[&str] = &["interactions", "sales"];
const PROGRAMMES: &[&str] = &["interactions", "sales", "initiatives", "assignments"];

const MEASURES: &[Measure] = &[
    measure("nps", INTERACTIONS, INTERACTIONS, nps::finish),
    measure("revenue", SALES, SALES, revenue::finish),
    measure("bridge", SALES, SALES, bridge::finish),
    measure("revenue_retention", SALES, SALES, revenue_retention::finish),
    measure("retention", SALES, SALES, retention::finish),
    measure("retained_revenue", SALES, SALES, retained_revenue::finish),
    measure("repeat_rate", SALES, SALES, repeat_rate::finish),
    measure("multi_category_rate", SALES, SALES, multi_category_rate::finish),
    measure("average_order_value", SALES, SALES, average_order_value::finish),
    measure("earned_growth", SALES, SALES, earned_growth::finish),
    measure("interaction_shares", INTERACTIONS, INTERACTIONS, interaction_shares::finish),
    // Who is served is seen in both.
    measure("interaction_means", INTERACTIONS, BOTH, interaction_means::finish),
    measure("response_rate", INTERACTIONS, INTERACTIONS, response_rate::finish),
    // A session that does not say so itself converted if an order follows it.
    measure("conversion", INTERACTIONS, BOTH, conversion::finish),
    measure("coverage", INTERACTIONS, BOTH, coverage::finish),
    measure("first_contact_resolution", INTERACTIONS, INTERACTIONS, first_contact_resolution::finish),
    // Who has no date of acquisition came with the first row in any feed.
    measure("customer_acquisition_cost", &["customers"], BOTH, customer_acquisition_cost::finish),
    measure(
        "acquisition_to_retention_cost",
        &["interactions", "customers"],
        &["interactions", "sales", "initiatives"],
        acquisition_to_retention_cost::finish,
    ),
    measure(
        "revenue_reconciliation",
        &["control_totals"],
        &["sales", "control_totals"],
        revenue_reconciliation::finish,
    ),
    measure("lifetime_value", INTERACTIONS, BOTH, lifetime_value::finish),
    measure("survival", INTERACTIONS, BOTH, survival::finish),
    Measure { fit: Some(association::fitted), ..measure("association", BOTH, BOTH, association::finish) },
    Measure { fit: Some(asymmetry::fitted), ..measure("asymmetry", BOTH, BOTH, asymmetry::finish) },
    Measure {
        fit: Some(first_difference::fitted),
        ..measure("first_difference", BOTH, BOTH, first_difference::finish)
    },
    measure("band_means", BOTH, BOTH, band_means::finish),
    measure("drivers", BOTH, BOTH, drivers::finish),
    measure("rank_correlation", BOTH, BOTH, rank_correlation::finish),
    measure("interrupted_series", &["initiatives"], PROGRAMMES, interrupted_series::finish),
    measure("initiatives", &["initiatives"], PROGRAMMES, initiatives::finish),
];

/// The scores that customers give.
const SCORES: [&str; 3] = ["nps", "csat", "ces"];

/// What stands in the place of a score: service contacts of a month with an answer to any survey.
pub(crate) const CONTACTS: &str = "service_contacts";

/// What money is held against: the scores, and service contacts over the same months.
const PREDICTORS: [&str; 4] = ["nps", "csat", "ces", CONTACTS];

/// Below this share of customers in strata with all bands, a standardised number is not about everybody.
const COVERAGE: f64 = 0.8;

/// The flag of money that differs from finance's ledger by more than the tolerance.
pub(crate) const NOT_RECONCILED: &str = "not_reconciled";

/// The flag of a count of rows that repeat others, where they are more than one in a hundred and no id says whether they are copies.
pub(crate) const MAY_BE_TWICE: &str = "may_be_twice";

/// The flag of a window that is short beside the time between two orders: who has not bought yet counts as gone.
const WINDOW_QUESTIONED: &str = "window_questioned";

/// Runs every measure on the session's facts.
pub(crate) async fn all(engine: &Engine, reported: &Reported, session: &SessionContext) -> Result<Vec<Row>> {
    let scope = Scope {
        history: reported.history(),
        guards: engine.config.guards,
        annual_discount_rate: engine.config.method.annual_discount_rate,
        inactivity_months: engine.config.method.inactivity_months,
        min_customers: engine.config.min_customers,
    };
    let parameters = session::parameters(&engine.config, Some(reported));
    // The slowest are last in the list, and first to start.
    let measures = MEASURES.iter().rev().map(async |measure| {
        let sums = both_sums(engine, session, measure, &parameters).await?;
        Ok::<_, Error>((measure.name, sums))
    });
    let sums = futures::stream::iter(measures.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    let sums: HashMap<&str, (Rows, Option<Rows>)> = sums.try_collect().await?;
    let segments = segments(session).await?;
    let mut rows = Vec::new();
    for Measure { name, needs, reads, finish, .. } in MEASURES {
        let (sums, errors) = &sums[name];
        let applicable = needs.iter().all(|source| engine.config.lake.contains_key(*source));
        let mut segments = segments.clone();
        for row in 0..sums.len() {
            segments.entry(sums.text("segment", row)?.unwrap_or_default()).or_default().get_or_insert(row);
        }
        for (segment, row) in segments {
            let sums = &Sums { rows: sums, errors: errors.as_ref(), row, segment };
            let reads = [*reads, &["customers"]].concat();
            let finished = finish(&scope, sums)?.into_iter();
            let finished = finished.map(|row| row.segment(&sums.segment).reads(reads.clone()));
            rows.extend(
                finished.map(|row| if applicable { row } else { row.of(None, None).without(Status::NotApplicable) }),
            );
        }
    }
    drill_down(&mut rows);
    revenue_reconciliation::flag_windows(&mut rows, &sums["revenue_reconciliation"].0)?;
    Ok(rows)
}

/// One statistic over all segments is a family of tests.
fn drill_down(rows: &mut [Row]) {
    let mut families: HashMap<_, Vec<(&mut Row, f64)>> = HashMap::new();
    // The lags of first differences are a family in each segment.
    let drilled = |row: &&mut Row| row.segment != ALL && !row.method.starts_with("first_difference");
    for row in rows.iter_mut().filter(drilled) {
        if let Some(p) = row.estimate.and_then(|estimate| estimate.p) {
            let about = (row.score, row.outcome, row.band, row.driver.clone(), row.lag);
            let name = (row.section, row.metric, row.window, about, row.method);
            families.entry(name).or_default().push((row, p));
        }
    }
    for family in families.into_values() {
        let q = benjamini_hochberg(&family.iter().map(|(_, p)| *p).collect::<Vec<_>>());
        family.into_iter().zip(q).for_each(|((row, _), q)| row.q = Some(q));
    }
}

/// Every segment with a customer, and everybody: a measure says of each whether it has a number.
async fn segments(session: &SessionContext) -> Result<BTreeMap<String, Option<usize>>> {
    let sql = "select distinct segment from windows.customer where segment is not null";
    let found = Rows::of(session, "windows.customer", sql).await?;
    let mut segments = BTreeMap::from([(ALL.to_owned(), None)]);
    for row in 0..found.len() {
        segments.insert(found.text("segment", row)?.unwrap_or_default(), None);
    }
    Ok(segments)
}

/// The sums of a measure, all segments, and those that its errors need.
async fn both_sums(
    engine: &Engine,
    session: &SessionContext,
    measure: &Measure,
    parameters: &Parameters,
) -> Result<(Rows, Option<Rows>)> {
    let sums = summed(engine, session, &format!("measures/{}", measure.name), parameters).await?;
    let Some(fit) = measure.fit else { return Ok((sums, None)) };
    let fitted = fit(&sums)?;
    let fitted =
        MemTable::try_new(fitted.schema(), vec![vec![fitted]]).context(|| format!("fitted.{}", measure.name))?;
    session::register(session, "fitted", measure.name, Arc::new(fitted))?;
    // Answers come customer by customer: each customer's are summed and gone before the next one's.
    let session = session::in_one_partition(session);
    let errors = summed(engine, &session, &format!("measures/{}_errors", measure.name), parameters).await?;
    Ok((sums, Some(errors)))
}

async fn summed(engine: &Engine, session: &SessionContext, name: &str, parameters: &Parameters) -> Result<Rows> {
    let started = Instant::now();
    let model = engine.models.get(name)?;
    let planned = session::plan_model(&in_order(session, model)?, model, parameters).await?;
    let context = format!("sql/{}.sql ({})", model.name, model.origin);
    let sums = Rows::collect(planned).await.context(|| context)?;
    tracing::debug!("{name} summed in {:.2?}", started.elapsed());
    Ok(sums)
}

/// What every measure has to know of the run.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Months from the start of history to the reported one, both counted.
    history: i32,
    guards: bool,
    annual_discount_rate: f64,
    inactivity_months: i32,
    /// Fewer customers are not published.
    min_customers: i64,
}

impl Scope {
    fn guard(&self, guard: Guard) -> Option<Guard> {
        self.guards.then_some(guard)
    }

    /// The smallest sample that is shown, where guards are on.
    fn least(&self, sample: u64) -> u64 {
        if self.guards { sample } else { 1 }
    }

    /// How many customers a number is told of that is about some and tells, beside what else is published, of others.
    fn fewest(&self, customers: i64, others: i64) -> i64 {
        // Of nobody there is nothing to tell, and a number of nobody tells of the others all the same.
        let is_few = (1..self.min_customers).contains(&others) && (customers == 0 || others < customers);
        if is_few { others } else { customers }
    }

    /// The row, or its status if it looks further back than history goes.
    fn needs(&self, months: i32, row: Row) -> Row {
        if self.history < months { row.of(None, None).without(Status::InsufficientHistory) } else { row }
    }
}

/// Of two amounts, each with the largest of one customer: the one that is more that customer's.
fn more_concentrated(one: [Money; 2], other: [Money; 2]) -> [Money; 2] {
    let share = |[largest, total]: [Money; 2]| largest.to_f64() / total.to_f64();
    // Where nobody spent, the share is not a number, and not above another.
    if share(other) > share(one) || one[1] == Money::default() { other } else { one }
}

/// The sums of one segment; zeros where the segment has no row.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    rows: &'a Rows,
    errors: Option<&'a Rows>,
    row: Option<usize>,
    segment: String,
}

impl Sums<'_> {
    fn integer(&self, name: &str) -> Result<i64> {
        self.row.map_or(Ok(0), |row| self.rows.integer(name, row))
    }

    fn count(&self, name: &str) -> Result<u64> {
        self.row.map_or(Ok(0), |row| self.rows.count(name, row))
    }

    fn money(&self, name: &str) -> Result<Money> {
        self.row.map_or(Ok(Money::default()), |row| self.rows.money(name, row))
    }

    /// The rows of the segment, where a measure has several.
    fn each(&self) -> Result<Vec<Self>> {
        self.where_segment(|segment| segment == self.segment)
    }

    /// The rows of the segment, or those of all segments for everybody, where a measure has no sums of everybody.
    fn of_segments(&self) -> Result<Vec<Self>> {
        self.where_segment(|segment| self.segment == ALL || segment == self.segment)
    }

    fn where_segment(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for row in 0..self.rows.len() {
            if self.rows.text("segment", row)?.as_deref().is_some_and(&wanted) {
                found.push(Self { row: Some(row), segment: self.segment.clone(), ..*self });
            }
        }
        Ok(found)
    }

    /// The sums of one metric, where a measure has several rows a segment.
    fn of(&self, metric: &str) -> Result<Self> {
        let mut row = None;
        for at in 0..self.rows.len() {
            let segment = self.rows.text("segment", at)?;
            if self.rows.text("metric", at)?.as_deref() == Some(metric) && segment.as_ref() == Some(&self.segment) {
                row = Some(at);
            }
        }
        Ok(Self { row, segment: self.segment.clone(), ..*self })
    }

    /// The same of everybody.
    fn of_all(&self, metric: &str) -> Result<Self> {
        Self { row: None, segment: ALL.to_owned(), ..*self }.of(metric)
    }

    /// The sums that the segment's errors need, where a column has this value.
    fn errors_where(&self, column: &str, value: &str) -> Result<Option<Self>> {
        let Some(errors) = self.errors else { return Ok(None) };
        for row in 0..errors.len() {
            if errors.text(column, row)?.as_deref() == Some(value)
                && errors.text("segment", row)?.as_ref() == Some(&self.segment)
            {
                return Ok(Some(Self { rows: errors, errors: None, row: Some(row), segment: self.segment.clone() }));
            }
        }
        Ok(None)
    }

    /// How much of an amount is one customer's, in columns named after it.
    fn concentration(&self, amount: &str) -> Result<[Money; 2]> {
        Ok([self.money(&format!("largest_{amount}"))?, self.money(&format!("absolute_{amount}"))?])
    }

    /// What `proportion::wilson_clustered` and the like need, in columns of these names.
    fn scores(&self, customers: &str) -> Result<ScoreSums> {
        Ok(ScoreSums {
            customers: self.integer(customers)?,
            score: self.integer("score")?,
            responses: self.integer("responses")?,
            score_squares: self.integer("score_squares")?,
            score_responses: self.integer("score_responses")?,
            responses_squares: self.integer("responses_squares")?,
        })
    }

    /// A ratio of sums in columns of these names.
    fn ratio(&self) -> Result<RatioSums> {
        Ok(RatioSums {
            customers: self.count("customers")?,
            numerator: self.number("numerator")?,
            denominator: self.number("denominator")?,
            residual_squares: self.number("residual_squares")?,
        })
    }

    fn number(&self, name: &str) -> Result<f64> {
        Ok(self.number_or_null(name)?.unwrap_or(0.0))
    }

    fn number_or_null(&self, name: &str) -> Result<Option<f64>> {
        self.row.map_or(Ok(None), |row| self.rows.number(name, row))
    }

    fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        self.row.map_or(Ok(Vec::new()), |row| self.rows.numbers(name, row))
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        self.row.map_or(Ok(None), |row| self.rows.text(name, row))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.row.map_or(Ok(Vec::new()), |row| self.rows.texts(name, row))
    }

    /// A value that the measure's SQL cannot give.
    fn unknown(&self, column: &str) -> Error {
        Error::Audit(format!("the sums of {} have a row whose column `{column}` says nothing known", self.segment))
    }
}
