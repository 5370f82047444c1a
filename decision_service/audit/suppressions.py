"""Suppression: nobody is contacted on a channel while it is suppressed, by hand or by an outcome.

The history of suppressions and liftings tells. Outcomes from before that was logged are judged by the policy of their
time: a contact after one is a violation only where a later decision proves that the suppression was still in force;
else it is to be checked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from decision_service.audit.facts import Facts, moment
from decision_service.audit.report import Section

SETTLED_MS = 5_000
"""A publication is in force everywhere after a second; outcomes within this time of one are left out."""

OUTCOMES = """
SELECT customer_id, outcome_id, name, channel, occurred_at_ms, received_at_ms, log_sequence
FROM outcomes
WHERE list_contains($names, name)
    AND received_at_ms < (
        SELECT coalesce(min(at_ms), 9223372036854775807) FROM contact_preferences WHERE kind <> 'PAUSE'
    )
"""

HISTORY = """
SELECT customer_id, kind, channel, reason, at_ms, until_ms, author, note, log_sequence
FROM contact_preferences
WHERE kind <> 'PAUSE'
"""

# Of each channel and reason the latest entry before a moment holds; a lifting ends both reasons of its channel.
IN_FORCE = """
WITH entries AS (
    SELECT *, unnest(CASE kind WHEN 'LIFT' THEN ['SUPPRESSED', 'SUPPRESSED_BY_OUTCOME'] ELSE [reason] END) AS holds
    FROM history
),
latest AS (
    SELECT m.*, e.kind, e.channel AS stopped, e.holds, e.at_ms AS since_ms, e.until_ms, e.note,
        e.log_sequence AS entry_sequence
    FROM moments AS m
    JOIN entries AS e
        ON e.customer_id = m.customer_id AND e.channel IN ('*', m.channel) AND e.log_sequence < m.log_sequence
        AND (NOT m.by_time OR e.at_ms <= m.moment_ms)
    QUALIFY row_number() OVER (PARTITION BY m.decision_id, e.channel, e.holds ORDER BY e.log_sequence DESC) = 1
)
SELECT * FROM latest
WHERE kind = 'SUPPRESS' AND (until_ms IS NULL OR until_ms > moment_ms)
QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY entry_sequence) = 1
ORDER BY moment_ms, decision_id
"""
"""Of `moments` (decision_id, customer_id, channel, moment_ms, log_sequence, by_time), those of a suppressed channel.

The order of the log tells what the service knew; `by_time`: of what was done elsewhere, the time tells more.
"""

DECIDED = """
SELECT decision_id, customer_id, channel, decided_at_ms AS moment_ms, log_sequence, FALSE AS by_time
FROM contacts WHERE judged
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
    """Contacts decided while their channel was suppressed."""
    names = sorted(set(facts.rules.tables["suppress_on"].column("outcome").to_pylist()))
    outcomes = facts.warehouse.query(OUTCOMES, {"names": names})
    found = facts.query(SUPPRESSIONS, outcomes=outcomes)
    after = facts.query(AFTER, suppressions=found)
    customers = sorted(set(after.column("customer_id").to_pylist()))
    excluded = facts.warehouse.query(EXCLUDED, {"customers": customers})
    judged = facts.query(PROVEN, contacted_after=after, excluded=excluded, suppressions=found)
    unproven = facts.query(OPEN, judged=judged)
    to_check = tuple(
        f"{_contacted(row)}; right only if the suppression had been lifted, which was not logged then"
        for row in unproven.to_pylist()
    )
    history = facts.warehouse.query(HISTORY)
    decided = facts.query(IN_FORCE, history=history, moments=facts.query(DECIDED))
    old = facts.query(BROKEN, judged=judged)
    section = facts.section("suppression", "suppressions", history.num_rows + found.num_rows, decided, in_spite)
    shown = (*section.first, *map(_contacted, old.slice(0, facts.asked.shown).to_pylist()))
    return replace(
        section, violations=decided.num_rows + old.num_rows, first=shown[: facts.asked.shown], to_check=to_check
    )


def in_spite(row: dict[str, Any]) -> str:
    """A contact in spite of a suppression, in words."""
    return (
        f"{row['customer_id']}: decision {row['decision_id']} contacts on {row['channel']} {moment(row['moment_ms'])}, "
        f"though {row['holds']} since {moment(row['since_ms'])}" + (f" ({row['note']})" if row["note"] else "")
    )


def _contacted(row: dict[str, Any]) -> str:
    return (
        f"{row['customer_id']}: decision {row['decision_id']} of {moment(row['decided_at_ms'])} contacts on "
        f"{row['channel']}, which {row['name']} {row['outcome_id']!r} stopped {moment(row['received_at_ms'])}"
    )
