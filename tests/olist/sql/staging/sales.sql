-- Order items of Olist, one row an item of an order. What the customer pays for an item is its price and its freight.
-- Orders that were cancelled or are unavailable stay: the export has the state of an order on its own last day, but neither
-- a refund nor the time of one, so leaving them out would take money out of months that were closed. It is less than 1 %.
-- An item whose order is missing has no time and is rejected, as is one whose price or freight cannot be read.
-- A category without an English name keeps the Portuguese one; a product without a category has none.
select
    people.customer_unique_id as customer_id,
    items.order_id,
    items.order_item_id as line_id,
    orders.order_purchase_timestamp as ordered_at,
    try_cast(items.price as decimal(18, 4)) + try_cast(items.freight_value as decimal(18, 4)) as amount,
    items.product_id,
    coalesce(translation.product_category_name_english, products.product_category_name) as category,
from raw.sales as items
left join raw.orders as orders on orders.order_id = items.order_id
left join raw.customers as people on people.customer_id = orders.customer_id
left join raw.products as products on products.product_id = items.product_id
left join raw.translation as translation on translation.product_category_name = products.product_category_name
