"""Values of policies on a logged experiment: hand-computed, and laws."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from decision_service.core.estimation.intervals import Interval
from decision_service.core.model.values import NO_ACTION, ValueType
from decision_service.replay.experiment import Arm, LoggedExperiment, LoggedRow, RewardChoice
from decision_service.replay.result import (
    ModelStep,
    ReplayResult,
    draws_p_value,
    fixed_values,
    interval_json,
    policy_value,
    uniform_value,
)


def experiment(rows: list[tuple[str, float, float]], no_action_value: float | None = None) -> LoggedExperiment:
    """An experiment of (arm, probability, reward) rows over arms a, b and, unless its value is known, NO_ACTION."""
    arms = (Arm("a", "email"), Arm("b", "email"))
    return LoggedExperiment(
        name="hand",
        feature_types={"x": ValueType.INT},
        arms=arms if no_action_value is not None else (*arms, Arm(NO_ACTION)),
        reward=RewardChoice("y", 0.0, 2.0),
        rows=tuple(LoggedRow(f"c{i}", {"x": i}, arm, p, {"y": y}) for i, (arm, p, y) in enumerate(rows)),
        no_action_value=no_action_value,
    )


def test_equally_likely_arms_give_the_mean_of_matched_rows() -> None:
    """With uniform logging the value is the plain mean where the choice matches the arm."""
    logged = experiment([("a", 1 / 3, 1.0), ("b", 1 / 3, 0.0), ("a", 1 / 3, 0.0), (NO_ACTION, 1 / 3, 1.0)])
    assert policy_value(logged, ["a", "a", "a", NO_ACTION]).mean == pytest.approx(2 / 3)


def test_unequal_arms_are_weighted_by_their_probability() -> None:
    """A match at probability .25 counts four times, one at .5 twice: (4·1 + 2·0) / 6."""
    logged = experiment([("a", 0.25, 1.0), ("b", 0.5, 0.0), ("b", 0.5, 1.0)])
    assert policy_value(logged, ["a", "b", "a"]).mean == pytest.approx(4 / 6)


def test_a_later_part_of_the_rows_can_be_valued_alone() -> None:
    """`first` says which row the first action belongs to."""
    logged = experiment([("a", 0.5, 0.0), ("b", 0.5, 1.0), ("b", 0.5, 0.5)])
    assert policy_value(logged, ["b", "b"], first=1).mean == pytest.approx(0.75)


def test_no_match_gives_no_value() -> None:
    """Where nothing matches there is no mean and there are no bounds; JSON writes null, and why."""
    value = policy_value(experiment([("a", 0.5, 1.0)]), ["b"])
    assert math.isnan(value.mean)
    assert interval_json(value) == {
        "mean": None,
        "low": None,
        "high": None,
        "n": 1,
        "withheld": "too little data: no decision to estimate from",
    }


def test_a_known_value_of_doing_nothing_counts_in_every_row() -> None:
    """One matched row at 1/.5 and one NO_ACTION at 1 with value 0: (2·1 + 1·0) / 3."""
    logged = experiment([("a", 0.5, 1.0), ("b", 0.5, 1.0)], no_action_value=0.0)
    assert policy_value(logged, ["a", NO_ACTION]).mean == pytest.approx(2 / 3)


def test_no_reward_at_all_is_not_certainty() -> None:
    """Twenty matched rows without a click leave room for 17 % of the largest reward, as Clopper and Pearson say."""
    value = policy_value(experiment([("a", 0.5, 0.0)] * 20), ["a"] * 20)
    assert (value.mean, value.low) == pytest.approx((0.0, 0.0))
    assert value.high == pytest.approx(2 * (1 - 0.025 ** (1 / 20)))


def test_rewards_are_clipped_to_their_bounds() -> None:
    """An outcome above the declared bound counts as the bound."""
    assert policy_value(experiment([("a", 0.5, 7.0)]), ["a"]).mean == 2.0


def test_fixed_and_uniform_values_by_hand() -> None:
    """Each arm's value is its rows' mean; uniform is the mean of arms, not of rows, when arms are unequal."""
    rows = [("a", 0.5, 1.0), ("a", 0.5, 1.0), ("b", 0.25, 0.0), (NO_ACTION, 0.25, 1.0)]
    assert {a: v.mean for a, v in fixed_values(experiment(rows)).items()} == {"a": 1.0, "b": 0.0, NO_ACTION: 1.0}
    assert uniform_value(experiment(rows)).mean == pytest.approx((2 + 2 + 0 + 4) / (2 + 2 + 4 + 4))


def test_the_value_of_a_policy_is_unbiased_under_unequal_logging() -> None:
    """Intervals of a contextual policy cover its true value at about their level over 200 seeded experiments."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.random(400) < 0.5
        p_a = np.where(x, 0.7, 0.3)
        arm_a = rng.random(400) < p_a
        reward = (rng.random(400) < np.where(x == arm_a, 0.6, 0.2)).astype(float)
        logged = experiment(
            [
                ("a" if a else "b", float(p if a else 1 - p), float(y))
                for a, p, y in zip(arm_a, p_a, reward, strict=True)
            ]
        )
        covered += 0.6 in policy_value(logged, ["a" if matching else "b" for matching in x])
    assert 180 <= covered <= 199


def test_draws_that_follow_their_probabilities_are_not_suspicious() -> None:
    """Seeded draws pass; the same draws against other probabilities fail; no draws say nothing."""
    chosen = ["a" if u < 0.7 else "b" for u in np.random.default_rng(5).random(2000)]
    assert draws_p_value([{"a": 0.7, "b": 0.3}] * 2000, chosen) > 0.01
    assert draws_p_value([{"a": 0.6, "b": 0.4}] * 2000, chosen) < 1e-6
    assert draws_p_value([], []) == 1.0


def test_the_result_is_one_json_object_with_the_promised_keys() -> None:
    """Every key that the command promises is there, and the whole is valid JSON."""
    value = Interval(0.2, 0.1, 0.3, 10)
    result = ReplayResult(
        dataset="hand",
        reward="y",
        decisions=10,
        missing=0,
        duplicates=0,
        matched=4,
        served_value=value,
        uniform_value=value,
        fixed_values={"a": value},
        champion_value=None,
        midway_value=None,
        chi_square_p=0.5,
        steps=(ModelStep(5, "1", "PROMOTE", ("better",)), ModelStep(10, "2", "HOLD", ("no better",))),
        seconds=1.23,
    )
    parsed = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert parsed["served_value"] == {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 10}
    assert parsed["champion_value"] is None
    assert [step["version"] for step in parsed["promoted"]] == ["1"]
    assert parsed["held"] == [{"after_rows": 10, "version": "2", "verdict": "HOLD", "why": ["no better"]}]
    assert {"decisions", "missing", "duplicates", "uniform_value", "fixed_values", "chi_square_p"} < parsed.keys()
