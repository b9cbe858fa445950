#!/usr/bin/env python3
"""Do the published effects of programmes hold what the programmes did, and what would before and after alone have said?

    programmes.py [--worlds 150] [--seed 1] [--cxroi target/release/cxroi] [--workers CORES] [--table FILE]

Each world is a small lake of 24 months from a known process, run with `cxroi run --period 2024-12`. Customers buy in
some months and not in others, for amounts with a long tail; they differ for good in how often and for how much; they
cost service, and 1.2 % leave for good each month. What they answer follows a lasting trait, a state that passes and
noise; trait and state move what they buy too. No month is better than another. From January 2024 on there are
programmes, each for customers of its own, and all others are for comparison:

  nothing     listed at random, no effect
  more        listed at random: each order brings 10.00 more
  stay        listed at random: 0.2 % leave each month
  waves       listed at random, from January, April or July on: each order brings 10.00 more from then on
  segment     all of a segment: each order brings 10.00 more
  lottery     drawn by lot, half held out: each order brings 10.00 more

As many other worlds, in which nobody leaves, have `nothing` and

  detractors  listed at random of those whose last score before the start is 6 or less, no effect
  segment     as above, and a shock: with the programme or without, each of its orders brings 10.00 more from then on

Each world is made twice from the same random numbers, with the programmes and without: the truth is the difference, of
the very customers treated and months measured. It is that of capped money where the estimator caps, with the caps of
the lake as it was; that of `expected_regression_to_mean` is how far scores moved from the last before the start to the
first after. The p of `roi` is that of a return of 0. Beside the published rows stands what a spreadsheet says: net
value by month of the treated after their start less that of the six months before, with the interval of a paired
t-test.

The exit code is 1 if an expected row is missing; if the coverage of a headline (HEADLINES) is beyond 92 to 98 % by more
than three Monte-Carlo errors; or if without an effect (NULLS) p <= 0.05 is more frequent than 5 % by more than three.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulate import CONFIG, MONEY, MONTHS, NORMAL, ROOT, STARTS, markdown, monte_carlo, publish, random_of

CUSTOMERS = 6000
SOURCES = 'initiatives = "lake/initiatives.csv"\nassignments = "lake/assignments.csv"\n[output]'
LEAST, MOST = 0.92, 0.98
START, BEFORE, NEVER = 12, 6, MONTHS  # the month of the start, months before that are compared, and no month at all

# The process. Money is EUR, months are 0 to 23.
LEAVES, LEAVES_LESS = (0.012, 0.0), 0.002  # each month, of each process
MORE, MARGIN = 10.0, 0.4
SEGMENTS, TARGET = np.array(["consumer", "family", "business"]), 2
# By programme the share of customers on its list, and what it costs a month and customer treated.
LISTED = {"nothing": (0.07, 0.9), "more": (0.07, 0.9), "stay": (0.07, 0.28), "waves": (0.08, 0.7),
          "lottery": (0.14, 0.9), "detractors": (0.07, 0.9), "segment": (None, 0.9)}
WAVES = (START, START + 3, START + 6)
# The programmes of each process, and what they are called in the table.
# Who is on a list is not for comparison: a programme for detractors takes these from the comparison of the others.
PROCESSES = ({one: one for one in ("nothing", "more", "stay", "waves", "lottery", "segment")},
             {"nothing": "nothing, beside detractors", "detractors": "detractors", "segment": "segment, and a shock"})

# What is compared: metric, method and outcome, and of which programme alone.
NET, NAIVE, RAW = "net_value", "before and after", "did_net_value_raw stratified"
ESTIMATORS = {f"{metric} {method}": (metric, method, NET) for metric, method in (
    ("did_net_value", "welch"), ("did_net_value", "stratified"), ("did_net_value", "cuped"),
    ("did_net_value", "staggered"), ("did_net_value_raw", "welch"), ("did_net_value_raw", "stratified"),
    ("did_net_value_raw", "staggered"))}
ESTIMATORS |= {
    "did_net_value_trend_adjusted": ("did_net_value_trend_adjusted", "welch", NET),
    "did_revenue": ("did_revenue", "welch", "revenue"),
    "did_service_saving": ("did_service_saving", "welch", "service_saving"),
    "did_active": ("did_active", "stratified", "active"), "did_nps": ("did_nps", "cluster", "nps"),
    "initiative_value": ("initiative_value", "stratified", None), "roi": ("roi", "stratified", None),
    "expected_regression_to_mean": ("expected_regression_to_mean", "test_retest", "nps"),
    "its_effect newey_west": ("its_effect", "newey_west", NET), "its_effect gls_ar1": ("its_effect", "gls_ar1", NET),
}
WANTED = {key: name for name, key in ESTIMATORS.items()}
ONLY = {"did_net_value cuped": "lottery", "did_net_value staggered": "waves", "did_net_value_raw staggered": "waves",
        "expected_regression_to_mean": "detractors",
        "its_effect newey_west": "segment", "its_effect gls_ar1": "segment"}
HEADLINES = {*((one, RAW) for one in ("nothing", "more", "detractors", "lottery")), ("lottery", "did_net_value welch"),
             ("lottery", "did_net_value_raw welch"), ("waves", "did_net_value staggered"),
             ("waves", "did_net_value_raw staggered")}
NULLS = {(one, name) for one in ("nothing", "detractors") for name in (RAW, "did_net_value stratified")}


class World:
    """Customers, the programmes that they are in, and all that is left to chance."""

    def __init__(self, random, process):
        self.random, self.process = random, process
        shape, normal = (CUSTOMERS, MONTHS), random.standard_normal
        self.segment = random.choice(3, CUSTOMERS, p=(0.5, 0.36, 0.14))
        trait = normal(CUSTOMERS)
        wealth = 0.4 * trait + math.sqrt(1 - 0.4**2) * normal(CUSTOMERS)
        state = normal(shape)
        for month in range(1, MONTHS):
            state[:, month] = 0.6 * state[:, month - 1] + 0.8 * state[:, month]
        lived = math.sqrt(0.4) * trait[:, None] + math.sqrt(0.3) * state + math.sqrt(0.3) * normal(shape)
        self.score = np.clip(np.rint(7.4 + 2.1 * lived), 0, 10).astype(int)
        self.answers = random.random(shape) < 0.3
        self.leaving = random.random(shape)
        self.orders = random.random(shape) < 1 / (1 + np.exp(0.4 - 0.7 * wealth[:, None] - 0.8 * state))
        self.amount = np.exp(3.4 + 0.4 * wealth[:, None] + 0.9 * normal(shape))
        self.rate = MARGIN + 0.2 * (random.random(shape) - 0.5)
        self.calls = random.random(shape) < 0.15 * np.exp(0.4 * normal(CUSTOMERS) - 0.2 * trait)[:, None]
        self.cost = np.round(6 * np.exp(0.4 * normal(shape)), 2)
        self.assign()
        self.without, self.real = self.happens(treated=False), self.happens(treated=True)

    def assign(self):
        """Lists, each of customers who are on no other, and the month from which each customer is treated."""
        free = self.random.permutation(np.nonzero(self.segment != TARGET)[0])
        before = np.where(self.answers, self.score, -1)[:, :START]
        last = before[np.arange(CUSTOMERS), latest(before >= 0)]
        self.lists, self.held_out, self.begins = {}, [], np.full(CUSTOMERS, NEVER)
        for programme in PROCESSES[self.process]:
            suited = free if programme != "detractors" else free[(last[free] >= 0) & (last[free] <= 6)]
            listed = suited[: round((LISTED[programme][0] or 0) * CUSTOMERS)]
            free = free[~np.isin(free, listed)]
            if programme == "segment":
                listed = np.nonzero(self.segment == TARGET)[0]
            if programme == "lottery":
                self.held_out, listed = np.array_split(listed, 2)
            self.lists[programme] = listed
            self.begins[listed] = np.resize(WAVES if programme == "waves" else START, len(listed))

    def happens(self, treated):
        """By customer and month, with the programmes or without."""
        month, shape = np.arange(MONTHS), (CUSTOMERS, MONTHS)
        more, leaves = np.zeros(shape), np.full(shape, LEAVES[self.process])
        if treated:
            for programme in ("more", "waves", "segment", "lottery"):
                listed = self.lists.get(programme, [])
                more[listed] += MORE * (month >= self.begins[listed, None])
            leaves[self.lists.get("stay", []), START:] = LEAVES_LESS
        if self.process == 1:
            more[self.segment == TARGET] += MORE * (month >= START)
        here = np.logical_and.accumulate(self.leaving >= leaves, axis=1)
        buys, calls = here & self.orders, here & self.calls
        revenue = np.where(buys, np.maximum(0.01, np.round(self.amount + more, 2)), 0)
        return {"buys": buys, "revenue": revenue, "margin": np.round(revenue * self.rate, 2), "calls": calls,
                "cost": np.where(calls, self.cost, 0), "answers": here & self.answers}

    def write(self, folder):
        (folder / "lake").mkdir(parents=True)
        ids, real, random = np.array([f"customer-{one:06}" for one in range(CUSTOMERS)]), self.real, self.random

        def write(name, columns):
            pq.write_table(pa.table(columns), folder / "lake" / f"{name}.parquet")

        def happened(where):
            customer, month = np.nonzero(where)
            seconds = random.integers(STARTS[month], STARTS[month + 1])
            return ids[customer], pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC"))

        def money(name, where):
            return pa.array(real[name][real[where]]).cast(MONEY)

        who, at = happened(real["buys"])
        names = [f"order-{one:06}" for one in range(len(who))]
        write("sales", {"customer_id": who, "order_id": names, "ordered_at": at, "amount": money("revenue", "buys"),
                        "margin": money("margin", "buys")})
        (asked, asked_at), (called, called_at) = happened(real["answers"]), happened(real["calls"])
        scores = pa.array(self.score[real["answers"]])
        write("interactions", {
            "customer_id": np.concatenate([asked, called]), "occurred_at": pa.concat_arrays([asked_at, called_at]),
            "channel": ["web"] * len(asked) + ["phone"] * len(called),
            "nps": pa.concat_arrays([scores, pa.nulls(len(called), scores.type)]),
            "service_cost": pa.concat_arrays([pa.nulls(len(asked), MONEY), money("cost", "calls")])})
        came = np.datetime64("2019-01-01") + random.integers(0, 3 * 365, CUSTOMERS)
        write("customers", {"customer_id": ids, "segment": SEGMENTS[self.segment], "acquired_at": came})
        lines = ["initiative,starts_on,cost_per_month,target_segment,randomised,holdout_share"]
        lines += [f"{programme},{date(START)},{monthly_cost(programme, listed):.2f},"
                  f"{SEGMENTS[TARGET] if programme == 'segment' else ''},"
                  f"{'true,0.5' if programme == 'lottery' else ','}"
                  for programme, listed in self.lists.items()]
        (folder / "lake/initiatives.csv").write_text("\n".join(lines) + "\n")
        lines = ["initiative,customer_id,arm,starts_on", *(f"lottery,{ids[one]},holdout," for one in self.held_out)]
        lines += [f"{programme},{ids[one]},treated,{date(self.begins[one]) if programme == 'waves' else ''}"
                  for programme, listed in self.lists.items() if programme != "segment" for one in listed]
        (folder / "lake/assignments.csv").write_text("\n".join(lines) + "\n")
        (folder / "cxroi.toml").write_text(CONFIG.replace("[output]", SOURCES))

    def truth(self, programme):
        """What the programme did to those whom it treats, by estimator."""
        listed, months = self.lists[programme], MONTHS - START
        worlds = [{name: values[listed] for name, values in one.items()} for one in (self.real, self.without)]
        caps = {name: np.quantile(self.real[name][self.real[name] > 0], 0.99, method="inverted_cdf")
                for name in ("revenue", "margin", "cost")}
        own = np.arange(MONTHS) >= self.begins[listed, None]  # months since one's own start

        def did(of):
            return of(worlds[0]) - of(worlds[1])

        def points(one):
            score = self.score[listed][:, START:][one["answers"][:, START:]]
            return 100 * ((score >= 9).mean() - (score <= 6).mean())

        raw = did(lambda one: one["margin"] - one["cost"])
        net = did(lambda one: np.minimum(one["margin"], caps["margin"]) - np.minimum(one["cost"], caps["cost"]))
        effect, cost = net[:, START:].mean(), monthly_cost(programme, listed) * months
        truth = {name: raw[:, START:].mean() if "raw" in name else effect
                 for name, (_, _, outcome) in ESTIMATORS.items() if outcome == NET}
        # Score by score of those treated, had they not been.
        asked, score = worlds[1]["answers"], self.score[listed]
        one = np.nonzero(asked[:, :START].any(axis=1) & asked[:, START:].any(axis=1))[0]
        first, last = START + asked[one, START:].argmax(axis=1), latest(asked[one, :START])
        return truth | {
            "did_net_value staggered": net[own].mean(), "did_net_value_raw staggered": raw[own].mean(),
            "did_revenue": did(lambda one: np.minimum(one["revenue"], caps["revenue"]))[:, START:].mean(),
            "did_service_saving": -did(lambda one: np.minimum(one["cost"], caps["cost"]))[:, START:].mean(),
            "did_active": did(lambda one: one["buys"] * 1.0)[:, -3:].mean(), "did_nps": did(points),
            "initiative_value": effect * len(listed) * months, "roi": effect * len(listed) * months / cost - 1,
            "expected_regression_to_mean": (score[one, first] - score[one, last]).mean(),
            NAIVE: own_mean(raw, own).mean()}

    def naive(self, programme):
        """The mean change of the treated from the months before their start to those after it, by a paired t-test."""
        listed = self.lists[programme]
        value, months = (self.real["margin"] - self.real["cost"])[listed], np.arange(MONTHS)
        after = months >= self.begins[listed, None]
        before = ~after & (months >= self.begins[listed, None] - BEFORE)
        change = own_mean(value, after) - own_mean(value, before)
        se, df = change.std(ddof=1) / math.sqrt(len(change)), len(change) - 1
        reach = (NORMAL + (NORMAL**3 + NORMAL) / (4 * df)) * se  # the t quantile, to 1e-5 at these sizes
        return {"value": change.mean(), "se": se, "lo": change.mean() - reach, "hi": change.mean() + reach,
                "grade": "-", "p": 0.0 if abs(change.mean()) > reach else 1.0}


def date(month):
    return f"{2023 + month // 12}-{month % 12 + 1:02}-01"


def monthly_cost(programme, listed):
    return round(LISTED[programme][1] * len(listed), 2)


def latest(where):
    """The last month of each customer."""
    return where.shape[1] - 1 - where[:, ::-1].argmax(axis=1)


def own_mean(values, where):
    return (values * where).sum(axis=1) / where.sum(axis=1)


def run_world(task):
    """By programme and estimator the published row and the truth."""
    cxroi, seed, process, number = task
    world = World(random_of(seed, process, number), process)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "world"
        world.write(folder)
        command = [cxroi, "run", "--config", folder / "cxroi.toml", "--period", "2024-12"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800)
        if done.returncode != 0:
            raise RuntimeError(f"`cxroi run` exits with {done.returncode}: {done.stderr.strip()}")
        lines = pq.read_table(folder / "out/summaries/estimates/period=2024-12/estimates.parquet").to_pylist()
    found = {}
    for line in lines:
        name = WANTED.get((line["metric"], line["method"], line["outcome"]))
        if line["initiative"] and name and line["value"] is not None:
            key = line["initiative"], name
            if key in found:
                raise RuntimeError(f"two published rows are {key}")
            found[key] = {part: line[part] for part in ("value", "se", "lo", "hi", "p", "grade")}
    found |= {(programme, NAIVE): world.naive(programme) for programme in world.lists}
    truths = {programme: world.truth(programme) for programme in world.lists}
    return {key: (line, truths[key[0]][key[1]]) for key, line in found.items()}


# What they say.


def compare(key, rows, worlds):
    """The cells of a row of the table, and what is wrong with it."""
    programme, name = key
    if not rows:
        return [programme, name, "not published", *["-"] * 7], [f"{key}: not published"]
    lines, problems, noise = [line for line, _ in rows], [], monte_carlo(0.95, len(rows))
    value, truth = (np.array(values) for values in zip(*((line["value"], truth) for line, truth in rows)))
    spread = (value - truth).std(ddof=1)
    grades = ", ".join(f"{grade} {count}" for grade, count in sorted(Counter(line["grade"] for line in lines).items()))
    cells = [programme, name, str(len(rows)), f"{value.mean():.4g}", f"{truth.mean():.4g}",
             f"{(value - truth).mean():+.2g} ± {spread / math.sqrt(len(rows)):.1g}"]
    if len(rows) < worlds:
        problems.append(f"{key}: in {len(rows)} of {worlds} worlds")
    if lines[0]["se"] is None:
        return [*cells, "-", "-", "-", grades], problems
    covers = np.mean([line["lo"] <= true <= line["hi"] for line, true in rows])
    found = np.mean([line["p"] <= 0.05 for line in lines])
    bad = key in HEADLINES and not LEAST - 3 * noise <= covers <= MOST + 3 * noise
    if bad:
        problems.append(f"{key}: covers {100 * covers:.1f} %")
    if key in NULLS and found > 0.05 + 3 * noise:
        problems.append(f"{key}: p <= 0.05 in {100 * found:.1f} % of worlds")
    percent, bold = f"{100 * covers:.1f} % (± {100 * noise:.1f})", "**" if bad else ""
    return [*cells, f"{bold}{percent}{bold}", f"{np.mean([line['se'] for line in lines]) / spread:.3f}",
            f"{100 * found:.1f} %", grades], problems


def report(worlds):
    rows, wrong = [], []
    for process, programmes in enumerate(PROCESSES):
        for programme, name in ((one, name) for one in programmes for name in (*ESTIMATORS, NAIVE)):
            if ONLY.get(name, programme) == programme:
                found = [world[programme, name] for world in worlds[process] if (programme, name) in world]
                cells, problems = compare((programmes[programme], name), found, len(worlds[process]))
                rows.append(cells)
                wrong += problems
    head = ["programme", "estimator", "worlds", "mean of estimates", "mean truth", "bias", "coverage (± Monte-Carlo)",
            "mean se / sd of misses", "p ≤ 0.05", "grades"]
    return markdown(head, rows), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--worlds", type=int, default=150, help="of each process (default 150)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cxroi", type=Path, default=target / "release/cxroi", help="the binary to test")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="worlds at a time (default: cores)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table there as well")
    arguments = parser.parse_args()
    if arguments.worlds < 2 or arguments.workers < 1:
        sys.exit("nothing was compared")
    cxroi = arguments.cxroi.resolve()
    tasks = [(cxroi, arguments.seed, process, number) for number in range(arguments.worlds) for process in (0, 1)]
    worlds = [[] for _ in PROCESSES]
    with ProcessPoolExecutor(arguments.workers) as pool:
        for task, found in zip(tasks, pool.map(run_world, tasks)):
            worlds[task[2]].append(found)
            if sum(map(len, worlds)) % 20 == 0:
                print(f"{sum(map(len, worlds))} of {len(tasks)} worlds", file=sys.stderr, flush=True)
    text, wrong = report(worlds)
    command = f"programmes.py --worlds {arguments.worlds} --seed {arguments.seed}"
    text = [f"Made by `tests/simulation/{command}`, of each process.", *text]
    publish(text, wrong, arguments.table)


if __name__ == "__main__":
    main()
