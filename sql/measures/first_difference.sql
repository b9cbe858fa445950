-- How changes of a score go with changes of revenue around them: sums for the regression of revenue three months before to
-- three months after an answer, less the same around the answer before, on the change of the score, with both months held equal
-- (functions/stats/src/regression.rs). Of the list 1, change of the score each element with each of that list and the revenues;
-- the change is less its mean, so that nothing is lost in the subtraction, and has a unit as in measures/association. The
-- models `_gap5` are of answers at least five months apart with three known months before both: around others the same months'
-- revenue is on both sides. In the models of all, revenue that is not known is 0, and the leads are not looked at.
-- grain: score, segment, month_before, month
with changes as (
    select
        unnest(
            case
                when score = 'service_contacts' then [score || '_gap5']
                when month - month_before >= 5 and revenue_lead_3 is not null then [score, score || '_gap5']
                else [score]
            end
        ) as model,
        *,
    from windows.answer_change
),
means as (
    select model, exact_sum(change) / count(*) as change, greatest(1.0, max(abs(change)) / 10) as unit
    from changes
    group by model
),
centred as (
    select
        changes.model as score,
        changes.segment,
        changes.month_before,
        changes.month,
        means.change as mean_change,
        means.unit as change_unit,
        numbers(1.0, changes.change - means.change) as numbers,
        numbers(
            1.0, changes.change - means.change,
            coalesce(revenue_lead_3, 0.0), coalesce(revenue_lead_2, 0.0), coalesce(revenue_lead_1, 0.0),
            revenue_0, revenue_1, revenue_2, revenue_3
        ) as numbers_and_outcomes,
    from means
    inner join changes on changes.model = means.model
)
select
    score,
    segment,
    month_before,
    month,
    mean_change,
    change_unit,
    (select max(cap) from windows.cap where outcome = 'revenue') as revenue_cap,
    exact_products(numbers, numbers_and_outcomes) as products,
from centred
group by score, segment, month_before, month, mean_change, change_unit
order by score, segment, month_before, month
