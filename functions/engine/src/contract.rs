//! The input contract: the columns of each source, and how raw values become contract values.
//!
//! A staged source (what `sql/staging/<source>.sql` selects) is typed column by column. Where a value cannot be read,
//! the row keeps a reason in the column `rejected`; nothing becomes NULL in silence, except a score outside its
//! scale, which is no answer and is flagged in `invalid_<score>`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::common::{Column as ColumnName, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{Case, ColumnarValue, Expr, Volatility, cast, create_udf, lit, try_cast, when};
use datafusion::prelude::{concat, date_part, floor, nullif, regexp_like};
use parquet::errors::ParquetError;

use crate::config::Config;
use crate::error::{Context, Error, Result, suggestion};
use crate::month::Month;

/// A source of the contract.
#[derive(Debug)]
pub struct Source {
    /// Its name in the configuration and in SQL.
    pub name: &'static str,
    /// Its columns, in contract order.
    pub columns: &'static [Column],
    /// The column that decides the local month of a row; `None` for sources without one.
    pub time: Option<&'static str>,
    /// Columns whose local months are columns of their own: `(acquired_at, acquired_month)`.
    pub months: &'static [(&'static str, &'static str)],
    /// The columns that identify a row. Where all of them are present and not null, a second copy is dropped.
    pub identity: &'static [&'static str],
}

/// A column of the contract.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether it must be there.
    pub presence: Presence,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// An instant, in microseconds.
    Instant,
    /// `DECIMAL(20, 4)` in the lake's currency.
    Money,
    /// A whole number.
    Whole,
    /// A finite number.
    Number,
    /// A duration in seconds, `DECIMAL(20, 6)`: kept to the microsecond, so that sums do not depend on their order.
    Seconds,
    /// A local date.
    Day,
    /// A month, as year × 12 + (month - 1).
    Month,
    /// True or false.
    Flag,
    /// A survey answer on the scale of this name.
    Score,
}

/// Whether a column must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// In every row.
    Required,
    /// The column must be there, its values may be null.
    Nullable,
    /// A typed null where the column is absent.
    Optional,
}

/// A survey scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// `nps`, `csat` or `ces`.
    pub name: &'static str,
    /// The lowest valid answer.
    pub lowest: i64,
    /// The highest valid answer.
    pub highest: i64,
    /// Whether a high answer is a good one.
    pub higher_is_better: bool,
}

const fn column(name: &'static str, kind: Kind, presence: Presence) -> Column {
    Column { name, kind, presence }
}

use Kind::{Day, Flag, Instant, Money, Number, Seconds, Text, Whole};
use Presence::{Nullable, Optional, Required};

