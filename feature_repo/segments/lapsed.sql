-- Bought before, but not in the last 60 days.
SELECT customer_id FROM orders WHERE ordered_at <= $now
GROUP BY customer_id
HAVING max(ordered_at) < $now - INTERVAL 60 DAY
