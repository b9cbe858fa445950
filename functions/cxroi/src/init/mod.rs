//! `cxroi init`: looks at files that nobody has described, guesses which table and column is what, and writes the
//! configuration and the staging SQL that a person would begin with. Every choice is printed with its reason.

mod choices;
mod names;
mod output;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::repeat_n;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use engine::contract::Kind;
use engine::{Analyst, Error, Stores};
use url::Url;

use choices::may_link;
use names::{likeness, listed, words};
use values::{Written, is_id, marks, written};

/// Rows of a table that are looked at, and how many of them are taken as a sample, evenly.
const LOOKED_AT: usize = 1_000_000;
const SAMPLE: usize = 10_000;

/// Currencies of three decimals.
const MILLS: &str = "BHD IQD JOD KWD LYD OMR TND";

#[derive(Debug)]
struct Column {
    name: String,
    data_type: DataType,
    filled: usize,
    distinct: usize,
    sample: Vec<String>,
    written: Written,
}

#[derive(Debug)]
struct Table {
    name: String,
    url: Url,
    rows: usize,
    columns: Vec<Column>,
}

/// A table and a column of it.
type Place = (usize, usize);

/// The values of a column are keys of another table.
#[derive(Debug, Clone, PartialEq)]
struct Link {
    from: Place,
    to: Place,
    share: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    Guess,
    Fair,
    High,
}

/// Where a column of the contract comes from.
#[derive(Debug, Clone)]
struct Choice {
    target: &'static str,
    kind: Kind,
    place: Place,
    /// Another column of the same table: a quantity to multiply with, or an id that makes this one unique.
    with: Option<usize>,
    sure: Sure,
    why: String,
}

/// Everything that was seen.
#[derive(Debug, Default)]
struct Seen {
    tables: Vec<Table>,
    links: Vec<Link>,
    /// The key of customers that is different for every order, and the column beside it that is the person.
    person: Option<(Place, Place)>,
}

/// A source of the contract with the tables that its rows are in.
type Sources = BTreeMap<&'static str, Vec<(usize, Vec<Choice>)>>;

