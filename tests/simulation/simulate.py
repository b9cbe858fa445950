#!/usr/bin/env python3
"""Do the published 95 % intervals hold what they estimate, and how often is an effect found where there is none?

    simulate.py [--worlds 1000] [--seed 1] [--cxroi target/release/cxroi] [--customers 600] [--target-customers 100000]
                [--workers CORES] [--table FILE]

Each world is a small lake of 24 months from a known process, run with `cxroi run --period 2024-12`. There are as many
worlds of each of two processes:

  effect     what customers live through moves their score and, a month later, the chance of one more order; every point
             below 7.5 moves it twice as much as one above. Lasting traits move scores and spend too, so that these go
             together beyond the effect. Spend has many nothings and a long tail, customers answer again and again,
             cost more service or less, belong to segments, and some leave. No month is better than another.
  no effect  the same, but scores have nothing to do with spend.

An estimator's own target is what it comes to in one large lake of the same process, made and run first: that is not
the causal truth, which stands beside it where the process has one (in money before caps, which take some of it away).
In worlds without an effect, slopes, contrasts and correlations are 0, and no large lake is needed. The large lake has
an error of its own: arms of an interval are made longer by sqrt(1 + (target's error / its own error)^2) before they are
held against the target, which for 100,000 customers beside 600 is 0.3 %. Errors are published, or the half width / 1.96
where only an interval is. Worlds are counted where there is an interval: a ratio of slopes has none where the lower
slope may be 0. Such a mean is of chosen worlds, and off its target for it.

Prints a table of coverage and one of false discoveries. The exit code is 1 if coverage is beyond 93 to 97 % by more
than three Monte-Carlo errors and EXCEPTIONS does not say why, if false discoveries are above 5 % by more than three, if
an estimator is not published, or if nothing was compared.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """timezone = "UTC"
currency = "EUR"
[lake]
interactions = "lake/interactions.parquet"
sales = "lake/sales.parquet"
customers = "lake/customers.parquet"
[output]
url = "out/"
[guards]
enabled = false
[privacy]
min_customers = 0
"""
MONTHS = 24
STARTS = np.arange("2023-01", "2025-02", dtype="datetime64[M]").astype("datetime64[s]").astype(np.int64)
ANNUAL_DISCOUNT = 0.10

# The process. Money is EUR, months are 0 to 23.
LEAVES = 0.01  # chance to leave for good, each month
EXPECTED = 7.5  # the score from which the effect counts both ways
ADD_ON = 100.0  # mean of the order that the effect is about
USUAL = 0.20  # its chance after a score as expected
PER_POINT = 0.012  # and what a point above adds; a point below takes twice as much
MARGIN = 0.4
CHANNELS = ("store", "web")
CALLS_AGAIN = 9 * 86_400  # seconds in which a contact is followed by another, if it is
MONEY = pa.decimal128(18, 2)

PROCESSES = ("effect", "no effect")
NORMAL = 1.959963984540054
LEAST, MOST = 0.93, 0.97

# Estimators whose intervals are known to hold their target less or more often, and why.
ROWS_NOT_CUSTOMERS = (
    "allows for rows of unequal spread, but not for customers who answer more than once and whose spend is their own: "
    "too narrow, about 90 % with the same formula in plain numpy too; `ancova` beside it counts customers"
)
EXCEPTIONS = {
    "slope revenue_6m ancova_hc1": ROWS_NOT_CUSTOMERS,
    "slope revenue_6m ancova_hc1, no effect": ROWS_NOT_CUSTOMERS,
}


def row(metric, method, **rest):
    """The columns that tell a published row from others."""
    return (metric, method, *(rest.get(name) for name in ("window", "outcome", "lag", "band", "driver")))


def associations():
    """Estimators of what goes with the score: their targets are 0 where there is no effect."""
    rows = {f"slope revenue lag {lag}": row("slope", "ancova", outcome="revenue", lag=lag) for lag in range(7)}
    for outcome in ("revenue_6m", "placebo", "excess", "active_6m", "service_cost_6m"):
        rows[f"slope {outcome}"] = row("slope", "ancova", outcome=outcome)
    rows["slope revenue_6m ancova_hc1"] = row("slope", "ancova_hc1", outcome="revenue_6m")
    for method in ("first_difference", "first_difference_gap5"):
        for lag in (-1, 0, 1, 2, 3):
            if lag >= 0 or method == "first_difference_gap5":
                rows[f"{method} lag {lag}"] = row("slope", method, outcome="revenue", lag=lag)
    for metric in ("slope_below", "slope_above", "penalty", "reward"):
        rows[metric] = row(metric, "ancova", outcome="revenue_6m")
    for band in ("promoter-detractor", "passive-detractor"):
        rows[f"band_contrast {band}"] = row("band_contrast", "standardised", outcome="revenue_6m", band=band)
    rows["pearson"] = row("pearson", "fisher", outcome="revenue_6m")
    rows["spearman"] = row("spearman", "bonett_wright", outcome="revenue_6m")
    for metric in ("nps_point_value", "nps_point_value_raw"):
        rows[f"{metric} mean"] = row(metric, "mean", outcome="net_value")
    for channel in CHANNELS:
        driver = f"channel:{channel}"
        rows[f"driver_outcome_corr {channel}"] = row("driver_outcome_corr", "pairwise", window="T12M",
                                                     outcome="revenue", driver=driver)
    return rows


def descriptions():
    """Estimators that mean something without an effect too."""
    rows = {
        "nps": row("nps", "cluster", window="T3M"),
        "nps_change": row("nps_change", "cluster", window="T3M"),
        "detractor_share": row("detractor_share", "cluster", window="T3M"),
        "cost_per_contact": row("cost_per_contact", "ratio", window="T3M"),
        "cost_to_serve": row("cost_to_serve", "mean", window="T3M"),
        "aov": row("aov", "ratio", window="T3M"),
        "nrr": row("nrr", "ratio", window="T6M"),
        "grr": row("grr", "ratio", window="T6M"),
        "retention": row("retention", "wilson", window="T3M"),
        "repeat_rate": row("repeat_rate", "wilson", window="T12M"),
        "response_rate": row("response_rate", "wilson", window="T3M"),
        "first_contact_resolution wilson": row("first_contact_resolution", "wilson", window="T3M"),
        "first_contact_resolution wilson_cluster": row("first_contact_resolution", "wilson_cluster", window="T3M"),
        "net_value_at_risk": row("net_value_at_risk", "standardised", outcome="net_value"),
        "slope_ratio": row("slope_ratio", "fieller", outcome="revenue_6m"),
        "driver_mean store": row("driver_mean", "cluster", window="T12M", driver="channel:store"),
        "driver_corr store+web": row("driver_corr", "pairwise", window="T12M", outcome="revenue",
                                     driver="channel:store+channel:web"),
        "lmg store": row("lmg", "lmg", window="T12M", outcome="revenue", driver="channel:store"),
        "driver_r2": row("driver_r2", "lmg", window="T12M", outcome="revenue"),
    }
    for band in ("detractor", "passive", "promoter"):
        rows[f"clv_12m {band}"] = row("clv_12m", "standardised", outcome="net_value", band=band)
        rows[f"km {band} month 6"] = row("km", "kaplan_meier", band=band, lag=6)
    return rows


ASSOCIATIONS = associations()
ESTIMATORS = descriptions() | ASSOCIATIONS
WANTED = {key: name for name, key in ESTIMATORS.items()}
LAGS = {
    "ancova: revenue of any of seven lags, q <= 0.05": [row("slope", "ancova", outcome="revenue", lag=lag)
                                                        for lag in range(7)],
    "first_difference_gap5: any of seven lags, q <= 0.05": [row("slope", "first_difference_gap5", outcome="revenue",
                                                                lag=lag) for lag in range(-3, 4)],
}


# A world.


def chance(scores, effect):
    """Of the order a month later."""
    above = scores - EXPECTED
    return USUAL + effect * PER_POINT * np.where(above < 0, 2 * above, above)


class World:
    """Customers by month: what they lived through as a score, whether they answered, bought and called."""

    def __init__(self, random, customers, effect):
        self.random, self.customers, self.effect = random, customers, effect
        shape = (customers, MONTHS)
        self.segment = random.choice(3, customers, p=(0.5, 0.3, 0.2))
        normal = random.standard_normal
        liking = normal(customers) + 0.3 * effect * self.segment
        together = 0.4 * effect  # how far those who like the company are those who spend more
        wealth = together * liking + math.sqrt(1 - together**2) * normal(customers) + 0.2 * self.segment
        month_left = random.geometric(LEAVES, customers)
        self.here = np.arange(MONTHS) < month_left[:, None]

        self.channel = random.integers(0, len(CHANNELS), (customers, MONTHS + 1))
        by_channel = np.take_along_axis(0.7 * normal((customers, len(CHANNELS))), self.channel, axis=1)
        lived = 7.6 + 1.2 * liking[:, None] + by_channel + 1.6 * normal((customers, MONTHS + 1))
        lived = np.clip(np.rint(lived), 0, 10)
        self.score = lived[:, 1:]  # the first is that of the month before history
        willing = 1 / (1 + np.exp(1.4 - 0.3 * wealth - 0.5 * normal(customers)))
        self.answered = self.here & (random.random(shape) < willing[:, None])

        self.own_order = self.here & (random.random(shape) < 1 / (1 + np.exp(1.1 - 0.8 * wealth))[:, None])
        self.own_amount = np.exp(3.2 + 0.4 * wealth[:, None] + 0.9 * normal(shape))
        self.add_on = self.here & (random.random(shape) < chance(lived[:, :-1], effect))
        self.add_on_amount = ADD_ON * np.exp(0.6 * normal(shape) - 0.18)

        often = 0.15 * np.exp(0.4 * normal(customers) - 0.2 * effect * liking)
        self.contact = self.here & (random.random(shape) < often[:, None])
        self.insists = random.beta(1, 3, customers)
        self.contact_cost = 6 * np.exp(0.3 * normal(customers)[:, None] + 0.4 * normal(shape))

    def rows(self, where):
        """Customers and months of what happened, and the second when it did."""
        customer, month = np.nonzero(where)
        return customer, month, self.random.integers(STARTS[month], STARTS[month + 1])

    def write(self, folder):
        (folder / "lake").mkdir(parents=True)
        ids = pa.array([f"customer-{number:06}" for number in range(self.customers)])

        def write(name, tables):
            pq.write_table(pa.concat_tables(tables), folder / "lake" / f"{name}.parquet")

        def money(amounts):
            return pa.array(np.round(amounts, 2)).cast(MONEY)

        def times(seconds):
            return pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC"))

        def orders(name, where, amounts):
            customer, month, at = self.rows(where)
            amount = np.maximum(0.01, amounts[where])
            names = pa.array([f"{name}-{one:06}-{two:02}" for one, two in zip(customer, month)])
            margin = amount * (MARGIN + 0.2 * (self.random.random(len(amount)) - 0.5))
            return pa.table({"customer_id": ids.take(customer), "order_id": names, "ordered_at": times(at),
                             "amount": money(amount), "margin": money(margin)})

        def touches(customer, at, channel, nps, cost):
            return pa.table({"customer_id": ids.take(customer), "occurred_at": times(at), "channel": channel,
                             "nps": nps, "service_cost": cost})

        customer, _, at = self.rows(self.answered)
        asked_at = pa.array(CHANNELS).take(self.channel[:, 1:][self.answered])
        scores = pa.array(self.score[self.answered].astype(np.int64))
        answers = touches(customer, at, asked_at, scores, pa.nulls(len(at), MONEY))
        # Some call again about the same thing.
        customer, _, at = self.rows(self.contact)
        cost = self.contact_cost[self.contact]
        again = (self.random.random(len(at)) < self.insists[customer]) & (at + CALLS_AGAIN < STARTS[-1])
        later = at[again] + self.random.integers(0, CALLS_AGAIN, again.sum())
        customer, at, cost = (np.concatenate(pair) for pair in (
            (customer, customer[again]), (at, later), (cost, cost[again])))
        phone = pa.array(["phone"] * len(at), pa.string())
        contacts = touches(customer, at, phone, pa.nulls(len(at), pa.int64()), money(cost))
        write("interactions", [answers, contacts])
        write("sales", [orders("own", self.own_order, self.own_amount),
                        orders("more", self.add_on, self.add_on_amount)])
        came = np.datetime64("2019-01-01") + self.random.integers(0, 3 * 365, self.customers)
        segments = pa.array(["consumer", "business", "enterprise"]).take(self.segment)
        write("customers", [pa.table({"customer_id": ids, "segment": segments, "acquired_at": came})])
        (folder / "cxroi.toml").write_text(CONFIG)

    def causal(self):
        """What was planted, by estimator: what the score itself adds to later spend, among those who answered, by least
        squares where that is a line. Nothing but the next month's order is moved."""
        # Those who leave between answer and order get nothing of it.
        gain = (1 - LEAVES) * ADD_ON * chance(self.score, self.effect)
        asked = self.answered[:, 6:18]
        score, later = self.score[:, 6:18][asked], gain[:, 6:18][asked]
        slope = np.polyfit(score, later, 1)[0]
        truth = {f"slope revenue lag {lag}": 0.0 for lag in range(7)}
        truth |= {"slope revenue lag 1": slope, "slope revenue_6m": slope / 6, "slope excess": slope / 6}
        truth |= {"slope revenue_6m ancova_hc1": slope / 6, "slope placebo": 0.0, "slope service_cost_6m": 0.0}
        for method, least in (("first_difference", 2), ("first_difference_gap5", 5)):
            truth |= {f"{method} lag {lag}": 0.0 for lag in (-1, 0, 2, 3)}
            truth[f"{method} lag 1"] = self.slope_of_changes(gain, least)
        a_point = (1 - LEAVES) * ADD_ON * PER_POINT / 6
        truth |= {"slope_below": 2 * a_point, "slope_above": a_point, "slope_ratio": 2.0}

        # Every answer, then each customer's first since six months, and since three.
        detractor, passive, promoter = bands(score, later)
        truth |= {"penalty": (passive - detractor) / 6, "reward": (promoter - passive) / 6}
        detractor, passive, promoter = bands(*self.first_answers(gain, 6, 18))
        truth["band_contrast promoter-detractor"] = (promoter - detractor) / 6
        truth["band_contrast passive-detractor"] = (passive - detractor) / 6
        next_month = MARGIN * (1 + ANNUAL_DISCOUNT) ** (-1 / 12)
        detractor, passive, promoter = next_month * np.array(bands(*self.first_answers(gain, 3, 23)))
        truth["nps_point_value mean"] = truth["nps_point_value_raw mean"] = 0.01 * 10_000 * (promoter - detractor) / 2
        share = (self.score[:, 21:][self.answered[:, 21:]] <= 6).mean()
        return truth | {"net_value_at_risk": 10_000 * share * (passive - detractor)}

    def first_answers(self, gain, first, end):
        asked = self.answered[:, first:end]
        customer = np.nonzero(asked.any(axis=1))[0]
        at = customer, first + asked[customer].argmax(axis=1)
        return self.score[at], gain[at]

    def slope_of_changes(self, gain, least):
        """Of one answer to the next, so many months later or more and three before the last."""
        customer, month = np.nonzero(self.answered)
        pair = (customer[1:] == customer[:-1]) & (np.diff(month) >= least) & (month[1:] <= MONTHS - 4)
        score, later = (np.diff(values[customer, month])[pair] for values in (self.score, gain))
        return np.polyfit(score, later, 1)[0]


