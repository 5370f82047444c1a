"""What a worker keeps fresh in the background."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decision_service.adapters.memory.features import MemoryFeatures
from decision_service.adapters.redis.policies import RedisPolicies
from decision_service.operation import bootstrap
from decision_service.operation.bootstrap import Refresher
from decision_service.operation.settings import Settings
from tests.support.served import AUDIT, PROGRAM


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
    refresher = Refresher(
        chosen,
        policies,
        features,
        bootstrap.open_catalogue(chosen, features),
        bootstrap.open_signals(chosen),
        bootstrap.open_log(chosen),
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


def test_every_figure_of_a_worker_is_documented(settings: Settings, policies: RedisPolicies) -> None:
    """What a worker reports has its row in docs/operations.md, and no row is of something else."""
    assert policies.current().revision >= 0
    [report] = bootstrap.open_signals(settings).processes(time.time_ns() // 1_000_000).values()
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = page.partition("| key | what |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(report)
