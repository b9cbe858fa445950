-- Net value (margin less service cost) of the twelve months after a customer's answer to the NPS question
-- (windows.first_answer), by month and band of the answer and by group of spend before it, as sums of products: of the list
-- 1, month 1, ... month 12 each element with each, so that the first thirteen are customers and sums. Months after the reported
-- one are 0. Beside it, of the segment: customers active in twelve months, what acquired customers cost, who answered as a
-- detractor in three months, and what those spent in twelve months, apart from all others: what is largest_ and absolute_ are amounts
-- without their sign, of the customer with most and of all. A segment without such an answer is one row without a band.
-- grain: segment, band, spend_group, month
with values_after as (
    select
        segment,
        band,
        spend_group,
        month,
        array_prepend(1.0, net_value) as net_value,
        array_prepend(1.0, net_value_raw) as net_value_raw,
    from windows.first_answer
),
sums as (
    select
        segment,
        band,
        spend_group,
        month,
        least($as_of - month, 12) as months_known,
        count(*) as customers,
        exact_products(net_value, net_value) as net_value,
        exact_products(net_value_raw, net_value_raw) as net_value_raw,
    from values_after
    group by segment, band, spend_group, month
),
detractors as (
    select customer_id
    from windows.customer_t3m
    where nps_detractors > 0 and customer_id is not null
),
customers as (
    select
        customer.*,
        detractors.customer_id is not null as is_exposed,
    from windows.customer as customer
    left join detractors on detractors.customer_id = customer.customer_id
    where customer.customer_id is not null
),
segments as (
    select
        segment,
        count(*) filter (where active_t12m) as active_customers,
        count(acquisition_cost) filter (where acquired_month between $as_of - 11 and $as_of) as acquired_customers,
        coalesce(sum(acquisition_cost) filter (where acquired_month between $as_of - 11 and $as_of), 0)
            as acquisition_cost,
        count(*) filter (where is_exposed and lines_t12m > 0) as exposed_customers,
        count(*) filter (where not is_exposed and lines_t12m > 0) as other_customers,
        coalesce(sum(revenue_t12m) filter (where is_exposed), 0) as gross_exposure,
        coalesce(max(abs(revenue_t12m)) filter (where is_exposed), 0) as largest_gross_exposure,
        coalesce(sum(abs(revenue_t12m)) filter (where is_exposed), 0) as absolute_gross_exposure,
        coalesce(max(abs(revenue_t12m)) filter (where not is_exposed), 0) as largest_others,
        coalesce(sum(abs(revenue_t12m)) filter (where not is_exposed), 0) as absolute_others,
    from customers
    group by segment
),
answers as (
    select
        segment,
        count(*) as answering_customers,
        sum(nps_detractors) as score,
        sum(nps_responses) as responses,
        sum(nps_detractors * nps_detractors) as score_squares,
        sum(nps_detractors * nps_responses) as score_responses,
        sum(nps_responses * nps_responses) as responses_squares,
    from windows.customer_t3m
    where nps_responses > 0 and customer_id is not null
    group by segment
)
select
    segments.segment,
    sums.band,
    sums.spend_group,
    sums.month,
    sums.months_known,
    coalesce(sums.customers, 0) as customers,
    sums.net_value,
    sums.net_value_raw,
    segments.active_customers,
    segments.acquired_customers,
    segments.acquisition_cost,
    segments.exposed_customers,
    segments.other_customers,
    segments.gross_exposure,
    segments.largest_gross_exposure,
    segments.absolute_gross_exposure,
    segments.largest_others,
    segments.absolute_others,
    coalesce(answers.answering_customers, 0) as answering_customers,
    coalesce(answers.score, 0) as score,
    coalesce(answers.responses, 0) as responses,
    coalesce(answers.score_squares, 0) as score_squares,
    coalesce(answers.score_responses, 0) as score_responses,
    coalesce(answers.responses_squares, 0) as responses_squares,
from segments
left join answers on answers.segment = segments.segment
left join sums on sums.segment = segments.segment
order by segments.segment, sums.band, sums.spend_group, sums.month
