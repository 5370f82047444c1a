"""The loader: log stream → warehouse, at least once from the stream and exactly once into the tables.

    1. read    what the log still holds, oldest first
    2. load    each kind into its table; the warehouse skips what it has, in the transaction of the rows
    3. trim    the log up to what was read; all of it is in the warehouse now
    4. record  up to when the log is loaded, once nothing is left of what it held (`warehouse.progress`)

A crash between any two steps leaves entries in the log that the next round reads, skips and trims.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from decision_service.application.ports import EntryKind, LogEntry, LogReader, Warehouse
from decision_service.core.model.errors import Unavailable
from decision_service.warehouse.progress import record_loaded

log = logging.getLogger(__name__)

Clock = Callable[[], int]
"""UTC epoch milliseconds."""

RECORD_EVERY_MS = 30_000
"""How often the loader says how far it has come; each time is a commit of the warehouse."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one round did.

    loaded: rows written per kind.
    skipped: entries read that the warehouse had already; more than 0 only after a crash or a failed trim.
    backlog: entries left in the log.
    full: whether some shard gave as many entries as were asked for, so that more are likely.
    complete: whether all that the log held when the round began is in the warehouse now.
    """

    loaded: Mapping[EntryKind, int]
    skipped: int
    backlog: int
    full: bool
    complete: bool

    @property
    def rows(self) -> int:
        """Rows written, all kinds together."""
        return sum(self.loaded.values())


def load_once(reader: LogReader, warehouse: Warehouse, limit: int) -> LoadReport:
    """One round of at most `limit` entries per shard.

    Raises:
        Unavailable: the log or the warehouse did not answer; call again.
    """
    held = reader.lengths()
    # From the start: everything that the log still holds may be missing from some table.
    entries = reader.read({}, limit)
    loaded = {kind: warehouse.load(kind, of_kind) for kind in EntryKind if (of_kind := _of(kind, entries))}
    through: dict[int, int] = {}
    per_shard: dict[int, int] = {}
    for entry in entries:
        through[entry.shard] = max(entry.sequence, through.get(entry.shard, entry.sequence))
        per_shard[entry.shard] = per_shard.get(entry.shard, 0) + 1
    if through:
        reader.trim(through)
    return LoadReport(
        loaded=loaded,
        skipped=len(entries) - sum(loaded.values()),
        backlog=reader.backlog(),
        full=any(count >= limit for count in per_shard.values()),
        complete=all(per_shard.get(shard, 0) >= length for shard, length in enumerate(held)),
    )


def _of(kind: EntryKind, entries: Sequence[LogEntry]) -> list[LogEntry]:
    return [entry for entry in entries if entry.kind is kind]


def run_loader(
    reader: LogReader,
    warehouse: Warehouse,
    stop: threading.Event,
    now_ms: Clock,
    limit: int = 2_000,
    interval_s: float = 0.5,
    compact_every: int = 100,
    max_backoff_s: float = 30.0,
    on_report: Callable[[LoadReport], None] | None = None,
    on_error: Callable[[Unavailable], None] | None = None,
) -> None:
    """Rounds until `stop` is set; the round under way is finished.

    While a part is unavailable, waits `interval_s`, then twice as long each time up to `max_backoff_s`. Anything
    else that goes wrong is a defect and ends the loop: nothing is lost, the log keeps what was not loaded.

    interval_s: pause after a round that drained the log.
    compact_every: rounds with rows between two compactions; 0 never compacts.
    """
    failures = rounds = recorded_ms = 0
    while not stop.is_set():
        try:
            began_ms = now_ms()
            report = load_once(reader, warehouse, limit)
            if on_report:
                on_report(report)
            if report.complete and abs(began_ms - recorded_ms) >= RECORD_EVERY_MS:
                record_loaded(warehouse, began_ms)
                recorded_ms = began_ms
            rounds += bool(report.rows)
            if compact_every and rounds >= compact_every:
                rounds = 0  # before compacting: a compaction that keeps failing must not delay every load
                warehouse.compact()
            failures = 0
        except Unavailable as error:
            failures += 1
            pause_s = min(max_backoff_s, interval_s * 2 ** min(failures - 1, 16))
            log.warning("load failed %d times in a row, next in %.1f s: %s", failures, pause_s, error)
            if on_error:
                on_error(error)
            stop.wait(pause_s)
            continue
        if not report.full:
            stop.wait(interval_s)


def drain(reader: LogReader, warehouse: Warehouse, now_ms: Clock, limit: int = 2_000) -> Mapping[EntryKind, int]:
    """Rounds until one has loaded all that the log held when it began; rows written by kind."""
    rows = dict.fromkeys(EntryKind, 0)
    while True:
        began_ms = now_ms()
        report = load_once(reader, warehouse, limit)
        for kind, written in report.loaded.items():
            rows[kind] += written
        if report.complete:  # not: once it is empty, which it never is while others write to it
            record_loaded(warehouse, began_ms)
            return rows
