-- Earned growth over twelve months: net revenue retention of the customers of the twelve months before, plus what new
-- customers who came by referral spent, as a share of all revenue of the twelve months before, minus 1.
-- What is largest_ and absolute_ is as in measures/revenue.
-- grain: segment
with scoped as (
    select
        customer_id,
        active_t12m_before,
        revenue_t12m,
        revenue_t12m_before,
        referred,
        coalesce(referred and active_t12m and first_order_month > $as_of - 12, false) as is_referred_new,
        unnest(case when customer_id is null then ['(all)'] else [segment, '(all)'] end) as segment,
    from windows.customer
    where lines > 0
)
select
    segment,
    coalesce(sum(revenue_t12m) filter (where active_t12m_before), 0) as retained_revenue,
    coalesce(sum(revenue_t12m_before) filter (where active_t12m_before), 0) as retained_base,
    coalesce(sum(revenue_t12m) filter (where is_referred_new), 0) as referred_revenue,
    sum(revenue_t12m_before) as revenue_before,
    max(abs(revenue_t12m_before)) as largest_revenue_before,
    sum(abs(revenue_t12m_before)) as absolute_revenue_before,
    count(*) filter (where active_t12m_before or is_referred_new) as customers,
    count(referred) as referral_known,
from scoped
group by segment
order by segment
