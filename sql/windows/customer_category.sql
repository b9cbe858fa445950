-- What each customer ever bought of each category, with the money and the orders of the last half-year (T6M) and of the one
-- before. Orders are those with a line of a positive amount in the half-year; one that goes on in a later month of it is
-- still one. Sales without a category are a category of their own.
-- grain: customer_id, category
with cells as (
    select
        customer_id,
        category,
        min(case when positive_lines > 0 then month end) as first_order_month,
        sum(case when month > $as_of - 12 then 1 else 0 end) as order_months_t12m,
        sum(case when month > $as_of - 6 and positive_lines > 0 then 1 else 0 end) as order_months_t6m,
        sum(case when month between $as_of - 11 and $as_of - 6 and positive_lines > 0 then 1 else 0 end)
            as order_months_t6m_before,
        sum(case when month > $as_of - 6 then revenue else 0 end) as revenue_t6m,
        sum(case when month between $as_of - 11 and $as_of - 6 then revenue else 0 end) as revenue_t6m_before,
    from facts.order_month
    where month <= $as_of
    group by customer_id, category
),
orders as (
    select
        customer_id,
        category,
        count(*) filter (where month > $as_of - 6) as months_t6m,
        count(*) filter (where month <= $as_of - 6) as months_t6m_before,
    from facts.order_month
    where month between $as_of - 11 and $as_of and positive_lines > 0
    group by customer_id, category, order_id
    having count(*) > 1
),
repeated as (
    select
        customer_id,
        category,
        sum(greatest(months_t6m - 1, 0)) as order_months_t6m,
        sum(greatest(months_t6m_before - 1, 0)) as order_months_t6m_before,
    from orders
    group by customer_id, category
)
select
    cells.customer_id,
    cells.category,
    cells.first_order_month,
    cells.order_months_t12m > 0 as sold_t12m,
    cells.order_months_t6m - coalesce(repeated.order_months_t6m, 0) as orders_t6m,
    cells.order_months_t6m_before - coalesce(repeated.order_months_t6m_before, 0) as orders_t6m_before,
    cells.revenue_t6m,
    cells.revenue_t6m_before,
from repeated
right join cells
    on
        cells.customer_id = repeated.customer_id
        and coalesce(cells.category, '') = coalesce(repeated.category, '')
order by customer_id, category
