"""A whole product of its own in one folder, on simulated time: what demo, replay and end-to-end tests run in."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decision_service.adapters.clocks import FileClock
from decision_service.adapters.redis.embedded import free_port
from decision_service.application.policy_store import Published
from decision_service.application.ports import Warehouse
from decision_service.client import DecisionClient
from decision_service.core.choice.draw import Draw, KeyedDraw
from decision_service.core.model.errors import InvalidRequest, Unavailable
from decision_service.operation import bootstrap, jobs
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import Stack

if TYPE_CHECKING:
    from decision_service.audit import Report
    from training.pipeline import Plan

PARTS = (
    "redis",
    "warehouse",
    "features",
    "mlartifacts",
    "logs",
    "clock",
    "supervisor.lock",
    "promotion.lock",
    "join.lock",
    "mlflow.db",
    "mlflow.db-wal",
    "mlflow.db-shm",
)
"""What a home folder may hold; anything else in it is somebody's."""

LEDGER = """
SELECT program, to_version, verdict, note, epoch_ms(promoted_at) AS at_ms FROM promotions ORDER BY at_ms
"""

Progress = Callable[[str, int, int], None]
"""(what, done, total): moves one bar per `what`."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A candidate model and its verdict: PROMOTE, HOLD or INSUFFICIENT."""

    program: str
    version: str
    verdict: str
    note: str
    at_ms: int


def silent(_what: str, _done: int, _total: int) -> None:
    """No progress."""


class Sandbox:
    """A context manager around embedded Redis, workers and loader in a fresh home, with a clock that the owner moves.

    Ports are free ones, so that it runs beside `nba up`. `start` is separate, because features are best there before
    the workers look for them: Redis alone is up on entry.
    """

    def __init__(self, settings: Settings, home: Path, start_ms: int) -> None:
        self.home = home.resolve()
        _empty(self.home)
        self.clock = FileClock(self.home / "clock", create_at_ms=start_ms)
        self.settings = settings.model_copy(
            update={
                "home": self.home,
                "port": free_port(),
                "embedded_redis_port": free_port(),
                "ledger_url": "",
                "features_url": "",
                "warehouse": None,
                "mlflow_uri": "",
                "clock": f"file:{self.home / 'clock'}",
                # Training shares the cores here: patience instead of degraded answers.
                "feature_deadline_ms": max(settings.feature_deadline_ms, 500),
                "ledger_deadline_ms": max(settings.ledger_deadline_ms, 5_000),
            }
        )
        self.stack = Stack(self.settings)
        self._client: DecisionClient | None = None

    @property
    def warehouse(self) -> Warehouse:
        """The lakehouse of this home."""
        return bootstrap.open_warehouse(self.settings)

    @property
    def client(self) -> DecisionClient:
        """A client of the workers; after `start`."""
        if self._client is None:
            raise Unavailable("decision service", "the sandbox has not been started")
        return self._client

    @property
    def draw(self) -> Draw:
        """What requests are drawn by here; after `start`."""
        with closing(bootstrap.open_installation(self.settings)) as installation:
            return KeyedDraw(installation.claim().draw_key)

    def start(self) -> None:
        """Start workers and loader, and connect."""
        self.stack.start()
        self._client = DecisionClient(self.stack.target, channels=8, deadline_ms=30_000)
        self._client.wait_ready(30.0)

    def published(self) -> Published:
        """What is published, as any process reads it."""
        return bootstrap.open_policies(self.settings).current()

    def await_programs(self, names: Iterable[str], timeout_s: float = 10.0) -> None:
        """Wait until every worker knows these programs."""
        wanted = set(names)
        self._await_workers(timeout_s, lambda status: wanted <= status["programs"].keys())

    def build_features(self) -> None:
        """The retailer's features, as of the clock."""
        jobs.build_features(self.settings)

    def drain(self, timeout_s: float = 60.0) -> None:
        """Wait until everything logged is in the warehouse.

        Raises:
            Unavailable: the loader did not get there in time.
        """
        from decision_service.warehouse.progress import record_loaded

        log, now_ms = bootstrap.open_log(self.settings), self.clock.now_ms()
        _poll("loader", timeout_s, lambda: log.backlog() == 0)
        record_loaded(self.warehouse, now_ms)  # the loader says so now and then; the simulation's clock has jumped

    def mature(self, window_s: int) -> None:
        """Let the time pass in which rewards with this window become final; what was logged is loaded."""
        from decision_service.warehouse.progress import MARGIN_MS
        from training.join import LATE_GRACE_S

        self.clock.set(self.clock.now_ms() + (window_s + LATE_GRACE_S) * 1000 + MARGIN_MS)
        self.drain()

    def join(self) -> None:
        """Outcomes to rewards, as of the clock."""
        jobs.join(self.settings)

    def audit(self, acknowledged: Iterable[str]) -> Report:
        """What `nba audit` says, with the ids that callers were given; after `drain`."""
        return jobs.audit(self.settings, acknowledged=acknowledged)

    def learn(self, plan: Plan | None = None) -> list[TrainingRun]:
        """Join, train, gate and promote every program; returns once the workers serve the new champions."""
        seen = len(self.training_runs())
        self.join()
        jobs.train(self.settings, plan=plan)
        runs = self.training_runs()[seen:]
        self.await_champions({run.program: run.version for run in runs if run.verdict == "PROMOTE"})
        return runs

    def training_runs(self) -> list[TrainingRun]:
        """What became of every candidate so far, oldest first, from the promotion ledger."""
        if "promotions" not in self.warehouse.tables():
            return []
        rows = self.warehouse.query(LEDGER).to_pylist()
        return [TrainingRun(r["program"], r["to_version"] or "", r["verdict"], r["note"], r["at_ms"]) for r in rows]

    def await_champions(self, champions: Mapping[str, str], timeout_s: float = 15.0) -> None:
        """Wait until every worker serves these versions, by program.

        Raises:
            Unavailable: one does not; its status says why.
        """
        self._await_workers(
            timeout_s,
            lambda status: all(status["models"].get(p) == f"version {v}" for p, v in champions.items()),
        )

    def _await_workers(self, timeout_s: float, ready: Callable[[Mapping[str, Any]], bool]) -> None:
        signals = bootstrap.open_signals(self.settings)

        def all_ready() -> bool:
            statuses = [s for s in signals.processes(time.time_ns() // 1_000_000).values() if "models" in s]
            return len(statuses) >= self.settings.workers and all(map(ready, statuses))

        try:
            _poll("workers", timeout_s, all_ready)
        finally:
            signals.close()

    def __enter__(self) -> Sandbox:
        self.stack.start_redis()
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
        self.stack.stop()


def _poll(part: str, timeout_s: float, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise Unavailable(part, f"not ready after {timeout_s:g} s")
        time.sleep(0.05)


def _empty(home: Path) -> None:
    """Make an empty folder of `home`.

    Raises:
        InvalidRequest: it holds what no sandbox left there.
    """
    home.mkdir(parents=True, exist_ok=True)
    if strange := sorted(p.name for p in home.iterdir() if p.name not in PARTS):
        raise InvalidRequest.of(
            "home", f"{home} holds {', '.join(strange[:5])}; give an empty folder, or one of before"
        )
    for part in home.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
