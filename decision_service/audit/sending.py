"""The moment of sending: what was confirmed was allowed then; what was sent without asking is told apart.

A runner that asks just before it sends gets GO or STOP. A GO in spite of a suppression that was in force is the
service's breach. A message that was sent without a GO, or after a STOP, is the runner's, and is listed to be checked
where a suppression was in force by then.
"""

from __future__ import annotations

from typing import Any

from decision_service.audit.facts import Facts, moment
from decision_service.audit.report import Section
from decision_service.audit.suppressions import HISTORY, IN_FORCE, in_spite

CONFIRMATIONS = """
SELECT decision_id, verdict, reason, at_ms, until_ms, log_sequence FROM confirmations WHERE asked
"""

# The latest answer before the message went out; a GO covers it while it holds.
SENT = """
SELECT
    c.decision_id, c.customer_id, c.channel, c.program, c.action, c.sent_ms, c.planned_ms > c.decided_at_ms AS queued,
    c.reported_sequence, k.verdict, k.at_ms AS confirmed_ms, k.log_sequence AS confirmed_sequence,
    coalesce(k.verdict = 'GO' AND c.sent_ms <= k.until_ms, FALSE) AS confirmed
FROM contacts AS c
LEFT JOIN confirmations AS k ON k.decision_id = c.decision_id AND k.at_ms <= c.sent_ms
WHERE c.judged AND c.sent_ms IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY c.decision_id ORDER BY k.log_sequence DESC NULLS LAST) = 1
"""
ASKED = """
SELECT
    decision_id, customer_id, channel, confirmed_ms AS moment_ms, confirmed_sequence AS log_sequence, FALSE AS by_time
FROM sent WHERE confirmed
"""
UNASKED = """
SELECT
    decision_id, customer_id, channel, sent_ms AS moment_ms, reported_sequence AS log_sequence, TRUE AS by_time, verdict
FROM sent WHERE NOT confirmed
"""
STOPPED = "SELECT * FROM sent WHERE verdict = 'STOP' ORDER BY sent_ms, decision_id"


def sending(facts: Facts) -> Section:
    """Messages that went out on a suppressed channel: confirmed by the service, or sent without its word."""
    sent = facts.query(SENT, confirmations=facts.warehouse.query(CONFIRMATIONS))
    history = facts.warehouse.query(HISTORY)
    breaches = facts.query(IN_FORCE, history=history, moments=facts.query(ASKED, sent=sent))
    unasked = facts.query(IN_FORCE, history=history, moments=facts.query(UNASKED, sent=sent))
    stopped = facts.query(STOPPED, sent=sent)
    told = {row["decision_id"] for row in stopped.to_pylist()}
    to_check = (
        *(f"{_stopped(row)}" for row in stopped.to_pylist()),
        *(f"{in_spite(row)}; sent without asking" for row in unasked.to_pylist() if row["decision_id"] not in told),
    )
    confirmed = sent.column("confirmed").to_pylist()
    queued = sum(q and not c for q, c in zip(sent.column("queued").to_pylist(), confirmed, strict=True))
    notes = [f"{sum(confirmed):,} of {sent.num_rows:,} messages were confirmed just before they were sent"]
    notes += [f"{queued:,} messages that quiet hours had queued were sent unconfirmed"] if queued else []
    return facts.section(
        "sending", "messages sent", sent.num_rows, breaches, in_spite, to_check=to_check, notes=tuple(notes)
    )


def _stopped(row: dict[str, Any]) -> str:
    return (
        f"{row['customer_id']}: decision {row['decision_id']} was sent on {row['channel']} {moment(row['sent_ms'])}, "
        f"after a STOP {moment(row['confirmed_ms'])}"
    )
