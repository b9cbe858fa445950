#!/usr/bin/env python3
"""The same facts by other engines, and whether they are the same.

    peers.py duckdb LAKE OUT THREADS MONTH...  makes OUT/<table>/<month>.parquet with DuckDB from the text of sql/facts
    peers.py polars LAKE OUT THREADS MONTH...  the same with queries written for Polars, in its streaming engine
    peers.py compare FACTS OUT PEER MONTH...   holds what `cxroi` wrote against a peer's; exits with 1 on a difference

Months as 2024-12. An engine prints its seconds as JSON, without the start of Python: all of them, those of the look for
second copies, and those of each table. Each engine loads what it needs itself, as its memory is measured.
"""

import json
import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "sql/facts").glob("*.sql"))
# The input contract is the one that tests/peer/compare.py states. It loads other packages: a process of its own.
NAMES = ["CONTRACT", "IDENTITY", "REQUIRED", "SCALES", "TIME", "PARAMETERS"]
ASK = f"import json, compare; print(json.dumps([getattr(compare, name) for name in {NAMES}], default=float))"
STATED = json.loads(subprocess.check_output([sys.executable, "-c", ASK], cwd=ROOT / "tests/peer"))
CONTRACT, IDENTITY, REQUIRED, SCALES, TIME, PARAMETERS = STATED


def ordinal(month):
    """2024-12 as the number that facts carry."""
    return int(month[:4]) * 12 + int(month[5:]) - 1


def first_day(number):
    return f"{number // 12}-{number % 12 + 1:02}-01"


class DuckDB:
    """Runs the text of the project's files on views of the lake."""

    def __init__(self, threads):
        import duckdb

        self.engine = duckdb.connect(config={"threads": threads})
        self.engine.execute("set timezone = 'UTC'; create schema staging")

    def open(self, source, files, month):
        """Makes staging.<source> of a month, typed and usable. Second copies are dropped only if there are any."""
        file, identity = f"read_parquet('{files}', hive_partitioning = false)", ", ".join(IDENTITY[source])
        found = {row[0] for row in self.engine.execute(f"describe select * from {file}").fetchall()}
        values = []
        for name, kind in CONTRACT[source].items():
            value = name if name in found else "null"
            if name in found and name in SCALES:
                value = f"case when {name} between {SCALES[name][0]} and {SCALES[name][1]} then {name} end"
            elif name in found and kind == "varchar":
                value = f"nullif({name}, '')"
            values.append(f"cast({value} as {kind}) as {name}")
        usable = [f"{name} is not null" for name in REQUIRED[source]]
        usable += [f"{TIME[source]} >= timestamp '{first_day(month)}'"]
        usable += [f"{TIME[source]} < timestamp '{first_day(month + 1)}'"]
        usable += ["consent is distinct from false"] if "consent" in found else []
        rows = f"select {', '.join(values)}, cast({month} as integer) as month from {file} where {' and '.join(usable)}"
        view = f"create or replace view staging.{source} as"
        self.engine.execute(f"{view} {rows}")
        known = " and ".join(f"{name} is not null" for name in IDENTITY[source])
        look = f"select count(*) - count(distinct ({identity})) from staging.{source} where {known}"
        if self.engine.execute(look).fetchone()[0] > 0:
            order = ", ".join(f"{name} asc nulls last" for name in CONTRACT[source])
            numbered = f"select *, row_number() over (partition by {identity} order by {order}) as copy from ({rows})"
            self.engine.execute(f"{view} select * exclude (copy) from ({numbered}) where copy = 1 or not ({known})")

    def write(self, table, sql, path):
        for name in set(re.findall(r"\$(\w+)", sql)):
            value = PARAMETERS[name]
            sql = sql.replace(f"${name}", f"'{value}'" if isinstance(value, str) else str(value))
        # Parquet has no 128-bit integers, which sums of integers are here: they would become doubles.
        kinds = self.engine.execute(f"describe {sql}").fetchall()
        wide = ", ".join(f"cast({row[0]} as bigint) as {row[0]}" for row in kinds if row[1] == "HUGEINT")
        sql = f"select * replace ({wide}) from ({sql})" if wide else sql
        self.engine.execute(f"copy ({sql}) to '{path}' (format parquet, compression zstd, compression_level 1)")


