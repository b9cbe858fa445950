//! What is written and said of the choices: staging SQL, the configuration, and the reasons.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use arrow::datatypes::DataType;
use engine::contract::{self, Kind, Presence};
use engine::plural;
use url::Url;

use super::names::{likeness, listed, words};
use super::values::{FLAGS, Written, is_signed, marks};
use super::{Choice, Column, Place, Seen, Sources, Sure, Table, choice, quoted, relative};

/// A minus behind the number, in brackets around it, or as any dash.
const MINUS: &str = r"^\s*(?:\((.*)\)|(.*[0-9])[\p{Pd}\x{2212}]|[\p{Pd}\x{2212}](.*))\s*$";
const MARKS: &str = r"[^0-9,.()+\p{Pd}\x{2212}]";

/// Numbers as 1.234,50 or as 1,234.50, alone or with the one mark of their column; thousands may have no mark.
fn pattern(comma: bool, signed: bool, mark: Option<&str>) -> String {
    let (thousands, decimals) = if comma { ('.', ',') } else { (',', '.') };
    let spaces = if mark.is_some() { r"\s\x27\x{2019}" } else { "" };
    let mark = mark.unwrap_or_default();
    // Rs.500 is not a half.
    let optional = if mark.ends_with(char::is_alphabetic) { "" } else { "?" };
    let sides = if signed { [r"[\s(+\p{Pd}\x{2212}]*", r"[\s)\p{Pd}\x{2212}]*"] } else { [r"[\s+-]*", r"\s*"] };
    let [before, after] = sides.map(|side| match mark {
        "" => side.to_owned(),
        _ => format!("{side}(?:{}{side})?", mark.replace('$', r"\$")),
    });
    format!(
        "^{before}([1-9][0-9]{{0,2}}([{thousands}{spaces}][0-9]{{3}})+|[0-9]+){optional}([{decimals}][0-9]*)?{after}$"
    )
}

impl Seen {
    /// What SQL calls a table once it is configured.
    fn raw(&self, table: usize, sources: &Sources) -> String {
        let first = sources.iter().find(|(_, parts)| parts[0].0 == table);
        let name = &self.tables[table].name;
        match first {
            Some((source, _)) => (*source).to_owned(),
            None if contract::source(name).is_some() => format!("{name}_table"),
            None => name.clone(),
        }
    }

