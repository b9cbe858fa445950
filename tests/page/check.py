"""The report page in headless Chromium, and the workbook in LibreOffice, as people open them.

Of several lakes `cxroi run` publishes twice: the page must be the same bytes, below 1 MB, and ask for nothing. In wide and
narrow windows, light and dark, with scripts and without, every chart must be there, no text of a chart cut off or on top of
another, and nothing stick out of the page; axe-core must find no violation, the colours of charts stand out from the paper, and what is printed stay within 22 sheets.
The workbook must hold every row of the estimates, with its value, after LibreOffice has converted it, and `summary.json` what its
schema says.
"""

import argparse
import base64
import csv
import datetime
import decimal
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
LARGEST = 1_000_000
# Printed, with every table that is folded on the screen. The golden lake, with fourteen programmes, has the most.
SHEETS = 22
WIDTHS = (1200, 360)

# Of every chart that is seen: the texts that leave it, and the pairs of texts that cover each other.
TEXTS = """
const found = [];
for (const svg of document.querySelectorAll('svg[role=img]')) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const name = svg.getAttribute('aria-label');
    const texts = [...svg.querySelectorAll('text')].filter(text => text.textContent && text.getAttribute('opacity') !== '0');
    for (const title of svg.querySelectorAll('.role-axis-title text')) {
        if (title.textContent.endsWith('…')) found.push(`${name}: "${title.textContent}" is cut off`);
    }
    const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
    for (const [text, box] of boxes) {
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
            found.push(`${name}: "${text}" is cut off`);
    }
    for (const [one, [text, box]] of boxes.entries()) {
        for (const [other, beside] of boxes.slice(one + 1)) {
            const wide = Math.min(box.right, beside.right) - Math.max(box.left, beside.left);
            const high = Math.min(box.bottom, beside.bottom) - Math.max(box.top, beside.top);
            // Of two numbers below an axis that nearly touch, nobody can tell the digits.
            const close = [text, other].every(word => /^[−0-9][0-9,.]{2,}$/.test(word)) ? -3 : 1;
            if (wide > close && high > 3) found.push(`${name}: "${text}" is on top of "${other}"`);
        }
    }
}
return found;
"""
SEEN = "return [...document.querySelectorAll('svg[role=img]')].filter(svg => svg.getBoundingClientRect().width > 0).length"
STICKS_OUT = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOURS = "const style = getComputedStyle(document.documentElement); return arguments[0].map(name => style.getPropertyValue(name).trim())"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cxroi", type=pathlib.Path, required=True)
    parser.add_argument("--axe", type=pathlib.Path, required=True, help="axe.min.js of axe-core")
    parser.add_argument("--shots", type=pathlib.Path, help="where to keep the screenshots")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        shots = arguments.shots or work / "shots"
        shots.mkdir(parents=True, exist_ok=True)
        browser = started(work)
        try:
            check_summary(HERE / "summary.example.json")
            for name, make in LAKES.items():
                published = make(arguments.cxroi, work / name)
                same = make(arguments.cxroi, work / f"{name}-again")
                page = published / "report.html"
                assert page.read_bytes() == (same / "report.html").read_bytes(), f"{name}: a second run made another page"
                assert (published / "roi.xlsx").read_bytes() == (same / "roi.xlsx").read_bytes(), f"{name}: another workbook"
                charts = check_page(browser, name, page, arguments.axe.read_text(), shots)
                if name == "golden":
                    check_why(published, page.read_text())
                    check_restated(arguments.cxroi, work / name, page)
                if name == "sales_only":
                    assert "no order line of these customers has a category" in page.read_text(), f"{name}: says not what it lacks"
                check_summary(published / "summary.json")
                rows = check_workbook(published, work)
                print(f"{name}: {charts} charts, {page.stat().st_size:,} bytes; {rows:,} rows in the workbook")
        finally:
            browser.quit()
    print("the page and the workbook hold")


