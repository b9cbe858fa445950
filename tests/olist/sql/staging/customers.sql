-- People of Olist, one row a person: customer_id in the export is one per order, customer_unique_id is the person.
-- The segment is the state in Brazil to which the person's latest order went; of two orders in the same second, the one with
-- the higher order_id.
with numbered as (
    select
        people.customer_unique_id,
        people.customer_state,
        row_number() over (
            partition by people.customer_unique_id
            order by orders.order_purchase_timestamp desc nulls last, orders.order_id desc nulls last, people.customer_id
        ) as newest,
    from raw.customers as people
    left join raw.orders as orders on orders.customer_id = people.customer_id
)
select customer_unique_id as customer_id, customer_state as segment
from numbered
where newest = 1
