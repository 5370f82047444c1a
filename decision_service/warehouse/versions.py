"""Copies of what was published, by the ledger that it was published in: decisions are explained and judged by them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from decision_service.application.policy_store import PolicyStore, PolicyVersion, ProgramVersion
from decision_service.application.ports import Warehouse
from decision_service.core.model.installation import Installation
from decision_service.documents.published import ranges_to_data
from decision_service.warehouse.columns import Table
from decision_service.warehouse.tables import CONTACT_POLICY_VERSIONS, PROGRAM_VERSIONS, rows_from

log = logging.getLogger(__name__)


def digest_of(document: str) -> str:
    """Of a document as published: 32 hexadecimal digits."""
    return hashlib.blake2b(document.encode(), digest_size=16).hexdigest()


def copy_versions(policies: PolicyStore, installation: Installation, warehouse: Warehouse) -> None:
    """Every published version to the warehouse, under each id that records of the ledger bear. Those of other ledgers
    stay: their decisions are still explained by them."""
    programs = [
        {"program": version.name, **_row(version), "group_ranges": json.dumps(ranges_to_data(version.ranges))}
        for name in sorted(policies.current().programs)
        for version in policies.versions(name)
    ]
    for table, rows in (
        (PROGRAM_VERSIONS, programs),
        (CONTACT_POLICY_VERSIONS, [_row(version) for version in policies.policy_versions()]),
    ):
        named = [{"ledger_id": ledger or None, **row} for ledger in sorted(installation.known_as) for row in rows]
        _add_fresh(warehouse, table, named)


def _row(version: ProgramVersion | PolicyVersion) -> dict[str, object]:
    return {
        "version": version.version,
        "document": version.document,
        "digest": digest_of(version.document),
        "author": version.audit.author,
        "published_at": datetime.fromtimestamp(version.audit.at_ms / 1000, UTC),
        "note": version.audit.note,
    }


def _add_fresh(warehouse: Warehouse, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Add the rows whose key the table does not have yet; of two jobs at once, neither doubles a row."""
    columns = ", ".join(column.name for column in table.columns)
    kept = warehouse.query(f"SELECT {columns} FROM {table.name}").to_pylist()
    known = {tuple(row[name] for name in table.key): row["document"] for row in kept}
    keys = [tuple(row[name] for name in table.key) for row in rows]
    for key, row in zip(keys, rows, strict=True):
        if key in known and known[key] != row["document"]:
            # As when the ledger was restored from a copy of before, and published to since.
            log.error("%s: %s is another document now; decisions are judged by the one copied first", table.name, key)
    if fresh := [row for key, row in zip(keys, rows, strict=True) if key not in known]:
        kept = [{**row, "digest": digest_of(row["document"])} for row in kept]
        warehouse.replace(table.name, rows_from(table.name, [*kept, *fresh]))
