-- What customers acquired in the last twelve months cost, of those whose cost is known.
-- residual_squares is the second pass of the error.
-- grain: segment
with acquired as (
    select acquisition_cost, unnest([segment, '(all)']) as segment
    from windows.customer
    where acquisition_cost is not null and acquired_month between $as_of - 11 and $as_of
),
totals as (
    select
        segment,
        count(*) as customers,
        sum(acquisition_cost) as numerator,
        cast(sum(acquisition_cost) as double) / cast(count(*) as double) as mean,
    from acquired
    group by segment
)
select
    totals.segment,
    totals.customers,
    totals.numerator,
    totals.customers as denominator,
    exact_sum(power(cast(acquired.acquisition_cost as double) - totals.mean, 2)) as residual_squares,
from totals
inner join acquired on acquired.segment = totals.segment
group by totals.segment, totals.customers, totals.numerator
order by totals.segment
