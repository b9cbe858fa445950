-- Customers active in the last three months, in the three before, or in both; new and reactivated ones by their first
-- active month in the whole history. Active means at least one order line with a positive amount. Where the median gap between
-- orders is longer than half the window, customers buy too seldom for it.
-- grain: segment
with scoped as (
    select
        active_t3m as active,
        active_t3m_before as active_before,
        first_order_month,
        unnest([segment, '(all)']) as segment,
    from windows.customer
    where first_order_month is not null and customer_id is not null
)
select
    segment,
    count(*) filter (where active_before) as base,
    count(*) filter (where active_before and active) as retained,
    count(*) filter (where active and not active_before and first_order_month > $as_of - 3) as new,
    count(*) filter (where active and not active_before and first_order_month <= $as_of - 3) as reactivated,
    (select 2 * short_gaps < gaps from windows.purchase_gap) as buys_seldom,
from scoped
group by segment
order by segment
