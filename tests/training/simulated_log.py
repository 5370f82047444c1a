"""A small world with known truth: three segments, six actions, one of which suits each segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from decision_service.core.estimation.ope import FloatArray
from decision_service.core.model.program import NO_ACTION_ACTION, Action, Group
from decision_service.core.model.record import PolicyKind
from decision_service.core.model.reward import RewardDefinition
from training.dataset import LoggedDataset, LoggedRow
from training.evaluate import Policy

ACTIONS = (
    *(Action(f"a{i}", "email" if i % 2 else "push", f"m{i}", attributes={"price": float(i)}) for i in range(5)),
    NO_ACTION_ACTION,
)
SEGMENTS = ("gold", "silver", "bronze")
REWARD = RewardDefinition({"visit": 1.0}, window_s=60)
BASE_RATE = 0.1
EPSILON = 0.2


def simulated_log(
    rng: np.random.Generator,
    n: int,
    effect: float,
    champion: Sequence[int] | None = None,
    first_ms: int = 1_000,
    random_share: float = 0.2,
) -> LoggedDataset:
    """`n` decisions, one per millisecond; action i earns `effect` more in segment i.

    champion: the action that the serving model prefers in each segment, under ε-greedy; None draws uniformly.
    """
    k = len(ACTIONS)
    segments, control = rng.integers(3, size=n), rng.random(n) < random_share
    logged = np.full((n, k), 1 / k)
    if champion is not None:
        treated = np.flatnonzero(~control)
        logged[treated] = EPSILON / k
        logged[treated, np.asarray(champion)[segments[treated]]] += 1 - EPSILON
    chosen = np.minimum((rng.random(n)[:, None] > logged.cumsum(axis=1)).sum(axis=1), k - 1)
    rewards = rng.random(n) < BASE_RATE + effect * (chosen == segments)
    ages = rng.integers(18, 80, size=n)
    return LoggedDataset.of(
        "spring",
        REWARD,
        [
            LoggedRow(
                decision_id=f"d{first_ms + i}",
                customer_id=f"c{int(rng.integers(n))}",
                decided_at_ms=first_ms + i,
                program_version=1,
                group=Group.RANDOM_CONTROL if control[i] else Group.TREATMENT,
                policy=PolicyKind.UNIFORM if champion is None or control[i] else PolicyKind.MODEL,
                model_version="",
                known={"segment": SEGMENTS[segments[i]], "age": int(ages[i]), "tags": ("x",) if ages[i] < 30 else ()},
                actions=ACTIONS,
                probabilities=tuple(logged[i].tolist()),
                chosen=int(chosen[i]),
                reward=float(rewards[i]),
            )
            for i in range(n)
        ],
    )


def preferring(choice: Sequence[int], epsilon: float = EPSILON) -> Policy:
    """The ε-greedy policy that prefers one action in each segment."""

    def policy(dataset: LoggedDataset) -> FloatArray:
        target = np.full(dataset.logged.shape, epsilon / len(ACTIONS))
        for i, segment in enumerate(segments_of(dataset)):
            target[i, dataset.column[ACTIONS[choice[segment]].id]] += 1 - epsilon
        return target

    return policy


def segments_of(dataset: LoggedDataset) -> list[int]:
    """Each row's segment, 0–2."""
    return [SEGMENTS.index(str(row.known["segment"])) for row in dataset.rows]


def rates_by_segment(dataset: LoggedDataset) -> FloatArray:
    """Average reward by segment and action, shape (3, A), shrunk to the base rate: a learner for tests."""
    total, count = np.full((3, len(dataset.actions)), 5 * BASE_RATE), np.full((3, len(dataset.actions)), 5.0)
    np.add.at(total, (segments_of(dataset), dataset.chosen), dataset.rewards)
    np.add.at(count, (segments_of(dataset), dataset.chosen), 1.0)
    return total / count
