"""Hot swap from MLflow: what is refused or unreachable never takes the serving model away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
from decision_service.adapters.mlflow.store import CHAMPION, DIGEST_TAG
from decision_service.adapters.redis.embedded import free_port
from decision_service.adapters.vw import VwScorer
from decision_service.contract import model_artifact
from decision_service.core.model.errors import ModelRejected, Unavailable
from decision_service.core.model.record import ModelVersion
from tests.support.fitted import ACTIONS, customers
from tests.support.registered import NAME, Registry


@pytest.fixture
def registry(tracking_uri: str, tmp_path: Path) -> Registry:
    """A registry whose champion is version 1."""
    registry = Registry(tracking_uri, tmp_path)
    registry.promote(registry.register(0))
    return registry


def test_a_damaged_model_is_refused_and_the_old_one_stays(registry: Registry) -> None:
    """Status names the version refused and why; a repaired promotion serves again."""
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    serving = catalogue.champion("welcome")
    version = registry.register(1)
    (registry.files(1) / model_artifact.SERVING).write_bytes(b"damaged")
    registry.promote(version)
    catalogue.refresh(["welcome"])
    assert catalogue.champion("welcome") is serving
    assert catalogue.status()["welcome"].startswith("version 1; version 2 refused: damaged: digest")
    with pytest.raises(ModelRejected, match="damaged"):
        catalogue.scorer(ModelVersion(NAME, "2", "1"))
    registry.promote(registry.register(2))
    catalogue.refresh(["welcome"])
    assert catalogue.status() == {"welcome": "version 3"}


def test_a_refused_version_is_not_asked_for_again(registry: Registry) -> None:
    """The reason stays although the files have been mended: a version's content never changes."""
    good = (registry.files(0) / model_artifact.SERVING).read_bytes()
    (registry.files(0) / model_artifact.SERVING).write_bytes(b"damaged")
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    assert catalogue.champion("welcome") is None
    (registry.files(0) / model_artifact.SERVING).write_bytes(good)
    catalogue.refresh(["welcome"])
    assert catalogue.status()["welcome"].startswith("no model; version 1 refused: damaged")


def test_a_model_whose_features_come_later_is_loaded_then(registry: Registry) -> None:
    """Promoting before the feature repository is applied is a matter of order, not a fault of the model."""
    services: set[str] = set()
    catalogue = MlflowCatalogue(registry.tracking_uri, VwScorer, services.__contains__)
    catalogue.refresh(["welcome"])
    assert "FeatureService 'customer_v1' is unknown here" in catalogue.status()["welcome"]
    services.add("customer_v1")
    catalogue.refresh(["welcome"])
    assert catalogue.status() == {"welcome": "version 1"}


def test_a_model_without_a_digest_is_refused(registry: Registry) -> None:
    """A version that lost its tag is not served."""
    registry.client.delete_model_version_tag(NAME, "1", DIGEST_TAG)
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    assert "none was tagged" in catalogue.status()["welcome"]


def test_removing_the_alias_stops_serving(registry: Registry) -> None:
    """No champion on purpose is not a failure: decisions go back to uniform."""
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    registry.client.delete_registered_model_alias(NAME, CHAMPION)
    catalogue.refresh(["welcome"])
    assert catalogue.champion("welcome") is None
    assert catalogue.status() == {"welcome": "no model"}


def test_files_that_are_gone_keep_the_old_model(registry: Registry) -> None:
    """An artifact store that does not answer is reported, and asked again."""
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    version = registry.register(1)
    moved = registry.files(1).rename(registry.files(1).with_name("elsewhere"))
    registry.promote(version)
    catalogue.refresh(["welcome"])
    assert catalogue.status()["welcome"].startswith("version 1; MLflow: ")
    moved.rename(registry.files(1))
    catalogue.refresh(["welcome"])
    assert catalogue.status() == {"welcome": "version 2"}


def test_a_server_that_is_down_is_reported_and_serving_goes_on(registry: Registry) -> None:
    """Refresh does not raise, status says MLflow is unreachable, replay of an unloaded version is unavailable."""
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    serving = catalogue.champion("welcome")
    (registry.files(0).parent / "mlflow.db").write_bytes(b"not a database, " * 100)
    catalogue.refresh(["welcome"])
    assert catalogue.champion("welcome") is serving
    assert catalogue.status()["welcome"].startswith("version 1; MLflow: ")
    down = MlflowCatalogue(f"http://127.0.0.1:{free_port()}", VwScorer, lambda _: True)
    down.refresh(["welcome"])
    assert down.champion("welcome") is None
    assert down.status()["welcome"].startswith("no model; MLflow: ")
    with pytest.raises(Unavailable, match="mlflow"):
        down.scorer(ModelVersion(NAME, "1", "1"))


def test_a_database_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    """A worker that starts before the trainer must not race it to MLflow's migrations."""
    catalogue = MlflowCatalogue(f"sqlite:///{tmp_path / 'later.db'}", VwScorer, lambda _: True)
    catalogue.refresh(["welcome"])
    assert catalogue.status() == {"welcome": "no model"}
    assert not (tmp_path / "later.db").exists()


def test_decisions_go_on_during_a_swap(registry: Registry) -> None:
    """Every prediction during swaps is that of one version or the other, never a mixture or an error."""
    catalogue = registry.catalogue()
    catalogue.refresh(["welcome"])
    shared = customers(1)[0]
    seen: set[tuple[str, tuple[float, ...]]] = set()
    stop = threading.Event()

    def decide() -> None:
        while not stop.is_set():
            scorer = catalogue.champion("welcome")
            assert scorer is not None
            predicted = scorer.predict(scorer.encode(shared, ACTIONS), 3)
            seen.add((scorer.version.version, tuple(predicted.tolist())))

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        for version in (registry.register(1), "1", "2"):
            registry.promote(version)
            catalogue.refresh(["welcome"])
    finally:
        stop.set()
        thread.join()
    expected = {
        (version, tuple(scorer.predict(scorer.encode(shared, ACTIONS), 3).tolist()))
        for version in ("1", "2")
        for scorer in [catalogue.scorer(ModelVersion(NAME, version, "1"))]
    }
    assert seen <= expected
    assert ("1", next(values for version, values in expected if version == "1")) in seen
