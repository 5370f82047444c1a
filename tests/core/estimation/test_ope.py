"""Off-policy estimators: hand-computed values, laws, and unbiasedness on simulated logs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decision_service.core.estimation import ope

LOGGED = np.array([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5], [0.8, 0.2]])
TARGET = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.4, 0.6]])
CHOSEN = np.array([0, 0, 0, 1])
REWARDS = np.array([1.0, 1.0, 1.0, 0.0])
WEIGHTS = np.array([2.0, 2.0, 0.0, 3.0])


def test_weights_by_hand() -> None:
    """Target over logged probability of what was chosen."""
    assert ope.importance_weights(TARGET, LOGGED, CHOSEN).tolist() == pytest.approx(WEIGHTS.tolist())


def test_a_chosen_action_without_probability_is_refused() -> None:
    """Such a row would have infinite weight; the error says that the log contradicts itself."""
    with pytest.raises(ValueError, match="logged probability 0"):
        ope.importance_weights(TARGET, np.array([[0.0, 1.0]] * 4), CHOSEN)


def test_estimators_by_hand() -> None:
    """IPS (2+2)/4, SNIPS 4/7, DR with r̂ = 0.5 everywhere 0.5 + (1+1-1.5)/4."""
    assert ope.Moments.of(WEIGHTS * REWARDS).mean == 1.0
    assert ope.Snips.of(WEIGHTS, REWARDS).mean == pytest.approx(4 / 7)
    assert ope.dr(TARGET, LOGGED, CHOSEN, REWARDS, np.full((4, 2), 0.5)).mean == pytest.approx(0.625)


def test_summary_of_weights_by_hand() -> None:
    """Mean 7/4, effective sample size 49/17, largest 3."""
    summary = ope.Weights.of(WEIGHTS)
    assert (summary.mean, summary.largest) == (1.75, 3.0)
    assert summary.effective_sample_size == pytest.approx(49 / 17)
    assert ope.Weights.of(np.ones(5)).z == 0.0
    assert ope.Weights.of(np.full(5, 2.0)).z == math.inf


def test_snips_error_by_hand() -> None:
    """Weights of 1 make SNIPS the mean, with the standard error of a mean over n."""
    snips = ope.Snips.of(np.ones(4), np.array([0.0, 0.0, 1.0, 1.0]))
    assert (snips.mean, snips.standard_error) == (0.5, 0.25)


def test_the_logging_policy_is_its_own_mean() -> None:
    """Evaluating what was served gives the average reward, by every estimator."""
    for estimate in (
        ope.Moments.of(np.ones(4) * REWARDS).mean,
        ope.Snips.of(np.ones(4), REWARDS).mean,
        ope.dr(LOGGED, LOGGED, CHOSEN, REWARDS, np.zeros((4, 2))).mean,
    ):
        assert estimate == pytest.approx(REWARDS.mean())


def _log(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Contexts in [0, 1], three actions; returns logged, target, chosen, rewards, expected rewards."""
    x = rng.random(n)
    logged = np.column_stack([0.1 + 0.6 * x, np.full(n, 0.1), 0.8 - 0.6 * x])
    target = np.column_stack([0.05 + 0 * x, 0.1 + 0.8 * (x > 0.5), 0.05 + 0.8 * (x <= 0.5)])
    target[:, 0] = 1 - target[:, 1] - target[:, 2]
    expected = np.column_stack([0.2 + 0 * x, 0.1 + 0.5 * x, 0.5 - 0.4 * x])
    chosen = (rng.random(n)[:, None] > logged.cumsum(axis=1)).sum(axis=1)
    rewards = (rng.random(n) < expected[np.arange(n), chosen]).astype(float)
    return logged, target, chosen, rewards, expected


def test_merging_shards_equals_the_whole() -> None:
    """Weights, SNIPS and calibration of three shards, merged, are those of all rows (law 9)."""
    logged, target, chosen, rewards, _ = _log(np.random.default_rng(0), 900)
    weights = ope.importance_weights(target, logged, chosen)
    shards = np.array_split(np.arange(900), [100, 600])
    merged = sum((ope.Snips.of(weights[s], rewards[s]) for s in shards), ope.Snips())
    whole = ope.Snips.of(weights, rewards)
    assert (merged.mean, merged.standard_error, merged.n) == pytest.approx((whole.mean, whole.standard_error, whole.n))
    summary = sum((ope.Weights.of(weights[s]) for s in shards), ope.Weights())
    assert summary.effective_sample_size == pytest.approx(ope.Weights.of(weights).effective_sample_size)
    names = ("a", "b", "c")
    parts = [ope.Calibration.by_action(names, logged[s], chosen[s]) for s in shards]
    assert (parts[0] + parts[1] + parts[2]).p_value == pytest.approx(
        ope.Calibration.by_action(names, logged, chosen).p_value
    )


