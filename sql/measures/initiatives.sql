-- What programmes changed: of each, its customers and those to compare them with, by stratum and arm: how many, and sums of their months and of products of
-- two months (list_products), from the first before the start to the last after it. All customers who came before the first of these
-- months take part, those whom the programme treats against the others; those whom another programme treated meanwhile leave both arms,
-- unless more than half of the treated would go (is_contaminated). Of a programme that was drawn by lot the arms are as drawn. Strata are
-- segments, without the one that the programme is for, × capped revenue in the months before those (early_from): nothing, up to the median
-- of those who spent, more; and where more than 80 % of the treated who had scored before the start were detractors, × the band of the last month with an answer
-- before it (of a programme that was drawn by lot, never).
-- Money is capped by windows.cap_until. `net_value` is margin less service cost by month, `changes` are sums before and after the start:
-- revenue (places 1 and 2), service cost (3, 4), months with an order (5, and of the last three 6), answers to the NPS question and their points before (7, 8) and
-- after (9, 10).
-- grain: initiative, stratum, spend_group, score_band, is_treated
with caps as (
    select
        month,
        cast(max(cap) filter (where outcome = 'revenue') as double) as revenue,
        cast(max(cap) filter (where outcome = 'margin') as double) as margin,
        cast(max(cap) filter (where outcome = 'service_cost') as double) as service_cost,
    from windows.cap_until
    group by month
),
designs as (
    select
        initiative.*,
        coalesce(caps.revenue, 0) as revenue_cap,
        coalesce(caps.margin, 0) as margin_cap,
        coalesce(caps.service_cost, 0) as service_cost_cap,
        case
            when initiative.overlapping is not null
                then moving_sums(initiative.overlapping, 0, (select count(*) - 1 from windows.initiative), 0, 0)
        end as others,
    from windows.initiative as initiative
    left join caps on caps.month = initiative.post_to
    where initiative.post_to >= initiative.post_from and initiative.start_month > initiative.pre_from
),
spans as (
    select distinct
        start_month, pre_from, post_from, post_to, early_from, revenue_cap, margin_cap, service_cost_cap
    from designs
),
arms as (
    select
        customer_id,
        moving_sums(
            monthly_series(place, 1) filter (where arm = 'treated'),
            0, (select count(*) - 1 from windows.initiative), 0, 0
        ) as treated,
        moving_sums(
            monthly_series(place, 1) filter (where arm = 'holdout'),
            0, (select count(*) - 1 from windows.initiative), 0, 0
        ) as held_out,
    from windows.participant
    group by customer_id
),
customers as (
    select series.*, arms.treated, arms.held_out
    from arms
    right join windows.customer_series as series on series.customer_id = arms.customer_id
),
capped as (
    select
        customers.customer_id,
        customers.segment,
        customers.treated,
        customers.held_out,
        customers.active,
        customers.nps_responses,
        customers.nps_points,
        customers.nps,
        customers.margin,
        customers.service_cost,
        spans.*,
        series_capped(customers.revenue, spans.revenue_cap) as revenue_capped,
        series_capped(customers.margin, spans.margin_cap) as margin_capped,
        series_capped(customers.service_cost, spans.service_cost_cap) as service_cost_capped,
    from spans
    inner join customers on customers.acquired_month < spans.pre_from
),
within as (
    select
        segment,
        treated,
        held_out,
        start_month,
        pre_from,
        post_from,
        post_to,
        series_last(nps, start_month - 1 - $history_from) as last_nps,
        cast(
            coalesce(moving_sums(revenue_capped, 0, 0, early_from - $history_from, pre_from - 1 - $history_from)[1], 0)
            as decimal(30, 4)
        ) as early_spend,
        series_difference(margin_capped, service_cost_capped) as net_value,
        series_difference(margin, service_cost) as net_value_raw,
        numbers(
            moving_sums(revenue_capped, 0, 0, pre_from - $history_from, start_month - 1 - $history_from)[1],
            moving_sums(revenue_capped, 0, 0, post_from - $history_from, post_to - $history_from)[1],
            moving_sums(service_cost_capped, 0, 0, pre_from - $history_from, start_month - 1 - $history_from)[1],
            moving_sums(service_cost_capped, 0, 0, post_from - $history_from, post_to - $history_from)[1],
            moving_sums(active, 0, 0, pre_from - $history_from, start_month - 1 - $history_from)[1],
            moving_sums(active, 0, 0, greatest(post_from, post_to - 2) - $history_from, post_to - $history_from)[1],
            moving_sums(nps_responses, 0, 0, pre_from - $history_from, start_month - 1 - $history_from)[1],
            moving_sums(nps_points, 0, 0, pre_from - $history_from, start_month - 1 - $history_from)[1],
            moving_sums(nps_responses, 0, 0, post_from - $history_from, post_to - $history_from)[1],
            moving_sums(nps_points, 0, 0, post_from - $history_from, post_to - $history_from)[1]
        ) as changes,
    from capped
),
pairs as (
    select
        designs.initiative,
        designs.randomised,
        designs.targeted_on_score,
        designs.early_from,
        designs.post_to - designs.pre_from + 1 as months,
        case when designs.target_segment is null then within.segment end as stratum,
        case when last_nps <= 6 then 'detractor' when last_nps >= 9 then 'promoter' when last_nps is not null then 'passive' end
            as band,
        within.early_spend,
        moving_sums(within.net_value, designs.pre_from - $history_from, designs.post_to - $history_from, 0, 0) as net_value,
        moving_sums(within.net_value_raw, designs.pre_from - $history_from, designs.post_to - $history_from, 0, 0)
            as net_value_raw,
        within.changes,
        coalesce(within.treated[designs.place + 1] > 0, false) as is_treated,
        not designs.randomised and coalesce(inner_product(within.treated, designs.others) > 0, false) as leaves,
    from designs
    inner join
        within
        on
            within.start_month = designs.start_month and within.pre_from = designs.pre_from
            and within.post_from = designs.post_from and within.post_to = designs.post_to
    where
        not designs.randomised
        or coalesce(within.treated[designs.place + 1] > 0, false) or coalesce(within.held_out[designs.place + 1] > 0, false)
),
known as (
    select
        initiative,
        count(*) filter (where is_treated) as treated_eligible,
        count(*) filter (where is_treated and leaves) as treated_leaving,
        count(*) filter (where is_treated and not leaves) < count(*) filter (where is_treated and leaves) as is_contaminated,
        median(early_spend) filter (where early_spend > 0 and not leaves) as median_clean,
        median(early_spend) filter (where early_spend > 0 and (is_treated or not leaves)) as median_contaminated,
        count(*) filter (where is_treated and band = 'detractor')
        > 0.8 * count(*) filter (where is_treated and band is not null) as is_aimed_at_detractors,
    from pairs
    group by initiative
),
kept as (
    select
        pairs.*,
        case
            when pairs.early_from is null or pairs.early_spend <= 0 then 0
            when pairs.early_spend <= case when known.is_contaminated then known.median_contaminated else known.median_clean end
                then 1
            else 2
        end as spend_group,
        case
            when not pairs.randomised and coalesce(pairs.targeted_on_score, known.is_aimed_at_detractors)
                then coalesce(pairs.band, 'none')
        end as score_band,
    from known
    inner join pairs on pairs.initiative = known.initiative
    where not pairs.leaves or pairs.is_treated and known.is_contaminated
),
sums as (
    select
        initiative,
        stratum,
        spend_group,
        score_band,
        is_treated,
        count(*) as customers,
        count(*) filter (where changes[7] + changes[9] > 0) as answering_customers,
        list_products(net_value, months) as net_value,
        list_products(net_value_raw, months) as net_value_raw,
        list_products(changes, 10) as changes,
    from kept
    group by initiative, stratum, spend_group, score_band, is_treated
),
assigned as (
    select
        initiative,
        count(*) filter (where arm = 'treated') as treated_in_all,
        count(*) filter (where arm = 'holdout') as held_out_in_all,
    from windows.participant
    group by initiative
)
select
    '(all)' as segment,
    initiative.initiative,
    coalesce(initiative.target_segment, initiative.target_channel, initiative.target_touchpoint) is null as is_listed,
    coalesce(initiative.target_channel, initiative.target_touchpoint) is null as is_known,
    initiative.randomised,
    initiative.holdout_share,
    initiative.expected_net_value,
    initiative.start_month - initiative.pre_from as months_before,
    initiative.post_from - initiative.start_month as months_between,
    initiative.post_to - initiative.post_from + 1 as months_after,
    initiative.early_from is not null as has_early_months,
    initiative.has_cost,
    initiative.cost,
    initiative.cost_before,
    initiative.cost_by_month,
    coalesce(assigned.treated_in_all, 0) as treated_in_all,
    coalesce(assigned.held_out_in_all, 0) as held_out_in_all,
    coalesce(known.treated_eligible, 0) as treated_eligible,
    coalesce(known.treated_leaving, 0) as treated_leaving,
    coalesce(known.is_contaminated, false) as is_contaminated,
    sums.stratum,
    sums.spend_group,
    sums.score_band,
    sums.is_treated,
    coalesce(sums.customers, 0) as customers,
    coalesce(sums.answering_customers, 0) as answering_customers,
    sums.net_value,
    sums.net_value_raw,
    sums.changes,
from windows.initiative as initiative
left join assigned on assigned.initiative = initiative.initiative
left join known on known.initiative = initiative.initiative
left join sums on sums.initiative = initiative.initiative
order by initiative.initiative, sums.stratum, sums.spend_group, sums.score_band, sums.is_treated
