-- The caps of money for inference: of all positive totals of a customer and month, the smallest that is at least as large as
-- the share $winsor_quantile of them. Ranks come from exact amounts.
-- grain: outcome
with amounts as (
    select 'revenue' as outcome, revenue as amount, count(*) as customer_months
    from facts.customer_month
    where month <= $as_of and revenue > 0 and customer_id is not null
    group by revenue
    union all
    select 'margin' as outcome, margin as amount, count(*) as customer_months
    from facts.customer_month
    where month <= $as_of and margin > 0 and customer_id is not null
    group by margin
    union all
    select 'service_cost' as outcome, service_cost as amount, count(*) as customer_months
    from facts.customer_month
    where month <= $as_of and service_cost > 0 and customer_id is not null
    group by service_cost
),
ranked as (
    select
        outcome,
        amount,
        sum(customer_months) over (partition by outcome order by amount) as customer_months_up_to,
        sum(customer_months) over (partition by outcome) as customer_months,
    from amounts
)
select
    outcome,
    min(amount) as cap,
    max(customer_months) as customer_months,
from ranked
where customer_months_up_to >= $winsor_quantile * customer_months
group by outcome
order by outcome
