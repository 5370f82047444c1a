"""Views over the warehouse's tables, for BI tools and reports: plain SQL for any engine that reads the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """One documented view; `columns` maps each column, in order, to its meaning."""

    name: str
    description: str
    columns: Mapping[str, str]
    sql: str


DECISION_FACTS = View(
    "decision_facts",
    "One row per decision, with its latest activation and its reward under the program's current reward version. No "
    "comparison of groups: a customer is here under the program that decided, which is no matter of chance.",
    {
        "decision_id": "Id of the decision.",
        "customer_id": "The customer decided on.",
        "program": "Name of the program.",
        "program_version": "Published version of the program.",
        "model_version": "Version of the model that scored; null without one.",
        "decided_at": "When it was decided (UTC).",
        "group": "TREATMENT, RANDOM_CONTROL, BUSINESS_AS_USUAL or HOLDOUT.",
        "learning_mode": "ONLINE, APPRENTICE or LOGGING_ONLY.",
        "policy": "What gave the distribution.",
        "action": "Chosen action, or NO_ACTION.",
        "channel": "Its channel; null for NO_ACTION.",
        "probability": "P(the service chose this action) over the actions of all programs asked, 0–1.",
        "predicted_reward": "The model's estimate, in units of reward.",
        "n_feasible": "Feasible actions, NO_ACTION included.",
        "trainable": "Whether the logged probability is that of the action; not where it was lost in a race.",
        "activated": "Latest activation status; null if none was reported. SENT, DELIVERED and BOUNCED were sent.",
        "activated_at": "When it was sent, delivered, bounced, failed or skipped (UTC).",
        "reward_version": "Version of the reward definition; null before the first join.",
        "reward": "What the bandit learns.",
        "reward_with_late": "The same with late outcomes.",
        "final_at_ms": "From when it can be final (UTC epoch milliseconds): its window and the grace have passed.",
        "matured": "Whether the reward is final; false before the first join.",
        "n_outcomes": "Outcomes in the reward.",
        "n_late": "Outcomes left out as late.",
        "learnable": "Drawn at random, and matured; false before the first join.",
    },
    """
    SELECT
        d.decision_id, d.customer_id, d.program, d.program_version, d.model_version, d.decided_at, d."group",
        d.learning_mode, d.policy, d.action, d.channel, d.probability, d.predicted_reward, d.n_feasible, d.trainable,
        a.status AS activated, a.activated_at,
        r.reward_version, r.reward, r.reward_with_late, r.final_at_ms,
        coalesce(r.matured, FALSE) AS matured,
        coalesce(r.n_outcomes, 0) AS n_outcomes, coalesce(r.n_late, 0) AS n_late,
        coalesce(r.learnable, FALSE) AS learnable
    FROM decisions AS d
    LEFT JOIN (
        SELECT
            decision_id, status,
            coalesce(
                min(CASE WHEN status = 'SENT' THEN activated_at END) OVER (PARTITION BY decision_id), activated_at
            ) AS activated_at
        FROM activations
        QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY received_at_ms DESC, log_sequence DESC) = 1
    ) AS a ON a.decision_id = d.decision_id
    LEFT JOIN (
        SELECT
            rewards.decision_id, rewards.reward_version, rewards.reward, rewards.reward_with_late, rewards.final_at_ms,
            rewards.matured,
            rewards.n_outcomes, rewards.n_late, rewards.learnable
        FROM rewards
        JOIN (SELECT DISTINCT program, reward_version FROM join_state) AS latest
            ON latest.program = rewards.program AND latest.reward_version = rewards.reward_version
    ) AS r ON r.decision_id = d.decision_id
    """,
)

EXCLUSION_FACTS = View(
    "exclusion_facts",
    "One row per action that a decision could not choose.",
    {
        "decision_id": "The decision.",
        "customer_id": "Its customer.",
        "program": "Its program.",
        "decided_at": "When it was decided (UTC).",
        "action": "The excluded action.",
        "reason": "Reason code; docs/reasons.md says what to do about it.",
        "detail": "The cap, rule or channel concerned.",
    },
    """
    SELECT decision_id, customer_id, program, decided_at, e.action, e.reason, e.detail
    FROM (SELECT decision_id, customer_id, program, decided_at, unnest(exclusions) AS e FROM decisions) AS excluded
    """,
)

CANDIDATE_FACTS = View(
    "candidate_facts",
    "One row per decision and program that took part in it.",
    {
        "decision_id": "The decision.",
        "customer_id": "Its customer.",
        "program": "The program.",
        "program_version": "Its published version.",
        "group": "The customer's group in it: TREATMENT, RANDOM_CONTROL, BUSINESS_AS_USUAL or HOLDOUT.",
        "global_holdout": "Whether no program may contact the customer; null where that was not logged.",
        "in_audience": "Whether the program was offered to the customer, whatever the group; null where not logged.",
        "decided": "Whether it was the one that decided.",
        "decided_at": "When it was decided (UTC).",
    },
    """
    SELECT
        decision_id, customer_id, program, program_version, "group", global_holdout, in_audience, TRUE AS decided,
        decided_at
    FROM decisions
    UNION ALL
    SELECT
        decision_id, customer_id, other.program, other.program_version, other."group", global_holdout, in_audience,
        FALSE, decided_at
    FROM (
        SELECT
            decision_id, customer_id, global_holdout, decided_at,
            unnest(others) AS other, unnest(others_in_audience) AS in_audience
        FROM decisions
    ) AS lost
    """,
)

COMPARED_CUSTOMERS = View(
    "compared_customers",
    "The customers whom groups are compared over: of each program with a reward those of `assignments` outside the "
    "global holdout, in their group of it. Where there is a global holdout, also all customers of the service, as "
    "GLOBAL_HOLDOUT and NOT_HELD_OUT, from their first exposure to any program: contacts by other programs may lead "
    "into the audience of this one, so that who was exposed to it would not compare. Whoever was first exposed under "
    "other shares than those of now is left out: a group that grew has newer customers than the others.",
    {
        "program": "Name of the program.",
        "group": "Her group; GLOBAL_HOLDOUT or NOT_HELD_OUT in the comparison of the whole service.",
        "customer_id": "The customer.",
        "first_exposed_at": "From when her outcomes count (UTC).",
        "first_exposed_at_ms": "The same as UTC epoch milliseconds.",
    },
    """
    WITH
    division AS (
        SELECT
            coalesce(ledger_id, '') AS ledger_id, program, version, published_at,
            concat(json_extract_string(document, '$.groups'), nullif(group_ranges, '[]')) AS shares
        FROM program_versions
    ),
    division_now AS (
        SELECT program, shares
        FROM division
        QUALIFY row_number() OVER (PARTITION BY program ORDER BY published_at DESC, version DESC) = 1
    ),
    holdout AS (
        SELECT
            coalesce(ledger_id, '') AS ledger_id, version, published_at,
            coalesce(json_extract_string(document, '$.holdout'), '') AS share
        FROM contact_policy_versions
    ),
    holdout_now AS (SELECT share FROM holdout ORDER BY published_at DESC, version DESC LIMIT 1)
    SELECT a.program, a."group", a.customer_id, a.first_exposed_at, a.first_exposed_at_ms
    FROM assignments AS a
    LEFT JOIN division AS d
        ON d.program = a.program AND d.version = a.program_version AND d.ledger_id = coalesce(a.ledger_id, '')
    LEFT JOIN division_now ON division_now.program = a.program
    WHERE
        a.program IN (SELECT program FROM reward_weights)
        AND a.global_holdout IS DISTINCT FROM TRUE
        AND NOT coalesce(d.shares <> division_now.shares, FALSE)
    UNION ALL
    SELECT rewarded.program, a."group", a.customer_id, a.first_exposed_at, a.first_exposed_at_ms
    FROM (SELECT DISTINCT program FROM reward_weights) AS rewarded
    CROSS JOIN assignments AS a
    LEFT JOIN holdout AS h ON h.version = a.policy_version AND h.ledger_id = coalesce(a.ledger_id, '')
    WHERE
        a.program = '*' AND a."group" IS NOT NULL
        AND EXISTS (SELECT 1 FROM assignments WHERE program = '*' AND global_holdout)
        AND NOT coalesce(
            CASE a.policy_version WHEN 0 THEN '' ELSE h.share END <> (SELECT share FROM holdout_now), FALSE
        )
    """,
)

COMPARED_OUTCOMES = View(
    "compared_outcomes",
    "One row per customer of `compared_customers` and outcome of hers that the program's reward counts and that "
    "occurred after her first exposure, whether anything was sent or not. Each outcome once, however often it was "
    "logged.",
    {
        "program": "Name of the program.",
        "group": "The customer's group, as in `compared_customers`.",
        "customer_id": "The customer.",
        "outcome": "Name of the outcome.",
        "occurred_at": "When it happened (UTC).",
        "occurred_at_ms": "The same as UTC epoch milliseconds.",
        "reward": "What the reward definition in force counts for it, in units of reward; neither aggregated nor "
        "clipped.",
    },
    """
    SELECT
        c.program, c."group", c.customer_id, w.outcome, o.occurred_at, o.occurred_at_ms,
        w.weight * CASE WHEN w.use_value THEN o.value ELSE 1 END AS reward
    FROM compared_customers AS c
    JOIN reward_weights AS w ON w.program = c.program
    JOIN (
        SELECT customer_id, name, occurred_at, occurred_at_ms, value
        FROM outcomes
        QUALIFY row_number() OVER (
            PARTITION BY customer_id, outcome_id, name, channel ORDER BY log_shard, log_sequence
        ) = 1
    ) AS o ON o.customer_id = c.customer_id AND o.name = w.outcome
    WHERE o.occurred_at_ms >= c.first_exposed_at_ms
    """,
)

CUSTOMER_RESULTS = View(
    "customer_results",
    "One row per customer of `compared_customers`: what she brought since her first exposure. The unit in which groups "
    "are compared.",
    {
        "program": "Name of the program.",
        "group": "Her group, as in `compared_customers`.",
        "customer_id": "The customer.",
        "first_exposed_at": "From when her outcomes count (UTC).",
        "reward": "Sum over her outcomes since then, in units of the program's reward; 0 without any.",
        "n_outcomes": "How many they are.",
    },
    """
    SELECT
        c.program, c."group", c.customer_id, c.first_exposed_at,
        coalesce(t.reward, 0) AS reward, coalesce(t.n_outcomes, 0) AS n_outcomes
    FROM compared_customers AS c
    LEFT JOIN (
        SELECT program, "group", customer_id, sum(reward) AS reward, count(*) AS n_outcomes
        FROM compared_outcomes
        GROUP BY ALL
    ) AS t ON t.program = c.program AND t."group" = c."group" AND t.customer_id = c.customer_id
    """,
)

GROUP_RESULTS = View(
    "group_results",
    "One row per program and group: what its customers brought since their first exposure. `nba results` shows it with "
    "the differences and their intervals.",
    {
        "program": "Name of the program.",
        "group": "The group, as in `compared_customers`.",
        "customers": "Customers who were ever exposed.",
        "customers_with_outcome": "Of these, those with an outcome since.",
        "outcomes": "Outcomes since.",
        "mean_reward": "Reward per customer.",
        "standard_error": "Of `mean_reward`; null for a single customer. That of a difference of two groups is the "
        "root of the sum of their squares.",
    },
    """
    SELECT
        program, "group",
        count(*) AS customers,
        count(*) FILTER (n_outcomes > 0) AS customers_with_outcome,
        CAST(sum(n_outcomes) AS BIGINT) AS outcomes,
        avg(reward) AS mean_reward,
        stddev_samp(reward) / sqrt(count(*)) AS standard_error
    FROM customer_results
    GROUP BY ALL
    """,
)

DAILY_RESULTS = View(
    "daily_results",
    "One row per UTC day, program and group: what the customers exposed by the end of that day brought on it. Days on "
    "which nobody of the program was new and nothing happened are left out.",
    {
        "day": "UTC day.",
        "program": "Name of the program.",
        "group": "The group, as in `compared_customers`.",
        "customers": "Customers exposed by the end of the day.",
        "outcomes": "Outcomes of theirs on the day, after their first exposure.",
        "reward": "Their sum, in units of the program's reward.",
        "reward_per_customer": "The same per customer exposed.",
    },
    """
    WITH
    exposed AS (
        SELECT program, "group", CAST(first_exposed_at AS DATE) AS day, count(*) AS customers
        FROM compared_customers
        GROUP BY ALL
    ),
    brought AS (
        SELECT program, "group", CAST(occurred_at AS DATE) AS day, count(*) AS n_outcomes, sum(reward) AS reward
        FROM compared_outcomes
        GROUP BY ALL
    ),
    calendar AS (
        SELECT days.program, days.day, of_program."group"
        FROM (SELECT program, day FROM exposed UNION SELECT program, day FROM brought) AS days
        JOIN (SELECT DISTINCT program, "group" FROM exposed) AS of_program ON of_program.program = days.program
    ),
    daily AS (
        SELECT
            c.day, c.program, c."group",
            CAST(sum(coalesce(e.customers, 0)) OVER (
                PARTITION BY c.program, c."group" ORDER BY c.day
            ) AS BIGINT) AS customers,
            coalesce(b.n_outcomes, 0) AS n_outcomes, coalesce(b.reward, 0) AS reward
        FROM calendar AS c
        LEFT JOIN exposed AS e ON e.program = c.program AND e."group" = c."group" AND e.day = c.day
        LEFT JOIN brought AS b ON b.program = c.program AND b."group" = c."group" AND b.day = c.day
    )
    SELECT
        day, program, "group", customers, n_outcomes AS outcomes, reward, reward / customers AS reward_per_customer
    FROM daily
    WHERE customers > 0
    """,
)

DAILY_VOLUMES = View(
    "daily_volumes",
    "One row per UTC day, program that decided, group and action: how many. No comparison of groups: customers whom "
    "another program decided for are missing from it.",
    {
        "day": "UTC day of the decision.",
        "program": "The program that decided.",
        "group": "The customers' group in it.",
        "action": "Chosen action, or NO_ACTION.",
        "decisions": "Decisions.",
        "sent": "Decisions reported as sent, whatever became of the message.",
        "bounced": "Of these, messages whose delivery failed.",
        "matured": "Decisions whose reward window has passed.",
    },
    """
    SELECT
        CAST(decided_at AS DATE) AS day, program, "group", action,
        count(*) AS decisions,
        count(*) FILTER (activated IN ('SENT', 'DELIVERED', 'BOUNCED')) AS sent,
        count(*) FILTER (activated = 'BOUNCED') AS bounced,
        count(*) FILTER (matured) AS matured
    FROM decision_facts
    GROUP BY ALL
    """,
)

VIEWS: Mapping[str, View] = {
    view.name: view
    for view in (
        DECISION_FACTS,
        EXCLUSION_FACTS,
        CANDIDATE_FACTS,
        COMPARED_CUSTOMERS,
        COMPARED_OUTCOMES,
        CUSTOMER_RESULTS,
        GROUP_RESULTS,
        DAILY_RESULTS,
        DAILY_VOLUMES,
    )
}
