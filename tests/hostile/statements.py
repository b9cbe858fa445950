#!/usr/bin/env python3
"""Hostile SQL: nothing is written, nothing outside the lake is read, nothing goes on for ever, and nothing crashes.

    statements.py --cxroi BIN [--query-time-limit "5 s"] [--only KIND]

Each statement of the tables below is put to `cxroi sql` over a small lake that was run, as `-c`, or as `-f` where it is no text;
some also as a staging file of an overlay, with `cxroi run`. Every process has to end in time with an exit code that its kind
allows, without a panic, a signal, or an error that only says "internal". The whole folder is the same afterwards, byte for byte,
and no canary that lies outside the lake shows in what was printed. A process must not hold more memory than `MOST_MEMORY`, beside
a `run.memory_limit` of 512 MB; the largest are printed.

Statements of the kind `endless` are stopped by `run.query_time_limit`: without the option they are given a few seconds, and those
that go on are only counted.
"""

import argparse
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CANARY = "canary-7c1d0e"
TIME_LIMIT = 60
PATIENCE = 6
MOST_MEMORY = 1024  # MB
KILL_MEMORY = 4096
MOST_OUTPUT = 300  # MB
REFUSED, LEGAL, ANY = {2}, {0}, {0, 1, 2}

# Whatever would write, or change the session: refused when planned.
WRITES = r"""
insert into facts.customer_month select * from facts.customer_month
insert into roi.estimates select * from roi.estimates
insert into raw.sales values (1)
insert into staging.sales select * from staging.sales
insert overwrite facts.customer_month select * from facts.customer_month
insert into roi.money (amount) values (1)
replace into roi.money values (1)
update roi.estimates set value = 0
update raw.sales set amount = 0 where 1 = 1
update facts.customer_month set revenue = revenue + 1
delete from roi.estimates
delete from raw.sales where true
delete from facts.customer_month
truncate table roi.estimates
truncate roi.money
merge into roi.money as t using roi.money as s on t.metric = s.metric when matched then delete
create table t as select 1 as x
create table t (x int)
create temporary table t as select 1
create or replace table roi.estimates as select 1 as value
create table facts.t as values (1), (2)
create table if not exists t (x int)
create view v as select 1
create or replace view roi.estimates as select 1 as value
create temporary view v as select 1
create materialized view v as select 1
create external table t stored as csv location '{canary}.csv'
create external table t stored as parquet location '/etc/passwd'
create external table t (x varchar) stored as csv location '/etc/passwd'
create external table t stored as json location 'file:///etc/passwd'
create external table t stored as csv location 's3://bucket/key.csv'
create external table t stored as csv location 'https://example.org/x.csv'
create unbounded external table t (x int) stored as csv location '/dev/zero'
create external table t stored as arrow location '/proc/self/environ'
create schema s
create schema if not exists raw
create database d
create function f(int) returns int return $1 + 1
create or replace function f(double) returns double language sql return $1
create function f() returns int as '/lib/x.so', 'f' language c
create index i on roi.estimates (value)
create role r
create user u password 'x'
create sequence s
create type t as (a int)
create macro m() as 1
copy (select 1) to '{out}/x.csv'
copy (select 1) to '{out}/x.parquet' stored as parquet
copy (select 1 as x) to '{out}/x.json' stored as json
copy roi.estimates to '{out}/estimates.parquet'
copy roi.money to 'lake/sales/x.parquet' stored as parquet
copy facts.customer_month to '/tmp/{name}.csv' stored as csv
copy (select * from roi.money) to 'file:///tmp/{name}.parquet' stored as parquet
copy (select 1) to 's3://bucket/x.csv'
copy (select 1) to '../{name}.csv'
copy (values (1)) to '{out}/parts/' stored as parquet partitioned by (column1)
copy roi.money from '{canary}.csv'
copy (select 1) to program 'touch {out}/program'
drop table roi.estimates
drop table if exists raw.sales
drop view windows.customer
drop schema raw cascade
drop schema facts
drop database datafusion
drop function exact_sum
drop table facts.customer_month, roi.money
alter table roi.money add column x int
alter table roi.money rename to gone
alter table roi.money drop column amount
alter session set datafusion.execution.batch_size = 1
set datafusion.execution.batch_size = 1
set datafusion.catalog.information_schema = false
set datafusion.runtime.memory_limit = '100G'
set datafusion.runtime.temp_directory = '{out}'
set time zone = 'UTC'
set x to 1
reset datafusion.runtime.memory_limit
reset all
use datafusion
begin
begin transaction
start transaction
commit
rollback
savepoint s
prepare p as select 1
prepare p(int) as select $1
prepare p as copy (select 1) to '{out}/x.csv'
execute p
execute p(1)
execute immediate 'copy (select 1) to ''{out}/x.csv'''
deallocate p
deallocate all
explain analyze copy (select 1) to '{out}/x.csv'
explain copy (select 1) to '{out}/x.csv'
explain analyze verbose copy roi.money to '{out}/x.parquet'
explain analyze insert into roi.money select * from roi.money
explain analyze create table t as select 1
explain create external table t stored as csv location '/etc/passwd'
explain analyze drop table roi.money
explain set datafusion.execution.batch_size = 1
explain analyze delete from roi.money
explain analyze update roi.money set amount = 0
with x as (insert into roi.money select * from roi.money returning *) select * from x
with x as (delete from roi.money returning *) select * from x
with x as (select 1) insert into roi.money select * from x
select * into t from roi.money
select 1 into outfile '{out}/x'
select 1 into dumpfile '{out}/x'
select * from (insert into roi.money values (1))
select 1; copy (select 1) to '{out}/x.csv'
select 1; select 2
copy (select 1) to '{out}/x.csv'; select 1
; copy (select 1) to '{out}/x.csv'
select 1; drop table roi.money
/* */ copy (select 1) to '{out}/x.csv' /* */
select 1 -- ; \ncopy (select 1) to '{out}/x.csv'
grant all on roi.money to public
revoke all on roi.money from public
analyze table roi.money
vacuum
optimize table roi.money
msck repair table roi.money
cache table roi.money
refresh table roi.money
lock table roi.money
comment on table roi.money is 'x'
attach '{canary}.db' as d
detach d
load 'x'
install httpfs
call f()
do $$ select 1 $$
kill 1
shutdown
pragma database_list
unload ('select 1') to 's3://bucket/'
export database '{out}'
import database '{out}'
checkpoint
listen x
notify x
declare c cursor for select 1
fetch next from c
"""

