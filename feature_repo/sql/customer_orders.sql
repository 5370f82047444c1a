WITH past AS (
    SELECT * FROM orders WHERE ordered_at <= $now
),
favourite AS (
    -- The category bought most often; the alphabet breaks ties, so that rebuilding changes nothing.
    SELECT customer_id, category
    FROM past
    WHERE category IS NOT NULL
    GROUP BY customer_id, category
    QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY count(*) DESC, category) = 1
),
totals AS (
    SELECT
        customer_id,
        count(*) AS orders_total,
        count(*) FILTER (ordered_at > $now - INTERVAL 30 DAY) AS orders_30d,
        sum(amount) FILTER (ordered_at > $now - INTERVAL 30 DAY) AS spend_30d,
        sum(amount) FILTER (ordered_at > $now - INTERVAL 365 DAY) AS spend_365d,
        avg(amount) AS average_order_value,
        max(ordered_at) AS last_ordered_at
    FROM past
    GROUP BY customer_id
)
SELECT
    customers.customer_id,
    coalesce(orders_total, 0) AS orders_total,
    coalesce(orders_30d, 0) AS orders_30d,
    -- Rounded to the cent: the order of summation must not look like a changed value.
    round(coalesce(spend_30d, 0), 2) AS spend_30d,
    round(coalesce(spend_365d, 0), 2) AS spend_365d,
    round(average_order_value, 2) AS average_order_value,
    date_sub('day', last_ordered_at, $now) AS days_since_order,
    favourite.category AS favourite_category
FROM customers
LEFT JOIN totals USING (customer_id)
LEFT JOIN favourite USING (customer_id)
