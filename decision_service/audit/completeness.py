"""Completeness: every acknowledged decision is in the warehouse, and none is there twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from decision_service.audit.facts import Facts
from decision_service.audit.report import Section

COUNTED = "SELECT decision_id, count(*) AS times FROM decisions GROUP BY decision_id"
TWICE = "SELECT decision_id, times FROM counted WHERE times > 1 ORDER BY decision_id"
MISSING = "SELECT decision_id FROM acknowledged ANTI JOIN counted USING (decision_id) ORDER BY decision_id"
STRAY = """
SELECT DISTINCT decision_id FROM activations ANTI JOIN decisions USING (decision_id) ORDER BY decision_id
"""


def completeness(facts: Facts, acknowledged: Iterable[str] | None) -> list[Section]:
    """Of the whole warehouse, whatever was asked. acknowledged: ids that runners got; None if nobody kept them."""
    counted = facts.warehouse.query(COUNTED)
    rows = pa.compute.sum(counted["times"]).as_py() or 0
    sections = [
        facts.section("duplicates", "decisions", rows, facts.query(TWICE, counted=counted), _twice),
        facts.section("stray reports", "decisions", rows, facts.warehouse.query(STRAY), _stray),
    ]
    if acknowledged is not None:
        ids = pa.table({"decision_id": pa.array(sorted(set(acknowledged)), pa.string())})
        missing = facts.query(MISSING, acknowledged=ids, counted=counted)
        sections.append(facts.section("missing", "acknowledged ids", ids.num_rows, missing, _missing))
    return sections


def _twice(row: dict[str, Any]) -> str:
    return f"decision {row['decision_id']} is there {row['times']} times"


def _stray(row: dict[str, Any]) -> str:
    return f"a report names decision {row['decision_id']}, which is not there"


def _missing(row: dict[str, Any]) -> str:
    return f"decision {row['decision_id']} was acknowledged and is not there"
