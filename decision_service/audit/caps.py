"""Frequency caps: every contact by the caps of its own versions, at the true times of sending.

A contact breaks a cap if, in some window that holds it, it and the counted contacts decided before it are more than
the limit. A rolling window is any [t, t + length); a calendar one is the customer's, in the zone of the decision.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from decision_service.audit.facts import OWNED_CONTACTS, Facts, in_scope, moment, owner
from decision_service.audit.report import Section
from decision_service.audit.windows import window_name

# Which contacts a cap judges, and which it counts. What was sent out of its lease is the runner's doing: it is not
# judged, and counts once the service had been told of it.
PAIRS = f"""
WITH judged AS (
    SELECT
        c.decision_id, c.customer_id, c.log_sequence, c.at_ms, c.timezone,
        k.program AS rule_program, k.* EXCLUDE (owner, program)
    FROM {OWNED_CONTACTS} AS c JOIN caps AS k USING (owner)
    WHERE c.judged AND (c.in_lease OR k.counts = 'reserved' AND NOT c.out_of_lease)
        AND {in_scope("k", "c")}
        AND NOT list_contains(c.ignores, '*') AND NOT list_contains(c.ignores, k.id)
)
SELECT
    c.*,
    CASE WHEN b.out_of_lease AND b.reported_sequence < c.log_sequence THEN b.sent_ms ELSE b.at_ms END AS counted_ms
FROM judged AS c
JOIN contacts AS b ON b.customer_id = c.customer_id AND (
    b.decision_id = c.decision_id
    OR b.log_sequence < c.log_sequence
    AND b.counted
    AND {in_scope("c", "b")}
    AND (c.counts = 'reserved'
        OR (b.in_lease OR b.reported_sequence < c.log_sequence) AND NOT (c.counts = 'delivered' AND b.bounced))
)
"""

ROLLING = """
WITH windows AS (
    SELECT
        *,
        count(*) OVER (
            PARTITION BY decision_id, rule_program, id ORDER BY counted_ms
            RANGE BETWEEN CURRENT ROW AND window_ms - 1 FOLLOWING
        ) AS contacts
    FROM pairs
    WHERE window_ms IS NOT NULL AND abs(counted_ms - at_ms) < window_ms
)
SELECT
    decision_id, customer_id, log_sequence, at_ms, rule_program, version, id, most,
    (window_ms // 1000) || ' s' AS window_name, max(contacts) AS contacts
FROM windows
WHERE counted_ms <= at_ms
GROUP BY ALL
"""

CALENDAR = f"""
WITH named AS (
    SELECT
        p.*,
        {window_name("p.calendar", "p.at_ms", "z.offset_ms", "p.week_starts")} AS window_name,
        {window_name("p.calendar", "p.counted_ms", "y.offset_ms", "p.week_starts")} AS counted_in
    FROM pairs AS p
    JOIN zone_offsets AS z ON z.timezone = p.timezone AND p.at_ms >= z.from_ms AND p.at_ms < z.until_ms
    JOIN zone_offsets AS y ON y.timezone = p.timezone AND p.counted_ms >= y.from_ms AND p.counted_ms < y.until_ms
    WHERE p.calendar IS NOT NULL
)
SELECT
    decision_id, customer_id, log_sequence, at_ms, rule_program, version, id, most, window_name,
    count(*) FILTER (counted_in = window_name) AS contacts
FROM named
GROUP BY ALL
"""

BROKEN = """
SELECT * FROM (SELECT * FROM rolling UNION ALL SELECT * FROM calendar)
WHERE contacts > most
ORDER BY at_ms, decision_id, id
"""

WITHOUT_ZONE = """
SELECT DISTINCT decision_id, customer_id, at_ms, timezone, rule_program, version, id
FROM pairs
WHERE calendar IS NOT NULL AND (timezone = '' OR timezone IS NULL)
ORDER BY at_ms, decision_id, id
"""

OUT_OF_LEASE = "SELECT decision_id FROM contacts WHERE judged AND out_of_lease"


def frequency_caps(facts: Facts) -> Section:
    """Caps, minimum gaps among them."""
    pairs = facts.query(PAIRS)
    rolling, calendar = facts.query(ROLLING, pairs=pairs), facts.query(CALENDAR, pairs=pairs)
    without_zone = facts.query(WITHOUT_ZONE, pairs=pairs)
    unknown = without_zone.filter(pa.compute.equal(without_zone["timezone"], "").fill_null(False))
    unlogged = without_zone.num_rows - unknown.num_rows
    broken = facts.query(BROKEN, rolling=rolling, calendar=calendar)
    out_of_lease = facts.query(OUT_OF_LEASE).num_rows
    notes = []
    if out_of_lease:
        notes.append(f"{out_of_lease} messages were sent before their time, or sent or reported after their lease")
    if unlogged:
        notes.append(f"{unlogged} checks of calendar caps left out: the release that decided did not log time zones")
    checked = rolling.num_rows + calendar.num_rows + unknown.num_rows
    section = facts.section("frequency caps", "contacts × caps", checked, broken, _beyond, notes=tuple(notes))
    zoneless = tuple(_zoneless(row) for row in unknown.slice(0, facts.asked.shown).to_pylist())
    return Section(
        section.name,
        section.unit,
        checked,
        section.violations + unknown.num_rows,
        (*section.first, *zoneless)[: facts.asked.shown],
        notes=section.notes,
    )


def _beyond(row: dict[str, Any]) -> str:
    return (
        f"{row['customer_id']}: decision {row['decision_id']}, sent {moment(row['at_ms'])}, is contact "
        f"{row['contacts']} in {row['window_name']}; cap {row['id']!r} of {owner(row)} allows {row['most']}"
    )


def _zoneless(row: dict[str, Any]) -> str:
    return (
        f"{row['customer_id']}: decision {row['decision_id']}, sent {moment(row['at_ms'])} under calendar cap "
        f"{row['id']!r} of {owner(row)}, although the customer's time zone was unknown"
    )
