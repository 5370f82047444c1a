"""Several programs, one customer: which of them decides, and what the customer's last slot costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decision_service.core.caps import binds
from decision_service.core.exploration import Distribution, explore, one_hot
from decision_service.core.program import Action, Arbitration, FrequencyCap, Program


def scores(
    program: Program,
    actions: Sequence[Action],
    predicted: npt.NDArray[np.float64],
    prices: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """What each action is worth beyond NO_ACTION, in the workspace's currency; shape (n,), NO_ACTION last and 0.

    `value × (lever × predicted_reward − predicted_reward(NO_ACTION))`, less the price of the slot that it takes. As
    every program's NO_ACTION is 0, the actions of all programs compare: choosing one of them leaves the other programs
    with what their NO_ACTION would have earned. prices: in units of the program's reward.
    """
    levers = np.array([action.lever for action in actions])
    beyond = levers * predicted - predicted[-1]
    if prices is not None:
        beyond = beyond - prices
    beyond[-1] = 0.0
    worth: npt.NDArray[np.float64] = program.value * beyond
    return worth


@dataclass(frozen=True, slots=True)
class Competitor:
    """A program that has something feasible for the customer.

    score: that of its best feasible action; 0 if no model tells. It must not depend on the customer's group, so that
    the groups of a program go on to compare like with like.
    """

    priority: int
    score: float


def compete(competitors: Sequence[Competitor | None], arbitration: Arbitration) -> Distribution:
    """P(each program decides), shape (n,); None has nothing feasible. With nothing anywhere, the first one decides.

    Raises:
        InvalidDistribution: the scores did not give one.
    """
    known = [c for c in competitors if c is not None]
    if not known:
        return one_hot(len(competitors), 0)
    highest = max(c.priority for c in known)
    takes_part = np.array([c is not None and c.priority == highest for c in competitors])
    probabilities = np.zeros(len(competitors))
    values = np.array([c.score for c in known if c.priority == highest])
    probabilities[takes_part] = explore(values, arbitration.exploration)
    return probabilities


@dataclass(frozen=True, slots=True)
class Due:
    """An action that is not allowed now but soon will be, and its discounted score."""

    program: Program
    action: Action
    score: float


def slot_price(action: Action, last_slots: Sequence[FrequencyCap], due: Sequence[Due]) -> float:
    """What an action pays, in the workspace's currency, for slots that due actions would then not have: the best score
    among those that a cap of `last_slots` binds, at least 0."""
    rivals = (d for d in due if d.action is not action)
    return max(
        (d.score for d in rivals if d.score > 0 and any(binds(cap, d.program.name, d.action) for cap in last_slots)),
        default=0.0,
    )
