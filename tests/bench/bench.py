#!/usr/bin/env python3
"""How long a run takes, beside two engines that make the same facts from the same files.

    run [--customers 500000] [--months 24] [--programmes 100] [--repeat 3] [--peers duckdb,polars] [--cxroi PATH]
        [--work DIR] [--json FILE]

Makes a lake (lake.py; with --work it is kept there and found again). Then `cxroi` and every peer (peers.py) make the
facts once, and all rows of all tables must be equal, or the benchmark ends with exit code 1. Only then come timings:
each engine in a process of its own, into an empty folder, in turns, with the files in the page cache. Printed are the
median and the range.

  rollup      raw rows to facts, month by month: of `cxroi` from the start of the process to the line of the last month,
              of a peer without the start of Python
  whole job   `cxroi run` over all months, to the published numbers
  unchanged   the same command again
  new month   `cxroi run` of the next month, when its rows have arrived
  again       that month again, with a programme that has not begun: all is computed, and no month is read
  programmes  the same with as many programmes as `--programmes` says: lists of a thousand to twenty thousand customers,
              one programme in ten drawn by lot, and one in five for a whole segment

`cxroi` does more in its rollup than the peers: it also counts and adds up all rows by what becomes of them, and looks
whether the facts agree. Its peak memory is that of the whole job.
"""

import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAST = 2024 * 12 + 11
NUMBERS = ("customers", "months", "repeat", "programmes")
CONFIG = """timezone = "UTC"
currency = "EUR"
[lake]
interactions = "lake/interactions/"
sales = "lake/sales/"
customers = "lake/customers/"
[output]
url = "out/"
"""
PROGRAMMES = """[lake]
initiatives = "initiatives.json"
assignments = "assignments.csv"
"""
SEGMENTS = ("consumer", "smb", "enterprise")


