-- Whether customers who answer higher spend more in the six months after, by rank: of their first answers of
-- windows.answer_month, of the list 1, rank of the score, rank of the revenue each element with each. Ranks are less their mean;
-- equal values share the mean of their ranks.
-- grain: score, segment
with firsts as (
    select 'nps' as score, unnest([segment, '(all)']) as segment, nps as x, revenue_6m
    from windows.answer_month
    where is_first_nps
    union all
    select 'csat' as score, unnest([segment, '(all)']) as segment, csat as x, revenue_6m
    from windows.answer_month
    where is_first_csat
    union all
    select 'ces' as score, unnest([segment, '(all)']) as segment, ces as x, revenue_6m
    from windows.answer_month
    where is_first_ces
),
pairs as (
    select score, segment, x, revenue_6m, count(*) as customers
    from firsts
    group by score, segment, x, revenue_6m
),
score_ranks as (
    select
        score,
        segment,
        x,
        2 * sum(count(*)) over (partition by score, segment order by x) - count(*)
        - sum(count(*)) over (partition by score, segment) as twice_rank,
    from firsts
    group by score, segment, x
),
revenue_ranks as (
    select
        score,
        segment,
        revenue_6m,
        2 * sum(count(*)) over (partition by score, segment order by revenue_6m) - count(*)
        - sum(count(*)) over (partition by score, segment) as twice_rank,
    from firsts
    group by score, segment, revenue_6m
),
ranked as (
    select
        pairs.score,
        pairs.segment,
        cast(pairs.customers as double) as customers,
        cast(score_ranks.twice_rank as double) / 2 as score_rank,
        cast(revenue_ranks.twice_rank as double) / 2 as revenue_rank,
    from score_ranks
    inner join pairs
        on pairs.score = score_ranks.score and pairs.segment = score_ranks.segment and pairs.x = score_ranks.x
    inner join revenue_ranks
        on
            revenue_ranks.score = pairs.score
            and revenue_ranks.segment = pairs.segment
            and revenue_ranks.revenue_6m = pairs.revenue_6m
)
select
    score,
    segment,
    exact_products(
        numbers(customers, customers * score_rank, customers * revenue_rank), numbers(1.0, score_rank, revenue_rank)
    ) as products,
from ranked
group by score, segment
order by score, segment
