-- A customer's months with an answer to a survey, from six months after the customer came and after history began to six before
-- the reported month, and what the customer spent and cost around them: the one fixed sample of all lags. Scores are means of
-- the month, money is capped as money for inference is, and a month without a row is 0. Spend before is a month's mean of the
-- three before the answer, the placebo that of the three before these, which no answer can have moved. Of each survey the
-- customer's first answer is told.
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
around as (
    select
        customer_id,
        unnest(range(6, $as_of - $history_from - 5)) as place,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, -3, -1)) as spend_before,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, -6, -4)) as placebo,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 0, 0)) as revenue_0,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 1, 1)) as revenue_1,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 2, 2)) as revenue_2,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 3, 3)) as revenue_3,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 4, 4)) as revenue_4,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 5, 5)) as revenue_5,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 6, 6)) as revenue_6,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 1, 6)) as revenue_6m,
        unnest(moving_sums(order_lines, 6, $as_of - $history_from - 6, 1, 6)) as order_lines_6m,
        unnest(moving_sums(service_cost, 6, $as_of - $history_from - 6, 1, 6)) as service_cost_6m,
    from series
)
select
    answers.customer_id,
    answers.segment,
    case
        when answers.month - answers.acquired_month < 12 then 0
        when answers.month - answers.acquired_month < 24 then 1
        else 2
    end as tenure_band,
    answers.month,
    answers.nps,
    answers.csat,
    answers.ces,
    answers.month = firsts.nps_month as is_first_nps,
    answers.month = firsts.csat_month as is_first_csat,
    answers.month = firsts.ces_month as is_first_ces,
    cast(cast(around.spend_before as decimal(30, 4)) as double) / 3 as spend_before,
    cast(cast(around.placebo as decimal(30, 4)) as double) / 3 as placebo,
    around.revenue_0,
    around.revenue_1,
    around.revenue_2,
    around.revenue_3,
    around.revenue_4,
    around.revenue_5,
    around.revenue_6,
    cast(cast(around.revenue_6m as decimal(30, 4)) as double) / 6 as revenue_6m,
    case when around.order_lines_6m > 0 then 1.0 else 0.0 end as active_6m,
    cast(cast(around.service_cost_6m as decimal(30, 4)) as double) / 6 as service_cost_6m,
from firsts
inner join answers on answers.customer_id = firsts.customer_id
inner join around on around.customer_id = answers.customer_id and around.place = answers.place
order by customer_id, month
