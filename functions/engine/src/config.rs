//! The configuration: one TOML file, checked as a whole before anything starts.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono_tz::Tz;
use serde::de::DeserializeOwned;
use toml::{Table, Value};
use url::Url;

use crate::contract::{self, Score};
use crate::error::{Error, Result, suggestion};
use crate::month::Month;
use crate::store::Stores;

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Local months are months of this zone.
    pub timezone: Tz,
    /// The currency of all money, as the sales rows name it.
    pub currency: String,
    /// Where each source of the contract is.
    pub lake: BTreeMap<String, Url>,
    /// Sources of other shapes, for the user's staging SQL, as `raw.<name>`.
    pub raw: BTreeMap<String, Url>,
    /// The prefix that everything is written to.
    pub output: Url,
    /// The key of KMS that objects written to S3 are encrypted with; the bucket's own default where it is not set.
    pub kms_key: Option<String>,
    /// The folder whose SQL files replace the embedded ones of the same relative path.
    pub overlay: Option<Url>,
    /// Settings of the method.
    pub method: Method,
    /// Whether the minimum sample sizes hold.
    pub guards: bool,
    /// A number about fewer customers than this is suppressed; 0 turns suppression off.
    pub min_customers: i64,
    /// Money of a segment is suppressed as well if more than this share of it is one customer's.
    pub max_share: f64,
    /// Publish a month that is not closed, flagged.
    pub allow_incomplete: bool,
    /// How many of the newest periods are published again when their numbers would change.
    pub restate_months: i32,
    /// Bytes that queries may use; `None` takes what the machine offers.
    pub memory_limit: Option<usize>,
}

/// Settings of the method, all of them finance's to choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// Margin as a share of net revenue, where sales have none.
    pub default_margin_rate: f64,
    /// The quantile of positive customer-month totals at which money is capped for inference.
    pub winsor_quantile: f64,
    /// The yearly rate at which later money is discounted, as 0.1.
    pub annual_discount_rate: f64,
    /// How far the analysed revenue may be from finance's ledger, as a share of it.
    pub ledger_tolerance: f64,
    /// Months without an order after which a customer counts as gone.
    pub inactivity_months: i32,
    /// The answer to each score that a customer expects to give: NPS, CSAT, CES.
    pub expectations: [f64; 3],
    /// Those of these settings that only finance can know and that were left at their defaults.
    pub assumed: Vec<&'static str>,
    /// The first month of complete history; the month of the first sale where it is not set.
    pub history_from: Option<Month>,
    /// The zone of timestamps that name none.
    pub naive_timezone: Tz,
    /// Whether nobody said so: UTC is taken.
    pub naive_is_assumed: bool,
    /// The three scores with their scales.
    pub scores: [Score; 3],
}

impl Config {
    /// Reads and checks the configuration at a URL. Relative paths in it resolve against its folder.
    ///
    /// # Errors
    /// [`Error::Config`] with every unknown key and bad value.
    pub async fn load(url: &Url, stores: &Stores) -> Result<Self> {
        let location = stores.locate(url)?;
        let (bytes, _) = location.get().await?.ok_or_else(|| {
            Error::Input(format!(
                "{location}: there is no such file; name the configuration with --config or CXROI_CONFIG, or go to its folder"
            ))
        })?;
        let fail = |problem: String| Error::Config { file: location.to_string(), problems: vec![problem] };
        let text = std::str::from_utf8(&bytes).map_err(|error| fail(format!("is not UTF-8 text: {error}")))?;
        Self::parse(text, url).map_err(|problems| Error::Config { file: location.to_string(), problems })
    }

