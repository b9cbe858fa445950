#!/usr/bin/env python3
"""A second engine agrees: random small lakes through `cxroi` and through DuckDB, compared number by number.

    compare.py [--lakes 20] [--seed 1] [--cxroi target/debug/cxroi] [--keep DIR]

Each lake is run with `cxroi run --period 2024-12`. DuckDB stages the same files by its own statement of the input
contract, then runs the very text of `sql/facts`, `sql/windows` and `sql/measures`, but for `DIALECT`. All their rows must
be equal: whole numbers and decimals to the last digit, doubles within 1e-9. The published revenue, bridge, retention,
NPS, first contact resolution and costs of acquisition and retention are also held against plain Python over the staged
rows, which shares no SQL with the project.

Prints a line a mismatch and a summary; exits with 1 on a mismatch, or if there was nothing to compare. `--keep DIR`
leaves lake, configuration and output in DIR/<seed>. Needs the Python packages duckdb and pyarrow.
"""

import argparse
import csv
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from calendar import monthrange
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import combinations_with_replacement, product, zip_longest
from operator import add
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
ROME = ZoneInfo("Europe/Rome")
AS_OF = 2024 * 12 + 11
PARAMETERS = {
    "inactivity_months": 3,
    "nps_expectation": 7.5,
    "csat_expectation": 3.0,
    "ces_expectation": 4.0,
    "as_of": AS_OF,
    "currency": "EUR",
    "default_margin_rate": Decimal("0.350000"),
    "ces_higher_is_better": True,
    "winsor_quantile": Decimal("0.990000"),
    "ledger_tolerance": Decimal("0.005000"),
}

# The longest list that the project's SQL makes of numbers.
MOST_NUMBERS = 16

# The input contract, restated: the columns of each source in order, with their types.
CONTRACT = {
    "interactions": "customer_id varchar, occurred_at timestamp, interaction_id varchar, channel varchar, "
    "touchpoint varchar, stage varchar, device varchar, nps bigint, csat bigint, ces bigint, "
    "service_cost decimal(20,4), handle_seconds decimal(20,6), response_seconds decimal(20,6), escalated boolean, "
    "pages_viewed bigint, session_seconds decimal(20,6), converted boolean, task_completed boolean, "
    "task_error boolean, task_abandoned boolean, task_seconds decimal(20,6), consent boolean",
    "sales": "customer_id varchar, order_id varchar, ordered_at timestamp, amount decimal(20,4), line_id varchar, "
    "product_id varchar, category varchar, quantity double, margin decimal(20,4), currency varchar",
    "customers": "customer_id varchar, segment varchar, acquired_at timestamp, acquisition_cost decimal(20,4), "
    "referred boolean",
    "initiatives": "initiative varchar, starts_on date, ends_on date, cost_per_month decimal(20,4), "
    "one_off_cost decimal(20,4), target_segment varchar, target_channel varchar, target_touchpoint varchar, "
    "randomised boolean, holdout_share double, targeted_on_score boolean, expected_net_value decimal(20,4)",
    "assignments": "initiative varchar, customer_id varchar, arm varchar, starts_on date",
    "control_totals": "month integer, revenue decimal(20,4)",
}
CONTRACT = {source: dict(column.split() for column in text.split(", ")) for source, text in CONTRACT.items()}
SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
TIME = {"interactions": "occurred_at", "sales": "ordered_at", "customers": "acquired_at"}
MONTH = {"interactions": "month", "sales": "month", "customers": "acquired_month"}
REQUIRED = {
    "interactions": ["occurred_at"],
    "sales": ["order_id", "ordered_at", "amount"],
    "customers": ["customer_id"],
    "initiatives": ["initiative", "starts_on"],
    "assignments": ["initiative", "customer_id", "arm"],
    "control_totals": ["month", "revenue"],
}
IDENTITY = {"interactions": ["interaction_id"], "sales": ["order_id", "line_id"], "customers": ["customer_id"]}
IDENTITY |= {"initiatives": ["initiative"], "assignments": ["initiative", "customer_id"], "control_totals": ["month"]}
# What DuckDB does not read as it is: a word that it keeps to itself, and the filter of a macro.
DIALECT = [
    (r"(monthly_series|list_sums|list_products)\(((?:[^()]|\([^()]*\))+)\) filter \(where ([^()]+)\)", r"\1(\2, \3)"),
]


# A random lake.

SECOND, HOUR = 10**9, 3600 * 10**9
DAY = 24 * HOUR
CENT, UNIT = Decimal("0.01"), Decimal(1)
MONEY_TYPES = [  # the types that the files of a lake may have, and the smallest amount in them
    ([pa.decimal128(18, 2)], CENT),
    ([pa.decimal128(10, 3)], Decimal("0.001")),
    ([pa.decimal128(22, 6)], Decimal("0.000001")),
    ([pa.decimal128(18, 2), pa.decimal128(10, 3)], CENT),
    ([pa.float64()], CENT),
    ([pa.int64()], UNIT),
]
CLOCK_CHANGES = ["2023-03-26", "2023-10-29", "2024-03-31", "2024-10-27"]
SEGMENTS = ["Retail", "b2b", "È", "", 'O\'Neil, "x"']
PROGRAMMES = ["listed"] * 4 + ["drawn", "drawn", "aimed", "everybody", "segment"] * 2 + ["channel", "touchpoint"]


