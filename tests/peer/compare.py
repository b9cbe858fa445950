#!/usr/bin/env python3
"""A second engine agrees: random small lakes through `cxroi` and through DuckDB, compared number by number.

    compare.py [--lakes 20] [--seed 1] [--cxroi target/debug/cxroi] [--keep DIR]

Each lake is run with `cxroi run --period 2024-12`. DuckDB stages the same files by its own statement of the input
contract, then runs the very text of `sql/facts`, `sql/windows` and `sql/measures`. All their rows must be equal: whole
numbers and decimals to the last digit, doubles within 1e-9. The published revenue, bridge, retention and NPS are also
held against plain Python over the staged rows, which shares no SQL with the project.

Prints a line a mismatch and a summary; exits with 1 on a mismatch, or if there was nothing to compare. `--keep DIR`
leaves lake, configuration and output in DIR/<seed>. Needs the Python packages duckdb and pyarrow.
"""

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
ROME = ZoneInfo("Europe/Rome")
AS_OF = 2024 * 12 + 11
PARAMETERS = {
    "as_of": AS_OF,
    "currency": "EUR",
    "default_margin_rate": Decimal("0.350000"),
    "ces_higher_is_better": True,
    "winsor_quantile": Decimal("0.990000"),
}

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
}
CONTRACT = {source: dict(column.split() for column in text.split(", ")) for source, text in CONTRACT.items()}
SCALES = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
TIME = {"interactions": "occurred_at", "sales": "ordered_at"}
REQUIRED = {
    "interactions": ["occurred_at"],
    "sales": ["order_id", "ordered_at", "amount"],
    "customers": ["customer_id"],
}
IDENTITY = {"interactions": ["interaction_id"], "sales": ["order_id", "line_id"], "customers": ["customer_id"]}


# A random lake.

SECOND, HOUR = 10**9, 3600 * 10**9
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
    elif pa.types.is_floating(data_type) or pa.types.is_integer(data_type):
        read = float if pa.types.is_floating(data_type) else int
        values = [None if value is None else read(value) for value in values]
    return pa.array(values, data_type)


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
    for name, part in parts.items():
        columns = {}
        for key, choices in types.items():
            values = [row.get(key) for row in part]
            optional = key not in ("customer_id", "order_id", "ordered_at", "occurred_at", "amount")
            absent = optional and all(value is None for value in values) and rng.random() < 0.5
            if choices and not absent:
                columns[key] = column(values, rng.choice(choices))
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, row_group_size=rng.choice([7, 1000]))


def with_copies(rng, rows, changes):
    """Adds exact copies of some rows, and copies in which one column differs."""
    copies = [dict(row) for row in rows if rng.random() < 0.03]
    for row in [row for row in rows if rng.random() < 0.02]:
        key = rng.choice(list(changes))
        copies.append({**row, key: changes[key]()})
    return rows + copies


