"""A run is found again in MLflow with everything it rested on, and its version serves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
from decision_service.adapters.mlflow.store import CHALLENGER, CHAMPION, DIGEST_TAG, open_client
from decision_service.adapters.vw import VwScorer
from decision_service.core.model.errors import NotFound
from tests.support.fitted import write_fitted
from training.track import Lineage, RunRecord, Tracking

NOW_MS = 1_700_000_000_000
RECORD = RunRecord(
    program="welcome",
    parameters={"vw_options": "-q UA -l 0.5"},
    metrics={"difference.mean": 0.1, "difference.high": math.inf},
    documents={"gate_report.html": "<!doctype html>", "sweep.json": "[]"},
    lineage=[
        Lineage("training", "welcome", "a" * 64, 700, "decisions ⨝ rewards"),
        Lineage("evaluation", "welcome", "b" * 64, 300, "decisions ⨝ rewards"),
    ],
    tags={"verdict": "HOLD"},
)


@pytest.fixture
def tracking(tracking_uri: str, tmp_path: Path) -> Tracking:
    """An empty store whose files lie in `kept`."""
    return Tracking(tracking_uri, tmp_path / "kept")


def test_a_run_is_tracked_whole(tracking: Tracking, tmp_path: Path) -> None:
    """Parameters, finite metrics, documents, the model and the lineage of its datasets."""
    digest = write_fitted(tmp_path / "model")
    registered = tracking.register(RECORD, tmp_path / "model", digest, NOW_MS)
    client = open_client(tracking.uri)
    run = client.get_run(registered.run_id)
    assert run.data.params == RECORD.parameters
    assert run.data.metrics == {"difference.mean": 0.1}
    assert (run.info.status, run.info.start_time) == ("FINISHED", NOW_MS)
    files = {file.path for folder in ("", "model") for file in client.list_artifacts(run.info.run_id, folder or None)}
    assert files >= {"gate_report.html", "sweep.json", "model/serving.vw", "model/golden.json"}
    assert [(i.dataset.digest, i.tags[0].value) for i in run.inputs.dataset_inputs] == [
        ("a" * 36, "training"),
        ("b" * 36, "evaluation"),
    ]
    assert str(tmp_path / "kept") in registered.documents_uri


def test_every_candidate_is_a_version_and_the_latest_is_challenger(tracking: Tracking, tmp_path: Path) -> None:
    """Held candidates can be looked at; only the alias `champion` decides what serves."""
    digest = write_fitted(tmp_path / "model")
    versions = [tracking.register(RECORD, tmp_path / "model", digest, NOW_MS + i).version for i in range(2)]
    assert versions == ["1", "2"]
    assert tracking.aliased("welcome", CHALLENGER) == "2"
    assert tracking.aliased("welcome", CHAMPION) is None
    assert tracking.tags("welcome", "1") == {"verdict": "HOLD", DIGEST_TAG: digest}


def test_a_registered_version_serves_once_it_is_champion(tracking: Tracking, tmp_path: Path) -> None:
    """What was tracked is what a worker downloads and loads."""
    digest = write_fitted(tmp_path / "model")
    version = tracking.register(RECORD, tmp_path / "model", digest, NOW_MS).version
    tracking.set_alias("welcome", CHAMPION, version)
    catalogue = MlflowCatalogue(tracking.uri, VwScorer, lambda _: True)
    catalogue.refresh(["welcome"])
    assert catalogue.status() == {"welcome": "version 1"}


def test_what_is_not_registered_is_absent(tracking: Tracking) -> None:
    """No model has no alias, and a version that does not exist is not found."""
    assert tracking.aliased("welcome", CHAMPION) is None
    with pytest.raises(NotFound, match="nba-welcome 4"):
        tracking.tags("welcome", "4")
