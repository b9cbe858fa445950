-- A programme's customers month by month, where there is nobody to compare them with: programmes for a whole segment, channel or
-- touchpoint, and those that treat everybody. Revenue is all that they bought, as it is; net value is margin less service cost of
-- the customers who came before the months that are compared, capped by windows.cap_until and raw. Each is the list of sums by month from the first of
-- history on to the last one measured, which are counted from 0.
-- grain: initiative
with caps as (
    select
        month,
        cast(max(cap) filter (where outcome = 'margin') as double) as margin,
        cast(max(cap) filter (where outcome = 'service_cost') as double) as service_cost,
    from windows.cap_until
    group by month
),
acquired as (
    select acquired_month, count(*) as customers
    from windows.customer
    where customer_id is not null
    group by acquired_month
),
eligible as (
    select initiative.initiative, sum(acquired.customers) as customers
    from windows.initiative as initiative
    inner join acquired on acquired.acquired_month < initiative.pre_from
    group by initiative.initiative
),
treated as (
    select
        initiative.initiative,
        count(*) as customers_in_all,
        count(*) filter (where customer.acquired_month < initiative.pre_from) as customers,
    from windows.participant as participant
    inner join windows.initiative as initiative on initiative.initiative = participant.initiative
    inner join windows.customer as customer on customer.customer_id = participant.customer_id
    where participant.arm = 'treated'
    group by initiative.initiative
),
alone as (
    select
        initiative.*,
        coalesce(treated.customers, 0) as customers,
        coalesce(treated.customers_in_all, 0) as customers_in_all,
        coalesce(caps.margin, 0) as margin_cap,
        coalesce(caps.service_cost, 0) as service_cost_cap,
    from windows.initiative as initiative
    left join eligible on eligible.initiative = initiative.initiative
    left join treated on treated.initiative = initiative.initiative
    left join caps on caps.month = initiative.post_to
    where
        not initiative.randomised
        and (
            coalesce(initiative.target_segment, initiative.target_channel, initiative.target_touchpoint) is not null
            or treated.customers = eligible.customers
        )
),
customers as (
    select
        alone.initiative,
        alone.post_to,
        coalesce(series.acquired_month < alone.pre_from, false) as is_eligible,
        moving_sums(series.revenue, 0, alone.post_to - $history_from, 0, 0) as revenue,
        moving_sums(
            series_difference(
                series_capped(series.margin, alone.margin_cap), series_capped(series.service_cost, alone.service_cost_cap)
            ),
            0, alone.post_to - $history_from, 0, 0
        ) as net_value,
        moving_sums(series_difference(series.margin, series.service_cost), 0, alone.post_to - $history_from, 0, 0)
            as net_value_raw,
    from alone
    inner join windows.participant as participant on participant.initiative = alone.initiative
    inner join windows.customer_series as series on series.customer_id = participant.customer_id
    where participant.arm = 'treated' and alone.post_to >= $history_from
),
sums as (
    select
        initiative,
        list_sums(revenue, post_to - $history_from + 1) as revenue,
        list_sums(net_value, post_to - $history_from + 1) filter (where is_eligible) as net_value,
        list_sums(net_value_raw, post_to - $history_from + 1) filter (where is_eligible) as net_value_raw,
    from customers
    group by initiative
)
select
    '(all)' as segment,
    alone.initiative,
    alone.start_month - $history_from as start_month,
    alone.post_from - $history_from as post_from,
    alone.customers,
    alone.customers_in_all,
    sums.revenue,
    sums.net_value,
    sums.net_value_raw,
from alone
left join sums on sums.initiative = alone.initiative
order by alone.initiative
