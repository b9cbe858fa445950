-- The answer to the NPS question from which each customer's later value and stay are told: the first from the fourth month of
-- history and from three months after the customer came, so that there is a past to compare with, and before the reported
-- month. Its month's mean score says the band, up to 6 and from 9 on; the spend of the three months before it says the group:
-- 0 nothing, 1 up to the median of those who spent, 2 more. Net value is margin less service cost of the twelve months after
-- it, from the next one on, capped as money for inference is, and raw. Silent is the first month after it from which nothing
-- was ordered for $inactivity_months.
-- grain: customer_id
with caps as (
    select
        coalesce(max(cap) filter (where outcome = 'revenue'), 0) as revenue,
        coalesce(max(cap) filter (where outcome = 'margin'), 0) as margin,
        coalesce(max(cap) filter (where outcome = 'service_cost'), 0) as service_cost,
    from windows.cap
),
answers as (
    select customer.customer_id, customer.segment, min(facts.month) as month
    from windows.customer as customer
    inner join facts.customer_month as facts on facts.customer_id = customer.customer_id
    where
        facts.nps_responses > 0
        and facts.month between $history_from + 3 and $as_of - 1
        and customer.acquired_month <= facts.month - 3
    group by customer.customer_id, customer.segment
),
around as (
    select
        answers.customer_id,
        answers.segment,
        answers.month,
        facts.month - answers.month as months_after,
        facts.nps_sum,
        facts.nps_responses,
        facts.positive_lines,
        greatest(least(facts.revenue, caps.revenue), -caps.revenue) as revenue,
        greatest(least(facts.margin, caps.margin), -caps.margin)
        - least(facts.service_cost, caps.service_cost) as net_value,
        facts.margin - facts.service_cost as net_value_raw,
    from caps
    cross join answers
    inner join facts.customer_month as facts on facts.customer_id = answers.customer_id
    where facts.month between answers.month - 3 and $as_of
),
followed as (
    select
        customer_id,
        segment,
        month,
        sum(nps_sum) filter (where months_after = 0) as nps_sum,
        sum(nps_responses) filter (where months_after = 0) as nps_responses,
        coalesce(sum(revenue) filter (where months_after < 0), 0) as spend_before,
        monthly_series(case when months_after between 1 and 12 then months_after - 1 end, net_value) as net_value,
        monthly_series(case when months_after between 1 and 12 then months_after - 1 end, net_value_raw)
            as net_value_raw,
        series_gap(
            monthly_series(case when months_after > 0 then months_after - 1 end, positive_lines), $inactivity_months
        ) + 1 as silent_after,
    from around
    group by customer_id, segment, month
),
spends as (
    select
        spend_before,
        sum(count(*)) over (order by spend_before) as customers_up_to,
        sum(count(*)) over () as customers,
    from followed
    where spend_before > 0
    group by spend_before
),
split as (
    select min(spend_before) as spend
    from spends
    where 2 * customers_up_to >= customers
)
select
    followed.customer_id,
    followed.segment,
    followed.month,
    case
        when followed.nps_sum <= 6 * followed.nps_responses then 'detractor'
        when followed.nps_sum >= 9 * followed.nps_responses then 'promoter'
        else 'passive'
    end as band,
    case when followed.spend_before <= 0 then 0 when followed.spend_before <= split.spend then 1 else 2 end as spend_group,
    array_resize(followed.net_value, 12, 0.0) as net_value,
    array_resize(followed.net_value_raw, 12, 0.0) as net_value_raw,
    followed.silent_after,
from split
cross join followed
order by customer_id
