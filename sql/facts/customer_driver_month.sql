-- Where each customer was in touch in a local month, and what the customer answered there: channel, touchpoint and stage
-- of the journey, each null where it is not said.
-- grain: month, customer_id, channel, touchpoint, stage
select
    month,
    customer_id,
    channel,
    touchpoint,
    stage,
    count(nps) as nps_responses,
    coalesce(sum(nps), 0) as nps_sum,
    count(csat) as csat_responses,
    coalesce(sum(csat), 0) as csat_sum,
    count(ces) as ces_responses,
    coalesce(sum(ces), 0) as ces_sum,
from staging.interactions
where customer_id is not null
group by month, customer_id, channel, touchpoint, stage
order by month, customer_id, channel, touchpoint, stage
