-- Sessions of a month in which any session does not say whether it converted: orders then decide, and may follow in the
-- next month. Where every session says so, this table is empty.
-- grain: month, customer_id, occurred_at
select
    month,
    customer_id,
    occurred_at,
    count(*) as sessions,
    count(*) - count(converted) as undecided_sessions,
from staging.interactions
where
    pages_viewed is not null
    and customer_id is not null
    and month in (
        select month
        from staging.interactions
        where pages_viewed is not null and customer_id is not null and converted is null
    )
group by month, customer_id, occurred_at
order by month, customer_id, occurred_at
