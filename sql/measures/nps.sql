-- Net promoter score of the last three months and of the three before: a customer's score is promoters minus
-- detractors. All sums are whole numbers, so the clustered error and the covariance of customers who answered in
-- both windows come out exact.
-- grain: segment
with scoped as (
    select
        nps_score_t3m as score,
        nps_responses_t3m as responses,
        nps_score_t3m_before as score_before,
        nps_responses_t3m_before as responses_before,
        unnest([segment, '(all)']) as segment,
    from windows.customer
    where nps_responses_t3m + nps_responses_t3m_before > 0 and customer_id is not null
)
select
    segment,
    count(*) as customers,
    count(*) filter (where responses > 0) as customers_now,
    sum(score) as score,
    sum(responses) as responses,
    sum(score * score) as score_squares,
    sum(score * responses) as score_responses,
    sum(responses * responses) as responses_squares,
    count(*) filter (where responses_before > 0) as customers_before,
    sum(score_before) as score_before,
    sum(responses_before) as responses_before,
    sum(score_before * score_before) as score_squares_before,
    sum(score_before * responses_before) as score_responses_before,
    sum(responses_before * responses_before) as responses_squares_before,
    sum(score * score_before) as cross_score_score,
    sum(score * responses_before) as cross_score_responses,
    sum(responses * score_before) as cross_responses_score,
    sum(responses * responses_before) as cross_responses_responses,
from scoped
group by segment
order by segment
