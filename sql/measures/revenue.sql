-- Net revenue of the reported month, of three and of twelve months, and of the windows that growth compares them with, each with
-- how many customers it is of.
-- Sales that name no customer count here under (all), and in no segment.
-- What is largest_ and absolute_ are amounts without their sign, of the customer with most and of all: money of a segment that is
-- mostly one customer's is withheld.
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
    max(abs(revenue_month)) as largest_revenue_month,
    sum(abs(revenue_month)) as absolute_revenue_month,
    max(abs(revenue_t3m)) as largest_revenue_t3m,
    sum(abs(revenue_t3m)) as absolute_revenue_t3m,
    max(abs(revenue_t12m)) as largest_revenue_t12m,
    sum(abs(revenue_t12m)) as absolute_revenue_t12m,
    max(abs(revenue_t3m_before)) as largest_revenue_t3m_before,
    sum(abs(revenue_t3m_before)) as absolute_revenue_t3m_before,
    max(abs(revenue_t3m_year_before)) as largest_revenue_t3m_year_before,
    sum(abs(revenue_t3m_year_before)) as absolute_revenue_t3m_year_before,
    max(abs(revenue_t12m_before)) as largest_revenue_t12m_before,
    sum(abs(revenue_t12m_before)) as absolute_revenue_t12m_before,
    count(customer_id) filter (where lines_month > 0) as customers_month,
    count(customer_id) filter (where lines_t3m > 0) as customers_t3m,
    count(customer_id) filter (where lines_t12m > 0) as customers_t12m,
    count(customer_id) filter (where revenue_t3m_before <> 0) as customers_t3m_before,
    count(customer_id) filter (where revenue_t3m_year_before <> 0) as customers_t3m_year_before,
    count(customer_id) filter (where revenue_t12m_before <> 0) as customers_t12m_before,
from scoped
group by scope
order by scope
