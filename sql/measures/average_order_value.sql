-- Average order value of the last three months: net revenue by orders, a ratio of sums over customers with a sale.
-- residual_squares is the second pass of the error.
-- What is largest_ and absolute_ is as in measures/revenue.
-- grain: segment
with scoped as (
    select
        revenue_t3m as numerator,
        orders_t3m as denominator,
        unnest([segment, '(all)']) as segment,
    from windows.customer
    where lines_t3m > 0 and customer_id is not null
),
totals as (
    select
        segment,
        count(*) as customers,
        sum(numerator) as numerator,
        sum(denominator) as denominator,
        max(abs(numerator)) as largest_numerator,
        sum(abs(numerator)) as absolute_numerator,
        cast(sum(numerator) as double) / nullif(cast(sum(denominator) as double), 0) as ratio,
    from scoped
    group by segment
)
select
    totals.segment,
    totals.customers,
    totals.numerator,
    totals.denominator,
    totals.largest_numerator,
    totals.absolute_numerator,
    exact_sum(
        power(cast(scoped.numerator as double) - totals.ratio * cast(scoped.denominator as double), 2)
    ) as residual_squares,
from totals
inner join scoped on scoped.segment = totals.segment
group by
    totals.segment, totals.customers, totals.numerator, totals.denominator, totals.largest_numerator, totals.absolute_numerator
order by totals.segment
