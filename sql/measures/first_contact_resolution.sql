-- First contacts of the last three months, and those that no other followed. A contact is a first one if the same customer had
-- none at the same touchpoint in the seven days before, and resolved if there is none in the seven days after; a contact at
-- the very edge counts, and of several at one instant the first was not resolved. What happened in the last seven days
-- before $known_until cannot be judged yet, and is left out.
-- grain: segment
with contacts as (
    select
        customer_id,
        month,
        occurred_at,
        contacts,
        case
            when lag(customer_id) over contacts_in_order = customer_id
                and lag(touchpoint) over contacts_in_order is not distinct from touchpoint
                then lag(occurred_at) over contacts_in_order
        end as before,
        case
            when lead(customer_id) over contacts_in_order = customer_id
                and lead(touchpoint) over contacts_in_order is not distinct from touchpoint
                then lead(occurred_at) over contacts_in_order
        end as after,
    from facts.service_contact
    where month between $as_of - 3 and $as_of + 1 and occurred_at <= $known_until
    window contacts_in_order as (order by customer_id, touchpoint, occurred_at)
),
judged as (
    select
        customer_id,
        count(*) as responses,
        sum(
            case when contacts = 1 and (after is null or after > occurred_at + interval '7 days') then 1 else 0 end
        ) as score,
    from contacts
    where
        month between $as_of - 2 and $as_of
        and (before is null or before < occurred_at - interval '7 days')
        and occurred_at <= $known_until - interval '7 days'
    group by customer_id
),
scoped as (
    select
        judged.score,
        judged.responses,
        unnest([coalesce(customers.segment, '(unknown)'), '(all)']) as segment,
    from judged
    left join staging.customers as customers on customers.customer_id = judged.customer_id
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
