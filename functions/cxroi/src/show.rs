//! What people read on a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use engine::{Engine, Expected, Forgotten, Listed, Outcome, Plan, Pointer, Publication, Unused, apart, figure, plural};
use serde_json::Value;

use crate::arguments::Section;

/// Writes to standard output.
pub(crate) fn say(text: &str) -> Result<()> {
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// One line on what a run did.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let Outcome { period, pointer, published, months_read, repaired, other_version, .. } = outcome;
    let read = match months_read.as_slice() {
        [] => "no month had to be read".to_owned(),
        [month] => format!("read {month}"),
        months => format!("read {} months", months.len()),
    };
    let mut text = match published {
        true => format!("published {period}"),
        false => format!("nothing new: {period} is published"),
    };
    text.push_str(&format!(" as number {} ({read}), run {}", pointer.seq, pointer.run_id));
    if let Some(version) = other_version {
        text.push_str(&format!(
            "; only the version moved since {version} computed it: `cxroi run --period {period} --refresh-version` does it anew"
        ));
    }
    if *repaired > 0 {
        text.push_str(&format!("; mended {repaired} {} below summaries/", plural(*repaired, "copy", "copies")));
    }
    text
}

/// One line on a lake of which nothing is due.
pub(crate) fn nothing_due(period: &str, pointer: &Pointer) -> String {
    format!("nothing new: {period} is published as number {}, run {}{}", pointer.seq, pointer.run_id, marks(pointer))
}

/// What finance and a schedule wrote on a publication.
fn marks(pointer: &Pointer) -> String {
    let since = pointer.closed_at.map_or_else(String::new, |at| format!(" {}", at.format("%Y-%m-%d")));
    let closed = if pointer.closed { format!("; closed{since}") } else { String::new() };
    let moved: Vec<&str> = pointer.stale.iter().map(String::as_str).collect();
    match moved.as_slice() {
        [] => closed,
        moved => format!("{closed}; STALE: {} moved since, and the numbers stay as they are", moved.join(", ")),
    }
}

/// The plan as a few lines, its times in the zone of the months.
pub(crate) fn plan(engine: &Engine, plan: &Plan, now: DateTime<Utc>) -> String {
    let mut text = format!("report     {}, history from {}\n", plan.period, plan.history_start);
    if let Some(reason) = &plan.incomplete {
        text.push_str(&format!("incomplete {reason}\n"));
    }
    if let Some(reason) = plan.next_waits_for(engine, now) {
        text.push_str(&format!("next       {reason}\n"));
    }
    for (name, feed) in plan.feeds.iter() {
        let [first, last] = [feed.first, feed.last].map(|at| at.with_timezone(&engine.timezone()));
        let (first, last) = (first.format("%Y-%m-%d"), last.format("%Y-%m-%d %H:%M %Z"));
        let (rows, days) = (feed.rows, (now - feed.last).num_days());
        text.push_str(&format!(
            "feed       {name}: {rows} {} from {first} to {last}, {days} {} ago\n",
            plural(rows, "row", "rows"),
            plural(days, "day", "days")
        ));
    }
    let read: Vec<String> = plan.to_read().map(|month| month.month.to_string()).collect();
    let all = plan.months.len();
    let months = format!("{all} {}", plural(all, "month", "months"));
    match read.as_slice() {
        [] => text.push_str(&format!("read       nothing: the facts of {months} are there\n")),
        [one] => text.push_str(&format!("read       {one}, of {months}\n")),
        [first, .., last] => text.push_str(&format!("read       {} of {months}, {first} to {last}\n", read.len())),
    }
    text
}

/// What a run is expected to need, as a few lines.
pub(crate) fn expected(expected: &Expected) -> String {
    let Expected { rows, bytes, facts, cores, .. } = expected;
    format!(
        "rows       about {rows:.0} of the lake in {:.1} MB; the report covers {facts:.0} {}\n\
         time       about {:.0} s on the {cores} {} of this machine, at rates that were measured on two of another\n\
         cost       about {:.4} USD on Lambda, at the list price of us-east-1, without requests and storage\n",
        bytes / 1e6,
        plural(facts.round(), "customer-month", "customer-months"),
        expected.here().ceil(),
        plural(*cores, "core", "cores"),
        expected.dollars(),
    )
}

