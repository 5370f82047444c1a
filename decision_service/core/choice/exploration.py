"""Predicted rewards to a distribution over the feasible actions. A policy returns a distribution, never an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decision_service.core.choice.sampling import validate
from decision_service.core.model.program import Action, Exploration, ExplorationKind
from decision_service.core.model.values import NO_ACTION

Distribution = npt.NDArray[np.float64]
Rewards = npt.NDArray[np.float64]


def uniform(n: int) -> Distribution:
    """Equal probabilities, shape (n,)."""
    return np.full(n, 1.0 / n)


def one_hot(n: int, index: int) -> Distribution:
    """All mass on one index, shape (n,)."""
    distribution = np.zeros(n)
    distribution[index] = 1.0
    return distribution


@dataclass(frozen=True, slots=True)
class Shaped:
    """base: what the predicted rewards alone give. final: after levers, slot prices, floor and shares. Shape (n,)."""

    base: Distribution
    final: Distribution


def shape(
    predicted: Rewards,
    actions: Sequence[Action],
    exploration: Exploration,
    examples: Mapping[str, int] | None = None,
    prices: Rewards | None = None,
) -> Shaped:
    """The distribution that TREATMENT is served over `actions`; predicted: shape (n,), finite.

    examples: action id → decisions that the model has learned from; None if it does not say, so that no action counts
        as one with little data.
    prices: what each action pays for the slot it takes, in units of reward; shape (n,).

    Raises:
        InvalidDistribution: the predictions or parameters did not give one.
    """
    n = len(actions)
    base = validate(_spread(predicted, exploration), n)
    levers = np.array([action.lever for action in actions])
    raw = base
    if prices is not None or (levers != 1.0).any():
        raw = _spread(levers * predicted - (0.0 if prices is None else prices), exploration)
    final = with_floor(raw, exploration.floor)
    if bounds := _bounds(actions, exploration, examples):
        final = bounded(final, *bounds)
    return Shaped(base, validate(final, n))


def explore(predicted: Rewards, exploration: Exploration) -> Distribution:
    """The distribution over things with these finite predicted rewards, shape (n,), floor included.

    - epsilon_greedy: 1 - ε on the best (ties share it), ε spread evenly.
    - softmax: proportional to exp(predicted / temperature).
    - squarecb: inverse gap weighting, p_a = 1 / (n + γ·gap_a), the rest on the best (Foster & Rakhlin 2020,
      "Beyond UCB", algorithm 1).

    Raises:
        InvalidDistribution: the predictions or parameters did not give one.
    """
    return validate(with_floor(_spread(predicted, exploration), exploration.floor), len(predicted))


def _spread(predicted: Rewards, exploration: Exploration) -> Distribution:
    n = len(predicted)
    match exploration.kind:
        case ExplorationKind.EPSILON_GREEDY:
            best = predicted == predicted.max()
            distribution: Distribution = exploration.epsilon / n + (1.0 - exploration.epsilon) * best / best.sum()
        case ExplorationKind.SOFTMAX:
            weights = np.exp((predicted - predicted.max()) / exploration.temperature)
            distribution = weights / weights.sum()
        case ExplorationKind.SQUARECB:
            distribution = 1.0 / (n + exploration.gamma * (predicted.max() - predicted))
            best_index = int(predicted.argmax())
            distribution[best_index] = 0.0
            distribution[best_index] = 1.0 - distribution.sum()
    return distribution


def with_floor(distribution: Distribution, floor: float) -> Distribution:
    """Mix with the uniform so that every action keeps at least min(floor, 1/n)."""
    if floor == 0.0:
        return distribution
    n = len(distribution)
    floor = min(floor, 1.0 / n)
    return (1.0 - n * floor) * distribution + floor


def _bounds(
    actions: Sequence[Action], exploration: Exploration, examples: Mapping[str, int] | None
) -> tuple[Distribution, Distribution] | None:
    """Least and largest probability of each action; None if nothing is bounded. NO_ACTION never is."""
    knows_little = exploration.low_data_below > 0 and examples is not None
    if not knows_little and not any(a.min_share > 0.0 or a.max_share < 1.0 for a in actions):
        return None
    lower = np.array([a.min_share for a in actions])
    upper = np.array([a.max_share for a in actions])
    if knows_little and examples is not None:
        for i, action in enumerate(actions):
            if action.id != NO_ACTION and examples.get(action.id, 0) < exploration.low_data_below:
                upper[i] = min(upper[i], exploration.low_data_max_share)
    return lower, upper


def bounded(distribution: Distribution, lower: Distribution, upper: Distribution) -> Distribution:
    """The distribution brought within bounds, all of shape (n,); what one gives up goes to the others in proportion.

    A lower bound above its upper one gives way; lower bounds that sum to more than 1 shrink in proportion. The upper
    bounds must sum to at least 1.
    """
    lower = np.minimum(lower, upper)
    lower = lower / max(1.0, float(lower.sum()))
    within = np.clip(distribution, lower, upper)
    # Each round settles the sum, or brings at least one more to its bound.
    for _ in range(2 * len(distribution)):
        missing = 1.0 - float(within.sum())
        if abs(missing) < 1e-12:
            break
        room = upper - within if missing > 0 else within - lower
        weights = np.where(room > 0, distribution, 0.0)
        if not weights.any():
            weights = room  # those that could take it had nothing to be in proportion to
        within = np.clip(within + missing * (weights / weights.sum()), lower, upper)
    return within
