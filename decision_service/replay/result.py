"""What a replay ends with: values of policies on a logged experiment, each with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decision_service.core.estimation.ope import Calibration, Interval, mean_interval, probability_matrix
from decision_service.replay.experiment import Floats, LoggedExperiment
from training.gate import GateRules

LEAST_EFFECTIVE_ROWS = GateRules().least_effective_rows
"""What the gate asks for before it concludes anything is asked for before a value is shown."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The value of a policy, with the data that it rests on.

    matched: rows that reveal what the policy earns. effective_rows: how many equally weighted rows would tell as much,
    (Σw)² / Σw² (Kish 1965). interval: None where they are fewer than LEAST_EFFECTIVE_ROWS.
    """

    interval: Interval | None
    matched: int
    effective_rows: float

    @property
    def refusal(self) -> str:
        """Why there is no interval; empty if there is one."""
        if self.interval is not None:
            return self.interval.withheld
        return f"too little data: {self.effective_rows:.0f} effective rows, {LEAST_EFFECTIVE_ROWS:.0f} needed"

    def to_json(self) -> dict[str, float | int | str | None]:
        """As a JSON object, with null for what is refused or not finite."""
        value = self.interval
        ends = (None, None, None) if value is None else (value.mean, value.low, value.high)
        finite = (x if x is not None and math.isfinite(x) else None for x in ends)
        return {
            **dict(zip(("mean", "low", "high"), finite, strict=True)),
            "n": self.matched,
            "effective_rows": round(self.effective_rows, 1),
            "refused": self.refusal or None,
        }


def served_value(experiment: LoggedExperiment, weights: Sequence[float], rewards: Sequence[float]) -> Estimate:
    """The value of the policy that decided, from its decisions' rewards; weights: inverse to the rate at which rows
    became decisions when each was made."""
    return _estimate(experiment, np.array(weights, dtype=np.float64), np.array(rewards, dtype=np.float64))


def policy_value(experiment: LoggedExperiment, actions: Sequence[str], first: int = 0) -> Estimate:
    """The value of a policy that chose `actions` for the rows from number `first` on, one per row.

    Rows whose logged arm is the action reveal their reward and count 1/P(arm) (Li, Chu, Langford & Wang 2011, with
    the weights of Horvitz & Thompson where arms were not equally likely; self-normalised). Choices must not depend
    on the row's arm or outcome.
    """
    rows = experiment.rows[first : first + len(actions)]
    weights = np.array(
        [(row.arm == action) / row.probability for row, action in zip(rows, actions, strict=True)], dtype=np.float64
    )
    return _estimate(experiment, weights, experiment.rewards()[first : first + len(actions)])


def uniform_value(experiment: LoggedExperiment) -> Estimate:
    """The value of drawing every arm equally often, estimated on all rows."""
    weights = _inverse(experiment) / len(experiment.arms)
    return _estimate(experiment, weights, experiment.rewards())


def fixed_values(experiment: LoggedExperiment) -> dict[str, Estimate]:
    """Action → the value of giving it to everyone, estimated on the rows that had it."""
    inverse, rewards = _inverse(experiment), experiment.rewards()
    given = np.array([row.arm for row in experiment.rows])
    return {
        arm.action: _estimate(experiment, np.where(given == arm.action, inverse, 0.0), rewards)
        for arm in experiment.arms
    }


def draws_p_value(options: Sequence[Mapping[str, float]], chosen: Sequence[str]) -> float:
    """Chi-square p-value of the drawn actions against their logged probabilities, one mapping per decision."""
    if not chosen:
        return 1.0
    return Calibration.by_action(*probability_matrix(options, chosen)).p_value


def _inverse(experiment: LoggedExperiment) -> Floats:
    return np.array([1 / row.probability for row in experiment.rows], dtype=np.float64)


def _estimate(experiment: LoggedExperiment, weights: Floats, rewards: Floats) -> Estimate:
    matched = int(np.count_nonzero(weights))
    effective = float(weights.sum() ** 2 / np.square(weights).sum()) if matched else 0.0
    interval = _valued(experiment, weights, rewards) if effective >= LEAST_EFFECTIVE_ROWS else None
    return Estimate(interval, matched, effective)


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

    rows: of the experiment. presented: those that the service was asked about, see `presentation`. decisions: rows of
    the warehouse's decisions. matched: those whose outcome the experiment tells, all of them unless the service
    answered otherwise than in the dry run before. missing: acknowledged decisions that the warehouse lacks. duplicates:
    rows beyond one per decision.
    margin: how much worse a challenger was allowed to be, in units of the reward.
    served_value: of decisions for arms of the experiment.
    champion_value: the final champion's best arm without exploration, on the second half of the rows, None if no
    model was promoted. That champion learned from matched rows of both halves; `midway_value` is the same for the
    champion that served when the second half began, which had seen none of it.
    chi_square_p: p-value of drawn against logged probabilities.
    """

    dataset: str
    reward: str
    margin: float
    rows: int
    presented: int
    decisions: int
    matched: int
    missing: int
    duplicates: int
    served_value: Estimate
    uniform_value: Estimate
    fixed_values: Mapping[str, Estimate]
    champion_value: Estimate | None
    midway_value: Estimate | None
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
            "margin": self.margin,
            "rows": self.rows,
            "presented": self.presented,
            "decisions": self.decisions,
            "matched": self.matched,
            "missing": self.missing,
            "duplicates": self.duplicates,
            "served_value": self.served_value.to_json(),
            "uniform_value": self.uniform_value.to_json(),
            "champion_value": self.champion_value.to_json() if self.champion_value else None,
            "midway_value": self.midway_value.to_json() if self.midway_value else None,
            "fixed_values": {action: value.to_json() for action, value in self.fixed_values.items()},
            "chi_square_p": self.chi_square_p,
            "promoted": [_step_json(step) for step in self.promoted],
            "held": [_step_json(step) for step in self.held],
            "seconds": round(self.seconds, 1),
        }


def _step_json(step: ModelStep) -> dict[str, object]:
    return {"after_rows": step.after_rows, "version": step.version, "verdict": step.verdict, "why": list(step.reasons)}
