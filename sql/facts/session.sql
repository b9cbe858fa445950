-- Sessions of a month in which any session does not say whether it converted: orders then decide, and may follow in the
-- next month. Where every session says so, this table is empty.
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
inner join staging.interactions as sessions on sessions.month = undecided.month
where sessions.pages_viewed is not null and sessions.customer_id is not null
group by sessions.month, sessions.customer_id, sessions.occurred_at
order by sessions.month, sessions.customer_id, sessions.occurred_at
