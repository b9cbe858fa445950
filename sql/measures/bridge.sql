-- The revenue bridge from the six months before to the last six months: what each customer's change is called.
-- base - churned + expansion - contraction + new + reactivated + residual = current, to the cent. Active means at least one
-- order line with a positive amount; new means that the first such line ever is in the current window.
-- Refund-only customers and sales that name no customer are the residual.
-- grain: segment
with scoped as (
    select
        customer_id,
        revenue_t6m as revenue,
        revenue_t6m_before as revenue_before,
        active_t6m as active,
        active_t6m_before as active_before,
        first_order_month,
        unnest(case when customer_id is null then ['(all)'] else [segment, '(all)'] end) as segment,
    from windows.customer
    where lines > 0
),
named as (
    select
        *,
        case
            when active_before and active and revenue >= revenue_before then 'expansion'
            when active_before and active then 'contraction'
            when active_before then 'churned'
            when active and first_order_month > $as_of - 6 then 'new'
            when active then 'reactivated'
            else 'residual'
        end as part,
        case when active then 0 else revenue end - case when active_before then 0 else revenue_before end as refunds,
    from scoped
)
select
    segment,
    sum(revenue_before) as base,
    coalesce(sum(revenue_before) filter (where part = 'churned'), 0) as churned,
    coalesce(sum(revenue - revenue_before) filter (where part = 'expansion'), 0) as expansion,
    coalesce(sum(revenue_before - revenue) filter (where part = 'contraction'), 0) as contraction,
    coalesce(sum(revenue) filter (where part = 'new'), 0) as new,
    coalesce(sum(revenue) filter (where part = 'reactivated'), 0) as reactivated,
    sum(refunds) as residual,
    sum(revenue) as current,
    count(customer_id) filter (where revenue_before <> 0 or active_before) as customers_base,
    count(*) filter (where part = 'churned') as customers_churned,
    count(*) filter (where part = 'expansion') as customers_expansion,
    count(*) filter (where part = 'contraction') as customers_contraction,
    count(*) filter (where part = 'new') as customers_new,
    count(*) filter (where part = 'reactivated') as customers_reactivated,
    count(customer_id) filter (where refunds <> 0) as customers_residual,
    count(customer_id) filter (where revenue <> 0 or active) as customers_current,
from named
group by segment
order by segment
