"""Suppression by outcome: nobody is contacted on a channel after an outcome that stopped it, until it ends.

Lifting a suppression is not logged. So a contact after a suppressing outcome is a violation only where a later
decision proves that the suppression was still in force; else it is to be checked. Suppressions by API are not logged
either, and not judged.
"""

from __future__ import annotations

from typing import Any

from decision_service.audit.facts import Facts, moment
from decision_service.audit.report import Section

SETTLED_MS = 5_000
"""A publication is in force everywhere after a second; outcomes within this time of one are left out."""

OUTCOMES = """
SELECT customer_id, outcome_id, name, channel, occurred_at_ms, received_at_ms, log_sequence
FROM outcomes
WHERE list_contains($names, name)
"""

# Which suppressions an outcome brought follows from the policy in force when it was received.
SUPPRESSIONS = f"""
WITH published AS (
    SELECT max(ledger) AS ledger, version, published_ms
    FROM policies WHERE published_ms IS NOT NULL GROUP BY version, published_ms
),
in_force AS (
    SELECT *, lead(published_ms) OVER (ORDER BY published_ms, version) AS replaced_ms FROM published
)
SELECT
    o.*, CASE WHEN r.all_channels OR o.channel IS NULL THEN '*' ELSE o.channel END AS stopped,
    o.occurred_at_ms + r.for_ms AS until_ms, r.version AS policy_version
FROM outcomes AS o
JOIN in_force AS p
    ON o.received_at_ms >= p.published_ms + {SETTLED_MS}
    AND (p.replaced_ms IS NULL OR o.received_at_ms < p.replaced_ms)
JOIN suppress_on AS r ON r.ledger = p.ledger AND r.version = p.version AND r.outcome = o.name
"""

AFTER = """
SELECT
    c.decision_id, c.customer_id, c.channel, c.decided_at_ms, c.log_sequence, s.outcome_id, s.name,
    s.log_sequence AS suppressed_at, s.received_at_ms, s.until_ms, s.policy_version
FROM contacts AS c
JOIN suppressions AS s
    ON s.customer_id = c.customer_id AND s.log_sequence < c.log_sequence
    AND s.stopped IN ('*', c.channel)
    AND (s.until_ms IS NULL OR c.decided_at_ms < s.until_ms)
WHERE c.judged
QUALIFY row_number() OVER (PARTITION BY c.decision_id ORDER BY s.log_sequence DESC) = 1
"""

# The proof: a later decision still excluded something for this outcome, and there was no other outcome of the name.
EXCLUDED = """
SELECT DISTINCT customer_id, log_sequence, decided_at_ms, e.detail
FROM (
    SELECT customer_id, log_sequence, decided_at_ms, unnest(exclusions) AS e
    FROM decisions
    WHERE list_contains($customers, customer_id)
)
WHERE e.reason = 'SUPPRESSED_BY_OUTCOME'
"""
PROVEN = """
SELECT
    a.*,
    bool_or(e.log_sequence IS NOT NULL AND o.log_sequence IS NULL) AS proven
FROM contacted_after AS a
LEFT JOIN excluded AS e
    ON e.customer_id = a.customer_id AND e.detail = a.name AND e.log_sequence > a.log_sequence
    AND (a.until_ms IS NULL OR e.decided_at_ms < a.until_ms)
LEFT JOIN suppressions AS o
    ON o.customer_id = a.customer_id AND o.name = a.name AND o.outcome_id <> a.outcome_id
    AND o.log_sequence < e.log_sequence
GROUP BY ALL
"""
BROKEN = "SELECT * FROM judged WHERE proven ORDER BY log_sequence, decision_id"
OPEN = "SELECT * FROM judged WHERE NOT proven ORDER BY log_sequence, decision_id"


def suppressions(facts: Facts) -> Section:
    """Contacts decided after an outcome that suppressed their channel."""
    names = sorted(set(facts.rules.tables["suppress_on"].column("outcome").to_pylist()))
    outcomes = facts.warehouse.query(OUTCOMES, {"names": names})
    found = facts.query(SUPPRESSIONS, outcomes=outcomes)
    after = facts.query(AFTER, suppressions=found)
    customers = sorted(set(after.column("customer_id").to_pylist()))
    excluded = facts.warehouse.query(EXCLUDED, {"customers": customers})
    judged = facts.query(PROVEN, contacted_after=after, excluded=excluded, suppressions=found)
    unproven = facts.query(OPEN, judged=judged)
    to_check = tuple(
        f"{_contacted(row)}; right only if the suppression had been lifted, which is not logged"
        for row in unproven.to_pylist()
    )
    return facts.section(
        "suppression", "suppressing outcomes", found.num_rows, facts.query(BROKEN, judged=judged), _contacted,
        to_check=to_check,
    )  # fmt: skip


def _contacted(row: dict[str, Any]) -> str:
    return (
        f"{row['customer_id']}: decision {row['decision_id']} of {moment(row['decided_at_ms'])} contacts on "
        f"{row['channel']}, which {row['name']} {row['outcome_id']!r} stopped {moment(row['received_at_ms'])}"
    )
