-- Revenue of the reported month as the sales rows have it, and as finance's ledger has it.
-- grain: segment
with analysed as (
    select coalesce(sum(revenue_month), 0) as revenue
    from windows.customer
),
ledger as (
    select count(*) as months, coalesce(sum(revenue), 0) as revenue
    from staging.control_totals
    where month = $as_of
)
select
    '(all)' as segment,
    ledger.months,
    ledger.revenue as ledger,
    analysed.revenue - ledger.revenue as difference,
from analysed
cross join ledger
