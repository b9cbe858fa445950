-- Service cost a contact over the last three months: a ratio of sums over customers with a contact. A contact is an
-- interaction with a service cost, zero included. residual_squares is the second pass of the error.
-- grain: segment
with terms as (
    select
        customer_id,
        sum(service_cost) as numerator,
        sum(contacts) as denominator,
    from facts.customer_month
    where month between $as_of - 2 and $as_of and contacts > 0 and customer_id is not null
    group by customer_id
),
scoped as (
    select terms.*, coalesce(customers.segment, '(unknown)') as segment
    from terms
    left join staging.customers as customers on customers.customer_id = terms.customer_id
    union all
    select terms.*, '(all)' as segment
    from terms
),
totals as (
    select
        segment,
        count(*) as customers,
        sum(numerator) as numerator,
        sum(denominator) as denominator,
        cast(sum(numerator) as double) / nullif(cast(sum(denominator) as double), 0) as ratio,
    from scoped
    group by segment
)
select
    totals.segment,
    totals.customers,
    totals.numerator,
    totals.denominator,
    exact_sum(
        power(cast(scoped.numerator as double) - totals.ratio * cast(scoped.denominator as double), 2)
    ) as residual_squares,
from scoped
inner join totals on totals.segment = scoped.segment
group by totals.segment, totals.customers, totals.numerator, totals.denominator
order by totals.segment