/// All sources of the contract.
pub const SOURCES: &[Source] = &[
    Source {
        name: "interactions",
        columns: &[
            column("customer_id", Text, Optional),
            column("occurred_at", Instant, Required),
            column("interaction_id", Text, Optional),
            column("channel", Text, Optional),
            column("touchpoint", Text, Optional),
            column("stage", Text, Optional),
            column("device", Text, Optional),
            column("nps", Kind::Score, Optional),
            column("csat", Kind::Score, Optional),
            column("ces", Kind::Score, Optional),
            column("service_cost", Money, Optional),
            column("handle_seconds", Seconds, Optional),
            column("response_seconds", Seconds, Optional),
            column("escalated", Flag, Optional),
            column("pages_viewed", Whole, Optional),
            column("session_seconds", Seconds, Optional),
            column("converted", Flag, Optional),
            column("task_completed", Flag, Optional),
            column("task_error", Flag, Optional),
            column("task_abandoned", Flag, Optional),
            column("task_seconds", Seconds, Optional),
            column("consent", Flag, Optional),
        ],
        time: Some("occurred_at"),
        months: &[("occurred_at", "month")],
        identity: &["interaction_id"],
    },
    Source {
        name: "sales",
        columns: &[
            column("customer_id", Text, Nullable),
            column("order_id", Text, Required),
            column("ordered_at", Instant, Required),
            column("amount", Money, Required),
            column("line_id", Text, Optional),
            column("product_id", Text, Optional),
            column("category", Text, Optional),
            column("quantity", Number, Optional),
            column("margin", Money, Optional),
            column("currency", Text, Optional),
        ],
        time: Some("ordered_at"),
        months: &[("ordered_at", "month")],
        identity: &["order_id", "line_id"],
    },
    Source {
        name: "customers",
        columns: &[
            column("customer_id", Text, Required),
            column("segment", Text, Optional),
            column("acquired_at", Instant, Optional),
            column("acquisition_cost", Money, Optional),
            column("referred", Flag, Optional),
        ],
        time: None,
        months: &[("acquired_at", "acquired_month")],
        identity: &["customer_id"],
    },
    Source {
        name: "initiatives",
        columns: &[
            column("initiative", Text, Required),
            column("starts_on", Day, Required),
            column("ends_on", Day, Optional),
            column("cost_per_month", Money, Optional),
            column("one_off_cost", Money, Optional),
            column("target_segment", Text, Optional),
            column("target_channel", Text, Optional),
            column("target_touchpoint", Text, Optional),
            column("randomised", Flag, Optional),
            column("holdout_share", Number, Optional),
            column("targeted_on_score", Flag, Optional),
            column("expected_net_value", Money, Optional),
        ],
        time: None,
        months: &[],
        identity: &["initiative"],
    },
    Source {
        name: "assignments",
        columns: &[
            column("initiative", Text, Required),
            column("customer_id", Text, Required),
            column("arm", Text, Required),
            column("starts_on", Day, Optional),
        ],
        time: None,
        months: &[],
        identity: &["initiative", "customer_id"],
    },
    Source {
        name: "control_totals",
        columns: &[column("month", Kind::Month, Required), column("revenue", Money, Required)],
        time: None,
        months: &[],
        identity: &["month"],
    },
];

/// The column `month` in SQL as people write it.
pub(crate) const MONTH_AS_TEXT: &str =
    "lpad(cast(month / 12 as text), 4, '0') || '-' || lpad(cast(month % 12 + 1 as text), 2, '0') as month";

impl Source {
    /// Whether the source has no time: a run sees all of it.
    pub fn is_dimension(&self) -> bool {
        self.time.is_none()
    }

    /// The SQL condition under which a row has an identity; a row without one is never taken for a copy of another.
    pub(crate) fn identified(&self) -> String {
        self.identity.iter().map(|column| format!("{column} is not null")).collect::<Vec<_>>().join(" and ")
    }

    /// Whether rows may lack an identity; copies among those count like any other row.
    pub(crate) fn may_lack_identity(&self) -> bool {
        self.columns.iter().any(|column| column.presence != Required && self.identity.contains(&column.name))
    }

    /// SQL for the ids that several usable rows share, within a month if the source has a time: how many rows there
    /// are, and how many different contents. `differing` is the condition on the latter: `= 1` finds plain copies, `>
    /// 1` rows that differ.
    pub(crate) fn repeated(&self, differing: &str) -> String {
        let month = self.time.map(|_| "month");
        let identity: Vec<&str> = self.identity.iter().copied().chain(month).collect();
        let shown = identity.iter().map(|column| if *column == "month" { MONTH_AS_TEXT } else { *column });
        let all: Vec<&str> = self.columns.iter().map(|column| column.name).chain(month).collect();
        let consented = self.consented();
        format!(
            "with several as (\
                 select {identity} from audit.{name} where rejected is null{consented} and {identified} \
                 group by {identity} having count(*) > 1\
             ), \
             contents as (\
                 select {identity}, count(*) as rows from audit.{name} inner join several using ({identity}) \
                 where rejected is null{consented} group by {all}\
             ) \
             select {shown}, sum(rows) as rows, count(*) as differing from contents \
             group by {identity} having count(*) {differing} order by {identity}",
            name = self.name,
            identified = self.identified(),
            shown = shown.collect::<Vec<_>>().join(", "),
            identity = identity.join(", "),
            all = all.join(", "),
        )
    }

