-- Means of the last three months as ratios of sums over customers: effort an answer, service cost a contact and a customer
-- served (one with an interaction or a sale), seconds until a contact was answered, seconds a task, pages and seconds a
-- session. All anonymous sessions are one more customer of (all). residual_squares is the second pass of the error.
-- grain: metric, segment
with sums as (
    select
        facts.customer_id,
        customers.segment,
        sum(ces_sum) as ces_sum,
        sum(ces_responses) as ces_responses,
        sum(service_cost) as service_cost,
        sum(contacts) as contacts,
        sum(response_seconds) as response_seconds,
        sum(responded_contacts) as responded_contacts,
        sum(task_seconds) as task_seconds,
        sum(timed_tasks) as timed_tasks,
        sum(pages_viewed) as pages_viewed,
        sum(sessions) as sessions,
        sum(session_seconds) as session_seconds,
        sum(timed_sessions) as timed_sessions,
    from facts.customer_month as facts
    left join staging.customers as customers on customers.customer_id = facts.customer_id
    where month between $as_of - 2 and $as_of
    group by facts.customer_id, customers.segment
),
terms as (
    select
        sums.customer_id,
        sums.segment,
        metrics.metric,
        cast(case metrics.metric
            when 'ces_mean' then sums.ces_sum
            when 'cost_per_contact' then sums.service_cost
            when 'cost_to_serve' then sums.service_cost
            when 'response_seconds' then sums.response_seconds
            when 'task_seconds' then sums.task_seconds
            when 'pages_per_session' then sums.pages_viewed
            when 'seconds_per_session' then sums.session_seconds
        end as decimal(30, 6)) as numerator,
        case metrics.metric
            when 'ces_mean' then sums.ces_responses
            when 'cost_per_contact' then sums.contacts
            when 'cost_to_serve' then 1
            when 'response_seconds' then sums.responded_contacts
            when 'task_seconds' then sums.timed_tasks
            when 'pages_per_session' then sums.sessions
            when 'seconds_per_session' then sums.timed_sessions
        end as denominator,
    from sums
    cross join (
        values
        ('ces_mean'), ('cost_per_contact'), ('cost_to_serve'), ('response_seconds'), ('task_seconds'),
        ('pages_per_session'), ('seconds_per_session')
    ) as metrics (metric)
    where sums.customer_id is not null or metrics.metric in ('pages_per_session', 'seconds_per_session')
),
scoped as (
    select
        terms.metric,
        terms.numerator,
        terms.denominator,
        unnest(
            case when terms.customer_id is null then ['(all)'] else [coalesce(terms.segment, '(unknown)'), '(all)'] end
        ) as segment,
    from terms
    where terms.denominator > 0
),
totals as (
    select
        metric,
        segment,
        count(*) as customers,
        sum(numerator) as numerator,
        sum(denominator) as denominator,
        cast(sum(numerator) as double) / cast(sum(denominator) as double) as ratio,
    from scoped
    group by metric, segment
)
select
    totals.metric,
    totals.segment,
    totals.customers,
    totals.numerator,
    totals.denominator,
    exact_sum(
        power(cast(scoped.numerator as double) - totals.ratio * cast(scoped.denominator as double), 2)
    ) as residual_squares,
from totals
inner join scoped on scoped.metric = totals.metric and scoped.segment = totals.segment
group by totals.metric, totals.segment, totals.customers, totals.numerator, totals.denominator
order by totals.metric, totals.segment