/// Looks at everything below `lake`, writes `cxroi.toml` and staging SQL into `folder`, and says what was chosen and why.
///
/// # Errors
/// [`Error::Input`] if a file is there already, or if nothing looks like sales.
pub(crate) async fn run(lake: &Url, folder: &Path, stores: &Stores) -> Result<String> {
    let mut entries: BTreeMap<String, Url> = engine::entries(lake, stores).await?.into_iter().collect();
    let mut skipped = String::new();
    let analyst = match engine::explore(&entries, stores).await {
        Ok(analyst) => analyst,
        // One damaged file is no reason to see nothing.
        Err(_) => {
            for (name, url) in entries.clone() {
                let alone = BTreeMap::from([(name.clone(), url.clone())]);
                if let Err(error) = engine::explore(&alone, stores).await {
                    let error = of_letters(error.into(), &url);
                    skipped.push_str(&format!("{name} is left out: {error}\n"));
                    entries.remove(&name);
                }
            }
            engine::explore(&entries, stores).await?
        }
    };
    if entries.is_empty() {
        let why = if skipped.is_empty() {
            "name the folder of the files, or of one folder a table\n"
        } else {
            skipped.as_str()
        };
        return Err(
            Error::Input(format!("{lake} holds no Parquet, CSV or JSON that can be read: {}", why.trim_end())).into()
        );
    }
    let mut seen = Seen::default();
    for (name, url) in entries {
        let table = look(&analyst, name, url.clone()).await.map_err(|error| of_letters(error, &url))?;
        seen.tables.push(table);
    }
    settle_marks(&mut seen.tables);
    settle_days(&mut seen.tables);
    seen.links = links(&analyst, &seen.tables).await?;
    seen.person = seen.person();
    let mut sources = seen.sources();
    let Some(sales) = sources.get_mut("sales") else {
        let tables: Vec<&str> = seen.tables.iter().map(|table| table.name.as_str()).collect();
        return Err(Error::Input(format!(
            "none of {} looks like sales: a number of money, an id of the order, and a time of its own or of the order's table; {}; write cxroi.toml by hand, as the README says",
            tables.join(", "),
            seen.nearest().unwrap_or_else(|| "none of them has any of the three".to_owned())
        ))
        .into());
    };
    for (table, choices) in sales {
        unless_copies(&analyst, &seen.tables[*table], choices).await?;
    }
    let mut currencies: BTreeSet<String> = BTreeSet::new();
    for found in sources["sales"].iter().filter_map(|(_, choices)| choice(choices, "currency")) {
        let (table, column) = seen.at(found.place);
        let sql = format!("select distinct {} from raw.{} limit 9", quoted(&column.name), quoted(&table.name));
        currencies.extend(rows(&analyst, &sql).await?.into_iter().filter_map(|mut row| row.remove(0)));
    }
    let currencies: Vec<String> = currencies.into_iter().collect();
    // As the configuration's paths are resolved later: without following links.
    let here = crate::resolve(&format!("{}/", folder.display()))?;
    let here = here.to_file_path().unwrap_or_else(|()| folder.to_owned());
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (source, parts) in &sources {
        files.extend(seen.staging(source, parts, &sources).map(|sql| (format!("sql/staging/{source}.sql"), sql)));
    }
    files.insert("cxroi.toml".to_owned(), seen.configuration(lake, &here, &sources, &currencies, !files.is_empty()));
    if let Some(there) = files.keys().map(|file| folder.join(file)).find(|file| file.exists()) {
        return Err(Error::Input(format!(
            "{} is there already; move it away, or name another folder with --output",
            there.display()
        ))
        .into());
    }
    for (file, text) in &files {
        let path = folder.join(file);
        let parent = path.parent().context("a file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let anonymous = sources["sales"].iter().any(|(_, choices)| choice(choices, "customer_id").is_none());
    let customers = if anonymous {
        ", and name the customer in sql/staging/sales.sql: without customer_id no number about customers can be published"
    } else {
        ""
    };
    let config = folder.join("cxroi.toml");
    let written: Vec<String> = files.keys().map(|file| folder.join(file).display().to_string()).collect();
    Ok(format!(
        "{skipped}{}\nwrote {}\nWhat next: look at what is only a guess{customers}, then\n  cxroi check --config {config}\n  cxroi run --config {config}\n",
        seen.said(&sources, &currencies),
        written.join(", "),
        config = config.display()
    ))
}

/// A path relative to a folder, if it is below the folder, beside it, or beside its parent. `None` if it is further
/// away, or if a link on the way up may lead elsewhere.
fn relative(path: &Path, folder: &Path) -> Option<PathBuf> {
    const UP: usize = 2;
    let shared = folder.components().zip(path.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().count() - shared;
    let is_link = |there: &Path| there.exists() && !there.canonicalize().is_ok_and(|real| real == there);
    // The root alone is nothing that they share.
    if up > UP || up > 0 && (shared < 2 || folder.ancestors().take(up).any(is_link)) {
        return None;
    }
    let there = repeat_n(Component::ParentDir, up).chain(path.components().skip(shared)).collect::<PathBuf>();
    Some(if there.as_os_str().is_empty() { PathBuf::from(".") } else { there })
}

/// Says what to do about a file in another encoding; the reader's own error names the line and not the file.
fn of_letters(error: anyhow::Error, url: &Url) -> anyhow::Error {
    let said = format!("{error:#}");
    let Some((_, place)) = said.split_once("invalid UTF-8") else { return error };
    let place = place.trim_start_matches(" data").split([':', ';']).next().unwrap_or_default();
    Error::Input(format!("{url} is not UTF-8{place}: save it as UTF-8")).into()
}

/// The rows of a query as texts.
async fn rows(analyst: &Analyst, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let query = analyst.query(sql).await.with_context(|| format!("cannot ask the lake: {sql}"))?;
    let mut rows = Vec::new();
    for batch in query.collect().await.with_context(|| format!("cannot ask the lake: {sql}"))? {
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let text =
                |column: &ArrayRef| column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned());
            rows.push(columns.iter().map(text).collect());
        }
    }
    Ok(rows)
}

/// Counts the values of every column and takes a sample of them.
async fn look(analyst: &Analyst, name: String, url: Url) -> Result<Table> {
    let raw = format!("raw.{}", quoted(&name));
    let all = analyst.query(&format!("select * from {raw}")).await.with_context(|| format!("cannot read {url}"))?;
    let readable = |found: &DataType| {
        !found.is_nested() && !matches!(found, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
    };
    let fields = all.schema().fields().iter().filter(|field| readable(field.data_type()));
    let fields: Vec<(String, DataType)> =
        fields.map(|field| (field.name().clone(), field.data_type().clone())).collect();
    let part = format!("(select * from {raw} limit {LOOKED_AT}) as part");
    let text = |name: &str| format!("cast({} as varchar)", quoted(name));
    let counts = fields.iter().map(|(name, _)| format!(", count({0}), approx_distinct({0})", text(name)));
    let counted = rows(analyst, &format!("select count(*){} from {part}", counts.collect::<String>())).await?;
    let count = |at: usize| counted[0][at].as_deref().and_then(|count| count.parse().ok()).unwrap_or(0_usize);
    let texts: Vec<String> = fields.iter().map(|(name, _)| text(name)).collect();
    let step = (count(0) / SAMPLE).max(1);
    let sample = if fields.is_empty() {
        Vec::new()
    } else {
        let numbered = format!("(select *, row_number() over () as cxroi_row from {part}) as numbered");
        rows(analyst, &format!("select {} from {numbered} where cxroi_row % {step} = 0", texts.join(", "))).await?
    };
    let mut columns = Vec::new();
    for (at, (name, data_type)) in fields.into_iter().enumerate() {
        let sample: Vec<String> = sample.iter().filter_map(|row| row[at].clone()).collect();
        let (filled, mut distinct) = (count(1 + 2 * at), count(2 + 2 * at));
        // The estimate is a few percent off, which is too much to tell whether a column is a key.
        if distinct * 10 >= filled * 8 && is_id(&sample) {
            let exact = rows(analyst, &format!("select count(distinct {}) from {part}", text(&name))).await?;
            distinct = exact[0][0].as_deref().and_then(|count| count.parse().ok()).unwrap_or(distinct);
        }
        let written = written(&data_type, &sample);
        columns.push(Column { name, data_type, filled, distinct, sample, written });
    }
    Ok(Table { name, url, rows: count(0), columns })
}

/// What a lone mark before three digits is can be told from the currency, if it has three decimals and so has every amount, and
/// from the other numbers of the table.
fn settle_marks(tables: &mut [Table]) {
    for table in tables {
        let has_mark = |value: &String| value.contains(['.', ',']);
        let mills = |value: &String| listed(MILLS, value.trim());
        let currency = |column: &Column| likeness(&table.name, &column.name, "currency").0 >= 0.6 && column.filled > 0;
        let of_mills = table.columns.iter().any(|column| currency(column) && column.sample.iter().all(mills));
        for column in &mut table.columns {
            if let Written::Number { comma, sure, .. } = &mut column.written
                && !*sure
                && (of_mills || marks(&column.sample).iter().any(|mark| listed(MILLS, mark)))
                && column.sample.iter().all(has_mark)
            {
                (*comma, *sure) = (!*comma, true);
            }
        }
        let shows = |column: &&Column| !column.data_type.is_numeric() && column.sample.iter().any(has_mark);
        let told = table.columns.iter().filter(shows).filter_map(|column| match column.written {
            Written::Number { comma, sure: true, .. } => Some(comma),
            _ => None,
        });
        let told: BTreeSet<bool> = told.collect();
        for column in table.columns.iter_mut().filter(|_| told.len() == 1) {
            if let Written::Number { comma, sure, .. } = &mut column.written
                && !*sure
            {
                (*comma, *sure) = (told.contains(&true), true);
            }
        }
    }
}

/// Settles dates that have no day above 12: days come first if they do in the columns that show their order, or if no
/// column shows it and numbers are written with a decimal comma, as where days come first.
fn settle_days(tables: &mut [Table]) {
    let all = tables.iter().flat_map(|table| &table.columns).map(|column| column.written);
    let known: Vec<bool> = all
        .filter_map(|written| match written {
            Written::Days { day_first, sure: true, .. } => Some(day_first),
            _ => None,
        })
        .collect();
    let comma = |column: &Column| matches!(column.written, Written::Number { comma: true, sure: true, .. });
    let commas = tables.iter().flat_map(|table| &table.columns).any(comma);
    for column in tables.iter_mut().flat_map(|table| &mut table.columns) {
        if let Written::Days { day_first, sure: false, .. } = &mut column.written {
            *day_first = (commas || known.contains(&true)) && !known.contains(&false);
        }
    }
}

/// Which columns hold keys of other tables.
async fn links(analyst: &Analyst, tables: &[Table]) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let places = |table: usize| (0..tables[table].columns.len()).map(move |column| (table, column));
    for to in (0..tables.len()).flat_map(places) {
        let (parent, key) = (&tables[to.0], &tables[to.0].columns[to.1]);
        if !key.is_key(parent.rows) {
            continue;
        }
        for from in (0..tables.len()).filter(|table| *table != to.0).flat_map(places) {
            let (child, value) = (&tables[from.0], &tables[from.0].columns[from.1]);
            if !may_link(child, value, parent, key) {
                continue;
            }
            let (one, other) = (quoted(&value.name), quoted(&key.name));
            let found = rows(
                analyst,
                &format!(
                    "select count(*), count(parent.id) from (select distinct cast({one} as varchar) as id from raw.{} where {one} is not null limit 500) as child left join (select distinct cast({other} as varchar) as id from raw.{}) as parent on parent.id = child.id",
                    quoted(&child.name),
                    quoted(&parent.name)
                ),
            )
            .await?;
            let number = |at: usize| found[0][at].as_deref().and_then(|count| count.parse().ok()).unwrap_or(0.0_f64);
            let share = number(1) / number(0).max(1.0);
            if share >= 0.8 || share >= 0.5 && words(&value.name) == words(&key.name) {
                links.push(Link { from, to, share });
            }
        }
    }
    Ok(links)
}

/// Drops a line's id that does not tell the lines of an order apart: with it they would be taken for copies.
async fn unless_copies(analyst: &Analyst, table: &Table, choices: &mut Vec<Choice>) -> Result<()> {
    let (Some(order), Some(line)) = (choice(choices, "order_id"), choice(choices, "line_id")) else { return Ok(()) };
    let ids = [order, line].map(|choice| format!("cast({} as varchar)", quoted(&table.columns[choice.place.1].name)));
    let (raw, ids) = (quoted(&table.name), ids.join(", "));
    let sql =
        format!("select count(*), sum(copies) from (select count(*) as copies from raw.{raw} group by {ids}) as lines");
    let found = rows(analyst, &sql).await?;
    let number = |at: usize| found[0][at].as_deref().and_then(|count| count.parse().ok()).unwrap_or(0.0_f64);
    if number(0) < 0.9 * number(1) {
        choices.retain(|choice| choice.target != "line_id");
    }
    Ok(())
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    const WORDS: &str = "order group select from where user table case when end join on left right union all as and or not null in is \
        by limit offset values interval timestamp date time start value key position year month day full cross inner \
        using with desc asc distinct any some set to then else like between";
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if name.chars().all(letters)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !listed(WORDS, name)
        && !name.is_empty()
    {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn choice<'a>(choices: &'a [Choice], target: &str) -> Option<&'a Choice> {
    choices.iter().find(|choice| choice.target == target)
}

impl Seen {
    fn at(&self, (table, column): Place) -> (&Table, &Column) {
        (&self.tables[table], &self.tables[table].columns[column])
    }

    fn places(&self, table: usize) -> impl Iterator<Item = Place> {
        (0..self.tables[table].columns.len()).map(move |column| (table, column))
    }
}

#[cfg(test)]
mod tests {
    use super::values::scale;
    use super::*;

    fn column(name: &str, sample: &[&str], distinct: usize) -> Column {
        let sample: Vec<String> = sample.iter().map(|value| (*value).to_owned()).collect();
        let written = written(&DataType::Utf8View, &sample);
        Column { name: name.to_owned(), data_type: DataType::Utf8View, filled: 1_000, distinct, sample, written }
    }

    fn table(name: &str, columns: Vec<Column>) -> Table {
        let url = Url::parse(&format!("s3://shop/{name}/")).unwrap();
        Table { name: name.to_owned(), url, rows: 1_000, columns }
    }

    #[test]
    fn a_lake_nearby_is_named_as_seen_from_the_configuration() {
        for (path, folder, want) in [
            ("/work/shop/exports/orders.csv", "/work/shop", Some("exports/orders.csv")),
            ("/work/exports/orders.csv", "/work/shop", Some("../exports/orders.csv")),
            ("/work/exports/orders", "/work/shops/mine", Some("../../exports/orders")),
            ("/work/exports", "/work/exports/guessed", Some("..")),
            ("/work/exports", "/work/exports", Some(".")),
            ("/work/exports/orders.csv", "/work/shops/of/mine", None),
            ("/data/orders.csv", "/work", None),
            ("/data/orders.csv", "/", Some("data/orders.csv")),
        ] {
            assert_eq!(relative(Path::new(path), Path::new(folder)), want.map(PathBuf::from), "{path} from {folder}");
        }
    }

    #[test]
    fn names_in_several_languages_are_known() {
        for (name, target) in [
            ("Kunden-Nr", "customer_id"),
            ("CustomerID", "customer_id"),
            ("id_cliente", "customer_id"),
            ("Rechnungsnummer", "order_id"),
            ("InvoiceDate", "ordered_at"),
            ("Bestelldatum", "ordered_at"),
            ("Nettobetrag", "amount"),
            ("order_item_id", "line_id"),
            ("Weiterempfehlung", "nps"),
            ("Code client", "customer_id"),
            ("klantnummer", "customer_id"),
            ("num_ticket", "order_id"),
            ("ticket", "order_id"),
            ("ticket id", "interaction_id"),
            ("bestelnummer", "order_id"),
            ("fecha_hora", "ordered_at"),
            ("fecha_hora", "occurred_at"),
            ("ts", "ordered_at"),
            ("Date de commande", "ordered_at"),
            ("importe_neto", "amount"),
            ("Montant HT", "amount"),
            ("Ligne", "line_id"),
            ("Segment client", "segment"),
            ("fecha_alta", "acquired_at"),
            ("Note NPS", "nps"),
            ("canal", "channel"),
            ("coste", "service_cost"),
        ] {
            assert!(likeness("", name, target).0 >= 0.6, "{name}");
        }
        for (name, target) in [
            ("customer_state", "customer_id"),
            ("freight_value", "amount"),
            ("order_status", "order_id"),
            ("mwst_betrag", "amount"),
        ] {
            assert!(likeness("", name, target).0 < 0.6, "{name}");
        }
    }

    #[test]
    fn what_is_written_is_told_from_the_values() {
        let number = |comma, marks| Written::Number { comma, marks, sure: true };
        let days = |day_first, sure| Written::Days { day_first, sure, short: false };
        let short = |day_first, sure| Written::Days { day_first, sure, short: true };
        let doubted = |comma, marks| Written::Number { comma, marks, sure: false };
        for (values, want) in [
            ("12.50|-3", number(false, false)),
            ("1.234,50|-3,5", number(true, false)),
            ("12,50 €", number(true, true)),
            ("1,234.50", number(false, false)),
            ("1.234|12.500|950", doubted(true, false)),
            ("1.125|2.250", doubted(true, false)),
            ("1.234 €|950 €", doubted(true, true)),
            ("1,234|950", doubted(false, false)),
            ("1.234|0.500", number(false, false)),
            ("1.234|12.34", number(false, false)),
            ("1.234|1234.500", number(false, false)),
            ("1.234|12,50", number(true, false)),
            ("1,234|0,500", number(true, false)),
            ("1.234.567|950", number(true, false)),
            ("1.234,500", number(true, false)),
            ("2024-12-31|2024-12-31T10:15:00Z", Written::Time),
            ("31.12.2024|1.2.2024 9:15", days(true, true)),
            ("12/1/2010 8:26|12/31/2010 9:00", days(false, true)),
            ("1/2/2024|3/4/2024", days(false, false)),
            ("05/11/25|31/12/25", short(true, true)),
            ("05/11/25|12/31/2025", short(false, true)),
            ("25-12-30|25-11-05", Written::Other),
            ("EUR 12.50|EUR 3", number(false, true)),
            ("(3,20 €)|12,50 €", number(true, true)),
            ("3,20-|12,50", number(true, false)),
            ("\u{2013}3,20|12,50", number(true, false)),
            ("-$12.50|$ 3|950", number(false, true)),
            ("CHF 1'234.50|CHF 3", number(false, true)),
            ("1\u{202f}234,50|12,50", number(true, true)),
            ("3.20 CR|3.20 DR", Written::Other),
            ("3.20 CR|3.20", Written::Other),
            ("$12.50|€12.50", Written::Other),
            ("3.20 K|4.50 K", Written::Other),
            ("k€ 3,20|k€ 4,50", Written::Other),
            ("3,20 %|4,50 %", Written::Other),
            ("2 x 10.00 EUR", Written::Other),
            ("9.00 EUR 19%", Written::Other),
            ("9.00 19", Written::Other),
            ("12,- €", Written::Other),
            ("c003|c004", Written::Other),
            ("20241231", Written::Compact),
            ("20241231 235959|20241231T00:00:00", Written::Compact),
            ("1577836800", Written::Seconds),
            ("1577836800000", Written::Millis),
            ("phone|web", Written::Other),
        ] {
            let sample: Vec<String> = values.split('|').map(str::to_owned).collect();
            assert_eq!(written(&DataType::Utf8View, &sample), want, "{values}");
        }
    }

    #[test]
    fn a_mark_that_may_be_one_of_thousands_makes_a_guess() {
        let order = [column("order_id", &["a", "b"], 900), column("date", &["2024-12-31"], 300)];
        let more = [column("amount", &["1.100", "12.500", "950"], 300), column("category", &["x"], 1)];
        let seen = Seen { tables: vec![table("sales", order.into_iter().chain(more).collect())], ..Seen::default() };
        let sources = seen.sources();
        let amount = choice(&sources["sales"][0].1, "amount").unwrap();
        assert_eq!(amount.sure, Sure::Guess);
        assert!(amount.why.starts_with("a point before three digits,"), "{}", amount.why);
        assert!(amount.why.ends_with("from \"950\" to \"12.500\""), "{}", amount.why);
        let sales = seen.staging("sales", &sources["sales"], &sources).unwrap();
        assert!(sales.contains("replace(replace(amount, '.', ''), ',', '.')"), "{sales}");
    }

    #[test]
    fn days_come_first_where_commas_come_before_decimals() {
        for (amount, date, want) in [
            (["12,50", "3"], ["1/2/2024", "3/4/2024"], true),
            (["1.250", "3"], ["1/2/2024", "3/4/2024"], false),
            (["12.50", "3"], ["1/2/2024", "3/4/2024"], false),
            (["12,50", "3"], ["1/2/2024", "3/31/2024"], false),
        ] {
            let dates = [column("date", &date, 300), column("due", &["1/2/2024"], 300)];
            let columns = dates.into_iter().chain([column("amount", &amount, 300)]).collect();
            let mut tables = [table("sales", columns)];
            settle_days(&mut tables);
            let due = tables[0].columns[1].written;
            assert_eq!(due, Written::Days { day_first: want, sure: false, short: false }, "{amount:?} {date:?}");
        }
    }

    #[test]
    fn a_lone_mark_is_what_the_currency_and_other_numbers_say() {
        let number = |comma, sure| Written::Number { comma, marks: false, sure };
        for (amount, name, other, want) in [
            (["1.250", "3"], "price", "3.99", number(false, true)),
            (["1.250", "3"], "price", "3,99", number(true, true)),
            (["1,250", "3"], "price", "3,99", number(true, true)),
            (["1.250", "3"], "price", "4", number(true, false)),
            (["1.250", "3.000"], "currency", "TND", number(false, true)),
            (["1,250", "3,000"], "currency", "TND", number(true, true)),
            (["1.250", "3"], "currency", "TND", number(true, false)),
            (["1.250", "3.000"], "currency", "EUR", number(true, false)),
        ] {
            let mut tables = [table("sales", vec![column("amount", &amount, 300), column(name, &[other], 300)])];
            settle_marks(&mut tables);
            assert_eq!(tables[0].columns[0].written, want, "{amount:?} beside {other}");
        }
        let mut tables = [table("sales", vec![column("amount", &["1.250 TND"], 300)])];
        settle_marks(&mut tables);
        assert_eq!(tables[0].columns[0].written, Written::Number { comma: false, marks: true, sure: true });
    }

    #[test]
    fn a_price_times_a_guess_is_a_guess() {
        let order = [column("order_id", &["a", "b"], 900), column("date", &["2024-12-31"], 300)];
        let more = [column("unit_price", &["3"], 300), column("quantity", &["1.250"], 300)];
        let seen = Seen { tables: vec![table("sales", order.into_iter().chain(more).collect())], ..Seen::default() };
        let sources = seen.sources();
        let amount = choice(&sources["sales"][0].1, "amount").unwrap();
        assert_eq!(amount.sure, Sure::Guess);
        assert!(amount.why.starts_with("price times quantity; a point before three digits,"), "{}", amount.why);
    }

    #[test]
    fn numbers_with_several_marks_are_not_read_and_told() {
        let order = [column("order_id", &["a", "b"], 900), column("date", &["2024-12-31"], 300)];
        let amount = column("amount", &["$12.50", "€12.50"], 300);
        let columns = order.into_iter().chain([amount]).collect();
        let seen = Seen { tables: vec![table("sales", columns)], ..Seen::default() };
        let nearest = seen.nearest().unwrap();
        let told = "missing is money; amount is not read: its numbers have several marks ($, €)";
        assert!(nearest.ends_with(told), "{nearest}");
    }

    #[test]
    fn years_of_two_digits_are_of_this_century_as_a_guess() {
        let order = [column("order_id", &["a", "b"], 900), column("date", &["05/11/25", "31/12/25"], 300)];
        let more = [column("amount", &["12.50"], 300), column("category", &["x"], 1)];
        let seen = Seen { tables: vec![table("sales", order.into_iter().chain(more).collect())], ..Seen::default() };
        let sources = seen.sources();
        let time = choice(&sources["sales"][0].1, "ordered_at").unwrap();
        assert!(time.sure == Sure::Guess && time.why.starts_with("years of two digits"), "{}", time.why);
        let sales = seen.staging("sales", &sources["sales"], &sources).unwrap();
        assert!(sales.contains("[./-](?:20)?([0-9]{2})\\b', '20\\3-\\2-\\1')"), "{sales}");
    }

    #[test]
    fn where_nothing_is_sold_the_likeliest_table_is_told() {
        let visits = table("visits", vec![column("date", &["2024-12-31"], 300)]);
        let baskets = vec![column("amount", &["12.50"], 300), column("order_id", &["a", "b"], 900)];
        let seen = Seen { tables: vec![visits, table("baskets", baskets)], ..Seen::default() };
        assert!(!seen.sources().contains_key("sales"));
        assert_eq!(
            seen.nearest().unwrap(),
            "baskets comes nearest, with money in baskets.amount, an id of the order in baskets.order_id; missing is a time"
        );
        assert_eq!(Seen::default().nearest(), None);
    }

    #[test]
    fn sales_without_a_customer_say_so() {
        let order = [column("order_id", &["a", "b"], 900), column("date", &["2024-12-31"], 300)];
        let more = [column("amount", &["12.50"], 300), column("category", &["x"], 1)];
        let seen = Seen { tables: vec![table("sales", order.into_iter().chain(more).collect())], ..Seen::default() };
        let said = seen.said(&seen.sources(), &[]);
        assert!(said.contains("without customer_id there is no number about customers"), "{said}");
    }

    #[test]
    fn an_order_made_of_customer_and_time_is_there_without_a_customer() {
        let sale = [column("customer", &["a", "b"], 300), column("date", &["2024-12-31"], 300)];
        let columns = sale.into_iter().chain([column("amount", &["12.50"], 300)]).collect();
        let seen = Seen { tables: vec![table("sales", columns)], ..Seen::default() };
        let sources = seen.sources();
        let sales = seen.staging("sales", &sources["sales"], &sources).unwrap();
        let order =
            "coalesce(cast(customer as varchar), '') || '/' || coalesce(cast(\"date\" as varchar), '') as order_id";
        assert!(sales.contains(order), "{sales}");
    }

    #[test]
    fn letters_of_another_encoding_are_named_with_their_file() {
        let url = Url::parse("s3://shop/customers.csv").unwrap();
        let said = |error: &str| of_letters(anyhow::anyhow!("{error}").context("cannot ask"), &url).to_string();
        assert_eq!(
            said("Csv error: Encountered invalid UTF-8 data for line 4 and field 2: Arrow error"),
            "s3://shop/customers.csv is not UTF-8 for line 4 and field 2: save it as UTF-8"
        );
        assert_eq!(
            said("Csv error: invalid utf-8: invalid UTF-8 in field 0 near byte index 1 at line 1; write it again"),
            "s3://shop/customers.csv is not UTF-8 in field 0 near byte index 1 at line 1: save it as UTF-8"
        );
        assert_eq!(said("gone"), "cannot ask");
    }

    #[test]
    fn a_minus_is_kept_wherever_it_stands() {
        for (values, minus) in [
            (["12,50 €", "(3,20 €)"], true),
            (["12,50", "3,20-"], true),
            (["12,50 €", "\u{2212}3,20 €"], true),
            (["12,50 €", "\u{2013}3,20 €"], true),
            (["12,50 €", "-3,20 €"], false),
        ] {
            let order = [column("order_id", &["a", "b"], 900), column("date", &["2024-12-31"], 300)];
            let more = [column("amount", &values, 300), column("category", &["x"], 1)];
            let columns = order.into_iter().chain(more).collect();
            let seen = Seen { tables: vec![table("sales", columns)], ..Seen::default() };
            let sources = seen.sources();
            let sales = seen.staging("sales", &sources["sales"], &sources).unwrap();
            assert_eq!(sales.contains("'-\\1\\2\\3'"), minus, "{values:?}\n{sales}");
            let lowest = format!("from {:?}", values[1]);
            assert!(choice(&sources["sales"][0].1, "amount").unwrap().why.contains(&lowest), "{values:?}");
        }
    }

    #[test]
    fn the_scale_is_told_from_the_answers() {
        let answers = |from: i64, to: i64| (from..=to).map(|answer| answer.to_string()).collect::<Vec<_>>();
        let told = |name: &str, from: i64, to: i64| scale("survey", name, &answers(from, to));
        assert_eq!(scale("reviews", "review_score", &answers(1, 5)), Some(("csat", Sure::High, String::new())));
        assert_eq!(told("customer_effort_score", 1, 7), Some(("ces", Sure::High, String::new())));
        assert_eq!(told("nps", 0, 100), None);
        assert_eq!(told("age", 1, 5), None);
        for (to, want, scale) in [(5, ("csat", Sure::Fair), "1 to 5"), (7, ("ces", Sure::Guess), "1 to 7")] {
            let (score, sure, why) = told("score", 1, to).unwrap();
            assert_eq!((score, sure), want);
            assert!(why.contains(scale), "{why}");
        }
        for (from, doubted) in [(0, false), (1, true)] {
            let (score, sure, why) = told("score", from, 10).unwrap();
            assert_eq!((score, sure), ("nps", Sure::Guess));
            assert!(why.contains("NPS (0 to 10)") && why.contains("another scale, of 1 to 10") == doubted, "{why}");
        }
    }

    /// As Olist's: lines name orders, orders a customer of their own, and a column beside that is the person.
    fn shop() -> Seen {
        let order = ["a1", "a2", "a3"];
        let tables = vec![
            table(
                "items",
                vec![
                    column("order_id", &order, 700),
                    column("price", &["1.50", "2"], 90),
                    column("freight_value", &["1.5"], 9),
                ],
            ),
            table(
                "orders",
                vec![
                    column("order_id", &order, 1_000),
                    column("customer_id", &["c1", "c2"], 1_000),
                    column("order_purchase_timestamp", &["2024-12-31 10:15:00"], 990),
                ],
            ),
            table(
                "customers",
                vec![
                    column("customer_id", &["c1", "c2"], 1_000),
                    column("customer_unique_id", &["p1", "p2"], 950),
                    column("customer_state", &["SP", "RJ"], 27),
                ],
            ),
        ];
        let link = |from, to| Link { from, to, share: 1.0 };
        let mut seen = Seen { tables, links: vec![link((0, 0), (1, 0)), link((1, 1), (2, 0))], person: None };
        seen.person = seen.person();
        seen
    }

    #[test]
    fn a_customer_is_the_person_behind_the_order() {
        let seen = shop();
        assert_eq!(seen.person, Some(((2, 0), (2, 1))));
        let sources = seen.sources();
        let sales = seen.staging("sales", &sources["sales"], &sources).unwrap();
        for part in [
            "customers.customer_unique_id as customer_id,",
            "orders.order_purchase_timestamp as ordered_at,",
            "items.price as amount,",
            "from raw.sales as items\nleft join raw.orders as orders on orders.order_id = items.order_id\n\
             left join raw.customers as customers on customers.customer_id = orders.customer_id\n",
        ] {
            assert!(sales.contains(part), "{part}\nnot in\n{sales}");
        }
        assert!(sales.contains("not added to the amount: freight_value"), "{sales}");
    }

    #[test]
    fn answers_and_calls_are_one_source() {
        let answers = [column("customer_id", &["a", "b"], 300), column("date", &["2024-12-31"], 300)];
        let more = [column("answer_id", &["1", "2"], 1_000), column("nps", &["3", "10"], 11)];
        let answers = answers.into_iter().chain(more).collect();
        let calls = [column("customer_id", &["a", "b"], 300), column("called_at", &["2024-12-31 10:15:00"], 300)];
        let calls = calls.into_iter().chain([column("duration_min", &["3", "12"], 30)]).collect();
        let seen = Seen { tables: vec![table("answers", answers), table("calls", calls)], ..Seen::default() };
        let sources = seen.sources();
        let interactions = seen.staging("interactions", &sources["interactions"], &sources).unwrap();
        for part in [
            "    \"date\" as occurred_at,\n    cast('answers/' || cast(answer_id as varchar) as varchar) as interaction_id,\n",
            "    'answers' as channel,  -- guess",
            "cast(nps as varchar) as nps,\n    cast(null as varchar) as handle_seconds,\nfrom raw.interactions\nunion all\n",
            "cast(null as varchar) as nps,\n    cast(try_cast(duration_min as double) * 60 as varchar) as handle_seconds,\n",
            "from raw.calls\n",
        ] {
            assert!(interactions.contains(part), "{part}\nnot in\n{interactions}");
        }
    }

    #[test]
    fn own_names_need_no_staging_file() {
        let columns = ["customer_id", "order_id"].map(|name| column(name, &["a", "b"], 900));
        let more = [column("ordered_at", &["2024-12-31"], 300), column("amount", &["1.50"], 300)];
        let seen = Seen { tables: vec![table("sales", columns.into_iter().chain(more).collect())], ..Seen::default() };
        let sources = seen.sources();
        assert_eq!(seen.staging("sales", &sources["sales"], &sources), None);
    }
}
