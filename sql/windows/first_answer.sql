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
months as (
    select
        customer_id,
        month - $history_from as place,
        cast(nps_sum as double) / nullif(nps_responses, 0) as nps,
        positive_lines,
        greatest(least(revenue, (select revenue from caps)), -(select revenue from caps)) as revenue,
        greatest(least(margin, (select margin from caps)), -(select margin from caps))
        - least(service_cost, (select service_cost from caps)) as net_value,
        margin - service_cost as net_value_raw,
    from facts.customer_history
    where month between $history_from and $as_of and customer_id is not null
),
series as (
    select
        customer_id,
        monthly_series(place, nps) as nps,
        monthly_series(place, positive_lines) as order_lines,
        monthly_series(place, revenue) as revenue,
        monthly_series(place, net_value) as net_value,
        monthly_series(place, net_value_raw) as net_value_raw,
    from months
    group by customer_id
),
answers as (
    select
        series.*,
        customer.segment,
        series_first(series.nps, greatest(3, customer.acquired_month + 3 - $history_from)) as place,
    from windows.customer as customer
    inner join series on series.customer_id = customer.customer_id
    where customer.acquired_month is not null
),
followed as (
    select
        customer_id,
        segment,
        place,
        nps[place + 1] as nps,
        cast(moving_sums(revenue, place - 3, place - 3, 0, 2)[1] as decimal(30, 4)) as spend_before,
        moving_sums(net_value, place + 1, place + 12, 0, 0) as net_value,
        moving_sums(net_value_raw, place + 1, place + 12, 0, 0) as net_value_raw,
        series_gap(order_lines, place + 1, $inactivity_months) - place as silent_after,
    from answers
    where place < $as_of - $history_from
)
select
    customer_id,
    segment,
    cast($history_from + place as int) as month,
    case when nps <= 6 then 'detractor' when nps >= 9 then 'promoter' else 'passive' end as band,
    case
        when spend_before <= 0 then 0
        when
            2 * (rank() over (partition by spend_before > 0 order by spend_before) - 1)
            < count(*) over (partition by spend_before > 0)
            then 1
        else 2
    end as spend_group,
    net_value,
    net_value_raw,
    silent_after,
from followed
order by customer_id
