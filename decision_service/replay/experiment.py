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
    """Which outcome is optimised, clipped to [low, high]; a row without it earns 0."""

    outcome: str
    low: float = 0.0
    high: float = 1.0


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

    no_action_value: the reward of doing nothing where it is known for every row although no arm did so (no
    recommendation, no click); None where it is not known, or where an arm is NO_ACTION.
    """

    name: str
    feature_types: Mapping[str, ValueType]
    arms: tuple[Arm, ...]
    reward: RewardChoice
    rows: tuple[LoggedRow, ...]
    no_action_value: float | None = None

    @property
    def contact_arms(self) -> tuple[Arm, ...]:
        """The arms that contact the customer."""
        return tuple(arm for arm in self.arms if arm.action != NO_ACTION)

    def rewards(self) -> Floats:
        """The chosen reward of every row, clipped to its bounds, shape (n_rows,)."""
        raw = np.array([row.outcomes.get(self.reward.outcome, 0.0) for row in self.rows], dtype=np.float64)
        return np.clip(raw, self.reward.low, self.reward.high)

    def sample(self, rows: int | None, seed: int) -> LoggedExperiment:
        """The rows in seeded random order, cut to the first `rows` of that order."""
        order = np.random.default_rng(seed).permutation(len(self.rows))[:rows]
        return replace(self, rows=tuple(self.rows[int(i)] for i in order))
