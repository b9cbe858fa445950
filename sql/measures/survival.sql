-- How many months customers went on to buy after their answer to the NPS question (windows.first_answer), by the band of the
-- answer: a stay of k months ended in the k-th, the first of $inactivity_months without an order, or was seen to go on until
-- the last month for which that is known. Where the median gap between orders is above 45 days, customers buy too seldom to
-- be told gone so soon.
-- grain: segment, band, months
with stays as (
    select
        segment,
        band,
        least(silent_after, $as_of - $inactivity_months + 1 - month) as months,
        silent_after <= $as_of - $inactivity_months + 1 - month as has_ended,
    from windows.first_answer
    where month < $as_of - $inactivity_months + 1
),
scoped as (
    select unnest([segment, '(all)']) as segment, band, months, has_ended
    from stays
)
select
    segment,
    band,
    months,
    count(*) filter (where has_ended) as ended,
    count(*) filter (where not has_ended) as censored,
    (select 2 * short_gaps < gaps from windows.purchase_gap) as buys_seldom,
from scoped
group by segment, band, months
order by segment, band, months
