WITH contacts AS (
    SELECT
        customer_id,
        count(*) FILTER (at_ms > $now_ms - 7 * 86400000) AS contacts_7d,
        count(*) FILTER (at_ms > $now_ms - 30 * 86400000) AS contacts_30d,
        max(at_ms) AS last_ms
    FROM activations
    WHERE status = 'SENT' AND at_ms <= $now_ms
    GROUP BY customer_id
),
responses AS (
    SELECT
        customer_id,
        count(*) FILTER (occurred_at_ms > $now_ms - 30 * 86400000) AS responses_30d,
        max(occurred_at_ms) AS last_ms
    FROM outcomes
    WHERE name NOT IN ('unsubscribe', 'complaint', 'bounce') AND occurred_at_ms <= $now_ms
    GROUP BY customer_id
),
tickets AS (
    SELECT
        customer_id,
        count(*) FILTER (opened_at > $now - INTERVAL 30 DAY) AS tickets_30d,
        max(opened_at) AS last_opened_at,
        arg_max(satisfaction, opened_at) AS last_satisfaction
    FROM support_tickets
    WHERE opened_at <= $now
    GROUP BY customer_id
)
SELECT
    customers.customer_id,
    coalesce(contacts_7d, 0) AS contacts_7d,
    coalesce(contacts_30d, 0) AS contacts_30d,
    ($now_ms - contacts.last_ms) // 86400000 AS days_since_contact,
    coalesce(responses_30d, 0) AS responses_30d,
    ($now_ms - responses.last_ms) // 86400000 AS days_since_response,
    coalesce(tickets_30d, 0) AS tickets_30d,
    date_sub('day', last_opened_at, $now) AS days_since_ticket,
    last_satisfaction
FROM customers
LEFT JOIN contacts USING (customer_id)
LEFT JOIN responses USING (customer_id)
LEFT JOIN tickets USING (customer_id)
