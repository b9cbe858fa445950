#!/usr/bin/env python3
"""An attacker who has every published table, and knows how its numbers hang together, recovers no withheld one.

    attacker.py --cxroi BIN [--lakes 20] [--seed 1] [--keep DIR]

Each random lake has several segments, some of them small, and is run twice: with `privacy.min_customers` as companies have it,
which is what the attacker sees, and with 0, which is the truth. The attacker sets up one linear system of all that the published
rows say and of every sum that an outsider knows to hold between them (segments and everybody, the parts of the bridge and of the
split, windows that make up a longer one, ratios beside what they are of, bands, programmes and the portfolio), and looks which
withheld cells have the same value in all its solutions. A cell that is about fewer customers than the minimum, and somebody, must
not be among them, nor revenue or an end of the bridge of a segment of which one customer is more than half; neither must a row be
published as `merged` whose parts are together about fewer.

Every relation is first held against the truth, so that a cell that is recovered has the true value. Prints a line a recovered
cell, with the smallest set of relations that gives it away, then totals; exits with 1 if there is any. The lakes of the comparison
with the second engine (`tests/peer/compare.py`) take turns with lakes made here, in which small parts are more common.
"""

import argparse
import collections
import itertools
import random
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "peer"))
import compare  # noqa: E402

PERIOD = "2024-12"
ALL = "(all)"
EXACT = 1e-6
BANDS = ("detractor", "passive", "promoter")

# The parts of the bridge and of the split of retained revenue, with their sign: together they are 0.
IDENTITIES = {
    "bridge": dict(base=1, churned=-1, expansion=1, contraction=-1, new=1, reactivated=1, residual=1, current=-1),
    "retained_revenue": dict(
        cross_sell=1, category_return=1, category_lapse=-1, up_sell=1, down_sell=-1, frequency=1, residual=1, delta=-1
    ),
}
# Metrics of kpi that add up over segments.
AMOUNTS = "revenue retained_customers churned_customers new_customers reactivated_customers active_customers".split()
# Metrics that are a sum by `n`, and the factor that they are published with.
MEANS = (
    "aov ces_mean cost_per_contact cost_to_serve response_seconds task_seconds pages_per_session seconds_per_session csat_top2"
    " ces_top3 task_success task_error task_abandonment escalation_rate conversion first_contact_resolution retention churn"
    " repeat_rate response_rate cross_sell_rate multi_category_rate cac detractor_share driver_mean nps"
).split()
# Rows whose customers are the fewest of several, and add up to nothing.
FEWEST = "ltv_to_cac nps_point_value net_value_at_risk acquisition_to_retention initiative portfolio did_ event_ roi band_contrast lmg driver_r2 logrank".split()


# A lake with small parts.


