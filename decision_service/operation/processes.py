"""What each process does until it is told to stop. The same commands run under `nba up` and as separate workloads."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from decision_service.adapters.clocks import clock_from
from decision_service.core.model.errors import NbaError, Unavailable
from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings

log = logging.getLogger(__name__)


class Lifetime:
    """Ends on SIGTERM or SIGINT, and when the supervisor that started this process is gone."""

    def __init__(self, supervised: bool) -> None:
        self.ended = threading.Event()
        self._parent = os.getppid() if supervised else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ended.set())

    def wait(self) -> None:
        """Return when the process should end."""
        while not self.ended.wait(0.5):
            self.check_parent()

    def check_parent(self) -> None:
        """End if the parent is gone: an orphan would hold the port and serve for nobody."""
        if self._parent is not None and os.getppid() != self._parent:
            log.error("the supervisor is gone; ending")
            self.ended.set()

    def watch_parent(self) -> None:
        """Check the parent in the background, for processes whose main thread works."""
        threading.Thread(target=self.wait, name="lifetime", daemon=True).start()


def run_worker(settings: Settings, supervised: bool) -> None:
    """Serve Decide until told to stop, then drain."""
    from decision_service.rpc.server import Server

    lifetime = Lifetime(supervised)
    worker = bootstrap.open_worker(settings)
    worker.refresher.start()
    server = Server(
        worker.services,
        f"{settings.host}:{settings.port}",
        threads=settings.threads,
        max_inflight=settings.max_inflight,
    )
    worker.refresher.watch_health(server.report_health)
    server.start()
    # What was imported stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    worker.refresher.serving = True
    log.info("serving on %s:%s", settings.host, settings.port)
    try:
        lifetime.wait()
    finally:
        server.stop(settings.drain_s)
        worker.refresher.stop()


def run_loader(settings: Settings, supervised: bool) -> None:
    """Load the log into the warehouse until told to stop; then once more, so that what was logged is there."""
    from decision_service.operation.recognition import keep_recognising, recognise_when_it_answers
    from decision_service.warehouse.loader import drain
    from decision_service.warehouse.loader import run_loader as load_until

    lifetime = Lifetime(supervised)
    lifetime.watch_parent()
    reader, warehouse = bootstrap.open_log(settings), bootstrap.open_warehouse(settings)
    # Before anything is loaded: what a new ledger logs must not be taken for the history of another.
    recognise_when_it_answers(settings, warehouse, lifetime.ended)
    threading.Thread(
        target=keep_recognising, args=(settings, warehouse, lifetime.ended), name="recognition", daemon=True
    ).start()
    now_ms = clock_from(settings.clock).now_ms
    load_until(reader, warehouse, lifetime.ended, now_ms, settings.load_batch, settings.load_interval_s)
    drain(reader, warehouse, now_ms, settings.load_batch)


def run_trainer(settings: Settings, supervised: bool) -> None:
    """Build features, join outcomes, train, gate and promote, over and over."""
    from decision_service.operation import jobs

    lifetime = Lifetime(supervised)
    lifetime.watch_parent()
    while not lifetime.ended.is_set():
        try:
            jobs.learn(settings)
        except NbaError as error:  # nothing to learn from yet, or a part is away: a sentence says it
            log.warning("the learning cycle stopped, next try in %s s: %s", settings.train_interval_s, error)
        except Exception:
            log.exception("the learning cycle failed; it is tried again in %s s", settings.train_interval_s)
        lifetime.ended.wait(settings.train_interval_s)


def run_simulator(settings: Settings, supervised: bool) -> None:
    """Simulate what the workers hand over until told to stop. What that takes is imported with the first task."""
    from decision_service.adapters.redis.simulations import ALIVE_S
    from decision_service.simulation.simulator import Progress, work_off

    lifetime = Lifetime(supervised)
    lifetime.watch_parent()
    tasks = bootstrap.open_simulation_tasks(settings)

    def stay_known() -> None:
        while not lifetime.ended.is_set():
            try:
                tasks.alive()
            except Unavailable as error:
                log.warning("the ledger does not know that a simulator is here: %s", error)
            lifetime.ended.wait(ALIVE_S / 4)

    def simulate(document: str, contact_policy: str, from_ms: int, until_ms: int, progress: Progress) -> str:
        from decision_service.operation import jobs

        report = jobs.simulate(settings, document, contact_policy, from_ms, until_ms, progress=progress)
        return json.dumps(report.to_json())

    threading.Thread(target=stay_known, name="alive", daemon=True).start()
    with suppress(Unavailable):
        tasks.give_up_orphan()
    work_off(tasks, simulate, lifetime.ended)
    with suppress(Unavailable):
        tasks.gone()


def supervise(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the whole stack until SIGTERM or SIGINT."""
    from decision_service.operation.supervisor import Stack

    lifetime = Lifetime(supervised=False)
    with Stack(settings, trainer=True, simulator=True) as stack:
        announce(stack.target)
        lifetime.wait()
