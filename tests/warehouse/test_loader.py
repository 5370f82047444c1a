"""The loader loses nothing and doubles nothing, wherever it dies."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind, Warehouse
from decision_service.core.model.errors import Unavailable
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind, Verdict
from decision_service.warehouse.loader import LoadReport, drain, load_once, run_loader
from decision_service.warehouse.progress import MARGIN_MS, loaded_until_ms
from tests.support.dying import Crash, Dying
from tests.support.logged import T0, ListLog, activation, decision, event, outcome

KEYS = {
    "decisions": "decision_id",
    "activations": "decision_id",
    "outcomes": "outcome_id",
    "events": "event_id",
    "confirmations": "decision_id",
    "contact_preferences": "customer_id",
}


@pytest.fixture(params=["memory", "lakehouse"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Each form of the warehouse, empty."""
    return MemoryWarehouse() if request.param == "memory" else Lakehouse(tmp_path / "warehouse")


def clock() -> int:
    """The loader's."""
    return T0 + 3_600_000


def filled() -> ListLog:
    log = ListLog(shards=3)
    for i in range(5):
        customer = f"c{i}"
        log.add(
            decision(f"d{i}", customer),
            activation(f"d{i}", customer_id=customer),
            outcome(f"o{i}", 2, customer),
            event(f"e{i}", customer),
            Confirmation(f"d{i}", customer, Verdict.GO, T0, until_ms=T0 + 60_000),
            Preference(customer, PreferenceKind.LIFT, "email", T0, author="ann"),
        )
    return log


def contents(warehouse: Warehouse) -> dict[str, list[str]]:
    return {
        table: sorted(warehouse.query(f"SELECT {key} FROM {table}").column(key).to_pylist())
        for table, key in KEYS.items()
    }


FIRST = {"decision_id": "d", "outcome_id": "o", "event_id": "e", "customer_id": "c"}
COMPLETE = {table: [f"{FIRST[key]}{i}" for i in range(5)] for table, key in KEYS.items()}


def test_one_round_loads_every_kind_and_trims(warehouse: Warehouse) -> None:
    """A round writes each kind into its table, trims the log, and reports both."""
    log = filled()
    report = load_once(log, warehouse, 100)
    assert report == LoadReport(dict.fromkeys(EntryKind, 5), skipped=0, backlog=0, full=False, complete=True)
    assert report.rows == 30
    assert contents(warehouse) == COMPLETE
    assert load_once(log, warehouse, 100) == LoadReport({}, skipped=0, backlog=0, full=False, complete=True)


def test_a_round_is_bounded_per_shard(warehouse: Warehouse) -> None:
    """No more than `limit` entries per shard are taken at once; the rest follows."""
    log = filled()
    report = load_once(log, warehouse, 2)
    assert report.full
    assert not report.complete
    assert report.rows == 6
    assert report.backlog == 24
    assert drain(log, warehouse, clock, 2) == {kind: 5 - report.loaded.get(kind, 0) for kind in EntryKind}
    assert contents(warehouse) == COMPLETE


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_neither_loses_nor_doubles(tmp_path: Path, after: bool) -> None:
    """Dying before or after any call to the log or the warehouse, then starting anew, gives every row once."""
    for form in ("memory", "lakehouse"):
        calls = at = 0
        while at <= calls:
            log, store = filled(), MemoryWarehouse() if form == "memory" else Lakehouse(tmp_path / f"{after}{at}")
            dying = Dying(at, after)
            try:
                drain(dying.wrap(log), dying.wrap(store), clock, 6)
                survived = True
            except Crash:
                survived = False
            calls = dying.calls
            assert survived == (at >= calls)
            drain(log, store, clock, 6)
            assert contents(store) == COMPLETE, f"{form}, step {at}"
            assert log.backlog() == 0
            at += 1
        assert at > 8, "the walk covers read, four loads, trim and backlog of more than one round"


def test_what_was_loaded_before_a_failed_trim_is_skipped(warehouse: Warehouse) -> None:
    """Entries that were loaded but not trimmed are counted as skipped, and trimmed the next time."""
    log = filled()
    with pytest.raises(Crash):
        load_once(Dying(2, after=False).wrap(log), warehouse, 100)
    report = load_once(log, warehouse, 100)
    assert (report.rows, report.skipped, report.backlog) == (0, 30, 0)


def test_how_far_the_log_is_loaded_is_known_once_nothing_is_left(warehouse: Warehouse) -> None:
    """Not while a shard still holds what came before the round; by the clock as the round began, less a margin."""
    log, stop, times = filled(), threading.Event(), iter(range(T0, T0 + 10**9, 3_600_000))
    assert loaded_until_ms(warehouse) is None
    known: list[int | None] = []

    def on_report(report: LoadReport) -> None:
        known.append(loaded_until_ms(warehouse))
        if not report.rows:
            stop.set()

    run_loader(log, warehouse, stop, lambda: next(times), limit=5, interval_s=0.001, on_report=on_report)
    rounds = len(known)
    assert rounds >= 3
    assert set(known[: rounds - 1]) == {None}
    assert loaded_until_ms(warehouse) == T0 + (rounds - 1) * 3_600_000 - MARGIN_MS


def test_what_comes_while_a_round_loads_holds_nothing_up(warehouse: Warehouse) -> None:
    """Under load the log is never empty, and all that it held when the round began is loaded all the same."""

    class Busy(ListLog):
        def trim(self, through: Any) -> None:
            """More arrives meanwhile."""
            super().trim(through)
            self.add(event("more", "c9"))

    log = Busy(shards=3)
    log.add(event("first"))
    report = load_once(log, warehouse, 100)
    assert (report.backlog, report.complete) == (1, True)


def test_the_loop_survives_outages_and_stops(tmp_path: Path) -> None:
    """While the log is down the loop waits and tries again; it then loads, compacts, and ends when told."""
    log, store, stop = filled(), Lakehouse(tmp_path), threading.Event()
    errors: list[Unavailable] = []
    reports: list[LoadReport] = []

    class Flaky(ListLog):
        outages = 2

        def read(self, after: Any, limit: int) -> Any:
            """Down twice, then as the log."""
            if self.outages:
                self.outages -= 1
                raise Unavailable("ledger", "down")
            return log.read(after, limit)

        trim, backlog = staticmethod(log.trim), staticmethod(log.backlog)  # type: ignore[assignment]
        lengths = staticmethod(log.lengths)  # type: ignore[assignment]

    def on_report(report: LoadReport) -> None:
        reports.append(report)
        if not report.rows:
            stop.set()

    run_loader(
        Flaky(),
        store,
        stop,
        clock,
        limit=2,
        interval_s=0.001,
        compact_every=1,
        on_report=on_report,
        on_error=errors.append,
    )
    assert len(errors) == 2
    assert sum(report.rows for report in reports) == 30
    assert contents(store) == COMPLETE


def test_a_compaction_that_fails_does_not_stop_loading(tmp_path: Path) -> None:
    """An unavailable compaction is reported, and the next rounds load."""
    log, stop = filled(), threading.Event()
    errors: list[Unavailable] = []

    class NoCompaction(MemoryWarehouse):
        def compact(self) -> int:
            """Always down."""
            raise Unavailable("warehouse", "disk full")

    store = NoCompaction()

    def on_report(report: LoadReport) -> None:
        if not report.rows:
            stop.set()

    run_loader(
        log, store, stop, clock, limit=2, interval_s=0.001, compact_every=1, on_report=on_report, on_error=errors.append
    )
    assert errors
    assert contents(store) == COMPLETE
