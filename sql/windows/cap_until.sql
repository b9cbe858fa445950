-- The caps of money for inference as they were when the last month of a programme was measured, so that its figures stay as
-- they are: as windows.cap, of all positive totals of a customer and month up to that month. Amounts are counted in steps of
-- some 5 % first; exact amounts are only ranked in the step that holds the cap.
-- grain: outcome, month
with untils as (
    select distinct post_to as month
    from windows.initiative
),
amounts as (
    select month, 'revenue' as outcome, revenue as amount, floor(20 * ln(cast(revenue as double))) as step
    from facts.customer_month
    where revenue > 0 and customer_id is not null
    union all
    select month, 'margin' as outcome, margin as amount, floor(20 * ln(cast(margin as double))) as step
    from facts.customer_month
    where margin > 0 and customer_id is not null
    union all
    select month, 'service_cost' as outcome, service_cost as amount, floor(20 * ln(cast(service_cost as double))) as step
    from facts.customer_month
    where service_cost > 0 and customer_id is not null
),
counted as (
    select month, outcome, step, count(*) as customer_months
    from amounts
    where month <= $as_of and (select count(*) from windows.initiative) > 0
    group by month, outcome, step
),
steps as (
    select
        month,
        outcome,
        step,
        customer_months,
        sum(customer_months) over (partition by month, outcome order by step) as customer_months_up_to,
        sum(customer_months) over (partition by month, outcome) as customer_months_in_all,
    from (
        select untils.month, counted.outcome, counted.step, sum(counted.customer_months) as customer_months
        from untils
        inner join counted on counted.month <= untils.month
        group by untils.month, counted.outcome, counted.step
    ) as reached
),
around as (
    select
        month,
        outcome,
        min(step) as step,
        min(customer_months_up_to - customer_months) as customer_months_below,
        min(customer_months_in_all) as customer_months_in_all,
    from steps
    where customer_months_up_to >= $winsor_quantile * customer_months_in_all
    group by month, outcome
),
ranked as (
    select
        month,
        outcome,
        amount,
        customer_months_in_all,
        customer_months_below + sum(customer_months) over (partition by month, outcome order by amount) as customer_months_up_to,
    from (
        select
            around.month,
            around.outcome,
            amounts.amount,
            around.customer_months_below,
            around.customer_months_in_all,
            count(*) as customer_months,
        from around
        inner join
            amounts
            on amounts.outcome = around.outcome and amounts.step = around.step and amounts.month <= around.month
        where amounts.month <= $as_of
        group by
            around.month, around.outcome, amounts.amount, around.customer_months_below, around.customer_months_in_all
    ) as within
)
select outcome, month, min(amount) as cap
from ranked
where customer_months_up_to >= $winsor_quantile * customer_months_in_all
group by outcome, month
order by outcome, month
