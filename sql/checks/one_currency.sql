-- All sales are in the currency of the configuration: rows of another one would be added up as if they were the same.
select currency, count(*) as lines
from staging.sales
where currency <> $currency
group by currency
order by currency
