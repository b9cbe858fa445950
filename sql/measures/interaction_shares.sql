-- Shares of answers, tasks and contacts in the last three months: of the rows that say so, how many are satisfied (4 or 5 of
-- 5), effortless (5 to 7 of 7, or 1 to 3 where a low answer is the good one), successful, in error, abandoned or escalated.
-- Whole-number sums over customers, so that the clustered error and with it the design effect come out exact.
-- grain: metric, segment
with counts as (
    select
        customer_id,
        sum(csat_top2) as csat_top2,
        sum(csat_responses) as csat_responses,
        sum(ces_top3) as ces_top3,
        sum(ces_responses) as ces_responses,
        sum(tasks_completed) as tasks_completed,
        sum(task_completion_known) as task_completion_known,
        sum(tasks_with_error) as tasks_with_error,
        sum(task_error_known) as task_error_known,
        sum(tasks_abandoned) as tasks_abandoned,
        sum(task_abandonment_known) as task_abandonment_known,
        sum(escalated) as escalated,
        sum(escalation_known) as escalation_known,
    from facts.customer_month
    where month between $as_of - 2 and $as_of and interactions > 0 and customer_id is not null
    group by customer_id
),
terms as (
    select
        counts.customer_id,
        metrics.metric,
        case metrics.metric
            when 'csat_top2' then counts.csat_top2
            when 'ces_top3' then counts.ces_top3
            when 'task_success' then counts.tasks_completed
            when 'task_error' then counts.tasks_with_error
            when 'task_abandonment' then counts.tasks_abandoned
            when 'escalation_rate' then counts.escalated
        end as score,
        case metrics.metric
            when 'csat_top2' then counts.csat_responses
            when 'ces_top3' then counts.ces_responses
            when 'task_success' then counts.task_completion_known
            when 'task_error' then counts.task_error_known
            when 'task_abandonment' then counts.task_abandonment_known
            when 'escalation_rate' then counts.escalation_known
        end as responses,
    from counts
    cross join (
        values
        ('csat_top2'), ('ces_top3'), ('task_success'), ('task_error'), ('task_abandonment'), ('escalation_rate')
    ) as metrics (metric)
),
scoped as (
    select
        terms.metric,
        terms.score,
        terms.responses,
        unnest([coalesce(customers.segment, '(unknown)'), '(all)']) as segment,
    from terms
    left join staging.customers as customers on customers.customer_id = terms.customer_id
    where terms.responses > 0
)
select
    metric,
    segment,
    count(*) as customers,
    sum(score) as score,
    sum(responses) as responses,
    sum(score * score) as score_squares,
    sum(score * responses) as score_responses,
    sum(responses * responses) as responses_squares,
from scoped
group by metric, segment
order by metric, segment
