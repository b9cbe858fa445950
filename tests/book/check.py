"""The book and README.md, held against the program.

The book builds without a warning. Every page's blocks are run in their order in a folder with a small demo lake, which lies in the
bucket `acme-lake` of an S3 of this machine too: commands of `sh`, queries of `sql` with `cxroi sql`, those of `sql,duckdb` and
`python` with Python; `toml` is parsed and read by `cxroi`, `sql,athena` is parsed. Blocks marked `norun` need what is not here
(a program of Windows); they are counted. Each subcommand, option, file and page that is named must exist, each table and column be
described with its type, and each error that is quoted stand in the source.
"""

import argparse
import contextlib
import csv
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

import boto3
import sqlglot

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BOOK = ROOT / "functions" / "cxroi" / "book"
ENGINE = ROOT / "functions" / "engine" / "src"
PAGES = sorted(page for page in (BOOK / "src").glob("*.md") if page.name != "SUMMARY.md")
FENCE = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A block's kind, and how a shell runs a file of it.
RUN = {
    "sh": ". {}",
    "sql": "cxroi sql -f {}",
    "sql,duckdb": f"{sys.executable} -c 'import duckdb, sys; print(duckdb.sql(open(sys.argv[1]).read()))' {{}}",
    "python": f"{sys.executable} {{}}",
}
PARSED = {"toml", "sql,athena", "json", "text"}
# Whatever fails is written down, and the next command is tried all the same.
SHELL = """
set -E -o pipefail
trap 'status=$?; [[ $BASH_COMMAND == ". "* ]] || printf "%s: exit code %s: %s\\n" "$block" "$status" "$BASH_COMMAND" >>"$failures"' ERR
"""
TYPES = {"Utf8": "text", "Utf8View": "text", "string": "text", "Int": "integer", "Float64": "double", "Decimal": "decimal",
         "Boolean": "boolean", "Timestamp": "timestamp", "Date32": "date"}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cxroi", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "bin").mkdir()
        (work / "bin" / "cxroi").symlink_to(arguments.cxroi.resolve())
        os.environ |= {"PATH": f"{work / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}
        os.environ.pop("CXROI_CONFIG", None)
        found = [*built(work), *named(), *columns(work), *errors(), *words()]
        with bucket(work):
            for page in [ROOT / "README.md", *PAGES]:
                found += [f"{page.name}: {problem}" for problem in executed(page, work)]
    if found:
        sys.exit("\n  - ".join(["the book:", *found]))
    print("the book holds")


def run(*words):
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True).stdout


def demo(folder):
    """A small company whose month is published."""
    run("cxroi", "demo", folder / "cxroi-demo", "--customers", "2000")
    return folder / "cxroi-demo"


