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
    select
        series.customer_id,
        customer.segment,
        series.nps,
        series.active,
        series_capped(series.revenue, -caps.revenue, caps.revenue) as revenue,
        series_difference(
            series_capped(series.margin, -caps.margin, caps.margin), series_capped(series.service_cost, null, caps.service_cost)
        ) as net_value,
        series_difference(series.margin, series.service_cost) as net_value_raw,
        series_first(series.nps, greatest(3, customer.acquired_month + 3 - $history_from)) as place,
    from caps
    cross join windows.customer as customer
    inner join windows.customer_series as series on series.customer_id = customer.customer_id
    where customer.acquired_month is not null
),
followed as (
    select
        customer_id,
        segment,
        place,
        nps[place + 1] as nps,
        round(series_total(revenue, place - 3, place - 1), 4) as spend_before,
        moving_sums(net_value, place + 1, place + 12, 0, 0) as net_value,
        moving_sums(net_value_raw, place + 1, place + 12, 0, 0) as net_value_raw,
        series_gap(active, place + 1, $inactivity_months) - place as silent_after,
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