/// What was published, a line each.
pub(crate) fn publications(publications: &[Listed]) -> String {
    let mut text = String::new();
    for Listed { publication, changed, visible } in publications {
        let Publication { period, pointer, published_at, version, moved, late_rows, .. } = publication;
        let at = published_at.format("%Y-%m-%d %H:%M UTC");
        text.push_str(&format!("{period}  {:>3}  {at}  run {}  version {version}", pointer.seq, pointer.run_id));
        if !moved.is_empty() {
            let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
            text.push_str(&format!(
                "; moved: {}; {changed} {} changed",
                moved.join(", "),
                plural(*changed, "number", "numbers")
            ));
        }
        let late: Vec<String> =
            late_rows.iter().filter(|(_, rows)| **rows > 0).map(|(source, rows)| format!("{source} {rows}")).collect();
        if !late.is_empty() {
            text.push_str(&format!("; late rows: {}", late.join(", ")));
        }
        text.push_str(&visible.as_ref().map_or("; replaced".to_owned(), marks));
        text.push('\n');
    }
    match text.is_empty() {
        true => "nothing is published; `cxroi run` publishes a month\n".to_owned(),
        false => text,
    }
}

/// What is signed off: the month's revenue, and finance's with the difference if the ledger has the month.
pub(crate) fn signed(json: &str) -> Result<String> {
    let summary = parsed(json)?;
    let of_month = |metric: &str| {
        let is_it = |row: &&Value| row["metric"] == metric && row["window"] == "MONTH" && row["segment"] == "(all)";
        summary["estimates"].as_array()?.iter().find(is_it)?["value"].as_f64()
    };
    let told = |amount: f64| figure(amount, "money", summary["currency"].as_str().unwrap_or_default());
    let Some(revenue) = of_month("revenue") else { return Ok(String::new()) };
    Ok(match of_month("revenue_reconciliation") {
        Some(off) => {
            let (ledger, off) = (told(revenue - off), told(off));
            format!("revenue {}, finance's ledger {ledger}, difference {off}\n", told(revenue))
        }
        None => format!("revenue {}; the ledger does not have the month\n", told(revenue)),
    })
}

/// What a sign-off should know of a published month: that its revenue is not finance's. Nothing where they tie out, or where
/// there is no ledger of the month.
pub(crate) fn untied(json: &str) -> Result<String> {
    let summary = parsed(json)?;
    let is_flagged = |row: &Value| {
        row["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag.as_str() == Some("not_reconciled")))
    };
    let is_tie_out = |row: &Value| row["metric"].as_str() == Some("revenue_reconciliation");
    let row = rows(&summary)?.iter().find(|row| is_tie_out(row) && is_flagged(row));
    let Some(off) = row.and_then(|row| row["value"].as_f64()) else { return Ok(String::new()) };
    let period = summary["period"].as_str().unwrap_or_default();
    let amount = figure(off.abs(), "money", summary["currency"].as_str().unwrap_or_default());
    let side = if off < 0.0 { "below" } else { "above" };
    Ok(format!(
        "WARNING: its revenue is {amount} {side} finance's ledger: it does not tie out, and is closed as it is. `cxroi check` has \
         both amounts of each such month; `cxroi close {period} --reopen` takes the sign-off back\n"
    ))
}

/// What was verified, a line a period and one for each problem.
pub(crate) fn verified(verified: &BTreeMap<String, (usize, Vec<String>)>) -> String {
    let mut text = String::new();
    for (period, (objects, problems)) in verified {
        let what = plural(*objects, "object", "objects");
        match problems.len() {
            0 => text.push_str(&format!("{period}  {objects} {what}, all as they were published\n")),
            broken => text.push_str(&format!("{period}  {objects} {what}, {broken} of them wrong\n")),
        }
        for problem in problems {
            text.push_str(&format!("         {problem}\n"));
        }
    }
    text
}

/// What no publication stands on, a line an object.
pub(crate) fn unused(unused: &[Unused], only_looked: bool) -> String {
    let mut text: String = unused.iter().map(|Unused { key, bytes }| format!("{bytes:>12} {key}\n")).collect();
    let bytes: u64 = unused.iter().map(|object| object.bytes).sum();
    let what = if only_looked { "can be deleted" } else { "deleted" };
    let objects = plural(unused.len(), "object", "objects");
    text.push_str(&format!("{what}: {} {objects}, {:.1} MB\n", unused.len(), bytes as f64 / 1e6));
    text
}

/// What was found of customers.
pub(crate) fn forgotten(found: Forgotten, only_looked: bool) -> String {
    let Forgotten { objects, rows } = found;
    let of_theirs = format!("{rows} {} of theirs", plural(rows, "row", "rows"));
    let places = format!("{objects} {}", plural(objects, "object", "objects"));
    match (objects, only_looked) {
        (0, _) => "nothing below the output holds their ids\n".to_owned(),
        (_, true) => format!("{of_theirs} in {places}\n"),
        (_, false) => {
            let are = plural(rows, "is", "are");
            format!("{of_theirs} {are} gone from {places}; the next run restates without them\n")
        }
    }
}

/// Which rows of a summary are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// One part of the report; without one, what fits on a screen.
    pub(crate) section: Option<Section>,
    /// Segments beside everybody.
    pub(crate) segments: bool,
}