def start(month):
    """The first nanosecond of a local month."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=ROME).timestamp()) * SECOND


def instant(rng, month):
    """Some nanosecond of a month, often next to one of its ends or to a change of the clocks."""
    step = rng.choice([0, 1, 999, 1000, 10**6, SECOND, HOUR // 2, HOUR - 1, HOUR, HOUR + 1, 2 * HOUR - 1, 2 * HOUR])
    kind = rng.random()
    if kind < 0.15:
        return start(month) + step
    if kind < 0.3:
        return start(month) - step
    if kind < 0.33:
        change = int(datetime.fromisoformat(rng.choice(CLOCK_CHANGES) + "T01:00:00+00:00").timestamp()) * SECOND
        return change + rng.choice([-1, 1]) * step
    return rng.randrange(start(month), start(month + 1))


def money(rng, unit, highest=500):
    kind = rng.random()
    if kind < 0.05:
        return Decimal(0)
    amount = (Decimal(rng.randint(1, highest * 10**6)) / 10**6).quantize(unit)
    return -amount if kind < 0.18 else amount * 100 if kind > 0.98 else amount


def column(values, data_type):
    """Generated values as an Arrow column of a type."""
    if pa.types.is_timestamp(data_type):
        size = {"ms": 10**6, "us": 1000, "ns": 1}[data_type.unit]
        values = [None if value is None else value // size for value in values]
    elif pa.types.is_date(data_type):
        values = [None if value is None else datetime.fromtimestamp(value // SECOND, ROME).date() for value in values]
    elif pa.types.is_floating(data_type) or pa.types.is_integer(data_type):
        read = float if pa.types.is_floating(data_type) else int
        values = [None if value is None else read(value) for value in values]
    return pa.array(values, data_type)


def time_text(rng, at, data_type):
    """A time as people write it: with an offset, in UTC without one, or a local date where the column holds dates."""
    whole = datetime.fromtimestamp(at // SECOND, rng.choice([timezone.utc, ROME]))
    if pa.types.is_date(data_type):
        return whole.astimezone(ROME).date().isoformat()
    digits = {"ms": 3, "us": 6, "ns": 9}[data_type.unit]
    fraction = f".{at % SECOND:09}"[: digits + 1] if at % SECOND or rng.random() < 0.5 else ""
    form = rng.choice(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])
    if whole.tzinfo is ROME:
        return f"{whole:{form}}{fraction}" + f"{whole:%z}"[:3] + rng.choice(["", ":"]) + f"{whole:%z}"[3:]
    return f"{whole:{form}}{fraction}" + rng.choice(["Z", "", "+00:00"])


def write_csv(rng, path, rows, types, columns, delimiter):
    """Writes rows as text; an empty field is null."""

    def text(name, value):
        if value is None:
            return ""
        if name in TIME.values():
            return time_text(rng, value, types[name][0])
        if isinstance(value, bool):
            return rng.choice([str(value), str(value).lower(), str(int(value))])
        return f"{value:f}" if isinstance(value, Decimal) else str(value)

    with open(path, "w", encoding=rng.choice(["utf-8", "utf-8-sig"]), newline="") as file:
        out = csv.writer(file, delimiter=delimiter, lineterminator=rng.choice(["\n", "\r\n"]))
        out.writerow(columns)
        out.writerows([text(name, row.get(name)) for name in columns] for row in rows)


def write(rng, folder, rows, types, time=None):
    """Writes rows, shuffled, as flat files or in Hive folders by UTC month. A file takes one of each column's types."""
    rng.shuffle(rows)
    parts = {}
    if time and rng.random() < 0.4:
        for row in rows:
            at = row[time] and datetime.fromtimestamp(row[time] // SECOND, timezone.utc)
            name = f"month={at:%Y-%m}/part-0" if at else "month=__HIVE_DEFAULT_PARTITION__/part-0"
            parts.setdefault(name, []).append(row)
    else:
        cuts = sorted(rng.randint(0, len(rows)) for _ in range(rng.randint(0, 2)))
        for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(rows)])):
            parts[f"part-{number}"] = rows[first:last]
    texts = [("csv", ","), ("csv", ";"), ("tsv", "\t")]
    ending, delimiter = rng.choice(texts) if rng.random() < 0.15 else ("parquet", None)
    named = [key for key, choices in types.items() if choices]
    rng.shuffle(named)
    for name, part in parts.items():
        path = folder / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending != "parquet":
            write_csv(rng, path, part, types, named, delimiter)
            continue
        columns = {}
        for key in named:
            values = [row.get(key) for row in part]
            optional = key not in ("customer_id", "order_id", "ordered_at", "occurred_at", "amount")
            absent = optional and all(value is None for value in values) and rng.random() < 0.5
            if not absent:
                columns[key] = column(values, rng.choice(types[key]))
        pq.write_table(pa.table(columns), path, row_group_size=rng.choice([7, 1000]))


def with_copies(rng, rows, changes):
    """Adds exact copies of some rows, and copies in which one column differs."""
    copies = [dict(row) for row in rows if rng.random() < 0.03]
    for row in [row for row in rows if rng.random() < 0.02]:
        key = rng.choice(list(changes))
        copies.append({**row, key: changes[key]()})
    return rows + copies


def matters(rng, ids):
    """Contacts that follow each other by about seven days, over the edges of months and after the reported one."""
    close = [0, 1, 999, 1000, 10**6, HOUR]
    for _ in range(rng.choice([0, 10, 60])):
        customer, touchpoint = rng.choice(ids), rng.choice([None, "desk", "web"])
        at = instant(rng, rng.randint(AS_OF - 3, AS_OF + 1))
        for _ in range(rng.randint(1, 4)):
            if at < start(AS_OF + 2):
                yield customer, rng.choice([touchpoint] * 5 + [None]), at
            week = 7 * DAY + rng.choice([-1, 1]) * rng.choice(close)
            at += rng.choice([week, week, week, rng.choice(close), rng.randrange(20 * DAY)])