def bands(score, value):
    """Means of detractors, passives and promoters."""
    return [value[band].mean() for band in (score <= 6, (score > 6) & (score < 9), score >= 9)]


# Runs of it.


def published(cxroi, folder, world):
    """What `cxroi` publishes about everybody, by the columns of `row`: numbers, and flags."""
    world.write(folder)
    command = [cxroi, "run", "--config", folder / "cxroi.toml", "--period", "2024-12"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(f"`cxroi run` exits with {done.returncode}: {done.stderr.strip()}")
    table = pq.read_table(folder / "out/summaries/estimates/period=2024-12/estimates.parquet")
    kept = WANTED.keys() | {key for keys in LAGS.values() for key in keys}
    found = {}
    for line in table.to_pylist():
        key = row(**{name: line[name] for name in ("metric", "method", "window", "outcome", "lag", "band", "driver")})
        if line["segment"] == "(all)" and line["score"] in (None, "nps") and key in kept:
            if key in found:
                raise RuntimeError(f"two published rows are {key}")
            found[key] = {name: line[name] for name in ("value", "se", "lo", "hi", "q", "flags")}
    return found


def random_of(seed, *place):
    return np.random.default_rng([seed, *place])


def run_world(task):
    cxroi, seed, process, number, customers = task
    with tempfile.TemporaryDirectory() as temporary:
        world = World(random_of(seed, process, number), customers, effect=process == 0)
        return published(cxroi, Path(temporary) / "world", world)


def run_target(arguments):
    """The large lake: its estimates, and what was planted in it."""
    with tempfile.TemporaryDirectory() as temporary:
        world = World(random_of(arguments.seed, len(PROCESSES)), arguments.target_customers, effect=True)
        return published(arguments.cxroi, Path(temporary) / "world", world), world.causal()


# What they say.


def error(line):
    """The standard error of a published row; of an interval alone its half width."""
    if line["se"] is not None:
        return line["se"]
    return None if line["lo"] is None else (line["hi"] - line["lo"]) / (2 * NORMAL)


def monte_carlo(rate, worlds):
    return math.sqrt(rate * (1 - rate) / worlds)


def holds(line, target, target_error):
    longer = math.sqrt(1 + (target_error / error(line)) ** 2)
    return line["value"] - longer * (line["value"] - line["lo"]) <= target <= (
        line["value"] + longer * (line["hi"] - line["value"]))


def compare(name, lines, target, target_error, truth):
    """The cells of an estimator's row, and what is wrong with it."""
    lines = [line for line in lines if line and line["value"] is not None]
    problem = None if lines else f"{name}: not published"
    lines = [line for line in lines if line["lo"] is not None]
    label = name + (" \\*" if name in EXCEPTIONS else "")
    if len(lines) < 2 or target is None:
        return [label, str(len(lines)), *["-"] * 6], problem
    values = np.array([line["value"] for line in lines])
    coverage = np.mean([holds(line, target, target_error) for line in lines])
    noise, spread = monte_carlo(0.95, len(lines)), values.std(ddof=1)
    # Small samples may be off what the large one comes to, apart from chance; a few worlds cannot tell.
    beyond = 3 * math.hypot(spread / math.sqrt(len(values)), target_error)
    off = len(values) >= 30 and abs(values.mean() - target) > beyond
    bad = not LEAST - 3 * noise <= coverage <= MOST + 3 * noise
    mark = " (off its target)" if off else ""
    percent, bold = f"{100 * coverage:.1f} % (± {100 * noise:.1f})", "**" if bad else ""
    cells = [label, str(len(lines)), f"{values.mean():.4g}{mark}",
             f"{target:.4g}" + (f" ± {target_error:.2g}" if target_error else ""), f"{bold}{percent}{bold}",
             f"{np.mean([error(line) for line in lines]) / spread:.3f}"]
    cells += ["-", "-"] if truth is None else [f"{truth:.4g}", f"{values.mean() - truth:+.2g}"]
    return cells, f"{name}: {100 * coverage:.1f} %" if bad and name not in EXCEPTIONS else None


def markdown(head, rows):
    return ["", *(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))]


