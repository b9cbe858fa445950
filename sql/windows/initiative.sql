-- The programmes for customer experience that began, and the months that each is measured on. After the start are whole months
-- up to its end, twelve at most: the month of a start that is not on the first is left out, and paid for. Before it are the six
-- months before the start, or as many as history has; customers are compared with those who spent alike in the six months
-- before these, where there are three of them (early_from is null where there are not). A programme costs its monthly amount
-- for the days that it ran, its last day too, up to the last month that is measured, and its one-off amount before the first.
-- Place is the programme's in lists by programme.
-- grain: initiative
with dated as (
    select
        *,
        cast(date_part('year', starts_on) * 12 + date_part('month', starts_on) - 1 as int) as start_month,
        cast(date_part('year', ends_on) * 12 + date_part('month', ends_on) - 1 as int) as end_month,
        case when date_part('day', starts_on) > 1 then 1 else 0 end as transition,
    from staging.initiatives
),
measured as (
    select
        *,
        cast(row_number() over (order by initiative) - 1 as int) as place,
        cast(start_month - least(6, start_month - $history_from) as int) as pre_from,
        cast(start_month + transition as int) as post_from,
        cast(least(coalesce(end_month, $as_of), $as_of, start_month + transition + 11) as int) as post_to,
    from dated
    where start_month <= $as_of
),
months as (
    select initiative, starts_on, ends_on, cost_per_month, post_from, unnest(range(start_month, post_to + 1)) as month
    from measured
),
days as (
    select
        *,
        date_part('epoch', make_date(cast(floor(month / 12.0) as int), cast(month % 12 as int) + 1, 1)) / 86400 as first_day,
        date_part('epoch', make_date(cast(floor((month + 1) / 12.0) as int), cast((month + 1) % 12 as int) + 1, 1)) / 86400
            as next_day,
        date_part('epoch', starts_on) / 86400 as from_day,
        coalesce(date_part('epoch', ends_on) / 86400 + 1, 1e9) as until_day,
    from months
),
month_costs as (
    select
        initiative,
        month - post_from as place,
        cast(
            coalesce(cast(cost_per_month as double), 0)
            * (least(until_day, next_day) - greatest(from_day, first_day)) / (next_day - first_day) as decimal(20, 4)
        ) as cost,
    from days
),
costs as (
    select
        initiative,
        coalesce(sum(cost) filter (where place < 0), 0) as transition_cost,
        coalesce(sum(cost), 0) as running_cost,
        monthly_series(place, cost) filter (where place >= 0) as cost_by_month,
    from month_costs
    group by initiative
)
select
    measured.initiative,
    measured.place,
    measured.target_segment,
    measured.target_channel,
    measured.target_touchpoint,
    coalesce(measured.randomised, false) as randomised,
    measured.holdout_share,
    measured.targeted_on_score,
    measured.expected_net_value,
    measured.start_month,
    measured.end_month,
    measured.pre_from,
    measured.post_from,
    measured.post_to,
    case
        when measured.pre_from - greatest(2 * measured.pre_from - measured.start_month, $history_from) >= 3
            then greatest(2 * measured.pre_from - measured.start_month, $history_from)
    end as early_from,
    measured.cost_per_month is not null or measured.one_off_cost is not null as has_cost,
    coalesce(measured.one_off_cost, 0) + coalesce(costs.running_cost, 0) as cost,
    coalesce(measured.one_off_cost, 0) + coalesce(costs.transition_cost, 0) as cost_before,
    costs.cost_by_month,
from measured
left join costs on costs.initiative = measured.initiative
order by measured.initiative
