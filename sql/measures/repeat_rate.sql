-- Customers with two orders or more in the last twelve months, of those with one.
-- grain: segment
with scoped as (
    select orders_t12m, unnest([segment, '(all)']) as segment
    from windows.customer
    where orders_t12m > 0
)
select segment, count(*) as customers, count(*) filter (where orders_t12m >= 2) as repeat_customers
from scoped
group by segment
order by segment