    /// The SQL of a choice.
    fn expression(&self, choice: &Choice, qualified: bool) -> String {
        let (table, column) = self.at(choice.place);
        let name = |column: &Column| match qualified {
            true => format!("{}.{}", quoted(&table.name), quoted(&column.name)),
            false => quoted(&column.name),
        };
        let raw = name(column);
        let number = |column: &Column| {
            let text = name(column);
            let signed = column.sample.iter().any(|value| is_signed(value));
            let commas = column.sample.iter().any(|value| value.contains(','));
            let Written::Number { comma, marks: marked, .. } = column.written else { return text };
            if column.data_type.is_numeric() || !(comma || marked || signed || commas) {
                return text;
            }
            let mark = marks(&column.sample).first().copied().filter(|_| marked);
            let mut read = text.clone();
            if marked {
                read = format!("regexp_replace({read}, '{MARKS}', '', 'g')");
            }
            if signed {
                read = format!("regexp_replace({read}, '{MINUS}', '-\\1\\2\\3')");
            }
            read = match comma {
                true => format!("replace(replace({read}, '.', ''), ',', '.')"),
                false => format!("replace({read}, ',', '')"),
            };
            // What is not written as the others is left as it is: it is read as it stands, or rejected, and never as another amount.
            format!("case when regexp_like({text}, '{}') then {read} else {text} end", pattern(comma, signed, mark))
        };
        let with = choice.with.map(|with| &table.columns[with]);
        let named = words(&column.name);
        let says = |parts: &[&str]| named.iter().any(|word| parts.contains(&word.as_str()));
        // A day or month of one digit gets a zero.
        let padded = format!("regexp_replace({raw}, '\\b([0-9])\\b', '0\\1', 'g')");
        let day = |parts: [&str; 3], order: &str| {
            format!("regexp_replace({padded}, '^\\s*{}', '{order}')", parts.join("[./-]"))
        };
        let (two, four) = ("([0-9]{2})", "([0-9]{4})");
        match (choice.kind, column.written) {
            (Kind::Text, _) if column.data_type.is_floating() => format!("cast(cast({raw} as bigint) as varchar)"),
            (Kind::Text, _) => match with {
                Some(other) => {
                    let first = format!("cast({raw} as varchar)");
                    // An order without a known customer is one too.
                    let first = if choice.target == "order_id" { format!("coalesce({first}, '')") } else { first };
                    format!("{first} || '/' || coalesce(cast({} as varchar), '')", name(other))
                }
                None => raw,
            },
            (Kind::Instant | Kind::Day, Written::YearFirst) => day([four, two, two], "\\1-\\2-\\3"),
            (Kind::Instant | Kind::Day, Written::Days { day_first, short, .. }) => {
                let order = if day_first { "\\3-\\2-\\1" } else { "\\3-\\1-\\2" };
                match short {
                    // Among years of two digits there may be some of four.
                    true => day([two, two, "(?:20)?([0-9]{2})\\b"], &format!("20{order}")),
                    false => day([two, two, four], order),
                }
            }
            (Kind::Instant | Kind::Day, Written::Compact) => {
                let parts = [four, two, two].concat();
                let day = format!("regexp_replace(cast({raw} as varchar), '^{parts}$', '\\1-\\2-\\3')");
                if column.sample.iter().all(|value| value.trim().len() == 8) {
                    return day;
                }
                let time = [two; 3].join(":?");
                format!("regexp_replace({day}, '^\\s*{parts}[ T]{time}\\s*$', '\\1-\\2-\\3 \\4:\\5:\\6')")
            }
            (Kind::Instant | Kind::Day, Written::Seconds) => {
                format!("to_timestamp_seconds(try_cast({raw} as bigint)) at time zone 'UTC'")
            }
            (Kind::Instant | Kind::Day, Written::Millis) => {
                format!("to_timestamp_millis(try_cast({raw} as bigint)) at time zone 'UTC'")
            }
            (Kind::Money, _) => {
                let money = |column: &Column| format!("try_cast({} as decimal(18, 4))", number(column));
                let amount = match with {
                    Some(quantity) => format!("{} * {}", money(column), money(quantity)),
                    None => number(column),
                };
                let cents = says(&["cent", "cents", "minor", "pence", "centavos", "rappen"]);
                if cents { format!("{} / 100", if with.is_some() { amount } else { money(column) }) } else { amount }
            }
            (Kind::Seconds, _) if says(&["min", "minutes", "minuten", "minutos", "mins"]) => {
                format!("try_cast({} as double) * 60", number(column))
            }
            (Kind::Seconds, _) if says(&["ms", "millis", "milliseconds"]) => {
                format!("try_cast({} as double) / 1000", number(column))
            }
            (Kind::Seconds | Kind::Number | Kind::Whole, _) => number(column),
            (Kind::Flag, _) if column.data_type != DataType::Boolean && !column.data_type.is_integer() => {
                let cases = FLAGS.iter().map(|(words, flag)| {
                    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                    format!("when lower(cast({raw} as varchar)) in ({}) then {flag}", words.join(", "))
                });
                let known = ["0", "1", "true", "false", "yes", "no", "y", "n", "t", "f"];
                match column.sample.iter().all(|value| known.contains(&value.to_lowercase().as_str())) {
                    true => raw,
                    false => format!("case {} end", cases.collect::<Vec<_>>().join(" ")),
                }
            }
            _ => raw,
        }
    }

