-- How scores go with what customers spend and cost later: sums for the regression of each outcome on the score, with earlier
-- spend, segment, tenure and month held equal (functions/stats/src/regression.rs). Of the list 1, spend before, score each
-- element with each of that list and the outcomes revenue 0 to 6 months later, placebo, active, service cost and, without caps,
-- mean revenue of 1 to 6 months later; score and spend are less their means, so that nothing is lost in the subtraction.
-- Service contacts are one more score, of every month with an answer; their unit makes the most of them ten, as of a score, in
-- measures/association_errors.
-- grain: score, segment, tenure_band, month
with scored as (
    select 'nps' as score, nps as x, *
    from windows.answer_month
    where nps is not null
    union all
    select 'csat' as score, csat as x, *
    from windows.answer_month
    where csat is not null
    union all
    select 'ces' as score, ces as x, *
    from windows.answer_month
    where ces is not null
    union all
    select 'service_contacts' as score, contacts as x, *
    from windows.answer_month
    where contacts is not null
),
means as (
    select
        score,
        exact_sum(x) / count(*) as x,
        exact_sum(spend_before) / count(*) as spend_before,
        greatest(1.0, max(x) / 10) as unit,
    from scored
    group by score
),
centred as (
    select
        scored.score,
        scored.segment,
        scored.tenure_band,
        scored.month,
        means.x as mean_score,
        means.spend_before as mean_spend_before,
        means.unit as score_unit,
        numbers(1.0, scored.spend_before - means.spend_before, scored.x - means.x) as numbers,
        numbers(
            1.0, scored.spend_before - means.spend_before, scored.x - means.x,
            revenue_0, revenue_1, revenue_2, revenue_3, revenue_4, revenue_5, revenue_6,
            placebo, active_6m, service_cost_6m, revenue_6m_raw
        ) as numbers_and_outcomes,
    from means
    inner join scored on scored.score = means.score
)
select
    score,
    segment,
    tenure_band,
    month,
    mean_score,
    mean_spend_before,
    score_unit,
    (select max(cap) from windows.cap where outcome = 'revenue') as revenue_cap,
    (select max(cap) from windows.cap where outcome = 'service_cost') as service_cost_cap,
    exact_products(numbers, numbers_and_outcomes) as products,
from centred
group by score, segment, tenure_band, month, mean_score, mean_spend_before, score_unit
order by score, segment, tenure_band, month
