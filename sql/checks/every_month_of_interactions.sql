-- There are interactions in every month between the first and the last: a month without any is an export that did not come.
with months as (
    select month, lead(month) over (order by month) as next
    from staging.interactions
    group by month
)
select
    (month + 1) / 12 as missing_from_year,
    (month + 1) % 12 + 1 as missing_from_month,
    next - month - 1 as months,
from months
where next > month + 1
order by month
