-- How customers score drivers (windows.driver) in twelve months, how that goes with an outcome, and how the scores of
-- drivers go together.
-- For each customer and kind of driver there are: the mean answer at each driver, by the driver's place; revenue, with
-- months capped as money for inference is, in units of the cap; and the mean of the answers to the NPS question that
-- are about no driver of the kind. The kind `worst` is the worst touchpoint of three months: the lowest mean, or for
-- effort, where less is better, the highest.
-- Sums are of pairs of these over the customers who have both (pair_sums): of each driver with each, with both
-- outcomes, and with the sum and the number of its answers. Customers are in groups, which are left out one at a time
-- to find errors (jackknife): the first two digits of the id's MD5, mod 64. Rows are numbered as in
-- windows.customer_series.
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
answered as (
    select *, row_number() over (order by customer_id) as line
    from facts.customer_driver_history
    where month between $as_of - 11 and $as_of and nps_responses + csat_responses + ces_responses > 0
),
of_channels as (
    select answered.*, channels.place as channel_place
    from channels
    right join answered on answered.channel = channels.driver
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
    where line > 0
    group by customer_id
),
caps as (
    select coalesce(max(cap) filter (where outcome = 'revenue'), 0) as revenue
    from windows.cap
),
bought as (
    select customer_id, revenue, row_number() over (order by customer_id) as line
    from facts.customer_history
    where month between $as_of - 11 and $as_of and customer_id is not null
),
spent as (
    select
        customer_id,
        cast(sum(greatest(least(revenue, (select revenue from caps)), -(select revenue from caps))) as double)
        / nullif(cast((select revenue from caps) as double), 0) as revenue,
    from bought
    where line > 0
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
outcomes as (
    select
        *,
        numbers(revenue, nps_of_no_channel) as channel_outcomes,
        numbers(revenue, nps_of_no_stage) as stage_outcomes,
        numbers(revenue, nps_of_no_touchpoint) as touchpoint_outcomes,
        series_ratio(channel_nps_sum, channel_nps_responses) as channel_nps,
        series_ratio(stage_nps_sum, stage_nps_responses) as stage_nps,
        series_ratio(touchpoint_nps_sum, touchpoint_nps_responses) as touchpoint_nps,
        numbers(array_min(series_ratio(recent_nps_sum, recent_nps_responses))) as worst_nps,
        series_ratio(channel_csat_sum, channel_csat_responses) as channel_csat,
        series_ratio(stage_csat_sum, stage_csat_responses) as stage_csat,
        series_ratio(touchpoint_csat_sum, touchpoint_csat_responses) as touchpoint_csat,
        numbers(array_min(series_ratio(recent_csat_sum, recent_csat_responses))) as worst_csat,
        series_ratio(channel_ces_sum, channel_ces_responses) as channel_ces,
        series_ratio(stage_ces_sum, stage_ces_responses) as stage_ces,
        series_ratio(touchpoint_ces_sum, touchpoint_ces_responses) as touchpoint_ces,
        numbers(
            case
                when $ces_higher_is_better then array_min(series_ratio(recent_ces_sum, recent_ces_responses))
                else array_max(series_ratio(recent_ces_sum, recent_ces_responses))
            end
        ) as worst_ces,
        numbers(cast(null as double)) as nobody,
    from customers
),
sums as (
    select
        segment,
        jackknife_group,
        count(array_min(channel_nps)) as channel_nps_customers,
        pair_sums(channel_nps, channel_nps, 12, 12) as channel_nps_between,
        pair_sums(channel_nps, channel_outcomes, 12, 2) as channel_nps_outcomes,
        pair_sums(channel_nps_sum, channel_nps_responses, 12, 12) as channel_nps_answers,
        count(array_min(stage_nps)) as stage_nps_customers,
        pair_sums(stage_nps, stage_nps, 12, 12) as stage_nps_between,
        pair_sums(stage_nps, stage_outcomes, 12, 2) as stage_nps_outcomes,
        pair_sums(stage_nps_sum, stage_nps_responses, 12, 12) as stage_nps_answers,
        count(array_min(touchpoint_nps)) as touchpoint_nps_customers,
        pair_sums(touchpoint_nps, touchpoint_nps, 12, 12) as touchpoint_nps_between,
        pair_sums(touchpoint_nps, touchpoint_outcomes, 12, 2) as touchpoint_nps_outcomes,
        pair_sums(touchpoint_nps_sum, touchpoint_nps_responses, 12, 12) as touchpoint_nps_answers,
        count(array_min(worst_nps)) as worst_nps_customers,
        pair_sums(worst_nps, worst_nps, 12, 12) as worst_nps_between,
        pair_sums(worst_nps, touchpoint_outcomes, 12, 2) as worst_nps_outcomes,
        pair_sums(nobody, nobody, 12, 12) as worst_nps_answers,
        count(array_min(channel_csat)) as channel_csat_customers,
        pair_sums(channel_csat, channel_csat, 12, 12) as channel_csat_between,
        pair_sums(channel_csat, channel_outcomes, 12, 2) as channel_csat_outcomes,
        pair_sums(channel_csat_sum, channel_csat_responses, 12, 12) as channel_csat_answers,
        count(array_min(stage_csat)) as stage_csat_customers,
        pair_sums(stage_csat, stage_csat, 12, 12) as stage_csat_between,
        pair_sums(stage_csat, stage_outcomes, 12, 2) as stage_csat_outcomes,
        pair_sums(stage_csat_sum, stage_csat_responses, 12, 12) as stage_csat_answers,
        count(array_min(touchpoint_csat)) as touchpoint_csat_customers,
        pair_sums(touchpoint_csat, touchpoint_csat, 12, 12) as touchpoint_csat_between,
        pair_sums(touchpoint_csat, touchpoint_outcomes, 12, 2) as touchpoint_csat_outcomes,
        pair_sums(touchpoint_csat_sum, touchpoint_csat_responses, 12, 12) as touchpoint_csat_answers,
        count(array_min(worst_csat)) as worst_csat_customers,
        pair_sums(worst_csat, worst_csat, 12, 12) as worst_csat_between,
        pair_sums(worst_csat, touchpoint_outcomes, 12, 2) as worst_csat_outcomes,
        pair_sums(nobody, nobody, 12, 12) as worst_csat_answers,
        count(array_min(channel_ces)) as channel_ces_customers,
        pair_sums(channel_ces, channel_ces, 12, 12) as channel_ces_between,
        pair_sums(channel_ces, channel_outcomes, 12, 2) as channel_ces_outcomes,
        pair_sums(channel_ces_sum, channel_ces_responses, 12, 12) as channel_ces_answers,
        count(array_min(stage_ces)) as stage_ces_customers,
        pair_sums(stage_ces, stage_ces, 12, 12) as stage_ces_between,
        pair_sums(stage_ces, stage_outcomes, 12, 2) as stage_ces_outcomes,
        pair_sums(stage_ces_sum, stage_ces_responses, 12, 12) as stage_ces_answers,
        count(array_min(touchpoint_ces)) as touchpoint_ces_customers,
        pair_sums(touchpoint_ces, touchpoint_ces, 12, 12) as touchpoint_ces_between,
        pair_sums(touchpoint_ces, touchpoint_outcomes, 12, 2) as touchpoint_ces_outcomes,
        pair_sums(touchpoint_ces_sum, touchpoint_ces_responses, 12, 12) as touchpoint_ces_answers,
        count(array_min(worst_ces)) as worst_ces_customers,
        pair_sums(worst_ces, worst_ces, 12, 12) as worst_ces_between,
        pair_sums(worst_ces, touchpoint_outcomes, 12, 2) as worst_ces_outcomes,
        pair_sums(nobody, nobody, 12, 12) as worst_ces_answers,
    from outcomes
    group by segment, jackknife_group
),
by_kind as (
    select
        segment,
        jackknife_group,
        unnest(['channel', 'stage', 'touchpoint', 'worst']) as kind,
        unnest([channel_nps_customers, stage_nps_customers, touchpoint_nps_customers, worst_nps_customers]) as nps_customers,
        unnest([channel_nps_between, stage_nps_between, touchpoint_nps_between, worst_nps_between]) as nps_between,
        unnest([channel_nps_outcomes, stage_nps_outcomes, touchpoint_nps_outcomes, worst_nps_outcomes]) as nps_outcomes,
        unnest([channel_nps_answers, stage_nps_answers, touchpoint_nps_answers, worst_nps_answers]) as nps_answers,
        unnest([channel_csat_customers, stage_csat_customers, touchpoint_csat_customers, worst_csat_customers]) as csat_customers,
        unnest([channel_csat_between, stage_csat_between, touchpoint_csat_between, worst_csat_between]) as csat_between,
        unnest([channel_csat_outcomes, stage_csat_outcomes, touchpoint_csat_outcomes, worst_csat_outcomes]) as csat_outcomes,
        unnest([channel_csat_answers, stage_csat_answers, touchpoint_csat_answers, worst_csat_answers]) as csat_answers,
        unnest([channel_ces_customers, stage_ces_customers, touchpoint_ces_customers, worst_ces_customers]) as ces_customers,
        unnest([channel_ces_between, stage_ces_between, touchpoint_ces_between, worst_ces_between]) as ces_between,
        unnest([channel_ces_outcomes, stage_ces_outcomes, touchpoint_ces_outcomes, worst_ces_outcomes]) as ces_outcomes,
        unnest([channel_ces_answers, stage_ces_answers, touchpoint_ces_answers, worst_ces_answers]) as ces_answers,
    from sums
),
named as (
    select kind, array_agg(driver order by place) as drivers, max(drivers) as drivers_in_all
    from windows.driver
    group by kind
)
select by_kind.*, named.drivers, named.drivers_in_all
from named
right join by_kind on by_kind.kind = named.kind
order by segment, kind, jackknife_group
