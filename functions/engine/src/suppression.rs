//! Small cells do not leave the system: a number about few customers is withheld, and so are as many others as it takes that
//! nobody finds it by subtraction. Method: cell suppression with complementary cells, Cox (1980), held against the linear
//! system that a reader of all rows could solve.

use std::collections::{BTreeMap, BTreeSet};

use stats::Estimate;

use crate::error::Result;
use crate::estimates::{ALL, Concentration, Row, Status};
use crate::measures::SameAnswers;
use crate::rows::Money;

/// The parts of the bridge and of the split of retained revenue, with their sign: with the last as the total, they add up to 0.
const IDENTITIES: [(&str, &[(&str, i128)]); 2] = [
    (
        "bridge",
        &[
            ("base", 1),
            ("churned", -1),
            ("expansion", 1),
            ("contraction", -1),
            ("new", 1),
            ("reactivated", 1),
            ("residual", 1),
            ("current", -1),
        ],
    ),
    (
        "retained_revenue",
        &[
            ("cross_sell", 1),
            ("category_return", 1),
            ("category_lapse", -1),
            ("up_sell", 1),
            ("down_sell", -1),
            ("frequency", 1),
            ("residual", 1),
            ("delta", -1),
        ],
    ),
];

/// Rows that are the sum of parts in an identity, and not one of them.
const TOTALS: [&str; 3] = ["base", "current", "delta"];

/// The one metric of an identity that stands for all parts of it that are withheld.
pub(crate) const MERGED: &str = "merged";

/// What of its rows a relation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Value,
    /// The customers whom the row is about: they are published beside the value, also where there is none.
    Customers,
}

/// What of a row may be told.
type Cell = (What, usize);

/// What is hidden in relations that hang together by it.
type Group<'a> = (BTreeSet<Cell>, Vec<&'a Relation>);

/// A sum that a reader knows of: what it adds up, with factors, is known.
struct Relation {
    what: What,
    cells: Vec<(usize, f64)>,
    /// Cells that are withheld last, as they are sums themselves.
    totals: BTreeSet<usize>,
    /// The section of an identity whose withheld parts are published as one.
    merges: Option<&'static str>,
    /// Whether a customer may be in several of its parts.
    overlaps: bool,
}

impl Relation {
    fn new(what: What, cells: Vec<(usize, f64)>) -> Self {
        Self { what, cells, totals: BTreeSet::new(), merges: None, overlaps: false }
    }

    /// Whether it holds, as far as its rows say; of rows without a number, and where factors stand for others, nobody can tell.
    fn may_hold(&self, rows: &[Row]) -> bool {
        let number = |at: usize| match self.what {
            What::Value => Some(rows[at].estimate?.value),
            What::Customers => Some(rows[at].customers? as f64),
        };
        let terms: Option<Vec<f64>> =
            self.cells.iter().map(|(at, factor)| Some(number(*at).filter(|_| factor.abs() == 1.0)? * factor)).collect();
        terms.is_none_or(|terms| {
            let size: f64 = terms.iter().map(|term| term.abs()).sum();
            terms.iter().sum::<f64>().abs() <= 1e-9 * size
        })
    }

    /// Whether what is told beside it tells what it adds up to: nothing is missing that is not withheld, and each factor is known.
    fn is_told(&self, table: &Table, hidden: &Hidden) -> bool {
        self.cells.iter().all(|(at, factor)| {
            let is_share = self.what == What::Customers && factor.abs() != 1.0;
            match hidden.hides(self.what, *at) {
                true => !is_share || !hidden.rows.contains(at),
                false => table.is_seen(self.what, *at),
            }
        })
    }
}

/// Withholds what is about fewer than `min_customers` customers, money of a segment of which one customer is more than
/// `max_share`, and what would give either away; 0 customers withhold nothing. Parts of a bridge that are withheld are published
/// as one, so that the bridge still adds up.
///
/// # Errors
/// [`crate::Error::Audit`] for amounts that do not fit.
pub(crate) fn suppress(
    rows: Vec<Row>,
    same_answers: &[SameAnswers],
    min_customers: i64,
    max_share: f64,
) -> Result<Vec<Row>> {
    if min_customers == 0 {
        return Ok(rows);
    }
    let table = Table::new(&rows, same_answers, min_customers, max_share);
    let hidden = table.hidden();
    let merged = table.merged(&hidden.rows)?;
    let primary = hidden.rows.iter().filter(|at| table.is_small(**at)).count();
    if !hidden.rows.is_empty() {
        let (complementary, counts) = (hidden.rows.len() - primary, hidden.counts.len());
        tracing::info!(primary, complementary, counts, "small cells are withheld");
    }
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len() + merged.len());
    for (at, row) in rows.into_iter().enumerate() {
        kept.push(match (hidden.rows.contains(&at), hidden.counts.contains(&at)) {
            // Of nobody there is nothing to keep: why there is no number may be said.
            (true, _) if row.customers == Some(0) && row.status != Status::Ok => row.of(None, None),
            // Nothing but the row's name remains.
            (true, _) => row.without(Status::Suppressed).of(None, None),
            // Degrees of freedom are how many customers there are, less one, and an interval has them in its width.
            (_, true) if row.estimate.is_some_and(|known| known.se.or(known.lo).or(known.df).is_some()) => {
                let estimate = row.estimate.map(Estimate::without_interval);
                Row { estimate, q: None, ..row.of(None, None) }.flag("interval_withheld")
            }
            (_, true) => row.of(None, None),
            _ => row,
        });
    }
    kept.extend(merged);
    Ok(kept)
}

/// What is not published.
#[derive(Debug, Clone, Default)]
struct Hidden {
    /// Rows of which nothing is.
    rows: BTreeSet<usize>,
    /// Rows of which it is not told how many customers they are about.
    counts: BTreeSet<usize>,
}

impl Hidden {
    fn hides(&self, what: What, at: usize) -> bool {
        self.rows.contains(&at) || what == What::Customers && self.counts.contains(&at)
    }
}

struct Table<'a> {
    rows: &'a [Row],
    min_customers: i64,
    max_share: f64,
    /// The customers whom a row is about; `None` where it is about no customers at all.
    customers: Vec<Option<i64>>,
    relations: Vec<Relation>,
    /// In how many relations of values a row is.
    ties: Vec<usize>,
    /// Rows of which one customer is most.
    of_one: BTreeSet<usize>,
}

