"""Vowpal Wabbit scores what was encoded, learns what was logged, and resumes where it stopped."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decision_service.adapters import vw
from decision_service.core.choice.contributions import INTERACTIONS
from decision_service.core.choice.encoding import ENCODER_VERSION, encode
from decision_service.core.model.errors import InvalidRequest, ModelRejected
from decision_service.core.model.program import NO_ACTION_ACTION, Action
from decision_service.core.model.record import ModelVersion
from tests.support.fitted import ACTIONS, INPUTS, OPTIONS, customers, examples

VERSION = ModelVersion("nba-welcome", "1", ENCODER_VERSION)


def scorer(folder: Path, model: bytes) -> vw.VwScorer:
    """A scorer of these model bytes."""
    file = folder / "some model.vw"
    file.write_bytes(model)
    return vw.VwScorer(file, VERSION, "customer_v1", INPUTS)


def predictions(folder: Path, model: bytes) -> np.ndarray:
    """What a model predicts for twenty customers, shape (20, 3)."""
    loaded = scorer(folder, model)
    return np.array([loaded.predict(loaded.encode(shared, ACTIONS), 3) for shared in customers(20, seed=99)])


@pytest.fixture(scope="module")
def model() -> bytes:
    """A model of 1,000 random decisions."""
    return vw.fit(examples(1000), OPTIONS)


def test_a_model_learns_which_segment_likes_which_action(tmp_path: Path, model: bytes) -> None:
    """Predictions are rewards (higher is better), in the order of the actions, near the truth of 1 and 0."""
    loaded = scorer(tmp_path, model)
    for segment, expected in (("x", [1, 0, 0]), ("y", [0, 1, 0])):
        shared = {"age": 40, "segment": segment, "tags": ()}
        assert loaded.predict(loaded.encode(shared, ACTIONS), 3) == pytest.approx(expected, abs=0.2)
        assert loaded.predict(loaded.encode(shared, ACTIONS[::-1]), 3) == pytest.approx(expected[::-1], abs=0.2)


def test_scoring_leaves_no_trace(tmp_path: Path, model: bytes) -> None:
    """Predictions do not depend on what was asked before, so that a decision replays bit for bit."""
    first = predictions(tmp_path, model)
    loaded = scorer(tmp_path, model)
    for shared in customers(200, seed=5):
        loaded.predict(loaded.encode(shared, ACTIONS[1:]), 2)
    again = [loaded.predict(loaded.encode(shared, ACTIONS), 3) for shared in customers(20, seed=99)]
    assert np.array_equal(first, again)


def test_actions_and_values_that_were_never_seen_are_scored(tmp_path: Path, model: bytes) -> None:
    """A new action, a lone NO_ACTION and a customer of whom nothing is known get finite predictions."""
    loaded = scorer(tmp_path, model)
    for options in ([Action("new", "sms", "new"), NO_ACTION_ACTION], [NO_ACTION_ACTION]):
        predicted = loaded.predict(loaded.encode({}, options), len(options))
        assert predicted.shape == (len(options),)
        assert np.isfinite(predicted).all()


def test_threads_share_a_scorer(tmp_path: Path, model: bytes) -> None:
    """Concurrent predictions equal lone ones."""
    loaded = scorer(tmp_path, model)
    texts = [loaded.encode(shared, ACTIONS) for shared in customers(20, seed=99)]
    expected = predictions(tmp_path, model)
    wrong: list[int] = []

    def ask() -> None:
        for _ in range(30):
            wrong.extend(i for i, text in enumerate(texts) if not np.array_equal(loaded.predict(text, 3), expected[i]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("options", [OPTIONS, "-q UA --coin"])
def test_fitting_resumes_exactly(tmp_path: Path, options: str) -> None:
    """Learning A and then B equals learning A followed by B, to the last bit."""
    rows = examples(600)
    whole = vw.fit(rows, options)
    resumed = vw.fit(rows[250:], options, start_from=vw.fit(rows[:250], options))
    assert np.array_equal(predictions(tmp_path, whole), predictions(tmp_path, resumed))


def test_fitting_is_reproducible_and_uses_every_pass(tmp_path: Path) -> None:
    """The same rows give the same bytes; more passes give another model."""
    with vw.TrainingText(examples(300)) as text:
        once, twice = text.fit(OPTIONS, 1, seed=1), text.fit(OPTIONS, 4, seed=1)
        assert text.fit(OPTIONS, 1, seed=1) == once
    assert not np.array_equal(predictions(tmp_path, once), predictions(tmp_path, twice))


def test_the_serving_copy_predicts_the_same(tmp_path: Path, model: bytes) -> None:
    """Nothing but what resuming needs is dropped."""
    copy = vw.serving_copy(model)
    assert len(copy) < len(model)
    assert np.array_equal(predictions(tmp_path, model), predictions(tmp_path, copy))


def test_what_cannot_be_loaded_is_rejected(tmp_path: Path, model: bytes) -> None:
    """No file, no VW model, and a model of another encoder each say what is wrong."""
    with pytest.raises(ModelRejected, match=r"absent\.vw"):
        vw.VwScorer(tmp_path / "absent.vw", VERSION, "s", INPUTS)
    with pytest.raises(ModelRejected, match="VW cannot read"):
        scorer(tmp_path, b"not a model")
    with pytest.raises(ModelRejected, match="encoder version 'old'"):
        vw.VwScorer(tmp_path / "some model.vw", replace(VERSION, encoder_version="old"), "s", INPUTS)


def test_nothing_to_learn_and_bad_options_are_refused() -> None:
    """An empty training set and options VW does not know raise errors of ours."""
    with pytest.raises(InvalidRequest, match="nothing to learn"):
        vw.fit([], OPTIONS)
    with pytest.raises(ModelRejected, match="--no_such_option"):
        vw.fit(examples(3), "--no_such_option")


def test_the_encoder_takes_only_the_inputs_of_the_model(tmp_path: Path, model: bytes) -> None:
    """Other known values do not reach the model."""
    shared = customers(1)[0]
    assert scorer(tmp_path, model).encode({**shared, "secret": 1}, ACTIONS) == encode(INPUTS, shared, ACTIONS)


def test_contributions_name_what_was_planted(tmp_path: Path, model: bytes) -> None:
    """The segment decides which action pays, and nothing else does: it comes first, for the liked action and against
    the other, and age and tags weigh little beside it."""
    loaded = scorer(tmp_path, model)
    for segment, sign in (("x", 1), ("y", -1)):
        encoded = loaded.encode({"age": 40, "segment": segment, "tags": ("news",)}, ACTIONS)
        first, *rest = loaded.contributions(encoded, 0, 1)
        assert (first.input, first.value) == ("segment", segment)
        assert first.amount * sign > 0.8
        assert sum(abs(part.amount) for part in rest) < 0.3


@pytest.mark.parametrize(("options", "is_pairwise"), [(OPTIONS, True), ("-q UA --cubic UUA -l 0.5", False)])
def test_contributions_sum_to_the_difference(tmp_path: Path, options: str, is_pairwise: bool) -> None:
    """Exactly, by input, where features meet in pairs; with higher interactions the rest has a line of its own."""
    loaded = scorer(tmp_path, vw.fit(examples(1000), options))
    for shared in customers(20, seed=99):
        encoded = loaded.encode(shared, ACTIONS)
        predicted = loaded.predict(encoded, 3)
        parts = loaded.contributions(encoded, 1, 2)
        assert sum(part.amount for part in parts) == pytest.approx(predicted[1] - predicted[2], abs=1e-5)
        assert (INTERACTIONS in {part.input for part in parts}) is not is_pairwise
