-- How customers score drivers (windows.driver) in twelve months, how that goes with an outcome, and how scores of drivers go
-- together. Of each customer and kind of driver: the mean answer at each, by the driver's place; revenue, with months capped as
-- money for inference is, in units of the cap; and the mean of the answers to the NPS question that are about no driver of the
-- kind. The kind `worst` is the worst touchpoint of three months, which is the lowest mean, of effort where less is better the
-- highest. Sums are of pairs of these over the customers who have both (pair_sums): of each driver with each, with both
-- outcomes, and of its answers' sum and number. Customers are in groups of which one at a time is left out to find errors
-- (jackknife): the first two digits of the id's MD5, mod 64.
-- grain: segment, kind, jackknife_group
with channels as (
    select driver, place
    from windows.driver
    where kind = 'channel'
),
stages as (
    select driver, place
    from windows.driver
    where kind = 'stage'
),
touchpoints as (
    select driver, place
    from windows.driver
    where kind = 'touchpoint'
),
of_channels as (
    select answers.*, channels.place as channel_place
    from channels
    right join facts.customer_driver_history as answers on answers.channel = channels.driver
    where
        answers.month between $as_of - 11 and $as_of
        and answers.nps_responses + answers.csat_responses + answers.ces_responses > 0
),
of_stages as (
    select answers.*, stages.place as stage_place
    from stages
    right join of_channels as answers on answers.stage = stages.driver
),
answers as (
    select
        answers.*,
        touchpoints.place as touchpoint_place,
        case when month > $as_of - 3 then touchpoints.place end as touchpoint_place_t3m,
    from touchpoints
    right join of_stages as answers on answers.touchpoint = touchpoints.driver
),
lists as (
    select
        customer_id,
        series_sums(channel_place, nullif(nps_responses, 0)) as channel_nps_responses,
        series_sums(channel_place, nps_sum) as channel_nps_sum,
        series_sums(channel_place, nullif(csat_responses, 0)) as channel_csat_responses,
        series_sums(channel_place, csat_sum) as channel_csat_sum,
        series_sums(channel_place, nullif(ces_responses, 0)) as channel_ces_responses,
        series_sums(channel_place, ces_sum) as channel_ces_sum,
        series_sums(stage_place, nullif(nps_responses, 0)) as stage_nps_responses,
        series_sums(stage_place, nps_sum) as stage_nps_sum,
        series_sums(stage_place, nullif(csat_responses, 0)) as stage_csat_responses,
        series_sums(stage_place, csat_sum) as stage_csat_sum,
        series_sums(stage_place, nullif(ces_responses, 0)) as stage_ces_responses,
        series_sums(stage_place, ces_sum) as stage_ces_sum,
        series_sums(touchpoint_place, nullif(nps_responses, 0)) as touchpoint_nps_responses,
        series_sums(touchpoint_place, nps_sum) as touchpoint_nps_sum,
        series_sums(touchpoint_place, nullif(csat_responses, 0)) as touchpoint_csat_responses,
        series_sums(touchpoint_place, csat_sum) as touchpoint_csat_sum,
        series_sums(touchpoint_place, nullif(ces_responses, 0)) as touchpoint_ces_responses,
        series_sums(touchpoint_place, ces_sum) as touchpoint_ces_sum,
        series_sums(touchpoint_place_t3m, nullif(nps_responses, 0)) as recent_nps_responses,
        series_sums(touchpoint_place_t3m, nps_sum) as recent_nps_sum,
        series_sums(touchpoint_place_t3m, nullif(csat_responses, 0)) as recent_csat_responses,
        series_sums(touchpoint_place_t3m, csat_sum) as recent_csat_sum,
        series_sums(touchpoint_place_t3m, nullif(ces_responses, 0)) as recent_ces_responses,
        series_sums(touchpoint_place_t3m, ces_sum) as recent_ces_sum,
        cast(sum(nps_sum) filter (where channel is null) as double)
        / nullif(sum(nps_responses) filter (where channel is null), 0) as nps_of_no_channel,
        cast(sum(nps_sum) filter (where stage is null) as double)
        / nullif(sum(nps_responses) filter (where stage is null), 0) as nps_of_no_stage,
        cast(sum(nps_sum) filter (where touchpoint is null) as double)
        / nullif(sum(nps_responses) filter (where touchpoint is null), 0) as nps_of_no_touchpoint,
    from answers
    group by customer_id
),
caps as (
    select coalesce(max(cap) filter (where outcome = 'revenue'), 0) as revenue
    from windows.cap
),
spent as (
    select
        customer_id,
        cast(sum(greatest(least(revenue, (select revenue from caps)), -(select revenue from caps))) as double)
        / nullif(cast((select revenue from caps) as double), 0) as revenue,
    from facts.customer_history
    where month between $as_of - 11 and $as_of and customer_id is not null
    group by customer_id
),
customers as (
    select
        customer.segment,
        (strpos('0123456789abcdef', substr(md5(customer.customer_id), 1, 1)) - 1) % 4 * 16
        + strpos('0123456789abcdef', substr(md5(customer.customer_id), 2, 1)) - 1 as jackknife_group,
        coalesce(spent.revenue, 0) as revenue,
        lists.*,
    from windows.customer as customer
    inner join spent on spent.customer_id = customer.customer_id
    inner join lists on lists.customer_id = customer.customer_id
),
by_kind as (
    select
        segment,
        jackknife_group,
        unnest(['channel', 'stage', 'touchpoint', 'worst']) as kind,
        unnest([
            numbers(revenue, nps_of_no_channel), numbers(revenue, nps_of_no_stage),
            numbers(revenue, nps_of_no_touchpoint), numbers(revenue, nps_of_no_touchpoint)
        ]) as outcomes,
        unnest([
            series_ratio(channel_nps_sum, channel_nps_responses),
            series_ratio(stage_nps_sum, stage_nps_responses),
            series_ratio(touchpoint_nps_sum, touchpoint_nps_responses),
            numbers(array_min(series_ratio(recent_nps_sum, recent_nps_responses)))
        ]) as nps,
        unnest([channel_nps_sum, stage_nps_sum, touchpoint_nps_sum, numbers(cast(null as double))])
        as nps_sum,
        unnest([channel_nps_responses, stage_nps_responses, touchpoint_nps_responses, numbers(cast(null as double))])
        as nps_responses,
        unnest([
            series_ratio(channel_csat_sum, channel_csat_responses),
            series_ratio(stage_csat_sum, stage_csat_responses),
            series_ratio(touchpoint_csat_sum, touchpoint_csat_responses),
            numbers(array_min(series_ratio(recent_csat_sum, recent_csat_responses)))
        ]) as csat,
        unnest([channel_csat_sum, stage_csat_sum, touchpoint_csat_sum, numbers(cast(null as double))])
        as csat_sum,
        unnest([channel_csat_responses, stage_csat_responses, touchpoint_csat_responses, numbers(cast(null as double))])
        as csat_responses,
        unnest([
            series_ratio(channel_ces_sum, channel_ces_responses),
            series_ratio(stage_ces_sum, stage_ces_responses),
            series_ratio(touchpoint_ces_sum, touchpoint_ces_responses),
            numbers(case when $ces_higher_is_better then array_min(series_ratio(recent_ces_sum, recent_ces_responses))
                else array_max(series_ratio(recent_ces_sum, recent_ces_responses)) end)
        ]) as ces,
        unnest([channel_ces_sum, stage_ces_sum, touchpoint_ces_sum, numbers(cast(null as double))])
        as ces_sum,
        unnest([channel_ces_responses, stage_ces_responses, touchpoint_ces_responses, numbers(cast(null as double))])
        as ces_responses,
    from customers
),
sums as (
    select
        segment,
        kind,
        jackknife_group,
        count(array_min(nps)) as nps_customers,
        pair_sums(nps, nps, 12, 12) as nps_between,
        pair_sums(nps, outcomes, 12, 2) as nps_outcomes,
        pair_sums(nps_sum, nps_responses, 12, 12) as nps_answers,
        count(array_min(csat)) as csat_customers,
        pair_sums(csat, csat, 12, 12) as csat_between,
        pair_sums(csat, outcomes, 12, 2) as csat_outcomes,
        pair_sums(csat_sum, csat_responses, 12, 12) as csat_answers,
        count(array_min(ces)) as ces_customers,
        pair_sums(ces, ces, 12, 12) as ces_between,
        pair_sums(ces, outcomes, 12, 2) as ces_outcomes,
        pair_sums(ces_sum, ces_responses, 12, 12) as ces_answers,
    from by_kind
    group by segment, kind, jackknife_group
),
named as (
    select kind, array_agg(driver order by place) as drivers, max(drivers) as drivers_in_all
    from windows.driver
    group by kind
)
select sums.*, named.drivers, named.drivers_in_all
from named
right join sums on sums.kind = named.kind
order by segment, kind, jackknife_group
