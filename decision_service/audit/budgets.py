"""Budgets: what was sent within its lease, by the period it was to be sent in, against the limit.

A limit that changed within a period is judged by the largest that a contact of the period was decided under. Pacing
is not judged: it says when, not how much.
"""

from __future__ import annotations

from typing import Any

from decision_service.audit.facts import OWNED_CONTACTS, Facts, in_scope
from decision_service.audit.report import Section
from decision_service.audit.windows import window_name

SPENT = f"""
SELECT
    b.program AS rule_program, b.id, b.in_money, b.period, b.timezone,
    {window_name("b.period", "c.planned_ms", "z.offset_ms", "b.week_starts")} AS window_name,
    sum(CASE WHEN NOT c.in_lease THEN 0 WHEN b.in_money THEN c.cost_micros ELSE 1 END)::BIGINT AS spent,
    max(b.most) AS most
FROM {OWNED_CONTACTS} AS c
JOIN budgets AS b USING (owner)
JOIN zone_offsets AS z ON z.timezone = b.timezone AND c.planned_ms >= z.from_ms AND c.planned_ms < z.until_ms
WHERE {in_scope("b", "c")}
GROUP BY ALL
HAVING bool_or(c.judged)
"""

BROKEN = "SELECT * FROM spent WHERE spent > most ORDER BY window_name, rule_program, id"
FULLEST = "SELECT * FROM spent ORDER BY spent / most DESC, rule_program, id, window_name LIMIT 1"

MICROS = 1_000_000


def budgets(facts: Facts) -> Section:
    """Contacts and money spent beyond a budget's limit, period by period."""
    spent = facts.query(SPENT)
    broken = facts.query(BROKEN, spent=spent)
    notes = tuple(f"fullest: {_spent(row)}" for row in facts.query(FULLEST, spent=spent).to_pylist())
    return facts.section("budgets", "budgets × periods", spent.num_rows, broken, _spent, notes=notes)


def _spent(row: dict[str, Any]) -> str:
    unit = "in money" if row["in_money"] else "contacts"
    spent, most = ((row[name] / MICROS if row["in_money"] else row[name]) for name in ("spent", "most"))
    whose = f"program {row['rule_program']}" if row["rule_program"] else "the contact policy"
    when = "in total" if row["period"] == "total" else f"in {row['window_name']} ({row['timezone']})"
    return f"budget {row['id']!r} of {whose}, {when}: {spent:g} {unit} spent of {most:g}"
