"""Values of policies on a logged experiment: hand-computed, and laws."""

from __future__ import annotations

import json
from io import StringIO

import numpy as np
import pytest

from decision_service.core.estimation.intervals import Interval
from decision_service.core.model.values import NO_ACTION, ValueType
from decision_service.replay.experiment import Arm, LoggedExperiment, LoggedRow, RewardChoice
from decision_service.replay.report import render
from decision_service.replay.result import (
    Estimate,
    ModelStep,
    ReplayResult,
    draws_p_value,
    fixed_values,
    policy_value,
    served_value,
    uniform_value,
)

MANY = 100
"""So often is each hand-made row repeated, for a value needs 100 effective rows."""


def experiment(rows: list[tuple[str, float, float]], repeat: int = MANY) -> LoggedExperiment:
    """An experiment of (arm, probability, reward) rows, each of them `repeat` times, over arms a, b and NO_ACTION."""
    return LoggedExperiment(
        name="hand",
        feature_types={"x": ValueType.INT},
        arms=(Arm("a", "email"), Arm("b", "email"), Arm(NO_ACTION)),
        reward=RewardChoice("y", 0.0, 2.0),
        rows=tuple(LoggedRow(f"c{i}", {"x": i}, arm, p, {"y": y}) for i, (arm, p, y) in enumerate(rows * repeat)),
        least_probability=min(p for _, p, _ in rows),
    )


def interval(estimate: Estimate) -> Interval:
    """Of an estimate that is not refused."""
    assert estimate.interval is not None
    return estimate.interval


def test_equally_likely_arms_give_the_mean_of_matched_rows() -> None:
    """With uniform logging the value is the plain mean where the choice matches the arm; n is how many do."""
    logged = experiment([("a", 1 / 3, 1.0), ("b", 1 / 3, 0.0), ("a", 1 / 3, 0.0), (NO_ACTION, 1 / 3, 1.0)])
    value = policy_value(logged, ["a", "a", "a", NO_ACTION] * MANY)
    assert interval(value).mean == pytest.approx(2 / 3)
    assert (value.matched, value.effective_rows) == (3 * MANY, pytest.approx(3 * MANY))


def test_unequal_arms_are_weighted_by_their_probability() -> None:
    """A match at probability .25 counts four times, one at .5 twice: (4·1 + 2·0) / 6, as (4 + 2)² / (16 + 4) rows."""
    logged = experiment([("a", 0.25, 1.0), ("b", 0.5, 0.0), ("b", 0.5, 1.0)])
    value = policy_value(logged, ["a", "b", "a"] * MANY)
    assert interval(value).mean == pytest.approx(4 / 6)
    assert (value.matched, value.effective_rows) == (2 * MANY, pytest.approx(1.8 * MANY))


def test_a_later_part_of_the_rows_can_be_valued_alone() -> None:
    """`first` says which row the first action belongs to."""
    logged = experiment([("a", 0.5, 0.0)] * MANY + [("b", 0.5, 1.0), ("b", 0.5, 0.5)] * MANY, repeat=1)
    assert interval(policy_value(logged, ["b"] * 2 * MANY, first=MANY)).mean == pytest.approx(0.75)


def test_a_value_on_too_little_data_is_refused() -> None:
    """Below 100 effective rows, which the gate asks for too: the estimate is withheld, and the counts say why."""
    rows = [("a", 0.5, 1.0)] * 80 + [("a", 0.01, 0.0)] + [("b", 0.5, 1.0)] * 100
    value = policy_value(experiment(rows, repeat=1), ["a"] * len(rows))
    assert value.interval is None
    assert value.matched == 81
    assert value.to_json() == {
        "mean": None,
        "low": None,
        "high": None,
        "n": 81,
        "effective_rows": pytest.approx(260**2 / (80 * 4 + 10_000), abs=0.05),
        "refused": "too little data: 7 effective rows, 100 needed",
    }
    nothing = policy_value(experiment([("a", 0.5, 1.0)]), ["b"] * MANY)
    assert (nothing.interval, nothing.matched, nothing.effective_rows) == (None, 0, 0.0)
    assert policy_value(experiment([("a", 0.5, 1.0)]), ["a"] * MANY).refusal == ""


def test_what_was_served_weighs_decisions_by_how_rarely_rows_became_one() -> None:
    """100 decisions at weight 1 that earned 1, and 100 at weight 3 that earned 0: 1/4, on 400² / 1,000 rows."""
    value = served_value(experiment([("a", 0.5, 1.0)]), [1.0] * 100 + [3.0] * 100, [1.0] * 100 + [0.0] * 100)
    assert interval(value).mean == pytest.approx(0.25)
    assert (value.matched, value.effective_rows) == (200, pytest.approx(160))


