"""Quiet hours: nothing is sent in them, by the clock where the customer is, nor where that clock could not be read."""

from __future__ import annotations

from typing import Any

from decision_service.audit.facts import OWNED_CONTACTS, UNREAD, Facts, is_unread, moment, owner
from decision_service.audit.report import Section

BLIND = f"""
SELECT decision_id, context_json, {UNREAD} AS unread
FROM decisions
WHERE action <> 'NO_ACTION' AND decided_at_ms >= $from_ms AND decided_at_ms < $until_ms
    AND (program = $program OR $program = '') AND len({UNREAD}) > 0
QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY log_sequence) = 1
"""

# Quiet hours belong to the local day they begin on; after midnight that is the day before.
JUDGED = f"""
WITH guessed AS (
    SELECT b.decision_id
    FROM contacts AS c JOIN blind AS b USING (decision_id) JOIN policies AS p ON p.version = c.policy_version
    WHERE {is_unread("b.unread", "p.timezone_feature")}
        AND json_extract_string(b.context_json, '$."' || p.timezone_feature || '"') IS DISTINCT FROM c.timezone
),
local AS (
    SELECT c.*, (c.at_ms + z.offset_ms) // 60000 % 1440 AS minute, (c.at_ms + z.offset_ms) // 86400000 AS today
    FROM {OWNED_CONTACTS} AS c
    LEFT JOIN zone_offsets AS z ON z.timezone = c.timezone AND c.at_ms >= z.from_ms AND c.at_ms < z.until_ms
    WHERE c.judged AND c.in_lease
),
begun AS (
    SELECT
        c.*, q.program AS rule_program, q.version, q.id, q.weekdays, q.holidays, q.every_day,
        CASE
            WHEN q.start_minute <= q.end_minute AND c.minute >= q.start_minute AND c.minute < q.end_minute THEN today
            WHEN q.start_minute > q.end_minute AND c.minute >= q.start_minute THEN today
            WHEN q.start_minute > q.end_minute AND c.minute < q.end_minute THEN today - 1
        END AS began_on
    FROM local AS c JOIN quiet_hours AS q USING (owner)
    WHERE len(q.channels) = 0 OR list_contains(q.channels, c.channel)
)
SELECT
    decision_id, customer_id, channel, at_ms, timezone, rule_program, version, id, minute,
    decision_id IN (SELECT decision_id FROM guessed) AS guessed,
    coalesce(
        every_day OR list_contains(weekdays, (began_on + 3) % 7) OR list_contains(holidays, began_on), FALSE
    ) AND began_on IS NOT NULL AS quiet
FROM begun
"""

BROKEN = "SELECT * FROM judged WHERE quiet OR guessed OR timezone = '' ORDER BY at_ms, decision_id, id"
UNLOGGED = "SELECT * FROM judged WHERE timezone IS NULL"


def quiet_hours(facts: Facts) -> Section:
    """Messages sent within their lease and in quiet hours of their channel, or without a known time zone. A zone that
    was assumed because the customer's could not be read is not known."""
    judged = facts.query(JUDGED, blind=facts.logged(BLIND))
    broken = facts.query(BROKEN, judged=judged)
    unlogged = facts.query(UNLOGGED, judged=judged).num_rows
    notes = (f"{unlogged} checks left out: the release that decided did not log time zones",) if unlogged else ()
    return facts.section(
        "quiet hours", "messages × quiet hours", judged.num_rows - unlogged, broken, _sent, notes=notes
    )


def _sent(row: dict[str, Any]) -> str:
    if row["guessed"]:
        where = "zone could not be read"
    elif row["quiet"]:
        where = f"{row['minute'] // 60:02}:{row['minute'] % 60:02} in {row['timezone']}"
    else:
        where = "zone unknown"
    return (
        f"{row['customer_id']}: decision {row['decision_id']}, sent on {row['channel']} {moment(row['at_ms'])} "
        f"({where}), in quiet hours {row['id']!r} of {owner(row)}"
    )
