"""Consent: nobody is contacted on a channel without it, by the features and context that were logged. Consent that
could not be read is none."""

from __future__ import annotations

from typing import Any

from decision_service.audit.facts import UNREAD, Facts, is_unread, moment
from decision_service.audit.report import Section

GIVEN = f"""
SELECT decision_id, features_json, context_json, {UNREAD} AS unread
FROM decisions
WHERE action <> 'NO_ACTION' AND decided_at_ms >= $from_ms AND decided_at_ms < $until_ms
    AND (program = $program OR $program = '') AND list_contains($channels, channel)
QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY log_sequence) = 1
"""

# What is given must be the boolean true, wherever it is given; what could not be read may have been a refusal. Where
# nothing is given, and that is known, the policy's default stands.
JUDGED = f"""
WITH said AS (
    SELECT
        c.decision_id, c.customer_id, c.channel, c.decided_at_ms, c.policy_version, k.feature, k.default_allow,
        nullif(json_extract(g.features_json, '$."' || k.feature || '"')::VARCHAR, 'null') AS stored,
        nullif(json_extract(g.context_json, '$."' || k.feature || '"')::VARCHAR, 'null') AS told,
        {is_unread("g.unread", "k.feature")} AS unread
    FROM contacts AS c
    JOIN given AS g USING (decision_id)
    JOIN consent AS k ON k.ledger = c.ledger AND k.version = c.policy_version AND k.channel = c.channel
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
BROKEN = "SELECT * FROM judged WHERE NOT allowed ORDER BY decided_at_ms, decision_id"


def consent(facts: Facts) -> Section:
    """Contacts decided without consent to their channel."""
    channels = sorted(set(facts.rules.tables["consent"].column("channel").to_pylist()))
    given = facts.logged(GIVEN, channels=channels)
    judged = facts.query(JUDGED, given=given)
    return facts.section("consent", "contacts", judged.num_rows, facts.query(BROKEN, judged=judged), _refused)


def _refused(row: dict[str, Any]) -> str:
    stored = "could not be read" if row["unread"] else row["stored"]
    return (
        f"{row['customer_id']}: decision {row['decision_id']} of {moment(row['decided_at_ms'])} contacts on "
        f"{row['channel']} without {row['feature']} (feature {stored}, context {row['told']}; contact policy "
        f"version {row['policy_version']})"
    )
