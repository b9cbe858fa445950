-- What it costs to win a customer and to keep one, over the last twelve months: the acquisition cost of those acquired; and
-- the service cost of all customers and the cost of programmes, over the customers active in this year and in the one before. A programme
-- costs its monthly amount for the days that it ran, its last day too, and its one-off amount in the month of its start.
-- grain: segment
with customers as (
    select
        count(*) filter (where acquisition_cost is not null and acquired_month between $as_of - 11 and $as_of)
            as acquired_customers,
        coalesce(sum(acquisition_cost) filter (where acquired_month between $as_of - 11 and $as_of), 0)
            as acquisition_cost,
        count(*) filter (where active_t12m and active_t12m_before) as retained_customers,
        coalesce(sum(service_cost_t12m) filter (where customer_id is not null), 0) as service_cost,
    from windows.customer
),
months as (
    select
        date_part('epoch', make_date(cast(floor(month / 12.0) as int), month % 12 + 1, 1)) / 86400 as first_day,
        date_part('epoch', make_date(cast(floor((month + 1) / 12.0) as int), (month + 1) % 12 + 1, 1)) / 86400 as next_day,
    from (
        select $as_of - before as month
        from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11)) as months (before)
    ) as window_months
),
programmes as (
    select
        date_part('epoch', starts_on) / 86400 as from_day,
        coalesce(date_part('epoch', ends_on) / 86400 + 1, 1e9) as until_day,
        cast(coalesce(cost_per_month, 0) as double) as cost_per_month,
        cast(coalesce(one_off_cost, 0) as double) as one_off_cost,
    from staging.initiatives
),
costs as (
    select
        coalesce(exact_sum(
            programmes.cost_per_month
            * greatest(least(programmes.until_day, months.next_day) - greatest(programmes.from_day, months.first_day), 0)
            / (months.next_day - months.first_day)
            + case
                when programmes.from_day >= months.first_day and programmes.from_day < months.next_day
                    then programmes.one_off_cost
                else 0
            end
        ), 0) as programme_cost,
    from programmes
    cross join months
)
select
    '(all)' as segment,
    customers.acquired_customers,
    customers.acquisition_cost,
    customers.retained_customers,
    customers.service_cost,
    costs.programme_cost,
from customers
cross join costs
