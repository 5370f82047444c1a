"""Which ledger a warehouse's history is of: what the loader asks before a ledger may serve, and the copy it keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from decision_service.application.ports import EntryKind, Warehouse
from decision_service.core.model.installation import Installation
from decision_service.warehouse.tables import CONTACT_POLICY_VERSIONS, INSTALLATION, PROGRAM_VERSIONS, rows_from

_WITH_HISTORY = (*(kind.value for kind in EntryKind), PROGRAM_VERSIONS.name, CONTACT_POLICY_VERSIONS.name)
_NAMED = "SELECT DISTINCT ledger_id FROM decisions WHERE ledger_id IS NOT NULL"
_KNOWN = f"SELECT ledger_id FROM {INSTALLATION.name} ORDER BY first_seen_ms, ledger_id"
_LATEST_PROGRAMS = """
SELECT program, max(version) AS version FROM (
    SELECT program, version FROM program_versions
    UNION ALL SELECT program, program_version FROM decisions
    UNION ALL SELECT o.program, o.program_version FROM (SELECT unnest(others) AS o FROM decisions) AS competed
) AS seen GROUP BY program
"""
_LATEST_POLICY = """
SELECT coalesce(max(version), 0) AS version FROM (
    SELECT version FROM contact_policy_versions UNION ALL SELECT policy_version FROM decisions
) AS seen
"""


def known_ledgers(warehouse: Warehouse) -> list[str]:
    """Ids of the ledgers that wrote here, oldest first as far as that is known."""
    seen = [row["ledger_id"] for row in warehouse.query(_KNOWN).to_pylist()]
    logged = sorted(row["ledger_id"] for row in warehouse.query(_NAMED).to_pylist())
    return list(dict.fromkeys((*seen, *logged)))


def objection(installation: Installation, warehouse: Warehouse) -> str:
    """Why this ledger may not go on with this warehouse's history, and what to do; empty if it may.

    It may if the history is its own, or of the release that made it, or if there is none.
    """
    known = known_ledgers(warehouse)
    if installation.ledger_id in known or not _has_history(warehouse):
        return ""
    if not known and installation.unnamed_before:
        return ""
    whose = f"another ledger, {known[-1]}" if known else "another ledger, of an earlier release"
    return (
        f"the warehouse has the history of {whose}, and this one ({installation.ledger_id}) knows nothing of it: its "
        "contacts, suppressions and budgets would not count. Run `nba ledger rebuild` to bring them into this ledger, "
        "or `nba ledger new` if it is to start anew"
    )


def remember(installation: Installation, warehouse: Warehouse, shards: int, now_ms: int) -> None:
    """Keep a copy of the installation; may be repeated."""
    known: Collection[str] = [row["ledger_id"] for row in warehouse.query(_KNOWN).to_pylist()]
    if installation.ledger_id not in known:
        row = {
            "ledger_id": installation.ledger_id,
            "draw_key": installation.draw_key.hex(),
            "shards": shards,
            "unnamed_before": installation.unnamed_before,
            "first_seen_ms": now_ms,
        }
        warehouse.append(INSTALLATION.name, rows_from(INSTALLATION.name, [row]))


def latest_versions(warehouse: Warehouse) -> tuple[Mapping[str, int], int]:
    """Program → its highest version in any ledger, and the contact policy's (0: none)."""
    programs = {row["program"]: row["version"] for row in warehouse.query(_LATEST_PROGRAMS).to_pylist()}
    return programs, int(warehouse.query(_LATEST_POLICY).to_pylist()[0]["version"])


def _has_history(warehouse: Warehouse) -> bool:
    present = set(warehouse.tables()) & set(_WITH_HISTORY)
    return any(warehouse.query(f"SELECT 1 FROM {table} LIMIT 1").num_rows for table in sorted(present))