# Whatever is not in the lake, the facts or the published tables: there is no such table or function.
OUTSIDE = r"""
select * from '/etc/passwd'
select * from "/etc/passwd"
select * from '{canary}.csv'
select * from "{canary}.csv"
select * from '{canary}.parquet'
select * from '{canary}.json'
select * from "../{name}.csv"
select * from '../{name}.parquet'
select * from './cxroi.toml'
select * from "cxroi.toml"
select * from 'lake/sales'
select * from "lake/sales/../../../{name}.csv"
select * from 'file://{canary}.csv'
select * from "file://{canary}.parquet"
select * from 'file:///etc/passwd'
select * from 's3://bucket/key.parquet'
select * from "s3://bucket/key.parquet"
select * from 'http://127.0.0.1:1/x.csv'
select * from "https://example.org/x.parquet"
select * from '/proc/self/environ'
select * from '/dev/stdin'
select * from '/dev/zero'
select * from '*.parquet'
select * from '/**/*.csv'
select * from raw."../{name}"
select * from raw."/etc/passwd"
select * from roi."../../{name}"
select * from facts."../{name}.parquet"
select * from datafusion."/etc"."passwd"
select * from read_parquet('{canary}.parquet')
select * from read_csv('{canary}.csv')
select * from read_csv_auto('/etc/passwd')
select * from read_json('{canary}.json')
select * from read_text('/etc/passwd')
select * from read_blob('/etc/passwd')
select * from parquet_scan('{canary}.parquet')
select * from parquet_metadata('{canary}.parquet')
select * from parquet_schema('{canary}.parquet')
select * from metadata_cache()
select * from statistics_cache()
select * from list_files_cache()
select * from glob('/etc/*')
select * from sniff_csv('{canary}.csv')
select * from csv('{canary}.csv')
select * from parquet('{canary}.parquet')
select * from external_query('x', 'select 1')
select * from dblink('host=127.0.0.1', 'select 1') as t(x int)
select * from table('{canary}.csv')
select * from lateral read_csv('{canary}.csv')
select read_csv('{canary}.csv')
select pg_read_file('/etc/passwd')
select load_file('/etc/passwd')
select lo_import('/etc/passwd')
select getenv('HOME')
select current_setting('data_directory')
select system('id')
select shell('id')
select * from openrowset(bulk '{canary}.csv', single_clob) as t
select xmltype('<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>')
select * from (table "{canary}.csv")
table '{canary}.csv'
describe '{canary}.parquet'
describe "/etc/passwd"
explain select * from '{canary}.parquet'
select (select count(*) from '/etc/passwd')
select 1 where exists (select * from "{canary}.parquet")
with x as (select * from '{canary}.csv') select * from x
select * from raw.sales union all select * from '{canary}.csv'
select * from raw.sales join "{canary}.csv" on true
"""

# What may be asked.
LEGAL_ONES = r"""
select 1
show tables
show columns from roi.money
show all
describe roi.estimates
select count(*) from information_schema.tables
select * from information_schema.columns limit 3
select * from information_schema.df_settings limit 3
select * from information_schema.routines limit 1
select table_schema, table_name from information_schema.views
explain select 1
explain analyze select count(*) from raw.sales
explain format tree select 1
select count(*) from raw.sales
select count(*) from audit.sales
select sum(amount) from roi.money
select $as_of, $currency
select '; drop table roi.money; --'
select 'copy (select 1) to ''x'''
select "value" from generate_series(1, 3)
values (1), (2)
with recursive t(n) as (select 1 union all select n + 1 from t where n < 100) select max(n) from t
select exact_sum(x) from (values (1.0), (2.0)) as t(x)
select * from roi.estimates where metric = 'x'' or 1 = 1 --'
select 1;
"""