    /// What has to follow a SQL condition for readable rows to make it one for used rows, if consent is asked for.
    fn consented(&self) -> &'static str {
        let asks = self.columns.iter().any(|column| column.name == "consent");
        if asks { " and consent is not false" } else { "" }
    }

    /// SQL for the rows that count, have no identity, and are the same in every column: how many there are of each, and
    /// how many there are in all beyond the first of each.
    pub(crate) fn indistinct(&self) -> String {
        let all: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let tells = |column: &&Column| column.presence != Optional || column.name == "customer_id";
        let shown: Vec<&str> = self.columns.iter().filter(tells).map(|column| column.name).collect();
        format!(
            "select {shown}, count(*) as rows, sum(count(*) - 1) over () as copies_in_all from audit.{name} \
             where rejected is null{consented} and not ({identified}) \
             group by {all} having count(*) > 1 order by {shown}",
            name = self.name,
            consented = self.consented(),
            identified = self.identified(),
            shown = shown.join(", "),
            all = all.join(", "),
        )
    }
}

/// The source of that name.
pub fn source(name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.name == name)
}

/// The columns of clean rows: the contract's, and the local months of some.
pub(crate) fn schema(source: &Source) -> SchemaRef {
    let columns = source.columns.iter().map(|column| Field::new(column.name, column.kind.data_type(), true));
    let months = source.months.iter().map(|(_, month)| Field::new(*month, DataType::Int32, true));
    Arc::new(Schema::new(columns.chain(months).collect::<Vec<_>>()))
}

/// Instants are UTC microseconds.
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Text => DataType::Utf8View,
            Instant => instant_type(),
            Day => DataType::Date32,
            Kind::Month => DataType::Int32,
            Money => DataType::Decimal128(20, 4),
            Seconds => DataType::Decimal128(20, 6),
            Whole | Kind::Score => DataType::Int64,
            Number => DataType::Float64,
            Flag => DataType::Boolean,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Text => "text",
            Instant => "a date and time",
            Day => "a date",
            Kind::Month => "a month, as 2024-12",
            Money => "an amount of money",
            Whole => "a whole number",
            Number => "a finite number",
            Seconds => "a number of seconds",
            Flag => "true or false",
            Kind::Score => "a survey answer",
        }
    }
}

