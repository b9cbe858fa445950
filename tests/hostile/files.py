#!/usr/bin/env python3
"""Hostile files: a run ends in order, says which file it could not read, and never publishes another number in silence.

    files.py --cxroi BIN [--files 2000] [--seed 1] [--seconds 1200] [--keep DIR]

A small lake of three months has two files of sales, of which the second is mutated: bits flipped in footer, page headers, data or
text, cut off, ranges repeated or moved, lengths made huge; or made to be trouble from the start: footers of 100,000 columns or row
groups, pages that are tiny on disk and huge in memory, types that no contract has, amounts whose sum does not fit, years 9999 and
-4000, invalid UTF-8, 100,000 columns of CSV, quotes that never close, JSON 10,000 deep. Every case is `cxroi run` with
`run.memory_limit = "512 MB"`, a time limit and an eye on memory.

It must exit with 0 to 3, without a panic or a signal, hold no more than `MOST_MEMORY`, and name the file or the column when it
refuses. Where it publishes, revenue must be that of the untouched lake, or what DuckDB makes of the very same files by its own
statement of the input contract (`tests/peer/compare.py`). A case can be run again by itself: --files 1 --seed SEED.
"""

import argparse
import collections
import datetime
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "peer"), str(HERE)]
import compare  # noqa: E402
from statements import run  # noqa: E402

MOST_MEMORY = 600  # MB
TIME_LIMIT = 60
CONFIG = """timezone = "Europe/Rome"
currency = "EUR"
output.url = "out/"
lake.sales = "sales/"
guards.enabled = false
privacy.min_customers = 0
run.memory_limit = "512 MB"
"""
NAMES = ["customer_id", "order_id", "ordered_at", "amount"]


# The lake.


def rows(first, count):
    """Order lines of October to December 2024, each with an order of its own."""
    made = []
    for number in range(first, first + count):
        at = datetime.datetime(2024, 10 + number % 3, 1 + number % 28, number % 24, tzinfo=datetime.timezone.utc)
        made.append((f"c{number % 40}", f"o{number}", at, Decimal(number % 997) / 10 + Decimal(1)))
    return made


END = ("c1", "end", datetime.datetime(2024, 12, 31, 12, tzinfo=datetime.timezone.utc), Decimal("12.00"))


def table(lines, **columns):
    found = {name: [line[at] for line in lines] for at, name in enumerate(NAMES)} | columns
    types = {"ordered_at": pa.timestamp("us", "UTC"), "amount": pa.decimal128(18, 2)}
    return pa.table({name: pa.array(values, types.get(name)) if isinstance(values, list) else values for name, values in found.items()})


def parquet(lines_or_table, **options):
    out = io.BytesIO()
    pq.write_table(lines_or_table if isinstance(lines_or_table, pa.Table) else table(lines_or_table), out, **options)
    return out.getvalue()


def texts(lines):
    return [[line[0], line[1], line[2].isoformat(), f"{line[3]:f}"] for line in lines]


def csv(lines, delimiter=","):
    return "".join(delimiter.join(line) + "\n" for line in [NAMES, *texts(lines)]).encode()


def as_json(lines, array=False):
    objects = [json.dumps(dict(zip(NAMES, line))) for line in texts(lines)]
    return ("[" + ",".join(objects) + "]" if array else "\n".join(objects) + "\n").encode()


# Mutations of bytes.


def flip_bits(rng, data, first, last):
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        at = rng.randrange(first, last)
        data[at] ^= 1 << rng.randrange(8)


def overwrite(rng, data, first, last):
    patch = rng.choice(
        [b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\x7f", b"\x00" * 8, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\xfe\xff\xff\xff\x0f", rng.randbytes(16)]
    )
    at = rng.randrange(first, last)
    data[at : at + len(patch)] = patch


def cut(rng, data, first, last):
    del data[rng.randrange(first, last) :]


def repeat(rng, data, first, last):
    begin = rng.randrange(first, last)
    end = min(last, begin + rng.randint(1, 200))
    data[end:end] = data[begin:end] * rng.choice([1, 1, 3, 100])


def remove(rng, data, first, last):
    begin = rng.randrange(first, last)
    del data[begin : begin + rng.randint(1, 40)]


def move(rng, data, first, last):
    begin, size = rng.randrange(first, last), rng.randint(1, 60)
    part = data[begin : begin + size]
    del data[begin : begin + size]
    at = rng.randrange(first, max(first + 1, len(data)))
    data[at:at] = part