impl<'a> Table<'a> {
    fn new(rows: &'a [Row], same_answers: &[SameAnswers], min_customers: i64, max_share: f64) -> Self {
        let bases: BTreeMap<&str, Option<i64>> = rows
            .iter()
            .filter(|row| row.metric == "retention")
            .map(|row| (row.segment.as_str(), row.customers))
            .collect();
        let customers = rows.iter().map(|row| match row.metric {
            // The shares of both are published with the customers whom they are of, so that they are cells of these.
            "retained_customers" | "churned_customers" => bases.get(row.segment.as_str()).copied().flatten(),
            _ => row.customers,
        });
        let mut relations = by_segment(rows);
        relations.extend(identities(rows));
        relations.extend(portfolios(rows));
        relations.extend(between_metrics(rows));
        relations.extend(between_drivers(rows, same_answers));
        let (mut ties, of_one) = (vec![0; rows.len()], BTreeSet::new());
        let values = relations.iter().filter(|relation| relation.what == What::Value);
        values.flat_map(|relation| &relation.cells).for_each(|(at, _)| ties[*at] += 1);
        let mut table =
            Self { rows, min_customers, max_share, customers: customers.collect(), relations, ties, of_one };
        table.of_one = (0..rows.len()).filter(|at| table.is_of_one(*at)).collect();
        table
    }

    /// Whether a row is about too few customers, or one of them is most of it.
    fn is_small(&self, at: usize) -> bool {
        self.customers[at].is_some_and(|customers| customers < self.min_customers) || self.of_one.contains(&at)
    }

    /// Whether one customer is most of some cells together.
    fn is_mostly_one(&self, relation: Option<&Relation>, cells: impl Iterator<Item = usize>) -> bool {
        let found: Vec<Concentration> = cells.filter_map(|at| self.rows[at].concentration).collect();
        let amounts = |amount: fn(&Concentration) -> f64| found.iter().map(amount);
        let (largest, total) =
            (amounts(|found| found.largest.to_f64()), amounts(|found| found.total.to_f64()).sum::<f64>());
        let largest = match relation.is_some_and(|relation| relation.overlaps) {
            true => largest.sum::<f64>(),
            false => largest.fold(0.0, f64::max),
        };
        largest > self.max_share * total
    }

    /// Whether one customer is most of a segment's money. What everybody spent is told, and the segment that all of it is from
    /// has no secret.
    fn is_of_one(&self, at: usize) -> bool {
        let row = &self.rows[at];
        let is_whole = |other: &&Row| {
            let name = |row: &Row| (row.section, row.metric, row.window, row.method);
            other.segment == ALL && name(other) == name(row)
        };
        let total = |row: &Row| row.concentration.map(|found| found.total);
        row.segment != ALL
            && row.status == Status::Ok
            && self.is_mostly_one(None, std::iter::once(at))
            && self.rows.iter().find(is_whole).is_none_or(|all| total(all) != total(row))
    }

    /// Whether there is somebody to protect: a cell of nobody tells nothing of anybody, and one of many may be told.
    fn is_secret(&self, at: usize) -> bool {
        self.is_small(at) && self.customers[at] != Some(0)
    }

    /// Whether a reader sees what a relation is about in a row that is not hidden.
    fn is_seen(&self, what: What, at: usize) -> bool {
        match what {
            What::Value => self.rows[at].status == Status::Ok,
            What::Customers => self.rows[at].customers.is_some(),
        }
    }

    /// What to hide: the small rows, and with them others until none can be computed from what is left.
    fn hidden(&self) -> Hidden {
        let rows = (0..self.rows.len()).filter(|at| self.is_small(*at)).collect();
        let mut hidden = Hidden { rows, ..Hidden::default() };
        loop {
            let exposed = self.relations.iter().filter(|relation| self.is_exposed(relation, &hidden));
            let next = exposed.filter_map(|relation| self.next(relation, &hidden)).next();
            let next: Vec<Cell> = next.map_or_else(|| self.solved(&hidden), |given_up| vec![given_up]);
            if next.is_empty() {
                let mut hidden = self.less(hidden);
                let telling = totals(self.rows).into_iter().filter(|(_, active)| hidden.rows.contains(active));
                let telling: Vec<usize> = telling.map(|(at, _)| at).collect();
                hidden.rows.extend(telling);
                return hidden;
            }
            for (what, at) in next {
                // A count of customers is nothing without it.
                match what == What::Customers && !self.is_count(at) {
                    true => hidden.counts.insert(at),
                    false => hidden.rows.insert(at),
                };
            }
        }
    }

    /// Whether how many customers a row is about is its value, or what it is a fraction of, which tells it.
    fn is_count(&self, at: usize) -> bool {
        let row = &self.rows[at];
        let is_of_each = ["share", "points", "score"].contains(&row.unit) && row.n.is_some() && row.n == row.customers;
        row.metric.ends_with("_customers") || row.metric == "customer_coverage" || is_of_each
    }

    /// How many customers some cells of a relation are about at least, all together.
    fn together(&self, relation: &Relation, cells: impl Iterator<Item = usize>) -> i64 {
        let customers = cells.filter_map(|at| self.customers[at]);
        match relation.overlaps {
            true => customers.max().unwrap_or(0),
            false => customers.sum(),
        }
    }

    /// Whether the sum of what is hidden in a relation is itself about too few: alone, or together. That one customer is most of
    /// it matters as long as there is more to hide it in: what everybody spent is told.
    fn is_exposed(&self, relation: &Relation, hidden: &Hidden) -> bool {
        let cells = || relation.cells.iter().map(|(at, _)| *at);
        let somebody = |at: &usize| hidden.hides(relation.what, *at) && self.customers[*at] != Some(0);
        let seen = cells().any(|at| !hidden.hides(relation.what, at) && self.is_seen(relation.what, at));
        let few = || self.together(relation, cells().filter(somebody)) < self.min_customers;
        let (count, secret) = (cells().filter(somebody).count(), cells().filter(somebody).any(|at| self.is_secret(at)));
        let parts = || cells().filter(|at| !relation.totals.contains(at));
        let more = || parts().any(|at| !hidden.hides(relation.what, at) && self.is_seen(relation.what, at));
        let of_one =
            || relation.what == What::Value && more() && self.is_mostly_one(Some(relation), parts().filter(somebody));
        seen && secret && (count == 1 || few() || of_one())
    }

    /// What is given up next: of the smallest cell that is still to be seen, a sum only after all of its parts.
    fn next(&self, relation: &Relation, hidden: &Hidden) -> Option<Cell> {
        let what = relation.what;
        let open = relation.cells.iter().map(|(at, _)| *at).filter(|at| !hidden.hides(what, *at));
        let open = open.filter(|at| self.is_seen(what, *at));
        let at = open.min_by_key(|at| self.price(relation, *at))?;
        Some((what, at))
    }