@contextlib.contextmanager
def bucket(work):
    """An S3 with the bucket that the pages name: a lake, its configuration, and nothing published."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "tests",
                   "AWS_SECRET_ACCESS_KEY": "for-tests-on-this-machine", "AWS_REGION": "us-east-1"}  # fmt: skip
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "TMPDIR": str(work)}
    with open(work / "server.log", "wb") as log:
        server = subprocess.Popen([pathlib.Path(sys.executable).parent / "ministack"], env=environment, stdout=log, stderr=log)
    try:
        s3 = boto3.client("s3")
        for _ in range(300):
            with contextlib.suppress(Exception):
                s3.create_bucket(Bucket="acme-lake")
                break
            time.sleep(0.1)
        folder = demo(work / "acme")
        for path in [folder / "cxroi.toml", *folder.glob("lake/**/*")]:
            if path.is_file():
                s3.upload_file(str(path), "acme-lake", path.relative_to(folder).as_posix())
        yield
    finally:
        server.terminate()
        server.wait(60)


def built(work):
    """What mdBook says of the book, and each link of a page to another, or to a heading of one, that leads nowhere."""
    mdbook = pathlib.Path(sys.executable).parent / "mdbook"
    done = subprocess.run([mdbook, "build", BOOK, "--dest-dir", work / "html"], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    yield from (line for line in lines if re.search(r"\b(WARN|ERROR)\b|Caused by", line))
    chapters = re.findall(r"\(([\w-]+\.md)\)", (BOOK / "src" / "SUMMARY.md").read_text())
    yield from (f"{page.name} is not in SUMMARY.md" for page in PAGES if page.name not in chapters)
    for page in PAGES if done.returncode == 0 else []:
        for target, _, heading in re.findall(r"\]\(([^)#:]*)(#([^)]*))?\)", page.read_text()):
            html = work / "html" / (target or page.name).replace(".md", ".html")
            if not html.is_file() or heading and f'id="{heading}"' not in html.read_text():
                yield f"{page.name} links to {target}#{heading}, which there is not"


def named():
    """Subcommands with their options, and files of the source, that a page names between backquotes and that there are not."""
    for page in [ROOT / "README.md", *PAGES]:
        text = page.read_text()
        spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
        commands = [span for span in spans if re.match(r"cxroi [a-z]", span)]
        for command in commands:
            name = command.split()[1]
            done = subprocess.run(["cxroi", name, "--help"], capture_output=True, text=True)
            if done.returncode != 0:
                yield f"{page.name}: `{command}`: there is no such command"
                continue
            options = re.findall(r"(?<=\s)--[a-z-]+", command)
            yield from (f"{page.name}: `{command}` has no {option}" for option in options if option not in done.stdout)
        for path in [span for span in spans if re.match(r"(sql|infra|functions|tests)/[\w./]*\w$", span)]:
            if page.name != "README.md" and not (ROOT / path).exists() and not text.count(f"`{path}` of your overlay"):
                yield f"{page.name}: there is no {path}"


def executed(page, work):
    """What goes wrong with the blocks of a page, run in their order in one shell."""
    scratch = work / page.stem
    demo(scratch)
    script, skipped = [SHELL], 0
    for number, (kind, text) in enumerate(blocks(page), 1):
        file = scratch / f"block-{number}"
        file.write_text(text)
        if kind.endswith(",norun"):
            skipped += 1
        elif kind in PARSED:
            yield from (f"block {number}: {problem}" for problem in parsed(kind, text, scratch))
        elif kind in RUN:
            script.append(f'block="block {number}"\n{RUN[kind].format(file)}')
        else:
            yield f"block {number} is {kind}, which nobody checks"
    failures = scratch / "failures"
    failures.touch()
    done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=scratch, env={**os.environ, "failures": str(failures)}, input="select 1",
                          capture_output=True, text=True)  # fmt: skip
    yield from failures.read_text().splitlines()
    if failures.stat().st_size:
        yield from (f"  {line}" for line in done.stderr.splitlines() if re.match(r"error|Traceback|\w+(Error|Exception)\b", line))
    print(f"{page.name}: {len(script) - 1} blocks ran, {skipped} are not run")


def blocks(page):
    """Fenced blocks; of README.md also indented ones, whose program is the one that cargo builds."""
    text = page.read_text()
    yield from FENCE.findall(text)
    if page.name == "README.md":
        lines = re.findall(r"^    ((?:cxroi|cargo run --release --) .*)$", text, re.MULTILINE)
        for line in lines:
            yield "sh", line.replace("cargo run --release --", "cxroi") + "\n"


def parsed(kind, text, scratch):
    """TOML is a configuration that `cxroi` finds nothing wrong with, but for the lake that is not there."""
    try:
        if kind == "sql,athena":
            for statement in sqlglot.parse(text, dialect="athena", error_level=sqlglot.ErrorLevel.RAISE):
                assert not isinstance(statement, sqlglot.exp.Command), "this is not understood"
        elif kind == "json":
            json.loads(text)
        elif kind == "toml":
            tomllib.loads(text)
            (scratch / "settings.toml").write_text(text)
            done = subprocess.run(["cxroi", "check", "--config", scratch / "settings.toml"], capture_output=True, text=True)
            if "settings.toml" in done.stderr:
                yield done.stderr
    except (ValueError, AssertionError, sqlglot.errors.ParseError) as error:
        yield str(error)


def columns(work):
    """Tables, columns and types of columns.md that there are not, or that are others, and those that it leaves out."""
    config = demo(work / "columns") / "cxroi.toml"
    config.write_text(config.read_text().replace("[lake]", '[lake]\ncontrol_totals = "ledger.csv"'))
    (config.parent / "ledger.csv").write_text("month,revenue\n2024-12,1000\n")
    query = "select table_schema, table_name, column_name, data_type from information_schema.columns where table_schema <> 'raw'"
    truth = {}
    for row in csv.DictReader(run("cxroi", "sql", "--config", config, "--format", "csv", "-c", query).splitlines()):
        truth.setdefault(f"{row['table_schema']}.{row['table_name']}", {})[row["column_name"]] = plain(row["data_type"])
    source = (ENGINE / "rejected.rs").read_text()
    fields = re.findall(r'(?:text|Field::new)\("(\w+)", (?:DataType::(\w+), )?(?:true|false)\)', source)
    truth["rejected.parquet"] = {name: plain(kind or "Utf8") for name, kind in fields}
    described = {}
    for part in re.split(r"^### ", (BOOK / "src" / "columns.md").read_text(), flags=re.MULTILINE)[1:]:
        same = re.search(r"^As `(\S+)`", part, re.MULTILINE)
        for name in part.split("\n", 1)[0].split(", "):
            described[name] = dict(described[same[1].replace("*", name.split(".")[1])]) if same else {}
            for names, kind in re.findall(r"^\| (`.*?`) \| (.*?) \|", part, re.MULTILINE):
                described[name] |= dict.fromkeys(re.findall(r"`(\w+)`", names), kind)
    for table in sorted(truth.keys() | described.keys()):
        there, said = truth.get(table, {}), described.get(table, {})
        if not there or not said:
            yield f"columns.md {'leaves out' if there else 'has'} {table}{'' if there else ', which there is not'}"
            continue
        yield from (f"columns.md leaves out {table}.{name}" for name in there if name not in said)
        yield from (f"columns.md has {table}.{name}, which there is not" for name in said if name not in there)
        both = [name for name in said if name in there and said[name] != there[name]]
        yield from (f"columns.md: {table}.{name} is {there[name]}, not {said[name]}" for name in both)


def plain(arrow):
    """Arrow's name of a type in the words of the page."""
    inner = re.match(r"List\((.*)\)", arrow)
    if inner:
        return f"list of {plain(inner[1])}"
    return next((word for name, word in TYPES.items() if arrow.startswith(name)), arrow)