def month_start(month):
    return datetime(month // 12, month % 12 + 1, 1)


def some_time(rng, month):
    return month_start(month) + timedelta(days=rng.randint(1, 27), seconds=rng.randint(0, 86_000))


def half_years(rng, segment_is_small):
    """In which half-years a customer orders: so that parts of the bridge are small, and often only in one segment."""
    return rng.choices(
        [(1, 1, 1, 1), (1, 1, 1, 0), (0, 0, 0, 1), (1, 1, 0, 1), (0, 0, 1, 1), (1, 0, 0, 0), (0, 0, 0, 0)],
        [60, 8, 10, 8, 8, 2, 3] if rng.random() < 0.9 or segment_is_small else [60, 1, 1, 1, 1, 1, 1],
    )[0]


def make_own_lake(rng, folder):
    """Segments of 3 to 60 customers over 25 months; whether anybody returns goods is drawn for the lake."""
    last = compare.AS_OF
    first = last - rng.choice([24, 24, 12, 7])
    refunds = rng.choice([0, 0.1])
    busy = rng.uniform(0.25, 0.6)
    sizes = [rng.choice([3, 5, 8, 12, 15, 25, 40, 60]) for _ in range(rng.randint(2, 5))]
    sales, touches, customers = [], [], []
    for segment, size in enumerate(sizes):
        for number in range(size):
            name = f"s{segment}c{number}"
            habits = half_years(rng, size < 10)
            came = rng.randint(first - 2, last)
            customers.append(
                {
                    "customer_id": name,
                    "segment": f"segment {segment}",
                    "acquired_at": month_start(came) if rng.random() < 0.5 else None,
                    "acquisition_cost": float(rng.randint(500, 20_000)) / 100 if rng.random() < 0.5 else None,
                    "referred": rng.random() < 0.3,
                }
            )
            talks = rng.random() < 0.7
            for month in range(first, last + 1):
                if habits[3 - min((last - month) // 6, 3)] and rng.random() < busy:
                    at = some_time(rng, month)
                    for line in range(rng.choice([1, 1, 2])):
                        amount = rng.randint(100, 90_000) / 100
                        category = rng.choice(["tea", "tea", "coffee", "cups"])
                        sales.append((name, f"o{name}-{month}", f"{line}", at, amount, category))
                    if rng.random() < refunds:
                        sales.append((name, f"o{name}-{month}-r", "0", at, -rng.randint(100, 9_000) / 100, "tea"))
                if talks and rng.random() < 0.4:
                    # What is given at the counter and at the kiosk is all that is given in the store.
                    in_store = (number * 7 + month) % 11 == 0
                    store = ("store", "kiosk" if number % 5 == 0 else "counter", "leave")
                    touches.append(
                        {
                            "customer_id": name,
                            "interaction_id": f"i{name}-{month}",
                            "occurred_at": some_time(rng, month),
                            "channel": rng.choice(["phone", "web"]),
                            "touchpoint": rng.choice(["desk", "web"]),
                            "stage": "buy",
                            "nps": rng.randint(0, 10) if rng.random() < 0.6 else None,
                            "csat": rng.randint(1, 5) if rng.random() < 0.4 else None,
                            "ces": rng.randint(1, 7) if rng.random() < 0.4 else None,
                            "service_cost": rng.randint(0, 3_000) / 100 if rng.random() < 0.7 else None,
                            "escalated": rng.random() < 0.3 if rng.random() < 0.6 else None,
                        }
                        | (dict(zip(("channel", "touchpoint", "stage"), store)) if in_store else {})
                    )
    # Both feeds reach the end of the month.
    end = month_start(last + 1) - timedelta(hours=30)
    sales.append((customers[0]["customer_id"], "end", "0", end, 12.0, "tea"))
    touches.append({"customer_id": customers[0]["customer_id"], "interaction_id": "end", "occurred_at": end, "nps": 9})
    names = ["customer_id", "order_id", "line_id", "ordered_at", "amount", "category"]
    tables = {
        "sales": {name: list(values) for name, values in zip(names, zip(*sales))},
        "customers": {name: [row[name] for row in customers] for name in customers[0]},
        "interactions": {name: [row.get(name) for row in touches] for name in touches[0]},
    }
    lines = ['timezone = "Europe/Rome"', 'currency = "EUR"', 'output.url = "out/"']
    lines += [f"guards.enabled = {rng.choice(['true', 'false'])}", "privacy.min_customers = 0"]
    for source, columns in tables.items():
        (folder / source).mkdir()
        pq.write_table(pa.table(columns), folder / source / "all.parquet")
        lines.append(f'lake.{source} = "{source}/"')
    if rng.random() < 0.4:
        lines += programmes(rng, folder, customers, last)
    (folder / "cxroi.toml").write_text("\n".join(lines) + "\n")
    return {"refunds": refunds > 0, "anonymous": False}


def programmes(rng, folder, customers, last):
    """Some programmes with random halves of the customers, so that a portfolio adds up."""
    initiatives, assignments = [], []
    for number in range(rng.randint(1, 3)):
        initiatives.append(
            {
                "initiative": f"p{number}",
                "starts_on": month_start(last - rng.randint(3, 8)).date(),
                "cost_per_month": float(rng.randint(10, 900)),
            }
        )
        share = rng.choice([0.05, 0.05, 0.1, 0.3, 0.5])
        for row in customers:
            if rng.random() < share:
                assignments.append({"initiative": f"p{number}", "customer_id": row["customer_id"], "arm": "treated"})
    assignments.append({"initiative": "p0", "customer_id": customers[0]["customer_id"], "arm": "treated"})
    pq.write_table(pa.Table.from_pylist(initiatives), folder / "initiatives.parquet")
    pq.write_table(pa.Table.from_pylist(assignments[:-1] or assignments), folder / "assignments.parquet")
    return ['lake.initiatives = "initiatives.parquet"', 'lake.assignments = "assignments.parquet"']


def make_peer_lake(rng, folder):
    """A lake of the comparison with the second engine: dirty, with refunds and with sales that name nobody."""
    compare.make_lake(rng, folder)
    return {"refunds": True, "anonymous": True}


# Both runs.


def published(cxroi, folder, least):
    """Publishes with a minimum of customers; the rows of the estimates by name, with exact amounts where there are."""
    text = (folder / "cxroi.toml").read_text()
    config = folder / f"least-{least}.toml"
    text = text.replace("privacy.min_customers = 0", f"privacy.min_customers = {least}")
    config.write_text(text.replace('output.url = "out/"', f'output.url = "out-{least}/"'))
    if least:
        # The facts are the same; only what leaves the system differs.
        (folder / f"out-{least}").mkdir()
        (folder / f"out-{least}" / "facts").symlink_to(folder / "out-0" / "facts")
    done = subprocess.run(
        [cxroi, "run", "--config", config, "--period", PERIOD], capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        raise RuntimeError(f"`cxroi run` exits with {done.returncode}: {done.stderr.strip()[-500:]}")
    read = lambda table: pq.ParquetFile(
        folder / f"out-{least}/summaries/{table}/period={PERIOD}/{table}.parquet"
    ).read().to_pylist()
    rows = {}
    for row in read("estimates"):
        family = Family(*(row[name] for name in Family._fields))
        rows[family, row["segment"]] = row
    key = lambda row: (row["section"], row["metric"], row["window"] or "", row["segment"])
    amounts = {key(row): row["amount"] for row in read("money") if row["amount"] is not None}
    for row in rows.values():
        if row["unit"] == "money" and row["method"] == "census" and row["initiative"] is None and key(row) in amounts:
            row["value"] = float(amounts[key(row)])
    return rows


class Family(
    collections.namedtuple("Family", "section metric window score outcome band driver initiative lag method")
):
    """What a row is about, but for its segment."""

    def __str__(self):
        return " ".join(str(part) for part in self if part is not None)


# The system.


class System:
    """Linear equations over named unknowns: the sum of factor by unknown is a number."""

    def __init__(self):
        self.equations = []

    def add(self, label, terms, right=0.0):
        terms = {unknown: factor for unknown, factor in terms.items() if factor != 0}
        if terms:
            self.equations.append((label, terms, right))


def cell(what, family, segment):
    """The name of an unknown: the value, the rows or the customers of a row, or the sum above a mean."""
    return what, family, segment


def is_mean(family):
    return family.metric in MEANS and family.section in ("kpi", "value", "driver", "drivers")


def adds_up(family):
    """Whether values of segments add up to that of everybody."""
    return (
        family.section in IDENTITIES and family.metric != "merged"
        or family.section == "kpi" and family.metric in AMOUNTS
        or family.metric == "churn_events"
    )


def counts_customers(family):
    return not family.metric.startswith(tuple(FEWEST)) and family.initiative is None and family.metric != "merged"


def find(rows, section, metric, window=None, **more):
    """The family of a metric, if it is published."""
    for family, _ in rows:
        if (family.section, family.metric) == (section, metric) and window in (None, family.window):
            if all(getattr(family, name) == value for name, value in more.items()):
                return family
    return None


def segments_of(rows):
    return sorted({segment for _, segment in rows})


def in_portfolio(rows):
    """The programmes whose costs, which are never withheld, add up to that of the portfolio: contaminated ones are left out."""
    told = {family.initiative for (family, _), row in rows.items() if family.metric == "initiative_value" and row["status"] == "ok"}
    costs = {family.initiative: row["value"] for (family, _), row in rows.items() if family.metric == "initiative_cost"}
    costs = {name: cost for name, cost in costs.items() if cost is not None and name in told}
    whole = {family.metric: row["value"] for (family, _), row in rows.items() if family.section == "initiative"}
    if "portfolio_cost" not in whole:
        return set()
    for names in itertools.combinations(sorted(costs), int(whole.get("portfolio_programmes") or 0)):
        if abs(sum(costs[name] for name in names) - whole["portfolio_cost"]) < 1e-6:
            return set(names)
    return set()


def relations(rows, facts):
    """All that is known to hold between cells, as a system over the cells and what is behind them. `rows` are those that the
    attacker sees: ratios that are published are factors."""
    system = System()
    families = sorted({family for family, _ in rows}, key=str)
    segments = segments_of(rows)
    parts_of_all = [segment for segment in segments if segment != ALL]
    value_of = lambda family, segment: rows.get((family, segment), {}).get("value")

    def total(what, family):
        own = [segment for segment in parts_of_all if (family, segment) in rows]
        if own and (family, ALL) in rows:
            terms = {cell(what, family, segment): 1.0 for segment in own} | {cell(what, family, ALL): -1.0}
            system.add(f"segments add up: {what} of {family}", terms)

    for family in families:
        anonymous = facts["anonymous"] and family.metric in ("pages_per_session", "seconds_per_session", "conversion")
        money_of_nobody = facts["anonymous"] and (family.metric == "revenue" or family.section == "bridge")
        if adds_up(family) and not money_of_nobody:
            total("value", family)
        own = [rows[family, segment]["status"] for segment in segments if (family, segment) in rows]
        if family.metric == "gross_exposure" and set(own) <= {"ok", "suppressed"}:
            total("value", family)
        if counts_customers(family) and not anonymous:
            total("customers", family)
        if is_mean(family) and not anonymous:
            total("n", family)
            total("sum", family)
        if family.section == "kpi" and family.metric in AMOUNTS and family.metric != "revenue":
            for segment in segments:
                if family.metric not in ("retained_customers", "churned_customers"):
                    same(system, "a count is its customers", cell("value", family, segment), cell("customers", family, segment))
        for segment in segments:
            value = value_of(family, segment)
            if is_mean(family) and value is not None:
                scale = 100.0 if family.metric == "nps" else 1.0
                terms = {cell("sum", family, segment): scale, cell("n", family, segment): -value}
                system.add(f"{family} of {segment} is its sum by n", terms)
    for segment in segments:
        of_segment(system, rows, facts, segment, value_of)
    for score in ("nps", "csat", "ces"):
        of_driver = {family.driver: family for family in families if (family.metric, family.score) == ("driver_mean", score)}
        for one, other in facts["same_answers"]:
            for segment in segments if set(one) | set(other) <= set(of_driver) else []:
                for what in ("n", "sum"):
                    signed = [(driver, 1.0) for driver in one] + [(driver, -1.0) for driver in other]
                    terms = {cell(what, of_driver[driver], segment): sign for driver, sign in signed if (of_driver[driver], segment) in rows}
                    system.add(f"answers at drivers of two kinds are the same, {segment}", terms)
    return system


def same(system, label, one, other):
    system.add(label, {one: 1.0, other: -1.0})


def of_segment(system, rows, facts, segment, value_of):
    """What holds between the rows of one segment."""
    families = {family for family, of in rows if of == segment}
    revenue = {window: find(rows, "kpi", "revenue", window) for window in ("MONTH", "T3M", "T12M")}
    bridge = {part: find(rows, "bridge", part) for part in IDENTITIES["bridge"]}
    split = {part: find(rows, "retained_revenue", part) for part in IDENTITIES["retained_revenue"]}
    value = lambda family: cell("value", family, segment)
    customers = lambda family: cell("customers", family, segment)
    n = lambda family: cell("n", family, segment)
    some = lambda family: family is not None and (family, segment) in rows

    def link(label, *terms):
        """A sum of (factor, unknown) that is 0."""
        collected = collections.defaultdict(float)
        for factor, unknown in terms:
            collected[unknown] += factor
        system.add(f"{label}, {segment}", collected)

    def equal(label, one, other):
        link(label, (1, one), (-1, other))

    # The identities, and their parts that are published as one.
    for section, signs in IDENTITIES.items():
        cells = {part: find(rows, section, part) for part in signs}
        if all(some(family) and rows[family, segment]["status"] in ("ok", "suppressed") for family in cells.values()):
            link(f"{section} adds up", *((signs[part], value(family)) for part, family in cells.items()))
            merged = find(rows, section, "merged")
            if some(merged):
                hidden = [part for part, family in cells.items() if rows[family, segment]["status"] == "suppressed"]
                parts = [(signs[part], value(cells[part])) for part in hidden]
                link(f"{section} merged", (-1, value(merged)), *parts)
                if facts["merged_customers_add_up"]:
                    counts = [(1, customers(cells[part])) for part in hidden]
                    link(f"customers of {section} merged", (-1, customers(merged)), *counts)

    # Windows that make up a longer one.
    if some(bridge["base"]) and some(revenue["T12M"]):
        terms = [(1, value(bridge["base"])), (1, value(bridge["current"])), (-1, value(revenue["T12M"]))]
        link("bridge base + current = revenue T12M", *terms)
    for window, method in (("T3M", "census"), ("T3M", "census_yoy"), ("T12M", "census")):
        growth = find(rows, "kpi", "revenue_growth", window, method=method)
        if some(growth) and value_of(growth, segment) is not None:
            before = cell("before", growth, segment)
            link(f"revenue {window} = (1 + growth) x before", (1, value(revenue[window])), (-1 - value_of(growth, segment), before))

        if some(growth) and (window, method) == ("T3M", "census") and some(bridge["current"]):
            terms = [(1, value(revenue["T3M"])), (1, cell("before", growth, segment)), (-1, value(bridge["current"]))]
            link("revenue T3M + the three months before = current", *terms)

    # What is retained: the bridge, the split and the ratios.
    if some(split["delta"]) and some(bridge["expansion"]):
        terms = [(1, value(split["delta"])), (-1, value(bridge["expansion"])), (1, value(bridge["contraction"]))]
        link("retained delta = expansion - contraction", *terms)
    nrr, grr, constant = (find(rows, "kpi", metric) for metric in ("nrr", "grr", "constant_customer_growth"))
    if some(nrr):
        sums = {name: cell(name, nrr, segment) for name in ("base", "net", "gross_base", "gross", "constant_base", "constant")}
        for family, above, below, more in (
            (nrr, "net", "base", 0.0),
            (grr, "gross", "gross_base", 0.0),
            (constant, "constant", "constant_base", 1.0),
        ):
            ratio = value_of(family, segment)
            if ratio is not None:
                link(f"{family.metric} by its base", (1, sums[above]), (-more - ratio, sums[below]))
        link(
            "constant customers' growth = expansion - contraction",
            (1, sums["constant"]),
            (-1, sums["constant_base"]),
            (-1, value(bridge["expansion"])),
            (1, value(bridge["contraction"])),
        )
        link(
            "base of nrr = base of constant customers + churned",
            (1, sums["base"]),
            (-1, sums["constant_base"]),
            (-1, value(bridge["churned"])),
        )
        churned, expansion, contraction = (customers(bridge[part]) for part in ("churned", "expansion", "contraction"))
        link("customers of nrr = churned + constant", (1, customers(nrr)), (-1, churned), (-1, customers(constant)))
        link("constant = expansion + contraction", (1, customers(constant)), (-1, expansion), (-1, contraction))
        equal("constant = n", customers(constant), n(constant))
        equal("nrr = grr", customers(nrr), customers(grr))
        equal("nrr = n", customers(nrr), n(nrr))
        if not facts["refunds"]:
            equal("base of nrr = bridge base", sums["base"], value(bridge["base"]))
            equal("base of grr = base of nrr", sums["gross_base"], sums["base"])
            equal("revenue of constant customers + churned ones' = net", sums["net"], sums["constant"])
            link(
                "kept = base - churned - contraction",
                (1, sums["gross"]),
                (-1, sums["base"]),
                (1, value(bridge["churned"])),
                (1, value(bridge["contraction"])),
            )
            equal("customers of base", customers(bridge["base"]), customers(nrr))
            now = [(-1, customers(bridge[part])) for part in ("expansion", "contraction", "new", "reactivated")]
            link("customers of current", (1, customers(bridge["current"])), *now)
    cross = find(rows, "kpi", "cross_sell_rate")
    if some(cross) and rows[cross, segment]["status"] in ("ok", "suppressed"):
        equal("cross_sell_rate is of constant customers", customers(cross), customers(constant))
        equal("cross_sell_rate's n", customers(cross), n(cross))

    # Customers of three and of twelve months.
    retention, churn = (find(rows, "kpi", metric) for metric in ("retention", "churn"))
    counts = {part: find(rows, "kpi", f"{part}_customers") for part in ("retained", "churned", "new", "reactivated", "active")}
    aov = find(rows, "kpi", "aov")
    if some(retention):
        equal("retention and churn are of the same", customers(retention), customers(churn))
        equal("retention's n", customers(retention), n(retention))
        equal("churn's n", customers(churn), n(churn))
        equal("retention's sum", cell("sum", retention, segment), value(counts["retained"]))
        equal("churn's sum", cell("sum", churn, segment), value(counts["churned"]))
        for part in ("retained", "churned"):
            equal("customers of a count", customers(counts[part]), value(counts[part]))
        link("retained + churned = base", (1, value(counts["retained"])), (1, value(counts["churned"])), (-1, customers(retention)))
    equal_customers = []
    if some(aov):
        equal_customers.append((aov, revenue["T3M"]))
        if not facts["anonymous"]:
            same(system, f"aov by orders = revenue T3M, {segment}", cell("sum", aov, segment), value(revenue["T3M"]))
        if not facts["refunds"]:
            ordered = [(-1, value(counts[part])) for part in ("retained", "new", "reactivated")]
            link("retained + new + reactivated = customers of aov", (1, customers(aov)), *ordered)
    repeat = find(rows, "kpi", "repeat_rate")
    coverage = find(rows, "quality", "customer_coverage")
    if some(repeat):
        equal_customers += [(repeat, counts["active"])]
        if some(coverage) and rows[coverage, segment]["status"] in ("ok", "suppressed"):
            equal_customers += [(repeat, coverage)]
        equal("repeat_rate's n", customers(repeat), n(repeat))
        if some(nrr):
            more = [(-1, customers(bridge["new"])), (-1, customers(bridge["reactivated"]))]
            link("active in T12M = base + new + reactivated", (1, value(counts["active"])), (-1, customers(nrr)), *more)
        if not facts["refunds"]:
            equal_customers += [(repeat, revenue["T12M"])]
    for one, other in equal_customers:
        if some(one) and some(other):
            equal(f"customers of {one.metric} = customers of {other.metric}", customers(one), customers(other))
    for method in ("census", "census_yoy"):
        for window in ("T3M", "T12M"):
            growth = find(rows, "kpi", "revenue_growth", window, method=method)
            if some(growth) and rows[growth, segment]["status"] in ("ok", "suppressed"):
                equal("customers of growth", customers(growth), customers(revenue[window]))
    heard = find(rows, "quality", "revenue_coverage")
    if some(heard):
        equal("customers of both coverages", customers(heard), customers(coverage))
        of_heard, of_others = cell("heard", heard, segment), cell("others", heard, segment)
        link("revenue = of who answered + of others", (1, value(revenue["T12M"])), (-1, of_heard), (-1, of_others))
        if value_of(heard, segment) is not None:
            link("coverage x revenue", (value_of(heard, segment), value(revenue["T12M"])), (-1, of_heard))

    # Scores.
    now, before = (find(rows, "kpi", "nps", window) for window in ("T3M", "T3M_prev"))
    change, low = find(rows, "kpi", "nps_change"), find(rows, "value", "detractor_share")
    if some(now):
        if some(before) and rows[change, segment]["status"] in ("ok", "suppressed"):
            link("nps_change = nps - nps before", (1, value(change)), (-1, value(now)), (1, value(before)))
            link("n of nps_change", (1, n(change)), (-1, n(now)), (-1, n(before)))
        equal("n of detractor_share", n(low), n(now))
        equal("customers of detractor_share", customers(low), customers(now))
    effect = find(rows, "kpi", "design_effect")
    top2 = find(rows, "kpi", "csat_top2")
    if some(effect) and some(top2):
        equal("n of design_effect", n(effect), n(top2))
        equal("customers of design_effect", customers(effect), customers(top2))
    mean, top3 = find(rows, "kpi", "ces_mean"), find(rows, "kpi", "ces_top3")
    if some(mean) and some(top3):
        equal("n of ces", n(mean), n(top3))
        equal("customers of ces", customers(mean), customers(top3))
    contact, serve = find(rows, "kpi", "cost_per_contact"), find(rows, "kpi", "cost_to_serve")
    if some(contact) and some(serve):
        equal("cost of contacts = cost to serve", cell("sum", contact, segment), cell("sum", serve, segment))
        equal("cost_to_serve's n", n(serve), customers(serve))
    for metric in ("response_rate", "cac", "multi_category_rate"):
        family = find(rows, "kpi", metric)
        if some(family):
            equal(f"{metric}'s n", n(family), customers(family))
    for one, other in [("wilson", "wilson_cluster")]:
        pair = [find(rows, "kpi", "first_contact_resolution", method=method) for method in (one, other)]
        if all(map(some, pair)):
            for what in ("n", "sum", "customers"):
                equal("both methods of first contacts", *(cell(what, family, segment) for family in pair))

    exposure, whole = find(rows, "value", "gross_exposure"), revenue["T12M"]
    if some(exposure) and some(whole) and not (facts["anonymous"] and segment == ALL):
        told = [rows[family, segment]["customers"] for family in (exposure, whole)]
        if told[0] is not None and told[0] == told[1]:
            equal("all who bought answered as detractors", value(exposure), value(whole))

    # Bands add up.
    bands_of(link, equal, rows, segment, families)
    # The value of one point, for 10,000 customers and for all.
    active = counts["active"]
    for family in families:
        scaled = {"nps_point_value_total": "nps_point_value", "net_value_at_risk_total": "net_value_at_risk"}
        if family.metric in scaled:
            one = find(rows, family.section, scaled[family.metric], method=family.method)
            both = [value_of(family, segment), value_of(one, segment)]
            if None not in both and both[1] and some(active):
                system.add(f"{family.metric} by {scaled[family.metric]}, {segment}", {value(active): 1.0}, both[0] / both[1] * 10_000)
    if segment == ALL:
        for what in ("value", "net", "value_raw", "net_raw", "cost"):
            whole = next((family for family in families if family.metric == f"portfolio_{what}"), None)
            metric = f"initiative_{what}"
            parts = [family for family in families if family.metric == metric and family.initiative in facts["portfolio"]]
            if some(whole) and rows[whole, ALL]["status"] in ("ok", "suppressed"):
                link(f"portfolio_{what}", (-1, value(whole)), *((1, value(part)) for part in parts))
        for family in families:
            if family.metric == "initiative_net":
                own = {
                    "value": find(rows, family.section, "initiative_value", initiative=family.initiative, method=family.method),
                    "cost": find(rows, family.section, "initiative_cost", initiative=family.initiative),
                }
                if all(map(some, own.values())):
                    link("net = value - cost", (1, value(family)), (-1, value(own["value"])), (1, value(own["cost"])))
                    roi = find(rows, family.section, "roi", initiative=family.initiative, method=family.method)
                    if some(roi) and value_of(roi, ALL) is not None:
                        link("roi = net by cost", (1, value(family)), (-value_of(roi, ALL), value(own["cost"])))


def bands_of(link, equal, rows, segment, families):
    """Customers of bands add up to those of all of them."""
    customers = lambda family: cell("customers", family, segment)
    some = lambda family: family is not None and (family, segment) in rows and rows[family, segment]["status"] in ("ok", "suppressed", "insufficient_n")
    curves = {band: {family.lag: family for family in families if (family.metric, family.band) == ("km", band)} for band in BANDS}
    events, test = find(rows, "survival", "churn_events"), find(rows, "survival", "logrank")
    if some(events) and all(curves.values()):
        firsts = [curves[band][1] for band in BANDS]
        link("bands of curves add up", (-1, customers(events)), *((1, customers(family)) for family in firsts))
        equal("followed", customers(events), cell("n", events, segment))
        if some(test):
            equal("followed, by the test", customers(events), cell("n", test, segment))
        for band in BANDS:
            for family in curves[band].values():
                equal("customers of a curve", customers(family), customers(curves[band][1]))
            equal("at risk in the first month", customers(curves[band][1]), cell("n", curves[band][1], segment))
    values = [find(rows, "clv", "clv_12m", band=band, method="crude") for band in BANDS]
    covered = find(rows, "clv", "clv_coverage")
    if some(covered) and all(map(some, values)):
        link("bands of values add up", (-1, customers(covered)), *((1, customers(family)) for family in values))
        for metric in ("nps_point_value", "ltv_to_cac"):
            for family in families:
                if family.metric.startswith(metric):
                    equal(f"n of {metric}", cell("n", family, segment), customers(covered))
        for family in families:
            if family.metric.startswith("clv_12m"):
                equal("customers of a band", customers(family), customers(values[BANDS.index(family.band)]))


def known(rows):
    """What rows say of themselves."""
    found = {}
    for (family, segment), row in rows.items():
        for what in ("value", "n", "customers"):
            if row[what] is not None:
                found[cell(what, family, segment)] = float(row[what])
    return found


# The attack.


def substituted(system, values):
    """The equations over what is not known yet."""
    equations = []
    for label, terms, right in system.equations:
        open_terms = {unknown: factor for unknown, factor in terms.items() if unknown not in values}
        if open_terms:
            right -= sum(factor * values[unknown] for unknown, factor in terms.items() if unknown in values)
            equations.append((label, open_terms, right))
    return equations


def determined(equations):
    """The unknowns that have one value in all solutions, with it; groups that share no equation are solved one by one."""
    found = {}
    for group in groups(equations):
        unknowns = sorted({unknown for _, terms, _ in group for unknown in terms}, key=str)
        place = {unknown: at for at, unknown in enumerate(unknowns)}
        matrix, right = np.zeros((len(group), len(unknowns))), np.zeros(len(group))
        for row, (_, terms, number) in enumerate(group):
            size = max(abs(factor) for factor in terms.values())
            right[row] = number / size
            for unknown, factor in terms.items():
                matrix[row, place[unknown]] = factor / size
        _, sizes, directions = np.linalg.svd(matrix, full_matrices=True)
        rank = int((sizes > 1e-9).sum())
        free = np.abs(directions[rank:]).max(axis=0) if rank < len(unknowns) else np.zeros(len(unknowns))
        solution = np.linalg.lstsq(matrix, right, rcond=1e-11)[0]
        found |= {unknown: float(solution[at]) for unknown, at in place.items() if free[at] < 1e-9}
    return found


def groups(equations):
    """Equations that share unknowns, directly or through others."""
    of = {}

    def root(unknown):
        while of[unknown] != unknown:
            of[unknown] = unknown = of[of[unknown]]
        return unknown

    for _, terms, _ in equations:
        first, *others = terms
        of.setdefault(first, first)
        for other in others:
            of.setdefault(other, other)
            of[root(other)] = root(first)
    by_root = collections.defaultdict(list)
    for equation in equations:
        by_root[root(next(iter(equation[1])))].append(equation)
    return by_root.values()


def attack(rows, facts):
    """All that can be worked out, and the equations that were left for it at each step."""
    values, system = known(rows), relations(rows, facts)
    steps = []
    while True:
        equations = substituted(system, values)
        found = determined(equations)
        # A mean follows from its sum and its n, and then says how the two of another hang together.
        everything = values | found
        for family, segment in rows:
            name = cell("value", family, segment)
            below = everything.get(cell("n", family, segment))
            above = everything.get(cell("sum", family, segment))
            if is_mean(family) and name not in everything and below and above is not None:
                found[name] = above / below * (100.0 if family.metric == "nps" else 1.0)
        for family, segment in rows:
            if is_mean(family) and cell("value", family, segment) in found:
                scale = 100.0 if family.metric == "nps" else 1.0
                mean = found[cell("value", family, segment)]
                system.add(f"{family} of {segment} is its sum by n", {cell("sum", family, segment): scale, cell("n", family, segment): -mean})
        if not found:
            return values, steps
        steps.append((equations, found))
        values |= found


def reason(steps, target):
    """The fewest relations that still give a cell away."""
    equations = next((equations for equations, found in steps if target in found), [])
    if target not in determined(equations):
        return "its sum by its n, " + reason(steps, cell("sum", *target[1:])) if target[0] == "value" else "-"
    for group in groups(equations):
        if any(target in terms for _, terms, _ in group):
            return "; ".join(label for label, _, _ in fewest(group, target))
    return "-"


def fewest(equations, target):
    """A small part of the equations that still determines an unknown: a combination of few of them, less what can go. The few
    are found by least squares that weigh what is small less and less."""
    unknowns = sorted({unknown for _, terms, _ in equations for unknown in terms}, key=str)
    matrix = np.array([[terms.get(unknown, 0.0) for _, terms, _ in equations] for unknown in unknowns])
    matrix /= np.abs(matrix).max(axis=0)
    wanted = np.array([float(unknown == target) for unknown in unknowns])
    weights = np.ones(len(equations))
    for _ in range(12):
        found = weights * np.linalg.lstsq(matrix * weights, wanted, rcond=1e-12)[0]
        weights = np.sqrt(np.abs(found)) + 1e-9
    kept = [equation for equation, weight in zip(equations, found) if abs(weight) > 1e-6]
    kept = kept if target in determined(kept) else equations
    for equation in list(kept):
        rest = [other for other in kept if other is not equation]
        if target in determined(rest):
            kept = rest
    return kept


def mostly_one(cxroi, folder):
    """The amounts of which one customer is more than half, without signs. A segment that all of it is from has no secret."""
    amounts = {
        ("kpi", "revenue", "MONTH"): "revenue_month",
        ("kpi", "revenue", "T3M"): "revenue_t3m",
        ("kpi", "revenue", "T12M"): "revenue_t12m",
        ("bridge", "base", "T6M"): "revenue_t6m_before",
        ("bridge", "current", "T6M"): "revenue_t6m",
    }
    largest_and_all = [f"max(abs({column})) as largest_{column}, sum(abs({column})) as {column}" for column in amounts.values()]
    query = f"select customer_id is null as nobody, segment, {', '.join(largest_and_all)} from windows.customer group by 1, 2"
    rows = compare.ask(cxroi, folder, "-c", query)
    for name, column in amounts.items():
        everything = sum(row[column] or 0 for row in rows)
        for row in rows:
            if not row["nobody"] and everything != row[column] and 2 * row[f"largest_{column}"] > row[column]:
                yield (*name, row["segment"])


def secrets(truth, seen, least, of_one):
    """The cells that must not be found: those of somebody, and of few or mostly of one. Shares of who stayed are told of the base."""
    base = {segment: row["customers"] for (family, segment), row in truth.items() if family.metric == "retention"}
    for (family, segment), row in truth.items():
        people = row["customers"]
        if family.metric in ("retained_customers", "churned_customers") and family.section == "kpi":
            people = base.get(segment)
        hidden = seen.get((family, segment), {}).get("status") == "suppressed"
        mostly = (family.section, family.metric, family.window, segment) in of_one
        if mostly and row["status"] == "ok":
            yield cell("value", family, segment), float(row["value"]), people
        elif people and people < least and hidden:
            for what in ("value", "customers"):
                if row[what] is not None and row["status"] == "ok":
                    yield cell(what, family, segment), float(row[what]), people


def same_answers(cxroi, folder):
    """Drivers of one kind and those of another at which the same answers were given: parts of what hangs together, but for those
    where answers name no driver of a kind."""
    answers = "nps_responses + csat_responses + ces_responses"
    first = int(PERIOD[:4]) * 12 + int(PERIOD[5:]) - 12
    query = f"select distinct channel, stage, touchpoint from facts.customer_driver_month where month between {first} and {first + 11} and {answers} > 0"
    rows = compare.ask(cxroi, folder, "-c", query)
    for one, other in itertools.combinations(("channel", "stage", "touchpoint"), 2):
        parts = []
        for pair in {tuple(f"{kind}:{row.get(kind) or ''}" for kind in (one, other)) for row in rows}:
            touching = [part for part in parts if part & set(pair)]
            parts = [part for part in parts if part not in touching] + [set(pair).union(*touching)]
        for part in parts:
            if not part & {f"{one}:", f"{other}:"}:
                yield [[driver for driver in sorted(part) if driver.startswith(f"{kind}:")] for kind in (one, other)]


def behind(cxroi, folder, truth, facts, least):
    """Amounts that no row states and that some follow from, of few customers: what was spent in windows before, and by those who
    answered, or did not."""
    amounts = {
        ("before", "kpi", "revenue_growth", "T3M", "census"): ("revenue_t3m_before", "true"),
        ("before", "kpi", "revenue_growth", "T3M", "census_yoy"): ("revenue_t3m_year_before", "true"),
        ("before", "kpi", "revenue_growth", "T12M", "census"): ("revenue_t12m_before", "true"),
        ("heard", "quality", "revenue_coverage", "ALL", "census"): ("revenue_t12m", "active_t12m and answers_t12m > 0"),
        ("others", "quality", "revenue_coverage", "ALL", "census"): ("revenue_t12m", "not (active_t12m and answers_t12m > 0)"),
    }
    columns = [
        f"coalesce(sum({column}) filter (where {which}), 0) as amount{at}, count(*) filter (where {column} <> 0 and {which}) as people{at}"
        for at, (column, which) in enumerate(amounts.values())
    ]
    rows = compare.ask(cxroi, folder, "-c", f"select segment, {', '.join(columns)} from windows.customer where customer_id is not null group by 1")
    for at, (what, section, metric, window, method) in enumerate(amounts):
        family = find(truth, section, metric, window, method=method)
        told = [(row["segment"], float(row[f"amount{at}"]), row[f"people{at}"]) for row in rows]
        if not facts["anonymous"]:
            told.append((ALL, sum(amount for _, amount, _ in told), sum(people for _, _, people in told)))
        for segment, amount, people in told:
            if family is not None and 0 < people < least and truth.get((family, segment), {}).get("status") == "ok":
                yield cell(what, family, segment), amount, people


def counts_told(truth, seen):
    """Rows that keep their number without saying how many customers it is of, and tell it all the same: an interval's width has the
    degrees of freedom in it, and a share is a fraction of so many."""
    for (family, segment), row in seen.items():
        was = truth.get((family, segment))
        if row["status"] == "ok" and was and was["customers"] is not None and row["customers"] is None:
            told = [name for name in ("se", "df", "lo", "hi", "p") if row[name] is not None]
            of_each = row["unit"] in ("share", "points", "score") and was["n"] == was["customers"]
            told += ["value"] if of_each or row["metric"] == "customer_coverage" else []
            if told:
                yield f"{family}, {segment}: {', '.join(told)} tell of how many customers", family.metric


# Parts that are published as one.


def few_in_merged(cxroi, folder, seen, least):
    """Rows `merged` that are about fewer distinct customers than the minimum, or say that they are about more than there are."""
    for section, signs in IDENTITIES.items():
        merged = {segment: row for (family, segment), row in seen.items() if (family.section, family.metric) == (section, "merged")}
        if not merged:
            continue
        people = distinct(cxroi, folder, section)
        for segment, row in merged.items():
            hidden = [part for part in signs if seen[find(seen, section, part), segment]["status"] == "suppressed"]
            own = [parts for of, parts in people if segment in (ALL, of)]
            count = sum(any(part in parts for part in hidden) for parts in own)
            yield section, segment, hidden, row, count


def distinct(cxroi, folder, section):
    """Of each customer: the segment, and the parts that the customer is in. The project's SQL, one row a customer."""
    text = (ROOT / "sql" / "measures" / f"{'bridge' if section == 'bridge' else 'retained_revenue'}.sql").read_text()
    if section == "bridge":
        query = text[: text.index("\nselect\n    segment,")].replace("unnest(case when customer_id is null then ['(all)'] else [segment, '(all)'] end) as segment", "segment")
        query += "\nselect segment, part, refunds <> 0 as residual from named where customer_id is not null"
    else:
        query = text[: text.index(",\nscoped as (")] + "\nselect * from customers"
    file = folder / f"{section}.sql"
    file.write_text(query)
    rows = compare.ask(cxroi, folder, "-f", file)
    if section == "bridge":
        return [(row["segment"], {row["part"]} - {"residual"} | ({"residual"} if row["residual"] else set())) for row in rows]
    return [(row["segment"], {part for part in IDENTITIES[section] if row.get(part)}) for row in rows]


# The whole.


class Totals:
    def __init__(self):
        self.suppressed, self.small, self.recovered, self.wrong = 0, 0, 0, 0
        self.by_relation = collections.Counter()

    def say(self, seed, least, line, kind):
        self.recovered += 1
        self.by_relation[kind] += 1
        print(f"lake {seed} (min_customers {least}): {line}; replay: attacker.py --lakes 1 --seed {seed}", flush=True)


def attack_lake(cxroi, seed, folder, totals):
    rng = random.Random(seed)
    make = make_peer_lake if seed % 4 == 0 else make_own_lake
    facts = make(rng, folder)
    truth = published(cxroi, folder, 0)
    least = rng.choice([5, 10])
    facts["portfolio"] = in_portfolio(truth)
    seen = published(cxroi, folder, least)
    (folder / "cxroi.toml").write_text((folder / "least-0.toml").read_text())
    facts["same_answers"] = list(same_answers(cxroi, folder))
    facts["merged_customers_add_up"] = True
    totals.suppressed += sum(row["status"] == "suppressed" for row in seen.values())
    wrong_relations(seed, truth, facts, totals)
    values, steps = attack(seen, facts)
    told = set()
    few = itertools.chain(secrets(truth, seen, least, set(mostly_one(cxroi, folder))), behind(cxroi, folder, truth, facts, least))
    for target, is_really, people in few:
        totals.small += target[0] == "value"
        if target in values:
            close = abs(values[target] - is_really) <= EXACT * max(abs(is_really), 1.0)
            if not close:
                totals.wrong += 1
                print(f"lake {seed}: {target}: worked out {values[target]}, is {is_really}: {reason(steps, target)}")
                continue
            what, family, segment = target
            if (what, family._replace(lag=None), segment) in told:
                continue  # the same of another month of a curve
            told.add((what, family._replace(lag=None), segment))
            why = reason(steps, target)
            line = f"{what} of {family}, {segment} ({people} customers) = {is_really:.10g}, by {why}"
            used = sorted({label.rsplit(", ", 1)[0].split(": ")[0] for label in why.split("; ")})
            totals.say(seed, least, line, (what, family.section, family.metric, " + ".join(used)))
    for line, metric in counts_told(truth, seen):
        totals.say(seed, least, line, ("customers", "any", metric, "an interval or a share"))
    for section, segment, hidden, row, count in few_in_merged(cxroi, folder, seen, least):
        if 0 < count < least:
            line = f"{section} merged of {segment} says {row['customers']} customers and is about {count}: {', '.join(hidden)}"
            totals.say(seed, least, line, ("merged of few", section, "merged", "customers in several parts count several times"))


def wrong_relations(seed, truth, facts, totals):
    """Relations that do not hold in the truth are the test's mistake."""
    values = known(truth)
    for label, terms, right in relations(truth, facts | {"merged_customers_add_up": False}).equations:
        if all(unknown in values for unknown in terms):
            numbers = [factor * values[unknown] for unknown, factor in terms.items()]
            if abs(sum(numbers) - right) > 1e-6 * max(1.0, *map(abs, numbers)):
                totals.wrong += 1
                print(f"lake {seed}: a relation does not hold: {label}: {sum(numbers)} is not {right}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxroi", type=Path, required=True)
    parser.add_argument("--lakes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="the first lake's seed; the next ones follow")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave lakes and outputs in DIR/<seed>")
    arguments = parser.parse_args()
    totals = Totals()
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(arguments.seed, arguments.seed + arguments.lakes):
            folder = (arguments.keep or Path(temporary)).resolve() / str(seed)
            folder.mkdir(parents=True)
            attack_lake(arguments.cxroi, seed, folder, totals)
    for (what, section, metric, why), count in totals.by_relation.most_common():
        print(f"{count:6} {what} of {section} {metric}: {why}")
    print(
        f"{arguments.lakes} lakes, {totals.suppressed} suppressed cells, {totals.small} of them about few or mostly one, "
        f"{totals.recovered} recovered, {totals.wrong} relations or values wrong"
    )
    sys.exit(1 if totals.recovered or totals.wrong else 0)


if __name__ == "__main__":
    main()
