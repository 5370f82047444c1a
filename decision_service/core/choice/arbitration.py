"""Several programs, one customer: what their actions are worth, and which of them decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decision_service.core.choice.exploration import Distribution, explore, one_hot
from decision_service.core.model.program import Action, Arbitration, Program


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
