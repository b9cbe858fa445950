-- Net and gross revenue retention of the customers who were active in the six months before, and the growth of those
-- active in both windows. Each is a ratio of sums over customers; residual_squares is the second pass of its error.
-- What is largest_ and absolute_ is as in measures/revenue.
-- grain: segment
with base as (
    select
        segment,
        active_t6m as active,
        revenue_t6m as revenue,
        revenue_t6m_before as revenue_before,
        greatest(least(revenue_t6m, revenue_t6m_before), 0) as kept,
        greatest(revenue_t6m_before, 0) as keepable,
    from windows.customer
    where active_t6m_before
),
scoped as (
    select active, revenue, revenue_before, kept, keepable, unnest([segment, '(all)']) as segment
    from base
),
totals as (
    select
        segment,
        count(*) as customers,
        sum(revenue) as net_revenue,
        sum(revenue_before) as net_base,
        max(abs(revenue_before)) as largest_net_base,
        sum(abs(revenue_before)) as absolute_net_base,
        sum(kept) as gross_revenue,
        sum(keepable) as gross_base,
        count(*) filter (where active) as constant_customers,
        sum(case when active then revenue else 0 end) as constant_revenue,
        sum(case when active then revenue_before else 0 end) as constant_base,
        max(case when active then abs(revenue_before) else 0 end) as largest_constant_base,
        sum(case when active then abs(revenue_before) else 0 end) as absolute_constant_base,
    from scoped
    group by segment
),
ratios as (
    select
        segment,
        cast(net_revenue as double) / nullif(cast(net_base as double), 0) as net,
        cast(gross_revenue as double) / nullif(cast(gross_base as double), 0) as gross,
        cast(constant_revenue as double) / nullif(cast(constant_base as double), 0) as constant,
    from totals
),
residuals as (
    select
        scoped.segment,
        exact_sum(power(
            cast(scoped.revenue as double) - ratios.net * cast(scoped.revenue_before as double), 2
        )) as net_residual_squares,
        exact_sum(power(
            cast(scoped.kept as double) - ratios.gross * cast(scoped.keepable as double), 2
        )) as gross_residual_squares,
        exact_sum(case when scoped.active then power(
            cast(scoped.revenue as double) - ratios.constant * cast(scoped.revenue_before as double), 2
        ) end) as constant_residual_squares,
    from ratios
    inner join scoped on scoped.segment = ratios.segment
    group by scoped.segment
)
select
    totals.*,
    residuals.net_residual_squares,
    residuals.gross_residual_squares,
    residuals.constant_residual_squares,
from totals
inner join residuals on residuals.segment = totals.segment
order by totals.segment
