-- What each customer did in a local month: money, service contacts and answers to the NPS question.
-- Rows that name no customer are gathered under a null customer_id.
-- grain: month, customer_id
with events as (
    select
        month,
        customer_id,
        nps,
        service_cost,
        cast(null as decimal(20, 4)) as amount,
        cast(null as decimal(20, 4)) as margin,
    from staging.interactions
    union all
    select
        month,
        customer_id,
        null as nps,
        null as service_cost,
        amount,
        coalesce(margin, cast(amount * $default_margin_rate as decimal(20, 4))) as margin,
    from staging.sales
)
select
    month,
    customer_id,
    count(*) - count(amount) as interactions,
    count(service_cost) as contacts,
    coalesce(sum(service_cost), 0) as service_cost,
    count(nps) as nps_responses,
    count(*) filter (where nps >= 9) as nps_promoters,
    count(*) filter (where nps <= 6) as nps_detractors,
    count(amount) as order_lines,
    count(*) filter (where amount > 0) as positive_lines,
    coalesce(sum(amount), 0) as revenue,
    coalesce(sum(margin), 0) as margin,
from events
group by month, customer_id
order by month, customer_id