def report(worlds, target, truth):
    """Lines of the report, and what is wrong."""
    rows, wrong = [], []
    for process, name, key in ((process, *item) for process, known in enumerate((ESTIMATORS, ASSOCIATIONS))
                               for item in known.items()):
        lines = [world.get(key) for world in worlds[process]]
        large = target.get(key)
        if process == 1:
            cells, problem = compare(f"{name}, {PROCESSES[1]}", lines, 0.0, 0.0, 0.0)
        elif large and large["lo"] is not None:
            cells, problem = compare(name, lines, large["value"], error(large), truth.get(name))
        else:
            cells, problem = compare(name, lines, None, None, None)
        rows.append(cells)
        wrong += [problem] if problem else []
    if all(cells[3] == "-" for cells in rows):
        wrong.append("nothing was compared")
    head = ["estimator", "worlds", "mean of estimates", "its target", "coverage (± Monte-Carlo)",
            "mean se / sd of estimates", "causal truth", "bias"]
    text = markdown(head, rows)
    for reason in dict.fromkeys(EXCEPTIONS.values()):
        text += ["", f"\\* {', '.join(name for name in EXCEPTIONS if EXCEPTIONS[name] == reason)}: {reason}."]

    found, nulls = [], worlds[1]
    for name, keys in LAGS.items():
        hits = [any(world[key]["q"] is not None and world[key]["q"] <= 0.05 for key in keys) for world in nulls]
        found.append((name, np.mean(hits)))
    flagged = [any("score_moves_first" in (line["flags"] or []) for line in world.values()) for world in nulls]
    found.append(("flag score_moves_first", np.mean(flagged)))
    noise = monte_carlo(0.05, len(nulls))
    wrong += [f"{name}: {100 * rate:.1f} % of worlds without effect" for name, rate in found if rate > 0.05 + 3 * noise]
    cells = [[name, str(len(nulls)), f"{100 * rate:.1f} % (± {100 * noise:.1f})"] for name, rate in found]
    text += markdown(["false discovery, no effect", "worlds", "share of worlds (± Monte-Carlo)"], cells)
    return text, wrong


