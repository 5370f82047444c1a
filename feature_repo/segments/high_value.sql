-- Spent at least 500 within the last year.
SELECT customer_id FROM orders WHERE ordered_at BETWEEN $now - INTERVAL 365 DAY AND $now
GROUP BY customer_id
HAVING sum(amount) >= 500