def test_calibrations_of_different_actions_merge_by_name() -> None:
    """A shard that never saw an action contributes nothing to it, in whatever order its columns stand."""
    one = ope.Calibration.by_action(("a", "b"), np.array([[0.5, 0.5]]), np.array([0]))
    two = ope.Calibration.by_action(("c", "a"), np.array([[0.25, 0.75]]), np.array([1]))
    merged = one + two
    assert merged.categories == ("a", "b", "c")
    assert merged.drawn.tolist() == [2, 0, 0]
    assert merged.expected.tolist() == [1.25, 0.5, 0.25]


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr", "dr with a wrong reward model"])
def test_estimates_are_unbiased_and_cover(estimator: str) -> None:
    """Over 300 seeded logs the mean error is within noise of 0, and 95 % intervals miss in no more than 5 % + slack."""
    rng = np.random.default_rng(7)
    runs, missed, errors = 300, 0, []
    for _ in range(runs):
        logged, target, chosen, rewards, expected = _log(rng, 600)
        truth = float((target * expected).sum(axis=1).mean())
        weights = ope.importance_weights(target, logged, chosen)
        if estimator == "ips":
            interval = ope.mean_interval(weights * rewards, low=0, high=9)
        elif estimator == "snips":
            interval = ope.mean_interval(rewards, low=0, high=1, weights=weights, heaviest=9)
        else:
            predicted = expected if estimator == "dr" else 0.6 - expected
            design = ope.DesignTerms.of(target, logged, predicted, 0.0, 1.0)
            interval = ope.mean_interval(
                ope.dr_terms(target, logged, chosen, rewards, predicted), low=design.least.min(), high=design.most.max()
            )
        errors.append(interval.mean - truth)
        missed += truth not in interval
    assert abs(np.mean(errors)) < 4 * np.std(errors) / math.sqrt(runs)
    assert missed <= runs * 0.05 + 3 * math.sqrt(runs * 0.05 * 0.95)


def test_a_good_reward_model_lowers_the_variance() -> None:
    """DR with true expected rewards is tighter than IPS on the same rows."""
    logged, target, chosen, rewards, expected = _log(np.random.default_rng(8), 5_000)
    weights = ope.importance_weights(target, logged, chosen)
    doubly = ope.dr(target, logged, chosen, rewards, expected)
    assert doubly.standard_error < 0.9 * ope.Moments.of(weights * rewards).standard_error


def test_design_bounds_hold_for_every_draw() -> None:
    """Each row's term lies between its design bounds, whatever is drawn; the mean square is at most as designed."""
    rng = np.random.default_rng(9)
    logged, target, _, _, expected = _log(rng, 400)
    contrast = target - logged[:, ::-1]
    design = ope.DesignTerms.of(contrast, logged, expected, 0.0, 1.0)
    squares = []
    for _ in range(60):
        chosen = (rng.random(400)[:, None] > logged.cumsum(axis=1)).sum(axis=1)
        rewards = (rng.random(400) < expected[np.arange(400), chosen]).astype(float)
        terms = ope.dr_terms(contrast, logged, chosen, rewards, expected)
        assert (terms >= design.least - 1e-9).all()
        assert (terms <= design.most + 1e-9).all()
        squares.append(np.square(terms).mean())
    # 0/1 rewards have exactly the Bhatia–Davis variance, so the design is met with equality.
    assert np.mean(squares) == pytest.approx(design.variance.mean(), rel=0.05)


def test_group_balance_averages_one_and_favours_the_precise_group() -> None:
    """A group with a quarter of the variance counts four times as much per row."""
    balance = ope.group_balance(["a", "b", "b", "b"], np.array([1.0, 4.0, 4.0, 4.0]))
    assert balance.mean() == pytest.approx(1.0)
    assert balance[0] == pytest.approx(4 * balance[1])


