-- Net revenue of the reported month, of three and of twelve months, and of the windows that growth compares them with.
-- Sales that name no customer count here under (all), and in no segment.
-- grain: segment
with scoped as (
    select
        customer.*,
        unnest(case when customer.customer_id is null then ['(all)'] else [customer.segment, '(all)'] end) as scope,
    from windows.customer as customer
    where customer.lines > 0
)
select
    scope as segment,
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
group by scope
order by scope
