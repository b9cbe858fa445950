-- The drivers that answers of twelve months are about: channels, touchpoints and stages of the journey. Of each kind the twelve
-- with the most answers, placed by name from 0, and how many there are.
-- grain: kind, driver
with answers as (
    select 'channel' as kind, channel as driver, sum(nps_responses + csat_responses + ces_responses) as answers
    from facts.customer_driver_month
    where month between $as_of - 11 and $as_of and channel is not null
    group by channel
    union all
    select 'stage' as kind, stage as driver, sum(nps_responses + csat_responses + ces_responses) as answers
    from facts.customer_driver_month
    where month between $as_of - 11 and $as_of and stage is not null
    group by stage
    union all
    select 'touchpoint' as kind, touchpoint as driver, sum(nps_responses + csat_responses + ces_responses) as answers
    from facts.customer_driver_month
    where month between $as_of - 11 and $as_of and touchpoint is not null
    group by touchpoint
),
ranked as (
    select
        kind,
        driver,
        row_number() over (partition by kind order by answers desc, driver) as position,
        count(*) over (partition by kind) as drivers,
    from answers
    where answers > 0
)
select
    kind,
    driver,
    cast(row_number() over (partition by kind order by driver) as bigint) - 1 as place,
    drivers,
from ranked
where position <= 12
order by kind, driver
