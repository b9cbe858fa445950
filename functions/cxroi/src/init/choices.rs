//! Which table is which source, and which column is which of the contract's.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::contract::{self, Kind, Presence};

use super::names::{NO_REVENUE, full_names, likeness, listed, named, words};
use super::values::{Written, is_id, marks, scale};
use super::{Choice, Column, Link, Place, Seen, Sources, Sure, Table, choice};

/// What an id is of, if its name says so.
fn concept(table: &Table, column: &Column) -> Option<&'static str> {
    let names = full_names(&table.name, &column.name);
    // A ticket is an order at a till, and a case elsewhere.
    let is_it = |(like, guess): (f64, bool)| like >= 0.6 && (!guess || named(&table.name, "sales"));
    let like = |target: &&str| names.iter().any(|name| is_it(likeness("", name, target)));
    ["customer_id", "order_id", "product_id"].into_iter().find(like)
}

pub(super) fn may_link(child: &Table, value: &Column, parent: &Table, key: &Column) -> bool {
    if value.filled == 0 || value.written == Written::Time {
        return false;
    }
    let about = concept(parent, key);
    let same = words(&value.name) == words(&key.name) && (about.is_some() || words(&key.name).len() > 1);
    if same || about.is_some() && concept(child, value) == about {
        return true;
    }
    let number = |column: &Column| column.sample.iter().all(|value| value.parse::<f64>().is_ok());
    let length = |column: &Column| {
        column.sample.iter().map(String::len).sum::<usize>() as f64 / column.sample.len().max(1) as f64
    };
    let alike = (length(value) / length(key).max(1.0) - 1.0).abs() < 0.3;
    is_id(&value.sample) && !number(value) && !number(key) && (alike || same)
}

/// The likest, and of several the first.
fn best(found: Vec<(f64, Place, Sure)>) -> Option<(f64, Place, Sure)> {
    found.into_iter().rev().max_by(|one, other| one.0.total_cmp(&other.0))
}

