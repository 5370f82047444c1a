"""What happened, by the warehouse: every decision to contact a customer, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Warehouse
from decision_service.audit.report import SHOWN, Section
from decision_service.audit.rules import SCOPED, Rules, read_rules
from decision_service.audit.windows import zone_offsets
from decision_service.warehouse.sql_engine import SqlEngine

REPORT_GRACE_MS = 60_000
"""How long after its lease a message that was sent within it may be reported; docs/decide-cycle.md."""

FOREVER_MS = 2**62

UNREAD = "coalesce(features_unread, CASE WHEN features_status = 'UNAVAILABLE' THEN ['*'] ELSE [] END)"
"""SQL on `decisions`: the features that could not be read; with `*`, all of them."""


def is_unread(unread: str, feature: str) -> str:
    """SQL for: a feature is among those that could not be read."""
    return f"(list_contains({unread}, {feature}) OR list_contains({unread}, '*'))"


DECIDED = """
WITH sent AS (
    SELECT
        decision_id,
        least(min(at_ms) FILTER (status = 'SENT'), arg_min(at_ms, log_sequence)) AS sent_ms,
        min(received_at_ms) AS reported_ms,
        min(log_sequence) AS reported_sequence,
        arg_max(status, log_sequence) FILTER (status <> 'SENT') = 'BOUNCED' AS bounced
    FROM activations
    WHERE status IN ('SENT', 'DELIVERED', 'BOUNCED')
    GROUP BY decision_id
),
freed AS (
    SELECT decision_id, min(log_sequence) AS freed_sequence FROM (
        SELECT decision_id, log_sequence FROM activations WHERE status IN ('FAILED', 'SKIPPED')
        UNION ALL
        SELECT k.decision_id, k.log_sequence FROM confirmations AS k JOIN decisions AS d USING (decision_id)
        WHERE k.verdict = 'STOP' AND (k.asked OR coalesce(d.send_planned_at_ms, 0) > k.at_ms)
    ) GROUP BY decision_id
),
decided AS (
    SELECT
        decision_id, customer_id, coalesce(ledger_id, '') AS ledger, program, program_version, policy_version,
        action, channel, timezone, log_sequence,
        decided_at_ms,
        coalesce(send_planned_at_ms, epoch_ms(send_at), decided_at_ms) AS planned_ms,
        epoch_ms(lease_expires_at) AS lease_ms,
        decided_at_ms >= $from_ms AND (program = $program OR $program = '') AS judged
    FROM decisions
    WHERE action <> 'NO_ACTION' AND decided_at_ms < $until_ms
    QUALIFY row_number() OVER (PARTITION BY decision_id ORDER BY log_sequence) = 1
)
SELECT
    d.*, s.sent_ms, s.reported_sequence, coalesce(s.bounced, FALSE) AS bounced,
    coalesce(
        s.sent_ms BETWEEN d.planned_ms AND d.lease_ms AND s.reported_ms <= d.lease_ms + $grace_ms
        AND (f.freed_sequence IS NULL OR s.reported_sequence < f.freed_sequence),
        FALSE
    ) AS in_lease
FROM decided AS d LEFT JOIN sent AS s USING (decision_id) LEFT JOIN freed AS f USING (decision_id)
"""

CONTACTS = """
SELECT
    d.*, CASE WHEN d.in_lease THEN d.sent_ms ELSE d.planned_ms END AS at_ms,
    d.sent_ms IS NOT NULL AND NOT d.in_lease AS out_of_lease,
    a.message, a.tags, a.counted, a.ignores, a.cost_micros,
    [d.ledger || '/' || d.program || '@' || d.program_version, d.ledger || '/@' || d.policy_version] AS owners
FROM decided AS d
JOIN actions AS a
    ON a.ledger = d.ledger AND a.program = d.program AND a.version = d.program_version AND a.action = d.action
"""
"""`at_ms`: when it was sent, if within its lease; else when it was to be sent."""

OWNED_CONTACTS = "(SELECT *, unnest(owners) AS owner FROM contacts)"
"""Contacts once per version, of its program and of the contact policy, whose rules bind it: join rules by `owner`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which decisions to judge; those that came before still count against them.

    from_ms, until_ms: decided in [from_ms, until_ms), UTC epoch milliseconds. program: of this one; empty for all.
    shown: how many violations of each section to put into words.
    """

    from_ms: int = 0
    until_ms: int = FOREVER_MS
    program: str = ""
    shown: int = SHOWN

    @property
    def parameters(self) -> dict[str, object]:
        """For SQL that names them."""
        return {"from_ms": self.from_ms, "until_ms": self.until_ms, "program": self.program}


@dataclass(frozen=True, slots=True)
class Facts:
    """`contacts` and the rules as tables that `query` sees, besides those it is given."""

    warehouse: Warehouse
    engine: SqlEngine
    asked: Asked
    rules: Rules
    contacts: pa.Table
    decided: int
    offsets: pa.Table

    def query(self, sql: str, **given: pa.Table) -> pa.Table:
        """Run SQL over contacts, rules, `zone_offsets` and the tables given."""
        known = {**self.rules.tables, "contacts": self.contacts, "zone_offsets": self.offsets, **given}
        return self.engine.query(sql, None, known.get)

    def logged(self, sql: str, **parameters: object) -> pa.Table:
        """Run SQL over the warehouse, with $from_ms, $until_ms, $program and the parameters given."""
        return self.warehouse.query(sql, {**self.asked.parameters, **parameters})

    def section(
        self, name: str, unit: str, checked: int, broken: pa.Table, words: Callable[[dict[str, Any]], str], **more: Any
    ) -> Section:
        """A section whose violations are the rows of `broken`."""
        first = tuple(words(row) for row in broken.slice(0, self.asked.shown).to_pylist())
        return Section(name, unit, checked, broken.num_rows, first, **more)


def gather(warehouse: Warehouse, policies: PolicyStore | None, asked: Asked, own_ids: Collection[str]) -> Facts:
    """Everything that the sections ask about. `policies` may be None; see `read_rules`."""
    rules = read_rules(warehouse, policies, own_ids)
    decided = warehouse.query(DECIDED, {**asked.parameters, "grace_ms": REPORT_GRACE_MS})
    engine = SqlEngine()
    contacts = engine.query(CONTACTS, None, {**rules.tables, "decided": decided}.get)
    zones = set(contacts.column("timezone").unique().to_pylist()) - {None, ""}
    times = [
        time for name in ("at_ms", "planned_ms", "sent_ms") for time in pa.compute.min_max(contacts[name]).values()
    ]
    known = [time.as_py() for time in times if time.is_valid] or [0]
    offsets = zone_offsets(zones | rules.budget_zones, min(known), max(known))
    return Facts(warehouse, engine, asked, rules, contacts, decided.num_rows, offsets)


def in_scope(scope: str, contact: str) -> str:
    """SQL for: the scope columns of table `scope` hold for the row of `contact`."""
    wanted = {name: f"{contact}.{name.removeprefix('scope_')}" for name in SCOPED if name != "scope_tag"}
    tests = [f"({scope}.{name} IS NULL OR {scope}.{name} = {have})" for name, have in wanted.items()]
    tests.append(f"({scope}.scope_tag IS NULL OR list_contains({contact}.tags, {scope}.scope_tag))")
    return " AND ".join(tests)


def owner(row: dict[str, Any]) -> str:
    """Whose rule a row has, in words."""
    version = f"version {row['version']}"
    return f"program {row['rule_program']} {version}" if row["rule_program"] else f"the contact policy {version}"


def moment(at_ms: int) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
