//! Small cells do not leave the system: a number about few customers is withheld, and so are as many others as it takes that
//! nobody finds it by subtraction. Method: cell suppression with complementary cells, Cox (1980), held against the linear
//! system that a reader of all rows could solve.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::estimates::{ALL, Row, Status};
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

/// A sum that a reader knows of: what it adds up, with signs, is 0.
struct Relation {
    cells: Vec<(usize, i128)>,
    /// Cells that are withheld last, as they are sums themselves.
    totals: BTreeSet<usize>,
    /// The section of an identity whose withheld parts are published as one.
    merges: Option<&'static str>,
}

/// Withholds what is about fewer than `min_customers` customers, and what would give it away; 0 withholds nothing. Parts of a
/// bridge that are withheld are published as one, so that the bridge still adds up.
///
/// # Errors
/// [`crate::Error::Audit`] for amounts that do not fit.
pub(crate) fn suppress(rows: Vec<Row>, min_customers: i64) -> Result<Vec<Row>> {
    if min_customers == 0 {
        return Ok(rows);
    }
    let table = Table::new(&rows, min_customers);
    let withheld = table.withheld();
    let merged = table.merged(&withheld)?;
    let primary = withheld.iter().filter(|at| table.is_small(**at)).count();
    if !withheld.is_empty() {
        tracing::info!(primary, complementary = withheld.len() - primary, "small cells are withheld");
    }
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len() + merged.len());
    for (at, row) in rows.into_iter().enumerate() {
        kept.push(match withheld.contains(&at) {
            // Nothing but the row's name remains.
            true => Row { n: None, customers: None, ..row.without(Status::Suppressed) },
            false => row,
        });
    }
    kept.extend(merged);
    Ok(kept)
}

struct Table<'a> {
    rows: &'a [Row],
    min_customers: i64,
    /// The customers whom a row is about; `None` where it is about no customers at all.
    customers: Vec<Option<i64>>,
    relations: Vec<Relation>,
}

impl<'a> Table<'a> {
    fn new(rows: &'a [Row], min_customers: i64) -> Self {
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
        Self { rows, min_customers, customers: customers.collect(), relations }
    }

    /// Whether a row is about too few customers.
    fn is_small(&self, at: usize) -> bool {
        self.customers[at].is_some_and(|customers| customers < self.min_customers)
    }

    /// Whether there is somebody to protect: a cell of nobody tells nothing of anybody.
    fn is_secret(&self, at: usize) -> bool {
        self.customers[at] != Some(0)
    }

    /// The rows to withhold: the small ones, and with them others until none can be computed from what is left.
    fn withheld(&self) -> BTreeSet<usize> {
        let mut withheld: BTreeSet<usize> = (0..self.rows.len()).filter(|at| self.is_small(*at)).collect();
        loop {
            let exposed = self.relations.iter().find(|relation| self.is_exposed(relation, &withheld));
            let next = exposed.or_else(|| self.solved(&withheld)).and_then(|relation| self.next(relation, &withheld));
            match next {
                Some(at) => withheld.insert(at),
                None => return withheld,
            };
        }
    }

    /// Whether the sum of what is withheld in a relation is itself about too few: alone, or together.
    fn is_exposed(&self, relation: &Relation, withheld: &BTreeSet<usize>) -> bool {
        let hidden: Vec<usize> = relation
            .cells
            .iter()
            .map(|(at, _)| *at)
            .filter(|at| withheld.contains(at) && self.is_secret(*at))
            .collect();
        let customers: i64 = hidden.iter().filter_map(|at| self.customers[*at]).sum();
        let open = relation.cells.iter().any(|(at, _)| !withheld.contains(at) && self.rows[*at].status == Status::Ok);
        open && !hidden.is_empty() && (hidden.len() == 1 || customers < self.min_customers)
    }

    /// The cell that is given up next: the smallest that is still to be seen, a sum only after all of its parts.
    fn next(&self, relation: &Relation, withheld: &BTreeSet<usize>) -> Option<usize> {
        let open = relation.cells.iter().map(|(at, _)| *at).filter(|at| !withheld.contains(at));
        let open = open.filter(|at| self.rows[*at].status == Status::Ok);
        open.min_by_key(|at| (relation.totals.contains(at), self.customers[*at].unwrap_or(i64::MAX), *at))
    }

