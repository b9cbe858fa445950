#!/usr/bin/env python3
"""Makes the lake of the benchmark: `lake.py FOLDER CUSTOMERS MONTH...`, months as 2024-12.

About two interactions and one order line a customer-month, a Parquet file a source and month in Hive folders. Every
value is a hash of what it belongs to, so the same arguments give the same rows. No row is there twice. What the facts
treat in a way of its own is in it: refunds, one line in twenty without margin, and a first month in which some sessions
do not say whether they converted.
"""

import json
import sys
from pathlib import Path

import duckdb

# draw() is a number from 0 to below 1 that belongs to a customer, a slot of a month, and a purpose.
MACROS = """
create macro draw(customer, slot, purpose) as
    (hash(customer, slot, getvariable('month'), purpose) % 1000000007) / 1000000007.0;
create macro temper(customer) as (hash(customer, 'temper') % 1000003) / 1000003.0;
create macro pick(names, x) as names[1 + cast(floor(x * len(names)) as int)];
create macro instant(x) as getvariable('start') + to_microseconds(cast(floor(x * getvariable('length')) as bigint));
create macro answer(customer, slot, purpose) as 0.6 * temper(customer) + 0.4 * draw(customer, slot, purpose);
"""

CUSTOMERS = """
select
    format('c{:08d}', c) as customer_id,
    case when temper(c) < 0.5 then 'consumer' when temper(-c) < 0.7 then 'smb' else 'enterprise' end as segment,
    pick(['north', 'south', 'west'], temper(c + 0.5)) as region,
    date '2020-01-01' + cast(700 * temper(c + 0.25) as int) as acquired_at,
    cast(20 + 100 * temper(c + 0.75) as decimal(18, 2)) as acquisition_cost,
from range(getvariable('customers')) customers(c)
"""

# A touch is a service contact (one in four) or a session.
INTERACTIONS = """
select
    format('i{}-{}-{}', getvariable('month'), c, slot) as interaction_id,
    format('c{:08d}', c) as customer_id,
    instant(draw(c, slot, 'at')) as occurred_at,
    pick(['web', 'app', 'store', 'phone', 'email', 'chat'], draw(c, slot, 'channel')) as channel,
    pick(['search', 'product', 'checkout', 'delivery', 'support', 'returns'], draw(c, slot, 'touch')) as touchpoint,
    pick(['entice', 'enter', 'engage', 'exit'], draw(c, slot, 'touch')) as stage,
    case when draw(c, slot, 'asked') < 0.35 then cast(floor(11 * sqrt(answer(c, slot, 'nps'))) as smallint) end as nps,
    case when draw(c, slot, 'rated') < 0.35 then cast(1 + floor(5 * answer(c, slot, 'csat')) as smallint) end as csat,
    case when draw(c, slot, 'eased') < 0.15 then cast(1 + floor(7 * answer(c, slot, 'ces')) as smallint) end as ces,
    case when contact then cast(2 + 12 * draw(c, slot, 'cost') as decimal(18, 4)) end as service_cost,
    case when contact then cast(60 + 900 * draw(c, slot, 'handle') as int) end as handle_seconds,
    case when contact then draw(c, slot, 'resolved') < 0.7 end as resolved,
    case when not contact then cast(1 + 20 * draw(c, slot, 'pages') as int) end as pages_viewed,
    case when not contact then cast(10 + 1200 * draw(c, slot, 'seconds') as int) end as session_seconds,
    case when not contact and not (getvariable('first') and draw(c, slot, 'told') < 0.01)
        then draw(c, slot, 'converted') < 0.12 end as converted,
from (
    select c, slot, draw(c, slot, 'contact') < 0.25 as contact
    from range(getvariable('customers')) customers(c), range(4) slots(slot)
    where draw(c, slot, 'touched') < 0.5)
"""

# Two slots share an order.
SALES = """
select
    format('o{}-{}-{}', getvariable('month'), c, slot // 2) as order_id,
    format('l{}', slot) as line_id,
    format('c{:08d}', c) as customer_id,
    instant(draw(c, slot // 2, 'ordered')) as ordered_at,
    format('p{:04d}', cast(2000 * draw(c, slot, 'product') as int)) as product_id,
    pick(['core', 'plus', 'care', 'parts', 'media', 'travel', 'home', 'garden'], pow(draw(c, slot, 'category'), 2))
        as category,
    cast(1 + floor(3 * draw(c, slot, 'quantity')) as int) as quantity,
    cast(case when draw(c, slot, 'refund') < 0.03 then -price else price end as decimal(18, 2)) as amount,
    case when draw(c, slot, 'margin') >= 0.05 then cast(0.35 * price as decimal(18, 2)) end as margin,
    'EUR' as currency,
from (
    select c, slot, exp(2.5 + 0.8 * temper(c) + 1.2 * draw(c, slot, 'price')) as price
    from range(getvariable('customers')) customers(c), range(4) slots(slot)
    where draw(c, slot, 'bought') < 0.15 + 0.2 * temper(c))
"""


def make(folder, customers, months):
    """Writes the lake and returns its rows by source."""
    engine = duckdb.connect()
    engine.execute(MACROS + f"set variable customers = {customers}; set variable month = ''")
    rows = {}

    def write(source, name, query):
        path = folder / source / name
        path.parent.mkdir(parents=True)
        written = engine.execute(f"copy ({query}) to '{path}' (format parquet, compression zstd)").fetchone()[0]
        rows[source] = rows.get(source, 0) + written

    write("customers", "customers.parquet", CUSTOMERS)
    for month in months:
        engine.execute(f"""
            set variable month = '{month}';
            set variable first = {month == months[0]};
            set variable start = timestamp '{month}-01';
            set variable length = epoch_us(timestamp '{month}-01' + interval 1 month) - epoch_us(timestamp '{month}-01')
        """)
        for source, query in (("interactions", INTERACTIONS), ("sales", SALES)):
            write(source, f"month={month}/part-0.parquet", query)
    return rows


if __name__ == "__main__":
    print(json.dumps(make(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
