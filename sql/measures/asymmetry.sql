-- Whether missing expectations costs more than beating them brings: sums for the regression of the revenue of the six months after
-- an answer on how far the score is below and above what is expected, and on whether it is a detractor's or a promoter's, with
-- earlier spend, segment, tenure and month held equal. Of the list 1, spend before less its mean, the two, each element with
-- each of that list and the revenue. Effort is turned round where a low number is low effort.
-- grain: score, segment, tenure_band, month
with placed as (
    select
        'nps' as score,
        nps - $nps_expectation as x,
        nps <= 6 as is_detractor,
        nps >= 9 as is_promoter,
        *,
    from windows.answer_month
    where nps is not null
    union all
    select
        'csat' as score,
        csat - $csat_expectation as x,
        csat <= 2 as is_detractor,
        csat >= 4 as is_promoter,
        *,
    from windows.answer_month
    where csat is not null
    union all
    select
        'ces' as score,
        case when $ces_higher_is_better then ces - $ces_expectation else $ces_expectation - ces end as x,
        case when $ces_higher_is_better then ces <= 3 else ces >= 5 end as is_detractor,
        case when $ces_higher_is_better then ces >= 5 else ces <= 3 end as is_promoter,
        *,
    from windows.answer_month
    where ces is not null
),
means as (
    select score, exact_sum(spend_before) / count(*) as spend_before
    from placed
    group by score
),
columns as (
    select
        placed.score,
        placed.segment,
        placed.tenure_band,
        placed.month,
        means.spend_before as mean_spend_before,
        placed.revenue_6m,
        placed.spend_before - means.spend_before as spend,
        least(cast(placed.x as double), 0.0) as below,
        greatest(cast(placed.x as double), 0.0) as above,
        case when placed.is_detractor then 1.0 else 0.0 end as detractor,
        case when placed.is_promoter then 1.0 else 0.0 end as promoter,
    from means
    inner join placed on placed.score = means.score
)
select
    score,
    segment,
    tenure_band,
    month,
    mean_spend_before,
    (select max(cap) from windows.cap where outcome = 'revenue') as revenue_cap,
    count(*) filter (where below < 0) as answers_below,
    count(*) filter (where above > 0) as answers_above,
    exact_products(numbers(1.0, spend, below, above), numbers(1.0, spend, below, above, revenue_6m)) as slope_products,
    exact_products(numbers(1.0, spend, detractor, promoter), numbers(1.0, spend, detractor, promoter, revenue_6m)) as band_products,
from columns
group by score, segment, tenure_band, month, mean_spend_before
order by score, segment, tenure_band, month