def make_lake(rng, folder):
    """Writes a lake with its configuration; the parameters that the configuration makes of the SQL."""
    first = AS_OF + 1 - rng.randint(3, 26)
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

    # Both feeds reach the end of the reported month, and a little of the next.
    ends = [start(AS_OF + 1) - rng.choice([1, SECOND, HOUR, 60 * HOUR])]
    ends += [start(AS_OF + 1) + rng.choice([0, 1, HOUR, 400 * HOUR]) for _ in range(rng.randint(1, 4))]

    types = {"customer_id": id_type, "order_id": text, "ordered_at": times, "amount": moneys, "margin": moneys}
    types |= {"category": text, "currency": text, "line_id": text if identified else []}
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
    sources = ["sales"]

    if rng.random() < 0.85:
        scores = rng.choice([[pa.int8()], [pa.int64()], [pa.float64()], [pa.int8(), pa.int64()]])
        answers = [*range(11), 9, 10, -1, 11, 99] + ([7.5, 10.5, -0.5] if scores == [pa.float64()] else [])
        consents = rng.choice([[None], [True, True, True, False, None]])
        types = {"customer_id": id_type, "occurred_at": times, "channel": text, "nps": scores, "service_cost": moneys}
        types |= {"consent": [pa.bool_()], "interaction_id": text if identified else []}
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

        touches = [{"customer_id": anyone(), "occurred_at": at, "nps": rng.randint(0, 10)} for at in ends]
        touches = [row | {"consent": consents[0]} for row in touches]
        for n, (month, customer) in enumerate(visits([1, 1, 2, 4])):
            row = {"customer_id": customer, "occurred_at": touch_at(customer, month), "channel": sparse("phone")}
            row |= {"nps": sparse(rng.choice(answers), 0.6), "consent": rng.choice(consents)}
            row |= {name: sparse(rng.choice([*answers, *range(1, 8)]), 0.4) for name in ("csat", "ces")}
            row |= {"service_cost": sparse(abs(money(rng, unit, 30)), 0.4), "interaction_id": sparse(f"i{n}", 0.9)}
            row |= {"response_seconds": some_seconds(0.3), "task_seconds": some_seconds(0.3)}
            row |= {name: sparse(rng.random() < 0.4, 0.4) for name in flags}
            row |= {"session_seconds": some_seconds(0.1)}
            if rng.random() < 0.5:
                row |= {"pages_viewed": rng.choice([0, 1, rng.randint(2, 40)]), "session_seconds": some_seconds(0.8)}
                row["converted"] = sparse(rng.random() < 0.3, decided)
            touches.append(row)
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

    if rng.random() < 0.8:
        segments = rng.sample(["Retail", "b2b", "È", "", 'O\'Neil, "x"'], rng.randint(1, 4))
        known = [customer for customer in ids if rng.random() < 0.85] + ["999"]
        customers = [{"customer_id": customer, "segment": sparse(rng.choice(segments), 0.85)} for customer in known]
        customers = [row | {"referred": sparse(rng.random() < 0.4, 0.8)} for row in customers]
        changes = {"segment": lambda: rng.choice(segments), "referred": lambda: rng.choice([None, False, True])}
        customers = with_copies(rng, customers, changes)
        types = {"customer_id": id_type, "segment": text, "referred": [pa.bool_()] if rng.random() < 0.8 else []}
        write(rng, folder / "customers", customers, types)
        sources.append("customers")

    lines = ['timezone = "Europe/Rome"', 'currency = "EUR"', 'output.url = "out/"', "guards.enabled = false"]
    lines += ["privacy.min_customers = 0", *(f'lake.{source} = "{source}/"' for source in sources)]
    parameters = dict(PARAMETERS)
    if rng.random() < 0.4:
        quantile = Decimal(rng.choice(["0.500000", "0.900000", "0.995000", "1.000000"]))
        parameters |= {"ces_higher_is_better": False, "winsor_quantile": quantile}
        lines += ["method.ces_higher_is_better = false", f"method.winsor_quantile = {quantile}"]
    (folder / "cxroi.toml").write_text("\n".join(lines) + "\n")
    return parameters


# The second engine.


