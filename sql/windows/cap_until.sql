-- The caps of money for inference as they were when the last month of a programme was measured, so that its figures stay as they are: as
-- windows.cap, of all positive totals of a customer and month up to that month.
-- grain: outcome, month
with untils as (
    select distinct post_to as month
    from windows.initiative
),
amounts as (
    select month, 'revenue' as outcome, revenue as amount, count(*) as customer_months
    from facts.customer_month
    where
        month <= $as_of and revenue > 0 and customer_id is not null
        and (select count(*) from windows.initiative) > 0
    group by month, revenue
    union all
    select month, 'margin' as outcome, margin as amount, count(*) as customer_months
    from facts.customer_month
    where
        month <= $as_of and margin > 0 and customer_id is not null
        and (select count(*) from windows.initiative) > 0
    group by month, margin
    union all
    select month, 'service_cost' as outcome, service_cost as amount, count(*) as customer_months
    from facts.customer_month
    where
        month <= $as_of and service_cost > 0 and customer_id is not null
        and (select count(*) from windows.initiative) > 0
    group by month, service_cost
),
known as (
    select untils.month, amounts.outcome, amounts.amount, sum(amounts.customer_months) as customer_months
    from untils
    inner join amounts on amounts.month <= untils.month
    group by untils.month, amounts.outcome, amounts.amount
),
ranked as (
    select
        month,
        outcome,
        amount,
        sum(customer_months) over (partition by month, outcome order by amount) as customer_months_up_to,
        sum(customer_months) over (partition by month, outcome) as customer_months,
    from known
)
select outcome, month, min(amount) as cap
from ranked
where customer_months_up_to >= $winsor_quantile * customer_months
group by outcome, month
order by outcome, month
