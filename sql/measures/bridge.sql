-- The revenue bridge from the six months before to the last six months: what each customer's change is called.
-- base - churned + expansion - contraction + new + reactivated + residual = current, to the cent. Active means at least one
-- order line with a positive amount; new means that the first such line ever is in the current window.
-- Refund-only customers and sales that name no customer are the residual.
-- What is largest_ and absolute_ is as in measures/revenue.
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
),
parts as (
    select
        *,
        case when part = 'churned' then revenue_before else 0 end as churned,
        case when part = 'expansion' then revenue - revenue_before else 0 end as expansion,
        case when part = 'contraction' then revenue_before - revenue else 0 end as contraction,
        case when part = 'new' then revenue else 0 end as new,
        case when part = 'reactivated' then revenue else 0 end as reactivated,
    from named
)
select
    segment,
    sum(revenue_before) as base,
    sum(churned) as churned,
    sum(expansion) as expansion,
    sum(contraction) as contraction,
    sum(new) as new,
    sum(reactivated) as reactivated,
    sum(refunds) as residual,
    sum(revenue) as current,
    max(abs(revenue_before)) as largest_base,
    sum(abs(revenue_before)) as absolute_base,
    max(abs(churned)) as largest_churned,
    sum(abs(churned)) as absolute_churned,
    max(abs(expansion)) as largest_expansion,
    sum(abs(expansion)) as absolute_expansion,
    max(abs(contraction)) as largest_contraction,
    sum(abs(contraction)) as absolute_contraction,
    max(abs(new)) as largest_new,
    sum(abs(new)) as absolute_new,
    max(abs(reactivated)) as largest_reactivated,
    sum(abs(reactivated)) as absolute_reactivated,
    max(abs(refunds)) as largest_residual,
    sum(abs(refunds)) as absolute_residual,
    max(abs(revenue)) as largest_current,
    sum(abs(revenue)) as absolute_current,
    count(customer_id) filter (where revenue_before <> 0 or active_before) as customers_base,
    count(*) filter (where part = 'churned') as customers_churned,
    count(*) filter (where part = 'expansion') as customers_expansion,
    count(*) filter (where part = 'contraction') as customers_contraction,
    count(*) filter (where part = 'new') as customers_new,
    count(*) filter (where part = 'reactivated') as customers_reactivated,
    count(customer_id) filter (where refunds <> 0) as customers_residual,
    count(customer_id) filter (where revenue <> 0 or active) as customers_current,
from parts
group by segment
order by segment