def local_month(at):
    local = datetime.fromtimestamp(at // SECOND, ROME)
    return local.year * 12 + local.month - 1


def typed(source, name, found):
    """The contract value of a column as DuckDB finds it in a file, or null where it is absent."""
    kind = CONTRACT[source][name]
    if name not in found:
        return f"cast(null as {kind}) as {name}"
    value = name
    if kind == "timestamp":
        # Whole microseconds that have passed: DuckDB's own cast from nanoseconds rounds into the next month.
        zoned = "WITH TIME ZONE" in found[name] or "TIMESTAMPTZ" in found[name]
        value = f"timezone('UTC', {name})" if zoned else name
        value = f"make_timestamp(epoch_ns({value}) // 1000)"
    elif name in SCALES:
        low, high = SCALES[name]
        value = f"case when {name} between {low} and {high} and {name} = floor({name}) then {name} end"
    elif kind == "varchar":
        value = f"nullif(cast({name} as varchar), '')"
    return f"try_cast({value} as {kind}) as {name}"


def stage(engine, folder, source):
    """Makes staging.<source>: typed, usable, each identity once a local month, from the first sale's month on."""
    columns = CONTRACT[source]
    selects = ["select " + ", ".join(typed(source, name, {}) for name in columns) + " limit 0"]
    for path in sorted((folder / source).rglob("*.parquet")):
        file = f"read_parquet('{path}', hive_partitioning = false)"
        found = dict(row[:2] for row in engine.execute(f"describe select * from {file}").fetchall())
        selects.append("select " + ", ".join(typed(source, name, found) for name in columns) + f" from {file}")
    usable = [f"{name} is not null" for name in REQUIRED[source]]
    usable += ["consent is distinct from false"] if "consent" in columns else []
    time = TIME.get(source, "cast(null as timestamp)")
    local = f"timezone('Europe/Rome', timezone('UTC', {time}))"
    month = f"cast(year({local}) * 12 + month({local}) - 1 as integer)"
    identity = ", ".join(IDENTITY[source])
    anonymous = " or ".join(f"{name} is null" for name in IDENTITY[source])
    order = ", ".join(f"{name} asc nulls last" for name in columns)
    engine.execute(f"""
        create table staging.{source} as
        with typed as ({' union all '.join(f'({select})' for select in selects)}),
        usable as (select *, {month} as month from typed where {' and '.join(usable)}),
        numbered as (select *, row_number() over (partition by {identity}, month order by {order}) as copy from usable)
        select {', '.join(columns)}, month from numbered where copy = 1 or {anonymous}""")
    if source in TIME:
        first = "(select min(month) from staging.sales)"
        engine.execute(f"delete from staging.{source} where month > {AS_OF} or month < {first}")


def second_engine(folder, parameters):
    """DuckDB with the staged lake, and the facts and windows of the project's own SQL."""
    engine = duckdb.connect(config={"threads": 1})
    engine.execute("set timezone = 'UTC'; create schema staging; create schema facts; create schema windows")
    engine.execute("create macro exact_sum(x) as fsum(x)")
    for source in ("sales", "interactions", "customers"):
        stage(engine, folder, source)
    for layer in ("facts", "windows"):
        for file in models(layer):
            run_model(engine, f"create table {layer}.{file.stem} as {file.read_text()}", parameters)
    return engine


def models(layer):
    return sorted((ROOT / "sql" / layer).glob("*.sql"))


def run_model(engine, sql, parameters):
    """Runs a file of the project as it is, with the parameters that it names."""
    names = set(re.findall(r"\$(\w+)", re.sub(r"--.*", "", sql)))
    return engine.execute(sql, {name: parameters[name] for name in names})


def direct_numbers(engine):
    """Published numbers, by (metric, window, segment), straight from the staged rows: Python sums, no SQL."""
    lines, answers = defaultdict(list), defaultdict(list)
    sales = engine.execute("select customer_id, month, amount from staging.sales").fetchall()
    for customer, month, amount in sales:
        lines[customer].append((AS_OF - month, amount))
    scores = engine.execute("select customer_id, month, nps from staging.interactions").fetchall()
    for customer, month, nps in scores:
        if customer is not None and nps is not None:
            answers[customer].append((AS_OF - month, (nps >= 9) - (nps <= 6)))
    segment_of = dict(engine.execute("select customer_id, segment from staging.customers").fetchall())
    history = AS_OF + 1 - min(month for _, month, _ in sales)
    members = defaultdict(set)
    for customer in [*lines, *answers]:
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
    return numbers


# The comparison.


class Comparison:
    """Counts what was compared and prints what differs."""

    def __init__(self):
        self.tables, self.cells, self.mismatches = 0, 0, 0

    def differs(self, seed, what, one, other):
        self.mismatches += 1
        print(f"lake {seed}: {what}: cxroi {one}, peer {other}; replay: compare.py --lakes 1 --seed {seed} --keep DIR")

    def cell(self, seed, what, one, other):
        self.cells += 1
        if one is None or other is None:
            same = one is other
        elif isinstance(other, float):
            same = math.isclose(float(one), other, rel_tol=1e-9)
        else:
            same = one == other
        if not same:
            self.differs(seed, what, one, other)

    def table(self, seed, name, ours, columns, theirs, grain):
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
                self.cell(seed, f"{name} {key} {column_name}", rows[0][key].get(column_name), rows[1][key][column_name])


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
        layer = file.parent.name
        grain = re.search(r"^-- grain: (.+)$", file.read_text(), re.MULTILINE)[1].split(", ")
        if layer == "measures":
            theirs, ours = run_model(engine, file.read_text(), parameters), ask(cxroi, folder, "-f", file)
        else:
            query = f"select * from {layer}.{file.stem} order by {', '.join(grain)}"
            theirs, ours = engine.execute(query), ask(cxroi, folder, "-c", query)
        times = [name for name, kind, *_ in theirs.description if str(kind) in ("TIMESTAMP", "DATETIME")]
        for row, name in ((row, name) for row in ours for name in times if name in row):
            row[name] = datetime.fromisoformat(row[name]).replace(tzinfo=None)
        columns = [column[0] for column in theirs.description]
        comparison.table(seed, f"{layer}/{file.stem}", ours, columns, theirs.fetchall(), grain)

    published = {}
    for table, value in (("estimates", "value"), ("money", "amount")):
        path = folder / f"out/summaries/{table}/period=2024-12/{table}.parquet"
        rows = engine.execute(
            f"select metric, \"window\", segment, {value} from '{path}' where section in ('kpi', 'bridge')"
        )
        published[table] = {row[:3]: row[3] for row in rows.fetchall()}
        comparison.tables += 1
    direct = direct_numbers(engine)
    metrics = {key[0] for key in direct}
    for key in sorted({key for key in published["estimates"] if key[0] in metrics} | direct.keys()):
        want, found = direct.get(key), published["estimates"].get(key)
        if key not in published["estimates"] and not want:
            continue  # a segment without such rows is not published
        if isinstance(want, Decimal):
            comparison.cell(seed, f"money {key}", published["money"].get(key), want)
            want = float(want)
        comparison.cell(seed, f"estimates {key}", found, want)


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
