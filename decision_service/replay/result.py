"""What a replay ends with: values of policies on a logged experiment, each with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decision_service.core.estimation.ope import Calibration, Interval, mean_interval, probability_matrix
from decision_service.core.model.values import NO_ACTION
from decision_service.replay.experiment import Floats, LoggedExperiment


def policy_value(experiment: LoggedExperiment, actions: Sequence[str], first: int = 0) -> Interval:
    """The value of a policy that chose `actions` for the rows from number `first` on, one per row.

    Rows whose logged arm is the action reveal their reward and count 1/P(arm) (Li, Chu, Langford & Wang 2011, with
    the weights of Horvitz & Thompson where arms were not equally likely; self-normalised). Choices must not depend
    on the row's arm or outcome. NO_ACTION counts 1 in every row where its reward is known without an arm. The mean
    is nan, unbounded, where nothing matches.
    """
    rows = experiment.rows[first : first + len(actions)]
    weights = np.array(
        [(row.arm == action) / row.probability for row, action in zip(rows, actions, strict=True)], dtype=np.float64
    )
    rewards = experiment.rewards()[first : first + len(actions)]
    if experiment.no_action_value is not None:
        idle = np.array([action == NO_ACTION for action in actions], dtype=np.bool_)
        weights[idle], rewards[idle] = 1.0, experiment.no_action_value
    return _valued(experiment, weights, rewards)


def uniform_value(experiment: LoggedExperiment) -> Interval:
    """The value of drawing every arm equally often, estimated on all rows."""
    weights = _inverse(experiment) / len(experiment.arms)
    return _valued(experiment, weights, experiment.rewards())


def fixed_values(experiment: LoggedExperiment) -> dict[str, Interval]:
    """Action → the value of giving it to everyone, estimated on the rows that had it."""
    inverse, rewards = _inverse(experiment), experiment.rewards()
    given = np.array([row.arm for row in experiment.rows])
    return {
        arm.action: _valued(experiment, np.where(given == arm.action, inverse, 0.0), rewards) for arm in experiment.arms
    }


def draws_p_value(options: Sequence[Mapping[str, float]], chosen: Sequence[str]) -> float:
    """Chi-square p-value of the drawn actions against their logged probabilities, one mapping per decision."""
    if not chosen:
        return 1.0
    return Calibration.by_action(*probability_matrix(options, chosen)).p_value


def _inverse(experiment: LoggedExperiment) -> Floats:
    return np.array([1 / row.probability for row in experiment.rows], dtype=np.float64)


def _valued(experiment: LoggedExperiment, weights: Floats, rewards: Floats) -> Interval:
    low, high = experiment.reward.low, experiment.reward.high
    return mean_interval(rewards, low=low, high=high, weights=weights).clamped(low, high)


@dataclass(frozen=True, slots=True)
class ModelStep:
    """One training run of the replay: after how many rows, its verdict (PROMOTE, HOLD or INSUFFICIENT) and why."""

    after_rows: int
    version: str
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The end of a replay.

    decisions: rows of the warehouse's decisions. missing: acknowledged decisions that it lacks. duplicates: rows
    beyond one per decision. matched: decisions whose outcome the experiment reveals.
    champion_value: the final champion's best action without exploration, on the second half of the rows, None if no
    model was promoted. That champion learned from matched rows of both halves; `midway_value` is the same for the
    champion that served when the second half began, which had seen none of it.
    chi_square_p: p-value of drawn against logged probabilities.
    """

    dataset: str
    reward: str
    decisions: int
    missing: int
    duplicates: int
    matched: int
    served_value: Interval
    uniform_value: Interval
    fixed_values: Mapping[str, Interval]
    champion_value: Interval | None
    midway_value: Interval | None
    chi_square_p: float
    steps: tuple[ModelStep, ...]
    seconds: float

    @property
    def promoted(self) -> tuple[ModelStep, ...]:
        """The training runs whose model became champion."""
        return tuple(step for step in self.steps if step.verdict == "PROMOTE")

    @property
    def held(self) -> tuple[ModelStep, ...]:
        """Those whose model did not."""
        return tuple(step for step in self.steps if step.verdict != "PROMOTE")

    def to_json(self) -> dict[str, object]:
        """The JSON object that `nba replay --json` ends with."""
        return {
            "dataset": self.dataset,
            "reward": self.reward,
            "decisions": self.decisions,
            "missing": self.missing,
            "duplicates": self.duplicates,
            "matched": self.matched,
            "served_value": interval_json(self.served_value),
            "uniform_value": interval_json(self.uniform_value),
            "champion_value": interval_json(self.champion_value),
            "midway_value": interval_json(self.midway_value),
            "fixed_values": {action: interval_json(value) for action, value in self.fixed_values.items()},
            "chi_square_p": self.chi_square_p,
            "promoted": [_step_json(step) for step in self.promoted],
            "held": [_step_json(step) for step in self.held],
            "seconds": round(self.seconds, 1),
        }


def interval_json(value: Interval | None) -> dict[str, float | int | str | None] | None:
    """An interval as JSON: `mean`, `low`, `high` and `n`, with null for what is not known; then `withheld` says why."""
    if value is None:
        return None
    finite = {name: x if math.isfinite(x) else None for name, x in _ends(value).items()}
    reason = {"withheld": value.withheld} if value.withheld else {}
    return {**finite, "n": value.n, **reason}


def _ends(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "low": value.low, "high": value.high}


def _step_json(step: ModelStep) -> dict[str, object]:
    return {"after_rows": step.after_rows, "version": step.version, "verdict": step.verdict, "why": list(step.reasons)}