def programmes(rng, first, ids, scored):
    """Programmes of all kinds, most of them around the last year, and who was in them; some rows twice."""
    initiatives, assignments = [], []
    recent = min(max(first + 4, AS_OF - 12), AS_OF - 1), AS_OF - 1
    read = rng.choice([str, int]) if ids[0].isdigit() else str
    for number in range(rng.randint(1, 6)):
        kind, month = rng.choice(PROGRAMMES), rng.randint(*rng.choice([recent, recent, (first, AS_OF + 2), (first - 6, first)]))
        last_day = monthrange(month // 12, month % 12 + 1)[1]
        starts = date(month // 12, month % 12 + 1, rng.choice([1, 1, last_day, rng.randint(1, last_day)]))
        ends = rng.choice([starts, *[starts + timedelta(rng.randint(0, 400))] * 2, date(2024, rng.randint(1, 12), 1)])
        row = {"initiative": f"é{number}", "starts_on": starts}
        ends = rng.choice([None, max(starts, ends), max(starts, ends)])
        row["ends_on"] = ends
        row["cost_per_month"] = rng.choice([None, 0, rng.randint(1, 9999), rng.randint(1, 10**6) / 100])
        row["one_off_cost"] = rng.choice([None, rng.randint(1, 10**6) / 100])
        targets = {"segment": [*SEGMENTS, "(unknown)", "no one's"], "channel": ["phone", "é"], "touchpoint": ["desk", "web"]}
        row |= {f"target_{name}": rng.choice(values) if kind == name else None for name, values in targets.items()}
        row["randomised"] = kind == "drawn" or rng.choice([None, False])
        row["holdout_share"] = rng.choice([None, 0.1, 0.25, 0.5]) if kind == "drawn" or rng.random() < 0.1 else None
        row["targeted_on_score"] = rng.choice([None, None, None, False, True])
        row["expected_net_value"] = rng.choice([None, rng.randint(-(10**6), 10**6) / 100])
        initiatives += [row] * rng.choice([1, 1, 1, 2])
        last = {customer: score for at, customer, score in scored if at < start(month)}
        treated, held_out = {"drawn": (0.5, 0.3), "everybody": (1, 0)}.get(kind, (rng.choice([0.2, 0.5, 0.8]), 0.05))
        for customer in [*ids, "999", "998"] if kind not in targets else []:
            chance = treated if kind != "aimed" else 0.9 if last.get(customer, 10) <= 6 else 0.03
            arm = "treated" if rng.random() < chance else "holdout" if rng.random() < held_out else None
            row = {"initiative": f"é{number}", "customer_id": read(customer), "arm": arm}
            own_start = starts + timedelta(rng.randint(0, 60))
            row["starts_on"] = rng.choice([None, starts, min(own_start, ends or own_start)])
            assignments += [row] * rng.choice([1] * 9 + [2]) if arm else []
    assignments += [row | {"arm": None} for row in rng.sample(assignments, len(assignments) // 130)]
    return {"initiatives": initiatives, "assignments": assignments}


def write_whole(rng, path, rows):
    """Writes rows as one file of JSON, CSV or Parquet; a column without a value may be absent."""
    rng.shuffle(rows)
    valued = {name for row in rows for name, value in row.items() if value is not None}
    names = [name for name in rows[0] if name in valued or rng.random() < 0.5]
    if path.suffix == ".csv":
        return write_csv(rng, path, rows, {}, names, rng.choice([",", ";"]))
    if path.suffix == ".parquet":
        types = {name: None if name in valued else pa.string() for name in names}
        columns = {name: pa.array([row[name] for row in rows], types[name]) for name in names}
        return pq.write_table(pa.table(columns), path)
    rows = [{name: row[name] for name in names if row[name] is not None or rng.random() < 0.5} for row in rows]
    lines = [json.dumps(row, ensure_ascii=rng.random() < 0.5, default=str) for row in rows]
    array = path.suffix == ".json" and rng.random() < 0.6
    path.write_text("[" + ",\n".join(lines) + "]" if array else "\n".join(lines) + "\n", encoding="utf-8")


def write_ledger(rng, path, first):
    """Writes the ledger of some months, one of them perhaps twice, as CSV or Parquet; its months are texts or dates."""
    months = [month for month in range(first, AS_OF + 2) if rng.random() < 0.8] or [AS_OF]
    rows = [{"month": f"{month // 12}-{month % 12 + 1:02}", "revenue": money(rng, CENT, 9999)} for month in months]
    days = rng.random() < 0.3
    rows = [row | {"month": row["month"] + f"-{rng.randint(1, 28):02}"} if days else row for row in rows]
    rows += rng.sample(rows, rng.randint(0, 1))
    if path.suffix == ".csv":
        return write_csv(rng, path, rows, {}, ["month", "revenue"], rng.choice([",", ";"]))
    months = [date.fromisoformat(row["month"]) if days else row["month"] for row in rows]
    pq.write_table(pa.table({"month": months, "revenue": [row["revenue"] for row in rows]}), path)


def make_lake(rng, folder):
    """Writes a lake with its configuration; the parameters that the configuration makes of the SQL."""
    first = AS_OF + 1 - rng.choice([rng.randint(3, 23), rng.randint(24, 28)])
    numeric, identified, busy = rng.random() < 0.3, rng.random() < 0.7, rng.uniform(0.05, 0.6)
    ids = [str(100 + n) if numeric else f"{rng.choice('cCé')}{n}" for n in range(rng.randint(5, 120))]
    text = [rng.choice([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])]
    id_type = [pa.int64()] if numeric and rng.random() < 0.7 else text
    zone = rng.choice(["UTC", "Europe/Rome", None])
    times = [pa.timestamp(unit, zone) for unit in rng.choice([["ms"], ["us"], ["ns"], ["ms", "us"], ["us", "ns"]])]
    moneys, unit = rng.choice(MONEY_TYPES)

    def anyone():
        return None if rng.random() < 0.05 else rng.choice(ids)

    def sparse(value, share=0.5):
        return value if rng.random() < share else None

    def category():
        return sparse(rng.choice(["tea", "coffee", "Tea", "é", ""]), 0.8)

    def visits(often):
        months = [(month, customer) for month in range(first, AS_OF + 1) for customer in [*ids, None]]
        return [visit for visit in months if rng.random() < busy for _ in range(rng.choice(often))]

    # Sales reach the end of the reported month and a little of the next, interactions often do.
    ends = [start(AS_OF + 1) - rng.choice([1, SECOND, HOUR, 60 * HOUR])]
    ends += [start(AS_OF + 1) + rng.choice([0, 1, HOUR, 400 * HOUR]) for _ in range(rng.randint(1, 4))]

    types = {"customer_id": id_type, "order_id": text, "ordered_at": times, "amount": moneys, "margin": moneys}
    types |= {"category": text, "currency": text, "line_id": text if identified else []}
    types |= {"margin": []} if rng.random() < 0.25 else {}
    refunders, margins = set(rng.sample(ids, len(ids) // 8 + 1)), rng.choice([0, 0.5, 1])
    sales = [(anyone(), f"e{n}", at, money(rng, unit), None, None, "EUR", None) for n, at in enumerate(ends)]
    for order, (month, customer) in enumerate(visits([1, 1, 2])):
        at = instant(rng, month)
        for line in range(rng.choice([1, 1, 1, 2, 3])):
            if line and rng.random() < 0.15:
                at = min(instant(rng, month + 1), start(AS_OF + 1) + 400 * HOUR)
            amount = money(rng, unit) if customer not in refunders else -abs(money(rng, unit))
            margin = sparse((amount * Decimal("0.4")).quantize(unit), margins)
            sales.append((customer, f"o{order}", at, amount, margin, category(), "EUR", sparse(f"{line}", 0.9)))
    changes = {"amount": lambda: money(rng, unit), "customer_id": anyone, "category": category}
    changes |= {"ordered_at": lambda: instant(rng, rng.randint(first, AS_OF))}
    sales = with_copies(rng, [dict(zip(types, row)) for row in sales], changes)
    begin = start(local_month(min(row["ordered_at"] for row in sales)))
    for row in rng.sample(sales, len(sales) // 130):  # fewer than one in a hundred cannot be read
        no_number = Decimal("nan") if pa.types.is_floating(moneys[0]) else None
        sales.append(row | rng.choice([{"order_id": None}, {"ordered_at": None}, {"amount": no_number}]))
    write(rng, folder / "sales", sales, types, "ordered_at")
    sources, scored = ["sales"], []

    if rng.random() < 0.85:
        scores = rng.choice([[pa.int8()], [pa.int64()], [pa.float64()], [pa.int8(), pa.int64()]])
        answers = [*range(11), 9, 10, -1, 11, 99] + ([7.5, 10.5, -0.5] if scores == [pa.float64()] else [])
        consents = rng.choice([[None], [True, True, True, False, None]])
        types = {"customer_id": id_type, "occurred_at": times, "channel": text, "nps": scores, "service_cost": moneys}
        types |= {"consent": [pa.bool_()], "interaction_id": text if identified else []}
        types |= {name: text if rng.random() < 0.8 else [] for name in ("touchpoint", "stage")}
        seconds = rng.choice([pa.float64(), pa.int64(), pa.decimal128(12, 3), pa.decimal128(20, 6)])
        flags = ["escalated", "task_completed", "task_error", "task_abandoned"]
        more = {"csat": scores, "ces": scores, "pages_viewed": [rng.choice([pa.int32(), pa.int64(), pa.float64()])]}
        more |= {name: [seconds] for name in ("response_seconds", "session_seconds", "task_seconds")}
        more |= {name: [pa.bool_()] for name in flags}
        types |= {name: choices if rng.random() < 0.85 else [] for name, choices in more.items()}
        decided = rng.choice([0, 0.7, 1])  # the share of sessions that say whether they converted
        types["converted"] = [pa.bool_()] if decided else []
        orders = defaultdict(list)
        for row in sales:
            if row["ordered_at"] is not None:
                orders[row["customer_id"]].append(row["ordered_at"])

        def some_seconds(share):
            return sparse(Decimal(rng.choice([0, rng.randint(1, 10**6), rng.randint(1, 10**9)])) / 1000, share)

        def touch_at(customer, month):
            """Some instant, often a little before or after an order or just a day before it."""
            if not orders[customer] or rng.random() < 0.7:
                return instant(rng, month)
            step = rng.choice([0, 10**6, HOUR, -HOUR, *(24 * HOUR + more for more in (-(10**6), -1000, 0, 10**6))])
            return rng.choice(orders[customer]) - step

        reached = ends[: rng.choice([1, 5, 5])]
        touches = [{"customer_id": anyone(), "occurred_at": at, "nps": rng.randint(0, 10)} for at in reached]
        # What is known ends in the look-ahead, at its end, or after it.
        known = start(AS_OF + 1) + 7 * DAY
        late = [-1000, 0, 1000, 10**6, HOUR, 30 * DAY, 200 * DAY]
        late = [known + step for step in rng.sample(late, rng.randint(0, 2))]
        touches += [{"customer_id": anyone(), "occurred_at": at} for at in late]
        touches = [row | {"consent": consents[0]} for row in touches]
        for n, (month, customer) in enumerate(visits([1, 1, 2, 4])):
            row = {"customer_id": customer, "occurred_at": touch_at(customer, month)}
            row |= {"channel": sparse(rng.choice(["phone", "web", "é"]), 0.7), "stage": sparse(rng.choice(["pre", "post"]))}
            row |= {"nps": sparse(rng.choice(answers), 0.6), "consent": rng.choice(consents)}
            row |= {name: sparse(rng.choice([*answers, *range(1, 8)]), 0.4) for name in ("csat", "ces")}
            row |= {"service_cost": sparse(abs(money(rng, unit, 30)), 0.4), "interaction_id": sparse(f"i{n}", 0.9)}
            row |= {"response_seconds": some_seconds(0.3), "task_seconds": some_seconds(0.3)}
            row |= {name: sparse(rng.random() < 0.4, 0.4) for name in flags}
            row |= {"session_seconds": some_seconds(0.1)}
            if rng.random() < 0.5:
                row |= {"pages_viewed": rng.choice([0, 1, rng.randint(2, 40)]), "session_seconds": some_seconds(0.8)}
                row["converted"] = sparse(rng.random() < 0.3, decided)
            row["touchpoint"] = sparse(rng.choice(["desk", "web"]), 0.8)
            touches.append(row)
        for n, (customer, touchpoint, at) in enumerate(matters(rng, ids)):
            row = {"customer_id": customer, "touchpoint": touchpoint, "occurred_at": at, "nps": sparse(9, 0.1)}
            row |= {"service_cost": abs(money(rng, unit, 30)), "interaction_id": sparse(f"s{n}", 0.5)}
            touches.append(row | {"consent": rng.choice(consents)})
        early = [row for row in touches if row["occurred_at"] < begin]
        changes = {"nps": lambda: rng.randint(0, 10), "customer_id": anyone, "service_cost": lambda: Decimal(7)}
        changes |= {"csat": lambda: rng.choice([None, 0, 4]), "pages_viewed": lambda: rng.choice([None, 3])}
        changes |= {"response_seconds": lambda: some_seconds(0.8), "escalated": lambda: rng.choice([None, False, True])}
        changes |= {"occurred_at": lambda: rng.randrange(begin, start(AS_OF + 1)), "consent": lambda: consents[-2:][0]}
        touches = with_copies(rng, [row for row in touches if row["occurred_at"] >= begin], changes)
        for row in rng.sample(touches, len(touches) // 130):  # before the first sale, or undated
            touches.append(early.pop() if early and rng.random() < 0.5 else row | {"occurred_at": None})
        write(rng, folder / "interactions", touches, types, "occurred_at")
        sources.append("interactions")
        known = [row for row in touches if row["customer_id"] and row["occurred_at"] and row.get("nps") in range(11)]
        scored = sorted((row["occurred_at"], row["customer_id"], row["nps"]) for row in known)

    if rng.random() < 0.8:
        segments = rng.sample(SEGMENTS, rng.randint(1, 4))
        known = [customer for customer in ids if rng.random() < 0.85] + ["999"]
        customers = [{"customer_id": customer, "segment": sparse(rng.choice(segments), 0.85)} for customer in known]
        dated, priced = rng.choice([0, 0.7, 0.7, 1]), rng.choice([0, 0.7, 1, 1])
        more = {"acquired_at": lambda: sparse(instant(rng, rng.randint(first - 12, AS_OF + 1)), dated)}
        more |= {"acquisition_cost": lambda: sparse(money(rng, unit), priced)}
        more |= {"referred": lambda: sparse(rng.random() < 0.4, 0.8)}
        customers = [row | {name: value() for name, value in more.items()} for row in customers]
        customers = with_copies(rng, customers, {"segment": lambda: rng.choice(segments), **more})
        types = {"customer_id": id_type, "segment": text, "referred": [pa.bool_()] if rng.random() < 0.8 else []}
        types |= {"acquired_at": rng.choice([[pa.date32()], times]) if dated else []}
        types |= {"acquisition_cost": moneys if priced else []}
        write(rng, folder / "customers", customers, types)
        sources.append("customers")

    lines = ['timezone = "Europe/Rome"', 'currency = "EUR"', 'output.url = "out/"', "guards.enabled = false"]
    lines += ["privacy.min_customers = 0", *(f'lake.{source} = "{source}/"' for source in sources)]
    parameters = PARAMETERS | {"history_from": None}
    if rng.random() < 0.2:
        month = parameters["history_from"] = min(local_month(begin) + rng.randint(-2, 3), AS_OF)
        lines.append(f'method.history_from = "{month // 12}-{month % 12 + 1:02}"')
    whole = programmes(rng, first, ids, scored) if rng.random() < 0.9 else {}
    for source, rows in (whole | {"control_totals": rng.random() < 0.75}).items():
        if rows:
            ledger = source == "control_totals"
            path = folder / source / f"all.{rng.choice(['csv', 'parquet'] + ['json', 'jsonl'] * (not ledger))}"
            path.parent.mkdir()
            write_ledger(rng, path, first) if ledger else write_whole(rng, path, rows)
            lines.append(f'lake.{source} = "{source}/{rng.choice(["", path.name])}"')
    if rng.random() < 0.4:
        quantile = Decimal(rng.choice(["0.500000", "0.900000", "0.995000", "1.000000"]))
        parameters |= {"ces_higher_is_better": False, "winsor_quantile": quantile}
        lines += ["method.ces_higher_is_better = false", f"method.winsor_quantile = {quantile}"]
    (folder / "cxroi.toml").write_text("\n".join(lines) + "\n")
    return parameters


# The second engine.


def utc(month):
    """The start of a local month as DuckDB gives times."""
    return datetime.fromtimestamp(start(month) // SECOND, timezone.utc).replace(tzinfo=None)


def local_month(at):
    local = datetime.fromtimestamp(at // SECOND, ROME)
    return local.year * 12 + local.month - 1


def typed(source, name, found):
    """The contract value of a column as DuckDB finds it in a file, or null where it is absent."""
    kind = CONTRACT[source][name]
    if name not in found:
        return f"cast(null as {kind}) as {name}"
    value, text = name, found[name] == "VARCHAR"
    if kind == "timestamp":
        # A bare date is local, a text may say its offset, anything else without one is UTC.
        local = f"timezone('UTC', timezone('Europe/Rome', try_cast({name} as timestamp)))"
        # Whole microseconds that have passed: DuckDB's own cast from nanoseconds rounds into the next month.
        if text:
            short = f"regexp_replace({name}, '([.][0-9]{{6}})[0-9]+', '\\1')"
            offset = f"regexp_matches({name}, '(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$')"
            value = f"case when length({name}) = 10 then {local} when {offset} then "
            value += f"timezone('UTC', try_cast({short} as timestamptz)) else try_cast({short} as timestamp) end"
        elif found[name] == "DATE":
            value = local
        else:
            zoned = "WITH TIME ZONE" in found[name] or "TIMESTAMPTZ" in found[name]
            value = f"timezone('UTC', {name})" if zoned else name
            value = f"make_timestamp(epoch_ns({value}) // 1000)"
    elif name in SCALES:
        low, high = SCALES[name]
        number = f"try_cast({name} as double)"
        value = f"case when {number} between {low} and {high} and {number} = floor({number}) then {number} end"
    elif kind == "varchar":
        value = f"nullif(cast({name} as varchar), '')"
    elif name == "month":
        day = f"cast(left({name} || '-01', 10) as date)" if text else name
        value = f"year({day}) * 12 + month({day}) - 1"
    return f"try_cast({value} as {kind}) as {name}"


def file_of(path, source):
    """How DuckDB reads a file of a lake; CSV and JSON as texts."""
    if path.suffix == ".parquet":
        return f"read_parquet('{path}', hive_partitioning = false)"
    if path.suffix.startswith(".json"):
        names = ", ".join(f"{name}: 'varchar'" for name in CONTRACT[source])
        return f"read_json('{path}', columns = {{{names}}})"
    head = path.read_text(encoding="utf-8").splitlines()[0]
    delimiter = next((mark for mark in "\t;" if mark in head), ",")
    form = f"delim = '{delimiter}', quote = '\"', escape = '\"'"
    return f"read_csv('{path}', {form}, header = true, all_varchar = true, hive_partitioning = false)"


def stage(engine, folder, source, parameters):
    """Makes staging.<source>: typed, usable, each identity once a local month, history and the look-ahead."""
    columns = CONTRACT[source]
    selects = ["select " + ", ".join(typed(source, name, {}) for name in columns) + " limit 0"]
    for path in sorted(path for path in (folder / source).rglob("*") if path.is_file()):
        file = file_of(path, source)
        found = dict(row[:2] for row in engine.execute(f"describe select * from {file}").fetchall())
        selects.append("select " + ", ".join(typed(source, name, found) for name in columns) + f" from {file}")
    readable = " and ".join(f"{name} is not null" for name in REQUIRED[source])
    month, names = "", [*columns]
    if source in TIME:
        local = f"timezone('Europe/Rome', timezone('UTC', {TIME[source]}))"
        month = f", cast(year({local}) * 12 + month({local}) - 1 as integer) as {MONTH[source]}"
        names.append(MONTH[source])
    engine.execute(f"""
        create temporary table typed as select *{month} from ({' union all '.join(f'({select})' for select in selects)})
        where {readable}""")
    if source == "sales" and parameters["history_from"] is None:
        parameters["history_from"] = engine.execute("select min(month) from typed").fetchone()[0]
    if source == "interactions":
        # The last row counts without consent too.
        last, end = engine.execute("select max(occurred_at) from typed").fetchone()[0], utc(AS_OF + 1)
        parameters["known_until"] = end if last is None else min(last, end + timedelta(7))
    history = f"month between {parameters['history_from']} and {AS_OF}"
    usable = {"sales": history, "interactions": "(" + history}.get(source, "true")
    if source == "interactions":
        usable += f" or month = {AS_OF + 1} and occurred_at <= '{parameters['known_until']}')"
        usable += " and consent is distinct from false"
    identity = ", ".join(IDENTITY[source] + ["month"] * (MONTH.get(source) == "month"))
    anonymous = " or ".join(f"{name} is null" for name in IDENTITY[source])
    order = ", ".join(f"{name} asc nulls last" for name in columns)
    engine.execute(f"""
        create table staging.{source} as
        with numbered as (
            select *, row_number() over (partition by {identity} order by {order}) as copy
            from typed where {usable})
        select {', '.join(names)} from numbered where copy = 1 or {anonymous};
        drop table typed""")


def second_engine(folder, parameters):
    """DuckDB with the staged lake, and the facts and windows of the project's own SQL."""
    engine = duckdb.connect(config={"threads": 1})
    engine.execute("set timezone = 'UTC'; create schema staging; create schema facts; create schema windows")
    engine.execute("set integer_division = true; create macro exact_sum(x) as fsum(x)")
    own_functions(engine)
    for source in ("sales", "interactions", "customers", "initiatives", "assignments", "control_totals"):
        stage(engine, folder, source, parameters)
    engine.execute("""
        create table staging.contacts as select customer_id, touchpoint, occurred_at from staging.interactions
        where service_cost is not null and customer_id is not null""")
    # Contacts are looked ahead to; everything else ends with the reported month.
    facts = sorted(models("facts"), key=lambda file: file.stem != "service_contact")
    for file in facts:
        run_model(engine, f"create table facts.{file.stem} as {file.read_text()}", parameters)
        engine.execute(f"delete from staging.interactions where month > {AS_OF}")
    # The order of rows is all that differs.
    for name in ("customer", "customer_driver"):
        engine.execute(f"create view facts.{name}_history as from facts.{name}_month")
    for file in in_order(models("windows")):
        run_model(engine, f"create table windows.{file.stem} as {file.read_text()}", parameters)
    return engine


def own_functions(engine):
    """The project's functions of lists, over the list that DuckDB gathers."""

    def series(entries):
        known = {entry["place"]: entry["value"] for entry in entries if None not in entry.values()}
        assert len(known) == sum(None not in entry.values() for entry in entries), "two values at one position"
        return [known.get(place) for place in range(max(known, default=-1) + 1)]

    def series_sums(entries):
        sums = defaultdict(int)
        for entry in entries:
            if None not in entry.values():
                sums[entry["place"]] += entry["value"]
        return [sums.get(place) for place in range(max(sums, default=-1) + 1)]

    def ratio(one, other):
        pairs = zip(one, other)
        return [None if a is None or not b else a / b for a, b in pairs]

    def pair_sums(one, other, rows, columns):
        sums = [Fraction(0)] * (rows * columns * 6)
        exact = lambda values: [None if value is None else Fraction(round(value * 1e9), 10**9) for value in values]
        for left, right in zip(map(exact, one), map(exact, other)):
            for (row, x), (column, y) in product(enumerate(left), enumerate(right)):
                if x is not None and y is not None:
                    at = (row * columns + column) * 6
                    sums[at : at + 6] = map(add, sums[at : at + 6], (1, x, y, x * x, x * y, y * y))
        return [float(value) for value in sums]

    def first(values, begin):
        return next((place for place in range(max(begin, 0), len(values or [])) if values[place] is not None), None)

    def moments(values):
        return [float(place) for place, value in enumerate(values) if value is not None][1:]

    def change(values, at, distance):
        known = [place + distance for place, value in enumerate(at) if value is not None]
        value = lambda place: (values[place] if place < len(values) else None) or 0.0
        return [value(two) - value(one) if one >= 0 else None for one, two in zip(known, known[1:])]

    def gap(values, begin, length):
        places = range(max(begin, 0), max(begin, len(values)) + 1)
        return next(place for place in places if not any(values[place : place + length]))

    def moving_sums(values, first, last, begin, end):
        values = [value or 0.0 for value in values]
        return [sum(values[max(at + begin, 0) : max(at + end + 1, 0)], 0.0) for at in range(first, last + 1)]

    def products(one, other):
        sides = [list(zip(*side)) for side in (one, other)]
        return [math.fsum(a * b for a, b in zip(left, right)) for left in sides[0] for right in sides[1]]

    def total(values, begin, end):
        return None if begin is None or end is None else moving_sums(values or [], 0, 0, begin, end)[0]

    def capped(values, lowest, highest):
        bounds = (-math.inf if lowest is None else lowest, math.inf if highest is None else highest)
        return values and [None if value is None else max(min(value, bounds[1]), bounds[0]) for value in values]

    def difference(one, other):
        return [(a or 0.0) - (b or 0.0) for a, b in zip_longest(one or [], other or [])]

    def last(values, end):
        return next((value for value in reversed((values or [])[: max(end + 1, 0)]) if value is not None), None)

    def units(lists, length):
        return [([round((value or 0.0) * 1e4) for value in values or []] + [0] * length)[:length] for values in lists]

    def list_sums(lists, length):
        return [sum(place) / 10**4 for place in zip(*units(lists, length))]

    def list_products(lists, length):
        triangles = [[a * b for a, b in combinations_with_replacement(row, 2)] for row in units(lists, length)]
        return [len(lists), *list_sums(lists, length), *(sum(place) / 10**8 for place in zip(*triangles))]

    for name, function, takes, gives in (
        ("own_series", series, ["struct(place bigint, value double)[]"], "double[]"),
        ("series_first", first, ["double[]", "bigint"], "bigint"),
        ("series_moments", moments, ["double[]"], "double[]"),
        ("series_change", change, ["double[]", "double[]", "bigint"], "double[]"),
        ("series_gap", gap, ["double[]", "bigint", "bigint"], "bigint"),
        ("moving_sums", moving_sums, ["double[]"] + ["bigint"] * 4, "double[]"),
        ("own_products", products, ["double[][]", "double[][]"], "double[]"),
        ("own_series_sums", series_sums, ["struct(place bigint, value double)[]"], "double[]"),
        ("series_ratio", ratio, ["double[]", "double[]"], "double[]"),
        ("own_pair_sums", pair_sums, ["double[][]", "double[][]", "bigint", "bigint"], "double[]"),
        ("series_total", total, ["double[]", "bigint", "bigint"], "double"),
        ("series_capped", capped, ["double[]", "double", "double"], "double[]"),
        ("series_difference", difference, ["double[]", "double[]"], "double[]"),
        ("series_last", last, ["double[]", "bigint"], "double"),
        ("own_list_sums", list_sums, ["double[][]", "bigint"], "double[]"),
        ("own_list_products", list_products, ["double[][]", "bigint"], "double[]"),
    ):
        # Others neither give a null nor make something of one.
        special = name in ("series_first", "series_difference", "series_last", "series_total", "series_capped")
        types = [duckdb.dtype(kind) for kind in takes], duckdb.dtype(gives)
        engine.create_function(name, function, *types, null_handling="special" if special else "default")
    engine.execute("""
        create macro monthly_series(position, x) as
            own_series(list({'place': cast(position as bigint), 'value': cast(x as double)})),
            (position, x, wanted) as
            own_series(list({'place': case when wanted then cast(position as bigint) end, 'value': cast(x as double)}));
        create macro exact_products(one, other) as
            own_products(list(cast(one as double[])), list(cast(other as double[])));
        create macro series_sums(position, x) as
            own_series_sums(list({'place': cast(position as bigint), 'value': cast(x as double)}));
        create macro pair_sums(one, other, lines, columns) as
            own_pair_sums(list(cast(one as double[])), list(cast(other as double[])), lines, columns);
        create macro list_sums(x, length) as own_list_sums(list(cast(x as double[])), max(length)),
            (x, length, wanted) as
            coalesce(own_list_sums(list(cast(x as double[])) filter (where wanted), max(length)), []);
        create macro list_products(x, length) as own_list_products(list(cast(x as double[])), max(length)),
            (x, length, wanted) as
            coalesce(own_list_products(list(cast(x as double[])) filter (where wanted), max(length)), []);
        create macro array_min(values) as list_min(values);
        create macro array_max(values) as list_max(values)""")
    names = [f"x{at}" for at in range(MOST_NUMBERS)]
    lists = (f"({', '.join(names[:length])}) as [{', '.join(names[:length])}]" for length in range(1, MOST_NUMBERS + 1))
    engine.execute(f"create macro numbers{', '.join(lists)}")


def in_order(files):
    """The windows, each after those that it reads."""
    ordered = []
    while len(ordered) < len(files):
        names = {file.stem for file in files} - {file.stem for file in ordered}
        ready = [file for file in files if file.stem in names]
        ordered += [file for file in ready if not names & set(re.findall(r"windows\.(\w+)", file.read_text()))]
    return ordered


def models(layer):
    return sorted((ROOT / "sql" / layer).glob("*.sql"))


def run_model(engine, sql, parameters):
    """Runs a file of the project, with the parameters that it names."""
    for ours, theirs in DIALECT:
        sql = re.sub(ours, theirs, sql)
    names = set(re.findall(r"\$(\w+)", re.sub(r"--.*", "", sql)))
    return engine.execute(sql, {name: parameters[name] for name in names})


def resolution(times, known_until):
    """First contacts that can be judged, of a customer at a touchpoint, and those of them that no other followed."""
    week = timedelta(7)
    judged = {at for at in times if utc(AS_OF - 2) <= at < utc(AS_OF + 1) and at + week <= known_until}
    firsts = [at for at in judged if not any(at - week <= other < at for other in times)]
    return len(firsts), sum(sum(at <= other <= at + week for other in times) == 1 for at in firsts)


def programme_cost(starts, ends, monthly, once):
    """What a programme costs in the last twelve months, day by day."""
    cost = Fraction(0)
    for month in range(AS_OF - 11, AS_OF + 1):
        year, number = month // 12, month % 12 + 1
        days = [date(year, number, day + 1) for day in range(monthrange(year, number)[1])]
        cost += Fraction(monthly or 0) * sum(starts <= day <= (ends or day) for day in days) / len(days)
        cost += Fraction(once or 0) * (starts in days)
    return cost


def direct_numbers(engine, parameters):
    """Published numbers, by (metric, window, segment), straight from the staged rows: Python sums, no SQL."""

    def rows(columns, source):
        return engine.execute(f"select {columns} from staging.{source}").fetchall()

    lines, answers, matters = defaultdict(list), defaultdict(list), defaultdict(list)
    came, service, judged = defaultdict(lambda: math.inf), Fraction(0), defaultdict(list)
    for customer, month, amount in rows("customer_id, month, amount", "sales"):
        lines[customer].append((AS_OF - month, amount))
        came[customer] = min(came[customer], month)
    for customer, month, nps, cost in rows("customer_id, month, nps, service_cost", "interactions"):
        if customer is not None and nps is not None:
            answers[customer].append((AS_OF - month, (nps >= 9) - (nps <= 6)))
        came[customer] = min(came[customer], month)
        service += Fraction(cost or 0) * (month > AS_OF - 12 and customer is not None)
    for customer, touchpoint, at in rows("customer_id, touchpoint, occurred_at", "contacts"):
        matters[customer, touchpoint].append(at)
    for (customer, _), times in matters.items():
        judged[customer].append(resolution(times, parameters["known_until"]))
    segment_of, costs = dict(rows("customer_id, segment", "customers")), {}
    for customer, month, cost in rows("customer_id, acquired_month, acquisition_cost", "customers"):
        if cost is not None and AS_OF - 11 <= (came[customer] if month is None else month) <= AS_OF:
            costs[customer] = Fraction(cost)
    programmes = rows("starts_on, ends_on, cost_per_month, one_off_cost", "initiatives")
    history = AS_OF + 1 - parameters["history_from"]
    members = defaultdict(set)
    for customer in [*lines, *answers, *costs, *judged, *segment_of]:
        members["(all)"].add(customer)
        if customer is not None:
            name = segment_of.get(customer)
            members["(unknown)" if name is None else name].add(customer)

    # Windows are ages: months before the reported one, first and last.
    def spent(customer, first, last):
        return sum((amount for age, amount in lines[customer] if first <= age <= last), Decimal(0))

    def active(customers, first, last=math.inf):
        def bought(customer):
            return any(first <= age <= last and amount > 0 for age, amount in lines[customer])

        return {customer for customer in customers if customer is not None and bought(customer)}

    numbers = {}
    for segment, customers in members.items():

        def put(metric, window, months, value):
            numbers[metric, window, segment] = value if history >= months else None

        for window, months in (("MONTH", 1), ("T3M", 3), ("T12M", 12)):
            amounts = [spent(customer, 0, months - 1) for customer in customers]
            put("revenue", window, months, sum(amounts, Decimal(0)))
        now, base, ever = active(customers, 0, 2), active(customers, 3, 5), active(customers, 3)
        put("retained_customers", "T3M", 6, len(base & now))
        put("churned_customers", "T3M", 6, len(base - now))
        put("new_customers", "T3M", 6, len(now - ever))
        put("reactivated_customers", "T3M", 6, len(now & ever - base))
        put("retention", "T3M", 6, len(base & now) / len(base) if base else None)

        now, base, ever = active(customers, 0, 5), active(customers, 6, 11), active(customers, 6)
        after = {customer: spent(customer, 0, 5) for customer in customers}
        before = {customer: spent(customer, 6, 11) for customer in customers}
        parts = {
            "base": before.values(),
            "churned": [before[customer] for customer in base - now],
            "expansion": [max(after[customer] - before[customer], 0) for customer in base & now],
            "contraction": [max(before[customer] - after[customer], 0) for customer in base & now],
            "new": [after[customer] for customer in now - ever],
            "reactivated": [after[customer] for customer in now & ever - base],
            "residual": [after[customer] for customer in customers - now]
            + [-before[customer] for customer in customers - base],
            "current": after.values(),
        }
        for part, amounts in parts.items():
            put(part, "T6M", 12, sum(amounts, Decimal(0)))
        kept = sum((max(min(after[customer], before[customer]), 0) for customer in base), Decimal(0))
        keepable = sum((max(before[customer], 0) for customer in base), Decimal(0))
        put("grr", "T6M", 12, float(kept) / float(keepable) if keepable else None)
        for window, first in (("T3M", 0), ("T3M_prev", 3)):
            scores = [score for customer in customers for age, score in answers[customer] if first <= age <= first + 2]
            put("nps", window, first + 3, 100 * sum(scores) / len(scores) if scores else None)
        contacts = [counts for customer in customers & judged.keys() for counts in judged[customer]]
        first, resolved = (sum(counts[part] for counts in contacts) for part in (0, 1))
        put("first_contact_resolution", "T3M", 3, resolved / first if first else None)
        won = [costs[customer] for customer in customers & costs.keys()]
        put("cac", "T12M", 12, float(sum(won) / len(won)) if won else None)
        if segment == "(all)":
            stayed = len(active(customers, 0, 11) & active(customers, 12, 23))
            cost = service + sum(programme_cost(*programme) for programme in programmes)
            value = float(sum(won) / len(won) / (cost / stayed)) if won and stayed and service > 0 else None
            put("acquisition_to_retention_cost", "T12M", 24, value)
    return numbers


# The comparison.


class Comparison:
    """Counts what was compared and prints what differs."""

    def __init__(self):
        self.tables, self.cells, self.mismatches = 0, 0, 0

    def differs(self, seed, what, one, other):
        self.mismatches += 1
        print(f"lake {seed}: {what}: cxroi {one}, peer {other}; replay: compare.py --lakes 1 --seed {seed} --keep DIR")

    def cell(self, seed, what, one, other, centred=False):
        self.cells += 1
        if one is None or other is None:
            same = one is other
        elif isinstance(other, list) and not any(isinstance(element, str) for element in other):
            # Sums of centred numbers may be nothing beside the others of the list.
            size = max(map(abs, other), default=0.0) * 1e-9 if centred else 0.0
            close = lambda a, b: a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=size)
            same = len(one) == len(other) and all(map(close, one, other))
        elif isinstance(other, float):
            # A mean of changes may be nothing but what doubles lose of thirds.
            same = math.isclose(float(one), other, rel_tol=1e-9, abs_tol=1e-14 if centred else 0.0)
        else:
            same = one == other
        if not same:
            self.differs(seed, what, one, other)

    def table(self, seed, name, ours, columns, theirs, grain, centred):
        """Rows of `cxroi` (mappings without their nulls) and of DuckDB (sequences), both in order."""
        self.tables += 1
        theirs = [dict(zip(columns, row)) for row in theirs]
        rows = [{tuple(row.get(key) for key in grain): row for row in side} for side in (ours, theirs)]
        if [*rows[0]] != [*rows[1]] or len(ours) != len(theirs):
            only = [sorted(map(str, rows[side].keys() - rows[1 - side].keys())) for side in (0, 1)]
            sizes = [f"{len(side)} rows, alone {keys}" for side, keys in zip((ours, theirs), only)]
            self.differs(seed, f"{name}, the rows or their order", *sizes)
        for unknown in {key for row in ours for key in row} - set(columns):
            self.differs(seed, f"{name}.{unknown}, a column", "has it", "does not")
        for key in rows[0].keys() & rows[1].keys():
            for column_name in columns:
                pair = (row[key].get(column_name) for row in rows)
                self.cell(seed, f"{name} {key} {column_name}", *pair, centred)


def call(cxroi, *arguments):
    """Standard output of `cxroi`, which must succeed."""
    done = subprocess.run([cxroi, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"`cxroi {arguments[0]}` exits with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def ask(cxroi, folder, *query):
    text = call(cxroi, "sql", "--config", folder / "cxroi.toml", "--format", "json", *query)
    return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]


def compare(comparison, cxroi, seed, folder):
    parameters = make_lake(random.Random(seed), folder)
    call(cxroi, "run", "--config", folder / "cxroi.toml", "--period", "2024-12")
    engine = second_engine(folder, parameters)
    for file in [*models("facts"), *models("windows"), *models("measures")]:
        sql = file.read_text()
        if file.stem.endswith("_errors"):
            continue  # reads what a run fitted to the sums; functions/stats holds its errors against statsmodels
        layer = file.parent.name
        grain = re.search(r"^-- grain: (.+)$", sql, re.MULTILINE)[1].split(", ")
        if layer == "measures":
            theirs, ours = run_model(engine, sql, parameters), ask(cxroi, folder, "-f", file)
        else:
            query = f"select * from {layer}.{file.stem} order by {', '.join(grain)}"
            theirs, ours = engine.execute(query), ask(cxroi, folder, "-c", query)
        times = [name for name, kind, *_ in theirs.description if str(kind) in ("TIMESTAMP", "DATETIME")]
        for row, name in ((row, name) for row in ours for name in times if name in row):
            row[name] = datetime.fromisoformat(row[name]).replace(tzinfo=None)
        columns = [column[0] for column in theirs.description]
        comparison.table(seed, f"{layer}/{file.stem}", ours, columns, theirs.fetchall(), grain, "exact_products" in sql)

    published = {}
    for table, value in (("estimates", "value"), ("money", "amount")):
        path = folder / f"out/summaries/{table}/period=2024-12/{table}.parquet"
        rows = engine.execute(
            f"select metric, \"window\", segment, {value} from '{path}' where section in ('kpi', 'bridge')"
        )
        published[table] = defaultdict(set)
        for *key, number in rows.fetchall():
            published[table][*key].add(number)
        comparison.tables += 1
    direct = direct_numbers(engine, parameters)
    metrics = {key[0] for key in direct}
    for key in sorted({key for key in published["estimates"] if key[0] in metrics} | direct.keys()):
        want, found = direct.get(key), published["estimates"].get(key, {None})
        if key not in published["estimates"] and not want:
            continue  # a segment without such rows is not published
        if isinstance(want, Decimal):
            for amount in published["money"].get(key, {None}):
                comparison.cell(seed, f"money {key}", amount, want)
            want = float(want)
        for value in found:
            comparison.cell(seed, f"estimates {key}", value, want)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lakes", type=int, default=20, help="how many lakes (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="the first lake's seed; the next ones follow (default 1)")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--cxroi", type=Path, default=target / "debug/cxroi", help="the binary to test")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave lakes and outputs in DIR/<seed>")
    arguments = parser.parse_args()

    comparison = Comparison()
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(arguments.seed, arguments.seed + arguments.lakes):
            folder = (arguments.keep or Path(temporary)).resolve() / str(seed)
            folder.mkdir(parents=True)
            try:
                compare(comparison, arguments.cxroi, seed, folder)
            except (RuntimeError, duckdb.Error, subprocess.TimeoutExpired) as error:
                comparison.differs(seed, "could not be compared", error, "-")
    counts = f"{comparison.tables} tables, {comparison.cells} cells compared, {comparison.mismatches} mismatches"
    print(f"{arguments.lakes} lakes, {counts}")
    if comparison.cells == 0:
        sys.exit("nothing was compared")
    sys.exit(1 if comparison.mismatches else 0)


if __name__ == "__main__":
    main()