impl Seen {
    fn concept(&self, place: Place) -> Option<&'static str> {
        let (table, column) = self.at(place);
        concept(table, column)
    }

    /// For each table that can be reached from this one, the links that lead there, at most three; joins along them
    /// make no additional rows.
    fn paths(&self, from: usize) -> BTreeMap<usize, Vec<Link>> {
        let worth = |link: &Link| {
            let (one, other) = (self.at(link.from).1, self.at(link.to).1);
            link.share
                + f64::from(u8::from(other.is_unique()))
                + f64::from(u8::from(words(&one.name) == words(&other.name)))
        };
        let mut links: Vec<&Link> = self.links.iter().collect();
        links.sort_by(|one, other| worth(other).total_cmp(&worth(one)));
        let mut paths = BTreeMap::from([(from, Vec::new())]);
        let mut next = VecDeque::from([from]);
        while let Some(table) = next.pop_front() {
            let path: Vec<Link> = paths[&table].clone();
            for link in links.iter().filter(|link| link.from.0 == table && path.len() < 3) {
                if let Entry::Vacant(unknown) = paths.entry(link.to.0) {
                    unknown.insert([path.clone(), vec![(*link).clone()]].concat());
                    next.push_back(link.to.0);
                }
            }
        }
        paths
    }

    /// If every order has a customer key of its own: that key, and the column beside it whose values recur, which is
    /// the person.
    pub(super) fn person(&self) -> Option<(Place, Place)> {
        self.links.iter().find_map(|link| {
            let (key, reference) = (self.at(link.to).1, self.at(link.from).1);
            let of_orders = self.places(link.from.0).any(|place| {
                self.concept(place) == Some("order_id") && self.at(place).1.is_key(self.tables[place.0].rows)
            });
            if self.concept(link.to) != Some("customer_id") || !of_orders || !reference.is_unique() {
                return None;
            }
            let is_person = |place: &Place| {
                let column = self.at(*place).1;
                let comes_back = column.distinct < key.distinct && column.distinct * 10 >= key.distinct * 3;
                self.concept(*place) == Some("customer_id") && comes_back && is_id(&column.sample)
            };
            Some((link.to, self.places(link.to.0).find(is_person)?))
        })
    }

    /// The person behind what identifies a customer.
    fn person_of(&self, place: Place) -> Place {
        match self.person {
            Some((key, person))
                if place == key || self.links.iter().any(|link| link.from == place && link.to == key) =>
            {
                person
            }
            _ => place,
        }
    }

    /// How well a column's name says that it is this column of the contract, if it does and its values fit.
    fn named(&self, place: Place, target: &str, kind: Kind) -> Option<(f64, Place, Sure)> {
        let (table, column) = self.at(place);
        let (like, guess) = likeness(&table.name, &column.name, target);
        let full = full_names(&table.name, &column.name).into_iter().map(|name| likeness("", &name, target).0);
        let like = full.fold(like, f64::max);
        // Amounts of several currencies are no amount, whatever they are called.
        let is_one = !matches!(kind, Kind::Money | Kind::Number) || marks(&column.sample).len() <= 1;
        let own = column.name == target && column.filled > 0 && is_one;
        if like < 0.6 || !own && !column.fits(target, kind) {
            return None;
        }
        let sure = if like >= 0.9 { Sure::High } else { Sure::Fair };
        Some(if guess { (like - 0.2, place, Sure::Guess) } else { (like, place, sure) })
    }

    /// A column of a table whose keys this table names: the order's time, its customer, a product's category.
    fn reached(&self, table: usize, source: &str, target: &str, kind: Kind) -> Option<(f64, Place, Sure)> {
        let of_order = matches!((source, target), ("sales", "ordered_at") | ("interactions", "occurred_at"));
        let others =
            matches!((source, target), ("sales" | "interactions", "customer_id") | ("sales", "category" | "currency"));
        let mut found: Vec<(f64, Place, Sure)> = Vec::new();
        for (other, path) in self.paths(table) {
            let Some(last) = path.last().filter(|_| of_order || others) else { continue };
            if of_order && self.concept(last.to) != Some("order_id") {
                continue;
            }
            let copies = path.iter().filter(|link| !self.at(link.to).1.is_unique()).count();
            let less = 0.05 * path.len() as f64 + 0.1 * copies as f64;
            let named = self.places(other).filter_map(|place| self.named(place, target, kind));
            found.extend(named.map(|(like, place, sure)| (like - less, place, sure)));
        }
        best(found)
    }

    /// The column that must be meant, whatever it is called, because no other can be.
    fn only_one(&self, target: &str, free: &[Place]) -> Option<(f64, Place, Sure)> {
        let is_it = |place: &&Place| {
            let column = self.at(**place).1;
            match target {
                "ordered_at" | "occurred_at" => {
                    matches!(column.written, Written::Time | Written::YearFirst | Written::Days { .. })
                }
                "amount" => {
                    let other = words(&column.name).iter().any(|word| listed(NO_REVENUE, word));
                    column.is_number() && !other && column.sample.iter().any(|value| value.contains(['.', ',']))
                }
                "order_id" => column.is_unique() && is_id(&column.sample) && column.written != Written::Time,
                "customer_id" => {
                    self.links.iter().any(|link| link.from == **place && self.concept(link.to) == Some("customer_id"))
                }
                _ => false,
            }
        };
        let left: Vec<&Place> = free.iter().filter(is_it).collect();
        left.first().filter(|_| left.len() == 1).map(|place| (0.0, **place, Sure::Guess))
    }

    /// The column that a column of the contract is read from: by name, in the table or in one that it names keys of.
    fn find(&self, table: usize, source: &str, target: &'static str, kind: Kind, taken: &[usize]) -> Option<Choice> {
        let free: Vec<Place> = self.places(table).filter(|place| !taken.contains(&place.1)).collect();
        let by_name = || best(free.iter().filter_map(|place| self.named(*place, target, kind)).collect());
        let own = || self.only_one(target, &free);
        let reached = || self.reached(table, source, target, kind);
        // An answer has a time of its own, and not its order's; an order line may have some that are not the order's.
        let found = match source {
            "interactions" => by_name().or_else(own).or_else(reached),
            _ => by_name().or_else(reached).or_else(own),
        };
        let (like, place, sure) = found?;
        let mut why = match sure {
            Sure::High => String::new(),
            _ if like == 0.0 => "the only column that it can be; ".to_owned(),
            _ => "by a part of its name; ".to_owned(),
        };
        let person = if target == "customer_id" { self.person_of(place) } else { place };
        if person != place {
            why.push_str(&format!("{} is another one for every order; ", self.at(place).1.name));
        }
        let doubts = if kind == Kind::Text { "" } else { self.at(person).1.doubts() };
        why.push_str(doubts);
        why.push_str(&self.at(person).1.said(target));
        let sure = if doubts.is_empty() { sure } else { Sure::Guess };
        Some(Choice { target, kind, place: person, with: None, sure, why })
    }

    /// What of a source is in a table.
    fn assigned(&self, table: usize, source: &str) -> Vec<Choice> {
        let mut choices: Vec<Choice> = Vec::new();
        let mut taken: Vec<usize> = Vec::new();
        let columns = contract::source(source).into_iter().flat_map(|source| source.columns);
        for column in columns.filter(|column| column.kind != Kind::Score) {
            if let Some(found) = self.find(table, source, column.name, column.kind, &taken) {
                taken.extend((found.place.0 == table).then_some(found.place.1));
                choices.push(found);
            }
        }
        for place in self.places(table).filter(|place| source == "interactions" && !taken.contains(&place.1)) {
            let (of, column) = self.at(place);
            let Some((target, sure, why)) = scale(&of.name, &column.name, &column.sample) else { continue };
            choices.retain(|known| known.target != target || known.sure >= sure);
            if choice(&choices, target).is_none() {
                let why = why + &column.said(target);
                choices.push(Choice { target, kind: Kind::Score, place, with: None, sure, why });
            }
        }
        if source == "sales"
            && choice(&choices, "order_id").is_none()
            && let Some((customer, time)) = choice(&choices, "customer_id").zip(choice(&choices, "ordered_at"))
            && (customer.place.0, time.place.0) == (table, table)
        {
            let why = "no column names orders: what a customer bought at one time is taken for one".to_owned();
            let (place, with) = (customer.place, Some(time.place.1));
            choices.push(Choice { target: "order_id", kind: Kind::Text, place, with, sure: Sure::Guess, why });
        }
        let quantity = choice(&choices, "quantity").map(|quantity| (quantity.place, quantity.sure));
        for choice in &mut choices {
            let name = words(&self.at(choice.place).1.name);
            let has = |parts: &[&str]| name.iter().any(|word| parts.iter().any(|part| word.contains(part)));
            let of_one = has(&["price", "preis", "precio", "prix", "preco", "prezzo"])
                && !has(&["total", "gesamt", "line", "amount", "betrag", "sum"]);
            match (choice.target, quantity) {
                ("amount", Some((place, sure))) if of_one && place.0 == choice.place.0 => {
                    let doubts = if sure < choice.sure { self.at(place).1.doubts() } else { "" };
                    choice.with = Some(place.1);
                    choice.why = format!("price times quantity; {doubts}{}", choice.why);
                    choice.sure = choice.sure.min(sure);
                }
                ("interaction_id", _) if !self.at(choice.place).1.is_unique() => {
                    // One id may stand for the answers to several orders; with the order's id they differ, and copies
                    // stay copies.
                    let order = self
                        .places(table)
                        .find(|place| *place != choice.place && self.concept(*place) == Some("order_id"));
                    choice.with = order.map(|order| order.1);
                }
                _ => {}
            }
        }
        choices
    }

    /// How much a table looks like a source; `None` if it cannot be it.
    fn points(&self, table: usize, source: &str, choices: &[Choice]) -> Option<f64> {
        let Table { name, rows, columns, .. } = &self.tables[table];
        let sure = |target: &str| choice(choices, target).map(|choice| choice.sure);
        let has = |target: &str| sure(target).is_some();
        let local = |target: &str| choice(choices, target).is_some_and(|choice| choice.place.0 == table);
        let worth = |is: bool, points: f64| if is { points } else { 0.0 };
        let required = contract::source(source)?.columns.iter().filter(|column| column.presence == Presence::Required);
        if *rows == 0 || !required.into_iter().all(|column| has(column.name)) {
            return None;
        }
        let is_of = |about: &str| self.places(table).any(|place| self.concept(place) == Some(about));
        let is_named = named(name, source);
        let scored = columns.iter().any(|column| scale(name, &column.name, &column.sample).is_some());
        let points = match source {
            "control_totals" => {
                let monthly = choice(choices, "month").is_some_and(|month| self.at(month.place).1.is_unique());
                worth(
                    monthly
                        && *rows <= 1_200
                        && !is_of("customer_id")
                        && !is_of("order_id")
                        && (is_named || columns.len() <= 4),
                    1.0,
                )
            }
            "assignments" => {
                worth(sure("initiative") > Some(Sure::Guess) && (is_named || sure("arm") > Some(Sure::Guess)), 1.0)
            }
            "initiatives" => {
                let known = is_named || sure("initiative") > Some(Sure::Guess);
                worth(known && *rows <= 5_000 && !is_of("customer_id") && !is_of("order_id") && !scored, 1.0)
            }
            "sales" => {
                let amount = match sure("amount")? {
                    Sure::Guess => 2.0,
                    Sure::Fair => 4.0,
                    Sure::High => 5.0,
                };
                let where_ = |target| if local(target) { 1.0 } else { worth(has(target), 0.5) };
                amount
                    + where_("ordered_at")
                    + where_("customer_id")
                    + worth(is_named, 2.0)
                    + worth(has("product_id"), 1.0)
                    + worth(has("line_id"), 1.5)
                    - worth(sure("order_id") == Some(Sure::Guess), 1.5)
                    - worth(scored, 4.0)
                    - worth(named(name, "customers") && !is_named, 4.0)
                    - worth(named(name, "interactions") && !is_named, 2.0)
            }
            "customers" => {
                let key = choice(choices, "customer_id").is_some_and(|id| {
                    let column = self.at(id.place).1;
                    column.distinct * 10 >= column.filled * 8 && column.filled * 10 >= *rows * 9
                });
                worth(
                    key,
                    worth(is_named, 3.0) + worth(has("segment"), 1.0) + worth(has("acquired_at"), 1.0)
                        - worth(is_of("order_id"), 4.0),
                )
            }
            _ => {
                let said = choices
                    .iter()
                    .filter(|choice| !matches!(choice.target, "customer_id" | "occurred_at" | "interaction_id"));
                let other = named(name, "sales") || is_of("order_id") && !is_named;
                worth(scored || is_named && !other || said.count() >= 2 && !other, 1.0 + worth(scored, 1.0))
            }
        };
        (points > 0.0).then_some(points)
    }

    pub(super) fn names(&self, table: usize) -> Vec<&str> {
        self.tables[table].columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Which tables are which source: one each, but all that hold interactions.
    pub(super) fn sources(&self) -> Sources {
        let mut sources = Sources::new();
        let mut free: BTreeSet<usize> = (0..self.tables.len()).collect();
        for source in ["control_totals", "assignments", "initiatives", "sales", "customers", "interactions"] {
            let mut found: Vec<(f64, usize, Vec<Choice>)> = Vec::new();
            for table in &free {
                let choices = self.assigned(*table, source);
                found.extend(self.points(*table, source, &choices).map(|points| (points, *table, choices)));
            }
            found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            // Other sources are in the table that is most like them, and in those with the same columns, as in a file a
            // year.
            let first = found.first().map(|(_, table, _)| self.names(*table));
            found.retain(|(_, table, _)| source == "interactions" || first.as_ref() == Some(&self.names(*table)));
            for (_, table, choices) in found {
                free.remove(&table);
                sources.entry(source).or_default().push((table, choices));
            }
        }
        sources
    }

    /// Where nothing looks like sales: of the likeliest table, what was found and what is missing.
    pub(super) fn nearest(&self) -> Option<String> {
        let wanted = [("amount", "money"), ("order_id", "an id of the order"), ("ordered_at", "a time")];
        let (mut likest, mut most) = (None, 0);
        for table in 0..self.tables.len() {
            let choices = self.assigned(table, "sales");
            let (found, missing): (Vec<_>, Vec<_>) =
                wanted.into_iter().partition(|(target, _)| choice(&choices, target).is_some());
            if found.len() > most {
                most = found.len();
                let found = found.iter().filter_map(|(target, what)| {
                    let (of, column) = self.at(choice(&choices, target)?.place);
                    Some(format!("{what} in {}.{}", of.name, column.name))
                });
                let found = found.collect::<Vec<_>>().join(", ");
                let missing = missing.iter().map(|(_, what)| *what).collect::<Vec<_>>().join(" and ");
                let but = if missing.is_empty() {
                    "but it looks like another source".to_owned()
                } else {
                    format!("missing is {missing}")
                };
                let unread: String = self.unread(table, "sales").iter().map(|why| format!("; {why}")).collect();
                likest = Some(format!("{} comes nearest, with {found}; {but}{unread}", self.tables[table].name));
            }
        }
        likest
    }

    /// The joins that the choices of a table need, in order.
    pub(super) fn joins(&self, table: usize, choices: &[Choice]) -> Vec<Link> {
        let paths = self.paths(table);
        let mut joins: Vec<Link> = Vec::new();
        for link in choices.iter().filter_map(|choice| paths.get(&choice.place.0)).flatten() {
            if joins.iter().all(|known| known.to.0 != link.to.0) {
                joins.push(link.clone());
            }
        }
        joins
    }
}
