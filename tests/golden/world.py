"""The world of the golden lake: a kitchenware shop with about 150 customers, local months 2022-11 to 2024-12 of
America/New_York and a part of 2025-01. It comes from a seeded random.Random and whole numbers only, so that it is the
same everywhere; what it contains on purpose is in `on_purpose`, `service` and `acquisition`.
"""
import json
import pathlib
import random
import shutil
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
ZONE, SEED = "America/New_York", 20241231
START, AS_OF = 2022 * 12 + 10, 2024 * 12 + 11                       # months as year * 12 + month - 1
MONEY = pa.decimal128(14, 4)
NAIVE, UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")
# Columns in contract order. The lake leaves out most optional ones.
INTERACTIONS = dict(customer_id=pa.string(), occurred_at=NAIVE, interaction_id=pa.string(), channel=pa.string(),
                    touchpoint=pa.string(), nps=pa.float64(), service_cost=MONEY, consent=pa.bool_())
SALES = dict(customer_id=pa.string(), order_id=pa.string(), ordered_at=UTC, amount=MONEY, line_id=pa.string(),
             category=pa.string(), margin=MONEY, currency=pa.string())
CUSTOMERS = dict(customer_id=pa.string(), segment=pa.string(), acquired_at=pa.date32(), acquisition_cost=MONEY)
# Programmes and finance's ledger. The reported month of the ledger is a little off, far less than 0.5 %; 2024-10 is far off.
INITIATIVES = [
    dict(initiative="ended before", starts_on="2023-02-01", ends_on="2023-12-31", cost_per_month=90.0, one_off_cost=45.0),
    dict(initiative="over New Year", starts_on="2023-10-17", ends_on="2024-02-09", cost_per_month=580.0, one_off_cost=1000.0),
    dict(initiative="half of April", starts_on="2024-04-10", ends_on="2024-04-24", cost_per_month=75.5),
    dict(initiative="one day", starts_on="2024-06-15", ends_on="2024-06-15", one_off_cost=210.25),
    dict(initiative="goes on", starts_on="2024-11-05", cost_per_month=93.0, one_off_cost=60.5),
    dict(initiative="not yet", starts_on="2025-01-01", cost_per_month=400.0, one_off_cost=800.0),
    # Those that treat somebody (`listed`): one too early for strata of earlier spend, one that is measured on twelve months and
    # goes on, one before which history is long enough to tell seasons apart, one whose customers start in different months, one for all who
    # were on the phone before.
    dict(initiative="new phones", starts_on="2023-06-01", ends_on="2023-08-31", one_off_cost=75.0, target_channel="phone"),
    dict(initiative="first steps", starts_on="2023-06-01", ends_on="2023-07-31"),
    dict(initiative="café first", starts_on="2023-10-16", cost_per_month=61.5, one_off_cost=120.0, target_segment="café"),
    dict(initiative="call back", starts_on="2024-03-18", ends_on="2024-08-31", cost_per_month=95.0, one_off_cost=250.0,
         expected_net_value=1500.0),
    dict(initiative="in waves", starts_on="2023-08-14", ends_on="2024-09-30", cost_per_month=27.0, one_off_cost=80.0),
    dict(initiative="apology", starts_on="2024-09-10", ends_on="2024-10-20", cost_per_month=31.0),
    dict(initiative="seen again", starts_on="2024-09-01", ends_on="2024-10-31", cost_per_month=40.0, one_off_cost=33.3),
    dict(initiative="drawn by lot", starts_on="2024-11-01", cost_per_month=12.5, one_off_cost=99.0, randomised=True,
         holdout_share=0.3, expected_net_value=-50.0),
    dict(initiative="everybody", starts_on="2024-11-01", cost_per_month=10.0),
    dict(initiative="goes on", starts_on="2024-11-05", cost_per_month=93.0, one_off_cost=60.5),         # delivered twice
]
LEDGER = [("2024-10", "1.00"), ("2024-11", "5000.00"), ("2024-12", "5423.07"), ("2025-01", "5000.00")]
CONFIG = f"""\
# The golden lake. Guards and small-cell suppression are off, so that every number shows.
timezone = "{ZONE}"
currency = "USD"

[lake]
interactions = "lake/interactions/"
sales = "lake/sales/"
customers = "lake/customers/"
initiatives = "lake/initiatives.json"
assignments = "lake/assignments.csv"
control_totals = "lake/control_totals.csv"

[output]
url = "out/"

[guards]
enabled = false

[privacy]
min_customers = 0
"""


