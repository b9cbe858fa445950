#!/usr/bin/env python3
"""A real export agrees: the Olist orders through `cxroi`, compared with DuckDB straight from the CSV files.

    compare.py FOLDER [--cxroi target/debug/cxroi] [--keep DIR]

FOLDER has the six CSV files. `cxroi.toml` and `sql/` of this folder are copied to a temporary one, with FOLDER beside
them as `data`, and `cxroi run` makes two months: 2018-08, the last that is closed, and 2017-06, whose history is short.
The queries here read the files by themselves and share no SQL with the staging files. Held against each other, to the
last digit: revenue, order lines, orders, buyers, reviews and scores by month, revenue by category and by state, what
became of each source's rows, and some published numbers. What the export cannot tell must have the status that says so.

Prints a line a mismatch, the statuses by metric, and a summary; exits with 1 on a mismatch, or if there was nothing to
compare. `--keep DIR` leaves configuration and output in DIR. Needs the Python package duckdb.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import duckdb

HERE = Path(__file__).resolve().parent
FILES = {
    "items": "olist_order_items_dataset.csv",
    "reviews": "olist_order_reviews_dataset.csv",
    "people": "olist_customers_dataset.csv",
    "orders": "olist_orders_dataset.csv",
    "products": "olist_products_dataset.csv",
    "translation": "product_category_name_translation.csv",
}
PERIODS = ["2018-08", "2017-06"]

# What is known of the sample of 15,000 orders from its own README, whatever reads it.
SAMPLE_ORDERS = 15_000
SAMPLE = {
    "items": 17_071,
    "reviews": 14_944,
    "price": Decimal("2030270.94"),
    "freight": Decimal("340292.67"),
    "scores": {1: 1701, 2: 478, 3: 1281, 4: 2887, 5: 8597},
}

# No row says anything about these. (cost_to_serve is not among them: without any cost it is a cost of 0.)
UNKNOWN = {
    *("nps", "nps_change", "ces_mean", "ces_top3", "task_success", "task_error", "task_abandonment", "task_seconds"),
    *("escalation_rate", "response_seconds", "cost_per_contact", "conversion", "pages_per_session"),
    *("seconds_per_session", "cost_to_serve", "first_contact_resolution", "cac", "ltv_to_cac", "ltv_to_cac_raw"),
    "acquisition_to_retention_cost",
}
# Months of history that a row looks back on: at least its window, and more where it compares.
WINDOWS = {"MONTH": 1, "T3M": 3, "T6M": 6, "T12M": 12}
NEEDS = {
    **{(metric, "T6M"): 12 for metric in ("nrr", "grr", "constant_customer_growth", "cross_sell_rate")},
    **{(metric, "T12M"): months for metric, months in [("repeat_rate", 12), ("revenue", 12), ("revenue_growth", 24)]},
    ("active_customers", "T12M"): 12,
    ("gross_exposure", "T12M"): 12,
    ("spend_split", None): 13,
    **{
        (metric + suffix, None): 16
        for metric in ("nps_point_value", "nps_point_value_total", "net_value_at_risk", "net_value_at_risk_total")
        for suffix in ("", "_raw")
    },
    **{(metric, "ALL"): 12 for metric in ("customer_coverage", "revenue_coverage")},
    **{(metric, "T12M"): 24 for metric in ("earned_growth", "acquisition_to_retention_cost")},
    **{(metric, "T12M"): months for metric, months in [("cac", 12), ("ltv_to_cac", 16), ("ltv_to_cac_raw", 16)]},
}
NEEDS_SECTION = {"bridge": 12, "retained_revenue": 12, "driver": 12, "asymmetry": 13, "clv": 16}
NEEDS_METHOD = {"census_yoy": 15, "first_difference": 6, "first_difference_gap5": 12}
NEEDS_METHOD |= {name: 13 for name in ("ancova", "ancova_hc1", "crude", "standardised", "fisher", "bonett_wright")}
# Below 30 rows or customers these have no interval.
GUARDED = {
    *("csat_top2", "retention", "churn", "repeat_rate", "multi_category_rate", "cross_sell_rate", "aov", "nrr", "grr"),
    "constant_customer_growth",
}
GUARD = 30


def number(month):
    """A local month as cxroi counts it."""
    return int(month[:4]) * 12 + int(month[5:]) - 1


class Comparison:
    """Counts what was compared and prints what differs."""

    def __init__(self):
        self.cells, self.mismatches = 0, 0

    def equal(self, what, one, other):
        self.cells += 1
        if isinstance(one, float) and isinstance(other, float):
            same = math.isclose(one, other, rel_tol=1e-12)
        else:
            same = one == other
        if not same:
            self.mismatches += 1
            print(f"{what}: {one}, DuckDB has {other}")

    def tables(self, what, ours, theirs, empty):
        """Two mappings; a key that one of them lacks stands for `empty`."""
        for key in sorted(ours.keys() | theirs.keys()):
            shown = f"{key // 12}-{key % 12 + 1:02}" if isinstance(key, int) else key
            self.equal(f"{what} {shown}", ours.get(key, empty), theirs.get(key, empty))


def export(folder):
    """DuckDB with `items`, `reviews` and `people`, typed by its own casts and joined to their orders. `all_items` and
    `all_reviews` have second copies as well."""
    engine = duckdb.connect()
    for name, file in FILES.items():
        options = "header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"'"
        engine.execute(f"create table csv_{name} as select * from read_csv({quoted(folder / file)}, {options})")
    # The times are local already: the first seven characters are the local month.
    engine.execute("""
        create table all_items as
        select
            cast(left(order_purchase_timestamp, 4) as integer) * 12
                + cast(substr(order_purchase_timestamp, 6, 2) as integer) - 1 as month,
            order_id,
            order_item_id as item,
            (select customer_unique_id from csv_people where customer_id = csv_orders.customer_id) as person,
            cast(price as decimal(18, 2)) as price,
            cast(freight_value as decimal(18, 2)) as freight,
            (select product_category_name from csv_products where product_id = csv_items.product_id) as portuguese,
        from csv_orders join csv_items using (order_id);
        create table all_reviews as
        select
            cast(left(review_answer_timestamp, 4) as integer) * 12
                + cast(substr(review_answer_timestamp, 6, 2) as integer) - 1 as month,
            order_id,
            review_id,
            (select customer_unique_id from csv_people where customer_id = csv_orders.customer_id) as person,
            cast(review_score as integer) as score,
        from csv_orders join csv_reviews using (order_id);
        create table items as select distinct on (order_id, item) * from all_items order by all;
        create table reviews as select distinct on (review_id, order_id) * from all_reviews order by all;
        create table people as
        select customer_unique_id as person, arg_max(customer_state, order_purchase_timestamp || order_id) as state
        from csv_orders join csv_people using (customer_id)
        group by customer_unique_id""")
    return engine


def quoted(path):
    return "'" + str(path).replace("'", "''") + "'"


def parquet(*paths):
    return f"read_parquet([{', '.join(map(quoted, paths))}], hive_partitioning = false)"


def by_key(rows):
    """Query results as a mapping from the first column to the others."""
    return {row[0]: row[1:] for row in rows}


def check_sample(comparison, engine):
    """The sample's own facts, so that a mistake of DuckDB's reader would show."""

    def one(sql):
        return engine.execute(sql).fetchall()[0][0]

    if one("select count(*) from csv_orders") != SAMPLE_ORDERS:
        return
    found = {
        "items": one("select count(*) from items"),
        "reviews": one("select count(*) from reviews"),
        "price": one("select sum(price) from items"),
        "freight": one("select sum(freight) from items"),
        "scores": dict(engine.execute("select score, count(*) from reviews group by score").fetchall()),
    }
    for name, known in SAMPLE.items():
        comparison.equal(f"the sample's README, {name}", known, found[name])


def check_facts(comparison, engine, manifest, output, period):
    """Facts by month against the export by month."""
    as_of = number(period)
    first = engine.execute("select min(month) from items").fetchall()[0][0]
    months = [record["month"] for record in manifest["facts"]]
    comparison.equal(f"{period} months", [number(month) for month in months], list(range(first, as_of + 1)))

    def ours(table, sql):
        keys = [record["tables"][table]["key"] for record in manifest["facts"]]
        return by_key(engine.execute(sql.format(parquet(*(output / key for key in keys)))).fetchall())

    def theirs(sql):
        parameters = {"as_of": as_of, "first": first}
        used = {name: value for name, value in parameters.items() if f"${name}" in sql}
        return by_key(engine.execute(sql, used).fetchall())

    found = ours(
        "customer_month",
        """select month, sum(revenue), sum(order_lines), count(*) filter (where order_lines > 0) from {}
        group by month having sum(order_lines) > 0""",
    )
    want = theirs("""
        select month, sum(price + freight), count(*), count(distinct person) from items
        where month <= $as_of group by month""")
    comparison.tables(f"{period} revenue, lines, buyers of month", found, want, (0, 0, 0))
    found = ours("order_month", "select month, count(distinct order_id) from {} group by month")
    want = theirs("""
        select month, count(distinct order_id) from items where month <= $as_of group by month""")
    comparison.tables(f"{period} orders of month", found, want, (0,))
    found = ours("order_month", "select coalesce(category, ''), sum(revenue), sum(positive_lines) from {} group by 1")
    want = theirs("""
        select coalesce(product_category_name_english, portuguese, ''), sum(price + freight), count(*)
        from items left join csv_translation on product_category_name = portuguese
        where month <= $as_of group by 1""")
    comparison.tables(f"{period} revenue, lines of category", found, want, (0, 0))
    found = ours(
        "customer_month",
        """select month, sum(interactions), sum(csat_responses), sum(csat_top2),
            count(*) filter (where interactions > 0), sum(nps_responses + ces_responses + contacts + sessions)
        from {} group by month having sum(interactions) > 0""",
    )
    want = theirs("""
        select month, count(*), count(score), count(*) filter (where score in (4, 5)), count(distinct person), 0
        from reviews where month between $first and $as_of group by month""")
    comparison.tables(f"{period} reviews, answers, top 2, reviewers, others of month", found, want, (0, 0, 0, 0, 0))


def check_rows(comparison, engine, manifest, period):
    """What became of the rows of each source, in all and by month."""
    parameters = {"as_of": number(period)}
    expected, by_month = {}, {}
    for source, table, identity, amount, before in [
        ("sales", "all_items", "(order_id, item)", "price + freight", "false"),
        ("interactions", "all_reviews", "(review_id, order_id)", "0", "month < (select min(month) from items)"),
    ]:
        copies = f"count(*) - count(distinct {identity})"
        month = engine.execute(
            f"""select month, count(*), {copies}, sum({amount}) from {table}
            where month <= $as_of and not ({before}) group by month""",
            parameters,
        )
        by_month[source] = by_key(month.fetchall())
        read, after, early = engine.execute(
            f"select count(*), count(*) filter (where month > $as_of), count(*) filter (where {before}) from {table}",
            parameters,
        ).fetchall()[0]
        rows = sum(row[0] for row in by_month[source].values())
        copies = sum(row[1] for row in by_month[source].values())
        expected[source] = {
            **{"read": read, "rows": rows, "used": rows - copies, "duplicate": copies, "rejected": 0, "no_consent": 0},
            "amount": sum((row[2] for row in by_month[source].values()), Decimal(0)),
            "outside": {"undated": 0, "before": early, "after": after, "future": 0},
        }
    (people,) = engine.execute("select count(distinct customer_unique_id) from csv_people").fetchall()[0]
    expected["customers"] = {"read": people, "rows": people, "used": people, "duplicate": 0, "rejected": 0}
    for source, counts in expected.items():
        found = manifest["rows"][source]
        for name, want in counts.items():
            value = Decimal(found[name]) if name == "amount" else found[name]
            comparison.equal(f"{period} manifest, {source} {name}", value, want)
    for source, months in by_month.items():
        found = {}
        for record in manifest["facts"]:
            counts = record["sources"][source]
            if counts["rows"] > 0:
                found[number(record["month"])] = (counts["rows"], counts["duplicate"], Decimal(counts["amount"]))
        comparison.tables(f"{period} manifest, rows, copies, amount of {source} in month", found, months, (0, 0, 0))
    return expected


def check_staged(comparison, engine, cxroi, config):
    """Every review as staged, also those after the reported month: facts keep no sum of scores."""
    columns = "month, count(*) as answers, sum({}) as total"
    sql = f"select {columns.format('csat')} from staging.interactions where csat is not null group by month"
    text = call(cxroi, "sql", "--config", config, "--format", "json", "-c", sql)
    found = by_key(tuple(json.loads(line).values()) for line in text.splitlines())
    want = by_key(engine.execute(f"select {columns.format('score')} from reviews group by month").fetchall())
    comparison.tables("staged answers, sum of scores of month", found, want, (0, 0))


def check_published(comparison, engine, output, rows, expected, period):
    """Published numbers straight from the export."""
    as_of = number(period)
    plain = [row for row in rows if row["method"] != "census_yoy" and row["outcome"] is None]
    found = {(row["metric"], row["window"], row["segment"]): row for row in plain}
    (first,) = engine.execute("select min(month) from items").fetchall()[0]
    history = as_of - first + 1

    def quality(metric):
        return found[metric, "ALL", "(all)"]["value"]

    comparison.equal(f"{period} history_months", quality("history_months"), float(history))
    comparison.equal(f"{period} invalid_csat", quality("invalid_csat"), 0.0)
    before = sum(counts["outside"]["before"] for counts in expected.values() if "outside" in counts)
    comparison.equal(f"{period} rejected_rows", quality("rejected_rows"), float(before))
    copies = sum(counts["duplicate"] for counts in expected.values())
    comparison.equal(f"{period} duplicate_rows", quality("duplicate_rows"), float(copies))

    money = parquet(output / f"summaries/money/period={period}/money.parquet")
    money = engine.execute(f"""select "window", segment, amount from {money} where metric = 'revenue'""")
    ours = {row[:2]: row[2] for row in money.fetchall()}
    # Every state has a row in every window.
    states = engine.execute("select distinct state from people").fetchall()
    theirs = {}
    for window, months in [("MONTH", 1), ("T3M", 3), ("T12M", 12)]:
        known = history >= months
        theirs |= {(window, state): Decimal(0) if known else None for (state,) in states}
        sums = engine.execute(
            """select state, sum(price + freight) from items join people using (person)
            where month between ? and ? group by rollup (state)""",
            [as_of - months + 1, as_of],
        ).fetchall()
        theirs |= {(window, state or "(all)"): amount if known else None for state, amount in sums}
    comparison.tables(f"{period} published revenue", ours, theirs, "no row")

    def row(metric, window, segment, *names):
        return tuple(found[metric, window, segment][name] for name in names)

    answers = engine.execute(
        """select coalesce(state, '(all)'), count(*), count(distinct person),
            count(*) filter (where score >= 4)::double / count(*)
        from reviews join people using (person) where month between ? and ? group by rollup (state)""",
        [as_of - 2, as_of],
    ).fetchall()
    segments = {key[2] for key in found if key[0] == "csat_top2" and (found[key]["n"] or 0) > 0}
    comparison.equal(f"{period} segments of csat_top2", sorted(segments), sorted(answer[0] for answer in answers))
    for state, *want in answers:
        if state in segments:
            for name, value in zip(("n", "customers", "value"), want):
                comparison.equal(f"{period} csat_top2 {state} {name}", *row("csat_top2", "T3M", state, name), value)
    (orders, buyers, aov) = engine.execute(
        """select count(distinct order_id), count(distinct person),
            sum(price + freight)::double / count(distinct order_id)
        from items where month between ? and ?""",
        [as_of - 2, as_of],
    ).fetchall()[0]
    comparison.equal(f"{period} aov", row("aov", "T3M", "(all)", "n", "customers"), (orders, buyers))
    comparison.equal(f"{period} aov value", *row("aov", "T3M", "(all)", "value"), aov)
    (base, kept, new) = engine.execute(
        """with windows as (
            select person, bool_or(month between $as_of - 2 and $as_of) as now,
                bool_or(month between $as_of - 5 and $as_of - 3) as before,
                bool_or(month < $as_of - 2) as ever
            from items where month <= $as_of group by person
        )
        select count(*) filter (where before), count(*) filter (where before and now),
            count(*) filter (where now and not ever) from windows""",
        {"as_of": as_of},
    ).fetchall()[0]
    comparison.equal(f"{period} retention", row("retention", "T3M", "(all)", "n", "value"), (base, kept / base))
    comparison.equal(f"{period} new", *row("new_customers", "T3M", "(all)", "value"), float(new))


def check_statuses(comparison, rows, period, history):
    """What the export cannot tell says why; a small sample has no interval."""
    statuses = defaultdict(set)
    withheld = 0
    for row in rows:
        name = f"{period} status of {row['metric']} {row['window']} {row['segment']}"
        statuses[row["status"]].add(row["metric"])
        months = max(
            NEEDS.get((row["metric"], row["window"]), 0),
            NEEDS_SECTION.get(row["section"], 0),
            NEEDS_METHOD.get(row["method"], 0),
        )
        if months > history:
            comparison.equal(name, row["status"], "insufficient_history")
        elif row["metric"] in UNKNOWN or (row["metric"], row["outcome"]) == ("cap_p99", "service_cost"):
            comparison.equal(name, row["status"], "insufficient_n")
        elif row["metric"] == "earned_growth":
            comparison.equal(name, row["status"], "not_applicable")
        else:
            wrong = "ok" if WINDOWS.get(row["window"], 0) > history else "insufficient_history"
            comparison.equal(f"{name} is {wrong}", row["status"] == wrong, False)
        comparison.equal(f"{name}, a value only if ok", row["value"] is not None, row["status"] == "ok")
        few = row["metric"] in GUARDED and min(row["n"] or 0, row["customers"] or 0) < GUARD
        if row["status"] == "ok" and few:
            withheld += 1
            interval = (row["lo"], row["hi"], "interval_withheld" in row["flags"])
            comparison.equal(f"{name}, its interval", interval, (None, None, True))
        if (row["metric"], row["segment"]) == ("csat_top2", "(all)"):
            comparison.equal(f"{name}, an interval", None not in (row["lo"], row["hi"]), True)
    missing = UNKNOWN - {row["metric"] for row in rows}
    comparison.equal(f"{period} metrics without a row", sorted(missing), [])
    comparison.equal(f"{period} some interval is withheld", withheld > 0, True)
    for status, metrics in sorted(statuses.items()):
        print(f"{period} {status}: {', '.join(sorted(metrics))}")


def call(cxroi, *arguments):
    """Standard output of `cxroi`, which must succeed."""
    done = subprocess.run([cxroi, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"`cxroi {arguments[0]}` exits with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def lay_out(folder, work):
    """Configuration and staging SQL, with the export beside them."""
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "cxroi.toml", work)
    shutil.copytree(HERE / "sql", work / "sql")
    (work / "data").symlink_to(folder, target_is_directory=True)


def compare(comparison, folder, cxroi, work):
    lay_out(folder, work)
    engine = export(folder)
    check_sample(comparison, engine)
    config, output = work / "cxroi.toml", work / "out"
    for period in PERIODS:
        call(cxroi, "run", "--config", config, "--period", period, "--output", output)
        pointer = json.loads((output / f"published/{period}.json").read_text())
        run = output / f"runs/{period}/{pointer['run_id']}/{pointer['attempt']}"
        manifest = json.loads((run / "manifest.json").read_text())
        check_facts(comparison, engine, manifest, output, period)
        expected = check_rows(comparison, engine, manifest, period)
        estimates = parquet(output / f"summaries/estimates/period={period}/estimates.parquet")
        found = engine.execute(f"select * from {estimates}")
        columns = [column[0] for column in found.description]
        rows = [dict(zip(columns, row)) for row in found.fetchall()]
        check_published(comparison, engine, output, rows, expected, period)
        check_statuses(comparison, rows, period, len(manifest["facts"]))
    check_staged(comparison, engine, cxroi, config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the six CSV files")
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))
    parser.add_argument("--cxroi", type=Path, default=target / "debug/cxroi", help="the binary to test")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave configuration and output in DIR, a new folder")
    arguments = parser.parse_args()

    folder = arguments.folder.resolve()
    missing = [file for file in FILES.values() if not (folder / file).is_file()]
    if missing:
        sys.exit(f"nothing was compared: {folder} has no {', '.join(missing)}")
    comparison = Comparison()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.keep or Path(temporary) / "olist").resolve()
        try:
            compare(comparison, folder, arguments.cxroi.resolve(), work)
        except (RuntimeError, duckdb.Error, OSError, LookupError, subprocess.TimeoutExpired) as error:
            comparison.mismatches += 1
            print(f"could not be compared: {type(error).__name__}: {error}")
    print(f"{comparison.cells} cells compared, {comparison.mismatches} mismatches")
    if comparison.cells == 0:
        sys.exit("nothing was compared")
    sys.exit(1 if comparison.mismatches else 0)


if __name__ == "__main__":
    main()
