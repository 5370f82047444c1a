-- One row per customer: an empty list says "in no segment", which is not the same as unknown.
SELECT
    customers.customer_id,
    coalesce(list(segment ORDER BY segment) FILTER (segment IS NOT NULL), []) AS segments
FROM customers
LEFT JOIN segment_membership USING (customer_id)
GROUP BY customers.customer_id