    /// A relation of a cell that several relations together give away, by elimination. Only the cells of an identity are in
    /// more than one relation.
    fn solved(&self, withheld: &BTreeSet<usize>) -> Option<&Relation> {
        IDENTITIES.iter().find_map(|(section, _)| {
            let secret = |at: usize| withheld.contains(&at) && self.is_secret(at) && self.rows[at].section == *section;
            let cells = self.relations.iter().flat_map(|relation| &relation.cells).map(|(at, _)| *at);
            let unknown: Vec<usize> = cells.filter(|at| secret(*at)).collect::<BTreeSet<_>>().into_iter().collect();
            let equations = self.relations.iter().map(|relation| {
                let mut equation = vec![0.0; unknown.len()];
                for (at, sign) in &relation.cells {
                    if let Ok(place) = unknown.binary_search(at) {
                        equation[place] += *sign as f64;
                    }
                }
                equation
            });
            let system = equations.filter(|equation| equation.iter().any(|factor| *factor != 0.0)).collect();
            let at = unknown[determined(system)?];
            let mut of = self.relations.iter().filter(|relation| relation.cells.iter().any(|(cell, _)| *cell == at));
            of.find(|relation| self.next(relation, withheld).is_some())
        })
    }

    /// Of each identity with withheld parts, one row that stands for them together, if they are about enough customers.
    fn merged(&self, withheld: &BTreeSet<usize>) -> Result<Vec<Row>> {
        let mut merged = Vec::new();
        for (relation, section) in self.relations.iter().filter_map(|relation| Some((relation, relation.merges?))) {
            let parts = relation.cells.iter().filter(|(at, _)| withheld.contains(at));
            let parts: Vec<&(usize, i128)> = parts.collect();
            let customers: i64 = parts.iter().filter_map(|(at, _)| self.customers[*at]).sum();
            let has_total = parts.iter().any(|(at, _)| relation.totals.contains(at));
            if parts.is_empty() || has_total || customers < self.min_customers {
                continue;
            }
            let mut amount = Money::default();
            for (at, sign) in &parts {
                let part = self.rows[*at].exact.unwrap_or_default();
                amount = amount.plus(if *sign < 0 { part.negated() } else { part })?;
            }
            let Row { window, segment, reads, .. } = self.rows[relation.cells[0].0].clone();
            let row = Row { window, segment, reads, ..Row::new(section, MERGED, "money", "census") };
            merged.push(row.of(None, customers).amount(amount));
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
    let relations = families.into_values().filter(|cells| cells.len() > 1).map(|cells| {
        let is_all = |at: &usize| rows[*at].segment == ALL;
        Relation {
            merges: None,
            totals: cells.iter().copied().filter(is_all).collect(),
            cells: cells.iter().map(|at| (*at, if is_all(at) { -1 } else { 1 })).collect(),
        }
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
            let empty = || Relation { cells: Vec::new(), totals: BTreeSet::new(), merges: Some(section) };
            let relation = segments.entry(&row.segment).or_insert_with(empty);
            relation.cells.push((at, *sign));
            if TOTALS.contains(&row.metric) {
                relation.totals.insert(at);
            }
        }
        relations.extend(segments.into_values());
    }
    relations
}

/// Of programmes: what each is worth adds up to what the portfolio is.
fn portfolios(rows: &[Row]) -> Vec<Relation> {
    let relations = ["value", "net", "value_raw", "net_raw"].map(|what| {
        let (one, all) = (format!("initiative_{what}"), format!("portfolio_{what}"));
        let of = |name: &str, sign: i128| -> Vec<(usize, i128)> {
            let found = rows.iter().enumerate().filter(|(_, row)| row.metric == name);
            found.map(|(at, _)| (at, sign)).collect()
        };
        let (parts, total) = (of(&one, 1), of(&all, -1));
        Relation { merges: None, totals: total.iter().map(|(at, _)| *at).collect(), cells: [parts, total].concat() }
    });
    relations.into_iter().filter(|relation| !relation.totals.is_empty()).collect()
}

/// The first unknown of a linear system that it determines: Gauss–Jordan elimination leaves it alone in an equation.
fn determined(mut system: Vec<Vec<f64>>) -> Option<usize> {
    const NOTHING: f64 = 1e-9;
    let unknowns = system.first()?.len();
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
    system.iter().find_map(|equation| {
        let mut factors = equation.iter().enumerate().filter(|(_, factor)| factor.abs() > NOTHING);
        let (unknown, _) = factors.next()?;
        factors.next().is_none().then_some(unknown)
    })
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
            let kept = suppress(rows(cells), 10).unwrap();
            kept.iter().filter(|row| row.status == Status::Ok).map(|row| row.segment.clone()).collect::<String>()
        };
        assert_eq!(shown([20, 30, 40, 50]), "(all)abcd");
        assert_eq!(shown([3, 30, 40, 50]), "(all)cd", "the smallest of the others keeps it a secret");
        assert_eq!(shown([3, 4, 40, 50]), "(all)d", "two of seven together are still few");
        assert_eq!(shown([6, 7, 40, 50]), "(all)cd", "thirteen together are not");
        assert_eq!(shown([0, 30, 40, 50]), "(all)bcd", "a cell of nobody has no secret");
        assert_eq!(shown([3, 0, 0, 0]), "", "nobody is left to hide behind");
        let kept = suppress(rows([3, 30, 40, 50]), 10).unwrap();
        assert!(kept.iter().filter(|row| row.status == Status::Suppressed).all(|row| {
            row.estimate.is_none() && row.n.is_none() && row.customers.is_none() && row.exact.is_none()
        }));
        assert_eq!(suppress(rows([3, 30, 40, 50]), 0).unwrap(), rows([3, 30, 40, 50]));
    }