    /// What giving up a cell costs: sums tell most, a cell of many relations takes others with it, and then its customers count.
    fn price(&self, relation: &Relation, at: usize) -> (bool, bool, usize, i64, usize) {
        let is_value = relation.what == What::Customers && self.is_count(at);
        let customers = self.customers[at].unwrap_or(i64::MAX);
        (is_value, relation.totals.contains(&at), self.ties[at], customers, at)
    }

    /// Relations that share what is unknown, apart from others.
    fn groups(
        &self,
        relations: impl Iterator<Item = &'a Relation>,
        unknown: impl Fn(What, usize) -> bool,
    ) -> Vec<Group<'a>> {
        let mut groups: Vec<Group> = Vec::new();
        let mut place: BTreeMap<Cell, usize> = BTreeMap::new();
        for relation in relations {
            let cells = relation.cells.iter().filter(|(at, _)| unknown(relation.what, *at));
            let cells: BTreeSet<Cell> = cells.map(|(at, _)| (relation.what, *at)).collect();
            if cells.is_empty() {
                continue;
            }
            let shared: BTreeSet<usize> = cells.iter().filter_map(|cell| place.get(cell).copied()).collect();
            groups.push((cells, vec![relation]));
            // The largest takes the others in, so that few cells move.
            let size = |at: &usize| (groups[*at].0.len(), *at);
            let largest = shared.iter().copied().max_by_key(size).unwrap_or(groups.len() - 1);
            for at in shared.into_iter().chain([groups.len() - 1]).filter(|at| *at != largest) {
                let (cells, relations) = std::mem::take(&mut groups[at]);
                place.extend(cells.iter().map(|cell| (*cell, largest)));
                groups[largest].0.extend(cells);
                groups[largest].1.extend(relations);
            }
            if largest == groups.len() - 1 {
                place.extend(groups[largest].0.iter().map(|cell| (*cell, largest)));
            }
        }
        groups.retain(|(cells, _)| !cells.is_empty());
        groups
    }

    /// What to give up because several relations together tell a small cell, by elimination: at most one thing of each group
    /// of relations that share what is hidden.
    fn solved(&self, hidden: &Hidden) -> Vec<Cell> {
        let given_up =
            |group: &Group| self.small_told(group).into_iter().find_map(|cell| self.beside(cell, &group.1, hidden));
        self.guessed(self.relations.iter(), hidden).iter().filter_map(given_up).collect()
    }

    /// Relations as somebody has them who guesses right which hidden cells are of nobody.
    fn guessed(&self, relations: impl Iterator<Item = &'a Relation>, hidden: &Hidden) -> Vec<Group<'a>> {
        self.groups(relations, |what, at| hidden.hides(what, at) && self.customers[at] != Some(0))
    }

    fn small_told(&self, group: &Group) -> Vec<Cell> {
        told(group).into_iter().filter(|(_, at)| self.is_secret(*at)).collect()
    }

    /// Without the rows that were given up in vain: what the others tell of them anyway may be published. Only what a reader
    /// is sure of counts as told, and what is given back must not tell a small cell even to one who guesses right.
    fn less(&self, mut hidden: Hidden) -> Hidden {
        let relations = self.relations.iter().filter(|relation| relation.is_told(self, &hidden));
        let told: BTreeSet<Cell> =
            self.groups(relations, |what, at| hidden.hides(what, at)).iter().flat_map(told).collect();
        let groups = self.groups(self.relations.iter(), |what, at| hidden.hides(what, at));
        for at in hidden.rows.clone().into_iter().filter(|at| !self.is_small(*at)) {
            let [value, customers] = [What::Value, What::Customers].map(|what| told.contains(&(what, at)));
            let is_told = match (self.rows[at].metric.ends_with("_customers"), self.is_count(at)) {
                (true, _) => value || customers,
                (_, true) => value && customers,
                _ => value,
            };
            if !is_told {
                continue;
            }
            let mut fewer = hidden.clone();
            fewer.rows.remove(&at);
            if !customers && !self.is_count(at) {
                fewer.counts.insert(at);
            }
            let cells = [(What::Value, at), (What::Customers, at)];
            let near = groups.iter().filter(|(unknown, _)| cells.iter().any(|cell| unknown.contains(cell)));
            let near: Vec<&Relation> = near.flat_map(|(_, relations)| relations.iter().copied()).collect();
            let is_small_told = |group: &Group| !self.small_told(group).is_empty();
            let of_it = |relation: &&&Relation| relation.cells.iter().any(|(other, _)| *other == at);
            if !near.iter().filter(of_it).any(|relation| self.is_exposed(relation, &fewer))
                && !self.guessed(near.into_iter(), &fewer).iter().any(is_small_told)
            {
                hidden = fewer;
            }
        }
        hidden
    }

    /// What is given up to keep a cell that relations tell together: as few steps from it as there are, and there the smallest.
    fn beside(&self, cell: Cell, relations: &[&Relation], hidden: &Hidden) -> Option<Cell> {
        let mut reached = BTreeSet::from([cell]);
        loop {
            let touches =
                |relation: &&&Relation| relation.cells.iter().any(|(at, _)| reached.contains(&(relation.what, *at)));
            let near: Vec<&&Relation> = relations.iter().filter(touches).collect();
            let open = near.iter().filter_map(|relation| {
                let (what, at) = self.next(relation, hidden)?;
                Some((self.price(relation, at), what, at))
            });
            if let Some((_, what, at)) = open.min() {
                return Some((what, at));
            }
            let further = near.iter().flat_map(|relation| relation.cells.iter().map(|(at, _)| (relation.what, *at)));
            let before = reached.len();
            reached.extend(further.collect::<Vec<_>>());
            if reached.len() == before {
                return None;
            }
        }
    }

    /// Of each identity with withheld parts, one row that stands for them together, if they are about enough customers.
    fn merged(&self, withheld: &BTreeSet<usize>) -> Result<Vec<Row>> {
        let mut merged = Vec::new();
        for (relation, section) in self.relations.iter().filter_map(|relation| Some((relation, relation.merges?))) {
            let parts = relation.cells.iter().filter(|(at, _)| withheld.contains(at));
            let parts: Vec<&(usize, f64)> = parts.collect();
            let customers = self.together(relation, parts.iter().map(|(at, _)| *at));
            let has_total = parts.iter().any(|(at, _)| relation.totals.contains(at));
            let of_one = self.is_mostly_one(Some(relation), parts.iter().map(|(at, _)| *at));
            if parts.is_empty() || has_total || customers < self.min_customers || of_one {
                continue;
            }
            let mut amount = Money::default();
            for (at, sign) in &parts {
                let part = self.rows[*at].exact.unwrap_or_default();
                amount = amount.plus(if *sign < 0.0 { part.negated() } else { part })?;
            }
            let Row { window, segment, reads, .. } = self.rows[relation.cells[0].0].clone();
            let row = Row { window, segment, reads, ..Row::new(section, MERGED, "money", "census") };
            // How many they are would tell how many one part is, where the others are known.
            merged.push(row.amount(amount));
        }
        Ok(merged)
    }
}

