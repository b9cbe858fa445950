-- Why the revenue of customers active in both half-years changed, category by category. For a category bought in one of them
-- only, the amount; for one bought in both, what the same number of orders would have brought tells price and mix
-- (up_sell, down_sell) from frequency. Whatever was bought in no order, as refunds alone, is the residual:
-- cross_sell + category_return - category_lapse + up_sell - down_sell + frequency + residual = delta.
-- What is largest_ and absolute_ is as in measures/revenue.
-- grain: segment
with cells as (
    select
        sales.customer_id,
        sales.category,
        sales.revenue_t6m as revenue,
        sales.revenue_t6m_before as revenue_before,
        case
            when sales.orders_t6m_before > 0 and sales.orders_t6m > 0 then 'both'
            when sales.orders_t6m_before > 0 then 'category_lapse'
            when sales.orders_t6m > 0 and sales.first_order_month <= $as_of - 12 then 'category_return'
            when sales.orders_t6m > 0 then 'cross_sell'
            else 'residual'
        end as part,
        case when sales.orders_t6m_before > 0 and sales.orders_t6m > 0 then cast(
            cast(sales.orders_t6m - sales.orders_t6m_before as double) * cast(sales.revenue_t6m_before as double)
            / cast(sales.orders_t6m_before as double) as decimal(30, 4)
        ) else 0 end as frequency,
        customer.segment,
    from windows.customer as customer
    inner join windows.customer_category as sales on sales.customer_id = customer.customer_id
    where customer.active_t6m and customer.active_t6m_before and sales.sold_t12m
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
    from cells
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
    max(abs(cross_sell)) as largest_cross_sell,
    sum(abs(cross_sell)) as absolute_cross_sell,
    max(abs(category_return)) as largest_category_return,
    sum(abs(category_return)) as absolute_category_return,
    max(abs(category_lapse)) as largest_category_lapse,
    sum(abs(category_lapse)) as absolute_category_lapse,
    max(abs(up_sell)) as largest_up_sell,
    sum(abs(up_sell)) as absolute_up_sell,
    max(abs(down_sell)) as largest_down_sell,
    sum(abs(down_sell)) as absolute_down_sell,
    max(abs(frequency)) as largest_frequency,
    sum(abs(frequency)) as absolute_frequency,
    max(abs(residual)) as largest_residual,
    sum(abs(residual)) as absolute_residual,
    max(abs(delta)) as largest_delta,
    sum(abs(delta)) as absolute_delta,
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
