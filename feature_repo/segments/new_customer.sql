-- Signed up within the last 30 days.
SELECT customer_id FROM customers WHERE signup_at BETWEEN $now - INTERVAL 30 DAY AND $now