/// The indicators about everybody that fit on a screen: metric and window.
const SCREEN: [(&str, &str); 18] = [
    ("revenue", "MONTH"),
    ("revenue", "T3M"),
    ("revenue_growth", "T3M"),
    ("nrr", "T6M"),
    ("grr", "T6M"),
    ("retention", "T3M"),
    ("churn", "T3M"),
    ("new_customers", "T3M"),
    ("active_customers", "T12M"),
    ("aov", "T3M"),
    ("repeat_rate", "T12M"),
    ("nps", "T3M"),
    ("nps_change", "T3M"),
    ("csat_top2", "T3M"),
    ("ces_mean", "T3M"),
    ("response_rate", "T3M"),
    ("cost_per_contact", "T3M"),
    ("first_contact_resolution", "T3M"),
];

impl Wanted {
    fn is_wanted(&self, row: &Value, all_segments: bool) -> bool {
        let of = |key: &str| row[key].as_str().unwrap_or_default();
        let in_section = match self.section {
            Some(Section::All) => true,
            Some(section) => of("section") == section.name(),
            // Of the two intervals of this share, show the one that takes contacts of one customer together.
            None => {
                let plain = ("first_contact_resolution", "wilson");
                SCREEN.contains(&(of("metric"), of("window"))) && (of("metric"), of("method")) != plain
            }
        };
        in_section && (all_segments || self.segments || of("segment") == "(all)")
    }
}

fn parsed(json: &str) -> Result<Value> {
    serde_json::from_str(json).context("the summary is damaged")
}

/// The wanted rows of a summary as JSON; without a section, the summary as it was published.
pub(crate) fn summary_as_json(json: &str, wanted: Wanted) -> Result<String> {
    if wanted.section.is_none() {
        return Ok(json.to_owned());
    }
    let rows: Vec<Value> = rows(&parsed(json)?)?.iter().filter(|row| wanted.is_wanted(row, true)).cloned().collect();
    Ok(serde_json::to_string_pretty(&rows)? + "\n")
}

/// The wanted rows of a summary as CSV, every one of them without a section.
pub(crate) fn summary_as_csv(json: &str, wanted: Wanted) -> Result<String> {
    const COLUMNS: [&str; 22] = [
        "section",
        "metric",
        "window",
        "segment",
        "score",
        "outcome",
        "band",
        "driver",
        "initiative",
        "lag",
        "n",
        "customers",
        "value",
        "lo",
        "hi",
        "p",
        "q",
        "unit",
        "method",
        "grade",
        "status",
        "flags",
    ];
    let wanted = Wanted { section: wanted.section.or(Some(Section::All)), ..wanted };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in rows(&parsed(json)?)?.iter().filter(|row| wanted.is_wanted(row, true)) {
        writer.write_record(COLUMNS.map(|column| match &row[column] {
            Value::Null => String::new(),
            Value::Array(flags) => flags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            // A spreadsheet takes such a text for a formula.
            Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
            Value::String(text) => text.clone(),
            number => number.to_string(),
        }))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn rows(summary: &Value) -> Result<&Vec<Value>> {
    summary["estimates"].as_array().context("the summary has no estimates")
}

/// What a row is of, with all that tells it from others.
fn named(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let (section, metric, method) = (text("section"), text("metric"), text("method"));
    let name = if section == "kpi" { metric.to_owned() } else { format!("{section} {metric}") };
    let said = ["initiative", "score", "band", "driver", "outcome"].map(text).into_iter();
    let said = said.filter(|about| !about.is_empty() && !metric.contains(*about));
    let mut about: Vec<String> = said.map(str::to_owned).collect();
    about.extend(row["lag"].as_i64().map(|lag| format!("month {lag}")));
    about.extend(apart(metric, text("window"), method).map(str::to_owned));
    if about.is_empty() { name } else { format!("{name} ({})", about.join(", ")) }
}

/// The parts of a change of revenue that take away from it, by section: they are shown with a minus, as the page draws
/// them.
const LOST: [(&str, &str); 4] = [
    ("bridge", "churned"),
    ("bridge", "contraction"),
    ("retained_revenue", "category_lapse"),
    ("retained_revenue", "down_sell"),
];

/// How many characters fit on a line of the terminal; nothing where it is none.
fn columns() -> Option<usize> {
    let (columns, _) = rustyline::DefaultEditor::new().ok()?.dimensions()?;
    Some(usize::from(columns))
}

/// A sentence in lines of so many characters, as far as its words let it.
fn wrapped(sentence: &str, width: usize) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if used > 0 {
            let fits = used + 1 + length <= width;
            text.push(if fits { ' ' } else { '\n' });
            used = if fits { used + 1 } else { 0 };
        }
        text.push_str(word);
        used += length;
    }
    text
}

