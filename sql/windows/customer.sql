-- What each customer bought in the windows that end with the reported month. Active means at least one order line with a
-- positive amount; a window `_before` is the one of the same length next to it. An order counts once, in the month of its
-- first line with a positive amount. Sales that name no customer are one row without customer_id and segment.
-- grain: customer_id
with history as (
    select
        customer_id,
        min(case when positive_lines > 0 then month end) as first_order_month,
        sum(order_lines) as order_lines,
        sum(case when month > $as_of - 3 then order_lines else 0 end) as lines_t3m,
        sum(case when month > $as_of - 12 then order_lines else 0 end) as lines_t12m,
        sum(case when month > $as_of - 3 then revenue else 0 end) as revenue_t3m,
        sum(case when month > $as_of - 12 then revenue else 0 end) as revenue_t12m,
        sum(case when month > $as_of - 24 and month <= $as_of - 12 then revenue else 0 end) as revenue_t12m_before,
        sum(case when month > $as_of - 6 then positive_lines else 0 end) as positive_lines_t6m,
        sum(case when month > $as_of - 12 and month <= $as_of - 6 then positive_lines else 0 end)
            as positive_lines_t6m_before,
        sum(case when month > $as_of - 12 then positive_lines else 0 end) as positive_lines_t12m,
        sum(case when month > $as_of - 24 and month <= $as_of - 12 then positive_lines else 0 end)
            as positive_lines_t12m_before,
        sum(case when month > $as_of - 12 then nps_responses + csat_responses + ces_responses else 0 end)
            as answers_t12m,
    from facts.customer_month
    where month <= $as_of
    group by customer_id
),
orders as (
    select customer_id, order_id, min(month) as first_month, min(ordered_at) as ordered_at
    from facts.order_month
    where month <= $as_of and positive_lines > 0
    group by customer_id, order_id
),
ordered as (
    select
        customer_id,
        min(ordered_at) as first_ordered_at,
        sum(case when first_month > $as_of - 3 then 1 else 0 end) as orders_t3m,
        sum(case when first_month > $as_of - 12 then 1 else 0 end) as orders_t12m,
    from orders
    group by customer_id
)
select
    history.customer_id,
    case when history.customer_id is not null then coalesce(customers.segment, '(unknown)') end as segment,
    customers.referred,
    history.first_order_month,
    ordered.first_ordered_at,
    history.order_lines,
    history.lines_t3m,
    history.lines_t12m,
    history.revenue_t3m,
    history.revenue_t12m,
    history.revenue_t12m_before,
    history.positive_lines_t6m > 0 and history.customer_id is not null as active_t6m,
    history.positive_lines_t6m_before > 0 and history.customer_id is not null as active_t6m_before,
    history.positive_lines_t12m > 0 and history.customer_id is not null as active_t12m,
    history.positive_lines_t12m_before > 0 and history.customer_id is not null as active_t12m_before,
    coalesce(ordered.orders_t3m, 0) as orders_t3m,
    coalesce(ordered.orders_t12m, 0) as orders_t12m,
    history.answers_t12m > 0 as answered_t12m,
from history
left join ordered on ordered.customer_id = history.customer_id
left join staging.customers as customers on customers.customer_id = history.customer_id
order by history.customer_id