class Polars:
    """A method for each table of sql/facts."""

    def __init__(self, threads):
        global pl
        os.environ["POLARS_MAX_THREADS"] = str(threads)
        import polars as pl

        self.types = {"varchar": pl.String, "bigint": pl.Int64, "boolean": pl.Boolean, "double": pl.Float64}
        self.types |= {"timestamp": pl.Datetime("us"), "decimal(20,4)": pl.Decimal(20, 4)}
        self.types |= {"decimal(20,6)": pl.Decimal(20, 6)}

    def open(self, source, files, month):
        """Sets self.<source> of a month, typed and usable. Second copies are dropped only if there are any."""
        file, identity = pl.scan_parquet(files, hive_partitioning=False), IDENTITY[source]
        found = file.collect_schema()
        values = [pl.lit(month, pl.Int32).alias("month")]
        for name, kind in CONTRACT[source].items():
            value = pl.col(name) if name in found else pl.lit(None)
            if name in found and name in SCALES:
                value = pl.when(value.is_between(*SCALES[name])).then(value)
            elif name in found and kind == "varchar":
                value = pl.when(value != "").then(value)
            values.append(value.cast(self.types[kind]).alias(name))
        begin, end = (pl.lit(first_day(number)).str.to_datetime() for number in (month, month + 1))
        usable = [pl.col(name).is_not_null() for name in REQUIRED[source]]
        usable += [pl.col(TIME[source]) >= begin, pl.col(TIME[source]) < end]
        usable += [pl.col("consent").ne_missing(False)] if "consent" in found else []
        rows = file.filter(*usable).select(values)
        known = pl.all_horizontal(pl.col(identity).is_not_null())
        copies = rows.filter(known).group_by(identity).len().select(pl.sum("len") - pl.len())
        if copies.collect(engine="streaming").item() > 0:
            ordered = rows.filter(known).sort(list(CONTRACT[source]), nulls_last=True)
            rows = pl.concat([ordered.unique(identity, keep="first", maintain_order=True), rows.filter(~known)])
        setattr(self, source, rows)

    def write(self, table, sql, path):
        query = getattr(self, table, None) or sys.exit(f"peers.py has no query of Polars for sql/facts/{table}.sql")
        rows, grain, values = query()
        facts = rows.group_by(grain).agg(**values).sort(grain, nulls_last=True)
        facts.sink_parquet(path, compression="zstd", compression_level=1, engine="streaming")

    def customer_month(self):
        col, ces, visit = pl.col, pl.col("ces"), pl.col("pages_viewed").is_not_null()
        rate = pl.lit(Decimal(str(PARAMETERS["default_margin_rate"])))
        margin = pl.coalesce("margin", (col("amount") * rate).cast(self.types["decimal(20,4)"]))
        sales = self.sales.select("month", "customer_id", "ordered_at", "amount", margin.alias("margin"))
        rows = pl.concat([self.interactions, sales], how="diagonal")
        counted = """nps_responses nps, csat_responses csat, ces_responses ces, contacts service_cost,
            responded_contacts response_seconds, escalation_known escalated, sessions pages_viewed,
            task_completion_known task_completed, task_error_known task_error, task_abandonment_known task_abandoned,
            timed_tasks task_seconds, order_lines amount"""
        added = """nps_sum nps, csat_sum csat, ces_sum ces, service_cost service_cost, response_seconds response_seconds, escalated escalated,
            pages_viewed pages_viewed, tasks_completed task_completed, tasks_with_error task_error,
            tasks_abandoned task_abandoned, task_seconds task_seconds, revenue amount, margin margin"""
        values = {name: col(of).count() for name, of in map(str.split, counted.split(","))}
        values |= {name: col(of).sum() for name, of in map(str.split, added.split(","))}
        values |= {
            "interactions": pl.len() - col("amount").count(),
            "nps_promoters": (col("nps") >= 9).sum(),
            "nps_detractors": (col("nps") <= 6).sum(),
            "csat_top2": (col("csat") >= 4).sum(),
            "ces_top3": (ces >= 5 if PARAMETERS["ces_higher_is_better"] else ces <= 3).sum(),
            "timed_sessions": (visit & col("session_seconds").is_not_null()).sum(),
            "session_seconds": pl.when(visit).then("session_seconds").sum(),
            "conversion_known": (visit & col("converted").is_not_null()).sum(),
            "converted": (visit & col("converted")).sum(),
            "positive_lines": (col("amount") > 0).sum(),
            "first_ordered_at": pl.when(col("amount") > 0).then("ordered_at").min(),
        }
        return rows, ["month", "customer_id"], values

    def order_month(self):
        rows, positive = self.sales.filter(pl.col("customer_id").is_not_null()), pl.col("amount") > 0
        values = {"ordered_at": pl.when(positive).then("ordered_at").min(), "positive_lines": positive.sum()}
        return rows, ["month", "customer_id", "order_id", "category"], values | {"revenue": pl.col("amount").sum()}

    def session(self):
        rows = self.interactions.filter(pl.col("pages_viewed").is_not_null(), pl.col("customer_id").is_not_null())
        start = pl.date(pl.col("month") // 12, pl.col("month") % 12 + 1, 1).cast(pl.Datetime("us"))
        values = {"sessions": pl.len(), "undecided_sessions": pl.col("converted").null_count()}
        undecided = pl.col("converted").is_null().any().over("month")
        kept = undecided | (pl.col("occurred_at") < start + pl.duration(hours=38))
        return rows.filter(kept), ["month", "customer_id", "occurred_at"], values

    def customer_driver_month(self):
        scores = ["nps", "csat", "ces"]
        values = {f"{score}_responses": pl.col(score).count() for score in scores}
        values |= {f"{score}_sum": pl.col(score).sum() for score in scores}
        rows = self.interactions.filter(pl.col("customer_id").is_not_null())
        return rows, ["month", "customer_id", "channel", "touchpoint", "stage"], values

    def service_contact(self):
        rows = self.interactions.filter(pl.col("service_cost").is_not_null(), pl.col("customer_id").is_not_null())
        return rows, ["month", "customer_id", "touchpoint", "occurred_at"], {"contacts": pl.len()}


def roll_up(engine, lake, out, months):
    """Makes every table of every month; the seconds that all and the parts of it took."""
    start, parts = time.perf_counter(), {}

    def timed(part, task, *arguments):
        at = time.perf_counter()
        task(*arguments)
        parts[part] = parts.get(part, 0.0) + time.perf_counter() - at

    for month in months:
        for source in ("interactions", "sales"):
            timed("copies", engine.open, source, f"{lake}/{source}/month={month}/*.parquet", ordinal(month))
        for model in MODELS:
            (out / model.stem).mkdir(parents=True, exist_ok=True)
            timed(model.stem, engine.write, model.stem, model.read_text(), out / model.stem / f"{month}.parquet")
    return {"seconds": time.perf_counter() - start, "parts": parts}


def compare(facts, out, peer, months):
    """Counts the rows compared by table; leaves with the first rows that differ."""
    import duckdb

    engine, compared = duckdb.connect(), {}
    engine.execute("set timezone = 'UTC'")
    for name in (model.stem for model in MODELS):
        if not (facts / name).is_dir():
            sys.exit(f"{name}: `cxroi` does not make this table of sql/facts; build it again")
        for month in months:
            files = [f"{facts}/{name}/month={month}/*.parquet", f"{out}/{name}/{month}.parquet"]
            ours, theirs = (f"read_parquet('{file}', hive_partitioning = false)" for file in files)
            described = [engine.execute(f"describe select * from {table}").fetchall() for table in (ours, theirs)]
            kinds, other = ({row[0]: row[1] for row in rows} for rows in described)
            if kinds.keys() != other.keys():
                sys.exit(f"{name} {month}: only one of cxroi and {peer} has {sorted(kinds.keys() ^ other.keys())}")
            if "DOUBLE" in [*kinds.values(), *other.values()]:
                sys.exit(f"{name} {month}: doubles cannot be compared exactly: cxroi {kinds}, {peer} {other}")
            different = []
            for who, one, two in (("cxroi", ours, theirs), (peer, theirs, ours)):
                only = f"select {', '.join(kinds)} from {one} except all select {', '.join(kinds)} from {two}"
                rows = engine.execute(f"select * from ({only}) order by all limit 3").fetchall()
                different += [f"only {who} has {dict(zip(kinds, map(str, row)))}" for row in rows]
            if different:
                sys.exit("\n  ".join([f"{name} {month}: cxroi and {peer} differ", *different]))
            rows = engine.execute(f"select count(*) from {ours}").fetchone()[0]
            compared[name] = compared.get(name, 0) + rows
    return compared if sum(compared.values()) > 0 else sys.exit("nothing was compared: there are no facts")


if __name__ == "__main__":
    what, one, out, extra, *months = sys.argv[1:]
    if what == "compare":
        done = compare(Path(one), Path(out), extra, months)
    else:
        done = roll_up({"duckdb": DuckDB, "polars": Polars}[what](int(extra)), one, Path(out), months)
    print(json.dumps(done))
