-- A programme's customers month by month, where there is nobody to compare them with: programmes for a whole segment, channel
-- or touchpoint, and those that treat everybody. Revenue is all that they bought, as it is; net value is margin less service
-- cost of the customers who came before the months that are compared, capped by windows.cap_until and raw. Each is the list of
-- sums by month from the first of history on to the last one measured, which are counted from 0.
-- grain: initiative
with acquired as (
    select acquired_month, count(*) as customers
    from windows.customer
    where customer_id is not null
    group by acquired_month
),
eligible as (
    select comparison.initiative, sum(acquired.customers) as customers
    from windows.comparison as comparison
    inner join acquired on acquired.acquired_month < comparison.pre_from
    group by comparison.initiative
),
alone as (
    select comparison.*
    from windows.comparison as comparison
    left join eligible on eligible.initiative = comparison.initiative
    where
        not comparison.randomised
        and (
            coalesce(comparison.target_segment, comparison.target_channel, comparison.target_touchpoint) is not null
            or comparison.treated_eligible = eligible.customers
        )
),
customers as (
    select
        treatment.acquired_month,
        treatment.treated,
        series.revenue,
        series.margin,
        series.service_cost,
    from windows.treatment as treatment
    inner join windows.customer_series as series on series.customer_id = treatment.customer_id
),
months as (
    select
        alone.initiative,
        alone.post_to,
        coalesce(customers.acquired_month < alone.pre_from, false) as is_eligible,
        moving_sums(customers.revenue, 0, alone.post_to - $history_from, 0, 0) as revenue,
        moving_sums(
            series_difference(
                series_capped(customers.margin, -alone.margin_cap, alone.margin_cap),
                series_capped(customers.service_cost, null, alone.service_cost_cap)
            ),
            0, alone.post_to - $history_from, 0, 0
        ) as net_value,
        moving_sums(series_difference(customers.margin, customers.service_cost), 0, alone.post_to - $history_from, 0, 0)
            as net_value_raw,
    from alone
    inner join customers on array_has(customers.treated, alone.place)
    where alone.post_to >= $history_from
),
sums as (
    select
        initiative,
        list_sums(revenue, post_to - $history_from + 1) as revenue,
        list_sums(net_value, post_to - $history_from + 1) filter (where is_eligible) as net_value,
        list_sums(net_value_raw, post_to - $history_from + 1) filter (where is_eligible) as net_value_raw,
    from months
    group by initiative
)
select
    '(all)' as segment,
    alone.initiative,
    alone.start_month - $history_from as start_month,
    alone.post_from - $history_from as post_from,
    alone.treated_eligible as customers,
    alone.treated_in_all as customers_in_all,
    sums.revenue,
    sums.net_value,
    sums.net_value_raw,
from alone
left join sums on sums.initiative = alone.initiative
order by alone.initiative