/// Of everything that is told of segments: they add up to what is told of everybody.
fn by_segment(rows: &[Row]) -> Vec<Relation> {
    let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let family = Row { segment: ALL.to_owned(), ..row.clone() }.name();
        families.entry(family).or_default().push(at);
    }
    let relations = families.into_values().filter(|cells| cells.len() > 1).flat_map(|cells| {
        let is_all = |at: &usize| rows[*at].segment == ALL;
        let relation = |what, factor: &dyn Fn(usize) -> f64| {
            let signed = |at: &usize| (*at, if is_all(at) { -factor(*at) } else { factor(*at) });
            let totals = cells.iter().copied().filter(is_all).collect();
            Relation { totals, ..Relation::new(what, cells.iter().map(signed).collect()) }
        };
        // Shares of customers tell how many they are of: a share by its customers adds up as well.
        let share = |at: usize| rows[at].estimate.map_or(0.5, |share| share.value);
        let shares = cells.iter().all(|at| rows[*at].unit == "share" && rows[*at].n == rows[*at].customers);
        let counts = relation(What::Customers, &|_| 1.0);
        [Some(relation(What::Value, &|_| 1.0)), Some(counts), shares.then(|| relation(What::Customers, &share))]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    });
    // Segments whose total is not told give nothing away.
    relations.filter(|relation| !relation.totals.is_empty()).collect()
}

/// Of each segment: the bridge and the split add up.
fn identities(rows: &[Row]) -> Vec<Relation> {
    let mut relations = Vec::new();
    for (section, parts) in IDENTITIES {
        let mut segments: BTreeMap<&str, Relation> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.section == section) {
            let Some((_, sign)) = parts.iter().find(|(part, _)| *part == row.metric) else { continue };
            // A customer is in one part of the bridge, but may be in all of the split.
            let overlaps = section == "retained_revenue";
            let empty = || Relation { merges: Some(section), overlaps, ..Relation::new(What::Value, Vec::new()) };
            let relation = segments.entry(&row.segment).or_insert_with(empty);
            relation.cells.push((at, *sign as f64));
            if TOTALS.contains(&row.metric) {
                relation.totals.insert(at);
            }
        }
        relations.extend(segments.into_values());
    }
    relations
}

/// Of programmes: what each is worth adds up to what the portfolio is, and of each, one number tells the others beside a cost
/// that everybody knows.
fn portfolios(rows: &[Row]) -> Vec<Relation> {
    let whats = ["value", "net", "roi", "value_raw", "net_raw", "roi_raw"];
    let is_contaminated =
        |name: &Option<String>| rows.iter().any(|row| row.initiative == *name && row.flags.contains(&"contaminated"));
    let left_out: BTreeSet<&Option<String>> =
        rows.iter().map(|row| &row.initiative).filter(|name| name.is_some() && is_contaminated(name)).collect();
    let (mut relations, mut told): (Vec<Relation>, BTreeMap<_, Vec<usize>>) = (Vec::new(), BTreeMap::new());
    for what in whats {
        let mut sum = Relation::new(What::Value, Vec::new());
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.section == "initiative") {
            let (one, all) = (row.metric == format!("initiative_{what}"), row.metric == format!("portfolio_{what}"));
            if one || all || row.metric == what {
                told.entry((&row.initiative, &row.segment)).or_default().push(at);
            }
            // What a portfolio leaves out hides nobody in it.
            if all || one && !left_out.contains(&row.initiative) {
                sum.cells.push((at, if all { -1.0 } else { 1.0 }));
                sum.totals.extend(all.then_some(at));
            }
        }
        relations.extend((!sum.totals.is_empty()).then_some(sum));
    }
    for same in told.into_values() {
        relations.extend(same[1..].iter().map(|at| Relation::new(What::Value, vec![(*at, 0.87), (same[0], -0.59)])));
    }
    relations
}

/// A metric, its window, and its factor.
type Term = (&'static str, &'static str, f64);

