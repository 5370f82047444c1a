"""The warehouse as a folder of Delta tables (ACID commits, row deletion), with DuckDB as SQL engine.

A load records the last sequence of each shard as a Delta application transaction of the same commit, and Delta
refuses a commit whose transaction id moved since the snapshot it was computed on; so even two loaders at once load
every entry exactly once.

Writers of a table take turns by a file lock, which the system releases when a process dies. Delta's optimistic
concurrency alone does not do: deltalake 1.6 lets two compactions of one snapshot both commit, which doubles every
row, and lets a full replacement keep the files of a compaction that it did not see. Conflicts that Delta does
notice (writers other than this class) are computed again on the new state. Readers take no lock: each table is
read at the snapshot of the moment, and its files stay for the retention.
"""

from __future__ import annotations

import fcntl
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from decision_service.application.ports import EntryKind, LogEntry
from decision_service.core.model.errors import InvalidRequest, Unavailable
from decision_service.warehouse import log_tables, tables
from decision_service.warehouse.sql_engine import SqlEngine

T = TypeVar("T")

ATTEMPTS = 8
LOCK_DEADLINE_S = 120.0  # longer than a compaction takes
MAX_SHARDS = 256  # as in Settings.shards
SMALL_FILES = 8  # a table with fewer files is left as it is
TARGET_BYTES = 64 * 1024 * 1024


