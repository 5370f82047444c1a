"""Fitting learns what pays, chooses its settings by what they would have earned, and is reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decision_service.adapters.vw import VwScorer
from decision_service.core.choice.encoding import ENCODER_VERSION, model_inputs
from decision_service.core.guardrails.live import live_names
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Exploration
from decision_service.core.model.record import ModelVersion, PolicyKind
from tests.support.lived import PROGRAM, SCHEMA, Shop
from training.dataset import LoggedDataset
from training.evaluate import scored_policy
from training.fit import Candidate, examples, fit

INPUTS = model_inputs(PROGRAM, SCHEMA, live_names(PROGRAM))
GOOD, USELESS = Candidate("-q UA -l 0.1", 2), Candidate("-q UA -l 1e-9", 1)


@pytest.fixture(scope="module")
def dataset() -> LoggedDataset:
    """1,500 uniform decisions."""
    shop = Shop()
    shop.live(1500)
    return shop.dataset()


def test_the_better_candidate_is_chosen_whatever_its_place(dataset: LoggedDataset) -> None:
    """A learning rate that learns nothing is valued like uniform draws, one that learns far above."""
    for candidates in ((GOOD, USELESS), (USELESS, GOOD)):
        fitted = fit(dataset, INPUTS, Exploration(), 1, candidates)
        assert fitted.candidate == GOOD
        value = {swept.candidate: swept.value for swept in fitted.sweep}
        assert value[GOOD] > value[USELESS] + 0.2


def test_the_fitted_model_prefers_what_pays(dataset: LoggedDataset) -> None:
    """The greedy policy is right for nine customers of ten, and the serving copy decides the same."""
    fitted = fit(dataset, INPUTS, Exploration(), 1, (GOOD,))
    assert fitted.sweep == ()
    version = ModelVersion("nba-spring", "", ENCODER_VERSION)
    served, resumable = (
        scored_policy(VwScorer.of(model, version, "", INPUTS), Exploration(epsilon=0.0))(dataset)
        for model in (fitted.serving, fitted.model)
    )
    right = [
        dataset.actions[column] == ("email_a" if row.known["segment"] == "x" else "push_b")
        for row, column in zip(dataset.rows, served.argmax(axis=1), strict=True)
    ]
    assert np.mean(right) > 0.9
    assert np.array_equal(served, resumable)


def test_the_policy_that_is_judged_is_the_one_that_is_served() -> None:
    """Levers, shares, floor and the cap on actions with little data: what evaluation computes for the rows that a model
    decided is what was logged of them, to the last bit; and each of the four made a difference."""
    email, push = PROGRAM.actions
    shaped = replace(
        PROGRAM,
        actions=(replace(email, lever=1.5, max_share=0.6), replace(push, min_share=0.25)),
        exploration=Exploration(epsilon=0.1, floor=0.03, low_data_below=400, low_data_max_share=0.5),
    )
    shop = Shop(shaped)
    shop.live(600)
    fitted = fit(shop.dataset(), INPUTS, shaped.exploration, 1, (GOOD,))
    known = {"email_a": 500, "push_b": 100, "NO_ACTION": 0}
    model = VwScorer.of(fitted.serving, ModelVersion("nba-spring", "1", ENCODER_VERSION), "customer_v1", INPUTS, known)
    shop.live(100, model)
    dataset = shop.dataset().between(shop.records[600].decided_at_ms, 2**62)
    assert {row.policy for row in dataset.rows} == {PolicyKind.MODEL}
    assert np.array_equal(scored_policy(model, shaped.exploration, shaped.actions)(dataset), dataset.logged)
    assert np.array_equal(scored_policy(model, shaped.exploration)(dataset), dataset.logged)  # logged with these levers
    assert not np.array_equal(scored_policy(model, shaped.exploration, PROGRAM.actions)(dataset), dataset.logged)
    for name, value in (("floor", 0.0), ("low_data_below", 0)):
        other = replace(shaped.exploration, **{name: value})  # type: ignore[arg-type]
        assert not np.array_equal(scored_policy(model, other, shaped.actions)(dataset), dataset.logged)


def test_fitting_is_reproducible(dataset: LoggedDataset) -> None:
    """The same rows and seed give the same bytes."""
    few = dataset.between(0, dataset.rows[400].decided_at_ms)
    first, second = (fit(few, INPUTS, Exploration(), 7, (GOOD, USELESS)) for _ in range(2))
    assert first == second


def test_costs_are_negative_rewards_at_the_logged_probability(dataset: LoggedDataset) -> None:
    """Each row is labelled once, on the line of the action that was chosen."""
    for row, text in zip(dataset.rows[:50], examples(dataset, INPUTS)[:50], strict=True):
        labelled = [(i, line) for i, line in enumerate(text.split("\n")[1:]) if line.startswith("0:")]
        (number, line) = labelled[0]
        assert len(labelled) == 1
        assert number == row.chosen
        assert line.startswith(f"0:{-row.reward!r}:{1 / 3!r} |A id={row.actions[row.chosen].id}")


def test_without_rows_or_candidates_there_is_nothing_to_fit(dataset: LoggedDataset) -> None:
    """Both are refused by name."""
    with pytest.raises(InvalidRequest, match="candidates"):
        fit(dataset, INPUTS, Exploration(), 1, ())
    with pytest.raises(InvalidRequest, match="rows"):
        fit(dataset.between(0, 1), INPUTS, Exploration(), 1, (GOOD,))
