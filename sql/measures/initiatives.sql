-- What programmes changed: the customers of each programme and those to compare them with, by stratum and arm: how many
-- there are, the sums of their months, and the sums of products of two months (list_products), from the first month
-- before the start to the last after it.
-- All customers who came before the first of these months take part, those whom the programme treats against the
-- others. Those whom another programme treated meanwhile are in neither arm, unless the programme is contaminated. If a
-- programme was drawn by lot, its arms are as drawn.
-- Strata are segments (one stratum, if the programme is for a segment) × capped revenue in the months before those that
-- are compared (early_from): nothing, up to the median of those who spent, or more. If a programme is aimed at
-- detractors, they are also × the band of the last month with an answer before the start. Treated customers are told
-- apart, too, by how many months after the programme's start their own was (started_after).
-- Money is capped by windows.cap_until. `net_value` is margin less service cost, month by month. `changes` are sums
-- before and after the start: revenue (places 1 and 2), service cost (3, 4), months with an order (5, and of the last
-- three 6), and the answers to the NPS question and their points, before (7, 8) and after (9, 10). The scores in
-- last_scores, and with the first ones from the start on in `retest`, are in units of 0.00001; they tell how much a
-- score comes back by itself.
-- grain: initiative, stratum, spend_group, score_band, is_treated, started_after
with customers as (
    select
        treatment.*,
        series.revenue,
        series.margin,
        series.service_cost,
        series.active,
        series.nps_responses,
        series.nps_points,
        series.nps,
    from windows.treatment as treatment
    left join windows.customer_series as series on series.customer_id = treatment.customer_id
),
arms as (
    select
        comparison.*,
        customers.segment,
        customers.active,
        customers.nps_responses,
        customers.nps_points,
        customers.nps,
        coalesce(array_has(customers.treated, comparison.place), false) as is_treated,
        coalesce(array_has(customers.held_out, comparison.place), false) as is_held_out,
        series_total(customers.begun, 0, comparison.post_to - $history_from)
        - series_total(customers.ended, 0, comparison.pre_from - $history_from) as programmes,
        cast(
            greatest(series_total(customers.own_starts, comparison.place, comparison.place), comparison.start_month)
            - comparison.start_month as int
        ) as started_after,
        series_first(customers.nps, comparison.start_month - $history_from) as next_nps_place,
        series_capped(customers.revenue, -comparison.revenue_cap, comparison.revenue_cap) as revenue,
        series_capped(customers.service_cost, null, comparison.service_cost_cap) as service_cost,
        moving_sums(customers.margin, comparison.pre_from - $history_from, comparison.post_to - $history_from, 0, 0)
            as margin,
        moving_sums(customers.service_cost, comparison.pre_from - $history_from, comparison.post_to - $history_from, 0, 0)
            as service_cost_raw,
    from windows.comparison as comparison
    inner join customers on customers.acquired_month < comparison.pre_from
    where comparison.is_measured
),
kept as (
    select
        initiative,
        is_treated,
        case when is_treated then started_after end as started_after,
        post_to - pre_from + 1 as months,
        case when target_segment is null then segment end as stratum,
        early_from,
        median_early_spend,
        case
            when early_from is not null
                then round(series_total(revenue, early_from - $history_from, pre_from - 1 - $history_from), 4)
        end as early_spend,
        is_aimed_at_detractors,
        series_last(nps, start_month - 1 - $history_from) as last_nps,
        case when next_nps_place <= post_to - $history_from then nps[next_nps_place + 1] end as next_nps,
        series_difference(
            series_capped(margin, -margin_cap, margin_cap), series_capped(service_cost_raw, null, service_cost_cap)
        ) as net_value,
        series_difference(margin, service_cost_raw) as net_value_raw,
        numbers(
            series_total(revenue, pre_from - $history_from, start_month - 1 - $history_from),
            series_total(revenue, post_from - $history_from, post_to - $history_from),
            series_total(service_cost, pre_from - $history_from, start_month - 1 - $history_from),
            series_total(service_cost, post_from - $history_from, post_to - $history_from),
            series_total(active, pre_from - $history_from, start_month - 1 - $history_from),
            series_total(active, greatest(post_from, post_to - 2) - $history_from, post_to - $history_from),
            series_total(nps_responses, pre_from - $history_from, start_month - 1 - $history_from),
            series_total(nps_points, pre_from - $history_from, start_month - 1 - $history_from),
            series_total(nps_responses, post_from - $history_from, post_to - $history_from),
            series_total(nps_points, post_from - $history_from, post_to - $history_from)
        ) as changes,
    from arms
    where
        case
            when randomised then is_treated or is_held_out
            when is_treated then programmes = 1 or is_contaminated
            else programmes = 0
        end
),
strata as (
    select
        initiative,
        is_treated,
        started_after,
        last_nps,
        next_nps,
        months,
        stratum,
        case when coalesce(early_spend, 0) <= 0 then 0 when early_spend <= median_early_spend then 1 else 2 end as spend_group,
        case
            when not is_aimed_at_detractors then null
            when last_nps <= 6 then 'detractor'
            when last_nps >= 9 then 'promoter'
            when last_nps is not null then 'passive'
            else 'none'
        end as score_band,
        net_value,
        net_value_raw,
        changes,
    from kept
),
sums as (
    select
        initiative,
        stratum,
        spend_group,
        score_band,
        is_treated,
        started_after,
        count(*) as customers,
        count(*) filter (where changes[7] + changes[9] > 0) as answering_customers,
        list_products(net_value, months) as net_value,
        list_products(net_value_raw, months) as net_value_raw,
        list_products(changes, 10) as changes,
        list_products(numbers(1e5 * last_nps), 1) filter (where last_nps is not null) as last_scores,
        list_products(numbers(1e5 * last_nps, 1e5 * next_nps), 2) filter (where last_nps is not null and next_nps is not null)
            as retest,
    from strata
    group by initiative, stratum, spend_group, score_band, is_treated, started_after
)
select
    '(all)' as segment,
    comparison.initiative,
    coalesce(comparison.target_segment, comparison.target_channel, comparison.target_touchpoint) is null as is_listed,
    comparison.randomised,
    comparison.holdout_share,
    comparison.expected_net_value,
    comparison.start_month - comparison.pre_from as months_before,
    comparison.post_from - comparison.start_month as months_between,
    comparison.post_to - comparison.post_from + 1 as months_after,
    comparison.has_cost,
    comparison.cost,
    comparison.cost_before,
    comparison.cost_by_month,
    comparison.treated_in_all,
    comparison.held_out_in_all,
    comparison.treated_eligible,
    comparison.treated_leaving,
    comparison.is_contaminated,
    sums.stratum,
    sums.spend_group,
    sums.score_band,
    sums.is_treated,
    sums.started_after,
    coalesce(sums.customers, 0) as customers,
    coalesce(sums.answering_customers, 0) as answering_customers,
    sums.net_value,
    sums.net_value_raw,
    sums.changes,
    sums.last_scores,
    sums.retest,
from windows.comparison as comparison
left join sums on sums.initiative = comparison.initiative
order by comparison.initiative, sums.stratum, sums.spend_group, sums.score_band, sums.is_treated, sums.started_after