/// Types the staged rows of a source: its contract columns, the local months of some, `rejected` (why the
/// row cannot be used, or null) and `invalid_<score>`. With a `month`, only the rows of that local month before the
/// instant beside it.
///
/// # Errors
/// [`Error::Input`] naming each column that is missing or whose type can never be read.
pub(crate) fn audited(
    staged: DataFrame,
    source: &Source,
    config: &Config,
    month: Option<(Month, DateTime<Utc>)>,
) -> Result<DataFrame> {
    let mut problems = Vec::new();
    let mut typed: Vec<Expr> = Vec::new();
    let mut invalid: Vec<Expr> = Vec::new();
    let mut reasons: Vec<(Expr, String)> = Vec::new();
    for column in source.columns {
        let Ok(field) = staged.schema().field_with_unqualified_name(column.name) else {
            if column.presence != Optional {
                let names: Vec<&str> = staged.schema().fields().iter().map(|field| field.name().as_str()).collect();
                problems.push(format!(
                    "column `{}` is missing{}; there are: {}",
                    column.name,
                    suggestion(column.name, names.iter().copied()),
                    names.join(", ")
                ));
            }
            let alike = staged.schema().fields().iter().find(|field| spelling(field.name()) == spelling(column.name));
            if let Some(field) = alike.filter(|_| column.presence == Optional) {
                problems.push(format!("column `{}` looks like `{}`; give it that name", field.name(), column.name));
            }
            typed.push(typed_null(&column.kind.data_type()).alias(column.name));
            if column.kind == Kind::Score {
                invalid.push(lit(false).alias(format!("invalid_{}", column.name)));
            }
            continue;
        };
        let raw = Expr::Column(ColumnName::from_name(column.name));
        let found = field.data_type().clone();
        let value = match value(checked(raw.clone(), &found, column.name), &found, column, config) {
            Ok(value) => value,
            Err(problem) => {
                problems.push(format!("column `{}` is {}: {problem}", column.name, in_sql(&found)));
                continue;
            }
        };
        if column.presence == Required {
            let missing = if column.kind == Text { value.clone() } else { raw.clone() };
            reasons.push((missing.is_null(), format!("{} is missing", column.name)));
        }
        if !always_readable(&found, column.kind) {
            let unreadable = raw.clone().is_not_null().and(value.clone().is_null());
            reasons.push((unreadable, format!("{} cannot be read as {}", column.name, column.kind.words())));
        }
        if column.kind == Kind::Score {
            let scale =
                config.method.scores.iter().find(|score| score.name == column.name).expect("every score has a scale");
            let valid = value
                .clone()
                .between(lit(scale.lowest as f64), lit(scale.highest as f64))
                .and(value.clone().eq(floor(value.clone())));
            let answer = when(valid, cast(value.clone(), DataType::Int64)).end().context(|| source.name.into())?;
            invalid.push(value.is_not_null().and(answer.clone().is_null()).alias(format!("invalid_{}", column.name)));
            typed.push(answer.alias(column.name));
        } else {
            typed.push(value.alias(column.name));
        }
    }
    if !problems.is_empty() {
        return Err(Error::Input(format!(
            "{source_name} cannot be used:\n  - {}\n  adapt it with a staging file: sql/staging/{source_name}.sql in the folder of `sql.overlay` selects from raw.{source_name}",
            problems.join("\n  - "),
            source_name = source.name,
        )));
    }

    let plan = || format!("cannot read {}", source.name);
    // One flat case: DataFusion takes seconds to simplify cases within cases.
    let reasons = reasons.into_iter().map(|(broken, reason)| (Box::new(broken), Box::new(lit(reason)))).collect();
    let otherwise = Some(Box::new(typed_null(&DataType::Utf8)));
    typed.push(Expr::Case(Case::new(None, reasons, otherwise)).alias("rejected"));
    typed.extend(invalid);
    let staged_types = staged.schema().clone();
    let rows = staged.select(typed).context(plan)?;
    if let Some((name, (month, until))) = source.time.zip(month) {
        let time = Expr::Column(ColumnName::from_name(name));
        let found = staged_types.field_with_unqualified_name(name).ok().map(|field| field.data_type());
        let from = lit(instant(month.start(config.timezone)));
        let within = time.clone().gt_eq(from).and(time.lt(lit(instant(next_of(found, until)))));
        return rows.filter(within).and_then(|rows| rows.with_column("month", lit(month.0))).context(plan);
    }
    source.months.iter().try_fold(rows, |rows, (column, name)| {
        let zone = DataType::Timestamp(TimeUnit::Microsecond, Some(config.timezone.name().into()));
        let local = cast(Expr::Column(ColumnName::from_name(*column)), zone);
        rows.with_column(name, month_of(local)).context(plan)
    })
}

/// A query for the times of a staged column that name no zone: how many there are, the first and the last. It gives no
/// row if every time names its zone. `None` if the column is not there, or if its type settles the question. A bare
/// date does not count as a time: its zone is `timezone`.
///
/// # Errors
/// [`Error::Query`] if it cannot be planned.
pub(crate) fn without_zone(staged: DataFrame, column: &str) -> Result<Option<DataFrame>> {
    let named = |name: &str| Expr::Column(ColumnName::from_name(name));
    let Ok(field) = staged.schema().field_with_unqualified_name(column) else { return Ok(None) };
    let time = named(column);
    let has_none = match field.data_type() {
        DataType::Timestamp(_, None) => time.clone().is_not_null(),
        // What `read_instant` takes for a time of `naive_timezone`: behind the minutes are digits only.
        found if is_text(found) => {
            let pattern = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}[0-9:.]*\s*$";
            regexp_like(time.clone(), lit(pattern), None)
        }
        _ => return Ok(None),
    };
    let told = vec![count(lit(1)).alias("rows"), min(time.clone()).alias("first"), max(time).alias("last")];
    let rows = staged.filter(has_none).and_then(|rows| rows.aggregate(Vec::new(), told));
    let rows = rows.and_then(|rows| rows.filter(named("rows").gt(lit(0_i64))));
    Ok(Some(rows.context(|| format!("cannot read {column}"))?))
}