# Queries that never end, or not while anybody waits.
ENDLESS = r"""
with recursive t(n) as (select 1 union all select n from t) select count(*) from t
with recursive t(n) as (select cast(1 as bigint) union all select n + 1 from t) select count(*) from t where n < 0
with recursive t(n) as (select cast(1 as bigint) union all select n * -1 from t) select max(n) from t
with recursive t(n) as (select 1 union all select 1 from t), u as (select count(*) as x from t) select * from u
select count(*) from generate_series(1, 9223372036854775806)
select sum(value) from generate_series(1, 1000000000000)
select count(*) from generate_series(1, 1000000000) as a cross join generate_series(1, 1000000000) as b
select max(a.value + b.value) from generate_series(1, 1000000000) as a cross join generate_series(1, 1000000000) as b
select count(*) from generate_series(1, 10000000) as a join generate_series(1, 10000000) as b on a.value < b.value
select count(*) from generate_series(1, 1000000) as a join generate_series(1, 1000000) as b on a.value % 2 = b.value % 2
select count(*) from raw.sales a, raw.sales b, raw.sales c, raw.sales d, raw.sales e
select count(*) from raw.sales a, raw.sales b, raw.sales c, raw.sales d where a.amount + b.amount > c.amount + d.amount
select * from generate_series(1, 1000000000000) where value < 0
select count(*) from generate_series(1, 1000000000000) where sqrt(value) < 0
select min(md5(cast(value as varchar))) from generate_series(1, 100000000000)
select avg(length(repeat('x', 100000))) from generate_series(1, 1000000000)
select count(*) from generate_series(1, 10000000000) where cast(value as varchar) like '%9%8%7%6%5%4%3%2%1%0%0%0%'
select count(*) from generate_series(1, 10000000000) where regexp_like(cast(value as varchar), '(9+8*)+7+$')
select value from generate_series(1, 1000000000000) limit 1 offset 900000000000
select count(*) from generate_series(1, 3000000) a where exists (select 1 from generate_series(1, 3000000) b where b.value * a.value = 7)
select sum(x) from (select sum(value) over (order by value rows between 500000 preceding and current row) as x from generate_series(1, 100000000000))
select count(*) from generate_series(timestamp '0001-01-01', timestamp '9999-01-01', interval '1 microsecond')
"""

# Queries that want more memory than there is.
MEMORY = r"""
select array_agg(value) from generate_series(1, 1000000000)
select array_agg(cast(value as varchar)) from generate_series(1, 1000000000)
select string_agg(cast(value as varchar), ',') from generate_series(1, 1000000000)
select array_agg(distinct value) from generate_series(1, 1000000000)
select count(distinct value) from generate_series(1, 10000000000)
select count(distinct md5(cast(value as varchar))) from generate_series(1, 1000000000)
select value, count(*) from generate_series(1, 1000000000) group by value order by 2 desc limit 1
select value from generate_series(1, 10000000000) order by -value limit 1 offset 5000000000
select median(value) from generate_series(1, 1000000000)
select percentile_cont(0.5) within group (order by value) from generate_series(1, 1000000000)
select length(repeat('x', 2000000000))
select length(repeat('x', 9000000000))
select length(repeat('x', 9223372036854775807))
select repeat('x', 100000000)
select length(repeat(repeat('x', 100000), 100000))
select sum(length(repeat('x', 1000000))) from generate_series(1, 32000)
select max(repeat('x', 10000000) || value) from generate_series(1, 1000)
select lpad('x', 2147483647, 'y')
select length(rpad('x', 2147483647, 'yz'))
select length(space(2000000000))
select generate_series(1, 1000000000)
select array_length(generate_series(1, 1000000000))
select array_length(range(0, 9223372036854775807))
select range(1, 2000000000, 1)
select array_repeat(1, 1000000000)
select array_repeat(array_repeat(array_repeat(1, 10000), 10000), 10000)
select array_resize([1], 1000000000, 0)
select array_resize([1], 9223372036854775807)
select length(array_to_string(range(1, 300000000), ','))
select cardinality(array_distinct(range(1, 300000000)))
select cardinality(flatten(array_repeat(range(1, 100000), 10000)))
select cardinality(array_concat(range(1, 100000000), range(1, 100000000)))
select cardinality(array_union(range(1, 100000000), range(2, 200000000)))
select cardinality(string_to_array(repeat('x,', 300000000), ','))
select unnest(range(1, 1000000000))
select count(*) from (select unnest(range(1, 1000000)) from generate_series(1, 1000000))
select row_number() over (order by random()) from generate_series(1, 1000000000) limit 1
select lag(value, 100000000) over (order by value) from generate_series(1, 1000000000) limit 1
select sum(value) over () from generate_series(1, 1000000000) limit 1
select first_value(value) over (partition by value % 3 order by value desc) from generate_series(1, 1000000000) limit 1
select count(*) from generate_series(1, 300000000) a join generate_series(1, 300000000) b on a.value = b.value
select count(*) from generate_series(1, 300000000) a full join generate_series(1, 300000000) b on a.value = b.value
select value from generate_series(1, 1000000000) intersect select value from generate_series(1, 1000000000) limit 1
select count(*) from (select distinct value from generate_series(1, 1000000000))
select monthly_series(1000000000, 1.0)
select monthly_series(value, 1.0) from generate_series(1, 1000000000)
select monthly_series(9223372036854775807, 1.0)
select series_sums(2147483647, 1)
select list_sums([1.0], 1000000000)
select list_products([1.0, 2.0], 1000000)
select list_products([1.0, 2.0], 2147483647)
select pair_sums([1.0], [1.0], 100000, 100000)
select pair_sums([1.0], [1.0], 2147483647, 2147483647)
select moving_sums([1.0], 0, 2000000000, 0, 0)
select moving_sums([1.0], -9223372036854775808, 9223372036854775807, 0, 0)
select exact_products(range(1, 100000), range(1, 100000))
select exact_sum(value) from generate_series(1, 3000000)
select approx_distinct(value) from generate_series(1, 30000000)
select regexp_replace(repeat('a', 10000000), 'a', repeat('b', 1000), 'g')
select length(replace(repeat('a', 10000000), 'a', repeat('b', 1000)))
select length(to_hex(1) || repeat('z', 1500000000) || repeat('y', 1500000000))
select length(concat_ws(repeat(',', 1000000), 'a', 'b', 'c')) from generate_series(1, 10)
select encode(repeat('x', 1000000000), 'hex')
select length(translate(repeat('abc', 300000000), 'abc', 'xyz'))
select make_array(repeat('x', 100000000), repeat('y', 100000000), repeat('z', 100000000))
"""

