-- Every buyer has a row in customers; those without are reported under the segment (unknown).
select sales.customer_id, count(*) as lines, sum(sales.amount) as amount
from staging.sales as sales
left join staging.customers as customers on customers.customer_id = sales.customer_id
where sales.customer_id is not null and customers.customer_id is null
group by sales.customer_id
order by sales.customer_id
