"""Consent: nobody is contacted on a channel without it, by the features and context that were logged. Consent that
could not be read is none. It is judged when a contact is decided, and again when a runner is told that it may be sent.
"""

from __future__ import annotations

from typing import Any

from decision_service.audit.facts import UNREAD, Facts, is_unread, moment
from decision_service.audit.report import Section

GIVEN = f"""
SELECT decision_id, features_json, context_json, {UNREAD} AS unread, policy_version, decided_at_ms AS moment_ms
FROM decisions
WHERE action <> 'NO_ACTION' AND decided_at_ms >= $from_ms AND decided_at_ms < $until_ms
    AND (program = $program OR $program = '') AND list_contains($channels, channel)
QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY log_sequence) = 1
"""

# A version is logged by releases that log what they read.
CONFIRMED = f"""
SELECT k.decision_id, k.features_json, g.context_json, k.features_unread AS unread, k.policy_version,
    k.at_ms AS moment_ms
FROM confirmations AS k JOIN ({GIVEN}) AS g USING (decision_id)
WHERE k.asked AND k.verdict = 'GO' AND k.policy_version IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY k.log_shard, k.log_sequence ORDER BY k.at_ms) = 1
"""

# What is given must be the boolean true, wherever it is given; what could not be read may have been a refusal. Where
# nothing is given, and that is known, the policy's default stands.
JUDGED = f"""
WITH said AS (
    SELECT
        c.decision_id, c.customer_id, c.channel, g.moment_ms, g.policy_version, k.feature, k.default_allow,
        nullif(json_extract(g.features_json, '$."' || k.feature || '"')::VARCHAR, 'null') AS stored,
        nullif(json_extract(g.context_json, '$."' || k.feature || '"')::VARCHAR, 'null') AS told,
        {is_unread("g.unread", "k.feature")} AS unread
    FROM contacts AS c
    JOIN given AS g USING (decision_id)
    JOIN consent AS k ON k.ledger = c.ledger AND k.version = g.policy_version AND k.channel = c.channel
)
SELECT
    *,
    CASE
        WHEN unread OR coalesce(stored, 'true') <> 'true' OR coalesce(told, 'true') <> 'true' THEN FALSE
        WHEN stored IS NULL AND told IS NULL THEN default_allow
        ELSE TRUE
    END AS allowed
FROM said
"""
BROKEN = "SELECT * FROM judged WHERE NOT allowed ORDER BY moment_ms, decision_id"


def consent(facts: Facts) -> Section:
    """Contacts decided, or confirmed, without consent to their channel."""
    channels = sorted(set(facts.rules.tables["consent"].column("channel").to_pylist()))
    decided = facts.query(JUDGED, given=facts.logged(GIVEN, channels=channels))
    confirmed = facts.query(JUDGED, given=facts.logged(CONFIRMED, channels=channels))
    broken = facts.query(BROKEN, judged=decided), facts.query(BROKEN, judged=confirmed)
    words = [
        *(_refused(row, "of {} contacts") for row in broken[0].to_pylist()),
        *(_refused(row, "got GO {}") for row in broken[1].to_pylist()),
    ]
    notes = (f"{confirmed.num_rows:,} times a runner was told GO are among them",) if confirmed.num_rows else ()
    checked = decided.num_rows + confirmed.num_rows
    return Section("consent", "contacts", checked, len(words), tuple(words[: facts.asked.shown]), notes=notes)


def _refused(row: dict[str, Any], what: str) -> str:
    stored = "could not be read" if row["unread"] else row["stored"]
    return (
        f"{row['customer_id']}: decision {row['decision_id']} {what.format(moment(row['moment_ms']))} on "
        f"{row['channel']} without {row['feature']} (feature {stored}, context {row['told']}; contact policy "
        f"version {row['policy_version']})"
    )