# What may crash a parser, a planner or a function.
CRASHES = r"""
select 1/0
select 1 % 0
select 1.0/0
select 0.0/0.0
select cast(1 as decimal(38, 0)) / 0
select 9223372036854775807 + 1
select -9223372036854775808 - 1
select -9223372036854775808 / -1
select -9223372036854775808 % -1
select abs(-9223372036854775808)
select -(-9223372036854775808)
select 99999999999999999999999999999999999999 * 99999999999999999999999999999999999999
select cast('99999999999999999999999999999999999999' as decimal(38, 0)) * 10
select cast('1e400' as double)
select cast('NaN' as double) = cast('NaN' as double)
select cast('infinity' as double)::bigint
select cast(1e30 as int)
select cast('x' as int)
select cast(-1 as tinyint unsigned)
select cast(300 as tinyint)
select cast(1 as decimal(76, 0))
select cast(1 as decimal(77, 0))
select cast(1 as decimal(38, 39))
select cast(1 as decimal(0, 0))
select cast(1 as decimal(38, -38))
select cast('9999999999999-01-01' as date)
select cast('0000-00-00' as timestamp)
select timestamp '294247-01-10T04:00:54.775807'
select timestamp '9999-12-31' + interval '1000000 years'
select date '9999-12-31' + interval '2147483647 months'
select interval '9223372036854775807 days' * 2
select interval '99999999999999999999 days'
select date_trunc('x', now())
select date_bin(interval '0 seconds', now(), now())
select date_bin(interval '1 month', timestamp '0001-01-01', timestamp '9999-01-01')
select to_timestamp(9223372036854775807)
select to_timestamp(-9223372036854775808)
select from_unixtime(9223372036854775807)
select to_char(now(), '%q%%Q%!')
select to_char(now(), repeat('%Y', 100000))
select to_timestamp('x', '%')
select make_date(2147483647, 12, 31)
select make_date(0, 0, 0)
select date_part('epoch', timestamp '0001-01-01')
select now() at time zone 'Nowhere/None'
select chr(-1)
select chr(1114112)
select chr(0)
select chr(55296)
select ascii('')
select substr('é', 1, -1)
select substr('x', -9223372036854775808, 9223372036854775807)
select substr('x', 9223372036854775807, 9223372036854775807)
select left('x', -9223372036854775808)
select right('x', -9223372036854775808)
select split_part('a.b', '.', -9223372036854775808)
select split_part('a.b', '', 0)
select lpad('x', -1, '')
select rpad('x', 9223372036854775807, '')
select repeat('x', -9223372036854775808)
select strpos('', '')
select overlay('x' placing 'y' from -1 for 9223372036854775807)
select round(1.5, 2147483647)
select round(1.5, -2147483648)
select trunc(1.5, 2147483647)
select power(0, -1)
select power(10, 400)
select factorial(21)
select factorial(-1)
select gcd(-9223372036854775808, -9223372036854775808)
select lcm(9223372036854775807, 9223372036854775806)
select log(0, 0)
select sqrt(-1)
select 1 << 64
select 1 << -1
select 1 >> 9223372036854775807
select array_element([1], -9223372036854775808)
select [1][9223372036854775807]
select array_slice([1, 2], -9223372036854775808, 9223372036854775807)
select array_slice([1, 2], 1, 2, 0)
select array_slice([1, 2], 1, 2, -9223372036854775808)
select range(1, 10, 0)
select range(10, 1, -9223372036854775808)
select * from generate_series(1, 10, 0)
select * from generate_series(9223372036854775800, 9223372036854775807)
select * from generate_series(-9223372036854775807, -9223372036854775808, -1)
select * from generate_series('a', 'b')
select * from generate_series(null, null)
select * from generate_series()
select array_repeat(1, -1)
select array_resize([1], -1)
select struct(1)['x']
select map([1], [2])[null]
select arrow_cast(1, 'Decimal256(76, 76)')
select arrow_cast(1, 'FixedSizeBinary(-1)')
select arrow_cast('x', 'Dictionary(Int8, Utf8)')
select arrow_cast(1, 'Nonsense(')
select arrow_cast([1], 'FixedSizeList(2147483647, Int64)')
select arrow_typeof(null)
select regexp_like('x', '(')
select regexp_like('x', '[')
select regexp_like(repeat('a', 100000), '(a*)*b')
select regexp_like(repeat('a', 100000), '(a|aa)+$')
select regexp_like('x', '(((((a{{1000}}){{1000}}){{1000}}){{1000}}){{1000}})')
select regexp_match('x', repeat('(a?)', 100000))
select regexp_replace('x', '(?R)', '\\1')
select regexp_count('x', '', 1, 'zz')
select 'x' like repeat('%_', 100000)
select 'x' similar to '(('
select decode('x', 'base64')
select decode('ä', 'hex')
select digest('x', 'nonsense')
select uuid() = uuid()
select nth_value(1, 0) over ()
select nth_value(1, -9223372036854775808) over ()
select ntile(0) over ()
select ntile(-1) over ()
select lag(1, -9223372036854775808) over ()
select lead(1, 9223372036854775807) over ()
select sum(1) over (order by 1 rows between 9223372036854775807 preceding and 9223372036854775807 following)
select sum(1) over (order by 1 rows between 1 following and 1 preceding)
select sum(x) over (order by x range between 'a' preceding and current row) from (values (1)) as t(x)
select approx_percentile_cont(0.5, 0) within group (order by x) from (values (1.0)) as t(x)
select approx_percentile_cont(2) within group (order by x) from (values (1.0)) as t(x)
select percentile_cont(-1) within group (order by x) from (values (1.0)) as t(x)
select corr(1, 'x')
select sum(x) from (values (9223372036854775807), (1)) as t(x)
select avg(x) from (values (cast('99999999999999999999999999999999999999' as decimal(38, 0))), (cast('99999999999999999999999999999999999999' as decimal(38, 0)))) as t(x)
select sum(x) from (values (cast('99999999999999999999999999999999999999' as decimal(38, 0))), (cast('99999999999999999999999999999999999999' as decimal(38, 0)))) as t(x)
select exact_sum('x')
select exact_sum(x) from (values (cast('NaN' as double)), (cast('infinity' as double)), (1e308), (1e308)) as t(x)
select exact_sum(null)
select exact_sum()
select exact_products(null, null)
select exact_products([1.0], [[1.0]])
select exact_products([], [])
select numbers()
select numbers(null)
select numbers('x')
select monthly_series(-1, 1.0)
select monthly_series(-9223372036854775808, 1.0)
select monthly_series(null, null)
select monthly_series(x, 1.0) from (values (1), (1)) as t(x)
select series_sums(-1, 1)
select series_sums(x, 9223372036854775807) from (values (1), (1)) as t(x)
select list_sums([1.0], -1)
select list_sums(null, null)
select list_products([1.0], -1)
select list_products([1e300], 1)
select list_products([cast('NaN' as double)], 1)
select pair_sums([1.0], [1.0], -1, -1)
select pair_sums([1e300], [1e300], 1, 1)
select pair_sums(null, null, null, null)
select moving_sums([1.0], -1, 1, -9223372036854775808, 9223372036854775807)
select moving_sums(null, null, null, null, null)
select moving_sums([1.0], 5, 1, 5, 1)
select series_first([1.0], -9223372036854775808)
select series_first([1.0], 9223372036854775807)
select series_last([1.0], -9223372036854775808)
select series_last([], 9223372036854775807)
select series_total([1.0], -9223372036854775808, 9223372036854775807)
select series_total([cast('NaN' as double)], 0, 1)
select series_capped([1.0], 2.0, 1.0)
select series_capped([1.0], cast('NaN' as double), null)
select series_difference([1.0], null)
select series_ratio([1], [0])
select series_ratio(null, [1])
select series_moments(null)
select series_change([1.0], [1.0], -9223372036854775808)
select series_change([1.0], [1.0, 2.0, 3.0], 9223372036854775807)
select series_gap([1.0], -9223372036854775808, 9223372036854775807)
select series_gap([1], 9223372036854775807, 9223372036854775807)
select series_gap([1], 0, -1)
select $nothing
select $1
select ?
select $as_of + $currency
select * from t
select
''
'
"
`
$$
$$$
/*
--
select 'x
select "x
select 1 from
select ((((
select 1)
select * from roi.estimates r where r = r
select * from roi.estimates, roi.estimates
select count(*) over (partition by (select 1))
select (select (select (select (select count(*) from raw.sales))))
select * from (select * from (select * from raw.sales)) pivot (sum(amount) for x in (1))
select * from raw.sales match_recognize (pattern (a+) define a as true)
select * from raw.sales tablesample (1000000000 percent)
select * from raw.sales for update
select * from raw.sales limit -1
select * from raw.sales limit 9223372036854775807 offset 9223372036854775807
select * from raw.sales order by 0
select * from raw.sales order by 100
select * from raw.sales group by 100
select distinct on (amount) * from raw.sales
select * exclude (amount) from raw.sales limit 1
select grouping(1) from raw.sales group by cube(1)
select 1 group by grouping sets (())
select unnest(null)
select unnest([[1], null, []])
select unnest(unnest([[1]]))
select * from unnest(unnest([[1]]))
select * from lateral (select 1)
explain explain select 1
explain analyze explain analyze select 1
explain format nonsense select 1
show nonsense
show create table roi.money
show functions like '%'
"""


