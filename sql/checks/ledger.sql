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
)
select
    analysed.month / 12 as year,
    analysed.month % 12 + 1 as month_of_year,
    analysed.revenue as analysed,
    ledger.revenue as ledger,
    analysed.revenue - ledger.revenue as difference,
from analysed
inner join ledger on ledger.month = analysed.month
where abs(analysed.revenue - ledger.revenue) > $ledger_tolerance * abs(ledger.revenue)
order by analysed.month
