"""How much each input speaks for one action rather than another, from what a model predicts without it.

A model whose features are products of one shared and one action feature, as with `-q UA`, is linear in the shared ones.
What leaving an input out changes in the difference of two predictions is then exactly that input's part of it, and what
the difference is without any input is the part of the actions themselves. With interactions of a higher order the parts
do not add up; the rest is shown as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decision_service.core.choice.encoding import among, inputs_of, without

THE_ACTIONS = "the actions themselves"
INTERACTIONS = "interactions of several inputs"

NOISE = 1e-5
"""Relative: models sum in 32-bit floats, so parts are known to about this share of what was summed."""

Predict = Callable[[str, int], npt.NDArray[np.float64]]
"""(encoded, n_actions) → predicted rewards, shape (n_actions,); `Scorer.predict` is one."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What an input, at its value, adds to the difference of two predicted rewards."""

    input: str
    value: str
    amount: float


def contributions(encoded: str, chosen: int, other: int, predict: Predict) -> tuple[Contribution, ...]:
    """The parts of predicted reward of action `chosen` less that of `other`, largest first; they sum to it.

    chosen, other: positions among the actions encoded, from 0.
    """
    pair = among(encoded, (chosen, other))

    def difference(text: str) -> float:
        ours, others = predict(text, 2).tolist()
        return float(ours - others)

    values = inputs_of(pair)
    whole, bare = difference(pair), difference(without(pair, values))
    parts = [Contribution(name, value, whole - difference(without(pair, {name}))) for name, value in values.items()]
    parts.append(Contribution(THE_ACTIONS, "", bare))
    rest = whole - sum(part.amount for part in parts)
    if abs(rest) > NOISE * max(1.0, sum(abs(part.amount) for part in parts)):
        parts.append(Contribution(INTERACTIONS, "", rest))
    return tuple(sorted((part for part in parts if part.amount), key=lambda part: -abs(part.amount)))
