"""The only place that wires: settings to adapters to the service and the jobs. Heavy imports happen in here, on use."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decision_service.adapters.clocks import clock_from
from decision_service.application.feature_gauge import FeatureGauge
from decision_service.application.ports import Clock, Warehouse
from decision_service.core.model.errors import NbaError, NotFound
from decision_service.operation.settings import Settings

if TYPE_CHECKING:
    from decision_service.adapters.feast.features import RefreshableSource
    from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
    from decision_service.adapters.redis.budgets import RedisBudgets
    from decision_service.adapters.redis.installation import RedisInstallation
    from decision_service.adapters.redis.ledger import RedisLedger
    from decision_service.adapters.redis.log import RedisLog
    from decision_service.adapters.redis.policies import RedisPolicies
    from decision_service.adapters.redis.restore import RedisRestore
    from decision_service.adapters.redis.signals import RedisSignals
    from decision_service.adapters.redis.simulations import RedisSimulations, RedisSimulationTasks
    from decision_service.application.admission import Admission
    from decision_service.application.services import Services

log = logging.getLogger(__name__)

LOG_DEADLINE_MS = 30_000


def open_ledger(settings: Settings) -> RedisLedger:
    """The ledger, after checking that its server keeps what it acknowledges.

    Raises:
        UnsafeLedger: it does not, and the settings do not allow that.
        Unavailable: it does not answer.
    """
    from decision_service.adapters.redis.installation import UnsafeLedger
    from decision_service.adapters.redis.ledger import RedisLedger

    ledger = RedisLedger(
        settings.ledger_address, settings.shards, settings.ledger_deadline_ms, settings.record_retention_s
    )
    ledger.check_shards()
    if problems := ledger.check_durability():
        if not settings.allow_unsafe_ledger:
            raise UnsafeLedger(f"{'; '.join(problems)}. Change the server, or set NBA_ALLOW_UNSAFE_LEDGER=true")
        for problem in problems:
            log.warning("unsafe ledger: %s", problem)
    return ledger


def open_installation(settings: Settings) -> RedisInstallation:
    """What the ledger is known by."""
    from decision_service.adapters.redis.installation import RedisInstallation

    return RedisInstallation(settings.ledger_address, settings.shards, settings.ledger_deadline_ms)


def open_restore(settings: Settings) -> RedisRestore:
    """What brings a lost ledger back; it writes much at once, with a patience of its own."""
    from decision_service.adapters.redis.restore import RedisRestore

    return RedisRestore(settings.ledger_address, settings.shards, LOG_DEADLINE_MS, settings.record_retention_s)


def open_budgets(settings: Settings) -> RedisBudgets:
    """The counters of the volume constraints, on the ledger's server."""
    from decision_service.adapters.redis.budgets import RedisBudgets

    return RedisBudgets(settings.ledger_address, settings.ledger_deadline_ms, settings.record_retention_s)


def open_log(settings: Settings, deadline_ms: int | None = None) -> RedisLog:
    """The loader's end of the ledger's log. It reads many records at once, with a patience of its own by default.

    Raises:
        UnsafeLedger: the ledger has another number of shards.
        Unavailable: it does not answer.
    """
    from decision_service.adapters.redis.log import RedisLog

    log_reader = RedisLog(settings.ledger_address, settings.shards, deadline_ms or LOG_DEADLINE_MS)
    log_reader.check_shards()
    return log_reader


def open_policies(settings: Settings) -> RedisPolicies:
    """The published programs and contact policy, read once."""
    from decision_service.adapters.redis.policies import RedisPolicies

    policies = RedisPolicies(settings.ledger_address, settings.ledger_deadline_ms)
    policies.refresh()
    return policies


def open_features(settings: Settings) -> RefreshableSource:
    """The features of the online store, by Feast's registry."""
    from decision_service.adapters.feast.features import open_feature_source

    return open_feature_source(
        settings.feature_repo, settings.features_address, settings.feature_deadline_ms, settings.features_path
    )


