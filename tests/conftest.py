"""Fixtures that every folder of tests shares: real servers, started once per test process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.mlflow.store import ensure_tracking
from decision_service.adapters.redis.embedded import EmbeddedRedis, free_port

# No example is too slow: what else the machine does is not the code's fault.
settings.register_profile("nba", deadline=None)
settings.load_profile("nba")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A real Redis server of this test process."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with EmbeddedRedis(folder, free_port()) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """An empty database on the real Redis server."""
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until moved."""
    return ManualClock()


@pytest.fixture(scope="session")
def _tracking_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables; creating them takes seconds, so it is done once."""
    file: Path = tmp_path_factory.mktemp("mlflow") / "template.db"
    ensure_tracking(f"sqlite:///{file}")
    return file


@pytest.fixture
def tracking_uri(_tracking_template: Path, tmp_path: Path) -> str:
    """An empty MLflow tracking store and registry of this test."""
    shutil.copy(_tracking_template, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
