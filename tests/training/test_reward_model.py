"""The reward model: deterministic, honest about its own rows, bounded, and useful."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decision_service.core.estimation import ope
from tests.training.simulated_log import preferring, segments_of, simulated_log
from training.dataset import LoggedDataset
from training.reward_model import cross_fit, predict_from


def test_it_finds_what_each_segment_likes() -> None:
    """The suiting action is predicted clearly above the others; its rate is shrunk towards theirs, but not lost."""
    log = simulated_log(np.random.default_rng(0), 6_000, 0.4)
    predicted = cross_fit(log)
    segments = np.array(segments_of(log))
    for segment in range(3):
        means = predicted[segments == segment].mean(axis=0)
        assert means[segment] == pytest.approx(0.42, abs=0.1)
        assert means[segment] > np.delete(means, segment).max() + 0.12


def test_same_rows_same_predictions() -> None:
    """Two fits agree bit for bit."""
    log = simulated_log(np.random.default_rng(1), 1_000, 0.2)
    assert np.array_equal(cross_fit(log), cross_fit(log))


def test_no_row_is_predicted_from_its_own_customer() -> None:
    """Changing all rewards of one customer leaves the predictions of that customer's rows as they were."""
    log = simulated_log(np.random.default_rng(2), 1_200, 0.2)
    customer = log.rows[0].customer_id
    flipped = [replace(row, reward=1 - row.reward) if row.customer_id == customer else row for row in log.rows]
    changed = cross_fit(LoggedDataset.of(log.program, log.reward, flipped))
    own = np.array([row.customer_id == customer for row in log.rows])
    assert np.array_equal(changed[own], cross_fit(log)[own])


def test_predictions_stay_within_the_reward_bounds_and_feasible_actions() -> None:
    """Clipped to what a reward can be; 0 where an action was not feasible."""
    log = simulated_log(np.random.default_rng(3), 1_000, 0.9)
    narrowed = [
        replace(row, actions=row.actions[:3], probabilities=(0.2, 0.3, 0.5), chosen=row.chosen % 3)
        for row in log.rows[:500]
    ]
    dataset = LoggedDataset.of(log.program, log.reward, [*narrowed, *log.rows[500:]])
    predicted = cross_fit(dataset)
    assert predicted.min() >= 0
    assert predicted.max() <= 1
    assert (predicted[~dataset.feasible] == 0).all()


@pytest.mark.parametrize("n", [1, 50])
def test_too_few_rows_give_their_average(n: int) -> None:
    """With too little to split a tree on, every feasible action is predicted alike."""
    history = simulated_log(np.random.default_rng(4), n, 0.2)
    later = simulated_log(np.random.default_rng(5), 10, 0.2, first_ms=10_000)
    assert predict_from(history, later) == pytest.approx(np.full((10, 6), history.rewards.mean()))


def test_it_tightens_the_doubly_robust_estimate() -> None:
    """On a clear effect, DR with predictions from earlier rows is tighter than IPS on the same rows."""
    history = simulated_log(np.random.default_rng(6), 3_000, 0.6)
    later = simulated_log(np.random.default_rng(7), 3_000, 0.6, first_ms=10_000)
    target = preferring([0, 1, 2])(later)
    predicted = predict_from(history, later)
    doubly = ope.dr(target, later.logged, later.chosen, later.rewards, predicted)
    plain = ope.Moments.of(ope.importance_weights(target, later.logged, later.chosen) * later.rewards)
    assert doubly.standard_error < 0.75 * plain.standard_error
