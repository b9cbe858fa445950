-- How much of the business answers: customers active in the last twelve months who gave a valid answer in them, and their
-- share of the revenue. What the others spent follows from it, so that it is there too: how many they are, and what is largest_ and
-- absolute_, amounts without their sign, of the customer with most and of all.
-- grain: segment
with scoped as (
    select
        customer_id,
        active_t12m,
        answers_t12m > 0 as answered_t12m,
        revenue_t12m,
        unnest(case when customer_id is null then ['(all)'] else [segment, '(all)'] end) as segment,
    from windows.customer
    where lines_t12m > 0
)
select
    segment,
    count(*) filter (where active_t12m) as active,
    count(*) filter (where active_t12m and answered_t12m) as covered,
    sum(revenue_t12m) as revenue,
    count(customer_id) filter (where not (active_t12m and answered_t12m)) as others,
    coalesce(sum(revenue_t12m) filter (where active_t12m and answered_t12m), 0) as covered_revenue,
    coalesce(max(abs(revenue_t12m)) filter (where active_t12m and answered_t12m), 0) as largest_covered_revenue,
    coalesce(sum(abs(revenue_t12m)) filter (where active_t12m and answered_t12m), 0) as absolute_covered_revenue,
    coalesce(max(abs(revenue_t12m)) filter (where not (active_t12m and answered_t12m)), 0) as largest_other_revenue,
    coalesce(sum(abs(revenue_t12m)) filter (where not (active_t12m and answered_t12m)), 0) as absolute_other_revenue,
from scoped
group by segment
order by segment
