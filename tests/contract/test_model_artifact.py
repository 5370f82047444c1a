"""A model artifact serves only if it is whole, speaks this encoder, behaves as it did, and its features are served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decision_service.adapters.vw import VwScorer
from decision_service.contract import model_artifact
from decision_service.contract.model_artifact import artifact_digest, load_artifact, read_manifest
from decision_service.core.decide import Scorer
from decision_service.core.model.errors import ModelRejected
from tests.support.fitted import ACTIONS, MANIFEST, customers, write_fitted


def edit(folder: Path, file: str, change: Callable[[Any], None]) -> str:
    """Change a JSON file of the artifact, as somebody with access to the store could; the digest it then has."""
    document = json.loads((folder / file).read_text())
    change(document)
    (folder / file).write_text(json.dumps(document))
    return artifact_digest(folder)


def load(folder: Path, digest: str) -> Scorer:
    """Load it where only customer_v1 is served."""
    return load_artifact(folder, digest, "7", VwScorer, lambda service: service == "customer_v1")


def test_an_artifact_round_trips(tmp_path: Path) -> None:
    """What was written is loaded, under the version of the registry, and its manifest is read back whole."""
    digest = write_fitted(tmp_path)
    scorer = load(tmp_path, digest)
    assert (scorer.version.name, scorer.version.version) == ("nba-welcome", "7")
    assert scorer.feature_service == "customer_v1"
    assert scorer.predict(scorer.encode(customers(1)[0], ACTIONS), 3).shape == (3,)
    assert scorer.examples == {"email_a": 170, "push_b": 160, "NO_ACTION": 170}
    assert read_manifest(tmp_path) == MANIFEST


def test_an_artifact_that_does_not_say_what_it_learned_from_serves_without(tmp_path: Path) -> None:
    """Counts by action are None then: unknown, rather than little data."""
    write_fitted(tmp_path)
    scorer = load(tmp_path, edit(tmp_path, model_artifact.MANIFEST, lambda document: document.pop("action_rows")))
    assert scorer.examples is None


def test_an_artifact_is_reproducible(tmp_path: Path) -> None:
    """The same rows give the same digest."""
    assert write_fitted(tmp_path / "a") == write_fitted(tmp_path / "b")
    assert write_fitted(tmp_path / "c", seed=1) != write_fitted(tmp_path / "a")


@pytest.mark.parametrize("file", model_artifact.FILES)
def test_a_damaged_or_missing_file_is_refused(tmp_path: Path, file: str) -> None:
    """One cut byte in any file is noticed (VW itself loads a truncated model), and so is an absent one."""
    digest = write_fitted(tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[:-1])
    with pytest.raises(ModelRejected, match="damaged"):
        load(tmp_path, digest)
    (tmp_path / file).unlink()
    with pytest.raises(ModelRejected, match=file):
        load(tmp_path, digest)


def test_a_version_without_a_digest_is_refused(tmp_path: Path) -> None:
    """A model that somebody registered by hand does not serve unchecked."""
    write_fitted(tmp_path)
    with pytest.raises(ModelRejected, match="none was tagged"):
        load(tmp_path, "")


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    """A model fitted with another encoder version would misread what this one writes."""
    write_fitted(tmp_path)
    digest = edit(tmp_path, model_artifact.MANIFEST, lambda document: document.update(encoder_version="0"))
    with pytest.raises(ModelRejected, match="encoder version '0', this service has '1'"):
        load(tmp_path, digest)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cases: cases[1]["predicted_rewards"].__setitem__(0, 0.123), "predicted rewards of golden context 1"),
        (lambda cases: cases[0]["probabilities"].__setitem__(0, 0.5), "probabilities of golden context 0"),
        (lambda cases: cases[2].update(encoded="shared |U"), "golden context 2 is encoded differently"),
        (lambda cases: cases[0]["shared"].update(age=1e400), "golden contexts: age"),
        (lambda cases: cases.clear(), "no golden contexts"),
        (lambda cases: cases[0].pop("actions"), "golden.json cannot be read"),
    ],
)
def test_golden_contexts_that_disagree_are_refused(tmp_path: Path, change: Callable[[Any], None], reason: str) -> None:
    """Text, predictions and probabilities must be those of the day it was fitted."""
    write_fitted(tmp_path)
    digest = edit(tmp_path, model_artifact.GOLDEN, change)
    with pytest.raises(ModelRejected, match=reason):
        load(tmp_path, digest)


def test_the_model_of_other_rows_does_not_pass_for_this_one(tmp_path: Path) -> None:
    """A swapped model file is caught by the golden contexts even where the digest was recomputed."""
    write_fitted(tmp_path / "a")
    write_fitted(tmp_path / "b", seed=1)
    (tmp_path / "a" / model_artifact.SERVING).write_bytes((tmp_path / "b" / model_artifact.SERVING).read_bytes())
    with pytest.raises(ModelRejected, match="predicted rewards"):
        load(tmp_path / "a", artifact_digest(tmp_path / "a"))


def test_an_unknown_feature_service_is_refused(tmp_path: Path) -> None:
    """Its inputs would all be missing."""
    write_fitted(tmp_path)
    digest = edit(tmp_path, model_artifact.MANIFEST, lambda document: document.update(feature_service="gone_v2"))
    with pytest.raises(ModelRejected, match="FeatureService 'gone_v2' is unknown"):
        load(tmp_path, digest)


def test_a_malformed_manifest_is_refused(tmp_path: Path) -> None:
    """A manifest with a field missing says so instead of raising something of Python's."""
    write_fitted(tmp_path)
    digest = edit(tmp_path, model_artifact.MANIFEST, lambda document: document.pop("inputs"))
    with pytest.raises(ModelRejected, match=r"manifest\.json cannot be read"):
        load(tmp_path, digest)
