-- Revenue of the reported month as the sales rows have it, and as finance's ledger has it. Of the twelve months that end with it, how
-- many it takes, counted back, to reach one that differs by more than ledger_tolerance of the ledger: 1 is the reported month, and
-- null that there is none. A month that the ledger does not have, or that is before history, is none.
-- grain: segment
with analysed as (
    select coalesce(sum(revenue_month), 0) as revenue
    from windows.customer
),
ledger as (
    select count(*) as months, coalesce(sum(revenue), 0) as revenue
    from staging.control_totals
    where month = $as_of
),
by_month as (
    select month, sum(revenue) as revenue
    from facts.customer_month
    where month between $as_of - 11 and $as_of
    group by month
),
untied as (
    select min($as_of + 1 - totals.month) as months_back
    from staging.control_totals as totals
    left join by_month on by_month.month = totals.month
    where
        totals.month between $as_of - 11 and $as_of
        and totals.month >= $history_from
        and abs(coalesce(by_month.revenue, 0) - totals.revenue) > $ledger_tolerance * abs(totals.revenue)
)
select
    '(all)' as segment,
    ledger.months,
    ledger.revenue as ledger,
    analysed.revenue - ledger.revenue as difference,
    untied.months_back,
from analysed
cross join ledger
cross join untied