def open_catalogue(settings: Settings, features: RefreshableSource) -> MlflowCatalogue:
    """The models of the MLflow registry; nothing is loaded yet."""
    from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
    from decision_service.adapters.vw import VwScorer

    def knows_service(name: str) -> bool:
        try:
            features.schema(name)
        except NotFound:
            return False
        return True

    return MlflowCatalogue(settings.tracking_uri, VwScorer, knows_service)


def open_registry(settings: Settings) -> MlflowCatalogue:
    """The same models for those who score what was logged, whatever features are served today."""
    from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
    from decision_service.adapters.vw import VwScorer

    return MlflowCatalogue(settings.tracking_uri, VwScorer, lambda _: True)


def open_signals(settings: Settings) -> RedisSignals:
    """What processes tell each other."""
    from decision_service.adapters.redis.signals import RedisSignals

    return RedisSignals(settings.ledger_address, settings.ledger_deadline_ms)


def open_simulations(settings: Settings) -> RedisSimulations:
    """The way to the simulator."""
    from decision_service.adapters.redis.simulations import RedisSimulations

    return RedisSimulations(settings.ledger_address, settings.ledger_deadline_ms)


def open_simulation_tasks(settings: Settings) -> RedisSimulationTasks:
    """The simulator's end of it."""
    from decision_service.adapters.redis.simulations import RedisSimulationTasks

    return RedisSimulationTasks(settings.ledger_address, settings.ledger_deadline_ms)


def open_warehouse(settings: Settings) -> Warehouse:
    """The lakehouse folder."""
    from decision_service.adapters.lakehouse.delta import Lakehouse

    return Lakehouse(settings.warehouse_path)


@dataclass(frozen=True, slots=True)
class Worker:
    """A wired Decide worker: the services, and what must be refreshed beside it."""

    services: Services
    refresher: Refresher
    clock: Clock


