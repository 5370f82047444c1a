"""What every catalogue does, in memory and on MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
from decision_service.adapters.vw import VwScorer
from decision_service.contract.model_artifact import load_artifact
from decision_service.core.model.errors import NotFound
from decision_service.core.model.record import ModelVersion
from tests.support.fitted import ACTIONS, customers, write_fitted
from tests.support.registered import Registry


class Bench:
    """A catalogue and a way to promote the model of a seed in it."""

    def __init__(self, catalogue: MlflowCatalogue | MemoryCatalogue, promote: Callable[[int], None]) -> None:
        self.catalogue, self.promote = catalogue, promote


@pytest.fixture(params=["memory", "mlflow"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Each form of the catalogue."""
    if request.param == "mlflow":
        registry = Registry(request.getfixturevalue("tracking_uri"), tmp_path)
        return Bench(registry.catalogue(), lambda seed: registry.promote(registry.register(seed)))
    memory = MemoryCatalogue()
    versions = iter(range(1, 100))

    def promote(seed: int) -> None:
        folder = tmp_path / str(seed)
        digest = write_fitted(folder, seed)
        memory.promote("welcome", load_artifact(folder, digest, str(next(versions)), VwScorer, lambda _: True))

    return Bench(memory, promote)


def test_without_a_champion_there_is_none(bench: Bench) -> None:
    """A program that nobody trained yet has no model, and status says so."""
    assert bench.catalogue.champion("welcome") is None
    bench.catalogue.refresh(["welcome"])
    assert bench.catalogue.champion("welcome") is None
    assert bench.catalogue.status() == {"welcome": "no model"}


def test_a_promotion_serves_after_a_refresh(bench: Bench) -> None:
    """The champion stays what it is until the refresh, then it is the new one, at once."""
    bench.promote(0)
    assert bench.catalogue.champion("welcome") is None
    bench.catalogue.refresh(["welcome"])
    first = bench.catalogue.champion("welcome")
    assert first is not None
    assert first.version.version == "1"
    bench.promote(1)
    assert bench.catalogue.champion("welcome") is first
    bench.catalogue.refresh(["welcome"])
    second = bench.catalogue.champion("welcome")
    assert second is not None
    assert second.version.version == "2"
    assert bench.catalogue.status() == {"welcome": "version 2"}
    # The old one still answers whoever holds it: a Decide that began before the swap.
    assert first.predict(first.encode(customers(1)[0], ACTIONS), 3).shape == (3,)


def test_refreshing_again_changes_nothing(bench: Bench) -> None:
    """The same champion is not loaded twice."""
    bench.promote(0)
    bench.catalogue.refresh(["welcome"])
    loaded = bench.catalogue.champion("welcome")
    bench.catalogue.refresh(["welcome"])
    assert bench.catalogue.champion("welcome") is loaded


def test_any_version_is_there_for_replay(bench: Bench) -> None:
    """A version that no longer serves predicts exactly as it did."""
    bench.promote(0)
    bench.catalogue.refresh(["welcome"])
    first = bench.catalogue.champion("welcome")
    assert first is not None
    text = first.encode(customers(1)[0], ACTIONS)
    bench.promote(1)
    bench.catalogue.refresh(["welcome"])
    replayed = bench.catalogue.scorer(first.version)
    assert replayed.version == first.version
    assert replayed.predict(text, 3).tolist() == first.predict(text, 3).tolist()
    assert bench.catalogue.scorer(first.version) is replayed


def test_an_unknown_version_is_not_found(bench: Bench) -> None:
    """Replay of a decision by a model that is gone says which."""
    with pytest.raises(NotFound, match="nba-welcome 99"):
        bench.catalogue.scorer(ModelVersion("nba-welcome", "99", "1"))
