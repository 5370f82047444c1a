"""What is refused when a program is published, although what was published before is still served with it.

Bounds that came later must not take a program out of force; nothing here is looked at when one is read back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.values import MAX_VALUES
from decision_service.documents.checks import RULES, Mistake, select, texts
from decision_service.documents.rules.rule_cost import MAX_RULE_MS, MAX_RULES_MS, estimate
from decision_service.documents.rules.rule_language import check_rule
from decision_service.documents.schema import RewardDocument
from decision_service.documents.source import Data
from decision_service.documents.times import Window

MAX_LEASE_S = 7 * 86_400
"""What the ledger retains by default: a report on what it has forgotten is refused."""

_WINDOW: TypeAdapter[int] = TypeAdapter(Window)


def mistakes(program: Data) -> Iterator[Mistake]:
    """What a program may not be published with."""
    yield from _long_lease(program)
    yield from _costly_rules(program)
    yield from _unreachable_rewards(program)


def _long_lease(program: Data) -> Iterator[Mistake]:
    for location, lease in select(program, "lease"):
        try:
            is_long = _WINDOW.validate_python(lease) > MAX_LEASE_S
        except ValidationError:
            continue  # told by the field itself
        if is_long:
            yield (
                location,
                f"{lease} is longer than 7d: the ledger forgets a decision after that, by default, so that what is "
                "reported of it later would be refused",
            )


def _costly_rules(program: Data) -> Iterator[Mistake]:
    costs: dict[str, float] = {}
    for pattern in RULES:
        for location, rule in texts(program, *pattern):
            try:
                check_rule(rule)
            except InvalidRequest:
                continue  # told by the field itself
            ms = costs[rule] = estimate(rule).ms(MAX_VALUES)
            if math.isinf(ms):
                yield location, "the pattern of `matches` must be written in the rule, as text: it is checked for cost"
            elif ms > MAX_RULE_MS:
                yield (
                    location,
                    f"with lists of {MAX_VALUES} items it may take {ms:,.0f} ms, at most {MAX_RULE_MS:g} are allowed: "
                    "use no list operation within another (`x in list` looks one up), short patterns, "
                    "and `startsWith` or `contains` where they do",
                )
    if max(costs.values(), default=0.0) <= MAX_RULE_MS and (total := sum(costs.values())) > MAX_RULES_MS:
        yield (
            ("actions",),
            f"all rules together may take {total:,.0f} ms with lists of {MAX_VALUES} items, at most {MAX_RULES_MS:g} "
            "are allowed: what most of them ask, ask once in `audience`, or of a feature that is made for it",
        )


def _unreachable_rewards(program: Data) -> Iterator[Mistake]:
    """Weights that would not be what is learned."""
    for _, data in select(program, "reward"):
        try:
            reward = RewardDocument.model_validate(data)
        except ValidationError:
            continue  # told by the fields themselves
        low, high = reward.bounds or reward.reach
        if reward.aggregation == "any":
            if reward.value == "value" or set(reward.outcomes.values()) != {1.0} or not low <= 1 <= high:
                yield (
                    ("reward", "aggregation"),
                    "`any` gives 1 for one or more outcomes, whatever they are worth: give what is wanted "
                    "the weight 1, with `value: count` and bounds that hold 1, and leave out the rest; or use `sum` or "
                    "`max`",
                )
            continue
        for name, weight in reward.outcomes.items():
            if reward.value == "count" and not low <= weight <= high:
                yield (
                    ("reward", "outcomes", name),
                    f"one `{name}` is worth {weight:g}, which `bounds` [{low:g}, {high:g}] would cut: widen them, or "
                    "leave them out, and they follow from the weights",
                )
            elif reward.value == "value" and (
                (weight < 0 and low >= reward.default) or (weight > 0 and high <= reward.default)
            ):
                yield (
                    ("reward", "outcomes", name),
                    f"its weight is {weight:g}, and `bounds` [{low:g}, {high:g}] leave no room on that side of the "
                    f"`default` {reward.default:g}: one `{name}` would count nothing; widen them",
                )
