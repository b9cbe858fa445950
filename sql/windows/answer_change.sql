-- How each customer's score, or number of service contacts, changed from one month with an answer to the next with one, at
-- least two months later, up to three before the reported month, and how revenue around the second differs from revenue around
-- the first: at the same distance from each, from three months before to three after. What is lasting about a customer is in
-- both and falls out. Scores are means of the month; contacts are those of months with an answer to any survey, at least five
-- months apart and with three known months before. Revenue is capped as money for inference is, a month without a row is 0;
-- revenue before history is not known. Answers of a customer come one after the other, so customers are all that is sorted.
-- grain: customer_id, score, month
with caps as (
    select coalesce(max(cap), 0) as revenue
    from windows.cap
    where outcome = 'revenue'
),
places as (
    select monthly_series(place, place) as places
    from (select unnest(range(0, $as_of - $history_from + 1)) as place) as months
),
series as (
    select
        months.customer_id,
        customer.segment,
        (select places from places) as places,
        series_capped(months.revenue, -(select revenue from caps), (select revenue from caps)) as revenue,
        months.nps,
        months.csat,
        months.ces,
        months.contacts,
    from windows.customer as customer
    inner join windows.customer_series as months on months.customer_id = customer.customer_id
),
scored as (
    select
        customer_id,
        segment,
        places,
        revenue,
        unnest(['ces', 'csat', 'nps', 'service_contacts']) as score,
        unnest([ces, csat, nps, contacts]) as answers,
    from series
),
changes as (
    select
        customer_id,
        segment,
        score,
        unnest(series_moments(answers)) as place,
        unnest(series_change(places, answers, 0)) as gap,
        unnest(series_change(answers, answers, 0)) as change,
        unnest(series_change(revenue, answers, -3)) as revenue_lead_3,
        unnest(series_change(revenue, answers, -2)) as revenue_lead_2,
        unnest(series_change(revenue, answers, -1)) as revenue_lead_1,
        unnest(series_change(revenue, answers, 0)) as revenue_0,
        unnest(series_change(revenue, answers, 1)) as revenue_1,
        unnest(series_change(revenue, answers, 2)) as revenue_2,
        unnest(series_change(revenue, answers, 3)) as revenue_3,
    from scored
)
select
    customer_id,
    segment,
    score,
    $history_from + cast(place - gap as int) as month_before,
    $history_from + cast(place as int) as month,
    change,
    revenue_lead_3,
    revenue_lead_2,
    revenue_lead_1,
    revenue_0,
    revenue_1,
    revenue_2,
    revenue_3,
from changes
where
    place <= $as_of - 3 - $history_from
    and gap >= 2
    and (score <> 'service_contacts' or gap >= 5 and revenue_lead_3 is not null)
order by customer_id
