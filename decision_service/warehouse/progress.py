"""Up to when the log is loaded: what was acknowledged before that is in the warehouse.

Without it nobody can tell a decision without outcomes from one whose outcomes still wait in the stream.
"""

from __future__ import annotations

from decision_service.application.ports import Warehouse
from decision_service.warehouse import tables

MARGIN_MS = 60_000
"""What a worker stamps with an earlier time than the loader's may reach the stream later than the loader has read it:
by the time of a call, and by how far their clocks differ."""


def loaded_until_ms(warehouse: Warehouse) -> int | None:
    """UTC epoch milliseconds; None if no loader has said so yet.

    Raises:
        Unavailable: the warehouse did not answer.
    """
    found = warehouse.query("SELECT max(loaded_until_ms) AS until_ms FROM load_progress").to_pylist()
    until_ms: int | None = found[0]["until_ms"]
    return until_ms


def record_loaded(warehouse: Warehouse, read_at_ms: int) -> None:
    """Everything that the log held at `read_at_ms` of the loader's clock is loaded.

    Raises:
        Unavailable: the warehouse did not answer; nothing changed.
    """
    rows = tables.rows_from(tables.LOAD_PROGRESS.name, [{"loaded_until_ms": read_at_ms - MARGIN_MS}])
    warehouse.replace(tables.LOAD_PROGRESS.name, rows)
