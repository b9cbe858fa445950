-- Which programmes each customer was in, of those that have begun: programmes that list the customer as treated or held
-- out, programmes for the customer's whole segment, and programmes for a channel or touchpoint where the customer was
-- in touch in the months before the start. Each stands here by its place.
-- A customer whose own start is after the last month measured does not count as treated yet, unless the programme was
-- drawn by lot.
-- `begun` and `ended` count the programmes that treated the customer, month by month from the first of history on:
-- those that began with the customer in that month, and those that ended in the month before it; the first month also
-- has all earlier ones. `own_starts` is a list by programme of the month in which it began with the customer, where
-- assignments say so.
-- Without a programme there is nobody here, as only programmes need this.
-- grain: customer_id
with named as (
    select
        assignments.initiative,
        assignments.customer_id,
        assignments.arm,
        cast(date_part('year', assignments.starts_on) * 12 + date_part('month', assignments.starts_on) - 1 as int)
            as own_start_month,
    from windows.initiative as initiative
    inner join staging.assignments as assignments on assignments.initiative = initiative.initiative
    where coalesce(initiative.target_segment, initiative.target_channel, initiative.target_touchpoint) is null
    union all
    select initiative.initiative, customer.customer_id, 'treated' as arm, cast(null as int) as own_start_month
    from windows.initiative as initiative
    inner join windows.customer as customer on customer.segment = initiative.target_segment
    union all
    select distinct initiative.initiative, touches.customer_id, 'treated' as arm, cast(null as int) as own_start_month
    from windows.initiative as initiative
    inner join
        facts.customer_driver_month as touches
        on
            touches.month between initiative.pre_from and initiative.start_month - 1
            and (touches.channel = initiative.target_channel or touches.touchpoint = initiative.target_touchpoint)
    where initiative.target_channel is not null or initiative.target_touchpoint is not null
),
participants as (
    select
        named.customer_id,
        named.arm,
        named.own_start_month,
        initiative.place,
        initiative.randomised,
        initiative.post_to,
        initiative.start_month,
        initiative.end_month,
    from windows.initiative as initiative
    inner join named on named.initiative = initiative.initiative
),
lists as (
    select
        customer_id,
        array_sort(
            array_agg(place) filter (where arm = 'treated' and (randomised or coalesce(own_start_month <= post_to, true)))
        ) as treated,
        array_sort(array_agg(place) filter (where arm = 'holdout')) as held_out,
        series_sums(
            case
                when arm = 'treated' and coalesce(own_start_month, start_month) <= $as_of
                    then greatest(coalesce(own_start_month, start_month) - $history_from, 0)
            end,
            1
        ) as begun,
        series_sums(
            case
                when arm = 'treated' and end_month < $as_of
                    then greatest(end_month + 1 - $history_from, 0)
            end,
            1
        ) as ended,
        monthly_series(case when arm = 'treated' then place end, own_start_month) as own_starts,
    from participants
    group by customer_id
)
select
    customer.customer_id,
    customer.segment,
    customer.acquired_month,
    lists.treated,
    lists.held_out,
    lists.begun,
    lists.ended,
    lists.own_starts,
from lists
right join windows.customer as customer on customer.customer_id = lists.customer_id
where customer.customer_id is not null and (select count(*) from windows.initiative) > 0
order by customer_id
