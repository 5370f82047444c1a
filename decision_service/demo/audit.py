"""What the groups of a simulation brought, and what an oracle that knows the customers' tastes would have.

Groups are compared per customer (`warehouse.comparison`). Per decision, by the program that decided, is how learning
goes from week to week; it is no comparison of groups.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decision_service.application.ports import Warehouse
from decision_service.core.estimation.ope import Interval, mean_interval
from decision_service.core.model.program import Action, Group
from decision_service.demo.response import Truth, best_reward, expected_reward
from decision_service.warehouse.comparison import Comparison, compare_groups

EARNED = """
SELECT d.decision_id, d.customer_id, d.program, d."group", d.action, d.actions, d.decided_at_ms, r.reward
FROM decisions d JOIN rewards r USING (decision_id)
WHERE r.matured
ORDER BY d.decided_at_ms
"""


@dataclass(frozen=True, slots=True)
class Earned:
    """A matured decision with its reward; `best` and `expected` are the truth of the best feasible and of the chosen
    action."""

    decision_id: str
    customer_id: str
    program: str
    group: str
    decided_at_ms: int
    reward: float
    best: float
    expected: float


def earned(
    warehouse: Warehouse, actions: Mapping[str, Mapping[str, Action]], truths: Mapping[str, Truth]
) -> list[Earned]:
    """Every matured decision with its reward and the truth about its options, as they were logged."""
    found = []
    for row in warehouse.query(EARNED).to_pylist():
        program, truth = row["program"], truths[row["decision_id"]]
        options = [(action, actions[program][action].channel) for action in row["actions"]]
        found.append(
            Earned(
                decision_id=row["decision_id"],
                customer_id=row["customer_id"],
                program=program,
                group=row["group"],
                decided_at_ms=row["decided_at_ms"],
                reward=row["reward"],
                best=best_reward(program, options, truth),
                expected=expected_reward(program, row["action"], actions[program][row["action"]].channel, truth),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Brought:
    """What the customers of one program brought, group by group, and what they would have with an oracle.

    oracle: per TREATMENT customer, had each decision that the program made for her been the best of its feasible
    actions, and all else the same; nan without TREATMENT.
    """

    comparison: Comparison
    oracle: float


def brought(warehouse: Warehouse, decisions: Sequence[Earned], since_ms: int = 0) -> list[Brought]:
    """Of each program, from `since_ms` on; `decisions` are all that matured."""
    found = []
    for comparison in compare_groups(warehouse, since_ms=since_ms):
        treated, oracle = comparison.group(Group.TREATMENT), math.nan
        if treated is not None:
            missed = sum(
                d.best - d.expected
                for d in decisions
                if (d.program, d.group) == (comparison.program, Group.TREATMENT) and d.decided_at_ms >= since_ms
            )
            oracle = treated.reward.mean + missed / treated.customers
        found.append(Brought(comparison, oracle))
    return found


def group_values(decisions: Sequence[Earned]) -> dict[str, Interval]:
    """Group → mean reward per decision; a customer's decisions may be correlated, so intervals go by customer."""
    return {
        group.value: mean_interval([d.reward for d in theirs], clusters=[d.customer_id for d in theirs])
        for group in Group
        if (theirs := [d for d in decisions if d.group == group])
    }


def oracle_value(decisions: Sequence[Earned]) -> float:
    """Mean reward of TREATMENT's decisions, had each been the best of its feasible actions; nan without any."""
    best = [d.best for d in decisions if d.group == Group.TREATMENT]
    return float(np.mean(best)) if best else float("nan")