    /// The staging file of a source; `None` where every column is there by its own name.
    pub(super) fn staging(&self, source: &str, parts: &[(usize, Vec<Choice>)], sources: &Sources) -> Option<String> {
        let contract = contract::source(source)?;
        let own = |choice: &Choice| {
            self.at(choice.place).1.name == choice.target && self.expression(choice, false) == quoted(choice.target)
        };
        let [(first, choices), ..] = parts else { return None };
        let spelled = |name: &str| name.to_lowercase().replace(['_', ' ', '-'], "");
        let alike = |place: Place| {
            let name = &self.at(place).1.name;
            contract.columns.iter().any(|column| column.name != name && spelled(column.name) == spelled(name))
        };
        let all = contract.columns.iter().filter(|column| column.presence != Presence::Optional);
        let all = all.into_iter().all(|column| choice(choices, column.name).is_some());
        if parts.len() == 1
            && all
            && choices.iter().all(|choice| choice.place.0 == *first && own(choice))
            && !self.places(*first).any(alike)
        {
            return None;
        }
        let several = parts.iter().any(|(table, _)| self.names(*table) != self.names(*first));
        let wanted = contract.columns.iter().map(|column| column.name).filter(|name| {
            let nullable =
                contract.columns.iter().any(|column| column.name == *name && column.presence == Presence::Nullable);
            nullable
                || *name == "channel" && several
                || parts.iter().any(|(_, choices)| choice(choices, name).is_some())
        });
        // Where tables do not agree on a type, all of them hand text to the contract, which reads it.
        let shape = |choices: &[Choice], name: &str| {
            let found = choice(choices, name)?;
            let column = self.at(found.place).1;
            Some((column.data_type.clone(), column.written, found.with.is_some()))
        };
        let differ = |name: &str| parts.iter().any(|(_, other)| shape(other, name) != shape(choices, name));
        let wanted: Vec<(&str, bool)> = wanted.map(|name| (name, differ(name))).collect();
        let selects = parts.iter().map(|(table, choices)| self.select(*table, choices, &wanted, several, sources));
        let mut text =
            format!("-- Written by `cxroi init`: {source} as a person would begin; what is only a guess says so.\n");
        for sentence in if source == "sales" { self.left_out(*first, choices) } else { Vec::new() } {
            text.push_str(&format!("-- {sentence}\n"));
        }
        text.push_str(&selects.collect::<Vec<_>>().join("union all\n"));
        Some(text)
    }

    /// What a reader of the amount may miss: money beside it, and what became of orders.
    fn left_out(&self, table: usize, choices: &[Choice]) -> Vec<String> {
        let used = |place: &Place| choices.iter().any(|choice| choice.place == *place);
        let joined = self.joins(table, choices).into_iter().map(|link| link.to.0);
        let tables: Vec<usize> = [table].into_iter().chain(joined).collect();
        let beside = |listing: &str| {
            let places = tables.iter().flat_map(|table| self.places(*table)).filter(|place| !used(place));
            let names = places.map(|place| self.at(place).1.name.clone());
            names.filter(|name| words(name).iter().any(|word| listed(listing, word))).collect::<Vec<_>>().join(", ")
        };
        let sentences = [
            (
                "Net revenue is without freight and taxes; not added to the amount",
                beside("freight shipping tax taxes vat mwst ust steuer versand versandkosten tip"),
            ),
            (
                "Net revenue is after discounts; not taken off the amount",
                beside("discount discounts rabatt descuento desconto remise sconto"),
            ),
            ("Orders count whatever they became", beside("status cancelled canceled returned storniert")),
        ];
        let known = sentences.into_iter().filter(|(_, names)| !names.is_empty());
        known.map(|(sentence, names)| format!("{sentence}: {names}.")).collect()
    }

    /// What is called a number of a source, and is read as none for its marks: currencies that cannot be added, or signs.
    pub(super) fn unread(&self, table: usize, source: &str) -> Vec<String> {
        let Table { name, columns, .. } = &self.tables[table];
        let number = |kind: Kind| matches!(kind, Kind::Money | Kind::Number | Kind::Seconds | Kind::Whole);
        let numbers = contract::source(source).into_iter().flat_map(|source| source.columns);
        let numbers: Vec<&str> = numbers.filter(|column| number(column.kind)).map(|column| column.name).collect();
        let called = |column: &&Column| {
            !column.is_number() && numbers.iter().any(|target| likeness(name, &column.name, target).0 >= 0.6)
        };
        let said = |column: &Column| {
            let marks = marks(&column.sample).into_iter().map(|mark| if mark.is_empty() { "none" } else { mark });
            let marks: Vec<&str> = marks.collect();
            let said = format!("{} is not read: its numbers have several marks ({})", column.name, marks.join(", "));
            (marks.len() > 1).then_some(said)
        };
        columns.iter().filter(called).filter_map(said).collect()
    }

