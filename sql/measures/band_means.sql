-- What customers spend in the six months after their first answer of windows.answer_month, by its band, and by segment and
-- group of spend before it: 0 nothing, 1 up to the median of those who spent, 2 more. Of the list 1, score, revenue each element
-- with each, score and revenue less their means. Bands of NPS are up to 6 and from 9, of CSAT up to 2 and from 4, of CES up to 3
-- and from 5, the other way round where low effort is a low number.
-- grain: score, segment, spend_group, band
with firsts as (
    select 'nps' as score, segment, nps as x, spend_before, revenue_6m
    from windows.answer_month
    where is_first_nps
    union all
    select 'csat' as score, segment, csat as x, spend_before, revenue_6m
    from windows.answer_month
    where is_first_csat
    union all
    select 'ces' as score, segment, ces as x, spend_before, revenue_6m
    from windows.answer_month
    where is_first_ces
),
means as (
    select score, exact_sum(x) / count(*) as x, exact_sum(revenue_6m) / count(*) as revenue_6m
    from firsts
    group by score
),
spends as (
    select
        score,
        spend_before,
        sum(count(*)) over (partition by score order by spend_before) as customers_up_to,
        sum(count(*)) over (partition by score) as customers,
    from firsts
    where spend_before > 0
    group by score, spend_before
),
splits as (
    select score, min(spend_before) as spend
    from spends
    where 2 * customers_up_to >= customers
    group by score
),
banded as (
    select
        firsts.score,
        firsts.segment,
        case
            when firsts.spend_before <= 0 then 0
            when firsts.spend_before <= splits.spend then 1
            else 2
        end as spend_group,
        case
            when firsts.score = 'ces' and not $ces_higher_is_better
                then case when firsts.x >= 5 then 'detractor' when firsts.x <= 3 then 'promoter' else 'passive' end
            when
                firsts.x <= case firsts.score when 'nps' then 6 when 'csat' then 2 else 3 end
                then 'detractor'
            when
                firsts.x >= case firsts.score when 'nps' then 9 when 'csat' then 4 else 5 end
                then 'promoter'
            else 'passive'
        end as band,
        splits.spend as spend_split,
        means.x as mean_score,
        means.revenue_6m as mean_revenue,
        numbers(1.0, firsts.x - means.x, firsts.revenue_6m - means.revenue_6m) as numbers,
    from means
    inner join firsts on firsts.score = means.score
    left join splits on splits.score = firsts.score
)
select
    score,
    segment,
    spend_group,
    band,
    spend_split,
    mean_score,
    mean_revenue,
    exact_products(numbers, numbers) as products,
from banded
group by score, segment, spend_group, band, spend_split, mean_score, mean_revenue
order by score, segment, spend_group, band
