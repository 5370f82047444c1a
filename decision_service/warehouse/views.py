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
    "One row per decision, with its latest activation and its reward under the program's current reward version.",
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
        "trainable": "Whether the logged probability is that of the action.",
        "activated": "Latest activation status; null if none was reported. SENT, DELIVERED and BOUNCED were sent.",
        "activated_at": "When it was sent, delivered, bounced, failed or skipped (UTC).",
        "reward_version": "Version of the reward definition; null before the first join.",
        "reward": "What the bandit learns.",
        "reward_with_late": "The same with late outcomes.",
        "matured": "Whether the reward window has passed; false before the first join.",
        "n_outcomes": "Outcomes in the reward.",
        "n_late": "Outcomes left out as late.",
        "learnable": "Trainable, matured, really sent and not bounced; false before the first join.",
    },
    """
    SELECT
        d.decision_id, d.customer_id, d.program, d.program_version, d.model_version, d.decided_at, d."group",
        d.learning_mode, d.policy, d.action, d.channel, d.probability, d.predicted_reward, d.n_feasible, d.trainable,
        a.status AS activated, a.activated_at,
        r.reward_version, r.reward, r.reward_with_late, coalesce(r.matured, FALSE) AS matured,
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
            rewards.decision_id, rewards.reward_version, rewards.reward, rewards.reward_with_late, rewards.matured,
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

DAILY_RESULTS = View(
    "daily_results",
    "One row per UTC day, program, group and action: volumes and mean reward of matured decisions.",
    {
        "day": "UTC day of the decision.",
        "program": "Name of the program.",
        "group": "The customers' group.",
        "action": "Chosen action, or NO_ACTION.",
        "decisions": "Decisions.",
        "sent": "Decisions reported as sent, whatever became of the message.",
        "bounced": "Of these, messages whose delivery failed.",
        "matured": "Decisions whose reward window has passed.",
        "rewarded": "Matured decisions with at least one outcome in the reward.",
        "mean_reward": "Mean reward of matured decisions, whether sent or not; null without any.",
    },
    """
    SELECT
        CAST(decided_at AS DATE) AS day, program, "group", action,
        count(*) AS decisions,
        count(*) FILTER (activated IN ('SENT', 'DELIVERED', 'BOUNCED')) AS sent,
        count(*) FILTER (activated = 'BOUNCED') AS bounced,
        count(*) FILTER (matured) AS matured,
        count(*) FILTER (matured AND n_outcomes > 0) AS rewarded,
        avg(reward) FILTER (matured) AS mean_reward
    FROM decision_facts
    GROUP BY ALL
    """,
)

VIEWS: Mapping[str, View] = {view.name: view for view in (DECISION_FACTS, EXCLUSION_FACTS, DAILY_RESULTS)}