    fn select(
        &self,
        table: usize,
        choices: &[Choice],
        wanted: &[(&str, bool)],
        several: bool,
        sources: &Sources,
    ) -> String {
        let joins = self.joins(table, choices);
        let qualified = !joins.is_empty();
        let name = self.tables[table].name.replace('\'', "''");
        let mut sql = "select\n".to_owned();
        for (target, as_text) in wanted {
            let (expression, guess) = match choice(choices, target) {
                Some(choice) => {
                    let guess = (choice.sure == Sure::Guess).then(|| choice.why.clone());
                    let expression = self.expression(choice, qualified);
                    // The first answer and the first call are not copies of each other.
                    let numbered = several && *target == "interaction_id";
                    let of_table = format!("'{name}/' || cast({expression} as varchar)");
                    (if numbered { of_table } else { expression }, guess)
                }
                // Where interactions are in several tables, the table is how they came.
                None if *target == "channel" => (format!("'{name}'"), Some("the name of the table".to_owned())),
                None => ("null".to_owned(), None),
            };
            let expression = if *as_text { format!("cast({expression} as varchar)") } else { expression };
            let renamed = if expression == quoted(target) { expression } else { format!("{expression} as {target}") };
            let guess = guess.map(|why| format!("  -- guess: {why}")).unwrap_or_default();
            let line = format!("    {renamed},{guess}\n");
            sql.push_str(&line);
        }
        let raw = |table: usize| format!("raw.{}", quoted(&self.raw(table, sources)));
        let alias = |table: usize| quoted(&self.tables[table].name);
        sql.push_str(&format!("from {}", raw(table)));
        if qualified {
            sql.push_str(&format!(" as {}", alias(table)));
        }
        for link in &joins {
            let ((_, one), (_, other)) = (self.at(link.from), self.at(link.to));
            let key = quoted(&other.name);
            let joined = if other.is_unique() {
                raw(link.to.0)
            } else {
                // Some keys come twice: one row each, or money would double.
                let chosen = choices.iter().map(|choice| choice.place).chain(joins.iter().map(|link| link.from));
                let columns: BTreeSet<usize> =
                    chosen.filter(|place| place.0 == link.to.0 && *place != link.to).map(|place| place.1).collect();
                let columns = columns.into_iter().map(|column| quoted(&self.at((link.to.0, column)).1.name));
                let columns: String = columns.map(|name| format!(", min({name}) as {name}")).collect();
                format!("(select {key}{columns} from {} group by {key})", raw(link.to.0))
            };
            let sides = [(link.to.0, other), (link.from.0, one)]
                .map(|(table, column)| format!("{}.{}", alias(table), quoted(&column.name)));
            let [left, right] = if one.data_type == other.data_type {
                sides
            } else {
                sides.map(|side| format!("cast({side} as varchar)"))
            };
            sql.push_str(&format!("\nleft join {joined} as {} on {left} = {right}", alias(link.to.0)));
        }
        sql.push('\n');
        sql
    }

    pub(super) fn configuration(
        &self,
        lake: &Url,
        folder: &Path,
        sources: &Sources,
        currencies: &[String],
        staging: bool,
    ) -> String {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let place = |table: usize| {
            let url = &self.tables[table].url;
            let path = url.to_file_path().ok().filter(|_| url.scheme() == "file");
            let Some(path) = path else { return text(url.as_str()) };
            let folder_of_files = if path.is_dir() { "/" } else { "" };
            let path = relative(&path, folder).unwrap_or(path);
            text(&format!("{}{folder_of_files}", path.display().to_string().trim_end_matches('/')))
        };
        let zones = sources.values().flatten().flat_map(|(_, choices)| choices).filter_map(|choice| {
            match &self.at(choice.place).1.data_type {
                DataType::Timestamp(_, Some(zone)) if zone.contains('/') => Some(zone.to_string()),
                _ => None,
            }
        });
        let zone = zones.into_iter().next();
        let (zone, known) = match zone {
            Some(zone) => (zone, "the zone of the timestamps"),
            None => ("UTC".to_owned(), "guess: months are local months of this zone; set yours, as \"Europe/Rome\""),
        };
        let (currency, sure) = match currencies {
            [one] => (one.as_str(), "the only one of the sales"),
            [] => ("EUR", "guess: no column says it; set yours, as the sales are to be understood"),
            [first, ..] => (
                first.as_str(),
                "guess: sales have several, and only one can be read; select it in sql/staging/sales.sql",
            ),
        };
        let mut config = format!(
            "# Written by `cxroi init` from {lake}\ntimezone = {}  # {known}\ncurrency = {}  # {sure}\n\n[lake]\n",
            text(&zone),
            text(currency)
        );
        for (source, parts) in sources {
            config.push_str(&format!("{source} = {}\n", place(parts[0].0)));
        }
        let first: BTreeSet<usize> = sources.values().map(|parts| parts[0].0).collect();
        let joined =
            sources.values().flatten().flat_map(|(table, choices)| self.joins(*table, choices)).map(|link| link.to.0);
        let used: BTreeSet<usize> = sources.values().flatten().map(|(table, _)| *table).chain(joined).collect();
        if first.len() < self.tables.len() {
            config.push_str("\n[raw]\n");
        }
        for table in (0..self.tables.len()).filter(|table| !first.contains(table)) {
            let unused = if used.contains(&table) { "" } else { "# not needed: " };
            let name = self.raw(table, sources);
            let bare = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            let name = if bare { name } else { text(&name) };
            config.push_str(&format!("{unused}{name} = {}\n", place(table)));
        }
        config.push_str("\n[output]\nurl = \"out/\"\n");
        if staging {
            config.push_str("\n[sql]\noverlay = \"sql/\"\n");
        }
        config.push_str("\n[method]\n# naive_timezone = \"Europe/Rome\"  # where times name no zone and are not UTC\n");
        config
    }

