-- Customers who answered any survey in the last three months, of those with an interaction. Few answers, or very different
-- shares of answers in the segments, say that the scores may not speak for everybody. Where nobody has an interaction beyond
-- the answers, as far as can be told, the lake has only_answers: of whom was asked and did not answer it knows nothing.
-- grain: segment
with scoped as (
    select
        answers_t3m > 0 as answered,
        answers_t3m < interactions_t3m as has_others,
        unnest([segment, '(all)']) as segment,
    from windows.customer
    where interactions_t3m > 0 and customer_id is not null
),
rates as (
    select
        segment,
        count(*) as customers,
        count(*) filter (where answered) as answered,
        count(*) filter (where has_others) as have_others,
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
    max(have_others) over () = 0 as only_answers,
from rates
order by segment