/// A column's name without case and punctuation, in which spellings differ.
pub(crate) fn spelling(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn typed_null(data_type: &DataType) -> Expr {
    lit(ScalarValue::try_from(data_type).expect("every contract type has a null"))
}

/// DataFusion compares a column of whole milliseconds with the instant cut to milliseconds: `time < until` then needs the
/// next whole one.
fn next_of(time: Option<&DataType>, until: DateTime<Utc>) -> DateTime<Utc> {
    let unit = match time {
        Some(DataType::Timestamp(TimeUnit::Second, _)) => 1_000_000,
        Some(DataType::Timestamp(TimeUnit::Millisecond, _)) => 1_000,
        _ => return until,
    };
    let micros = until.timestamp_micros();
    DateTime::from_timestamp_micros(micros + (unit - micros.rem_euclid(unit)) % unit).unwrap_or(until)
}

/// An instant as a value of the contract's type.
pub(crate) fn instant(at: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
}

/// The month of a local time or date as a number.
fn month_of(local: Expr) -> Expr {
    let part = |name: &str| cast(date_part(lit(name), local.clone()), DataType::Int32);
    part("year") * lit(12) + part("month") - lit(1)
}

/// Whether every value of the type can be read as the kind. Such a column is not looked at when rows are counted.
fn always_readable(found: &DataType, kind: Kind) -> bool {
    let small_integer = found.is_integer() && found.primitive_width().is_some_and(|bytes| bytes <= 4);
    match (kind, found) {
        (Text, found) => is_text(found),
        (Kind::Score, found) => found.is_numeric(),
        (Number, found) => found.is_integer(),
        (Whole, found) => found.is_integer() && *found != DataType::UInt64,
        // Room for the whole digits and the decimals of the contract's type.
        (Money, DataType::Decimal128(precision, scale)) => *scale <= 4 && *precision as i8 - scale <= 16,
        (Seconds, DataType::Decimal128(precision, scale)) => *scale <= 6 && *precision as i8 - scale <= 14,
        (Money | Seconds, _) => small_integer,
        (Flag | Instant | Day | Kind::Month, found) => *found == kind.data_type(),
    }
}

/// A type in the words of SQL, or in Arrow's where SQL has none for it.
pub(crate) fn in_sql(found: &DataType) -> String {
    match found {
        found if is_text(found) => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        other => other.to_string(),
    }
}

fn is_text(found: &DataType) -> bool {
    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The value, checked if it is a decimal. A damaged page can hold a number with more digits than its type has, which a
/// cast to a wider type would not notice.
fn checked(raw: Expr, found: &DataType, name: &'static str) -> Expr {
    if !matches!(found, DataType::Decimal128(..)) {
        return raw;
    }
    let check = move |values: &[ColumnarValue]| -> datafusion::error::Result<ColumnarValue> {
        within_precision(name, &values[0].to_array(1)?)?;
        Ok(values[0].clone())
    };
    let (input, output) = (vec![found.clone()], found.clone());
    create_udf("checked", input, output, Volatility::Immutable, Arc::new(check)).call(vec![raw])
}

/// Whether the decimals of a column have the digits of their type; other columns do.
///
/// # Errors
/// The error of a file that cannot be decoded, with the column's name.
pub(crate) fn within_precision(name: &str, column: &ArrayRef) -> datafusion::error::Result<()> {
    let DataType::Decimal128(precision, scale) = *column.data_type() else { return Ok(()) };
    column.as_primitive::<Decimal128Type>().validate_decimal_precision(precision).map_err(|_| {
        let problem = format!("column `{name}` has a number with more digits than DECIMAL({precision}, {scale}) has");
        ParquetError::General(problem).into()
    })
}

/// The contract value of a raw value; null where it cannot be read. Scores stay floating-point for the scale check.
fn value(raw: Expr, found: &DataType, column: &Column, config: &Config) -> Result<Expr, &'static str> {
    let target = column.kind.data_type();
    let float = matches!(found, DataType::Float16 | DataType::Float32 | DataType::Float64);
    if *found == DataType::Null {
        return Ok(typed_null(if column.kind == Kind::Score { &DataType::Float64 } else { &target }));
    }
    let through = if column.kind == Text { &DataType::Utf8 } else { &target };
    let number = matches!(column.kind, Number | Kind::Score).then_some(&DataType::Float64);
    if !arrow::compute::can_cast_types(found, number.unwrap_or(through)) || found.is_nested() {
        return Err("it cannot be read as that; cast it in a staging file");
    }
    Ok(match column.kind {
        Text if float => return Err("an id in floating point has lost digits; export it as text or a whole number"),
        // An empty text names nothing: as an id it would make one customer, or one order, of many.
        Text => nullif(try_cast(if is_text(found) { raw } else { try_cast(raw, DataType::Utf8) }, target), lit("")),
        Instant => return read_instant(raw, found, config),
        Day => return read_day(raw, found, config),
        Kind::Month => return read_month(raw, found),
        Whole if float => {
            let whole = raw.clone().eq(floor(raw.clone()));
            when(whole, try_cast(raw, target)).end().map_err(|_| "cannot be typed")?
        }
        // An answer that is no number is outside its scale like any other; elsewhere it is damage.
        Kind::Score => try_cast(raw, DataType::Float64),
        Number => {
            let number = try_cast(raw, DataType::Float64);
            let finite = number.clone().between(lit(f64::MIN), lit(f64::MAX));
            when(finite, number).end().map_err(|_| "cannot be typed")?
        }
        Flag if found.is_integer() => {
            let zero_or_one = raw.clone().in_list(vec![lit(0), lit(1)], false);
            when(zero_or_one, cast(raw, target)).end().map_err(|_| "cannot be typed")?
        }
        Flag if float => return Err("true or false must be a boolean, 0 or 1"),
        Money | Seconds | Whole | Flag if found.is_temporal() => return Err("a date cannot be read as that"),
        Money | Seconds | Whole | Flag => try_cast(raw, target),
    })
}

fn read_instant(raw: Expr, found: &DataType, config: &Config) -> Result<Expr, &'static str> {
    let naive = config.method.naive_timezone;
    Ok(match found {
        DataType::Timestamp(_, Some(_)) => try_cast(raw, instant_type()),
        // Only casts, as DataFusion can compare the statistics of files through nothing else.
        DataType::Timestamp(_, None) if naive == chrono_tz::UTC => {
            try_cast(try_cast(raw, DataType::Timestamp(TimeUnit::Microsecond, None)), instant_type())
        }
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
            crate::instant::read_instant(raw, naive, config.timezone)
        }
        found if is_text(found) => crate::instant::read_instant(raw, naive, config.timezone),
        _ => return Err("say its unit in a staging file, as to_timestamp_seconds(...)"),
    })
}