/// Relations between metrics of one segment: each with its window and factor, and how many at the end are sums. Ratios stand for what they are of: a
/// reader knows the base, so their factors are any that do not cancel by chance.
const BETWEEN: &[(What, &[Term], usize)] = &[
    (What::Value, &[("bridge base", "T6M", 1.0), ("bridge current", "T6M", 1.0), ("revenue", "T12M", -1.0)], 1),
    (
        What::Value,
        &[
            ("bridge expansion", "T6M", 1.0),
            ("bridge contraction", "T6M", -1.0),
            ("retained_revenue delta", "T6M", -1.0),
        ],
        1,
    ),
    (What::Value, &[("nps", "T3M_prev", 1.0), ("nps_change", "T3M", 1.0), ("nps", "T3M", -1.0)], 1),
    (What::Value, &[("aov", "T3M", 0.79), ("revenue", "T3M", -0.53)], 0),
    (
        What::Value,
        &[
            ("bridge churned", "T6M", -1.0),
            ("bridge expansion", "T6M", 1.0),
            ("bridge contraction", "T6M", -1.0),
            ("bridge base", "T6M", 0.618),
            ("nrr", "T6M", -3.7),
        ],
        2,
    ),
    (
        What::Value,
        &[
            ("bridge churned", "T6M", -1.0),
            ("bridge contraction", "T6M", -1.0),
            ("bridge base", "T6M", 0.577),
            ("grr", "T6M", -4.1),
        ],
        2,
    ),
    (
        What::Value,
        &[
            ("bridge churned", "T6M", 0.271),
            ("bridge expansion", "T6M", 1.0),
            ("bridge contraction", "T6M", -1.0),
            ("constant_customer_growth", "T6M", -2.9),
            ("bridge base", "T6M", -0.271),
        ],
        1,
    ),
    (
        What::Customers,
        &[("bridge churned", "T6M", 1.0), ("constant_customer_growth", "T6M", 1.0), ("nrr", "T6M", -1.0)],
        1,
    ),
    (
        What::Customers,
        &[
            ("bridge expansion", "T6M", 1.0),
            ("bridge contraction", "T6M", 1.0),
            ("constant_customer_growth", "T6M", -1.0),
        ],
        1,
    ),
    (What::Customers, &[("constant_customer_growth", "T6M", 1.0), ("cross_sell_rate", "T6M", -1.0)], 0),
    (What::Customers, &[("bridge base", "T6M", 1.0), ("nrr", "T6M", -1.0)], 0),
    (What::Customers, &[("grr", "T6M", 1.0), ("nrr", "T6M", -1.0)], 0),
    (
        What::Customers,
        &[
            ("bridge expansion", "T6M", 1.0),
            ("bridge contraction", "T6M", 1.0),
            ("bridge new", "T6M", 1.0),
            ("bridge reactivated", "T6M", 1.0),
            ("bridge current", "T6M", -1.0),
        ],
        1,
    ),
    (
        What::Customers,
        &[
            ("bridge new", "T6M", 1.0),
            ("bridge reactivated", "T6M", 1.0),
            ("nrr", "T6M", 1.0),
            ("active_customers", "T12M", -1.0),
        ],
        2,
    ),
    (What::Customers, &[("repeat_rate", "T12M", 1.0), ("active_customers", "T12M", -1.0)], 0),
    (What::Customers, &[("revenue", "T12M", 1.0), ("active_customers", "T12M", -1.0)], 0),
    (What::Customers, &[("customer_coverage", "ALL", 1.0), ("active_customers", "T12M", -1.0)], 0),
    (What::Customers, &[("revenue_coverage", "ALL", 1.0), ("customer_coverage", "ALL", -1.0)], 0),
    (What::Customers, &[("revenue_growth", "T12M", 1.0), ("revenue", "T12M", -1.0)], 0),
    (
        What::Customers,
        &[
            ("new_customers", "T3M", 1.0),
            ("reactivated_customers", "T3M", 1.0),
            ("retained_customers", "T3M", 1.0),
            ("aov", "T3M", -1.0),
        ],
        1,
    ),
    (What::Customers, &[("aov", "T3M", 1.0), ("revenue", "T3M", -1.0)], 0),
    (What::Customers, &[("churn", "T3M", 1.0), ("retention", "T3M", -1.0)], 0),
    (
        What::Customers,
        &[("retained_customers", "T3M", 1.0), ("churned_customers", "T3M", 1.0), ("retention", "T3M", -1.0)],
        1,
    ),
    (What::Customers, &[("revenue_growth", "T3M", 1.0), ("revenue", "T3M", -1.0)], 0),
    (What::Customers, &[("nps", "T3M_prev", 1.0), ("nps_change", "T3M", 1.0), ("nps", "T3M", -1.0)], 1),
    (What::Customers, &[("detractor_share", "T3M", 1.0), ("nps", "T3M", -1.0)], 0),
    (What::Customers, &[("design_effect", "T3M", 1.0), ("csat_top2", "T3M", -1.0)], 0),
    (What::Customers, &[("ces_top3", "T3M", 1.0), ("ces_mean", "T3M", -1.0)], 0),
    (What::Customers, &[("cost_to_serve", "T3M", 1.0), ("cost_per_contact", "T3M", -1.0)], 0),
];
/// Of each segment: what rows of several metrics tell of each other.
fn between_metrics(rows: &[Row]) -> Vec<Relation> {
    let mut named: BTreeMap<(&str, String, &str), Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.driver.is_none() && row.initiative.is_none()) {
        let metric = match row.section {
            "bridge" | "retained_revenue" => format!("{} {}", row.section, row.metric),
            _ => row.metric.to_owned(),
        };
        named.entry((&row.segment, metric, row.window.unwrap_or_default())).or_default().push(at);
    }
    let segments: BTreeSet<&str> = rows.iter().map(|row| row.segment.as_str()).collect();
    let mut relations = Vec::new();
    for segment in segments {
        let find = |metric: &str, window: &'static str| {
            named.get(&(segment, metric.to_owned(), window)).cloned().unwrap_or_default()
        };
        for (what, terms, sums) in BETWEEN {
            let [(metric, window, factor), rest @ ..] = terms else { continue };
            let rest: Option<Vec<(usize, f64)>> =
                rest.iter().map(|(metric, window, factor)| Some((*find(metric, window).first()?, *factor))).collect();
            let Some(rest) = rest else { continue };
            let totals = rest[rest.len() - sums..].iter().map(|(at, _)| *at).collect::<BTreeSet<usize>>();
            // One metric may be there by several methods.
            for at in find(metric, window) {
                let cells = std::iter::once((at, *factor)).chain(rest.iter().copied()).collect();
                let relation = Relation { totals: totals.clone(), ..Relation::new(*what, cells) };
                // Refunds, and sales of nobody, make some of them others.
                relations.extend(relation.may_hold(rows).then_some(relation));
            }
        }
        // A band has the same customers in every month of its curve, and whatever its value is reckoned with.
        for metrics in [&["km"][..], &["clv_12m", "clv_12m_raw"]] {
            let rows_of = metrics.iter().flat_map(|metric| find(metric, ""));
            let mut first: BTreeMap<Option<&str>, usize> = BTreeMap::new();
            for at in rows_of {
                let whole = *first.entry(rows[at].band).or_insert(at);
                if whole != at {
                    relations.push(Relation::new(What::Customers, vec![(at, 1.0), (whole, -1.0)]));
                }
            }
        }
        let sum = |parts: Vec<usize>, whole: usize| {
            let cells = parts.into_iter().map(|at| (at, 1.0)).chain([(whole, -1.0)]).collect();
            Relation { totals: BTreeSet::from([whole]), ..Relation::new(What::Customers, cells) }
        };
        // Bands have no customer in common.
        let bands = |metric: &str| -> BTreeMap<(&str, Option<i32>), Vec<usize>> {
            let mut bands: BTreeMap<_, Vec<usize>> = BTreeMap::new();
            for at in find(metric, "") {
                bands.entry((rows[at].method, rows[at].lag)).or_default().push(at);
            }
            bands
        };
        if let [events, ..] = find("churn_events", "")[..] {
            relations.extend(bands("km").into_values().map(|bands| sum(bands, events)));
            relations.extend(find("logrank", "").iter().map(|test| sum(vec![*test], events)));
        }
        // Where all who bought answered as detractors, what these spent is what all did.
        if let ([exposure, ..], [revenue, ..]) = (&find("gross_exposure", "T12M")[..], &find("revenue", "T12M")[..])
            && rows[*exposure].exact == rows[*revenue].exact
        {
            relations.push(Relation::new(What::Value, vec![(*exposure, 1.0), (*revenue, -1.0)]));
        }
        // Growth tells the three months before, and both together are six.
        let growth = find("revenue_growth", "T3M").into_iter().find(|at| rows[*at].method == "census");
        if let (Some(growth), [revenue, ..], [six, ..]) =
            (growth, &find("revenue", "T3M")[..], &find("bridge current", "T6M")[..])
        {
            let value = |at: usize| rows[at].estimate.map(|known| known.value);
            let together = value(growth).zip(value(*revenue)).map(|(growth, now)| now + now / (1.0 + growth));
            if together.zip(value(*six)).is_none_or(|(one, other)| (one - other).abs() <= 1e-9 * other.abs()) {
                relations.push(Relation::new(What::Value, vec![(*revenue, 0.73), (growth, 0.41), (*six, -1.3)]));
            }
        }
        if let [covered, ..] = find("clv_coverage", "")[..] {
            for metric in ["clv_12m", "clv_12m_raw"] {
                relations.extend(bands(metric).into_values().map(|bands| sum(bands, covered)));
            }
            for (metric, window) in [
                ("nps_point_value", ""),
                ("nps_point_value_raw", ""),
                ("nps_point_value_total", ""),
                ("nps_point_value_total_raw", ""),
                ("net_value_at_risk", ""),
                ("net_value_at_risk_raw", ""),
                ("net_value_at_risk_total", ""),
                ("net_value_at_risk_total_raw", ""),
                ("ltv_to_cac", "T12M"),
                ("ltv_to_cac_raw", "T12M"),
            ] {
                // They say in `n` how many have a value.
                relations.extend(find(metric, window).iter().map(|at| sum(vec![*at], covered)));
            }
        }
    }
    relations
}

