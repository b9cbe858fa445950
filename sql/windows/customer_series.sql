-- What each customer did month by month: lists by month from the first of history to the reported one, of the customers who did
-- anything. Money, months with an order (1) and answers to the NPS question are 0 in a month without a row; points are
-- promoters less detractors among these answers. Scores are means of the month, null without an answer; contacts are service
-- contacts of a month with an answer to any survey, null in others. Months of a customer come one after the other, so nothing is
-- sorted; they are numbered so that months are merged as they are, and not as lists.
-- grain: customer_id
with months as (
    select
        customer_id,
        row_number() over (order by customer_id) as line,
        month - $history_from as place,
        revenue,
        margin,
        service_cost,
        case when positive_lines > 0 then 1 else 0 end as active,
        nps_responses,
        nps_promoters - nps_detractors as nps_points,
        cast(nps_sum as double) / nullif(nps_responses, 0) as nps,
        cast(csat_sum as double) / nullif(csat_responses, 0) as csat,
        cast(ces_sum as double) / nullif(ces_responses, 0) as ces,
        case when nps_responses + csat_responses + ces_responses > 0 then contacts end as contacts,
    from facts.customer_history
    where month between $history_from and $as_of and customer_id is not null
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
        monthly_series(place, csat) as csat,
        monthly_series(place, ces) as ces,
        monthly_series(place, contacts) as contacts,
    from months
    where line > 0
    group by customer_id
)
select
    customer_id,
    moving_sums(revenue, 0, $as_of - $history_from, 0, 0) as revenue,
    moving_sums(margin, 0, $as_of - $history_from, 0, 0) as margin,
    moving_sums(service_cost, 0, $as_of - $history_from, 0, 0) as service_cost,
    moving_sums(active, 0, $as_of - $history_from, 0, 0) as active,
    moving_sums(nps_responses, 0, $as_of - $history_from, 0, 0) as nps_responses,
    moving_sums(nps_points, 0, $as_of - $history_from, 0, 0) as nps_points,
    nps,
    csat,
    ces,
    contacts,
from series
order by customer_id