fn read_day(raw: Expr, found: &DataType, config: &Config) -> Result<Expr, &'static str> {
    Ok(match found {
        DataType::Timestamp(_, Some(_)) => {
            let zone = DataType::Timestamp(TimeUnit::Microsecond, Some(config.timezone.name().into()));
            try_cast(cast(raw, zone), DataType::Date32)
        }
        found if is_text(found) || found.is_temporal() => try_cast(raw, DataType::Date32),
        _ => return Err("a date must be a date, or text as 2024-12-31"),
    })
}

fn read_month(raw: Expr, found: &DataType) -> Result<Expr, &'static str> {
    let day = if is_text(found) {
        let is_month = regexp_like(raw.clone(), lit("^[0-9]{4}-[0-9]{2}$"), None);
        let first = concat(vec![raw.clone(), lit("-01")]);
        let text = when(is_month, first).otherwise(raw).map_err(|_| "cannot be typed")?;
        try_cast(text, DataType::Date32)
    } else if *found == DataType::Date32 {
        raw
    } else {
        return Err("a month must be text as 2024-12, or a date");
    };
    Ok(month_of(day))
}

#[cfg(test)]
mod tests {
    use arrow::array::Decimal128Array;

    use super::*;

    #[test]
    fn a_decimal_has_the_digits_of_its_type() {
        let within = |value: i128| {
            let column = Decimal128Array::from(vec![Some(value), None]).with_precision_and_scale(4, 2).unwrap();
            within_precision("amount", &(Arc::new(column) as ArrayRef)).map_err(|error| error.strip_backtrace())
        };
        assert_eq!(within(9_999), Ok(()));
        assert_eq!(within(-9_999), Ok(()));
        for value in [10_000, -10_000, i128::MAX] {
            let said = within(value).unwrap_err();
            assert!(said.contains("`amount`") && said.contains("DECIMAL(4, 2)"), "{said}");
        }
    }
}
