-- How each programme's customers are compared with the others: the programme, caps of money for inference as of the last month
-- measured, how many customers it treated and held out, and what these say of the comparison. Eligible are those who came
-- before the months measured. Those whom another programme treated meanwhile leave, unless more than half of the treated would
-- (is_contaminated); of a programme that was drawn by lot nobody leaves. It is aimed at detractors where more than 80 % of the
-- treated who had answered before the start were some in their last month with an answer. The median is that of the capped
-- revenue in the early months, from early_from on up to the months measured, of those of both arms who spent.
-- grain: initiative
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
        initiative.post_to >= initiative.post_from and initiative.start_month > initiative.pre_from as is_measured,
        coalesce(caps.revenue, 0) as revenue_cap,
        coalesce(caps.margin, 0) as margin_cap,
        coalesce(caps.service_cost, 0) as service_cost_cap,
    from windows.initiative as initiative
    left join caps on caps.month = initiative.post_to
),
customers as (
    select
        treatment.*,
        series.revenue,
        series.nps,
    from windows.treatment as treatment
    left join windows.customer_series as series on series.customer_id = treatment.customer_id
),
participants as (
    select
        designs.initiative,
        coalesce(array_has(customers.treated, designs.place), false) as is_treated,
        customers.acquired_month < designs.pre_from as is_eligible,
        not designs.randomised
        and series_total(customers.begun, 0, designs.post_to - $history_from)
        - series_total(customers.ended, 0, designs.pre_from - $history_from) > 1 as leaves,
        series_last(customers.nps, designs.start_month - 1 - $history_from) as last_nps,
    from designs
    inner join
        customers
        on
            array_has(customers.treated, designs.place) or array_has(customers.held_out, designs.place)
),
counts as (
    select
        initiative,
        count(*) filter (where is_treated) as treated_in_all,
        count(*) filter (where not is_treated) as held_out_in_all,
        count(*) filter (where is_treated and is_eligible) as treated_eligible,
        count(*) filter (where is_treated and is_eligible and leaves) as treated_leaving,
        count(*) filter (where is_treated and is_eligible and last_nps is not null) as treated_scored,
        count(*) filter (where is_treated and is_eligible and last_nps <= 6) as treated_detractors,
    from participants
    group by initiative
),
counted as (
    select
        designs.*,
        coalesce(counts.treated_in_all, 0) as treated_in_all,
        coalesce(counts.held_out_in_all, 0) as held_out_in_all,
        coalesce(counts.treated_eligible, 0) as treated_eligible,
        coalesce(counts.treated_leaving, 0) as treated_leaving,
        coalesce(2 * counts.treated_leaving > counts.treated_eligible, false) as is_contaminated,
        not designs.randomised
        and coalesce(
            designs.targeted_on_score, counts.treated_detractors > 0.8 * counts.treated_scored, false
        ) as is_aimed_at_detractors,
    from designs
    left join counts on counts.initiative = designs.initiative
),
arms as (
    select
        counted.*,
        customers.revenue,
        coalesce(array_has(customers.treated, counted.place), false) as is_treated,
        coalesce(array_has(customers.held_out, counted.place), false) as is_held_out,
        series_total(customers.begun, 0, counted.post_to - $history_from)
        - series_total(customers.ended, 0, counted.pre_from - $history_from) as programmes,
    from counted
    inner join customers on customers.acquired_month < counted.pre_from
    where counted.is_measured and counted.early_from is not null
),
spends as (
    select
        initiative,
        round(
            series_total(
                series_capped(revenue, -revenue_cap, revenue_cap), early_from - $history_from, pre_from - 1 - $history_from
            ),
            4
        ) as early_spend,
    from arms
    where
        case
            when randomised then is_treated or is_held_out
            when is_treated then programmes = 1 or is_contaminated
            else programmes = 0
        end
),
medians as (
    select initiative, median(early_spend) as median_early_spend
    from spends
    where early_spend > 0
    group by initiative
)
select counted.*, medians.median_early_spend
from counted
left join medians on medians.initiative = counted.initiative
order by initiative
