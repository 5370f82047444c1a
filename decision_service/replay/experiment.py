"""A logged experiment as a value: what was known of each customer, which arm they got, how likely, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from decision_service.core.model.values import NO_ACTION, Value, Values, ValueType

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arm:
    """One treatment of the experiment, as an action of a program. `action` is NO_ACTION for a control arm."""

    action: str
    channel: str = ""
    message: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RewardChoice:
    """Which outcome is optimised, clipped to [low, high]; a row without it earns 0.

    margin: how much worse than the champion, in units of this reward, a challenger may turn out to be; ≥ 0.
    """

    outcome: str
    low: float = 0.0
    high: float = 1.0
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """One customer of the experiment.

    arm: action id of the arm that was given. probability: P(the experiment gave it), in (0, 1].
    outcomes: outcome name → value.
    """

    customer_id: str
    features: Values
    arm: str
    probability: float
    outcomes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LoggedExperiment:
    """A validated experiment.

    least_probability: no arm had less in any row; above 0, at most 1 / number of arms.
    no_action_value: what NO_ACTION earns where no arm is NO_ACTION, since the service may choose it nevertheless; by
    default the least reward that is possible, so that models keep off it. None where an arm is NO_ACTION.
    """

    name: str
    feature_types: Mapping[str, ValueType]
    arms: tuple[Arm, ...]
    reward: RewardChoice
    rows: tuple[LoggedRow, ...]
    least_probability: float
    no_action_value: float | None = None

    @property
    def arm_actions(self) -> frozenset[str]:
        """Action ids of the arms; NO_ACTION is among them only where the experiment left customers alone."""
        return frozenset(arm.action for arm in self.arms)

    @property
    def contact_arms(self) -> tuple[Arm, ...]:
        """The arms that contact the customer."""
        return tuple(arm for arm in self.arms if arm.action != NO_ACTION)

    def rewards(self) -> Floats:
        """The chosen reward of every row, clipped to its bounds, shape (n_rows,)."""
        return np.array([self.reward_of(row) for row in self.rows], dtype=np.float64)

    def reward_of(self, row: LoggedRow) -> float:
        """The chosen reward of a row, clipped to its bounds."""
        return min(max(row.outcomes.get(self.reward.outcome, 0.0), self.reward.low), self.reward.high)

    def sample(self, rows: int | None, seed: int) -> LoggedExperiment:
        """The rows in seeded random order, cut to the first `rows` of that order."""
        order = np.random.default_rng(seed).permutation(len(self.rows))[:rows]
        return replace(self, rows=tuple(self.rows[int(i)] for i in order))