def made(name):
    """Statements that are too long to be listed."""
    deep = 10_000
    return {
        "parentheses": "select " + "(" * deep + "1" + ")" * deep,
        "open parentheses": "select " + "(" * deep,
        "brackets": "select " + "[" * deep + "1" + "]" * deep,
        "not": "select " + "not " * deep + "true",
        "minus": "select " + "- " * deep + "1",
        "case": "select " + "case when true then " * deep + "1" + " end" * deep,
        "cast": "select " + "cast(" * deep + "1" + " as int)" * deep,
        "functions": "select " + "abs(" * deep + "1" + ")" * deep,
        "subqueries": "select * from " + "(select * from " * deep + "raw.sales" + ")" * deep,
        "scalar subqueries": "select " + "(select " * deep + "1" + ")" * deep,
        "fewer subqueries": "select * from " + "(select * from " * 300 + "raw.sales" + ") as x" * 300,
        "a megabyte of sums": "select 1" + "+1" * 500_000,
        "sums": "select 1" + "+1" * 20_000,
        "fewer sums": "select 1" + "+1" * 3_000,
        "concatenations": "select ''" + " || 'x'" * 20_000,
        "ands": "select 1 where true" + " and 1 = 1" * 20_000,
        "ors": "select * from raw.sales where amount = 1" + " or amount = 2" * 20_000,
        "fewer ors": "select * from raw.sales where amount = 1" + " or amount = 2" * 2_000,
        "comparisons": "select 1" + " = 1" * 20_000,
        "in": "select count(*) from raw.sales where amount in (" + ",".join(map(str, range(100_000))) + ")",
        "unions": "select 1" + " union all select 1" * 20_000,
        "fewer unions": "select 1" + " union all select 1" * 1_000,
        "distinct unions": "select 1" + " union select 1" * 3_000,
        "joins": "select count(*) from raw.sales s0" + "".join(f" join raw.sales s{n} on s0.order_id = s{n}.order_id" for n in range(1, 300)),
        "cross joins": "select count(*) from " + ", ".join(f"(select 1) s{n}" for n in range(2_000)),
        "columns": "select " + ", ".join(f"1 as c{n}" for n in range(100_000)),
        "values": "select count(*) from (values " + ",".join(["(1)"] * 200_000) + ")",
        "ctes": "with " + ", ".join(f"c{n} as (select * from {'c' + str(n - 1) if n else 'raw.sales'})" for n in range(2_000)) + " select * from c1999",
        "doubling ctes": "with c0 as (select 1 as x), " + ", ".join(f"c{n} as (select a.x from c{n - 1} a, c{n - 1} b)" for n in range(1, 40)) + " select * from c39",
        "a long name": "select 1 as " + "x" * 5_000_000,
        "a long text": "select length('" + "x" * 5_000_000 + "')",
        "a long number": "select " + "9" * 1_000_000,
        "a long comment": "select 1 /* " + "/* " * 100_000 + " */",
        "nested comments": "/*" * 100_000 + "*/" * 100_000 + " select 1",
        "semicolons": ";" * 1_000_000,
        "windows": "select " + ", ".join(f"sum(1) over (order by {n}) as w{n}" for n in range(500)),
        "grouping sets": "select count(*) from raw.sales group by cube(" + ", ".join(["customer_id", "order_id", "amount"] * 9) + ")",
        "cube of many": "select count(*) from (select " + ", ".join(f"1 as c{n}" for n in range(30)) + ") group by cube(" + ", ".join(f"c{n}" for n in range(30)) + ")",
        "lists of lists": "select " + "make_array(" * 500 + "1" + ")" * 500,
        "types": "select cast(null as " + "array<" * 2_000 + "int" + ">" * 2_000 + ")",
        "struct types": "select arrow_cast(null, '" + "List(" * 5_000 + "Int8" + ")" * 5_000 + "')",
        "intervals": "select now()" + " + interval '1 day'" * 5_000,
        "dots": "select " + ".".join(["a"] * 20_000),
        "invalid UTF-8": b"select '\xff\xfe\xc3\x28'",
        "UTF-16": "select 1".encode("utf-16"),
        "UTF-8 with a mark": b"\xef\xbb\xbfselect 1",
        "NUL": b"select 1\x00; copy (select 1) to 'x'",
        "NUL in a text": b"select 'a\x00b'",
        "controls": bytes(range(1, 32)) + b"select 1",
        "overlong": b"select '\xc0\xaf\xed\xa0\x80'",
        "right to left": "select '\u202e\u2066' as \"\u202e\"",
        "nothing": b"",
        "blanks": b" \n\t " * 100_000,
        "zeros": b"\x00" * 1_000_000,
        "noise": bytes((n * 7919) % 251 for n in range(300_000)),
    }