def measured(*command):
    """Runs a command, which must succeed: its seconds, its highest memory, and its lines of standard error with the
    second at which each arrived. This process stays small: a child's highest memory starts with that of its parent."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as stdout:
        child = subprocess.Popen(list(map(str, command)), stdout=stdout, stderr=subprocess.PIPE, text=True)
        lines = [(time.perf_counter() - start, line.rstrip()) for line in child.stderr]
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stderr.close()
        if child.returncode != 0:
            for _, line in lines:
                print(line, file=sys.stderr)
            sys.exit(f"`{' '.join(map(str, command[:3]))} ...` exits with {child.returncode}")
        stdout.seek(0)
        return {"seconds": seconds, "mb": usage.ru_maxrss / 1024, "lines": lines, "out": stdout.read()}


class Bench:
    """The folders of the benchmark, and the commands that it times."""

    def __init__(self, arguments, work):
        self.cxroi, self.work, self.threads = arguments.cxroi.resolve(), work, os.cpu_count()
        self.customers, self.lake, self.programmes = arguments.customers, work / "lake", arguments.programmes
        months = range(LAST - arguments.months + 1, LAST + 2)
        self.months = [f"{month // 12}-{month % 12 + 1:02}" for month in months]  # and the new one

    def make_lake(self):
        """Makes the lake, unless it is there as this lake.py makes it; its rows by source."""
        stamp = self.work / "lake.json"
        want = {"customers": self.customers, "months": self.months, "maker": (HERE / "lake.py").read_text()}
        found = json.loads(stamp.read_text()) if stamp.exists() else {}
        if {**found, "rows": None} != {**want, "rows": None}:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(self.lake, ignore_errors=True)
            made = measured(sys.executable, HERE / "lake.py", self.lake, self.customers, *self.months)
            found = want | {"rows": json.loads(made["out"])}
            stamp.write_text(json.dumps(found))
        return found["rows"]

    def fresh(self, name):
        folder = self.work / "runs" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def run_cxroi(self):
        """The three runs in an empty folder, whose lake has the same files by hard links, the new month's last."""
        folder, new = self.fresh("cxroi"), f"month={self.months[-1]}"
        shutil.copytree(self.lake, folder / "lake", copy_function=os.link, ignore=shutil.ignore_patterns(new))
        (folder / "cxroi.toml").write_text(CONFIG)
        first = self.run_month(folder, self.months[-2])
        unchanged = self.run_month(folder, self.months[-2])
        for source in ("interactions", "sales"):
            shutil.copytree(self.lake / source / new, folder / "lake" / source / new, copy_function=os.link)
        months = self.run_month(folder, self.months[-1])
        if first["read"] != len(self.months) - 1 or unchanged["read"] != 0:
            sys.exit(f"cxroi read {first['read']} months, then {unchanged['read']} in the unchanged run")
        (folder / "cxroi.toml").write_text(CONFIG.replace("[lake]\n", PROGRAMMES))
        self.make_programmes(folder, 0)
        again = self.run_month(folder, self.months[-1])
        self.make_programmes(folder, self.programmes)
        programmes = self.run_month(folder, self.months[-1])
        if again["read"] + programmes["read"] != 0:
            sys.exit("cxroi read months again for programmes")
        runs = {"whole": first, "unchanged": unchanged, "new": months, "again": again, "programmes": programmes}
        return {"rollup": first["rollup"], "mb": first["mb"], **runs}

    def make_programmes(self, folder, count):
        """So many programmes, the same ones whenever asked, and one that has not begun."""
        rng, first = random.Random(5), LAST - len(self.months) + 2
        found, assignments = [{"initiative": "not begun", "starts_on": "2030-01-01"}], ["initiative,customer_id,arm\n"]
        day = lambda month, day: str(date(month // 12, month % 12 + 1, day))
        for number in range(count):
            start = rng.randint(min(first + 6, LAST), max(first + 6, LAST - 3))
            end = min(start + rng.randint(2, 14), LAST)
            programme = {"initiative": f"p{number:03}", "starts_on": day(start, rng.choice([1, 1, 10])), "ends_on": day(end, 28)}
            programme |= {"cost_per_month": 1000 * rng.randint(1, 9), "one_off_cost": 500}
            found.append(programme)
            if number % 5 == 4:
                programme["target_segment"] = rng.choice(SEGMENTS)
                continue
            drawn = number % 10 == 3
            programme |= {"randomised": True, "holdout_share": 0.1} if drawn else {}
            listed = rng.sample(range(self.customers), min(rng.choice([1_000, 5_000, 20_000]), self.customers // 10))
            for place, customer in enumerate(listed):
                arm = "holdout" if drawn and place % 10 == 0 else "treated"
                assignments.append(f"{programme['initiative']},c{customer:08d},{arm}\n")
        (folder / "initiatives.json").write_text(json.dumps(found))
        (folder / "assignments.csv").write_text("".join(assignments))

    def run_month(self, folder, month):
        done = measured(self.cxroi, "run", "--config", folder / "cxroi.toml", "--period", month)
        read = [re.match(rf"{month}: (\d+) of \d+ months to read", line) for _, line in done["lines"]]
        rolled = [at for at, line in done["lines"] if re.match(r"  \d{4}-\d\d: \d+ rows", line)]
        read = [int(match[1]) for match in read if match]
        if len(read) != 1 or read[0] != len(rolled):
            sys.exit(f"cxroi says {read} months to read, and reports {len(rolled)} as read: {done['lines']}")
        return {"seconds": done["seconds"], "mb": done["mb"], "read": read[0], "rollup": max(rolled, default=None)}

    def run_peer(self, peer, months):
        done = measured(sys.executable, HERE / "peers.py", peer, self.lake, self.fresh(peer), self.threads, *months)
        report = json.loads(done["out"])
        return {"rollup": report["seconds"], "mb": done["mb"], "parts": report["parts"]}

    def run(self, engine):
        return self.run_cxroi() if engine == "cxroi" else self.run_peer(engine, self.months[:-1])

    def compare(self, peer):
        """Makes the facts of all months, the new one too, and holds them against those of `cxroi`."""
        self.run_peer(peer, self.months)
        runs = self.work / "runs"
        facts = runs / "cxroi/out/facts"
        done = measured(sys.executable, HERE / "peers.py", "compare", facts, runs / peer, peer, *self.months)
        return json.loads(done["out"])


def each(runs, *keys):
    """A value of all runs."""
    for key in keys:
        runs = [run[key] for run in runs]
    return runs


def middle(runs, *keys):
    return statistics.median(each(runs, *keys))


def named_counts(counts):
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def ranged(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def table(rows):
    """Rows of cells, the first row and column being names, in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    print()
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        print("  ".join(cells).rstrip())


def show(runs):
    """Prints what was measured, by engine."""
    ours, parts = runs["cxroi"], []
    rows = [["rollup", "seconds", "peak MB", "cxroi / it"]]
    for engine, its in runs.items():
        ratio = f"{middle(ours, 'rollup') / middle(its, 'rollup'):.2f}" if engine != "cxroi" else ""
        rows.append([engine, ranged(each(its, "rollup")), f"{middle(its, 'mb'):.0f}", ratio])
        if engine != "cxroi":
            names = list(its[0]["parts"])
            parts += [[engine, *(f"{middle(its, 'parts', name):.2f}" for name in names)]]
    table(rows)
    if parts:
        table([["of that, seconds", *names], *parts])
    rows = [["cxroi run", "seconds", "peak MB", "months read", "of the whole job"]]
    titles = {"whole": "whole job", "unchanged": "unchanged", "new": "new month", "again": "again", "programmes": "programmes"}
    for name, title in titles.items():
        share = f"{100 * middle(ours, name, 'seconds') / middle(ours, 'whole', 'seconds'):.1f} %"
        cells = [ranged(each(ours, name, "seconds")), f"{middle(ours, name, 'mb'):.0f}"]
        rows.append([title, *cells, str(ours[-1][name]["read"]), share])
    table(rows)


def bench(arguments, work):
    peers = list(filter(None, arguments.peers.split(",")))
    task = Bench(arguments, work)
    rows = task.make_lake()
    machine = f"{task.threads} cores, {platform.machine()}, {platform.system()}"
    named = [measured(task.cxroi, "--version")["out"].strip(), *(f"{peer} {version(peer)}" for peer in peers)]
    print(f"{', '.join(named)}; {machine}")
    print(f"{arguments.customers:,} customers, {arguments.months} months and a new one:", named_counts(rows))

    task.run_cxroi()
    compared = {}
    for peer in peers:
        compared[peer] = task.compare(peer)
        print(f"facts equal those of {peer}, all rows and columns:", named_counts(compared[peer]), flush=True)

    runs = {engine: [] for engine in ["cxroi", *peers]}
    for _ in range(arguments.repeat):
        for engine, its in runs.items():
            its.append(task.run(engine))
    show(runs)
    if arguments.json:
        settings = {name: vars(arguments)[name] for name in NUMBERS}
        settings |= {"threads": task.threads, "machine": machine, "versions": named, "rows": rows}
        arguments.json.write_text(json.dumps(settings | {"compared": compared, "runs": runs}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=500_000)
    parser.add_argument("--months", type=int, default=24, help="of the whole job; one more arrives later")
    parser.add_argument("--programmes", type=int, default=100, help="whose return is measured")
    parser.add_argument("--repeat", type=int, default=3, help="timings of each engine")
    parser.add_argument("--cxroi", type=Path, required=True, help="the binary; default: built by `run`")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for lake and outputs, kept; default: a temporary one")
    parser.add_argument("--peers", default="duckdb,polars", help="separated by commas")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    arguments = parser.parse_args()
    known = {"duckdb", "polars"}.issuperset(filter(None, arguments.peers.split(",")))
    if not known or min(vars(arguments)[name] for name in NUMBERS) < 1:
        parser.error("the peers are duckdb and polars; customers, months, programmes and repeat are 1 or more")
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
        return bench(arguments, arguments.work.resolve())
    with tempfile.TemporaryDirectory() as temporary:
        bench(arguments, Path(temporary))


if __name__ == "__main__":
    main()
