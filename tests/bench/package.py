#!/usr/bin/env python3
"""What is deployed, and how it starts.

    run package [--programs DIR] [--starts 20]

Zips each Lambda program as it is deployed, and prints its size: as it is, stored, and deflated, at most 45 MB. Starts each
so many times beside a runtime API of our own, and prints the median and the range of milliseconds from before the program
is executed until it asks for its first event, at most 100. Then the three do the golden month: plan, a rollup for each
month, report, each in one process, from files of this machine; printed are the seconds of all its calls and its highest
memory. A limit that does not hold ends the benchmark with exit code 1.

The programs are those of the profile that is deployed (`dist`), for this machine; `--programs` takes others.
"""

import argparse
import http.server
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

from bench import table

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FUNCTIONS = ("plan", "rollup", "report")
MEGABYTES, MILLISECONDS = 45, 100
PATIENCE = 300


class Runtime(http.server.ThreadingHTTPServer):
    """The API that Lambda gives its runtimes, for one program at a time."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events, self.answers, self.polls = queue.Queue(), queue.Queue(), queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """A program that is ended breaks its connection off."""

    def start(self, program, config):
        """The program, and the seconds until it asked for an event."""
        environment = {
            "PATH": os.environ["PATH"], "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": program.name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3538", "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
            "AWS_LAMBDA_LOG_STREAM_NAME": "bench", "CXROI_CONFIG": config,
        }  # fmt: skip
        before = time.perf_counter()
        child = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL)
        return child, self.polls.get(timeout=PATIENCE) - before

    def call(self, event):
        self.events.put(event)
        kind, answer = self.answers.get(timeout=PATIENCE)
        if kind != "response":
            sys.exit(f"{event} is answered with {answer}")
        return json.loads(answer)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.polls.put(time.perf_counter())
        event = json.dumps(self.server.events.get()).encode()
        deadline = int((time.time() + 900) * 1000)
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", f"{deadline}")
        self.send_header("Lambda-Runtime-Deadline-Ms", f"{deadline}")
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:bench")
        self.send_header("Content-Length", str(len(event)))
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answers.put((self.path.rpartition("/")[2], body.decode()))

    def log_message(self, *_):
        pass


def end(child):
    child.kill()
    child.wait()


def zipped(program, method):
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", method, compresslevel=9) as archive:
            archive.write(program, "bootstrap")
        return file.tell() / 1e6


def starts(program, config, count):
    """Milliseconds of each start."""
    found = []
    for _ in range(count):
        with Runtime() as runtime:
            child, seconds = runtime.start(program, config)
            end(child)
            runtime.shutdown()
        found.append(seconds * 1000)
    return found


def golden_month(programs, work):
    """Seconds and highest megabytes of each function."""
    shutil.copytree(GOLDEN / "lake", work / "lake")
    shutil.copy(GOLDEN / "cxroi.toml", work)
    config = (work / "cxroi.toml").as_uri()
    found = {}

    def run(name, events):
        with Runtime() as runtime:
            child, _ = runtime.start(programs / name, config)
            before = time.perf_counter()
            answers = [runtime.call(event) for event in events]
            seconds = time.perf_counter() - before
            status = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
            end(child)
            runtime.shutdown()
        found[name] = (len(events), seconds, peak)
        return answers

    [planned] = run("plan", [{}])
    run("rollup", [{"plan": planned["plan"], "month": month} for month in planned["months"]])
    [published] = run("report", [{"plan": planned["plan"]}])
    if not published["periods"]:
        sys.exit("the golden month was not published")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, required=True, help="the folder of plan, rollup and report; default: built by `run`")
    parser.add_argument("--starts", type=int, default=20)
    arguments = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as work:
        month = golden_month(arguments.programs, Path(work))
        config = (Path(work) / "cxroi.toml").as_uri()
        rows = [["program", "MB", "stored", "deflated", "start, ms", "calls", "seconds", "peak MB"]]
        for name in FUNCTIONS:
            program = arguments.programs / name
            size, times = zipped(program, zipfile.ZIP_DEFLATED), starts(program, config, arguments.starts)
            calls, seconds, peak = month[name]
            start = f"{statistics.median(times):.0f} ({min(times):.0f}..{max(times):.0f})"
            sizes = [program.stat().st_size / 1e6, zipped(program, zipfile.ZIP_STORED), size]
            rows.append([name, *(f"{size:.1f}" for size in sizes), start, str(calls), f"{seconds:.2f}", f"{peak:.0f}"])
            missed += [f"{name}.zip has more than {MEGABYTES} MB"] * (size > MEGABYTES)
            missed += [f"{name} starts in more than {MILLISECONDS} ms"] * (statistics.median(times) > MILLISECONDS)
    table(rows)
    if missed:
        sys.exit("\n" + "\n".join(missed))


if __name__ == "__main__":
    main()
