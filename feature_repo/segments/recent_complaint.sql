-- Opened a ticket within the last 14 days that is still open, or that left them dissatisfied.
SELECT customer_id FROM support_tickets
WHERE opened_at BETWEEN $now - INTERVAL 14 DAY AND $now AND coalesce(satisfaction, 1) <= 2
