-- Net revenue of each month with sales is that of finance's ledger, within ledger_tolerance of it.
with analysed as (
    select month, sum(amount) as revenue
    from staging.sales
    group by month
),
ledger as (
    select month, sum(revenue) as revenue
    from staging.control_totals
    group by month
),
ends as (
    select min(month) as first, max(month) as last
    from ledger
),
months as (
    select
        coalesce(ledger.month, analysed.month) as month,
        analysed.revenue as analysed,
        ledger.revenue as ledger,
        analysed.revenue - ledger.revenue as difference,
    from analysed
    full outer join ledger on ledger.month = analysed.month
)
-- All months are told, as what is booked a month late shows in two of them; what breaks is null where one side is not there.
select
    lpad(cast(months.month / 12 as text), 4, '0') || '-' || lpad(cast(months.month % 12 + 1 as text), 2, '0') as month,
    months.analysed,
    months.ledger,
    months.difference,
    abs(months.difference) > $ledger_tolerance * abs(months.ledger) as breaks,
from months
cross join ends
where months.month between ends.first and ends.last
order by month