class Lakehouse:
    """Any number of processes may read and write; the four log tables belong to the loader.

    retention_s: how long files that are no longer referenced stay, so that running queries do not lose them.
    """

    def __init__(self, path: Path, retention_s: int = 900) -> None:
        self.path = path
        self._engine = SqlEngine()
        self._configuration: dict[str, str | None] = {
            "delta.deletedFileRetentionDuration": f"interval {retention_s} seconds",
            "delta.checkpointInterval": "20",
            # Only commits that a checkpoint covers are dropped, and nobody holds a snapshot for a day.
            "delta.logRetentionDuration": "interval 1 days",
        }

    def load(self, kind: EntryKind, entries: Sequence[LogEntry]) -> int:
        """Append entries that are beyond the last loaded sequence of their shard. Rows written.

        Raises:
            Unavailable: the folder cannot be written; nothing was loaded.
        """

        def attempt() -> int:
            table = self._open(kind.value)
            shards = {entry.shard for entry in entries}
            loaded = {shard: table.transaction_version(_app_id(shard)) if table else None for shard in shards}
            fresh = [e for e in entries if (last := loaded[e.shard]) is None or e.sequence > last]
            if fresh:
                reached = {
                    shard: max(e.sequence for e in fresh if e.shard == shard) for shard in {e.shard for e in fresh}
                }
                self._write(
                    table, kind.value, log_tables.rows_of(kind, fresh), "append",
                    [Transaction(_app_id(shard), sequence) for shard, sequence in reached.items()],
                )  # fmt: skip
            return len(fresh)

        return self._in_turn(kind.value, attempt)

    def loaded(self, kind: EntryKind) -> Mapping[int, int]:
        """Shard → last loaded sequence of the kind's table."""
        table = self._open(kind.value)
        if table is None:
            return {}
        versions = ((shard, table.transaction_version(_app_id(shard))) for shard in range(MAX_SHARDS))
        return {shard: version for shard, version in versions if version is not None}

    def tables(self) -> Sequence[str]:
        """Names of the tables that exist."""
        if not self.path.is_dir():
            return []
        return sorted(folder.name for folder in self.path.iterdir() if DeltaTable.is_deltatable(str(folder)))

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Run a read-only query; each table is read at one snapshot."""
        return self._engine.query(sql, parameters, self._source)

    def replace(self, table: str, rows: pa.Table, where: str | None = None) -> None:
        """Replace the rows that match `where`, all by default; of two at once, one comes after the other.

        Raises:
            InvalidRequest: a row does not match `where`, or not the documented columns.
            Unavailable: the folder cannot be written; nothing was replaced.
        """
        rows = tables.conform(table, rows)
        if where is not None and self._engine.split(rows, where)[1].num_rows:
            raise InvalidRequest.of(table, f"every row must match {where!r}")

        def attempt() -> None:
            present = self._open(table)
            self._write(present, table, rows, "overwrite", where=where)

        self._in_turn(table, attempt)

    def append(self, table: str, rows: pa.Table) -> None:
        """Append rows; creates the table."""
        rows = tables.conform(table, rows)
        self._in_turn(table, lambda: self._write(self._open(table), table, rows, "append"))

    def forget(self, customer_id: str) -> int:
        """Delete every row of a customer from every table; how many. The files go when their retention has passed."""
        predicate = "customer_id = '{}'".format(customer_id.replace("'", "''"))
        return sum(self._in_turn(name, partial(self._delete, name, predicate)) for name in self.tables())

    def compact(self) -> int:
        """Merge small files, and drop those that nothing has referenced for the retention; how many were dropped."""
        return sum(self._in_turn(name, partial(self._compact, name)) for name in self.tables())

    def _in_turn(self, table: str, attempt: Callable[[], T]) -> T:
        """The first attempt on a table that does not conflict; each one starts from the newest snapshot."""
        for number in range(ATTEMPTS):
            try:
                with _locked(self.path / ".locks" / table):
                    return attempt()
            except CommitFailedError as error:
                conflict = error
                # Jitter keeps writers that collided from colliding again.
                time.sleep(random.uniform(0.002, 0.02) * 2 ** min(number, 5))  # noqa: S311 - not a secret
            except (DeltaError, OSError) as error:
                raise Unavailable("warehouse", str(error)) from error
        raise Unavailable("warehouse", f"{ATTEMPTS} commits in a row conflicted with other writers: {conflict}")

    def _folder(self, table: str) -> str:
        return str(self.path / table)

    def _open(self, table: str) -> DeltaTable | None:
        try:
            return DeltaTable(self._folder(table))
        except TableNotFoundError:
            return None
        except DeltaError as error:
            raise Unavailable("warehouse", str(error)) from error

    def _source(self, name: str) -> Any:
        # Words that are no table's name are looked up too; a directory check is cheaper than opening.
        if not (self.path / name / "_delta_log").is_dir():
            return None
        table = self._open(name)
        if table is None:
            return None
        dataset = table.to_pyarrow_dataset()
        documented = tables.TABLES.get(name)
        if documented is None or not set(documented.schema.names) - set(dataset.schema.names):
            return dataset
        # Columns of this release that no row was written with yet read as null.
        return dataset.replace_schema(pa.unify_schemas([dataset.schema, documented.schema]))

    def _write(
        self,
        present: DeltaTable | None,
        table: str,
        rows: pa.Table,
        mode: Literal["append", "overwrite"],
        transactions: Sequence[Transaction] = (),
        where: str | None = None,
    ) -> None:
        properties = CommitProperties(app_transactions=list(transactions))
        if present is None:
            write_deltalake(
                self._folder(table), rows, mode="append", configuration=self._configuration,
                commit_properties=properties,
            )  # fmt: skip
        elif mode == "append":
            write_deltalake(present, rows, mode="append", schema_mode="merge", commit_properties=properties)
        elif where is None:
            write_deltalake(present, rows, mode="overwrite", schema_mode="overwrite", commit_properties=properties)
        else:
            write_deltalake(
                present, rows, mode="overwrite", predicate=where, schema_mode="merge", commit_properties=properties
            )

    def _delete(self, name: str, predicate: str) -> int:
        table = self._open(name)
        if table is None or "customer_id" not in [field.name for field in table.schema().fields]:
            return 0
        return int(table.delete(predicate)["num_deleted_rows"])

    def _compact(self, name: str) -> int:
        table = self._open(name)
        if table is None:
            return 0
        if len(table.file_uris()) >= SMALL_FILES:
            table.optimize.compact(target_size=TARGET_BYTES)
        if not table.vacuum(dry_run=True, full=True):
            return 0
        return len(table.vacuum(dry_run=False, full=True))


def _app_id(shard: int) -> str:
    return f"shard-{shard}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock; other threads and processes wait.

    Raises:
        Unavailable: another writer held it for LOCK_DEADLINE_S.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_DEADLINE_S
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Unavailable("warehouse", f"another writer has held {path} too long") from error
                time.sleep(0.003)
        yield  # closing the file releases the lock
