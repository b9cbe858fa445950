-- Net revenue of the reported month, of three and of twelve months, and of the windows that growth compares them with.
-- Sales that name no customer count here under (all), and in no segment.
-- grain: segment
with spent as (
    select
        customer_id,
        sum(case when month = $as_of then revenue else 0 end) as revenue_month,
        sum(case when month > $as_of - 3 then revenue else 0 end) as revenue_t3m,
        sum(case when month > $as_of - 6 and month <= $as_of - 3 then revenue else 0 end) as revenue_t3m_before,
        sum(case when month > $as_of - 15 and month <= $as_of - 12 then revenue else 0 end) as revenue_t3m_year_before,
        sum(case when month > $as_of - 12 then revenue else 0 end) as revenue_t12m,
        sum(case when month <= $as_of - 12 then revenue else 0 end) as revenue_t12m_before,
        sum(case when month = $as_of then order_lines else 0 end) as lines_month,
        sum(case when month > $as_of - 3 then order_lines else 0 end) as lines_t3m,
        sum(case when month > $as_of - 12 then order_lines else 0 end) as lines_t12m,
    from facts.customer_month
    where month between $as_of - 23 and $as_of and order_lines > 0
    group by customer_id
),
scoped as (
    select
        spent.*,
        unnest(
            case when spent.customer_id is null then ['(all)'] else [coalesce(customers.segment, '(unknown)'), '(all)'] end
        ) as segment,
    from spent
    left join staging.customers as customers on customers.customer_id = spent.customer_id
)
select
    segment,
    sum(revenue_month) as revenue_month,
    sum(revenue_t3m) as revenue_t3m,
    sum(revenue_t3m_before) as revenue_t3m_before,
    sum(revenue_t3m_year_before) as revenue_t3m_year_before,
    sum(revenue_t12m) as revenue_t12m,
    sum(revenue_t12m_before) as revenue_t12m_before,
    count(customer_id) filter (where lines_month > 0) as customers_month,
    count(customer_id) filter (where lines_t3m > 0) as customers_t3m,
    count(customer_id) filter (where lines_t12m > 0) as customers_t12m,
from scoped
group by segment
order by segment
