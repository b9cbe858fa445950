-- What each customer did month by month: lists by month from the first of history on, null where a month has no row. Points are promoters
-- less detractors among the answers to the NPS question, money is as it is. Without a programme there is nobody here, as only they ask for it. Months of a customer come one after the other, so nothing but customers is
-- sorted.
-- grain: customer_id
with months as (
    select
        customer_id,
        month - $history_from as place,
        revenue,
        margin,
        service_cost,
        case when positive_lines > 0 then 1 else 0 end as active,
        nullif(nps_responses, 0) as nps_responses,
        case when nps_responses > 0 then nps_promoters - nps_detractors end as nps_points,
        cast(nps_sum as double) / nullif(nps_responses, 0) as nps,
    from facts.customer_history
    where
        month between $history_from and $as_of and customer_id is not null
        and (select count(*) from windows.initiative) > 0
),
series as (
    select
        customer_id,
        monthly_series(place, revenue) as revenue,
        monthly_series(place, margin) as margin,
        monthly_series(place, service_cost) as service_cost,
        monthly_series(place, active) as active,
        monthly_series(place, nps_responses) as nps_responses,
        monthly_series(place, nps_points) as nps_points,
        monthly_series(place, nps) as nps,
    from months
    group by customer_id
)
select
    customer.customer_id,
    customer.segment,
    customer.acquired_month,
    series.revenue,
    series.margin,
    series.service_cost,
    series.active,
    series.nps_responses,
    series.nps_points,
    series.nps,
from windows.customer as customer
left join series on series.customer_id = customer.customer_id
where customer.customer_id is not null and (select count(*) from windows.initiative) > 0
order by customer_id
