"""`cxroi init` on lakes that nobody has described: it must find what the golden lake says, under other names and in other shapes.

The golden lake is written four times anew: with English synonyms, with German names and German numbers in CSV, with interactions
and sales in two tables each, and with instants and money as a machine counts them. Of each, `init` writes a configuration that must
run as it is; with the golden lake's time zone and guards in it, every published row must be what the golden lake gives. Of a
Spanish till, with heads and lines apart and points that can only be told to be of thousands, and of amounts written in other ways,
the revenue of every month must be what pandas sums: what cannot be read is rejected, and never another amount. With `--olist` also
the Olist export (see tests/olist/README.md): it must publish without an edit, with the revenue of every month that DuckDB sums from
the files.
"""

import argparse
import json
import math
import pathlib
import shutil
import subprocess
import tempfile

import duckdb
import pandas
import pyarrow.parquet as pq

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
PERIOD = "2024-12"
NAMES = ("section", "metric", "window", "segment", "score", "outcome", "band", "driver", "initiative", "lag", "unit", "method")
SETTINGS = "\n[guards]\nenabled = false\n\n[privacy]\nmin_customers = 0\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxroi", type=pathlib.Path, required=True)
    parser.add_argument("--olist", type=pathlib.Path, help="the folder of the export's CSV files")
    parser.add_argument("--keep", type=pathlib.Path, help="leave the lakes and what is made of them in this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = (arguments.keep or pathlib.Path(folder)).resolve()
        for write in (english, german, parted, counted):
            check(arguments.cxroi.resolve(), work / write.__name__, write)
        check_till(arguments.cxroi.resolve(), work / "till")
        check_amounts(arguments.cxroi.resolve(), work / "amounts")
        if arguments.olist:
            check_olist(arguments.cxroi.resolve(), arguments.olist.resolve(), work / "olist")
        else:
            print("olist: left out, there is no --olist")
    print("what init writes holds")


def call(cxroi, *words, code=0):
    done = subprocess.run([cxroi, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, f"{words} exits with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def lake():
    """DuckDB with the tables of the golden lake."""
    engine = duckdb.connect()
    engine.execute("set timezone = 'UTC'")
    for name in ("sales", "interactions", "customers"):
        engine.execute(f"create table {name} as select * from read_parquet('{GOLDEN / 'lake' / name}/*.parquet', union_by_name = true)")
    for name in ("assignments", "control_totals"):
        engine.execute(f"create table {name} as select * from read_csv('{GOLDEN / 'lake' / name}.csv', all_varchar = true)")
    return engine


def write(engine, folder, file, sql, options="format parquet"):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    engine.execute(f"copy ({sql}) to '{path}' ({options})")


def programmes(folder, file, **names):
    """The programmes, with other names of their columns."""
    rows = json.loads((GOLDEN / "lake/initiatives.json").read_text())
    rows = [{names.get(name, name): value for name, value in row.items()} for row in rows]
    (folder / file).write_text(json.dumps(rows, ensure_ascii=False))


def as_they_are(folder):
    for file in ("initiatives.json", "assignments.csv", "control_totals.csv"):
        shutil.copy(GOLDEN / "lake" / file, folder)


def english(engine, folder):
    write(engine, folder, "Purchases/all.parquet", """select client_id: customer_id, invoice_no: order_id, purchase_date: ordered_at,
        net_amount: amount, line_no: line_id, product_group: category, gross_profit: margin, currency_code: currency from sales""")
    write(engine, folder, "feedback/all.parquet", """select client_id: customer_id, responded_at: occurred_at,
        response_id: interaction_id, contact_channel: channel, touch_point: touchpoint, likelihood_to_recommend: nps,
        contact_cost: service_cost, opt_in: consent from interactions""")
    write(engine, folder, "clients.parquet", """select client_id: customer_id, tier: segment, signup_date: acquired_at,
        cac: acquisition_cost from customers""")
    write(engine, folder, "participants.csv", "select programme: initiative, client_id: customer_id, treatment: arm, start_date: starts_on from assignments", "header")
    write(engine, folder, "ledger.csv", "select period: month, net_revenue: revenue from control_totals", "header")
    names = {"initiative": "programme", "starts_on": "start_date", "ends_on": "end_date", "cost_per_month": "monthly_cost"}
    programmes(folder, "programmes.json", one_off_cost="setup_cost", **names)


def german(engine, folder):
    """Numbers have a decimal comma, days come first, columns are told apart by semicolons."""
    comma = "replace(cast({} as varchar), '.', ',')"
    write(engine, folder, "Verkäufe.csv", f"""select "Kunden-Nr": customer_id, "Rechnungsnummer": order_id,
        "Bestelldatum": strftime(ordered_at, '%d.%m.%Y %H:%M:%S.%f'), "Nettobetrag": {comma.format("amount")}, "Position": line_id,
        "Warengruppe": category, "Deckungsbeitrag": {comma.format("margin")}, "Währung": currency from sales""", "header, delimiter ';'")
    write(engine, folder, "Kontakte/alle.parquet", """select "Kunden-Nr": customer_id, "Zeitpunkt": occurred_at,
        "Kontakt-Nr": interaction_id, "Kanal": channel, "Berührungspunkt": touchpoint, "Weiterempfehlung": nps,
        "Kosten": service_cost, "Einwilligung": consent from interactions""")
    write(engine, folder, "Kunden/alle.parquet", """select "Kunden-Nr": customer_id, "Kundensegment": segment,
        "Kunde seit": acquired_at, "Akquisekosten": acquisition_cost from customers""")
    write(engine, folder, "Zuordnung.csv", """select "Kampagne": initiative, "Kunden-Nr": customer_id, "Testgruppe": arm,
        "Beginn": starts_on from assignments""", "header, delimiter ';'")
    write(engine, folder, "Hauptbuch.csv", f"""select "Monat": month, "Umsatz": {comma.format("revenue")} from control_totals""", "header, delimiter ';'")
    names = {"initiative": "Kampagne", "starts_on": "Beginn", "ends_on": "Ende", "cost_per_month": "Kosten pro Monat"}
    programmes(folder, "Kampagnen.json", one_off_cost="Einmalkosten", target_segment="Zielsegment", target_channel="Zielkanal", **names)


def parted(engine, folder):
    """Answers and contacts in two tables, orders in heads and lines; a head has one time, so refunds are orders of their own, and
    a row of one table is no copy of one of the other."""
    engine.execute("update sales set order_id = order_id || '-' || epoch_us(ordered_at)")
    engine.execute("update interactions set interaction_id = interaction_id || if(nps is null, '-contact', '-answer')")
    write(engine, folder, "orders/all.parquet", """select order_id, customer_no: min(customer_id), order_date: min(ordered_at),
        currency: min(currency) from sales group by order_id""")
    write(engine, folder, "order_lines/all.parquet", """select order_id, line_no: line_id, category, line_amount: amount,
        gross_profit: margin from sales""")
    answers = "submitted_at: occurred_at, survey_id: interaction_id, channel, touchpoint, nps, cost: service_cost, consent"
    write(engine, folder, "surveys/all.parquet", f"select customer_no: customer_id, {answers} from interactions where nps is not null")
    contacts = "started_at: occurred_at, ticket_id: interaction_id, channel, topic: touchpoint, cost: service_cost, opt_in: consent"
    write(engine, folder, "service_contacts/all.parquet", f"select customer_no: customer_id, {contacts} from interactions where nps is null")
    shutil.copytree(GOLDEN / "lake/customers", folder / "customers")
    as_they_are(folder)


def counted(engine, folder):
    """Instants in milliseconds since 1970, money in cents, true and false in words, and ids that are only called so."""
    engine.execute("update sales set ordered_at = date_trunc('millisecond', ordered_at)")
    engine.execute("update interactions set occurred_at = date_trunc('millisecond', occurred_at)")
    write(engine, folder, "charges.parquet", """select customer: customer_id, receipt: order_id, created: epoch_ms(ordered_at),
        amount_cents: amount * 100, line: line_id, category, margin_cents: margin * 100, currency from sales""")
    write(engine, folder, "tickets.parquet", """select id: interaction_id, "user": customer_id, created: epoch_ms(occurred_at),
        via: channel, topic: touchpoint, score: nps, cost_cents: service_cost * 100,
        consent: case when consent then 'ja' when not consent then 'nein' end from interactions""")
    write(engine, folder, "users.parquet", "select id: customer_id, plan: segment, created_at: acquired_at, cac: acquisition_cost from customers")
    as_they_are(folder)


def check(cxroi, work, write_lake):
    engine = lake()
    folder, found = work / "lake", work / "init"
    folder.mkdir(parents=True)
    write_lake(engine, folder)
    (work / "said.txt").write_text(call(cxroi, "init", folder, "--output", found))
    call(cxroi, "init", folder, "--output", found, code=2)
    config = found / "cxroi.toml"
    call(cxroi, "run", "--config", config, "--period", PERIOD)
    shutil.rmtree(found / "out")
    text = config.read_text()
    # Both folders can be moved together.
    places = [line for line in text.splitlines() if str(folder) in line and not line.startswith("#")]
    assert not places and '"../lake/' in text, text
    assert 'timezone = "UTC"' in text and 'currency = "USD"' in text, text
    config.write_text(text.replace('timezone = "UTC"', 'timezone = "America/New_York"') + SETTINGS)
    call(cxroi, "run", "--config", config, "--period", PERIOD)
    rows = compare(estimates(found / "out"), estimates(golden(cxroi, engine, work / "golden")))
    print(f"{work.name}: {rows} rows as of the golden lake")


def golden(cxroi, engine, folder):
    """The output of the golden configuration, with the sales and interactions as they are now."""
    shutil.copytree(GOLDEN / "lake", folder / "lake")
    for name in ("sales", "interactions"):
        shutil.rmtree(folder / "lake" / name)
        write(engine, folder, f"lake/{name}/all.parquet", f"select * from {name}")
    shutil.copy(GOLDEN / "cxroi.toml", folder)
    call(cxroi, "run", "--config", folder / "cxroi.toml", "--period", PERIOD)
    return folder / "out"


def estimates(output):
    rows = pq.read_table(output / f"summaries/estimates/period={PERIOD}/estimates.parquet").to_pylist()
    return {tuple(row[name] for name in NAMES): row for row in rows}


def compare(found, wanted):
    assert found.keys() == wanted.keys(), f"rows of one only: {sorted(map(str, found.keys() ^ wanted.keys()))}"
    for key, row in wanted.items():
        for field in ("status", "n", "customers", "value", "lo", "hi"):
            one, other = found[key][field], row[field]
            same = one == other or None not in (one, other) and field in ("value", "lo", "hi") and math.isclose(one, other, rel_tol=1e-9)
            assert same, f"{field} of {key} is {one}, and {other} of the golden lake"
    return len(wanted)


def check_till(cxroi, work):
    """Whole euros with points of thousands, some lines taken back, days first where no day is above 12 and other costs have a comma."""
    folder, found = work / "lake", work / "init"
    folder.mkdir(parents=True)
    tickets = range(2_000)
    heads = pandas.DataFrame({"num_ticket": [f"T{ticket:05}" for ticket in tickets], "cliente": [f"C{ticket * 7 % 300:03}" for ticket in tickets]})
    heads["fecha_hora"] = pandas.to_datetime([f"2024-{1 + ticket % 12:02}-{1 + ticket // 12 % 12:02} 10:15:00" for ticket in tickets])
    lines = pandas.DataFrame([(f"T{ticket:05}", line, (ticket * 37 + line * 911) % 4_000 + 100) for ticket in tickets for line in (1, 2)], columns=["num_ticket", "num_linea", "importe_neto"])
    lines.loc[lines.index % 50 == 0, "importe_neto"] *= -1
    sums = lines.merge(heads).assign(month=lambda row: row.fecha_hora.dt.month).groupby("month").importe_neto.sum()
    heads.assign(fecha_hora=heads.fecha_hora.dt.strftime("%d/%m/%Y %H:%M:%S"), coste_envio="4,95").to_csv(folder / "tickets_cabecera.csv", sep=";", index=False)
    dotted = lines.importe_neto.map(lambda amount: f"{amount:,}".replace(",", "."))
    lines.assign(importe_neto=dotted).to_csv(folder / "tickets_lineas.csv", sep=";", index=False)
    said = call(cxroi, "init", folder, "--output", found)
    assert "guess  a point before three digits, in all values that have one, is taken for thousands" in said, said
    assert "guess  whether days or months come first cannot be seen" in said, said
    ours = revenue(cxroi, found)
    assert ours == sums.astype(float).to_dict(), f"till: {ours}, and {sums.to_dict()} of pandas"
    print("till: revenue of 12 months as pandas has it")


def check_amounts(cxroi, work):
    """Amounts as exports have them: each is read as it is meant, or rejected, or the whole column is refused and the reason said."""
    rows = range(1_200)
    sales = pandas.DataFrame({"order_id": [f"S{row:05}" for row in rows], "customer_id": [f"C{row * 7 % 300:03}" for row in rows]})
    sales["ordered_at"] = pandas.to_datetime([f"2024-{1 + row % 12:02}-{1 + row // 12 % 28:02} 10:15:00" for row in rows])
    cents = pandas.Series([100 + row * 7_919 % 9_900 for row in rows]) / 100
    mills = pandas.Series([1_000 + row * 7_919 % 9_000 for row in rows]) / 1_000
    # No more than the share of rejected rows that is published.
    some = sales.index % 109 == 7
    point, comma = cents.map("{:.2f}".format), cents.map("{:.2f}".format).str.replace(".", ",")
    euros = point + " EUR"
    read = {
        "dash": (comma.where(~some, "\u2013" + comma), cents.where(~some, -cents)),
        "dash_and_currency": ((comma + " €").where(~some, "\u2013" + comma + " €"), cents.where(~some, -cents)),
        "currency_in_front": (("$" + point).where(~some, "-$" + point), cents.where(~some, -cents)),
        "apostrophe": ("CHF 1'" + (cents + 100).map("{:.2f}".format), cents + 1_100),
        "tax_behind": (euros.where(~some, euros + " 19%"), cents.where(~some)),
        "pieces_in_front": (euros.where(~some, "2 x " + euros), cents.where(~some)),
        "in_thousands": (euros.where(~some, point + " K"), cents.where(~some)),
        "divided": (euros.where(~some, point + "/2 EUR"), cents.where(~some)),
    }
    for name, (amount, meant) in read.items():
        check_amount(cxroi, work / name, sales.assign(amount=amount), meant)
    # A ten-thousandth is the smallest part of money.
    tens = cents.round(1)
    kilos = sales.assign(unit_price=tens.map("{:.2f}".format), quantity=mills.map("{:.3f}".format))
    check_amount(cxroi, work / "kilos", kilos, tens * mills)
    check_amount(cxroi, work / "dinars", sales.assign(amount=mills.map("{:.3f}".format), currency="TND"), mills)
    refused = {
        "currencies": (("$" + point).where(~some, "€" + point), "$, €"),
        "credit": ((point + " DR").where(~some, point + " CR"), "CR, DR"),
        "credit_alone": (point.where(sales.index % 3 > 0, point + " CR"), "none, CR"),
        "soll": ((comma + " H").where(~some, comma + " S"), "H, S"),
    }
    for name, (amount, marks) in refused.items():
        (work / name / "lake").mkdir(parents=True)
        sales.assign(amount=amount).to_csv(work / name / "lake/sales.csv", index=False)
        done = subprocess.run([cxroi, "init", work / name / "lake", "--output", work / name / "init"], capture_output=True, text=True)
        assert done.returncode == 2 and f"amount is not read: its numbers have several marks ({marks})" in done.stderr, f"{name}: {done}"
    print(f"amounts: revenue as pandas has it of {len(read) + 2} ways to write them, {len(refused)} are refused")


def check_amount(cxroi, work, sales, meant):
    (work / "lake").mkdir(parents=True)
    sales.to_csv(work / "lake/sales.csv", index=False)
    (work / "said.txt").write_text(call(cxroi, "init", work / "lake", "--output", work / "init"))
    ours, sums = revenue(cxroi, work / "init"), meant.groupby(sales.ordered_at.dt.month).sum().to_dict()
    same = ours.keys() == sums.keys() and all(math.isclose(ours[month], sums[month], rel_tol=1e-9) for month in sums)
    assert same, f"{work.name}: {ours}, and {sums} of pandas"


def revenue(cxroi, found):
    """The revenue of every month of 2024 that a run publishes with what `init` has written."""
    config = found / "cxroi.toml"
    config.write_text(config.read_text() + SETTINGS + "\n[run]\nallow_incomplete = true\n")
    call(cxroi, "run", "--config", config, "--period", PERIOD)
    ours = duckdb.execute("select month, sum(revenue) from read_parquet($1, hive_partitioning = false) group by month", [facts(found / "out", PERIOD)])
    return {month % 12 + 1: float(revenue) for month, revenue in ours.fetchall() if month // 12 == 2024}


def facts(output, period):
    """The files of what customers bought, as the published run has them."""
    pointer = json.loads((output / f"published/{period}.json").read_text())
    manifest = json.loads((output / f"runs/{period}/{pointer['run_id']}/{pointer['attempt']}/manifest.json").read_text())
    return [str(output / record["tables"]["customer_month"]["key"]) for record in manifest["facts"]]


def check_olist(cxroi, folder, work):
    """Freight is not net revenue, so it is left out here, where the configuration of tests/olist counts it."""
    call(cxroi, "init", folder, "--output", work)
    call(cxroi, "run", "--config", work / "cxroi.toml")
    period = sorted(file.stem for file in (work / "out/published").glob("*.json"))[-1]
    files = facts(work / "out", period)
    ours = "select month, sum(revenue), sum(order_lines) from read_parquet($1, hive_partitioning = false) group by month having sum(order_lines) > 0"
    ours = duckdb.execute(ours, [files]).fetchall()
    csv = "read_csv('{}', all_varchar = true, header = true)"
    items, orders = (csv.format(folder / f"olist_{name}_dataset.csv") for name in ("order_items", "orders"))
    theirs = duckdb.sql(f"""select year(ordered) * 12 + month(ordered) - 1 as month, sum(price::decimal(18, 4)), count(*) from (
        select price, order_purchase_timestamp::timestamp as ordered from {items} join {orders} using (order_id)
        ) where strftime(ordered, '%Y-%m') <= '{period}' group by 1""").fetchall()
    assert sorted(ours) == sorted(theirs), f"olist: {sorted(set(ours) ^ set(theirs))}"
    print(f"olist: published {period}, revenue of {len(ours)} months as DuckDB has it")


if __name__ == "__main__":
    main()
