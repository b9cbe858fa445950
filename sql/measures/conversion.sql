-- Sessions of the last three months that converted. Where a session does not say so itself, it did if its customer ordered in
-- the 24 hours from its start, each order counting for the latest session before it; what anonymous sessions do not say stays
-- unknown, and they are left out. All anonymous sessions are one more customer of (all).
-- grain: segment
with orders as (
    select customer_id, order_id, min(ordered_at) as ordered_at
    from facts.order_month
    where month between $as_of - 3 and $as_of and positive_lines > 0
    group by customer_id, order_id
),
events as (
    select customer_id, occurred_at, month, undecided_sessions, 0 as orders
    from facts.session
    where month between $as_of - 3 and $as_of
    union all
    select customer_id, ordered_at as occurred_at, cast(null as int) as month, 0 as undecided_sessions, 1 as orders
    from orders
    where (select coalesce(sum(undecided_sessions), 0) from facts.session where month between $as_of - 3 and $as_of) > 0
),
latest as (
    select
        customer_id,
        occurred_at,
        orders,
        max(case when orders = 0 then occurred_at end) over (
            partition by customer_id order by occurred_at, orders rows between unbounded preceding and current row
        ) as session_at,
    from events
),
followed as (
    select customer_id, session_at
    from latest
    where orders = 1 and occurred_at < session_at + interval '24 hours'
    group by customer_id, session_at
),
attributed as (
    select session.customer_id, sum(case when session.undecided_sessions > 0 then 1 else 0 end) as converted
    from facts.session as session
    inner join followed on followed.customer_id = session.customer_id and followed.session_at = session.occurred_at
    where session.month between $as_of - 2 and $as_of
    group by session.customer_id
),
sessions as (
    select
        customer.segment,
        customer.customer_id,
        customer.converted + coalesce(attributed.converted, 0) as score,
        case when customer.customer_id is null then customer.conversion_known else customer.sessions end as responses,
    from windows.customer_t3m as customer
    left join attributed on attributed.customer_id = customer.customer_id
),
scoped as (
    select score, responses, unnest(case when customer_id is null then ['(all)'] else [segment, '(all)'] end) as segment
    from sessions
    where responses > 0
)
select
    segment,
    count(*) as customers,
    sum(score) as score,
    sum(responses) as responses,
    sum(score * score) as score_squares,
    sum(score * responses) as score_responses,
    sum(responses * responses) as responses_squares,
from scoped
group by segment
order by segment