    /// Checks the text of a configuration whose own URL is `base`.
    ///
    /// # Errors
    /// Every problem found, one line each.
    pub fn parse(text: &str, base: &Url) -> Result<Self, Vec<String>> {
        let table = text.parse::<Table>().map_err(|error| vec![error.to_string().trim_end().to_owned()])?;
        let mut problems = Vec::new();
        let config = read(&mut Section::new("", table, &mut problems), base);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

fn read(root: &mut Section<'_>, base: &Url) -> Config {
    let timezone = root.zone("timezone", chrono_tz::UTC);
    let currency = root.required::<String>("currency", "the code that your sales rows carry, as \"EUR\"");

    let (lake, raw) = read_sources(root, base);

    let mut output = root.section("output");
    let names_output = output.table.contains_key("url");
    let output_url = output.url("url", base);
    if !names_output {
        output.problem("url", "is missing: name the folder to write to, as url = \"out/\"");
    }
    let kms_key = output.get::<String>("kms_key");
    output.finish();

    let mut sql = root.section("sql");
    let overlay = sql.url("overlay", base);
    sql.finish();

    let method = read_method(root.section("method"));

    let mut section = root.section("guards");
    let guards = section.or("enabled", true);
    section.finish();

    let mut section = root.section("privacy");
    let min_customers = section.between("min_customers", 10, 0, 1_000_000);
    let max_share = section.between("max_share", 0.5, 0.0, 1.0);
    section.finish();

    let mut section = root.section("run");
    let allow_incomplete = section.or("allow_incomplete", false);
    let restate_months = section.between("restate_months", 3, 0, 1_200);
    let memory_limit = section.memory("memory_limit");
    section.finish();
    root.finish();

    Config {
        timezone,
        currency,
        lake,
        raw,
        output: output_url.unwrap_or_else(|| base.clone()),
        kms_key,
        overlay,
        method,
        guards,
        min_customers,
        max_share,
        allow_incomplete,
        restate_months,
        memory_limit,
    }
}

/// Where the sources of the contract are, and those of other shapes.
fn read_sources(root: &mut Section<'_>, base: &Url) -> (BTreeMap<String, Url>, BTreeMap<String, Url>) {
    let mut lake = root.section("lake");
    let names_sales = lake.table.contains_key("sales");
    let mut sources = BTreeMap::new();
    for source in contract::SOURCES {
        if let Some(url) = lake.url(source.name, base) {
            sources.insert(source.name.to_owned(), url);
        }
    }
    if !names_sales {
        lake.problem("sales", "is missing: name the folder of the order lines, as sales = \"lake/sales/\"");
    }
    lake.finish();

    let mut section = root.section("raw");
    let mut raw = BTreeMap::new();
    for name in section.table.keys().cloned().collect::<Vec<_>>() {
        if sources.contains_key(&name) {
            section.problem(&name, "is a source of [lake] already: choose another name");
        }
        if let Some(url) = section.url(&name, base) {
            raw.insert(name, url);
        }
    }
    (sources, raw)
}

fn read_method(mut section: Section<'_>) -> Method {
    let ces_higher_is_better = section.or("ces_higher_is_better", true);
    let assumed = FINANCE.iter().copied().filter(|key| !section.table.contains_key(*key)).collect();
    let method = Method {
        assumed,
        default_margin_rate: section.between("default_margin_rate", 0.35, 0.0, 1.0),
        winsor_quantile: section.between("winsor_quantile", 0.99, 0.5, 1.0),
        annual_discount_rate: section.between("annual_discount_rate", 0.1, 0.0, 1.0),
        ledger_tolerance: section.between("ledger_tolerance", 0.005, 0.0, 1.0),
        inactivity_months: section.between("inactivity_months", 3, 1, 24),
        expectations: [
            section.between("nps_expectation", 7.5, 0.0, 10.0),
            section.between("csat_expectation", 3.0, 1.0, 5.0),
            section.between("ces_expectation", 4.0, 1.0, 7.0),
        ],
        history_from: section.parsed::<Month>("history_from"),
        naive_is_assumed: !section.table.contains_key("naive_timezone"),
        naive_timezone: section.zone("naive_timezone", chrono_tz::UTC),
        scores: [
            Score { name: "nps", lowest: 0, highest: 10, higher_is_better: true },
            Score { name: "csat", lowest: 1, highest: 5, higher_is_better: true },
            Score { name: "ces", lowest: 1, highest: 7, higher_is_better: ces_higher_is_better },
        ],
    };
    section.finish();
    method
}

/// The settings that only a company's finance department can know: until it sets them, numbers rest on guesses.
const FINANCE: &[&str] =
    &["annual_discount_rate", "inactivity_months", "nps_expectation", "csat_expectation", "ces_expectation"];

/// One table of the file. Reading a key takes it out; what is left at the end is unknown.
struct Section<'a> {
    name: &'static str,
    table: Table,
    known: Vec<String>,
    problems: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    fn new(name: &'static str, table: Table, problems: &'a mut Vec<String>) -> Self {
        Self { name, table, known: Vec::new(), problems }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn problem(&mut self, key: &str, what: &str) {
        let path = self.path(key);
        self.problems.push(format!("`{path}` {what}"));
    }

    fn section(&mut self, name: &'static str) -> Section<'_> {
        self.known.push(name.to_owned());
        let table = match self.table.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problem(name, &format!("must be a table: write [{name}]"));
                Table::new()
            }
        };
        Section::new(name, table, self.problems)
    }

    fn get<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        self.known.push(key.to_owned());
        let value = self.table.remove(key)?;
        match value.try_into() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, error.to_string().trim_end());
                None
            }
        }
    }

    fn required<T: DeserializeOwned + Default>(&mut self, key: &str, what: &str) -> T {
        if !self.table.contains_key(key) {
            self.known.push(key.to_owned());
            self.problem(key, &format!("is missing: {what}"));
        }
        self.get(key).unwrap_or_default()
    }

    fn or<T: DeserializeOwned>(&mut self, key: &str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    fn between<T>(&mut self, key: &str, default: T, low: T, high: T) -> T
    where
        T: DeserializeOwned + PartialOrd + std::fmt::Display + Copy,
    {
        let value = self.or(key, default);
        if !(low <= value && value <= high) {
            self.problem(key, &format!("is {value}; it must be from {low} to {high}"));
        }
        value
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.get::<String>(key)?;
        text.parse().map_err(|error| self.problem(key, &format!("{error}"))).ok()
    }

    fn zone(&mut self, key: &str, default: Tz) -> Tz {
        let Some(text) = self.get::<String>(key) else { return default };
        text.parse().unwrap_or_else(|_| {
            let hint = suggestion(&text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
            self.problem(key, &format!("is not a time zone: `{text}`{hint}"));
            default
        })
    }

    fn url(&mut self, key: &str, base: &Url) -> Option<Url> {
        let text = self.get::<String>(key)?;
        resolve(&text, base)
            .map_err(|error| self.problem(key, &format!("is not a path or URL: `{text}` ({error})")))
            .ok()
    }

    fn memory(&mut self, key: &str) -> Option<usize> {
        let text = self.get::<String>(key)?;
        let units = [("GB", 1 << 30), ("MB", 1 << 20)];
        let bytes = units.iter().find_map(|(unit, bytes)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            (number > 0.0 && number.is_finite()).then(|| (number * f64::from(*bytes)) as usize)
        });
        if bytes.is_none() && text != "auto" {
            self.problem(key, &format!("is `{text}`; write \"auto\", \"512 MB\" or \"4 GB\""));
        }
        bytes
    }

    fn finish(&mut self) {
        for key in std::mem::take(&mut self.table).keys() {
            let path = self.path(key);
            let hint = suggestion(key, self.known.iter().map(String::as_str));
            self.problems.push(format!("`{path}` is not a setting{hint}"));
        }
    }
}

