-- Customers who ever bought a category that their first order did not hold. The first order is that of the earliest line
-- with a positive amount; of several at that instant, the one whose id sorts first.
-- grain: segment
with first_orders as (
    select customer.customer_id, min(orders.order_id) as order_id
    from windows.customer as customer
    inner join facts.order_month as orders
        on orders.customer_id = customer.customer_id and orders.ordered_at = customer.first_ordered_at
    where orders.month <= $as_of
    group by customer.customer_id
),
first_categories as (
    select orders.customer_id, orders.category
    from first_orders
    inner join facts.order_month as orders
        on orders.customer_id = first_orders.customer_id and orders.order_id = first_orders.order_id
    where orders.month <= $as_of and orders.positive_lines > 0
    group by orders.customer_id, orders.category
),
first_counts as (
    select customer_id, count(category) as categories
    from first_categories
    group by customer_id
),
counts as (
    select customer_id, count(category) as categories
    from windows.customer_category
    where first_order_month is not null
    group by customer_id
),
scoped as (
    select
        counts.categories,
        first_counts.categories as first_categories,
        unnest([customer.segment, '(all)']) as segment,
    from windows.customer as customer
    inner join counts on counts.customer_id = customer.customer_id
    inner join first_counts on first_counts.customer_id = customer.customer_id
)
select
    segment,
    count(*) as customers,
    count(*) filter (where categories > first_categories) as multi_category_customers,
    sum(categories) as categories,
from scoped
group by segment
order by segment
