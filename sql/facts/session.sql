-- Sessions of a month in which any session does not say whether it converted: orders then decide. Where every session says
-- so, those of the first day remain, whatever the time zone: an order in it follows them, and not one of the month before.
-- grain: month, customer_id, occurred_at
with undecided as (
    select month
    from staging.interactions
    where pages_viewed is not null and customer_id is not null and converted is null
    group by month
)
select
    sessions.month,
    sessions.customer_id,
    sessions.occurred_at,
    count(*) as sessions,
    count(*) - count(sessions.converted) as undecided_sessions,
from undecided
right join staging.interactions as sessions on sessions.month = undecided.month
where
    sessions.pages_viewed is not null
    and sessions.customer_id is not null
    and (
        undecided.month is not null
        or sessions.occurred_at
        < cast(make_date(cast(floor(sessions.month / 12.0) as int), sessions.month % 12 + 1, 1) as timestamp)
        + interval '38 hours'
    )
group by sessions.month, sessions.customer_id, sessions.occurred_at
order by sessions.month, sessions.customer_id, sessions.occurred_at