/// What a point, or the risk, is worth to all together, each with the row of the active: by what it is to ten thousand, it tells
/// how many these are.
fn totals(rows: &[Row]) -> Vec<(usize, usize)> {
    let active = |segment: &str| rows.iter().position(|row| row.metric == "active_customers" && row.segment == segment);
    let is_total = |row: &Row| row.metric.contains("_total") && row.section == "value";
    let totals = rows.iter().enumerate().filter(|(_, row)| is_total(row));
    totals.filter_map(|(at, row)| Some((at, active(&row.segment)?))).collect()
}

/// Of each segment and score: answers at drivers of one kind are those at drivers of another.
fn between_drivers(rows: &[Row], same_answers: &[SameAnswers]) -> Vec<Relation> {
    let mut means: BTreeMap<(&str, Option<&str>), BTreeMap<&str, usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.metric == "driver_mean") {
        if let Some(driver) = &row.driver {
            means.entry((&row.segment, row.score)).or_default().insert(driver, at);
        }
    }
    let mut relations = Vec::new();
    for means in means.into_values() {
        for sides in same_answers {
            let cells = sides.iter().zip([1.0, -1.0]).flat_map(|(drivers, sign)| {
                drivers.iter().filter_map(|driver| Some((*means.get(driver.as_str())?, sign))).collect::<Vec<_>>()
            });
            let cells: Vec<(usize, f64)> = cells.collect();
            // Means times their answers add up, and the answers do, which are told with the customers.
            relations.extend(
                [What::Value, What::Customers]
                    .map(|what| Relation { overlaps: true, ..Relation::new(what, cells.clone()) }),
            );
        }
    }
    relations
}

/// What of a group its relations tell together.
fn told((unknown, relations): &Group) -> Vec<Cell> {
    let unknown: Vec<Cell> = unknown.iter().copied().collect();
    let equations = relations.iter().map(|relation| {
        let mut equation = vec![0.0; unknown.len()];
        for (at, factor) in &relation.cells {
            if let Ok(place) = unknown.binary_search(&(relation.what, *at)) {
                equation[place] += factor;
            }
        }
        equation
    });
    determined(equations.collect()).into_iter().map(|place| unknown[place]).collect()
}

