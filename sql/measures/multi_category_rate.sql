-- Customers who ever bought a category that their first order did not hold. The first order is that of the earliest line
-- with a positive amount; of several at that instant, the one whose id sorts first.
-- grain: segment
with first_orders as (
    select customer.customer_id, customer.segment, min(orders.order_id) as order_id
    from windows.customer as customer
    inner join facts.order_month as orders
        on orders.customer_id = customer.customer_id and orders.ordered_at = customer.first_ordered_at
    where orders.month <= $as_of
    group by customer.customer_id, customer.segment
),
categories as (
    select
        first_orders.customer_id,
        first_orders.segment,
        orders.category,
        max(case when orders.order_id = first_orders.order_id then 1 else 0 end) as in_first_order,
    from first_orders
    inner join facts.order_month as orders on orders.customer_id = first_orders.customer_id
    where orders.month <= $as_of and orders.positive_lines > 0
    group by first_orders.customer_id, first_orders.segment, orders.category
),
bought as (
    select
        customer_id,
        segment,
        count(category) as categories,
        count(category) filter (where in_first_order = 0) as added_categories,
    from categories
    group by customer_id, segment
),
scoped as (
    select categories, added_categories, unnest([segment, '(all)']) as segment
    from bought
)
select
    segment,
    count(*) as customers,
    count(*) filter (where added_categories > 0) as multi_category_customers,
    sum(categories) as categories,
from scoped
group by segment
order by segment