    #[test]
    fn the_share_of_those_who_stayed_tells_how_many_did() {
        let share = Row::new("kpi", "retention", "share", "wilson").window("T3M").of(60, 60).census(0.95);
        let kept = suppress(vec![share, count("churned_customers", ALL, 3), count("retained_customers", ALL, 57)], 10);
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
        let kept = suppress(bridge(&[[40, 50, 30, 4, 20, 0]]), 10).unwrap();
        let of = |metric: &str| kept.iter().find(|row| row.metric == metric && row.segment == ALL).unwrap();
        assert_eq!(of("new").status, Status::Suppressed);
        assert_eq!(of("reactivated").status, Status::Suppressed);
        let merged = of(MERGED);
        assert_eq!(
            (merged.customers, merged.exact),
            (Some(24), Some(Money(2_400))),
            "new, reactivated and nobody's rest"
        );
        let value = |metric: &str| of(metric).exact.unwrap().0;
        let sum = value("base") - value("churned") + value("expansion") - value("contraction") + value(MERGED);
        assert_eq!(sum, value("current"));
    }

    /// What a reader works out who knows all that is published and how it adds up: the withheld cells of somebody, by least
    /// squares on all relations at once. Not the way the cells were chosen.
    fn recovered(truth: &[Row], kept: &[Row]) -> Vec<String> {
        let secret = |at: usize| kept[at].status == Status::Suppressed && truth[at].customers != Some(0);
        let unknown: Vec<usize> = (0..truth.len()).filter(|at| secret(*at)).collect();
        if unknown.is_empty() {
            return Vec::new();
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
        found.map(|at| truth[unknown[at]].name()).collect()
    }

    #[test]
    fn nobody_finds_a_withheld_part_of_a_bridge_by_subtraction() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut withheld, mut naive) = (0, 0);
        for case in 0..2_000 {
            let segments = random.usize(2..=4);
            let cells: Vec<[i64; 6]> = (0..segments)
                .map(|_| {
                    std::array::from_fn(|_| if random.u8(0..3) == 0 { random.i64(0..12) } else { random.i64(10..60) })
                })
                .collect();
            let truth = bridge(&cells);
            let kept = suppress(truth.clone(), 10).unwrap();
            assert_eq!(recovered(&truth, &kept), Vec::<String>::new(), "case {case}: {:?}", statuses(&kept));
            withheld += kept.iter().filter(|row| row.status == Status::Suppressed).count();
            // Without complementary cells the same reader finds some.
            let small = |row: Row| match row.customers {
                Some(customers) if customers < 10 => Row { customers: None, ..row.without(Status::Suppressed) },
                _ => row,
            };
            let alone: Vec<Row> = truth.iter().cloned().map(small).collect();
            naive += recovered(&truth, &alone).len();
        }
        assert!(withheld > 2_000 && naive > 1_000, "{withheld} withheld, {naive} would have been found");
    }
}
