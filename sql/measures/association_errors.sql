-- What each customer adds to the errors of the slopes of measures/association: what the score leaves unexplained times what
-- the outcome does, after all that is held equal, summed over the customer's months. Of these the sums of products over
-- customers (of the list revenue 0 to 6 months later, placebo, active, service cost each element with each), and over rows the
-- sums of squares (of the same, with the mean of revenue 1 to 6 months later and its excess over the placebo last). Money is in
-- units of its cap, and a score in its own: whole hundred-trillionths then hold it, whatever the currency, and add up in any order. The
-- coefficients are in fitted.association, which functions/engine/src/measures/association.rs makes of the first sums: a row for
-- each cell, once with the coefficients of everybody and once with those of its segment, the scope.
-- grain: score, segment
with answers as (
    select
        unnest(['nps', 'csat', 'ces', 'service_contacts']) as score,
        unnest(numbers(nps, csat, ces, contacts)) as x,
        customer_id,
        segment,
        tenure_band,
        month,
        spend_before,
        revenue_0,
        revenue_1,
        revenue_2,
        revenue_3,
        revenue_4,
        revenue_5,
        revenue_6,
        placebo,
        active_6m,
        service_cost_6m,
    from windows.answer_month
),
scored as (
    select *
    from answers
    where x is not null
),
residuals as (
    select
        fit.score,
        fit.scope as segment,
        scored.customer_id,
        (x - fit.score_prior * spend_before - fit.score_fitted) / fit.score_unit as score_residual,
        (revenue_0 - fit.revenue_0_slope * x - fit.revenue_0_prior * spend_before - fit.revenue_0_fitted) / fit.revenue_unit as revenue_0,
        (revenue_1 - fit.revenue_1_slope * x - fit.revenue_1_prior * spend_before - fit.revenue_1_fitted) / fit.revenue_unit as revenue_1,
        (revenue_2 - fit.revenue_2_slope * x - fit.revenue_2_prior * spend_before - fit.revenue_2_fitted) / fit.revenue_unit as revenue_2,
        (revenue_3 - fit.revenue_3_slope * x - fit.revenue_3_prior * spend_before - fit.revenue_3_fitted) / fit.revenue_unit as revenue_3,
        (revenue_4 - fit.revenue_4_slope * x - fit.revenue_4_prior * spend_before - fit.revenue_4_fitted) / fit.revenue_unit as revenue_4,
        (revenue_5 - fit.revenue_5_slope * x - fit.revenue_5_prior * spend_before - fit.revenue_5_fitted) / fit.revenue_unit as revenue_5,
        (revenue_6 - fit.revenue_6_slope * x - fit.revenue_6_prior * spend_before - fit.revenue_6_fitted) / fit.revenue_unit as revenue_6,
        (placebo - fit.placebo_slope * x - fit.placebo_prior * spend_before - fit.placebo_fitted) / fit.revenue_unit as placebo,
        (active_6m - fit.active_6m_slope * x - fit.active_6m_prior * spend_before - fit.active_6m_fitted) as active_6m,
        (service_cost_6m - fit.service_cost_6m_slope * x - fit.service_cost_6m_prior * spend_before - fit.service_cost_6m_fitted) / fit.service_cost_unit as service_cost_6m,
    from fitted.association as fit
    inner join scored
        on
            scored.score = fit.score
            and scored.segment = fit.segment
            and scored.tenure_band = fit.tenure_band
            and scored.month = fit.month
),
parts as (
    select
        score,
        segment,
        customer_id,
        score_residual * revenue_0 as revenue_0,
        score_residual * revenue_1 as revenue_1,
        score_residual * revenue_2 as revenue_2,
        score_residual * revenue_3 as revenue_3,
        score_residual * revenue_4 as revenue_4,
        score_residual * revenue_5 as revenue_5,
        score_residual * revenue_6 as revenue_6,
        score_residual * placebo as placebo,
        score_residual * active_6m as active_6m,
        score_residual * service_cost_6m as service_cost_6m,
    from residuals
),
summed as (
    select
        *,
        (revenue_1 + revenue_2 + revenue_3 + revenue_4 + revenue_5 + revenue_6) / 6 as revenue_6m,
        (revenue_1 + revenue_2 + revenue_3 + revenue_4 + revenue_5 + revenue_6) / 6 - placebo as excess,
    from parts
),
customers as (
    select
        score,
        segment,
        customer_id,
        count(*) as answers,
        sum(cast(round(revenue_0 * 1e14) as bigint)) as revenue_0,
        sum(cast(round(revenue_1 * 1e14) as bigint)) as revenue_1,
        sum(cast(round(revenue_2 * 1e14) as bigint)) as revenue_2,
        sum(cast(round(revenue_3 * 1e14) as bigint)) as revenue_3,
        sum(cast(round(revenue_4 * 1e14) as bigint)) as revenue_4,
        sum(cast(round(revenue_5 * 1e14) as bigint)) as revenue_5,
        sum(cast(round(revenue_6 * 1e14) as bigint)) as revenue_6,
        sum(cast(round(placebo * 1e14) as bigint)) as placebo,
        sum(cast(round(active_6m * 1e14) as bigint)) as active_6m,
        sum(cast(round(service_cost_6m * 1e14) as bigint)) as service_cost_6m,
        sum(cast(round(revenue_0 * revenue_0 * 1e12) as bigint)) as revenue_0_squares,
        sum(cast(round(revenue_1 * revenue_1 * 1e12) as bigint)) as revenue_1_squares,
        sum(cast(round(revenue_2 * revenue_2 * 1e12) as bigint)) as revenue_2_squares,
        sum(cast(round(revenue_3 * revenue_3 * 1e12) as bigint)) as revenue_3_squares,
        sum(cast(round(revenue_4 * revenue_4 * 1e12) as bigint)) as revenue_4_squares,
        sum(cast(round(revenue_5 * revenue_5 * 1e12) as bigint)) as revenue_5_squares,
        sum(cast(round(revenue_6 * revenue_6 * 1e12) as bigint)) as revenue_6_squares,
        sum(cast(round(placebo * placebo * 1e12) as bigint)) as placebo_squares,
        sum(cast(round(active_6m * active_6m * 1e12) as bigint)) as active_6m_squares,
        sum(cast(round(service_cost_6m * service_cost_6m * 1e12) as bigint)) as service_cost_6m_squares,
        sum(cast(round(revenue_6m * revenue_6m * 1e12) as bigint)) as revenue_6m_squares,
        sum(cast(round(excess * excess * 1e12) as bigint)) as excess_squares,
    from summed
    group by score, segment, customer_id
),
listed as (
    select
        score,
        segment,
        answers,
        numbers(
            cast(revenue_0 as double) / 1e14,
            cast(revenue_1 as double) / 1e14,
            cast(revenue_2 as double) / 1e14,
            cast(revenue_3 as double) / 1e14,
            cast(revenue_4 as double) / 1e14,
            cast(revenue_5 as double) / 1e14,
            cast(revenue_6 as double) / 1e14,
            cast(placebo as double) / 1e14,
            cast(active_6m as double) / 1e14,
            cast(service_cost_6m as double) / 1e14
        ) as parts,
        numbers(
            cast(revenue_0_squares as double) / 1e12,
            cast(revenue_1_squares as double) / 1e12,
            cast(revenue_2_squares as double) / 1e12,
            cast(revenue_3_squares as double) / 1e12,
            cast(revenue_4_squares as double) / 1e12,
            cast(revenue_5_squares as double) / 1e12,
            cast(revenue_6_squares as double) / 1e12,
            cast(placebo_squares as double) / 1e12,
            cast(active_6m_squares as double) / 1e12,
            cast(service_cost_6m_squares as double) / 1e12,
            cast(revenue_6m_squares as double) / 1e12,
            cast(excess_squares as double) / 1e12
        ) as squares,
    from customers
)
select
    score,
    segment,
    count(*) as customers,
    sum(answers) as answers,
    exact_products(parts, parts) as products,
    exact_products(numbers(1.0), squares) as squares,
from listed
group by score, segment
order by score, segment