/// A URL, or a path relative to the folder of `base`.
///
/// # Errors
/// What is wrong with the text as a URL.
pub fn resolve(text: &str, base: &Url) -> Result<Url, url::ParseError> {
    if text.contains("://") {
        return Url::parse(text);
    }
    // A path, not a reference: its `?`, `#` and `%` are characters of a name.
    let escaped = text.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    base.join(&escaped.replace(':', "%3A"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        Config::parse(text, &Url::parse("file:///home/ana/cxroi.toml").unwrap())
    }

    #[test]
    fn paths_resolve_against_the_folder_of_the_file() {
        let config = parse(
            "currency = 'EUR'\nlake = { sales = 'my lake/100%/', customers = '/abs/c/' }\noutput.url = 's3://bucket/out/'",
        )
        .unwrap();
        assert_eq!(config.lake["sales"].as_str(), "file:///home/ana/my%20lake/100%25/");
        assert_eq!(config.lake["customers"].as_str(), "file:///abs/c/");
        assert_eq!(config.output.as_str(), "s3://bucket/out/");
        assert_eq!(config.method.winsor_quantile, 0.99);
    }

    #[test]
    fn all_problems_are_reported_together_with_the_fix() {
        let problems = parse(
            "timezone = 'Europe/Rom'\n[lake]\ninteraction = 'x/'\n[method]\nwinsor_quantile = 3\nhistory_from = '2024'\n\
             [guards]\nenabled = 'yes'\n[run]\nmemory_limit = 'lots'\n[priavcy]\n",
        )
        .unwrap_err()
        .join("\n");
        for part in [
            "`timezone` is not a time zone: `Europe/Rom`; did you mean `Europe/Rome`?",
            "`currency` is missing",
            "`lake.sales` is missing",
            "`lake.interaction` is not a setting; did you mean `interactions`?",
            "`output.url` is missing",
            "`method.winsor_quantile` is 3; it must be from 0.5 to 1",
            "`method.history_from` `2024` is not a month",
            "`guards.enabled` invalid type",
            "`run.memory_limit` is `lots`",
            "`priavcy` is not a setting; did you mean `privacy`?",
        ] {
            assert!(problems.contains(part), "{part}\nnot in\n{problems}");
        }
    }

    #[test]
    fn a_place_that_is_no_text_is_not_called_missing_too() {
        let problems = parse("currency = 'EUR'\nlake.sales = ['s.csv']\noutput.url = ['o/']").unwrap_err();
        let [sales, output] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(sales.contains("`lake.sales` invalid type: sequence"), "{sales}");
        assert!(output.contains("`output.url` invalid type: sequence"), "{output}");
    }

    #[test]
    fn what_finance_leaves_to_the_defaults_is_known() {
        let text = "currency = 'EUR'\nlake.sales = 's/'\noutput.url = 'o/'\n[method]\nnps_expectation = 7.5";
        let assumed = parse(text).unwrap().method.assumed;
        assert_eq!(assumed, ["annual_discount_rate", "inactivity_months", "csat_expectation", "ces_expectation"]);
    }
}