/// A published summary as a table: one line a number. On a terminal, what has no value is dim.
pub(crate) fn summary(pointer: &Pointer, json: &str, wanted: Wanted) -> Result<String> {
    let summary = parsed(json)?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let currency = text(&summary, "currency");
    let Pointer { seq, run_id, .. } = pointer;
    let mut out = format!("{}  (number {seq}, run {run_id}{})\n", text(&summary, "period"), marks(pointer));
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if let Some(numbers) = summary["restated"]["numbers"].as_u64().filter(|_| *seq > 1) {
        let moved = words(&summary["restated"]["moved_by"]).join(", ");
        let differ = plural(numbers, "number differs", "numbers differ");
        writeln!(out, "restated: {numbers} {differ} from the publication before; moved: {moved}")?;
    }
    let late = summary["late_rows"].as_object().into_iter().flatten();
    let late: Vec<String> =
        late.filter(|(_, rows)| rows.as_u64() != Some(0)).map(|(source, rows)| format!("{source} {rows}")).collect();
    if !late.is_empty() {
        let period = text(&summary, "period");
        writeln!(out, "late rows of all months up to {period} since the first publication: {}", late.join(", "))?;
    }
    if let Some(reason) = summary["incomplete"].as_str() {
        writeln!(out, "INCOMPLETE: {reason}")?;
    }
    if wanted.section.is_none() {
        let width = columns().unwrap_or(usize::MAX);
        for sentence in words(&summary["headlines"]) {
            writeln!(out, "{}", wrapped(&sentence, width))?;
        }
    }
    writeln!(out)?;
    let header = ["metric", "window", "segment", "value", "95 % interval", "customers", "status"].map(str::to_owned);
    let mut lines = vec![header];
    for row in rows(&summary)?.iter().filter(|row| wanted.is_wanted(row, false)) {
        let unit = text(row, "unit");
        let is_lost = LOST.contains(&(&*text(row, "section"), &*text(row, "metric")));
        let sign = if is_lost { -1.0 } else { 1.0 };
        let number = |key: &str| row[key].as_f64().map(|value| figure(sign * value, &unit, &currency));
        let interval = number("lo").zip(number("hi")).map(|(lo, hi)| format!("{lo} to {hi}")).unwrap_or_default();
        let flags = words(&row["flags"]);
        lines.push([
            named(row),
            text(row, "window"),
            text(row, "segment"),
            number("value").unwrap_or_default(),
            interval,
            row["customers"].as_i64().map(|customers| customers.to_string()).unwrap_or_default(),
            [vec![text(row, "status")], flags].concat().join(", "),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let dim = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for (at, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            3..=5 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        let text = cells.collect::<Vec<_>>().join("  ");
        match dim && at > 0 && !line[6].starts_with("ok") {
            true => writeln!(out, "\x1b[2m{}\x1b[0m", text.trim_end())?,
            false => writeln!(out, "{}", text.trim_end())?,
        }
    }
    if wanted.section.is_none() {
        writeln!(
            out,
            "`cxroi show --section bridge` has a part in full, `--section all` everything, `--segments` each segment."
        )?;
    }
    if let Some(listed) = summary["rejected"]["listed"].as_u64().filter(|listed| *listed > 0) {
        writeln!(
            out,
            "rows that were set aside, and ids of several rows: {listed} {} in {} below the output folder",
            plural(listed, "line", "lines"),
            text(&summary["rejected"], "file")
        )?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_told_from_others_of_its_metric() {
        for (row, want) in [
            (json!({"section": "kpi", "metric": "nps", "window": "T3M", "method": "cluster", "score": "nps"}), "nps"),
            (
                json!({"section": "kpi", "metric": "revenue_growth", "window": "T3M", "method": "census"}),
                "revenue_growth (against the three months before)",
            ),
            (
                json!({"section": "kpi", "metric": "revenue_growth", "window": "T3M", "method": "census_yoy"}),
                "revenue_growth (against a year before)",
            ),
            (
                json!({"section": "driver", "metric": "lmg", "method": "lmg", "driver": "channel:web", "outcome": "revenue"}),
                "driver lmg (channel:web, revenue)",
            ),
            (
                json!({"section": "initiative", "metric": "did_net_value", "method": "stratified", "initiative": "calls"}),
                "initiative did_net_value (calls, against customers alike)",
            ),
            (
                json!({"section": "survival", "metric": "km", "method": "kaplan_meier", "band": "passive", "lag": 3}),
                "survival km (passive, month 3)",
            ),
        ] {
            assert_eq!(named(&row), want);
        }
    }

    #[test]
    fn what_a_bridge_loses_has_a_minus() {
        let rows = [("bridge", "churned", 7.0), ("bridge", "new", 5.0), ("retained_revenue", "down_sell", 3.0)];
        let rows = rows.map(|(section, metric, value)| {
            json!({"section": section, "metric": metric, "segment": "(all)", "value": value, "unit": "money", "status": "ok"})
        });
        let json = json!({"period": "2024-12", "currency": "EUR", "headlines": ["A headline."], "estimates": rows});
        let pointer = json!({"seq": 1, "run_id": "run", "attempt": "attempt"});
        let pointer: Pointer = serde_json::from_value(pointer).unwrap();
        let shown = |section| summary(&pointer, &json.to_string(), Wanted { section, segments: false }).unwrap();
        let all = shown(Some(Section::All));
        for (name, value) in [("bridge churned", "-7.00"), ("bridge new", " 5.00"), ("down_sell", "-3.00")] {
            assert!(all.lines().any(|line| line.contains(name) && line.contains(value)), "{all}");
        }
        assert!(!all.contains("A headline.") && shown(None).contains("A headline."), "{all}");
    }

    #[test]
    fn a_sentence_ends_its_lines_at_words() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("one seventeen two", 5), "one\nseventeen\ntwo", "a longer word stays whole");
        assert_eq!(wrapped("one two three", usize::MAX), "one two three");
    }

    #[test]
    fn a_sign_off_hears_by_how_much_the_month_is_off_and_only_then() {
        let told = |row: Value| {
            let other = json!({"metric": "revenue", "window": "MONTH", "value": 900.0, "flags": ["not_reconciled"]});
            untied(&json!({"period": "2024-12", "currency": "EUR", "estimates": [other, row]}).to_string()).unwrap()
        };
        let tie_out =
            |value: f64| json!({"metric": "revenue_reconciliation", "window": "MONTH", "value": value, "status": "ok"});
        let off = |value: f64| {
            let mut row = tie_out(value);
            row["flags"] = json!(["not_reconciled"]);
            row
        };
        assert!(told(off(-1234.5)).contains("is 1,234.50 EUR below finance's ledger"), "{}", told(off(-1234.5)));
        assert!(told(off(7.0)).contains("is 7.00 EUR above finance's ledger"), "{}", told(off(7.0)));
        assert!(told(off(7.0)).contains("`cxroi close 2024-12 --reopen`"), "{}", told(off(7.0)));
        assert_eq!(told(tie_out(0.01)), "", "within the tolerance");
        assert_eq!(told(json!({"metric": "revenue_reconciliation", "status": "not_applicable"})), "", "no ledger");
    }

    #[test]
    fn a_sign_off_hears_the_revenue_and_the_ledger_also_within_the_tolerance() {
        let told = |rows: &str| {
            let revenue = r#"{"metric": "revenue", "window": "MONTH", "segment": "(all)", "value": 1234.5}"#;
            signed(&format!(r#"{{"currency": "EUR", "estimates": [{revenue}{rows}]}}"#)).unwrap()
        };
        let tied = r#", {"metric": "revenue_reconciliation", "window": "MONTH", "segment": "(all)", "value": -0.5}"#;
        assert_eq!(told(tied), "revenue 1,234.50 EUR, finance's ledger 1,235.00 EUR, difference -0.50 EUR\n");
        assert_eq!(told(""), "revenue 1,234.50 EUR; the ledger does not have the month\n");
        assert_eq!(signed(r#"{"estimates": []}"#).unwrap(), "");
    }
}
