-- A customer's months with an answer to a survey, from six months after the customer came and after history began to six before
-- the reported month, and what the customer spent and cost around them: the one fixed sample of all lags. Scores are means of
-- the month, money is capped as money for inference is, and a month without a row is 0. Spend before is a month's mean of the
-- three before the answer, the placebo that of the three before these, which no answer can have moved. Of each survey the
-- customer's first answer is told. Revenue, service cost and order lines are one list, each of $as_of - $history_from + 1 months:
-- joining three lists takes three times as long.
-- grain: customer_id, month
with caps as (
    select
        coalesce(max(cap) filter (where outcome = 'revenue'), 0) as revenue,
        coalesce(max(cap) filter (where outcome = 'service_cost'), 0) as service_cost,
    from windows.cap
),
answers as (
    select
        customer.customer_id,
        customer.segment,
        customer.acquired_month,
        facts.month,
        facts.month - $history_from as place,
        cast(facts.nps_sum as double) / nullif(facts.nps_responses, 0) as nps,
        cast(facts.csat_sum as double) / nullif(facts.csat_responses, 0) as csat,
        cast(facts.ces_sum as double) / nullif(facts.ces_responses, 0) as ces,
    from windows.customer as customer
    inner join facts.customer_month as facts on facts.customer_id = customer.customer_id
    where
        facts.nps_responses + facts.csat_responses + facts.ces_responses > 0
        and facts.month between $history_from + 6 and $as_of - 6
        and customer.acquired_month <= facts.month - 6
),
firsts as (
    select
        customer_id,
        min(case when nps is not null then month end) as nps_month,
        min(case when csat is not null then month end) as csat_month,
        min(case when ces is not null then month end) as ces_month,
    from answers
    group by customer_id
),
series as (
    select
        facts.customer_id,
        monthly_series(facts.month - $history_from, greatest(least(facts.revenue, caps.revenue), -caps.revenue))
            as revenue,
        monthly_series(facts.month - $history_from, least(facts.service_cost, caps.service_cost)) as service_cost,
        monthly_series(facts.month - $history_from, facts.positive_lines) as order_lines,
    from caps
    cross join facts.customer_month as facts
    where facts.month between $history_from and $as_of and facts.customer_id is not null
    group by facts.customer_id
),
joined as (
    select
        customer_id,
        array_concat(
            array_concat(
                array_resize(revenue, $as_of - $history_from + 1, 0.0),
                array_resize(service_cost, $as_of - $history_from + 1, 0.0)
            ),
            order_lines
        ) as months,
    from series
),
placed as (
    select
        *,
        place + $as_of - $history_from + 1 as cost_place,
        place + 2 * ($as_of - $history_from + 1) as line_place,
    from answers
)
select
    placed.customer_id,
    placed.segment,
    case
        when placed.month - placed.acquired_month < 12 then 0
        when placed.month - placed.acquired_month < 24 then 1
        else 2
    end as tenure_band,
    placed.month,
    placed.nps,
    placed.csat,
    placed.ces,
    placed.month = firsts.nps_month as is_first_nps,
    placed.month = firsts.csat_month as is_first_csat,
    placed.month = firsts.ces_month as is_first_ces,
    cast(cast(series_sum(joined.months, place - 3, place - 1) as decimal(30, 4)) as double) / 3 as spend_before,
    cast(cast(series_sum(joined.months, place - 6, place - 4) as decimal(30, 4)) as double) / 3 as placebo,
    series_sum(joined.months, place, place) as revenue_0,
    series_sum(joined.months, place + 1, place + 1) as revenue_1,
    series_sum(joined.months, place + 2, place + 2) as revenue_2,
    series_sum(joined.months, place + 3, place + 3) as revenue_3,
    series_sum(joined.months, place + 4, place + 4) as revenue_4,
    series_sum(joined.months, place + 5, place + 5) as revenue_5,
    series_sum(joined.months, place + 6, place + 6) as revenue_6,
    cast(cast(series_sum(joined.months, place + 1, place + 6) as decimal(30, 4)) as double) / 6 as revenue_6m,
    case when series_sum(joined.months, line_place + 1, line_place + 6) > 0 then 1.0 else 0.0 end as active_6m,
    cast(cast(series_sum(joined.months, cost_place + 1, cost_place + 6) as decimal(30, 4)) as double) / 6 as service_cost_6m,
from firsts
inner join joined on joined.customer_id = firsts.customer_id
inner join placed on placed.customer_id = joined.customer_id
order by customer_id, month