# As a staging file of an overlay, for `cxroi run`.
STAGING = {
    "writes": "copy (select 1) to '{out}/x.csv'",
    "drops": "drop table raw.sales",
    "two": "select * from raw.sales; select * from raw.sales",
    "reads outside": "select * from '{canary}.csv'",
    "reads by name": 'select * from "{canary}.parquet"',
    "reads /etc": "select * from \"/etc/passwd\"",
    "sets": "set datafusion.execution.batch_size = 1",
    "explains": "explain analyze copy (select 1) to '{out}/x.csv'",
    "divides": "select customer_id, order_id, ordered_at, amount / 0 as amount from raw.sales",
    "overflows": "select customer_id, order_id, ordered_at, cast('99999999999999999999999999999999999999' as decimal(38, 0)) as amount from raw.sales",
    "NaN": "select customer_id, order_id, ordered_at, cast('NaN' as double) as amount from raw.sales",
    "nested": "select customer_id, order_id, ordered_at, [amount] as amount from raw.sales",
    "texts": "select customer_id, order_id, 'x' as ordered_at, 'y' as amount from raw.sales",
    "ages": "select customer_id, order_id, timestamp '9999-12-31' as ordered_at, amount from raw.sales",
    "another source": "select s.* from raw.sales s join roi.money on true",
    "deep": "select " + "(" * 10_000 + "amount" + ")" * 10_000 + " as amount from raw.sales",
    "sums": "select customer_id, order_id, ordered_at, amount" + " + 0" * 20_000 + " as amount from raw.sales",
    "nothing": "",
    "a claim": "select 1 as x",
    "many": "select s.customer_id, s.order_id || g.value as order_id, s.ordered_at, s.amount from raw.sales s cross join generate_series(1, 1000000000) g",
    "endless": "with recursive t(n) as (select 1 union all select n from t) select s.customer_id, s.order_id, s.ordered_at, s.amount from raw.sales s where s.amount < (select count(*) from t)",
}
STAGING_ENDLESS = {"many", "endless"}
MEASURES = {
    "writes": "copy (select 1) to '{out}/x.csv'",
    "reads outside": "select '(all)' as segment, count(*) as revenue_month from '{canary}.csv'",
    "divides": "select '(all)' as segment, 1 / 0 as revenue_month",
    "no such columns": "select 1 as x",
    "texts for sums": "select '(all)' as segment, 'x' as revenue_month, 'x' as revenue_t3m",
    "deep": "select " + "(" * 10_000 + "1" + ")" * 10_000 + " as revenue_month",
    "nothing": "",
}