def run(cxroi, *words):
    subprocess.run([cxroi, *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def golden(cxroi, folder):
    """Two months, so that there is a trend."""
    shutil.copytree(GOLDEN / "lake", folder / "lake")
    shutil.copy(GOLDEN / "cxroi.toml", folder / "cxroi.toml")
    for period in ("2024-11", "2024-12"):
        run(cxroi, "run", "--config", folder / "cxroi.toml", "--period", period)
    return folder / "out" / "summaries" / "latest"


def demo(cxroi, folder):
    run(cxroi, "demo", folder, "--customers", 2000)
    return folder / "out" / "summaries" / "latest"


def written(cxroi, folder, sales, more=""):
    folder.mkdir()
    (folder / "sales.csv").write_text("customer_id,order_id,ordered_at,amount\n" + "".join(sales))
    (folder / "cxroi.toml").write_text(f'currency = "EUR"\n[lake]\nsales = "sales.csv"\n{more}[output]\nurl = "out/"\n')
    run(cxroi, "run", "--config", folder / "cxroi.toml", "--period", "2024-12")
    return folder / "out" / "summaries" / "latest"


def sales_only(cxroi, folder):
    lines = (
        f"c{customer},o{customer}-{month},2024-{month:02}-{1 + customer % 28:02},{10 + customer * month % 37}.50\n"
        for customer in range(60)
        for month in range(1, 13)
    )
    return written(cxroi, folder, itertools.chain(lines, ["c1,last,2024-12-31,12.00\n"]))


def insufficient(cxroi, folder):
    """One customer with one order and one answer."""
    folder.mkdir()
    answers = folder / "interactions.csv"
    answers.write_text("customer_id,occurred_at,nps,channel\nc1,2024-12-30,9,phone\n")
    shutil.move(answers, folder.parent / f"{folder.name}.csv")
    folder.rmdir()
    more = f'interactions = "../{folder.name}.csv"\n'
    return written(cxroi, folder, ["c1,o1,2024-12-31,12.00\n"], more)


LAKES = {"golden": golden, "demo": demo, "sales_only": sales_only, "insufficient": insufficient}


def started(work):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for word in (
        "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        " --disable-component-update --disable-sync --hide-scrollbars --force-color-profile=srgb"
    ).split():
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={work / 'browser'}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def check_page(browser, name, page, axe, shots):
    text = page.read_text()
    assert len(text.encode()) < LARGEST, f"{name}: {len(text.encode())} bytes"
    assert not re.search(r"<script|\son\w+=|javascript:|@import|url\((?!#)", text), f"{name}: something that runs or is fetched"
    expected = text.count('<figure class="chart">')
    for width, scheme in itertools.product(WIDTHS, ("light", "dark")):
        where = f"{name}, {width} pixels, {scheme}"
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        pictures = []
        for blocked in (True, False):
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": blocked})
            browser.get(f"file://{page}")
            pictures.append(screenshot(browser))
        assert pictures[0] == pictures[1], f"{where}: without scripts it looks otherwise"
        (shots / f"{name}-{width}-{scheme}.png").write_bytes(pictures[1])
        assert browser.execute_script(SEEN) == expected, f"{where}: {browser.execute_script(SEEN)} of {expected} charts are seen"
        assert browser.execute_script(TEXTS) == [], (where, browser.execute_script(TEXTS))
        assert browser.execute_script(STICKS_OUT) <= 0, f"{where}: the page is wider than its window"
        names = ["--paper", "--axis", "--first", "--second", "--third", "--more", "--less"]
        paper, *marks = browser.execute_script(COLOURS, names)
        for mark, colour in zip(names[1:], marks):
            assert contrast(paper, colour) >= 3, f"{where}: {mark} does not stand out"
        # The tables below the charts are looked at too.
        browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
        browser.execute_script(axe)
        found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        wrong = [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
        assert not wrong, (where, wrong)
        assert len(found["passes"]) > 10, f"{where}: axe-core looked at nothing"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True})
    (shots / f"{name}.pdf").write_bytes(decoded(printed["data"]))
    sheets = len(re.findall(rb"/Type\s*/Page\b", decoded(printed["data"])))
    assert 0 < sheets <= SHEETS, f"{name}: {sheets} sheets of paper"
    for entry in browser.get_log("performance"):
        for url in re.findall(r'"requestWillBeSent".*?"url":"([^"]+)"', entry["message"]):
            assert url.startswith("file://"), f"{name}: asked for {url}"
    return expected


def check_why(published, text):
    """The page says by what shares of answers the score moved since the month before."""
    shares = []
    for period in ("2024-11", "2024-12"):
        table = pq.read_table(published.parent / "estimates" / f"period={period}" / "estimates.parquet").to_pylist()
        score, detractors = (
            next(row["value"] for row in table if (row["metric"], row["window"], row["segment"]) == (metric, "T3M", "(all)"))
            for metric in ("nps", "detractor_share")
        )
        shares.append((score / 100 + detractors, detractors))
    parts = [f"{part} went from {before:.1%} to {now:.1%}" for part, before, now in zip(("promoters", "detractors"), *shares)]
    said = f"{parts[0]} and {parts[1].replace(' went', '')} since 2024-11".replace("%", " %")
    assert said in text, f"the page does not say: {said}"


def check_restated(cxroi, folder, page):
    """Every restated number has a name of its own, and shows what became another."""
    sales, first = folder / "lake" / "sales", page.read_text()
    known = pq.read_table(sales / "2024.parquet")
    late = known.slice(0, 2).to_pylist()
    for line, month, amount in zip(late, (10, 12), ("0.01", "1000")):
        line |= {"order_id": f"late-{month}", "ordered_at": datetime.datetime(2024, month, 12, 15, tzinfo=datetime.UTC)}
        line |= {"amount": decimal.Decimal(amount), "margin": None}
    pq.write_table(pa.Table.from_pylist(late, schema=known.schema), sales / "late.parquet")
    run(cxroi, "run", "--config", folder / "cxroi.toml", "--period", "2024-12")
    text = page.read_text()
    assert text != first, "late rows restated nothing"
    part = re.search(r'<section id="restated".*?</section>', text, re.DOTALL)[0]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td></tr>', part)
    names = [name for name, _, _ in rows]
    assert len(names) > 10, part
    assert len(set(names)) == len(names), f"told twice: {[name for name in set(names) if names.count(name) > 1]}"
    assert all(before != now for _, before, now in rows), f"shown as they were: {[row for row in rows if row[1] == row[2]]}"
    assert "2 rows of sales came after the first publication, in all months up to 2024-12." in part, part


def screenshot(browser):
    return decoded(browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})["data"])