def simulate(arguments):
    target, truth = run_target(arguments)
    print(f"large lake: {arguments.target_customers:,} customers", file=sys.stderr, flush=True)
    tasks = [(arguments.cxroi, arguments.seed, process, number, arguments.customers)
             for number in range(arguments.worlds) for process in range(len(PROCESSES))]
    worlds = [[] for _ in PROCESSES]
    with ProcessPoolExecutor(arguments.workers) as pool:
        for task, found in zip(tasks, pool.map(run_world, tasks)):
            worlds[task[2]].append(found)
            done = sum(map(len, worlds))
            if done % 100 == 0:
                print(f"{done} of {len(tasks)} worlds", file=sys.stderr, flush=True)
    return report(worlds, target, truth)


def publish(text, wrong, table):
    """Prints the tables and what is wrong, and ends."""
    print("\n".join(text))
    if table:
        table.write_text("\n".join(text) + "\n")
    for problem in wrong:
        print(problem, file=sys.stderr)
    sys.exit(1 if wrong else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--worlds", type=int, default=1000, help="of each process (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cxroi", type=Path, default=target / "release/cxroi", help="the binary to test")
    parser.add_argument("--customers", type=int, default=600, help="of a world (default 600)")
    parser.add_argument("--target-customers", type=int, default=100_000, help="of the large lake (default 100,000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="worlds at a time (default: cores)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the tables there as well")
    arguments = parser.parse_args()
    if arguments.worlds < 1 or arguments.workers < 1:
        sys.exit("nothing was compared")
    arguments.cxroi = arguments.cxroi.resolve()

    text, wrong = simulate(arguments)
    settings = {name: getattr(arguments, name) for name in ("worlds", "seed", "customers", "target_customers")}
    command = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())
    text = [f"Made by `tests/simulation/simulate.py {command}`. The errors of targets are allowed for.", *text]
    publish(text, wrong, arguments.table)


if __name__ == "__main__":
    main()
