-- Every customer, of the list or seen in a feed, with what the windows that end with the reported month hold. Active means
-- at least one order line with a positive amount; a window `_before` is the one of the same length next to it, `_year_before`
-- the same months a year earlier. Orders of a window are those with a line of a positive amount in it. Who has no date of
-- acquisition came with the first row in any feed. Rows that name no customer are one row without customer_id. Months of a
-- customer come one after the other, and are numbered as in windows/customer_series, so that customers are grouped one at a time,
-- however many there are.
-- grain: customer_id
with months as (
    select *, row_number() over (order by customer_id) as line
    from facts.customer_history
    where month <= $as_of
),
history as (
    select
        customer_id,
        min(month) as first_month,
        min(case when positive_lines > 0 then month end) as first_order_month,
        min(first_ordered_at) as first_ordered_at,
        sum(case when month > $as_of - 3 then interactions else 0 end) as interactions_t3m,
        sum(case when month > $as_of - 3 then nps_responses + csat_responses + ces_responses else 0 end) as answers_t3m,
        sum(case when month > $as_of - 12 then nps_responses + csat_responses + ces_responses else 0 end)
            as answers_t12m,
        sum(case when month > $as_of - 3 then nps_responses else 0 end) as nps_responses_t3m,
        sum(case when month > $as_of - 3 then nps_promoters - nps_detractors else 0 end) as nps_score_t3m,
        sum(case when month between $as_of - 5 and $as_of - 3 then nps_responses else 0 end)
            as nps_responses_t3m_before,
        sum(case when month between $as_of - 5 and $as_of - 3 then nps_promoters - nps_detractors else 0 end)
            as nps_score_t3m_before,
        sum(case when month > $as_of - 12 then service_cost else 0 end) as service_cost_t12m,
        sum(order_lines) as lines,
        sum(case when month = $as_of then order_lines else 0 end) as lines_month,
        sum(case when month > $as_of - 3 then order_lines else 0 end) as lines_t3m,
        sum(case when month > $as_of - 12 then order_lines else 0 end) as lines_t12m,
        sum(case when month > $as_of - 3 then positive_lines else 0 end) as positive_t3m,
        sum(case when month between $as_of - 5 and $as_of - 3 then positive_lines else 0 end) as positive_t3m_before,
        sum(case when month > $as_of - 6 then positive_lines else 0 end) as positive_t6m,
        sum(case when month between $as_of - 11 and $as_of - 6 then positive_lines else 0 end) as positive_t6m_before,
        sum(case when month > $as_of - 12 then positive_lines else 0 end) as positive_t12m,
        sum(case when month between $as_of - 23 and $as_of - 12 then positive_lines else 0 end)
            as positive_t12m_before,
        sum(case when month = $as_of then revenue else 0 end) as revenue_month,
        sum(case when month > $as_of - 3 then revenue else 0 end) as revenue_t3m,
        sum(case when month between $as_of - 5 and $as_of - 3 then revenue else 0 end) as revenue_t3m_before,
        sum(case when month between $as_of - 14 and $as_of - 12 then revenue else 0 end) as revenue_t3m_year_before,
        sum(case when month > $as_of - 6 then revenue else 0 end) as revenue_t6m,
        sum(case when month between $as_of - 11 and $as_of - 6 then revenue else 0 end) as revenue_t6m_before,
        sum(case when month > $as_of - 12 then revenue else 0 end) as revenue_t12m,
        sum(case when month between $as_of - 23 and $as_of - 12 then revenue else 0 end) as revenue_t12m_before,
    from months
    where line > 0
    group by customer_id
),
orders as (
    select customer_id, order_id, max(month) as last_month
    from facts.order_month
    where month between $as_of - 11 and $as_of and positive_lines > 0
    group by customer_id, order_id
),
ordered as (
    select
        customer_id,
        sum(case when last_month > $as_of - 3 then 1 else 0 end) as orders_t3m,
        count(*) as orders_t12m,
    from orders
    group by customer_id
)
select
    coalesce(history.customer_id, customers.customer_id) as customer_id,
    case
        when history.customer_id is not null or customers.customer_id is not null
            then coalesce(customers.segment, '(unknown)')
    end as segment,
    customers.referred,
    customers.acquisition_cost,
    coalesce(customers.acquired_month, history.first_month) as acquired_month,
    history.first_order_month,
    history.first_ordered_at,
    coalesce(history.interactions_t3m, 0) as interactions_t3m,
    coalesce(history.answers_t3m, 0) as answers_t3m,
    coalesce(history.answers_t12m, 0) as answers_t12m,
    coalesce(history.nps_responses_t3m, 0) as nps_responses_t3m,
    coalesce(history.nps_score_t3m, 0) as nps_score_t3m,
    coalesce(history.nps_responses_t3m_before, 0) as nps_responses_t3m_before,
    coalesce(history.nps_score_t3m_before, 0) as nps_score_t3m_before,
    coalesce(history.service_cost_t12m, 0) as service_cost_t12m,
    coalesce(history.lines, 0) as lines,
    coalesce(history.lines_month, 0) as lines_month,
    coalesce(history.lines_t3m, 0) as lines_t3m,
    coalesce(history.lines_t12m, 0) as lines_t12m,
    coalesce(ordered.orders_t3m, 0) as orders_t3m,
    coalesce(ordered.orders_t12m, 0) as orders_t12m,
    history.customer_id is not null and history.positive_t3m > 0 as active_t3m,
    history.customer_id is not null and history.positive_t3m_before > 0 as active_t3m_before,
    history.customer_id is not null and history.positive_t6m > 0 as active_t6m,
    history.customer_id is not null and history.positive_t6m_before > 0 as active_t6m_before,
    history.customer_id is not null and history.positive_t12m > 0 as active_t12m,
    history.customer_id is not null and history.positive_t12m_before > 0 as active_t12m_before,
    coalesce(history.revenue_month, 0) as revenue_month,
    coalesce(history.revenue_t3m, 0) as revenue_t3m,
    coalesce(history.revenue_t3m_before, 0) as revenue_t3m_before,
    coalesce(history.revenue_t3m_year_before, 0) as revenue_t3m_year_before,
    coalesce(history.revenue_t6m, 0) as revenue_t6m,
    coalesce(history.revenue_t6m_before, 0) as revenue_t6m_before,
    coalesce(history.revenue_t12m, 0) as revenue_t12m,
    coalesce(history.revenue_t12m_before, 0) as revenue_t12m_before,
from history
left join ordered on ordered.customer_id = history.customer_id
full join staging.customers as customers on customers.customer_id = history.customer_id
order by customer_id
