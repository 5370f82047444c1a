"""What a worker keeps fresh in the background."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from decision_service.adapters.clocks import ManualClock, SystemClock
from decision_service.adapters.memory.features import MemoryFeatures
from decision_service.adapters.redis.policies import RedisPolicies
from decision_service.adapters.redis.signals import RedisSignals
from decision_service.application.admission import Admission
from decision_service.application.feature_gauge import FeatureGauge
from decision_service.cli.decisions import without_features
from decision_service.operation import bootstrap
from decision_service.operation.bootstrap import Refresher
from decision_service.operation.settings import Settings
from decision_service.rpc.server import Server
from tests.support.served import AUDIT, PROGRAM, World


@dataclass
class SlowFeatures(MemoryFeatures):
    """Their second refresh takes until it is let go, as loading a registry or a model may."""

    slow: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    refreshes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def refresh(self) -> None:
        self.refreshes += 1
        if self.refreshes > 1:
            self.slow.set()
            assert self.let_go.wait(30)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, ledger_url=redis_url, feature_refresh_s=0.01, policy_refresh_s=0.01)


@pytest.fixture
def features() -> SlowFeatures:
    return SlowFeatures()


@pytest.fixture
def policies(settings: Settings, features: SlowFeatures, tracking_uri: str) -> Iterator[RedisPolicies]:
    """Those of a running worker, which has looked for its features once."""
    chosen = settings.model_copy(update={"mlflow_uri": tracking_uri})
    policies = bootstrap.open_policies(chosen)
    installation = bootstrap.open_installation(chosen)
    refresher = Refresher(
        chosen,
        policies,
        features,
        bootstrap.open_catalogue(chosen, features),
        bootstrap.open_signals(chosen),
        bootstrap.open_log(chosen),
        installation,
        Admission(installation.claim(), SystemClock()),
        SystemClock(),
    )
    refresher.start()
    yield policies
    features.let_go.set()
    refresher.stop()


def test_programs_go_live_whatever_else_takes_long(
    settings: Settings, features: SlowFeatures, policies: RedisPolicies
) -> None:
    """Publishing is in effect within a second while features or models are being loaded."""
    assert features.slow.wait(30)
    publisher = bootstrap.open_policies(settings)
    publisher.publish_program(PROGRAM, AUDIT)
    until = time.monotonic() + 1.0
    while "p" not in policies.current().programs:
        assert time.monotonic() < until
        time.sleep(0.005)
    assert not features.let_go.is_set()
    publisher.close()


def test_the_share_of_decisions_without_features_is_reported(settings: Settings, tracking_uri: str) -> None:
    """Of the last minute, by each worker; `nba status` shows it, and what an earlier release's worker says."""
    chosen = settings.model_copy(update={"mlflow_uri": tracking_uri})
    signals = bootstrap.open_signals(chosen)
    features = MemoryFeatures()
    worker = Refresher(
        chosen,
        bootstrap.open_policies(chosen),
        features,
        bootstrap.open_catalogue(chosen, features),
        signals,
        bootstrap.open_log(chosen),
        installation := bootstrap.open_installation(chosen),
        Admission(installation.claim(), ManualClock()),
        ManualClock(),
        gauge := FeatureGauge(),
    )
    worker.refresh()
    assert without_features(reported(signals, worker)) == "no decisions in a minute"
    for without in (True, False, False, False):
        gauge.add(without)
    time.sleep(1.1)
    worker.refresh()
    assert without_features(reported(signals, worker)) == "25.0% of 4 in a minute"
    assert without_features({"pid": 1}) == "unknown"


def reported(signals: RedisSignals, worker: Refresher) -> Mapping[str, Any]:
    """What others see of a worker."""
    return signals.processes(time.time_ns() // 1_000_000)[worker.name]


def test_a_clock_that_is_off_takes_the_worker_out_of_rotation_while_it_is(
    settings: Settings, features: SlowFeatures, tracking_uri: str
) -> None:
    """Its health says so within a second or two, its status how far it is off, and both when it is right again."""
    chosen = settings.model_copy(update={"mlflow_uri": tracking_uri})
    features.let_go.set()
    clock = ShiftedClock(12 * 60_000)
    installation = bootstrap.open_installation(chosen)
    refresher = Refresher(
        chosen,
        bootstrap.open_policies(chosen),
        features,
        bootstrap.open_catalogue(chosen, features),
        bootstrap.open_signals(chosen),
        bootstrap.open_log(chosen),
        installation,
        Admission(installation.put_in_service(installation.claim()), clock, 5_000),
        clock,
    )
    server = Server(World().services, "127.0.0.1:0", threads=2)
    refresher.start()
    refresher.watch_health(server.report_health)
    with server, grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for shift_ms, expected in ((12 * 60_000, "NOT_SERVING"), (0, "SERVING"), (-9_000, "NOT_SERVING")):
            clock.shift_ms = shift_ms
            until = time.monotonic() + 10
            while (_health(health), _has_clock_error(chosen)) != (expected, expected == "NOT_SERVING"):
                assert time.monotonic() < until
                time.sleep(0.05)
            [status] = bootstrap.open_signals(chosen).processes(time.time_ns() // 1_000_000).values()
            assert abs(status["clock_skew_ms"] - shift_ms) < 1_000
    refresher.stop()


@dataclass
class ShiftedClock:
    """The machine's, set wrong."""

    shift_ms: int

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.shift_ms


def _health(stub: health_pb2_grpc.HealthStub) -> str:
    answer = stub.Check(health_pb2.HealthCheckRequest(service="nba.v1.DecisionService"))
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return name


def _has_clock_error(settings: Settings) -> bool:
    [status] = bootstrap.open_signals(settings).processes(time.time_ns() // 1_000_000).values()
    return "clock" in status["errors"]


def test_every_figure_of_a_worker_is_documented(settings: Settings, policies: RedisPolicies) -> None:
    """What a worker reports has its row in docs/operations.md, and no row is of something else."""
    assert policies.current().revision >= 0
    [report] = bootstrap.open_signals(settings).processes(time.time_ns() // 1_000_000).values()
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page.partition("| key | what |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(report)
