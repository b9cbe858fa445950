-- Means of the last three months as ratios of sums over customers: effort an answer, service cost a contact and a customer
-- served (one with an interaction or a sale), seconds until a contact was answered, seconds a task, pages and seconds a
-- session. All anonymous sessions are one more customer of (all). residual_squares is the second pass of the error.
-- What is largest_ and absolute_ is as in measures/revenue.
-- grain: metric, segment
with terms as (
    select
        customer_id,
        segment,
        unnest([
            'ces_mean', 'cost_per_contact', 'cost_to_serve', 'response_seconds', 'task_seconds', 'pages_per_session',
            'seconds_per_session'
        ]) as metric,
        unnest([
            cast(ces_sum as decimal(30, 6)), service_cost, service_cost, response_seconds, task_seconds, pages_viewed,
            session_seconds
        ]) as numerator,
        unnest([
            ces_responses, contacts, 1, responded_contacts, timed_tasks, sessions, timed_sessions
        ]) as denominator,
    from windows.customer_t3m
),
scoped as (
    select
        terms.metric,
        terms.numerator,
        terms.denominator,
        unnest(case when terms.customer_id is null then ['(all)'] else [terms.segment, '(all)'] end) as segment,
    from terms
    where
        terms.denominator > 0
        and (terms.customer_id is not null or terms.metric in ('pages_per_session', 'seconds_per_session'))
),
totals as (
    select
        metric,
        segment,
        count(*) as customers,
        sum(numerator) as numerator,
        sum(denominator) as denominator,
        max(abs(numerator)) as largest_numerator,
        sum(abs(numerator)) as absolute_numerator,
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
    totals.largest_numerator,
    totals.absolute_numerator,
    exact_sum(
        power(cast(scoped.numerator as double) - totals.ratio * cast(scoped.denominator as double), 2)
    ) as residual_squares,
from totals
inner join scoped on scoped.metric = totals.metric and scoped.segment = totals.segment
group by
    totals.metric, totals.segment, totals.customers, totals.numerator, totals.denominator, totals.largest_numerator,
    totals.absolute_numerator
order by totals.metric, totals.segment
