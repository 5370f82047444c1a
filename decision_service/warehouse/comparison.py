"""What the groups of a program brought, per customer, by intention to treat.

A customer counts from her first exposure to the program, in the group that she then had, with whatever she does
afterwards, whether anything was sent to her or not; see the views `compared_customers` and `compared_outcomes`. Nothing
here goes by a decision: which program decided, and whether a contact went out, follows from the group, and whoever
selects by it finds differences where contacts do nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from decision_service.application.ports import Warehouse
from decision_service.core.estimation.intervals import FloatArray, Interval, mean_interval
from decision_service.core.model.program import Group

NOT_HELD_OUT, GLOBAL_HOLDOUT = "NOT_HELD_OUT", "GLOBAL_HOLDOUT"
ALPHA = 0.05

QUESTIONS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (Group.TREATMENT, Group.HOLDOUT): "what the program adds, while other programs contact both",
        (Group.TREATMENT, Group.BUSINESS_AS_USUAL): "what it adds over the baseline",
        (Group.TREATMENT, Group.RANDOM_CONTROL): "what choosing adds over chance",
        (NOT_HELD_OUT, GLOBAL_HOLDOUT): "what all programs together add, counted by this one's reward",
    }
)
"""The groups that are compared, in this order, and what their difference answers."""

GROUPS = (*Group, NOT_HELD_OUT, GLOBAL_HOLDOUT)
"""In the order in which they are shown."""

REWARDS_OF_CUSTOMERS = """
SELECT c.program, c."group", coalesce(t.reward, 0) AS reward, t.reward IS NOT NULL AS responded, count(*) AS customers
FROM compared_customers AS c
LEFT JOIN (
    SELECT program, "group", customer_id, sum(reward) AS reward
    FROM compared_outcomes
    WHERE occurred_at_ms >= $since_ms
    GROUP BY ALL
) AS t ON t.program = c.program AND t."group" = c."group" AND t.customer_id = c.customer_id
WHERE $program IN ('', c.program)
GROUP BY ALL
ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One group: customers ever exposed, those with an outcome, and the mean reward per customer.

    reward: `n` is the number of customers; withheld where their outcomes are too few.
    """

    group: str
    customers: int
    customers_with_outcome: int
    reward: Interval


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean reward per customer of one group less that of another.

    reward: `n` is the number of customers of both; None where the interval of either is withheld.
    """

    group: str
    against: str
    reward: Interval | None

    @property
    def question(self) -> str:
        """What it answers."""
        return QUESTIONS[self.group, self.against]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A program's groups and their differences, those of `QUESTIONS` whose groups it has."""

    program: str
    groups: tuple[GroupResult, ...]
    differences: tuple[Difference, ...]

    def group(self, name: str) -> GroupResult | None:
        """One of its groups; None if nobody is in it."""
        return next((g for g in self.groups if g.group == name), None)

    def difference(self, group: str, against: str) -> Difference | None:
        """One of its differences; None if it lacks either group."""
        return next((d for d in self.differences if (d.group, d.against) == (group, against)), None)

    def to_json(self) -> dict[str, object]:
        """As a JSON object; bounds that are not known are null."""
        return {
            "program": self.program,
            "groups": [
                {
                    "group": g.group,
                    "customers": g.customers,
                    "customers_with_outcome": g.customers_with_outcome,
                    **_interval_json(g.reward),
                }
                for g in self.groups
            ],
            "differences": [
                {"group": d.group, "against": d.against, "question": d.question, **_interval_json(d.reward)}
                for d in self.differences
            ],
        }


def compare_groups(warehouse: Warehouse, program: str = "", since_ms: int = 0) -> list[Comparison]:
    """The comparisons of one program, or of each that anybody was exposed to, in the order of their names.

    since_ms: leaves out what customers did before, UTC epoch milliseconds. Customers count whenever they were exposed.

    Raises:
        Unavailable: the warehouse did not answer.
    """
    equal: dict[str, dict[str, list[_Equal]]] = defaultdict(lambda: defaultdict(list))
    for row in warehouse.query(REWARDS_OF_CUSTOMERS, {"program": program, "since_ms": since_ms}).to_pylist():
        equal[row["program"]][row["group"]].append(_Equal(row["reward"], row["customers"], row["responded"]))
    return [_comparison(name, groups) for name, groups in sorted(equal.items())]


class _Equal(NamedTuple):
    """Customers of a group whose rewards are equal."""

    reward: float
    customers: int
    responded: bool


def _comparison(program: str, groups: Mapping[str, Sequence[_Equal]]) -> Comparison:
    means = customer_means(
        {group: np.repeat([e.reward for e in equal], [e.customers for e in equal]) for group, equal in groups.items()}
    )
    return Comparison(
        program,
        tuple(
            GroupResult(
                group,
                means[group].n,
                sum(e.customers for e in groups[group] if e.responded),
                means[group],
            )
            for group in GROUPS
            if group in means
        ),
        tuple(
            Difference(group, against, difference_interval(means[group], means[against]))
            for group, against in QUESTIONS
            if group in means and against in means
        ),
    )


def customer_means(rewards: Mapping[str, FloatArray], alpha: float = ALPHA) -> dict[str, Interval]:
    """Mean reward per customer of each group, whose customers' rewards have shape (n,), with its interval.

    No bound of what a customer may bring is known; what any of them brought, in whichever group, is taken for possible
    in each. So a group of whom nobody has bought yet has an interval too, and one too small to tell anything has none.
    """
    low = min(0.0, *(float(values.min()) for values in rewards.values()))
    high = max(0.0, *(float(values.max()) for values in rewards.values()))
    if low == high:
        return {
            group: Interval(high, -math.inf, math.inf, values.size, "too little data: nobody brought anything")
            for group, values in rewards.items()
        }
    return {
        group: mean_interval(values, alpha, low=low, high=high).clamped(low, high) for group, values in rewards.items()
    }


def difference_interval(one: Interval, other: Interval) -> Interval | None:
    """Mean of `one` less that of `other`, two independent samples, each with its interval.

    Each end is as far from the estimate as the two ends that it rests on are together, as independent errors add (Zou &
    Donner 2008): so the difference holds where its parts do, however skewed. None where either has no interval.
    """
    if one.withheld or other.withheld:
        return None
    mean = one.mean - other.mean
    low = mean - math.hypot(one.mean - one.low, other.high - other.mean)
    high = mean + math.hypot(one.high - one.mean, other.mean - other.low)
    return Interval(mean, low, high, one.n + other.n)


def _interval_json(interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {"mean": None, "low": None, "high": None}
    values = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
