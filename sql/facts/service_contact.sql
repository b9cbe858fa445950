-- Service contacts, which are interactions with a service cost: whether a contact was the first about its matter, and the
-- last, reaches over the edges of months.
-- grain: month, customer_id, touchpoint, occurred_at
select
    month,
    customer_id,
    touchpoint,
    occurred_at,
    count(*) as contacts,
from staging.interactions
where service_cost is not null and customer_id is not null
group by month, customer_id, touchpoint, occurred_at
order by month, customer_id, touchpoint, occurred_at
