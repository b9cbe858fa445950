-- Customers who answered any survey in the last three months, of those with an interaction. Few answers, or very different
-- shares of answers in the segments, say that the scores may not speak for everybody.
-- grain: segment
with reached as (
    select
        customer_id,
        sum(nps_responses + csat_responses + ces_responses) > 0 as answered,
    from facts.customer_month
    where month between $as_of - 2 and $as_of and interactions > 0 and customer_id is not null
    group by customer_id
),
scoped as (
    select
        reached.answered,
        unnest([coalesce(customers.segment, '(unknown)'), '(all)']) as segment,
    from reached
    left join staging.customers as customers on customers.customer_id = reached.customer_id
),
rates as (
    select segment, count(*) as customers, count(*) filter (where answered) as answered
    from scoped
    group by segment
)
select
    segment,
    customers,
    answered,
    cast(answered as double) / cast(customers as double) as share,
    min(case when segment <> '(all)' then cast(answered as double) / cast(customers as double) end) over () as lowest_share,
    max(case when segment <> '(all)' then cast(answered as double) / cast(customers as double) end) over () as highest_share,
from rates
order by segment