def test_no_reward_at_all_is_not_certainty() -> None:
    """A hundred matched rows without a click leave room for 3.6 % of the largest reward, as Clopper and Pearson say."""
    value = interval(policy_value(experiment([("a", 0.5, 0.0)]), ["a"] * MANY))
    assert (value.mean, value.low) == pytest.approx((0.0, 0.0))
    assert value.high == pytest.approx(2 * (1 - 0.025 ** (1 / 100)))


def test_rewards_are_clipped_to_their_bounds() -> None:
    """An outcome above the declared bound counts as the bound."""
    assert interval(policy_value(experiment([("a", 0.5, 7.0)]), ["a"] * MANY)).mean == 2.0


def test_fixed_and_uniform_values_by_hand() -> None:
    """Each arm's value is its rows' mean; uniform is the mean of arms, not of rows, when arms are unequal."""
    logged = experiment([("a", 0.5, 1.0), ("a", 0.5, 1.0), ("b", 0.25, 0.0), (NO_ACTION, 0.25, 1.0)])
    fixed = fixed_values(logged)
    assert {a: interval(v).mean for a, v in fixed.items()} == pytest.approx({"a": 1.0, "b": 0.0, NO_ACTION: 1.0})
    assert {a: v.matched for a, v in fixed.items()} == {"a": 2 * MANY, "b": MANY, NO_ACTION: MANY}
    assert interval(uniform_value(logged)).mean == pytest.approx((2 + 2 + 0 + 4) / (2 + 2 + 4 + 4))


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
            ],
            repeat=1,
        )
        covered += 0.6 in interval(policy_value(logged, ["a" if matching else "b" for matching in x]))
    assert 180 <= covered <= 199


def test_draws_that_follow_their_probabilities_are_not_suspicious() -> None:
    """Seeded draws pass; the same draws against other probabilities fail; no draws say nothing."""
    chosen = ["a" if u < 0.7 else "b" for u in np.random.default_rng(5).random(2000)]
    assert draws_p_value([{"a": 0.7, "b": 0.3}] * 2000, chosen) > 0.01
    assert draws_p_value([{"a": 0.6, "b": 0.4}] * 2000, chosen) < 1e-6
    assert draws_p_value([], []) == 1.0


def test_the_result_is_one_json_object_with_the_promised_keys() -> None:
    """Every key that the command promises is there, and the whole is valid JSON."""
    value = Estimate(Interval(0.2, 0.1, 0.3, 250), 250, 200.04)
    result = ReplayResult(
        dataset="hand",
        reward="y",
        margin=0.01,
        rows=1_000,
        presented=500,
        decisions=250,
        matched=250,
        missing=0,
        duplicates=0,
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
    assert parsed["served_value"] == {
        "mean": 0.2,
        "low": 0.1,
        "high": 0.3,
        "n": 250,
        "effective_rows": 200.0,
        "refused": None,
    }
    assert parsed["champion_value"] is None
    assert [step["version"] for step in parsed["promoted"]] == ["1"]
    assert parsed["held"] == [{"after_rows": 10, "version": "2", "verdict": "HOLD", "why": ["no better"]}]
    counts = {"rows", "presented", "decisions", "matched", "missing", "duplicates"}
    assert counts | {"margin", "uniform_value", "fixed_values", "chi_square_p"} < parsed.keys()


def test_a_refused_value_says_so_in_the_table() -> None:
    """Where the estimate would stand, with the rows that there were."""
    from rich.console import Console

    refused = Estimate(None, 2, 1.8)
    result = ReplayResult(
        dataset="hand",
        reward="y",
        margin=0.0,
        rows=10,
        presented=10,
        decisions=2,
        matched=2,
        missing=0,
        duplicates=0,
        served_value=refused,
        uniform_value=Estimate(Interval(0.2, 0.1, 0.3, 250), 250, 249.6),
        fixed_values={"a": refused},
        champion_value=None,
        midway_value=None,
        chi_square_p=1.0,
        steps=(),
        seconds=1.0,
    )
    console = Console(width=160, record=True, file=StringIO())
    console.print(render(result))
    lines = console.export_text().splitlines()
    [served] = [line for line in lines if "served" in line]
    assert "too little data: 2 effective rows, 100 needed" in served
    [uniform] = [line for line in lines if "uniform" in line]
    assert [word in uniform for word in ("0.2000 [0.1000, 0.3000]", "250")] == [True, True]