# ---------------------------------------------------------------------------------------------------------- the world
class World:
    """Rows as they will stand in the files. Money is in ten-thousandths, instants are UTC without a zone."""

    def __init__(self):
        self.random, self.later = random.Random(SEED), random.Random(SEED + 1)  # later: columns that came to the lake later
        self.interactions, self.sales, self.customers = [], [], []
        self.again = dict(interactions=[], sales=[])                # rows of the file that is delivered a second time
        self.assignments = []

    def touch(self, customer, at, nps=None, cost=None, consent=None, touchpoint=""):
        touchpoint = self.later.choice(["delivery", "help", None]) if touchpoint == "" else touchpoint
        row = (customer, at, f"i{len(self.interactions):05}", self.random.choice(["phone", "store", "web"]), touchpoint,
               nps, cost, consent)
        self.interactions.append(row)
        return row

    def line(self, customer, at, amount, order=None, line="1"):
        category = self.random.choice(["knives", "pans", "towels"])
        margin = None if amount is None or self.random.randrange(8) == 0 else amount * self.random.randrange(20, 60) // 100
        row = (customer, order or f"o{len(self.sales):05}", at, amount, line, category, margin, "USD")
        self.sales.append(row)
        return row

    def instant(self, month):
        """Any second of a UTC month, whose first hours are still the month before in New York; 2025-01 is not complete."""
        day = self.random.randint(2 if month == START else 1, 20 if month > AS_OF else 28)
        return datetime(month // 12, month % 12 + 1, day) + timedelta(seconds=self.random.randrange(86_400))


def on_purpose(w):
    """What a company's data really contain. Each customer p.. is one story; windows are T3M, or T6M for the bridge."""
    at = datetime.fromisoformat
    # Both sides of a local month's end (summer: 04:00 UTC, winter: 05:00 UTC), where the windows of 2024-12 begin and end.
    edges = ["2025-01-01T05", "2024-12-01T05", "2024-10-01T04", "2024-07-01T04", "2024-01-01T05", "2023-10-01T04",
             "2023-01-01T05"]
    for k, edge in enumerate(edges):
        for after in (False, True):
            instant = at(edge + ":00:00") - (timedelta(0) if after else timedelta(microseconds=1))
            w.line(f"c{2 * k + after + 1:03}", instant, 1_000_000 + 70_001 * k + 333 * after)
            w.touch(f"c{2 * k + after + 1:03}", instant, nps=9 if after else 3, cost=52_500)
    w.line("c020", at("2022-11-01T04:00:00"), 450_000)              # the first instant of history, and of the first sale
    w.touch("c020", at("2022-11-01T03:59:59"), nps=10)              # before history: a stray row, rejected
    for instant in ("2024-11-03T05:59:59", "2024-11-03T06:00:00", "2024-03-10T06:59:59", "2024-03-10T07:00:00"):
        w.line("c021", at(instant), 123_400)                        # clocks go back, clocks go forward
        w.touch("c021", at(instant), nps=8)

    w.line("p01", at("2024-11-05T12:00:00"), -250_000)              # refunds only, ever
    w.line("p01", at("2024-04-05T12:00:00"), -80_000)
    w.line("p02", at("2024-05-02T12:00:00"), 900_000)               # bought before, only a refund now: churned
    w.line("p02", at("2024-11-20T12:00:00"), -900_000, order="o-p02", line="1-r")
    w.line("p03", at("2023-09-02T12:00:00"), 700_000)               # a refund in the base, bought earlier: reactivated
    w.line("p03", at("2024-03-02T12:00:00"), -100_000)
    w.line("p03", at("2024-12-02T12:00:00"), 650_000)
    w.line("p04", at("2024-08-11T12:00:00"), 400_000)               # only an order of nothing in T3M: not active
    w.line("p04", at("2024-11-11T12:00:00"), 0)
    w.line("p05", at("2023-05-11T12:00:00"), 0)                     # an order of nothing before the first real one: new
    w.line("p05", at("2024-11-12T12:00:00"), 777_777)
    w.line("p06", at("2024-02-11T12:00:00"), 300_000)               # active with a negative net amount in base and current
    w.line("p06", at("2024-02-21T12:00:00"), -500_000)
    w.line("p06", at("2024-09-11T12:00:00"), 300_000)
    w.line("p06", at("2024-12-21T12:00:00"), -410_000)
    for month, amount in (("2024-02", 555_555), ("2024-08", 444_444), ("2024-11", 666_666)):
        w.line("x900", at(month + "-15T12:00:00"), amount)          # a buyer who is missing in customers
        less = 70_001 if month > "2024-07" else 0                   # (else this segment's customers would all grow alike)
        w.line("p07", at(month + "-15T13:00:00"), 3 * amount - less)    # a customer whose segment is null
        w.line("p08", at(month + "-15T14:00:00"), 3 * amount)       # the only customer of a segment
        w.line(None, at(month + "-16T12:00:00"), 5 * amount)        # nobody's sales
    w.line(None, at("2024-12-16T12:00:00"), -999_900)
    w.line(None, at("2023-11-16T12:00:00"), 12_345)
    for customer, score in (("x900", 10), ("p07", 7), ("p08", 9)):
        w.touch(customer, at("2024-11-15T12:00:00"), nps=score, cost=31_250)
    w.touch("x900", at("2024-08-15T12:00:00"), nps=6)
    w.touch("p07", at("2024-08-16T12:00:00"), nps=8)

    for k, score in enumerate((11, -1, 7.5, 99, 7.5)):              # no answers: out of scale, or between two marks
        w.touch(f"c{30 + k:03}", at(f"2024-1{k % 3}-08T15:00:00"), nps=score, cost=0)
    for k in range(6):                                              # anonymous: in no number about customers
        w.touch(None, at(f"2024-1{k % 3}-09T15:00:00"), nps=k, cost=990_000)
    for k in range(9):                                              # did not consent
        w.touch(f"c{40 + k:03}", at(f"2024-1{k % 3}-10T15:00:00"), nps=10, cost=770_000, consent=False)
        w.touch(f"c{40 + k:03}", at(f"2024-1{k % 3}-10T16:00:00"), nps=k, consent=True)
    for k in range(4):                                              # no amount: rejected
        w.line(f"c{50 + k:03}", at(f"2024-0{k + 6}-11T15:00:00"), None)

    # Copies. The file that is delivered again sorts before the others, so "the first row read" is the wrong one to keep.
    again = w.again["interactions"]
    again.append(w.touch("c060", at("2024-11-12T15:00:00"), nps=10, cost=45_000))                   # equal
    first = w.touch("c061", at("2024-11-13T15:00:00"), nps=2, cost=45_000)                          # nps 2 stays ...
    again.append(first[:5] + (9, 45_000, None))
    first = w.touch("c062", at("2024-12-13T15:00:00"), nps=9, cost=20_000)                          # 9 does: nulls are last
    again.append(first[:5] + (None, 10_000, None))
    first = w.touch("c063", at("2024-10-13T15:00:00"), nps=6, cost=0)                               # the earlier one stays
    again.append((first[0], at("2024-10-14T15:00:00")) + first[2:5] + (10, 880_000, None))
    first = w.touch("c064", at("2024-10-15T15:00:00"), nps=10)                                      # both: an id is unique
    again.append((first[0], at("2024-11-15T15:00:00")) + first[2:5] + (1, None, None))              # within its month only
    again = w.again["sales"]
    again.append(w.line("c065", at("2024-12-12T15:00:00"), 610_000))                                # equal
    first = w.line("c066", at("2024-12-13T15:00:00"), 320_000)                                      # the smaller one stays
    again.append(first[:3] + (330_000,) + first[4:])
    for _ in range(2):
        w.line("c067", at("2024-12-14T15:00:00"), 150_000, order="o-without-lines", line=None)      # no line_id: both


def everyday(w):
    """The rest: customers come, buy, answer, complain, and some leave."""
    r = w.random
    for k in range(1, 141):
        name = f"c{k:03}"
        joined = START if r.randrange(5) < 3 else r.randint(START, AS_OF)
        left = r.randint(joined + 2, AS_OF + 2) if r.randrange(5) < 2 else AS_OF + 2
        buys, mood, size = r.choice([12, 25, 45, 70]), r.randint(3, 10), r.choice([90, 250, 600, 2500])
        segment = r.choice(["café", "home", "home", "trade"])
        w.customers.append((name, segment, datetime(joined // 12, joined % 12 + 1, 1).date()))
        for month in range(joined, min(left, AS_OF + 2)):
            if r.randrange(100) < buys:
                at, order = w.instant(month), f"o{len(w.sales):05}"
                for line in range(r.randint(1, 3)):
                    amount = size * r.randint(50, 1500) + (r.randrange(100) if r.randrange(4) == 0 else 0)
                    w.line(name, at, amount, order, str(line + 1))
                if r.randrange(12) == 0:
                    back = min(at + timedelta(days=r.randint(1, 40)), datetime(2025, 1, 20, 12))
                    w.line(name, back, -(amount // r.randint(1, 3)), order, f"{line + 1}-r")
            for _ in range(r.choice([0, 0, 1, 1, 2])):
                score = min(10, max(0, mood + r.randint(-3, 2))) if r.randrange(100) < 45 else None
                cost = r.choice([0, 8_000, 24_500, 61_250, 140_000]) if r.randrange(100) < 40 else None
                w.touch(name, w.instant(month), score, cost)
    acquired = datetime(2022, 11, 1).date()
    w.customers += [(f"p{k:02}", {7: None, 8: "pilot"}.get(k, "home" if k % 2 else "trade"), acquired) for k in range(1, 9)]
    w.customers.append(w.customers[9])                              # a row twice, and one twice with two segments:
    w.customers += [("p09", "trade", acquired), ("p09", "home", acquired)]                                # home stays
    w.line("p09", datetime(2024, 3, 9), 800_000)
    w.line("p09", datetime(2024, 11, 9), 850_000)


def service(w):
    """Contacts again within 7 x 24 hours and after them. Each customer f.. is one story; the window is T3M and a week on."""
    at = datetime.fromisoformat
    edge, second = timedelta(days=7), timedelta(microseconds=1)
    autumn, winter, clocks = at("2024-09-26T12:00:00"), at("2024-12-28T12:00:00"), at("2024-10-30T12:00:00")
    stories = [
        (at("2024-09-28T12:00:00"), at("2024-10-03T12:00:00")),     # October's is not a first one, September's is no longer
        (autumn, autumn + edge), (autumn, autumn + edge + second),  # ... at the very edge neither, after it it is
        (winter, at("2025-01-02T12:00:00")),                        # not resolved: January is looked at
        (winter, winter + edge), (winter, winter + edge + second),  # ... at the very edge neither, after it it is
        (clocks, clocks + edge), (clocks, clocks + edge + second),  # one hour less on the clocks of New York
        tuple(at("2024-11-02T12:00:00") + timedelta(days=6 * k) for k in range(5)),     # one matter of 24 days
        (at("2024-10-01T03:59:59"), at("2024-10-09T12:00:00")),     # in the local September; and more than a week after
        (at("2025-01-01T04:59:59"), at("2025-01-03T12:00:00")),     # the last second of the window, not resolved
        (at("2025-01-01T05:00:00"),),                               # no longer in the window
        (at("2024-11-20T12:00:00"),) * 2,                           # two at the same instant are one matter, not resolved
    ]
    names = [f"f{k + 1:02}" for k in range(len(stories) + 6)]
    for k, (name, contacts) in enumerate(zip(names, stories)):
        for instant in contacts:
            w.touch(name, instant, cost=12_500 + k, touchpoint="help")
    *_, places, nowhere, free, refused, twice, often = names
    monday = at("2024-11-18T15:00:00")
    for k, place in enumerate(("help", "delivery", None)):          # three matters at three touchpoints, null is one too
        w.touch(places, monday + timedelta(hours=k), cost=0, touchpoint=place)
    for k in range(2):                                              # one matter, at no touchpoint
        w.touch(nowhere, monday + timedelta(days=k), cost=7_500, touchpoint=None)
    for name, cost, consent in ((free, None, None), (refused, 10_000, False)):      # no contact follows: resolved
        w.touch(name, monday, cost=10_000, touchpoint="help")
        w.touch(name, monday + timedelta(days=2), cost=cost, consent=consent, touchpoint="help")
    w.again["interactions"].append(w.touch(twice, monday, cost=10_000, touchpoint="help"))      # a copy is no contact
    for k in range(6):                                              # three matters, two of them not resolved
        w.touch(often, at("2024-10-05T09:00:00") + timedelta(days=(0, 3, 20, 26, 33, 70)[k]), cost=5_000, touchpoint="help")
    acquired = datetime(2022, 11, 1).date()
    w.customers += [(name, ("home", "trade", "café")[k % 3], acquired) for k, name in enumerate(names)]


def acquisition(w):
    """What customers cost to win. Each customer a.. is one story; the window is the year 2024."""
    at, cost = datetime.fromisoformat, {}
    for k, (day, segment) in enumerate((("2023-12-31", "home"), ("2024-01-01", "home"), ("2024-12-31", "trade"),
                                        ("2025-01-01", "trade"), ("2024-06-30", None), (None, "café"), (None, "café"),
                                        (None, "trade"))):
        w.customers.append((f"a{k + 1:02}", segment, day and at(day).date()))
        cost[f"a{k + 1:02}"] = 300_000 + 70_001 * k
    w.touch("a06", at("2024-01-01T05:00:00"))                       # acquired with the first row: in 2024, and
    w.touch("a07", at("2024-01-01T04:59:59"))                       # still in 2023; of a08 nothing is known
    for customer in sorted({row[0] for row in w.customers} - cost.keys()):
        cost[customer] = w.later.choice([None, 0, w.later.randint(50_000, 900_000), w.later.randint(50_000, 900_000)])
    w.customers = [(*row, cost[row[0]]) for row in w.customers]


def listed(w):
    """Who was in which programme that lists its customers. Who was in another one meanwhile is compared with nobody."""
    r, segments = random.Random(SEED + 2), {row[0]: row[1] for row in w.customers}
    names = sorted(segments)
    café = [name for name in names if segments[name] == "café"]
    others = [name for name in names if segments[name] != "café"]
    some = lambda names, percent: [name for name in names if r.randrange(100) < percent]

    def put(programme, customers, arm="treated", starts_on=""):
        w.assignments += [(programme, customer, arm, starts_on) for customer in customers]

    put("first steps", some(others, 30))                            # some came after it; it has no cost
    called = some(others, 50) + some(café, 12)
    put("call back", called + ["x901", "x902"])                     # two who exist nowhere
    put("call back", [name for name in others if name not in called][::10], "holdout")      # as good as not listed
    answers = sorted((row[1], row[0], row[5]) for row in w.interactions if row[0] and row[5] in range(11))
    last = {name: score for at, name, score in answers if at < datetime(2024, 9, 1, 4)}
    unhappy = [name for name in names if last.get(name, 10) <= 6]
    also = some([name for name in café if name not in called], 50)
    put("apology", [name for name in unhappy if name in called + also])     # detractors, of whom most are in another one
    bought = {row[0] for row in w.sales if row[3] and row[3] > 0 and (row[2].year, row[2].month) == (2024, 10)}
    put("seen again", [name for name in others if name in bought and name not in called])   # so they did not leave
    drawn = some(names, 60)
    held_out = some(drawn, 30)
    put("drawn by lot", [name for name in drawn if name not in held_out])
    put("drawn by lot", held_out, "holdout")
    put("everybody", names + ["x900"])
    put("not yet", ["c001"])
    waves = {"": "c004 c044 c068", "2023-08-14": "c102", "2023-08-31": "c096", "2023-11-01": "c003 c032",
             "2023-11-20": "c050 p08", "2024-02-29": "c094 c119", "2024-05-13": "c085", "2024-09-30": "c079 p04"}
    for day, wave in waves.items():                                 # one came alone, two after the last month measured
        put("in waves", wave.split(), starts_on=day)
    put("in waves", called[:2], starts_on="2023-12-05")             # a wave that leaves


def write(name, columns, rows):
    def value(cell, kind):
        return Decimal(cell).scaleb(-4) if kind == MONEY and cell is not None else cell

    arrays = [pa.array([value(row[k], kind) for row in rows], kind) for k, kind in enumerate(columns.values())]
    path = HERE / "lake" / (name + ".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays, list(columns)), path, compression="zstd", compression_level=19)


def make_lake():
    w = World()
    on_purpose(w)
    everyday(w)
    service(w)
    acquisition(w)
    listed(w)
    shutil.rmtree(HERE / "lake", ignore_errors=True)
    for feed, columns, time in (("interactions", INTERACTIONS, 1), ("sales", SALES, 2)):
        rows = getattr(w, feed)
        for year in sorted({row[time].year for row in rows}):       # of UTC, not of New York
            write(f"{feed}/{year}", columns, [row for row in rows if row[time].year == year])
        write(f"{feed}/0-delivered-again", columns, w.again[feed])
    write("customers/customers", CUSTOMERS, w.customers)
    initiatives = ",\n".join(json.dumps(programme, ensure_ascii=False) for programme in INITIATIVES)
    (HERE / "lake/initiatives.json").write_text(f"[\n{initiatives}\n]\n", encoding="utf-8")
    assigned = "".join(",".join(row) + "\n" for row in w.assignments)
    (HERE / "lake/assignments.csv").write_text("initiative,customer_id,arm,starts_on\n" + assigned, encoding="utf-8")
    ledger = "".join(f"{month},{revenue}\n" for month, revenue in LEDGER)
    (HERE / "lake/control_totals.csv").write_text("month,revenue\n" + ledger)
    (HERE / "cxroi.toml").write_text(CONFIG)
