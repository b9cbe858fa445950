-- What each customer adds to the errors of the slopes of measures/first_difference: what the change of the score leaves
-- unexplained times what the revenue does, after both months are held equal, summed over the customer's answers. Of these the
-- sums of products over customers, of the list revenue three months before to three after, each element with each. Revenue is
-- in units of its cap, and the change in its own, as in measures/association_errors. The coefficients are in
-- fitted.first_difference, a row for each cell, once with those of everybody and once with those of its segment, the scope.
-- grain: score, segment
with changes as (
    select
        unnest(
            case
                when score = 'service_contacts' then [score || '_gap5']
                when month - month_before >= 5 and revenue_lead_3 is not null then [score, score || '_gap5']
                else [score]
            end
        ) as model,
        *,
    from windows.answer_change
),
residuals as (
    select
        fit.score,
        fit.scope as segment,
        changes.customer_id,
        (change - fit.change_fitted) / fit.change_unit as change_residual,
        (coalesce(revenue_lead_3, 0.0) - fit.revenue_lead_3_slope * change - fit.revenue_lead_3_fitted) / fit.revenue_unit as revenue_lead_3,
        (coalesce(revenue_lead_2, 0.0) - fit.revenue_lead_2_slope * change - fit.revenue_lead_2_fitted) / fit.revenue_unit as revenue_lead_2,
        (coalesce(revenue_lead_1, 0.0) - fit.revenue_lead_1_slope * change - fit.revenue_lead_1_fitted) / fit.revenue_unit as revenue_lead_1,
        (revenue_0 - fit.revenue_0_slope * change - fit.revenue_0_fitted) / fit.revenue_unit as revenue_0,
        (revenue_1 - fit.revenue_1_slope * change - fit.revenue_1_fitted) / fit.revenue_unit as revenue_1,
        (revenue_2 - fit.revenue_2_slope * change - fit.revenue_2_fitted) / fit.revenue_unit as revenue_2,
        (revenue_3 - fit.revenue_3_slope * change - fit.revenue_3_fitted) / fit.revenue_unit as revenue_3,
    from fitted.first_difference as fit
    inner join changes
        on
            changes.model = fit.score
            and changes.segment = fit.segment
            and changes.month_before = fit.month_before
            and changes.month = fit.month
),
customers as (
    select
        score,
        segment,
        customer_id,
        count(*) as answers,
        cast(sum(cast(round(change_residual * revenue_lead_3 * 1e14) as bigint)) as double) / 1e14 as revenue_lead_3,
        cast(sum(cast(round(change_residual * revenue_lead_2 * 1e14) as bigint)) as double) / 1e14 as revenue_lead_2,
        cast(sum(cast(round(change_residual * revenue_lead_1 * 1e14) as bigint)) as double) / 1e14 as revenue_lead_1,
        cast(sum(cast(round(change_residual * revenue_0 * 1e14) as bigint)) as double) / 1e14 as revenue_0,
        cast(sum(cast(round(change_residual * revenue_1 * 1e14) as bigint)) as double) / 1e14 as revenue_1,
        cast(sum(cast(round(change_residual * revenue_2 * 1e14) as bigint)) as double) / 1e14 as revenue_2,
        cast(sum(cast(round(change_residual * revenue_3 * 1e14) as bigint)) as double) / 1e14 as revenue_3,
    from residuals
    group by score, segment, customer_id
),
listed as (
    select
        score,
        segment,
        answers,
        numbers(
            revenue_lead_3, revenue_lead_2, revenue_lead_1, revenue_0, revenue_1, revenue_2, revenue_3
        ) as parts,
    from customers
)
select
    score,
    segment,
    count(*) as customers,
    sum(answers) as answers,
    exact_products(parts, parts) as products,
from listed
group by score, segment
order by score, segment