def decoded(data):
    return base64.b64decode(data)


def contrast(one, other):
    def luminance(colour):
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def check_summary(file):
    """As the schema has it: also one that the first version wrote, so that what reads that one reads those of today."""
    schema = json.loads((HERE.parent.parent / "functions" / "engine" / "summary.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(file.read_text()))


def check_workbook(published, work):
    """Every row of the estimates is in the workbook as LibreOffice reads it, with the same value."""
    out = work / "converted"
    shutil.rmtree(out, ignore_errors=True)
    # Every sheet as a file of its own, numbers as they are and not as they are shown.
    filter_ = 'csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1'
    subprocess.run(
        ["soffice", "--headless", f"-env:UserInstallation=file://{work / 'office'}", "--convert-to", filter_, "--outdir", out, published / "roi.xlsx"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    found = {}
    for sheet in out.glob("*.csv"):
        with sheet.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        if not lines or lines[0][:2] != ["Name", "Metric"]:
            continue
        for line in lines[1:]:
            row = dict(zip(lines[0], line))
            if row["Metric"]:
                names = ("Metric", "Window", "Segment", "Score", "Outcome", "Band", "Driver", "Programme", "Lag", "Method", "Unit")
                key = tuple(row[name] for name in names)
                assert (sheet.name, key) not in found, f"twice in the workbook: {key}"
                found[sheet.name, key] = (row["Value"], row["Status"])
    period = sorted((published.parent / "estimates").iterdir())[-1]
    columns = ("metric", "window", "segment", "score", "outcome", "band", "driver", "initiative", "lag", "method", "unit")
    wanted = pq.read_table(period / "estimates.parquet").to_pylist()
    assert len(found) == len(wanted), f"{len(found)} rows are in the workbook, {len(wanted)} in the estimates"
    by_key = {}
    for (_, key), value in found.items():
        by_key.setdefault(key, []).append(value)
    for row in wanted:
        key = tuple("" if row[column] is None else str(row[column]) for column in columns)
        assert key in by_key, f"not in the workbook: {key}"
        expected = row["value"]
        same = [value for value, status in by_key[key] if status == row["status"] and is_same(value, expected)]
        assert same, f"{key}: {by_key[key]} in the workbook, {expected} {row['status']} in the estimates"
    return len(found)


def is_same(cell, expected):
    if expected is None or not cell:
        return expected is None and not cell
    value = float(cell.removesuffix("%")) / (100 if cell.endswith("%") else 1)
    return abs(value - expected) <= 1e-12 * max(abs(expected), 1)


if __name__ == "__main__":
    main()