/// The unknowns of a linear system that it determines: Gauss–Jordan elimination leaves each alone in an equation.
fn determined(mut system: Vec<Vec<f64>>) -> Vec<usize> {
    const NOTHING: f64 = 1e-9;
    let unknowns = system.first().map_or(0, Vec::len);
    let mut done = 0;
    for column in 0..unknowns {
        let largest = (done..system.len())
            .max_by(|one, other| system[*one][column].abs().total_cmp(&system[*other][column].abs()));
        let Some(pivot) = largest.filter(|at| system[*at][column].abs() > NOTHING) else { continue };
        system.swap(done, pivot);
        let lead = system[done][column];
        system[done].iter_mut().for_each(|factor| *factor /= lead);
        let equation = system[done].clone();
        for (_, other) in system.iter_mut().enumerate().filter(|(at, _)| *at != done) {
            let times = other[column];
            if times.abs() > NOTHING {
                other.iter_mut().zip(&equation).for_each(|(factor, of)| *factor -= times * of);
            }
        }
        done += 1;
    }
    let alone = system.iter().filter_map(|equation| {
        let mut factors = equation.iter().enumerate().filter(|(_, factor)| factor.abs() > NOTHING);
        let (unknown, _) = factors.next()?;
        factors.next().is_none().then_some(unknown)
    });
    alone.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENTS: [&str; 4] = ["a", "b", "c", "d"];

    fn count(metric: &'static str, segment: &str, customers: i64) -> Row {
        Row::new("kpi", metric, "count", "census")
            .window("T3M")
            .segment(segment)
            .of(None, customers)
            .census(customers as f64)
    }

    fn statuses(rows: &[Row]) -> Vec<(&str, &str, bool)> {
        rows.iter().map(|row| (row.metric, row.segment.as_str(), row.status == Status::Ok)).collect()
    }

    #[test]
    fn a_small_cell_takes_the_next_smallest_with_it() {
        let rows = |cells: [i64; 4]| {
            let all = count("new_customers", ALL, cells.iter().sum());
            let segments = SEGMENTS.iter().zip(cells).map(|(segment, cell)| count("new_customers", segment, cell));
            std::iter::once(all).chain(segments).collect::<Vec<Row>>()
        };
        let shown = |cells| {
            let kept = suppress(rows(cells), &[], 10, 0.5).unwrap();
            kept.iter().filter(|row| row.status == Status::Ok).map(|row| row.segment.clone()).collect::<String>()
        };
        assert_eq!(shown([20, 30, 40, 50]), "(all)abcd");
        assert_eq!(shown([3, 30, 40, 50]), "(all)cd", "the smallest of the others keeps it a secret");
        assert_eq!(shown([3, 4, 40, 50]), "(all)d", "two of seven together are still few");
        assert_eq!(shown([6, 7, 40, 50]), "(all)cd", "thirteen together are not");
        assert_eq!(shown([0, 30, 40, 50]), "(all)bcd", "a cell of nobody has no secret");
        assert_eq!(shown([3, 0, 0, 0]), "", "nobody is left to hide behind");
        let kept = suppress(rows([3, 30, 40, 50]), &[], 10, 0.5).unwrap();
        assert!(kept.iter().filter(|row| row.status == Status::Suppressed).all(|row| {
            row.estimate.is_none() && row.n.is_none() && row.customers.is_none() && row.exact.is_none()
        }));
        assert_eq!(suppress(rows([3, 30, 40, 50]), &[], 0, 0.5).unwrap(), rows([3, 30, 40, 50]));
    }

    #[test]
    fn money_that_is_mostly_one_customers_is_withheld_in_a_segment() {
        let shown = |cells: &[(i64, i64)]| {
            let row = |segment: &str, total: i64, largest: i64| {
                let money = |units: i64| Money(i128::from(units) * 10_000);
                let row = Row::new("kpi", "revenue", "money", "census").window("T3M").segment(segment);
                row.of(None, 100).amount(money(total)).concentrated([money(largest), money(total)])
            };
            let all = row(ALL, cells.iter().map(|cell| cell.0).sum(), cells.iter().map(|cell| cell.1).max().unwrap());
            let segments = SEGMENTS.iter().zip(cells).map(|(segment, (total, largest))| row(segment, *total, *largest));
            let kept = suppress(std::iter::once(all).chain(segments).collect(), &[], 10, 0.5).unwrap();
            kept.iter().filter(|row| row.status == Status::Ok).map(|row| row.segment.clone()).collect::<String>()
        };
        assert_eq!(shown(&[(100, 50), (200, 20), (300, 30)]), "(all)abc", "half is not most");
        assert_eq!(shown(&[(100, 51), (200, 20), (300, 30)]), "(all)c", "one of the others keeps it a secret");
        assert_eq!(
            shown(&[(500, 480), (200, 20), (300, 30), (400, 9)]),
            "(all)d",
            "two do, where it is most of one with it too"
        );
        assert_eq!(shown(&[(900, 880), (20, 2), (30, 3)]), "(all)", "what everybody spent is told");
        assert_eq!(shown(&[(900, 880)]), "(all)a", "and a segment that is everybody");
    }

    #[test]
    fn what_detractors_spent_is_what_all_did_where_nobody_else_bought() {
        let row = |section, metric, segment: &str, customers: i64, units: i64| {
            let row = Row::new(section, metric, "money", "census").window("T12M").segment(segment);
            row.of(None, customers).amount(Money(i128::from(units) * 10_000))
        };
        let shown = |exposure: i64| {
            let cells = [(ALL, 115, 1_150), ("a", 5, 50), ("b", 50, 500), ("c", 60, 600)];
            let revenue = cells.map(|(segment, customers, units)| row("kpi", "revenue", segment, customers, units));
            let exposure = row("value", "gross_exposure", "b", 50, exposure);
            let kept = suppress(revenue.into_iter().chain([exposure]).collect(), &[], 10, 0.5).unwrap();
            kept.iter().filter(|row| row.status == Status::Ok).map(|row| row.segment.clone()).collect::<String>()
        };
        assert_eq!(shown(499), "(all)cb", "the next smallest keeps it a secret");
        assert_eq!(shown(500), "(all)bb", "but not where another row tells it");
    }

    #[test]
    fn a_touchpoint_of_few_is_not_what_its_channel_leaves_of_the_others() {
        let row = |driver: &str, customers: i64| {
            let row = Row::new("driver", "driver_mean", "score", "cluster").window("T12M").score("nps");
            row.driver(driver.to_owned()).of(customers + 5, customers).census(7.0)
        };
        let shown = |same_answers: &[SameAnswers]| {
            let of = [("channel:web", 93), ("channel:phone", 50), ("touchpoint:shop", 90), ("touchpoint:returns", 3)];
            let rows = of.iter().map(|(driver, customers)| row(driver, *customers)).collect();
            let kept = suppress(rows, same_answers, 10, 0.5).unwrap();
            let shown = kept.iter().filter(|row| row.status == Status::Ok);
            shown.filter_map(|row| row.driver.clone()).collect::<Vec<_>>().join(" ")
        };
        let of_web = ["touchpoint:shop", "touchpoint:returns"].map(str::to_owned).to_vec();
        assert_eq!(shown(&[]), "channel:web channel:phone touchpoint:shop", "nobody knows which touchpoints it has");
        assert_eq!(shown(&[[vec!["channel:web".to_owned()], of_web]]), "channel:web channel:phone");
    }

    #[test]
    fn the_worth_of_a_point_to_all_does_not_tell_how_many_all_are() {
        let value = |metric, unit, segment: &str, customers: f64| {
            let row = Row::new("value", metric, unit, "mean").segment(segment);
            row.of(60, 20).census(customers * 0.25)
        };
        let mut rows = vec![count("active_customers", "b", 4).window("T12M")];
        for (segment, active) in [(ALL, 194), ("a", 60), ("c", 70), ("d", 60)] {
            rows.push(count("active_customers", segment, active).window("T12M"));
            rows.push(value("nps_point_value", "money/10000 customers", segment, 10_000.0));
            rows.push(value("nps_point_value_total", "money", segment, active as f64));
        }
        let kept = suppress(rows, &[], 10, 0.5).unwrap();
        let shown = |metric: &str, segment: &str| {
            kept.iter().any(|row| row.metric == metric && row.segment == segment && row.status == Status::Ok)
        };
        let known = |segment: &str| {
            let both = ["nps_point_value", "nps_point_value_total"].iter().all(|metric| shown(metric, segment));
            both || shown("active_customers", segment)
        };
        let few = [ALL, "a", "c", "d"].into_iter().filter(|segment| !known(segment)).count();
        assert_eq!(few, 1, "the active of b are what is left of all: {:?}", statuses(&kept));
    }

    #[test]
    fn the_share_of_those_who_stayed_tells_how_many_did() {
        let share = Row::new("kpi", "retention", "share", "wilson").window("T3M").of(60, 60).census(0.95);
        let rows = vec![share, count("churned_customers", ALL, 3), count("retained_customers", ALL, 57)];
        let kept = suppress(rows, &[], 10, 0.5);
        assert!(kept.unwrap().iter().all(|row| row.status == Status::Ok));
    }

    /// A bridge of these customers a part and segment, with a cent a customer.
    fn bridge(cells: &[[i64; 6]]) -> Vec<Row> {
        let parts = ["churned", "expansion", "contraction", "new", "reactivated", "residual"];
        let all: [i64; 6] = std::array::from_fn(|part| cells.iter().map(|cells| cells[part]).sum());
        let named = std::iter::once((ALL, all)).chain(SEGMENTS.into_iter().zip(cells.iter().copied()));
        let mut rows = Vec::new();
        for (segment, [churned, expansion, contraction, new, reactivated, residual]) in named {
            let (base, current) = (1_000 * 3, 3_000 - churned + expansion - contraction + new + reactivated + residual);
            let row = |metric, customers: i64, cents: i64| {
                let row = Row::new("bridge", metric, "money", "census").window("T6M").segment(segment);
                row.of(None, customers).amount(Money(i128::from(cents) * 100))
            };
            rows.push(row("base", churned + expansion + contraction, base));
            for (metric, customers) in
                parts.into_iter().zip([churned, expansion, contraction, new, reactivated, residual])
            {
                rows.push(row(metric, customers, customers));
            }
            rows.push(row("current", expansion + contraction + new + reactivated, current));
        }
        rows
    }

    #[test]
    fn parts_of_few_are_published_as_one_and_the_bridge_adds_up() {
        let kept = suppress(bridge(&[[40, 50, 30, 4, 20, 0]]), &[], 10, 0.5).unwrap();
        let of = |metric: &str| kept.iter().find(|row| row.metric == metric && row.segment == ALL).unwrap();
        assert_eq!(of("new").status, Status::Suppressed);
        assert_eq!(of("reactivated").status, Status::Suppressed);
        let merged = of(MERGED);
        assert_eq!((merged.customers, merged.exact), (None, Some(Money(2_400))), "new, reactivated and nobody's rest");
        let value = |metric: &str| of(metric).exact.unwrap().0;
        let sum = value("base") - value("churned") + value("expansion") - value("contraction") + value(MERGED);
        assert_eq!(sum, value("current"));
    }

    /// What a reader works out who knows all that is published and how it adds up: the small cells of somebody, and the others,
    /// by least squares on all relations at once. Not the way the cells were chosen.
    fn recovered(truth: &[Row], kept: &[Row]) -> (Vec<String>, Vec<String>) {
        let secret = |at: usize| kept[at].status == Status::Suppressed && truth[at].customers != Some(0);
        let unknown: Vec<usize> = (0..truth.len()).filter(|at| secret(*at)).collect();
        if unknown.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let mut system: Vec<Vec<f64>> = Vec::new();
        let mut relate = |cells: Vec<(usize, f64)>| {
            let mut equation = vec![0.0; unknown.len()];
            for (at, sign) in cells {
                if let Some(place) = unknown.iter().position(|other| *other == at) {
                    equation[place] = sign;
                }
            }
            system.push(equation);
        };
        for part in ["base", "churned", "expansion", "contraction", "new", "reactivated", "residual", "current"] {
            let cells = truth.iter().enumerate().filter(|(_, row)| row.metric == part);
            relate(cells.map(|(at, row)| (at, if row.segment == ALL { -1.0 } else { 1.0 })).collect());
        }
        for segment in SEGMENTS.iter().chain([&ALL]) {
            let cells = truth.iter().enumerate().filter(|(_, row)| row.segment == *segment);
            let signed = cells.map(|(at, row)| {
                (at, if ["churned", "contraction", "current"].contains(&row.metric) { -1.0 } else { 1.0 })
            });
            relate(signed.collect());
        }
        // A cell is known if no direction in which everything still adds up moves it: the null space, by projection.
        let size = unknown.len();
        let found = (0..size).filter(|at| {
            let mut left: Vec<f64> = (0..size).map(|other| f64::from(u8::from(other == *at))).collect();
            let mut basis: Vec<Vec<f64>> = Vec::new();
            for equation in &system {
                let mut rest = equation.clone();
                for known in &basis {
                    let along: f64 = rest.iter().zip(known).map(|(one, other)| one * other).sum();
                    rest.iter_mut().zip(known).for_each(|(one, other)| *one -= along * other);
                }
                let length = rest.iter().map(|one| one * one).sum::<f64>().sqrt();
                if length > 1e-9 {
                    basis.push(rest.into_iter().map(|one| one / length).collect());
                }
            }
            for known in &basis {
                let along: f64 = left.iter().zip(known).map(|(one, other)| one * other).sum();
                left.iter_mut().zip(known).for_each(|(one, other)| *one -= along * other);
            }
            left.iter().map(|one| one * one).sum::<f64>() < 1e-12
        });
        let few = |at: &usize| truth[*at].customers.is_some_and(|customers| customers < 10);
        let (few, many): (Vec<usize>, Vec<usize>) = found.map(|at| unknown[at]).partition(few);
        let names = |rows: Vec<usize>| rows.into_iter().map(|at| truth[at].name()).collect();
        (names(few), names(many))
    }

    #[test]
    fn nobody_finds_a_withheld_part_of_a_bridge_by_subtraction() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut withheld, mut naive, mut in_vain) = (0, 0, 0);
        for case in 0..2_000 {
            let segments = random.usize(2..=4);
            let cells: Vec<[i64; 6]> = (0..segments)
                .map(|_| {
                    std::array::from_fn(|_| if random.u8(0..3) == 0 { random.i64(0..12) } else { random.i64(10..60) })
                })
                .collect();
            let truth = bridge(&cells);
            let kept = suppress(truth.clone(), &[], 10, 0.5).unwrap();
            let (few, many) = recovered(&truth, &kept);
            assert_eq!(few, Vec::<String>::new(), "case {case}: {:?}", statuses(&kept));
            in_vain += many.len();
            withheld += kept.iter().filter(|row| row.status == Status::Suppressed).count();
            // Without complementary cells the same reader finds some.
            let small = |row: Row| match row.customers {
                Some(customers) if customers < 10 => Row { customers: None, ..row.without(Status::Suppressed) },
                _ => row,
            };
            let alone: Vec<Row> = truth.iter().cloned().map(small).collect();
            naive += recovered(&truth, &alone).0.len();
        }
        // What is told anyway is published, unless what is left would then be of few together, or to be guessed.
        assert!(in_vain < withheld / 30, "{in_vain} of {withheld} were withheld in vain");
        assert!(withheld > 2_000 && naive > 1_000, "{withheld} withheld, {naive} would have been found");
    }
}
