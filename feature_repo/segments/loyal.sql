-- At least three orders within the last 180 days.
SELECT customer_id FROM orders WHERE ordered_at BETWEEN $now - INTERVAL 180 DAY AND $now
GROUP BY customer_id
HAVING count(*) >= 3
