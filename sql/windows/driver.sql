-- The drivers that answers of twelve months are about: channels, touchpoints and stages of the journey. Of each kind the twelve
-- with the most answers, placed by name from 0, and how many there are; and at which channels, stages and touchpoints the answers
-- at it were given, '' where that is not said.
-- grain: kind, driver
with answered as (
    select channel, stage, touchpoint, sum(nps_responses + csat_responses + ces_responses) as answers
    from facts.customer_driver_month
    where month between $as_of - 11 and $as_of
    group by channel, stage, touchpoint
),
by_kind as (
    select
        unnest(['channel', 'stage', 'touchpoint']) as kind,
        unnest([channel, stage, touchpoint]) as driver,
        coalesce(channel, '') as at_channel,
        coalesce(stage, '') as at_stage,
        coalesce(touchpoint, '') as at_touchpoint,
        answers,
    from answered
    where answers > 0
),
summed as (
    select
        kind,
        driver,
        sum(answers) as answers,
        array_agg(distinct at_channel order by at_channel) as channels,
        array_agg(distinct at_stage order by at_stage) as stages,
        array_agg(distinct at_touchpoint order by at_touchpoint) as touchpoints,
    from by_kind
    where driver is not null
    group by kind, driver
),
ranked as (
    select
        *,
        row_number() over (partition by kind order by answers desc, driver) as position,
        count(*) over (partition by kind) as drivers,
    from summed
)
select
    kind,
    driver,
    cast(row_number() over (partition by kind order by driver) as bigint) - 1 as place,
    drivers,
    channels,
    stages,
    touchpoints,
from ranked
where position <= 12
order by kind, driver