def statements(places):
    """The kind, name, text and allowed exit codes of all statements that are asked."""
    tables = {"write": (WRITES, REFUSED), "outside": (OUTSIDE, REFUSED), "legal": (LEGAL_ONES, LEGAL)}
    tables |= {"endless": (ENDLESS, ANY), "memory": (MEMORY, ANY), "crash": (CRASHES, ANY)}
    for kind, (text, allowed) in tables.items():
        for line in text.strip("\n").splitlines():
            yield kind, line, line.format(**places).replace("\\n", "\n"), allowed
    for name, text in made("").items():
        yield "made", name, text, ANY


# A process.


class Ended:
    """What a process did: exit code (negative for a signal), text, seconds, peak memory in MB, and why it was stopped."""

    def __init__(self, code, text, seconds, memory, stopped):
        self.code, self.text, self.seconds, self.memory, self.stopped = code, text, seconds, memory, stopped


def run(command, folder, limit):
    """Runs a process with an eye on time, memory and output."""
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        environment = os.environ | {"RUST_BACKTRACE": "0"}
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment
        )
        stopped, peak = None, 0
        while True:
            ended, status = os.waitpid(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, most_resident(process.pid))
            elapsed = time.monotonic() - started
            if elapsed > limit:
                stopped = "time"
            elif peak > KILL_MEMORY:
                stopped = "memory"
            elif os.fstat(out.fileno()).st_size > MOST_OUTPUT << 20:
                stopped = "output"
            if stopped:
                process.kill()
                _, status = os.waitpid(process.pid, 0)
                break
            time.sleep(0.01 if elapsed < 1 else 0.05)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read(20 << 20).decode("utf-8", "replace")
        return Ended(code, text, time.monotonic() - started, peak, stopped)