def test_group_balance_lowers_the_variance_of_a_mixed_log() -> None:
    """A greedy and a uniform logger together: the balanced estimate is unbiased and has the smaller spread."""
    rng = np.random.default_rng(10)
    n, target = 500, np.array([0.0, 1.0])
    groups = ["greedy"] * 400 + ["uniform"] * 100
    logged = np.vstack([np.tile([0.95, 0.05], (400, 1)), np.tile([0.5, 0.5], (100, 1))])
    balance = ope.group_balance(groups, (np.square(target) / logged).sum(axis=1))
    plain, balanced = [], []
    for _ in range(400):
        chosen = (rng.random(n) > logged[:, 0]).astype(int)
        rewards = (rng.random(n) < 0.3).astype(float)
        weights = ope.importance_weights(np.tile(target, (n, 1)), logged, chosen)
        plain.append(ope.Moments.of(weights * rewards).mean)
        balanced.append(ope.Moments.of(balance * weights * rewards).mean)
    assert np.std(balanced) < 0.75 * np.std(plain)
    assert abs(np.mean(balanced) - 0.3) < 4 * np.std(balanced) / 20


def test_mass_without_support() -> None:
    """What the target gives to actions that were never possible is reported row by row."""
    logged = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert ope.unsupported_mass(np.array([[0.3, 0.7], [0.3, 0.7]]), logged).tolist() == [0.7, 0.0]


def test_probability_matrix_collects_actions() -> None:
    """Options become columns in order of appearance; actions that were not feasible have probability 0."""
    actions, logged, chosen = ope.probability_matrix([{"a": 0.4, "b": 0.6}, {"c": 1.0}], ["b", "c"])
    assert actions == ("a", "b", "c")
    assert logged.tolist() == [[0.4, 0.6, 0.0], [0.0, 0.0, 1.0]]
    assert chosen.tolist() == [1, 2]
    with pytest.raises(ValueError, match="row 0: chosen action 'x'"):
        ope.probability_matrix([{"a": 1.0}], ["x"])


def test_calibration_by_hand() -> None:
    """60 heads of 100 fair draws: (10)²/25 = 4 on one degree of freedom, p = .0455."""
    calibration = ope.Calibration.by_action(("h", "t"), np.full((100, 2), 0.5), np.array([0] * 60 + [1] * 40))
    assert (calibration.statistic, calibration.degrees) == (pytest.approx(4.0), 1)
    assert calibration.p_value == pytest.approx(0.0455, abs=1e-4)


def test_calibration_p_values_are_uniform_for_an_honest_log() -> None:
    """Over 300 honest logs a p-value below 0.1 comes up in about a tenth, by action and by range of probability."""
    rng = np.random.default_rng(11)
    low_action, low_bins = 0, 0
    for _ in range(300):
        logged, _, chosen, _, _ = _log(rng, 500)
        low_action += ope.Calibration.by_action(("a", "b", "c"), logged, chosen).p_value < 0.1
        low_bins += ope.Calibration.by_probability(logged, chosen).p_value < 0.1
    assert 12 <= low_action <= 50
    assert 12 <= low_bins <= 50


def test_calibration_detects_probabilities_that_were_not_drawn_from() -> None:
    """Logging the model's probability but drawing greedily is caught, as is drawing what had probability 0."""
    logged = _log(np.random.default_rng(12), 500)[0]
    greedy = logged.argmax(axis=1)
    assert ope.Calibration.by_action(("a", "b", "c"), logged, greedy).p_value < 1e-6
    assert ope.Calibration.by_probability(logged, greedy).p_value < 1e-6
    impossible = ope.Calibration.by_action(("a", "b"), np.array([[1.0, 0.0]] * 50), np.array([0] * 49 + [1]))
    assert impossible.p_value == 0.0
    assert ope.Calibration.by_action(("a",), np.ones((5, 1)), np.zeros(5, dtype=np.int64)).p_value == 1.0


def test_core_evaluation_imports_nothing_heavy() -> None:
    """`nba replay` uses these functions without paying for SciPy, LightGBM or Arrow."""
    import subprocess
    import sys

    code = (
        "import sys, decision_service.core.estimation.ope;"
        "heavy = {'scipy', 'lightgbm', 'pyarrow', 'matplotlib', 'feast', 'mlflow'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
