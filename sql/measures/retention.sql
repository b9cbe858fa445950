-- Customers active in the last three months, in the three before, or in both; new and reactivated ones by their first
-- active month in the whole history. Active means at least one order line with a positive amount.
-- grain: segment
with windows as (
    select
        customer_id,
        max(case when month > $as_of - 3 then 1 else 0 end) = 1 as active,
        max(case when month > $as_of - 6 and month <= $as_of - 3 then 1 else 0 end) = 1 as active_before,
        min(month) as first_month,
    from facts.customer_month
    where month <= $as_of and positive_lines > 0 and customer_id is not null
    group by customer_id
),
scoped as (
    select
        windows.*,
        unnest([coalesce(customers.segment, '(unknown)'), '(all)']) as segment,
    from windows
    left join staging.customers as customers on customers.customer_id = windows.customer_id
)
select
    segment,
    count(*) filter (where active_before) as base,
    count(*) filter (where active_before and active) as retained,
    count(*) filter (where active and not active_before and first_month > $as_of - 3) as new,
    count(*) filter (where active and not active_before and first_month <= $as_of - 3) as reactivated,
from scoped
group by segment
order by segment