MUTATIONS = [flip_bits, flip_bits, flip_bits, overwrite, overwrite, cut, repeat, remove, move]


def mutated_parquet(rng, lines):
    """A Parquet file of random layout with a mutation in one of its parts."""
    options = {
        "compression": rng.choice(["none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
        "use_dictionary": rng.random() < 0.5,
        "row_group_size": rng.choice([50, 1000]),
        "data_page_version": rng.choice(["1.0", "2.0"]),
        "write_statistics": rng.random() < 0.7,
        "write_page_index": rng.random() < 0.3,
        "write_page_checksum": rng.random() < 0.2,
    }
    data = bytearray(parquet(lines, **options))
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    part, (first, last) = rng.choice(
        [("footer", (footer, len(data) - 8)), ("footer", (footer, len(data) - 8)), ("pages", (4, footer)), ("pages", (4, footer)), ("ends", (len(data) - 8, len(data)))]
    )
    if part == "ends" and rng.random() < 0.5:
        what = rng.choice([b"PAR1", b"PARE", b"ARROW1", b"\0\0\0\0"])
        data[-4:] = what[:4]
        if rng.random() < 0.5:
            data[-8:-4] = struct.pack("<I", rng.choice([0, 1, 2**31 - 1, 2**32 - 1, len(data), len(data) - 8, 65536]))
        return f"parquet ends {options}", "parquet", bytes(data)
    mutation = rng.choice(MUTATIONS)
    mutation(rng, data, first, last)
    return f"parquet {part} {mutation.__name__} {options}", "parquet", bytes(data)


def mutated_text(rng, lines):
    kind = rng.choice(["csv", "csv", "json", "jsonl", "tsv"])
    make = {"csv": csv, "json": lambda lines: as_json(lines, True), "jsonl": as_json, "tsv": lambda lines: csv(lines, "\t")}
    data = bytearray(make[kind](lines))
    if rng.random() < 0.3:
        junk = rng.choice([b'"', b"\x00", b"\r", b"\n", b",", b";", b"\xff\xfe", b"\xc3", b"{", b"]", b"\\u0000", b"\\", b"'", b"\t", b"\xe2\x80\xa8", b"1e999", b"NaN", b"-", b"null"])
        at = rng.randrange(len(data))
        data[at : at + rng.choice([0, 0, 1])] = junk * rng.choice([1, 1, 50])
        return f"{kind} with {junk!r} at {at}", kind, bytes(data)
    mutation = rng.choice(MUTATIONS)
    mutation(rng, data, 0, len(data))
    return f"{kind} {mutation.__name__}", kind, bytes(data)


# Files that are trouble by themselves.


def with_amounts(lines, data_type, values):
    """The lines, with other amounts in a Parquet type."""
    made = table(lines)
    return parquet(made.set_column(3, "amount", pa.array([values[at % len(values)] for at in range(len(lines))], data_type)))


def with_column(lines, name, array):
    made = table(lines)
    return parquet(made.set_column(made.schema.get_field_index(name), name, array))


def of_type(lines, name, data_type, value):
    return with_column(lines, name, pa.array([value(at, line) for at, line in enumerate(lines)], data_type))


def years(lines, year):
    """Instants of a year far away: as microseconds, as pyarrow has no dates there."""
    at = (year - 1970) * 31_556_952 * 1_000_000
    return with_column(lines, "ordered_at", pa.array([at] * len(lines), pa.timestamp("us", "UTC")))


def special_cases(lines):
    count = len(lines)
    line = lines[0]
    many = lambda number: [f"x{at}" for at in range(number)]
    limit, money_limit = "9" * 38, Decimal("9" * 16 + ".9999")
    whole = lambda at, line: at
    base = parquet(lines)
    yield "empty", "parquet", lambda: b""
    yield "magic alone", "parquet", lambda: b"PAR1PAR1"
    yield "12 bytes", "parquet", lambda: b"PAR1\0\0\0\0PAR1"
    yield "text as Parquet", "parquet", lambda: csv(lines)
    yield "Parquet as CSV", "csv", lambda: base
    yield "Parquet as JSON", "json", lambda: base
    yield "encrypted magic", "parquet", lambda: base[:-4] + b"PARE"
    yield "zip", "parquet", lambda: b"PK\3\4" + base
    yield "gzip as CSV", "csv", lambda: __import__("gzip").compress(csv(lines))
    yield "footer twice", "parquet", lambda: base + base
    yield "no rows", "parquet", lambda: parquet(table(lines).slice(0, 0))
    yield "no columns", "parquet", lambda: parquet(pa.table({}))
    yield "100,000 columns", "parquet", lambda: parquet(pa.table({name: [1] for name in many(100_000)}))
    yield "30,000 columns beside", "parquet", lambda: parquet(table(lines[:1], **{name: [1] for name in many(30_000)}))
    yield "100,000 row groups", "parquet", lambda: parquet(table([(*line[:1], f"g{at}", *line[2:]) for at in range(100_000)]), row_group_size=1, write_statistics=False, use_dictionary=False)
    yield "a column name of 1 MB", "parquet", lambda: parquet(table(lines, **{"x" * 1_000_000: [1] * count}))
    yield "deep types", "parquet", lambda: parquet(table(lines, deep=pa.array([deep_value(60)] * count)))
    yield "20 M equal lines", "parquet", lambda: with_equal_lines(20_000_000)
    yield "one page of 1 GB", "parquet", lambda: with_note(lines, 1_000, 1_000_000)
    yield "one page of 1 GB, ids", "parquet", lambda: with_long_ids(lines, 100, 10_000_000)
    yield "texts of 10 MB", "parquet", lambda: with_long_ids(lines, 5, 10_000_000)
    yield "a dictionary of 300 MB", "parquet", lambda: with_note(lines, 300, 1_000_000, True)
    yield "CSV text of 10 MB", "csv", lambda: csv([("c" * 10_000_000, *line[1:]), *lines[1:]])
    yield "CSV text of 100 MB", "csv", lambda: csv([("c" * 100_000_000, *line[1:]), *lines[1:]])
    yield "JSON text of 100 MB", "jsonl", lambda: as_json([("c" * 100_000_000, *line[1:]), *lines[1:]])
    for name in NAMES:
        for kind, data_type, value in (
            ("uint64", pa.uint64(), lambda at, line: 2**64 - 1 - at),
            ("int8", pa.int8(), lambda at, line: at % 100),
            ("bool", pa.bool_(), lambda at, line: at % 2 == 0),
            ("list", pa.list_(pa.string()), lambda at, line: ["x"]),
            ("struct", pa.struct([("x", pa.int64())]), lambda at, line: {"x": at}),
            ("map", pa.map_(pa.string(), pa.int64()), lambda at, line: [("x", at)]),
            ("null", pa.null(), lambda at, line: None),
            ("binary", pa.binary(), lambda at, line: b"\xff\xfe%d" % at),
            ("fixed binary", pa.binary(4), lambda at, line: struct.pack("<i", at)),
            ("time", pa.time64("us"), whole),
            ("duration", pa.duration("us"), whole),
            ("half", pa.float16(), lambda at, line: __import__("numpy").float16(1.5)),
            ("dictionary", pa.dictionary(pa.int8(), pa.string()), lambda at, line: f"d{at % 5}"),
            ("decimal256", pa.decimal256(76, 2), lambda at, line: Decimal("9" * 70)),
            ("text", pa.large_string(), lambda at, line: "1.5"),
        ):
            yield f"{name} as {kind}", "parquet", lambda name=name, data_type=data_type, value=value: of_type(lines, name, data_type, value)
    for words, data_type, values in (
        ("NaN", pa.float64(), [float("nan"), 1.0]),
        ("one NaN", pa.float64(), [float("nan"), *[1.5] * 400]),
        ("infinite", pa.float64(), [float("inf")]),
        ("one infinity", pa.float64(), [float("-inf"), *[1.5] * 400]),
        ("1e308", pa.float64(), [1e308]),
        ("1e15", pa.float64(), [1e15]),
        ("1e-320", pa.float64(), [1e-320]),
        ("-0.0", pa.float64(), [-0.0]),
        ("0.1 + 0.2", pa.float64(), [0.1 + 0.2, 1.005, 2.675, 0.00005, 0.00015]),
        ("decimal(38,0) at the limit", pa.decimal128(38, 0), [Decimal(limit)]),
        ("decimal(38,0) both limits", pa.decimal128(38, 0), [Decimal(limit), Decimal("-" + limit)]),
        ("decimal(38,38)", pa.decimal128(38, 38), [Decimal("0." + "9" * 38)]),
        ("decimal(38,4) at the limit", pa.decimal128(38, 4), [Decimal(limit[4:] + "." + limit[:4])]),
        ("decimal(20,4) at the limit", pa.decimal128(20, 4), [money_limit]),
        ("decimal(20,4) at both", pa.decimal128(20, 4), [money_limit, -money_limit]),
        ("decimal(18,-3)", pa.decimal128(18, 0), [Decimal(10**17)]),
        ("int64 at the limit", pa.int64(), [2**63 - 1]),
        ("int64 at both", pa.int64(), [2**63 - 1, -(2**63)]),
        ("uint64 at the limit", pa.uint64(), [2**64 - 1]),
        ("six decimals", pa.decimal128(22, 6), [Decimal("0.000049"), Decimal("0.000050"), Decimal("0.000051")]),
    ):
        yield f"amounts: {words}", "parquet", lambda data_type=data_type, values=values: with_amounts(lines, data_type, values)
    for year in (-4000, -290_000, 0, 1, 1677, 2262, 9999, 10_000, 100_000, 290_000):
        yield f"year {year}", "parquet", lambda year=year: years(lines, year)
        yield f"one row of the year {year}", "parquet", lambda year=year: joined(lines, year)
    for unit, value in (("s", 2**52), ("ms", 2**62), ("us", 2**63 - 1), ("ns", 2**63 - 1), ("s", -(2**52)), ("ns", -(2**63)), ("us", -(2**63))):
        yield f"{value} {unit}", "parquet", lambda unit=unit, value=value: with_column(lines, "ordered_at", pa.array([value] * count, pa.timestamp(unit)))
    yield "days of year 5,000,000", "parquet", lambda: with_column(lines, "ordered_at", pa.array([2**31 - 1] * count, pa.date32()))
    yield "date64", "parquet", lambda: with_column(lines, "ordered_at", pa.array([2**62] * count, pa.date64()))
    text = csv(lines).decode()
    yield "100,000 columns of CSV", "csv", lambda: (",".join(NAMES + many(100_000)) + "\n" + ",".join([*texts(lines)[0], *["1"] * 100_000]) + "\n").encode()
    yield "header of 70 kB", "csv", lambda: text.replace("amount", "amount," + "x" * 70_000, 1).replace("\n", ",1\n").encode()
    yield "unclosed quote", "csv", lambda: text.replace("c3,", '"c3,', 1).encode()
    yield "unclosed quote in the last column", "csv", lambda: unclosed(text)
    yield "unclosed quote at the end", "csv", lambda: (text + '"c3,o9').encode()
    yield "unclosed quote in the header", "csv", lambda: ('"' + text).encode()
    yield "quotes in quotes", "csv", lambda: text.replace("c3,", '"c""3"",', 1).encode()
    yield "ragged lines", "csv", lambda: text.replace("\n", ",1,2,3\n", 5).encode()
    yield "short lines", "csv", lambda: (text + "c1\n" * 3).encode()
    yield "no header", "csv", lambda: text.split("\n", 1)[1].encode()
    yield "header alone", "csv", lambda: text.split("\n", 1)[0].encode()
    yield "header twice", "csv", lambda: (text + text).encode()
    yield "columns twice", "csv", lambda: text.replace("customer_id", "customer_id,customer_id", 1).encode()
    yield "CR alone", "csv", lambda: text.replace("\n", "\r").encode()
    yield "CR CR LF", "csv", lambda: text.replace("\n", "\r\r\n").encode()
    yield "NULs", "csv", lambda: text.encode() + b"\0" * 1_000_000
    yield "UTF-16", "csv", lambda: text.encode("utf-16")
    yield "UTF-16 without a mark", "csv", lambda: text.encode("utf-16-be")
    yield "UTF-32", "csv", lambda: text.encode("utf-32")
    yield "a mark twice", "csv", lambda: b"\xef\xbb\xbf\xef\xbb\xbf" + text.encode()
    yield "Latin-1", "csv", lambda: text.replace("c3,", "\xe93,").encode("latin-1")
    yield "lone surrogate", "csv", lambda: text.encode().replace(b"c3,", b"\xed\xa0\x80,")
    yield "formula", "csv", lambda: text.replace("c3,", "=cmd|' /C calc'!A0,").encode()
    yield "comma decimals", "csv", lambda: csv(lines, ";").replace(b".", b",")
    yield "thousands", "csv", lambda: text.replace("o3,", "o3,", 1).replace(",12.", ',"1,012.', 1).encode()
    yield "hexadecimal amounts", "csv", lambda: text.replace("\n", "\n0x1p3,", 3).encode()
    yield "amounts as 1e3", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + ",1e3" if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "amounts with blanks", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + ", 1.5 " if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "amounts with +", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + ",+1.5" if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "amounts with _", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + ",1_000" if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "amounts of many digits", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + ",1." + "3" * 60 if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "amounts beyond", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + "," + "9" * 30 if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "Arabic digits", "csv", lambda: "\n".join(line.rsplit(",", 1)[0] + ",١٢" if at else line for at, line in enumerate(text.splitlines())).encode()
    yield "a line of 100 MB", "csv", lambda: (text + "," * 100_000_000 + "\n").encode()
    yield "blank lines", "csv", lambda: (text + "\n" * 1_000_000).encode()
    objects = as_json(lines).decode()
    yield "JSON 10,000 deep", "json", lambda: ("[" * 10_000 + "]" * 10_000).encode()
    yield "JSON objects 10,000 deep", "json", lambda: ("[" + '{"a":' * 10_000 + "1" + "}" * 10_000 + "]").encode()
    yield "JSON lines 10,000 deep", "jsonl", lambda: (objects + '{"a":' * 10_000 + "1" + "}" * 10_000 + "\n").encode()
    yield "JSON 100 deep", "jsonl", lambda: (objects.replace("{", '{"deep": ' + "[" * 100 + "]" * 100 + ",")).encode()
    yield "keys twice", "jsonl", lambda: objects.replace("{", '{"amount": "1", ').encode()
    yield "keys twice after", "jsonl", lambda: objects.replace("}", ', "amount": "1"}').encode()
    yield "JSON with a mark", "json", lambda: b"\xef\xbb\xbf" + as_json(lines, True)
    yield "JSON in UTF-16", "json", lambda: as_json(lines, True).decode().encode("utf-16")
    yield "JSON with NUL", "jsonl", lambda: objects.replace("c3", "c\\u00003").encode()
    yield "JSON with lone surrogates", "jsonl", lambda: objects.replace("c3", "\\ud800").encode()
    yield "JSON with NaN", "jsonl", lambda: objects.replace('"2.00"', "NaN").replace('"1.1"', "NaN").encode()
    yield "JSON of numbers", "jsonl", lambda: "".join(json.dumps(dict(zip(NAMES, [*line[:3], 1.5]))) + "\n" for line in texts(lines)).encode()
    yield "JSON of large numbers", "jsonl", lambda: "".join(json.dumps(dict(zip(NAMES, [*line[:3], 10**30]))) + "\n" for line in texts(lines)).encode()
    yield "JSON of 1e400", "jsonl", lambda: objects.replace('"amount": "', '"amount": 1e400, "x": "').encode()
    yield "JSON of mixed types", "jsonl", lambda: (objects + '{"customer_id": 1, "order_id": "x", "ordered_at": "2024-12-01", "amount": 5}\n').encode()
    yield "JSON arrays in lines", "jsonl", lambda: b"[1]\n[2]\n"
    yield "JSON scalars", "jsonl", lambda: b"1\n2\n"
    yield "JSON null", "json", lambda: b"null"
    yield "JSON of nothing", "json", lambda: b"[]"
    yield "JSON of empty objects", "json", lambda: b"[{},{}]"
    yield "JSON with 100,000 keys", "jsonl", lambda: (objects + json.dumps({name: 1 for name in many(100_000)}) + "\n").encode()
    yield "JSON of many new keys", "jsonl", lambda: "".join(json.dumps({f"k{at}": 1, "amount": "1"}) + "\n" for at in range(20_000)).encode()
    yield "JSON lines in an array file", "json", lambda: objects.encode()
    yield "an array twice", "json", lambda: as_json(lines, True) * 2
    yield "an array in lines, cut", "json", lambda: as_json(lines, True)[:-1]


def unclosed(text):
    """The tenth line's last field opens a quote, and the rest of the file is in it."""
    lines = text.split("\n")
    lines[9] = '"'.join(lines[9].rpartition(",")[::2]).replace('"', ',"', 1)
    return "\n".join(lines).encode()


def deep_value(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def with_equal_lines(count):
    """Many equal lines in a few kilobytes."""
    column = lambda value, data_type: pa.DictionaryArray.from_arrays(pa.array([0] * 1, pa.int8()).take(pa.array([0] * count, pa.int32())), pa.array([value], data_type))
    columns = {"customer_id": column("c1", pa.string()), "order_id": column("o-equal", pa.string())}
    columns["ordered_at"] = pa.array([END[2]], pa.timestamp("us", "UTC")).take(pa.array([0] * count, pa.int32()))
    columns["amount"] = pa.array([Decimal("1.00")], pa.decimal128(18, 2)).take(pa.array([0] * count, pa.int32()))
    return parquet(pa.table(columns), compression="zstd", row_group_size=count)


def with_note(lines, count, size, dictionary=False):
    """A column of long texts that are small when they are packed, in one page, that nobody asked for."""
    lines = (lines * (count // len(lines) + 1))[:count]
    lines = [(line[0], f"n{at}", *line[2:]) for at, line in enumerate(lines)]
    notes = [str(at % 10) * size for at in range(count)] if not dictionary else [f"{at:09}" + "x" * size for at in range(count)]
    return parquet(table(lines, note=notes), compression="zstd", use_dictionary=dictionary, data_page_size=2**31 - 1, write_statistics=False, dictionary_pagesize_limit=2**31 - 1)


def with_long_ids(lines, count, size):
    lines = [(f"{at:09}" + "x" * size, f"l{at}", *line[2:]) for at, line in enumerate(lines[:count])]
    return parquet(table(lines), compression="zstd", use_dictionary=False, data_page_size=2**31 - 1, write_statistics=False)


def joined(lines, year):
    """Good lines and one of another year."""
    at = pa.array([(year - 1970) * 31_556_952 * 1_000_000], pa.timestamp("us", "UTC"))
    good = table(lines)
    odd = table([END]).set_column(1, "order_id", pa.array(["odd"])).set_column(2, "ordered_at", at)
    return parquet(pa.concat_tables([good, odd]))


# What must hold.


def published_revenue(folder):
    path = folder / "out/summaries/money/period=2024-12/money.parquet"
    for row in pq.ParquetFile(path).read().to_pylist():
        if (row["metric"], row["window"], row["segment"]) == ("revenue", "MONTH", "(all)"):
            return row["amount"]
    return None


def revenue_of_duckdb(folder):
    """What a second engine makes of the same files, or why it cannot."""
    engine = duckdb.connect(config={"threads": 1, "memory_limit": "2GB"})
    try:
        engine.execute("set timezone = 'UTC'; create schema staging")
        compare.stage(engine, folder, "sales", dict(compare.PARAMETERS, history_from=None))
        return engine.execute(f"select sum(amount) from staging.sales where month = {compare.AS_OF}").fetchone()[0]
    except Exception as error:  # whatever it is that it does not like
        return f"{type(error).__name__}: {str(error)[:150]}"
    finally:
        engine.close()


# What a refusal says: the file, how many rows were set aside and why, how far the sales that can be used reach, or that there is
# no memory for them.
SAYS = ("b-hostile", "rejected, more than 1 %", "is not closed: the last row of sales", "the first sale is of", "esources exhausted", "sales cannot be used:")
SAYS += ("sales has no row with a readable ordered_at", "accounted for: one of its files may be damaged")


class Findings:
    def __init__(self):
        self.codes, self.failed, self.largest, self.kinds = collections.Counter(), 0, [], collections.Counter()

    def say(self, kind, seed, name, ended, more=""):
        self.failed += 1
        self.kinds[kind] += 1
        if self.kinds[kind] <= 25:
            last = " | ".join(ended.text.strip().splitlines()[-3:])[:400]
            print(f"{kind}: {name}: {more}: {last}; replay: files.py --files 1 --seed {seed}", flush=True)


# Files without a row, and those that would not go beside a file of plain types: these are a lake of their own.
EMPTY = ("no columns", "no rows", "JSON of nothing", "header alone")
ALONE = (" as ", "amounts: ", "date64", "days of", "JSON of", "keys", "a mark")


def good(ending):
    """The file beside the hostile one, in its format."""
    lines = [*rows(0, 300), END]
    if ending == "parquet":
        return parquet(lines)
    return {"csv": csv(lines), "tsv": csv(lines, "\t"), "json": as_json(lines, True), "jsonl": as_json(lines)}[ending]


def case(seed):
    """The case of a seed: the first are the special ones, in order, then mutations."""
    lines = rows(1_000, 300)
    special = list(special_cases(lines))
    if 1 <= seed <= len(special):
        name = special[seed - 1][0]
        is_alone = any(words in name for words in ALONE)
        _, ending, make = list(special_cases([*lines, END]))[seed - 1] if is_alone else special[seed - 1]
        return name, ending, make()
    rng = random.Random(seed)
    return mutated_parquet(rng, lines) if rng.random() < 0.7 else mutated_text(rng, lines)


def truth_of(name):
    """December's revenue, had nobody touched the files."""
    is_alone = any(words in name for words in ALONE)
    lines = [] if name in EMPTY else rows(1_000, 300)
    lines = [*lines, END] if is_alone else [*rows(0, 300), *lines, END]
    return sum(line[3] for line in lines if line[2].month == 12)


def hold(findings, cxroi, folder, seed):
    name, ending, data = case(seed)
    (folder / "sales").mkdir(parents=True)
    if not any(words in name for words in ALONE):
        (folder / "sales" / f"a-good.{ending}").write_bytes(good(ending))
    (folder / "sales" / f"b-hostile.{ending}").write_bytes(data)
    (folder / "cxroi.toml").write_text(CONFIG)
    ended = run([cxroi, "run", "--period", "2024-12"], folder, TIME_LIMIT)
    findings.codes[ended.code] += 1
    findings.largest.append((ended.memory, name))
    if "panicked at" in ended.text or "overflowed its stack" in ended.text:
        caught = ended.code in (0, 1, 2, 3) and "b-hostile" in ended.text
        findings.say("shows a panic that it caught" if caught else "panics", seed, name, ended)
    if ended.stopped:
        findings.say(f"goes on (stopped for {ended.stopped})", seed, name, ended, f"{ended.seconds:.0f} s, {ended.memory} MB")
    elif ended.code < 0:
        findings.say(f"ends by {signal.Signals(-ended.code).name}", seed, name, ended, f"{ended.memory} MB")
    elif ended.code not in (0, 1, 2, 3):
        findings.say(f"exits with {ended.code}", seed, name, ended)
    elif ended.code and name.startswith("one ") and "rejected, more than 1 %" not in ended.text and "the first sale" not in ended.text:
        findings.say("one row stops the run", seed, name, ended)
    elif ended.code and not any(words in ended.text for words in SAYS):
        findings.say("says not what is wrong where", seed, name, ended)
    elif "nternal error" in ended.text:
        findings.say("an internal error", seed, name, ended)
    if ended.memory > MOST_MEMORY:
        findings.say("memory", seed, name, ended, f"{ended.memory} MB")
    if ended.code == 0:
        found = published_revenue(folder)
        if found != truth_of(name):
            other = revenue_of_duckdb(folder)
            # Where a page has no checksum, nobody can tell all that was changed in it.
            is_unseen = isinstance(other, str) and "'write_page_checksum': False" in name
            if found != other and not is_unseen:
                findings.say("another number", seed, name, ended, f"published {found}, untouched {truth_of(name)}, DuckDB {other}")
    return ended


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxroi", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1, help="the first case; the first ones are listed, the others random")
    parser.add_argument("--seconds", type=float, default=1_200, help="start no case after so many seconds")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the lakes of cases in DIR/<seed>")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    findings, cases, started = Findings(), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(arguments.seed, arguments.seed + arguments.files):
            if time.monotonic() - started > arguments.seconds:
                print(f"stopped for time after {cases} cases")
                break
            folder = (arguments.keep or Path(temporary)).resolve() / str(seed)
            hold(findings, arguments.cxroi, folder, seed)
            cases += 1
            if not arguments.keep:
                shutil.rmtree(folder)
    print("exit codes: " + ", ".join(f"{code}: {count}" for code, count in sorted(findings.codes.items())))
    for memory, name in sorted(findings.largest, reverse=True)[:5]:
        print(f"{memory} MB: {name[:100]}")
    for kind, count in findings.kinds.most_common():
        print(f"{count:6} {kind}")
    print(f"{cases} files, {findings.failed} findings")
    sys.exit(1 if findings.failed else 0)


if __name__ == "__main__":
    main()
