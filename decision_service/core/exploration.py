"""Predicted rewards to a distribution over the feasible actions. A policy returns a distribution, never an action."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from decision_service.core.program import Exploration, ExplorationKind
from decision_service.core.sampling import validate

Distribution = npt.NDArray[np.float64]


def uniform(n: int) -> Distribution:
    """Equal probabilities, shape (n,)."""
    return np.full(n, 1.0 / n)


def one_hot(n: int, index: int) -> Distribution:
    """All mass on one index, shape (n,)."""
    distribution = np.zeros(n)
    distribution[index] = 1.0
    return distribution


def explore(predicted: npt.NDArray[np.float64], exploration: Exploration) -> Distribution:
    """The distribution over actions with these finite predicted rewards, shape (n,), floor included.

    - epsilon_greedy: 1 - ε on the best action (ties share it), ε spread evenly.
    - softmax: proportional to exp(predicted / temperature).
    - squarecb: inverse gap weighting, p_a = 1 / (n + γ·gap_a), the rest on the best (Foster & Rakhlin 2020,
      "Beyond UCB", algorithm 1).

    Raises:
        InvalidDistribution: the predictions or parameters did not give one.
    """
    n = len(predicted)
    match exploration.kind:
        case ExplorationKind.EPSILON_GREEDY:
            best = predicted == predicted.max()
            distribution = exploration.epsilon / n + (1.0 - exploration.epsilon) * best / best.sum()
        case ExplorationKind.SOFTMAX:
            weights = np.exp((predicted - predicted.max()) / exploration.temperature)
            distribution = weights / weights.sum()
        case ExplorationKind.SQUARECB:
            distribution = 1.0 / (n + exploration.gamma * (predicted.max() - predicted))
            best_index = int(predicted.argmax())
            distribution[best_index] = 0.0
            distribution[best_index] = 1.0 - distribution.sum()
    return validate(with_floor(distribution, exploration.floor), n)


def with_floor(distribution: Distribution, floor: float) -> Distribution:
    """Mix with the uniform so that every action keeps at least min(floor, 1/n)."""
    n = len(distribution)
    floor = min(floor, 1.0 / n)
    return (1.0 - n * floor) * distribution + floor
