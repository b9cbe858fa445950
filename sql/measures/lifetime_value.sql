-- Net value (margin less service cost, both capped) of each of the twelve months after a customer's answer to the NPS
-- question, over the customers for whom that month is known; a month without a row counts as 0. The answer is the first
-- of `windows.first_answer`. Beside it, what acquired customers cost.
-- grain: segment, months_after
with caps as (
    select
        coalesce(max(case when outcome = 'margin' then cap end), 0) as margin,
        coalesce(max(case when outcome = 'service_cost' then cap end), 0) as service_cost,
    from windows.cap
),
spent as (
    select
        answers.segment,
        facts.month - answers.month as months_after,
        sum(
            greatest(least(facts.margin, caps.margin), -caps.margin) - least(facts.service_cost, caps.service_cost)
        ) as capped,
        sum(facts.margin - facts.service_cost) as uncapped,
    from caps
    cross join windows.first_answer as answers
    inner join facts.customer_month as facts on facts.customer_id = answers.customer_id
    where facts.month <= $as_of and facts.month - answers.month between 1 and 12
    group by answers.segment, facts.month - answers.month
),
observed as (
    select answers.segment, months.months_after, count(*) as customers
    from windows.first_answer as answers
    cross join (
        values (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12)
    ) as months (months_after)
    where answers.month + months.months_after <= $as_of
    group by answers.segment, months.months_after
),
scoped as (
    select
        observed.months_after,
        observed.customers,
        coalesce(spent.capped, 0) as net_value,
        coalesce(spent.uncapped, 0) as net_value_raw,
        unnest([observed.segment, '(all)']) as segment,
    from observed
    left join spent on spent.segment = observed.segment and spent.months_after = observed.months_after
),
acquired as (
    select acquisition_cost, unnest([segment, '(all)']) as segment
    from windows.customer
    where acquisition_cost is not null and acquired_month between $as_of - 11 and $as_of
),
costs as (
    select segment, count(*) as acquired_customers, sum(acquisition_cost) as acquisition_cost
    from acquired
    group by segment
)
select
    scoped.segment,
    scoped.months_after,
    sum(scoped.customers) as customers,
    sum(scoped.net_value) as net_value,
    sum(scoped.net_value_raw) as net_value_raw,
    max(coalesce(costs.acquired_customers, 0)) as acquired_customers,
    max(coalesce(costs.acquisition_cost, 0)) as acquisition_cost,
from scoped
left join costs on costs.segment = scoped.segment
group by scoped.segment, scoped.months_after
order by scoped.segment, scoped.months_after