class Refresher:
    """Keeps a worker's snapshots fresh in the background, and reports how the worker is doing.

    Programs, and whether the ledger is in service, are looked for every `policy_refresh_s`, in a thread of their own:
    to load a model may take seconds. Models are looked for when a promotion says so, and every `catalogue_refresh_s` in
    case it could not; Feast's registry every `feature_refresh_s`. The clock is compared with the ledger's every second.
    """

    def __init__(
        self,
        settings: Settings,
        policies: RedisPolicies,
        features: RefreshableSource,
        catalogue: MlflowCatalogue,
        signals: RedisSignals,
        decision_log: RedisLog,
        installation: RedisInstallation,
        admission: Admission,
        clock: Clock,
        gauge: FeatureGauge | None = None,
    ) -> None:
        self._installation, self._admission, self._clock = installation, admission, clock
        self._tell_health: Callable[[bool], None] = lambda _: None
        self._is_healthy = True
        self._settings, self._policies, self._features = settings, policies, features
        self._catalogue, self._signals, self._log = catalogue, signals, decision_log
        self._gauge = gauge or FeatureGauge()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(part,), name=part.__name__.strip("_"), daemon=True)
            for part in (self._refresh_programs, self._refresh_rest)
        ]
        self._models_revision = -1
        self._due: dict[str, float] = {}
        self._backlog = 0
        self._errors: dict[str, str] = {}
        self.serving = False
        self.name = f"worker {socket.gethostname()}:{os.getpid()}"

    def watch_health(self, tell: Callable[[bool], None]) -> None:
        """Tell, now and whenever it changes, whether the worker should be sent requests."""
        self._tell_health = tell
        tell(self._is_healthy)

    def accepting(self) -> bool:
        """Whether the log has room; False sheds load until the loader catches up."""
        return self._backlog < self._settings.backlog_limit

    def start(self) -> None:
        """Refresh once, then go on in the background."""
        self.refresh()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the thread and take the worker's status down."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._attempt("signals", lambda: self._signals.gone(self.name))

    def refresh(self) -> None:
        """One round: each part that is due. A part that fails keeps what it had, and the status says why."""
        self._refresh_programs()
        self._refresh_rest()

    def _refresh_programs(self) -> None:
        self._attempt("programs", self._policies.refresh)
        self._attempt("ledger", self._look_at_ledger)

    def _refresh_rest(self) -> None:
        if self._is_due("features", self._settings.feature_refresh_s):
            self._attempt("features", self._features.refresh)
        self._attempt("models", self._refresh_models)
        if self._is_due("report", 1.0):
            self._attempt("clock", self._measure_clock)
            self._attempt("log", self._measure_backlog)
            self._attempt("signals", self._report)

    def _refresh_models(self) -> None:
        is_due = self._is_due("models", self._settings.catalogue_refresh_s)
        revision = self._signals.models_revision()
        programs = self._policies.current().programs
        is_new = any(program not in self._catalogue.status() for program in programs)
        if is_due or is_new or revision != self._models_revision:
            self._catalogue.refresh(programs)
            self._models_revision = revision

    def _look_at_ledger(self) -> None:
        known = self._admission.installation
        found = self._installation.claim()
        if found != known:
            self._admission.renew(found)
            self._due["report"] = 0.0  # whoever waits for the ledger to be in service reads it there

    def _measure_clock(self) -> None:
        before_ms = self._clock.now_ms()
        self._admission.measure(self._installation.time_ms(), before_ms)
        is_healthy = not self._admission.clock_problem
        if is_healthy != self._is_healthy:
            self._is_healthy = is_healthy
            self._tell_health(is_healthy)

    def _measure_backlog(self) -> None:
        self._backlog = self._log.backlog()

    def _report(self) -> None:
        published = self._policies.current()
        decisions, without_features = self._gauge.read()
        status = {
            "pid": os.getpid(),
            "serving": self.serving,
            "revision": published.revision,
            "programs": {name: program.version for name, program in published.programs.items()},
            "models": dict(self._catalogue.status()),
            "errors": {**self._errors, **self._policies.problems, **self._admission.problems},
            "ledger": self._admission.installation.state.value,
            "clock_skew_ms": self._admission.skew_ms,
            "backlog": self._backlog,
            "decisions_60s": decisions,
            "without_features_60s": without_features,
        }
        self._signals.report(self.name, time.time_ns() // 1_000_000, status)

    def _attempt(self, part: str, refresh: Callable[[], object]) -> None:
        try:
            refresh()
        except Exception as error:  # noqa: BLE001 — whatever a part does, the worker keeps serving what it has
            if self._errors.get(part) != str(error):
                log.warning("%s could not be refreshed: %s", part, error)
            self._errors[part] = str(error)
        else:
            self._errors.pop(part, None)

    def _is_due(self, part: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(part, 0.0):
            return False
        self._due[part] = now + every_s
        return True

    def _run(self, part: Callable[[], None]) -> None:
        while not self._stop.wait(self._settings.policy_refresh_s):
            part()


def open_worker(settings: Settings) -> Worker:
    """Everything a Decide worker is made of."""
    from decision_service.adapters.cel_rules import CelRules
    from decision_service.application.admission import Admission
    from decision_service.application.services import Services

    ledger, installation = open_ledger(settings), open_installation(settings)
    clock = clock_from(settings.clock)
    max_skew_ms = round(settings.max_clock_skew_s * 1000) if settings.clock == "system" else None
    admission = Admission(installation.claim(), clock, max_skew_ms)
    policies = open_policies(settings)
    features = open_features(settings)
    catalogue = open_catalogue(settings, features)
    decision_log = open_log(settings, settings.ledger_deadline_ms)  # only measured here: no patience that would block
    gauge = FeatureGauge()
    refresher = Refresher(
        settings,
        policies,
        features,
        catalogue,
        open_signals(settings),
        decision_log,
        installation,
        admission,
        clock,
        gauge,
    )
    services = Services.over(
        policies=policies,
        features=features,
        ledger=ledger,
        budgets=open_budgets(settings),
        catalogue=catalogue,
        rules=CelRules(),
        clock=clock,
        draw=admission.draw,
        admission=admission,
        accepting=refresher.accepting,
        observe=gauge.add,
        simulator=open_simulations(settings),
        retention_s=settings.record_retention_s,
    )
    return Worker(services, refresher, clock)


def describe_error(error: NbaError) -> str:
    """An error for a person at a terminal: every violation on a line of its own."""
    violations = getattr(error, "violations", ())
    return "\n".join(f"  {violation}" for violation in violations) if violations else f"  {error}"
