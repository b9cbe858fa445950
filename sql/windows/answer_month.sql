-- A customer's months with an answer to a survey, from six months after the customer came and history began up to six
-- months before the reported one, with what the customer spent and cost around them: one fixed sample for all lags.
-- Scores are means of the month, contacts its service contacts. Money is capped as money for inference is, unless it is
-- raw, and a month without a row is 0. Spend before is the monthly mean of the three months before the answer, the
-- placebo that of the three months before these, which no answer can have moved. The customer's first answer to each
-- survey is marked.
-- Months of a customer come one after the other, so that only customers are sorted.
-- grain: customer_id, month
with caps as (
    select
        coalesce(max(cap) filter (where outcome = 'revenue'), 0) as revenue,
        coalesce(max(cap) filter (where outcome = 'service_cost'), 0) as service_cost,
    from windows.cap
),
eligible as (
    select
        series.customer_id,
        customer.segment,
        customer.acquired_month,
        greatest(6, customer.acquired_month + 6 - $history_from) as place,
        series_capped(series.revenue, -(select revenue from caps), (select revenue from caps)) as revenue,
        series.revenue as revenue_raw,
        series_capped(series.service_cost, null, (select service_cost from caps)) as service_cost,
        series.active,
        series.nps,
        series.csat,
        series.ces,
        series.contacts,
    from windows.customer as customer
    inner join windows.customer_series as series on series.customer_id = customer.customer_id
    where customer.acquired_month is not null
),
around as (
    select
        customer_id,
        segment,
        acquired_month,
        $history_from + place as first_month,
        $history_from + series_first(nps, place) as first_nps_month,
        $history_from + series_first(csat, place) as first_csat_month,
        $history_from + series_first(ces, place) as first_ces_month,
        unnest(range($history_from + 6, $as_of - 5)) as month,
        unnest(nps[7:$as_of - $history_from - 5]) as nps,
        unnest(csat[7:$as_of - $history_from - 5]) as csat,
        unnest(ces[7:$as_of - $history_from - 5]) as ces,
        unnest(contacts[7:$as_of - $history_from - 5]) as contacts,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, -3, -1)) as spend_before,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, -6, -4)) as placebo,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 0, 0)) as revenue_0,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 1, 1)) as revenue_1,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 2, 2)) as revenue_2,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 3, 3)) as revenue_3,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 4, 4)) as revenue_4,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 5, 5)) as revenue_5,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 6, 6)) as revenue_6,
        unnest(moving_sums(revenue, 6, $as_of - $history_from - 6, 1, 6)) as revenue_6m,
        unnest(moving_sums(revenue_raw, 6, $as_of - $history_from - 6, 1, 6)) as revenue_6m_raw,
        unnest(moving_sums(active, 6, $as_of - $history_from - 6, 1, 6)) as active_6m,
        unnest(moving_sums(service_cost, 6, $as_of - $history_from - 6, 1, 6)) as service_cost_6m,
    from eligible
)
select
    customer_id,
    segment,
    case when month - acquired_month < 12 then 0 when month - acquired_month < 24 then 1 else 2 end as tenure_band,
    cast(month as int) as month,
    nps,
    csat,
    ces,
    contacts,
    coalesce(month = first_nps_month, false) as is_first_nps,
    coalesce(month = first_csat_month, false) as is_first_csat,
    coalesce(month = first_ces_month, false) as is_first_ces,
    cast(cast(spend_before as decimal(30, 4)) as double) / 3 as spend_before,
    cast(cast(placebo as decimal(30, 4)) as double) / 3 as placebo,
    revenue_0,
    revenue_1,
    revenue_2,
    revenue_3,
    revenue_4,
    revenue_5,
    revenue_6,
    cast(cast(revenue_6m as decimal(30, 4)) as double) / 6 as revenue_6m,
    cast(cast(revenue_6m_raw as decimal(30, 4)) as double) / 6 as revenue_6m_raw,
    case when active_6m > 0 then 1.0 else 0.0 end as active_6m,
    cast(cast(service_cost_6m as decimal(30, 4)) as double) / 6 as service_cost_6m,
from around
where month >= first_month and coalesce(nps, csat, ces) is not null
order by customer_id
