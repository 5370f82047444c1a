"""What a build would take from the online store, told before anything is written.

A source that is empty, or shrank, or changed its form gives a build that is right by its SQL and wrong for everybody:
guardrails would find no consent and no segment, or another consent. So a build that takes a lot asks first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from decision_service.core.model.errors import Conflict
from feature_repo.tables import EVENT_TIME, KEY

FEW = 50
"""Of fewer customers a share says little; of them only a build that would take everybody asks."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a build may take from the online store without asking.

    share: of the customers that a view was published for, those who may leave it or lose every value, and those for
    whom a guarded feature may change. 1 allows everything.
    guarded: features that guardrails read, beside every BOOL.
    """

    share: float = 0.2
    guarded: frozenset[str] = frozenset()


def check_removals(tables: Mapping[str, pa.Table], data_dir: Path, allowed: Allowed) -> None:
    """Compare conformed rows by view with what was published last. Without that nothing can be taken.

    Raises:
        Conflict: naming every view, and feature, of which too much would be taken.
    """
    found = [
        sentence
        for view, rows in tables.items()
        if (path := data_dir / f"{view}.parquet").exists()
        for sentence in _taken(view, pq.read_table(path), rows, allowed)
    ]
    if found:
        raise Conflict(
            f"nothing was written: {'; '.join(found)}. If that is right, run `nba features build --allow-removals`; "
            "if not, look at the tables that the SQL reads"
        )


def _taken(view: str, published: pa.Table, rows: pa.Table, allowed: Allowed) -> list[str]:
    total = published.num_rows
    if not total or allowed.share >= 1:
        return []
    published = published.drop_columns([EVENT_TIME])
    position = pc.index_in(published[KEY], value_set=rows[KEY])
    kept, now = published.filter(pc.is_valid(position)), rows.take(position.drop_null())
    gone = total - kept.num_rows
    blanked = pc.sum(pc.and_not(_blank(now), _blank(kept))).as_py() or 0
    found = []
    if _too_many(gone + blanked, total, allowed.share):
        found.append(f"{view} would lose the values of {gone + blanked} of its {total} customers")
    for name in kept.column_names:
        guards = pa.types.is_boolean(kept.schema.field(name).type) or name in allowed.guarded
        if guards and name in now.column_names and name != KEY:
            changed = kept.num_rows - _same(kept[name], now[name])
            if _too_many(changed, total, allowed.share):
                found.append(f"{view}.{name}, which guardrails read, would change for {changed} of {total} customers")
    return found


def _too_many(taken: int, total: int, share: float) -> bool:
    return taken == total if total < FEW else taken > share * total


def _blank(rows: pa.Table) -> pa.ChunkedArray:
    """For each row, whether no feature has a value; an empty list is none."""
    blank = pa.chunked_array([pa.array([True] * rows.num_rows, pa.bool_())])
    for name in rows.column_names:
        if name != KEY:
            column = rows[name]
            empty = pc.is_null(column)
            if pa.types.is_list(column.type):
                empty = pc.or_(empty, pc.fill_null(pc.equal(pc.list_value_length(column), 0), True))
            blank = pc.and_(blank, empty)
    return blank


def _same(before: pa.ChunkedArray, after: pa.ChunkedArray) -> int:
    if before.type != after.type:
        return 0
    missing = pc.and_(pc.is_null(before), pc.is_null(after))
    return int(pc.sum(pc.or_(missing, pc.fill_null(pc.equal(before, after), False))).as_py() or 0)
