-- Shares of answers, tasks and contacts in the last three months: of the rows that say so, how many are satisfied (4 or 5 of
-- 5), effortless (5 to 7 of 7, or 1 to 3 where a low answer is the good one), successful, in error, abandoned or escalated.
-- Whole-number sums over customers, so that the clustered error and with it the design effect come out exact.
-- grain: metric, segment
with terms as (
    select
        segment,
        unnest([
            'csat_top2', 'ces_top3', 'task_success', 'task_error', 'task_abandonment', 'escalation_rate'
        ]) as metric,
        unnest([csat_top2, ces_top3, tasks_completed, tasks_with_error, tasks_abandoned, escalated]) as score,
        unnest([
            csat_responses, ces_responses, task_completion_known, task_error_known, task_abandonment_known,
            escalation_known
        ]) as responses,
    from windows.customer_t3m
    where customer_id is not null
),
scoped as (
    select
        terms.metric,
        terms.score,
        terms.responses,
        unnest([terms.segment, '(all)']) as segment,
    from terms
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
