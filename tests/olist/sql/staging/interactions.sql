-- Reviews of Olist, one row an answered review of an order, its score a satisfaction answer from 1 to 5.
-- A review happens when the customer answers: review_creation_date is the day on which the question was sent.
-- Some answers stand under one review_id at two orders of the same person. Each is the review of its order and counts; only
-- the same review_id at the same order is a copy. The intervals know that both came from one customer.
select
    people.customer_unique_id as customer_id,
    reviews.review_answer_timestamp as occurred_at,
    reviews.review_id || '/' || reviews.order_id as interaction_id,
    reviews.review_score as csat,
from raw.interactions as reviews
left join raw.orders as orders on orders.order_id = reviews.order_id
left join raw.customers as people on people.customer_id = orders.customer_id
