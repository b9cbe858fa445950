-- What each order holds of each category in a local month. An order exists from its first line with a positive amount on,
-- and lines of one order may fall into two months. Sales that name no customer are left out.
-- grain: month, customer_id, order_id, category
select
    month,
    customer_id,
    order_id,
    category,
    min(ordered_at) filter (where amount > 0) as ordered_at,
    count(*) filter (where amount > 0) as positive_lines,
    sum(amount) as revenue,
from staging.sales
where customer_id is not null
group by month, customer_id, order_id, category
order by month, customer_id, order_id, category
