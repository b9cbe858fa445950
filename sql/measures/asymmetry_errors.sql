-- What each customer adds to the errors of the slopes of measures/asymmetry: what the distance below and above what is expected
-- leaves unexplained, each times what the revenue does, after all that is held equal, summed over the customer's months; the same
-- of detractors and promoters. Of these the sums of products over customers, each of the two with each. Revenue is in units of
-- its cap, as in measures/association_errors. The coefficients are in fitted.asymmetry, a row for each cell, once with those of
-- everybody and once with those of its segment, the scope.
-- grain: score, segment
with answers as (
    select
        unnest(['nps', 'csat', 'ces']) as score,
        unnest(
            numbers(
                nps - $nps_expectation,
                csat - $csat_expectation,
                case when $ces_higher_is_better then ces - $ces_expectation else $ces_expectation - ces end
            )
        ) as x,
        unnest(
            numbers(
                case when nps <= 6 then 1.0 else 0.0 end,
                case when csat <= 2 then 1.0 else 0.0 end,
                case when case when $ces_higher_is_better then ces <= 3 else ces >= 5 end then 1.0 else 0.0 end
            )
        ) as detractor,
        unnest(
            numbers(
                case when nps >= 9 then 1.0 else 0.0 end,
                case when csat >= 4 then 1.0 else 0.0 end,
                case when case when $ces_higher_is_better then ces >= 5 else ces <= 3 end then 1.0 else 0.0 end
            )
        ) as promoter,
        customer_id,
        segment,
        tenure_band,
        month,
        spend_before,
        revenue_6m,
    from windows.answer_month
),
placed as (
    select
        customer_id,
        score,
        segment,
        tenure_band,
        month,
        spend_before,
        revenue_6m,
        least(x, 0.0) as below,
        greatest(x, 0.0) as above,
        detractor,
        promoter,
    from answers
    where x is not null
),
residuals as (
    select
        fit.score,
        fit.scope as segment,
        placed.customer_id,
        placed.below - fit.below_prior * placed.spend_before - fit.below_fitted as below,
        placed.above - fit.above_prior * placed.spend_before - fit.above_fitted as above,
        placed.detractor - fit.detractor_prior * placed.spend_before - fit.detractor_fitted as detractor,
        placed.promoter - fit.promoter_prior * placed.spend_before - fit.promoter_fitted as promoter,
        (
            placed.revenue_6m - fit.below_slope * placed.below - fit.above_slope * placed.above
            - fit.slopes_prior * placed.spend_before - fit.slopes_fitted
        ) / fit.revenue_unit as revenue_by_slopes,
        (
            placed.revenue_6m - fit.detractor_slope * placed.detractor - fit.promoter_slope * placed.promoter
            - fit.bands_prior * placed.spend_before - fit.bands_fitted
        ) / fit.revenue_unit as revenue_by_bands,
    from fitted.asymmetry as fit
    inner join placed
        on
            placed.score = fit.score
            and placed.segment = fit.segment
            and placed.tenure_band = fit.tenure_band
            and placed.month = fit.month
),
customers as (
    select
        score,
        segment,
        customer_id,
        count(*) as answers,
        cast(sum(cast(round(below * revenue_by_slopes * 1e14) as bigint)) as double) / 1e14 as below,
        cast(sum(cast(round(above * revenue_by_slopes * 1e14) as bigint)) as double) / 1e14 as above,
        cast(sum(cast(round(detractor * revenue_by_bands * 1e14) as bigint)) as double) / 1e14 as detractor,
        cast(sum(cast(round(promoter * revenue_by_bands * 1e14) as bigint)) as double) / 1e14 as promoter,
    from residuals
    group by score, segment, customer_id
)
select
    score,
    segment,
    count(*) as customers,
    sum(answers) as answers,
    exact_products(numbers(below, above), numbers(below, above)) as slope_products,
    exact_products(numbers(detractor, promoter), numbers(detractor, promoter)) as band_products,
from customers
group by score, segment
order by score, segment
