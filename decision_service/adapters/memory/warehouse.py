"""The warehouse in memory: Arrow tables with DuckDB as SQL engine, for tests and short experiments."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import pyarrow as pa

from decision_service.application.ports import EntryKind, LogEntry
from decision_service.core.model.errors import InvalidRequest
from decision_service.warehouse import log_tables, tables
from decision_service.warehouse.sql_engine import SqlEngine


class MemoryWarehouse:
    """Forgets everything with the process. Thread-safe."""

    def __init__(self) -> None:
        self._engine = SqlEngine()
        self._lock = threading.RLock()
        self._tables: dict[str, pa.Table] = {}
        self._loaded: dict[EntryKind, dict[int, int]] = {kind: {} for kind in EntryKind}

    def load(self, kind: EntryKind, entries: Sequence[LogEntry]) -> int:
        """Append entries that are beyond the last loaded sequence of their shard. Rows written."""
        with self._lock:
            loaded = self._loaded[kind]
            fresh = [entry for entry in entries if entry.sequence > loaded.get(entry.shard, -1)]
            if fresh:
                self.append(kind.value, log_tables.rows_of(kind, fresh))
                for entry in fresh:
                    loaded[entry.shard] = max(entry.sequence, loaded.get(entry.shard, -1))
            return len(fresh)

    def loaded(self, kind: EntryKind) -> Mapping[int, int]:
        """Shard → last loaded sequence of the kind's table."""
        with self._lock:
            return dict(self._loaded[kind])

    def tables(self) -> Sequence[str]:
        """Names of the tables that exist."""
        with self._lock:
            return sorted(self._tables)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Run a read-only query on one snapshot."""
        with self._lock:
            snapshot = dict(self._tables)
        return self._engine.query(sql, parameters, snapshot.get)

    def replace(self, table: str, rows: pa.Table, where: str | None = None) -> None:
        """Replace the rows that match `where`, all by default."""
        rows = tables.conform(table, rows)
        with self._lock:
            if where is None or table not in self._tables:
                kept = None
            else:
                kept = self._engine.split(self._tables[table], where)[1]
            if where is not None and self._engine.split(rows, where)[1].num_rows:
                raise InvalidRequest.of(table, f"every row must match {where!r}")
            self._tables[table] = rows if kept is None else pa.concat_tables([kept, rows])

    def append(self, table: str, rows: pa.Table) -> None:
        """Append rows; creates the table."""
        rows = tables.conform(table, rows)
        with self._lock:
            present = [self._tables[table]] if table in self._tables else []
            self._tables[table] = pa.concat_tables([*present, rows], promote_options="default")

    def forget(self, customer_id: str) -> int:
        """Delete every row of a customer from every table; how many."""
        deleted = 0
        with self._lock:
            for name, rows in self._tables.items():
                if "customer_id" in rows.column_names:
                    mask = pa.compute.equal(rows.column("customer_id"), customer_id).fill_null(False)
                    self._tables[name] = rows.filter(pa.compute.invert(mask))
                    deleted += rows.num_rows - self._tables[name].num_rows
        return deleted

    def compact(self) -> int:
        """Merge the chunks that appends left; there are no files to remove."""
        with self._lock:
            self._tables = {name: rows.combine_chunks() for name, rows in self._tables.items()}
        return 0
