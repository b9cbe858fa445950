-- Who was in a programme, of the customers that are known: those whom it lists, as treated or held out, or the whole segment that it is for.
-- grain: initiative, customer_id
select
    initiative.initiative,
    initiative.place,
    customer.customer_id,
    assignments.arm,
    cast(date_part('year', assignments.starts_on) * 12 + date_part('month', assignments.starts_on) - 1 as int) as start_month,
from staging.assignments as assignments
inner join windows.initiative as initiative on initiative.initiative = assignments.initiative
inner join windows.customer as customer on customer.customer_id = assignments.customer_id
where coalesce(initiative.target_segment, initiative.target_channel, initiative.target_touchpoint) is null
union all
select
    initiative.initiative,
    initiative.place,
    customer.customer_id,
    'treated' as arm,
    initiative.start_month,
from windows.initiative as initiative
inner join windows.customer as customer on customer.segment = initiative.target_segment
where customer.customer_id is not null
order by initiative, customer_id
