-- The answer to the NPS question from which each customer's later value is told: the first from the fourth month of history
-- and from three months after the customer came, so that there is a past to compare with, and before the reported month.
-- grain: customer_id
select customer.customer_id, customer.segment, min(facts.month) as month
from windows.customer as customer
inner join facts.customer_month as facts on facts.customer_id = customer.customer_id
where
    facts.nps_responses > 0
    and facts.month between $history_from + 3 and $as_of - 1
    and customer.acquired_month <= facts.month - 3
group by customer.customer_id, customer.segment
order by customer_id
