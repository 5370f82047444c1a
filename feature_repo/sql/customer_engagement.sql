WITH contacts AS (
    SELECT
        customer_id,
        count(*) FILTER (activated_at > $now - INTERVAL 7 DAY) AS contacts_7d,
        count(*) FILTER (activated_at > $now - INTERVAL 30 DAY) AS contacts_30d,
        max(activated_at) AS last_at
    FROM activations
    WHERE status = 'SENT' AND activated_at <= $now
    GROUP BY customer_id
),
responses AS (
    SELECT
        customer_id,
        count(*) FILTER (occurred_at > $now - INTERVAL 30 DAY) AS responses_30d,
        max(occurred_at) AS last_at
    FROM outcomes
    WHERE name NOT IN ('unsubscribe', 'complaint', 'bounce') AND occurred_at <= $now
    GROUP BY customer_id
),
tickets AS (
    SELECT
        customer_id,
        count(*) FILTER (opened_at > $now - INTERVAL 30 DAY) AS tickets_30d,
        max(opened_at) AS last_at,
        arg_max(satisfaction, opened_at) AS last_satisfaction
    FROM support_tickets
    WHERE opened_at <= $now
    GROUP BY customer_id
)
SELECT
    customers.customer_id,
    coalesce(contacts_7d, 0) AS contacts_7d,
    coalesce(contacts_30d, 0) AS contacts_30d,
    date_sub('day', contacts.last_at, $now) AS days_since_contact,
    coalesce(responses_30d, 0) AS responses_30d,
    date_sub('day', responses.last_at, $now) AS days_since_response,
    coalesce(tickets_30d, 0) AS tickets_30d,
    date_sub('day', tickets.last_at, $now) AS days_since_ticket,
    last_satisfaction
FROM customers
LEFT JOIN contacts USING (customer_id)
LEFT JOIN responses USING (customer_id)
LEFT JOIN tickets USING (customer_id)
