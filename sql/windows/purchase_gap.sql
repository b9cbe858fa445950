-- How many gaps there are between one order of a customer and the next in the last twelve months, and how many of them are of
-- 45 days at most: where fewer than half are, customers buy too seldom for a window of three months to tell who stays. Of lakes
-- with more than 10,000 repeat buyers every second, third ... is asked, so that about as many are.
-- grain: gaps
with buyers as (
    select customer_id, row_number() over (order by customer_id) as place
    from windows.customer
    where orders_t12m > 1 and customer_id is not null
),
asked as (
    select customer_id
    from buyers
    where place % (select 1 + cast(floor(count(*) / 10000.0) as bigint) from buyers) = 0
),
orders as (
    select orders.customer_id, orders.order_id, min(orders.ordered_at) as ordered_at
    from asked
    inner join facts.order_month as orders on orders.customer_id = asked.customer_id
    where orders.month between $as_of - 11 and $as_of and orders.positive_lines > 0
    group by orders.customer_id, orders.order_id
),
pairs as (
    select
        customer_id,
        ordered_at,
        lag(customer_id) over (order by customer_id, ordered_at) as customer_before,
        lag(ordered_at) over (order by customer_id, ordered_at) as ordered_before,
    from orders
)
select
    count(*) as gaps,
    count(*) filter (where ordered_at <= ordered_before + interval '45 days') as short_gaps,
from pairs
where customer_id = customer_before