def most_resident(pid):
    """The most memory that a process has held, in MB. (What `wait4` says counts this program's own before it became another.)"""
    try:
        if os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe"):
            return 0
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) >> 10 for line in file if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def tree(folder):
    """All files below a folder, with what is in them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


# What must hold.


class Findings:
    def __init__(self):
        self.asked, self.failed, self.endless, self.codes, self.largest = 0, 0, 0, {}, []

    def say(self, kind, name, what, ended=None):
        self.failed += 1
        last = " | ".join(line for line in ended.text.strip().splitlines()[-3:])[:300] if ended else ""
        print(f"{kind}: {name[:150]}: {what}: {last}", flush=True)


def judge(findings, kind, name, ended, allowed, patient):
    """Holds one process against what its kind allows."""
    findings.asked += 1
    findings.codes[kind, ended.code] = findings.codes.get((kind, ended.code), 0) + 1
    findings.largest.append((ended.memory, f"{kind}: {name[:100]}"))
    if "panicked at" in ended.text or "stack overflow" in ended.text or "overflowed its stack" in ended.text:
        findings.say(kind, name, "panics", ended)
    elif ended.stopped == "time" and kind == "endless" and not patient:
        findings.endless += 1
    elif ended.stopped:
        findings.say(kind, name, f"goes on: stopped for {ended.stopped} after {ended.seconds:.0f} s and {ended.memory} MB")
    elif ended.code < 0:
        findings.say(kind, name, f"ends by signal {signal.Signals(-ended.code).name} at {ended.memory} MB", ended)
    elif ended.code not in allowed:
        findings.say(kind, name, f"exits with {ended.code}", ended)
    elif ended.code and not ended.text.strip():
        findings.say(kind, name, f"exits with {ended.code} and says nothing")
    elif "nternal error" in ended.text:
        findings.say(kind, name, f"an internal error, exit code {ended.code}", ended)
    if ended.memory > MOST_MEMORY and not ended.stopped == "memory":
        findings.say(kind, name, f"held {ended.memory} MB")
    if CANARY in ended.text or "root:x:0" in ended.text:
        findings.say(kind, name, "reads outside the lake", ended)


def unchanged(findings, kind, name, before, root, foreign):
    after = tree(root)
    for path in before.keys() | after.keys():
        if before.get(path) != after.get(path):
            findings.say(kind, name, f"{path.relative_to(root)} was {'changed' if path in before and path in after else 'written or deleted'}")
    for path in foreign:
        if path.exists():
            findings.say(kind, name, f"{path} was written")
            path.unlink()
    return after


def made_lake(cxroi, root, query_time_limit):
    """A small lake that was run, with canaries beside it."""
    folder = root / "company"
    shutil.copytree(GOLDEN / "lake", folder / "lake")
    limits = 'memory_limit = "512 MB"\n' + (f'query_time_limit = "{query_time_limit}"\n' if query_time_limit else "")
    text = (GOLDEN / "cxroi.toml").read_text()
    text = text.replace("[run]", "[run]\n" + limits) if "[run]" in text else text + "\n[run]\n" + limits
    (folder / "cxroi.toml").write_text((GOLDEN / "cxroi.toml").read_text())
    done = run([cxroi, "run", "--period", "2024-12"], folder, 300)
    assert done.code == 0, done.text
    (folder / "cxroi.toml").write_text(text)
    (root / f"{CANARY}.csv").write_text(f"x\n{CANARY}\n")
    (root / f"{CANARY}.json").write_text(f'{{"x": "{CANARY}"}}\n')
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [CANARY]}), root / f"{CANARY}.parquet")
    return folder


def ask_all(findings, cxroi, folder, root, arguments):
    places = {"canary": f"{root}/{CANARY}", "name": CANARY, "out": f"{folder}/out"}
    foreign = [Path(f"/tmp/{CANARY}.csv"), Path(f"/tmp/{CANARY}.parquet")]
    before = tree(root)
    for kind, name, text, allowed in statements(places):
        # The canary's own name in the question is no answer.
        if arguments.only not in (None, kind):
            continue
        text = text if isinstance(text, bytes) else text.encode()
        if len(text) < 100_000 and b"\x00" not in text and kind != "made":
            command = [cxroi, "sql", "-c", text.decode()]
        else:
            with tempfile.NamedTemporaryFile(suffix=".sql", delete=False) as file:
                file.write(text)
            command = [cxroi, "sql", "-f", file.name]
        patient = arguments.query_time_limit is not None
        ended = run(command, folder, PATIENCE if kind == "endless" and not patient else TIME_LIMIT)
        ended.text = ended.text.replace(f"{root}/{CANARY}", "").replace(f"{CANARY}.", "").replace(f"/{CANARY}", "").replace(f"{CANARY}'", "").replace(f'{CANARY}"', "")
        judge(findings, kind, name, ended, allowed, patient)
        before = unchanged(findings, kind, name, before, root, foreign)


def overlay_all(findings, cxroi, folder, root, arguments):
    """Models of an overlay: the same promises, with `cxroi run` to an output of its own."""
    places = {"canary": f"{root}/{CANARY}", "name": CANARY, "out": f"{folder}/out"}
    for layer, file, models in (("staging", "sales", STAGING), ("measures", "revenue", MEASURES)):
        for name, text in models.items():
            kind = f"overlay {layer}"
            if arguments.only not in (None, "overlay"):
                continue
            (folder / "overlay" / layer).mkdir(parents=True, exist_ok=True)
            (folder / "overlay" / layer / f"{file}.sql").write_text(f"-- Hostile.\n-- grain: segment\n{text.format(**places) if '{' in text else text}\n")
            config = (folder / "cxroi.toml").read_text().replace("[sql]", "[sql_was]")
            (folder / "hostile.toml").write_text(config + '\n[sql]\noverlay = "overlay/"\n')
            before = tree(root)
            endless = layer == "staging" and name in STAGING_ENDLESS
            patient = arguments.query_time_limit is not None
            command = [cxroi, "run", "--config", "hostile.toml", "--period", "2024-12"]
            ended = run(command, folder, PATIENCE if endless and not patient else TIME_LIMIT)
            ended.text = ended.text.replace(CANARY + ".", "")
            judge(findings, "endless" if endless else kind, name, ended, {0, 1, 2, 3}, patient)
            # A run may write its output, and nothing else.
            kept = {path: found for path, found in before.items() if folder / "out" not in path.parents}
            after = {path: found for path, found in tree(root).items() if folder / "out" not in path.parents}
            for path in kept.keys() | after.keys():
                if kept.get(path) != after.get(path):
                    findings.say(kind, name, f"{path.relative_to(root)} was changed")
            shutil.rmtree(folder / "overlay")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxroi", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--query-time-limit", help="what `run.query_time_limit` is to be")
    parser.add_argument("--only", help="one kind of statements: write, outside, legal, endless, memory, crash, made, overlay")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    findings = Findings()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        folder = made_lake(arguments.cxroi, root, arguments.query_time_limit)
        ask_all(findings, arguments.cxroi, folder, root, arguments)
        overlay_all(findings, arguments.cxroi, folder, root, arguments)
    for (kind, code), count in sorted(findings.codes.items()):
        print(f"{kind}: {count} exit with {code}")
    for memory, name in sorted(findings.largest, reverse=True)[:8]:
        print(f"{memory} MB: {name}")
    print(f"{findings.asked} statements, {findings.failed} findings, {findings.endless} endless ones without a time limit")
    sys.exit(1 if findings.failed else 0)


if __name__ == "__main__":
    main()