    /// Every choice with its reason, and what was not found.
    pub(super) fn said(&self, sources: &Sources, currencies: &[String]) -> String {
        let mut text = String::new();
        let mut line = |parts: &[&str]| {
            let [target, from, sure, why] = [0, 1, 2, 3].map(|at| parts.get(at).copied().unwrap_or_default());
            writeln!(text, "{}", format!("{target:<20} {from:<44} {sure:<6} {why}").trim_end())
                .expect("a text takes text");
        };
        for (source, parts) in sources {
            for (table, choices) in parts {
                let Table { name, rows, .. } = &self.tables[*table];
                line(&[source, name, "", &format!("{rows} {}", plural(*rows, "row", "rows"))]);
                for choice in choices {
                    let (of, column) = self.at(choice.place);
                    let with = choice.with.map(|with| format!(" and {}", of.columns[with].name)).unwrap_or_default();
                    let sure = match choice.sure {
                        Sure::Guess => "guess",
                        Sure::Fair => "fair",
                        Sure::High => "high",
                    };
                    line(&[
                        &format!("  {}", choice.target),
                        &format!("{}.{}{with}", of.name, column.name),
                        sure,
                        &choice.why,
                    ]);
                }
                for link in self.joins(*table, choices) {
                    let ((child, one), (parent, other)) = (self.at(link.from), self.at(link.to));
                    let share = format!("{:.0} % of the values are there", 100.0 * link.share);
                    line(&[
                        "  joined by",
                        &format!("{}.{} = {}.{}", child.name, one.name, parent.name, other.name),
                        "",
                        &share,
                    ]);
                }
                let columns = contract::source(source).into_iter().flat_map(|source| source.columns);
                let missing = columns.map(|column| column.name).filter(|name| choice(choices, name).is_none());
                let used = |place: &Place| {
                    choices.iter().any(|choice| {
                        choice.place == *place || choice.place.0 == place.0 && choice.with == Some(place.1)
                    })
                };
                let left: Vec<&str> = self
                    .places(*table)
                    .filter(|place| !used(place))
                    .map(|place| self.at(place).1.name.as_str())
                    .collect();
                for sentence in if *source == "sales" { self.left_out(*table, choices) } else { Vec::new() } {
                    line(&["  note", &sentence]);
                }
                for sentence in self.unread(*table, source) {
                    line(&["  note", &format!("{sentence}.")]);
                }
                if choice(choices, "customer_id").is_none() {
                    match *source {
                        "interactions" => line(&[
                            "  note",
                            "No column says who answered: without customer_id no answer counts in a score.",
                        ]),
                        "sales" => line(&[
                            "  note",
                            "No column says who bought: without customer_id there is no number about customers.",
                        ]),
                        _ => {}
                    }
                }
                for (what, names) in [("  not found", missing.collect::<Vec<_>>()), ("  not read", left)] {
                    if !names.is_empty() {
                        line(&[what, &names.join(", ")]);
                    }
                }
            }
        }
        for source in contract::SOURCES.iter().filter(|source| !sources.contains_key(source.name)) {
            line(&[source.name, "no table looks like it"]);
        }
        if currencies.len() > 1 {
            line(&[
                "currencies",
                &currencies.join(", "),
                "",
                "only one can be configured: choose in sql/staging/sales.sql",
            ]);
        }
        text
    }
}
