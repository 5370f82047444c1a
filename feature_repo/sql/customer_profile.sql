SELECT
    customer_id,
    country,
    timezone,
    loyalty_tier,
    date_sub('day', signup_at, $now) AS tenure_days,
    email_consent,
    sms_consent,
    push_consent
FROM customers
