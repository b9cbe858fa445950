-- Customers who answered any survey in the last three months, of those with an interaction. Few answers, or very different
-- shares of answers in the segments, say that the scores may not speak for everybody.
-- grain: segment
with scoped as (
    select answers_t3m > 0 as answered, unnest([segment, '(all)']) as segment
    from windows.customer
    where interactions_t3m > 0 and customer_id is not null
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
