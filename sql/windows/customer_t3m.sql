-- What each customer with an interaction or a sale did in the last three months: sums of facts.customer_month. Rows that name
-- no customer are one row without customer_id and segment.
-- grain: customer_id
with sums as (
    select
        customer_id,
        sum(nps_responses) as nps_responses,
        sum(nps_detractors) as nps_detractors,
        sum(csat_responses) as csat_responses,
        sum(csat_top2) as csat_top2,
        sum(ces_responses) as ces_responses,
        sum(ces_sum) as ces_sum,
        sum(ces_top3) as ces_top3,
        sum(contacts) as contacts,
        sum(service_cost) as service_cost,
        sum(responded_contacts) as responded_contacts,
        sum(response_seconds) as response_seconds,
        sum(escalation_known) as escalation_known,
        sum(escalated) as escalated,
        sum(sessions) as sessions,
        sum(pages_viewed) as pages_viewed,
        sum(timed_sessions) as timed_sessions,
        sum(session_seconds) as session_seconds,
        sum(conversion_known) as conversion_known,
        sum(converted) as converted,
        sum(task_completion_known) as task_completion_known,
        sum(tasks_completed) as tasks_completed,
        sum(task_error_known) as task_error_known,
        sum(tasks_with_error) as tasks_with_error,
        sum(task_abandonment_known) as task_abandonment_known,
        sum(tasks_abandoned) as tasks_abandoned,
        sum(timed_tasks) as timed_tasks,
        sum(task_seconds) as task_seconds,
    from facts.customer_month
    where month between $as_of - 2 and $as_of
    group by customer_id
)
select
    sums.*,
    case when sums.customer_id is not null then coalesce(customers.segment, '(unknown)') end as segment,
from sums
left join staging.customers as customers on customers.customer_id = sums.customer_id
order by customer_id
