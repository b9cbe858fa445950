-- Why the revenue of customers active in both half-years changed, category by category. For a category bought in one of them
-- only, the amount; for one bought in both, what the same number of orders would have brought tells price and mix
-- (up_sell, down_sell) from frequency. Whatever was bought in no order, as refunds alone, is the residual:
-- cross_sell + category_return - category_lapse + up_sell - down_sell + frequency + residual = delta.
-- grain: segment
with orders as (
    select
        customer_id,
        category,
        order_id,
        sum(case when month > $as_of - 6 then revenue else 0 end) as revenue,
        sum(case when month <= $as_of - 6 then revenue else 0 end) as revenue_before,
        max(case when month > $as_of - 6 and positive_lines > 0 then 1 else 0 end) as ordered,
        max(case when month <= $as_of - 6 and positive_lines > 0 then 1 else 0 end) as ordered_before,
    from facts.order_month
    where month between $as_of - 11 and $as_of
    group by customer_id, category, order_id
),
cells as (
    select
        customer_id,
        category,
        sum(revenue) as revenue,
        sum(revenue_before) as revenue_before,
        sum(ordered) as orders,
        sum(ordered_before) as orders_before,
    from orders
    group by customer_id, category
),
known as (
    select customer_id, category
    from facts.order_month
    where month <= $as_of - 12 and positive_lines > 0
    group by customer_id, category
),
named as (
    select
        cells.customer_id,
        cells.category,
        cells.revenue,
        cells.revenue_before,
        case
            when cells.orders_before > 0 and cells.orders > 0 then 'both'
            when cells.orders_before > 0 then 'category_lapse'
            when cells.orders > 0 and known.customer_id is null then 'cross_sell'
            when cells.orders > 0 then 'category_return'
            else 'residual'
        end as part,
        case when cells.orders_before > 0 and cells.orders > 0 then cast(
            cast(cells.orders - cells.orders_before as double) * cast(cells.revenue_before as double)
            / cast(cells.orders_before as double) as decimal(30, 4)
        ) else 0 end as frequency,
        customer.segment,
    from cells
    inner join windows.customer as customer on customer.customer_id = cells.customer_id
    left join known
        on known.customer_id = cells.customer_id and coalesce(known.category, '') = coalesce(cells.category, '')
    where customer.active_t6m and customer.active_t6m_before
),
customers as (
    select
        segment,
        count(category) as categories,
        sum(case when part = 'cross_sell' then revenue else 0 end) as cross_sell,
        sum(case when part = 'category_return' then revenue else 0 end) as category_return,
        sum(case when part = 'category_lapse' then revenue_before else 0 end) as category_lapse,
        sum(case when part = 'both' then greatest(revenue - revenue_before - frequency, 0) else 0 end) as up_sell,
        sum(case when part = 'both' then greatest(revenue_before + frequency - revenue, 0) else 0 end) as down_sell,
        sum(frequency) as frequency,
        sum(
            case when part in ('category_lapse', 'residual') then revenue else 0 end
            - case when part in ('cross_sell', 'category_return', 'residual') then revenue_before else 0 end
        ) as residual,
        sum(revenue - revenue_before) as delta,
    from named
    group by customer_id, segment
),
scoped as (
    select
        categories,
        cross_sell,
        category_return,
        category_lapse,
        up_sell,
        down_sell,
        frequency,
        residual,
        delta,
        unnest([segment, '(all)']) as segment,
    from customers
)
select
    segment,
    count(*) as retained_customers,
    sum(categories) as categories,
    sum(cross_sell) as cross_sell,
    sum(category_return) as category_return,
    sum(category_lapse) as category_lapse,
    sum(up_sell) as up_sell,
    sum(down_sell) as down_sell,
    sum(frequency) as frequency,
    sum(residual) as residual,
    sum(delta) as delta,
    count(*) filter (where cross_sell > 0) as cross_sold_customers,
    count(*) filter (where cross_sell <> 0) as customers_cross_sell,
    count(*) filter (where category_return <> 0) as customers_category_return,
    count(*) filter (where category_lapse <> 0) as customers_category_lapse,
    count(*) filter (where up_sell <> 0) as customers_up_sell,
    count(*) filter (where down_sell <> 0) as customers_down_sell,
    count(*) filter (where frequency <> 0) as customers_frequency,
    count(*) filter (where residual <> 0) as customers_residual,
    count(*) filter (where delta <> 0) as customers_delta,
from scoped
group by segment
order by segment