def words():
    """Statuses and flags that report.md leaves out, or that there are not."""
    source, page = sources(), (BOOK / "src" / "report.md").read_text()
    status = re.search(r"fn as_str\(self\).*?\n    }\n", (ENGINE / "estimates.rs").read_text(), re.DOTALL)[0]
    pushed = re.findall(r'(?:flag|flags\.push)\("(\w+)"', source)
    for heading, there in {"Statuses": re.findall(r'"(\w+)"', status), "Flags": pushed}.items():
        section = re.search(rf"^## {heading}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)[1]
        said = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)))
        yield from (f"report.md leaves out {word}" for word in sorted(set(there) - set(said)))
        yield from (f"report.md has {word}, which there is not" for word in said if f'"{word}"' not in source)


def sources():
    """All source but its tests, with strings on one line and quotation marks in them as ”."""
    files = sorted((ROOT / "functions").rglob("src/**/*.rs"))
    source = "\n".join(file.read_text().split("#[cfg(test)]")[0] for file in files)
    return re.sub(r"\\\n\s*", "", source).replace('\\"', "”")


def errors():
    """Quoted messages whose words do not stand in the source, messages of the source that are not quoted, and kinds without a section."""
    source = sources()
    text = (BOOK / "src" / "errors.md").read_text().replace('"', "”")
    quoted = re.findall(r"^\| `(.*?)` \|", text, re.MULTILINE)
    # What is between … stands in the source as it is; the rest is filled in.
    parts = [part for message in quoted for part in re.split(r"\s*…\s*", message) if part]
    yield from (f"errors.md: no source says `{part}`" for part in parts if part not in source)
    made = r"Error::(?:Input|NotReady|Audit|Deadline)\(|return Err\(|\.problem\([^,]+,|refuse\("
    for message in re.findall(rf'(?:{made})\s*(?:&?format!\(\s*)?"([^"]*)"', source):
        told = any(len(part) > 7 and part in message for part in parts)
        if not told and max(len(words) for words in re.split(r"{.*?}", message)) > 12:
            yield f"errors.md leaves out `{message}`"
    kinds = re.search(r"fn kind\(.*?\n    }\n", source, re.DOTALL)[0]
    yield from (f"errors.md has no section {kind}" for kind in re.findall(r'=> "(\w+)"', kinds) if f"\n## {kind}" not in text)
    print(f"errors.md: {len(quoted)} messages")


if __name__ == "__main__":
    main()
