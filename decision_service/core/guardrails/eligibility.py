"""Rules as the core sees them: expressions over what is known of the customer, to true, false or a failure.

The language is CEL; `adapters.cel_rules` evaluates it. The core only states what a rule may read and what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from decision_service.core.model.values import Value, Values

SEGMENTS_FEATURE = "segments"
"""The feature that the rule variable `segments` is filled from."""


@dataclass(frozen=True, slots=True)
class RuleVariables:
    """What every rule of one decision reads. Missing values are absent, so that `has(customer.x)` is false.

    customer: the features served, with the request's context over features of the same name.
    segments: the feature named `segments`; empty if there is none.
    live: the live features of `core.guardrails.live`.
    context: what the caller sent.
    """

    customer: Mapping[str, Value]
    segments: tuple[str, ...]
    live: Mapping[str, Value]
    context: Mapping[str, Value]

    @classmethod
    def of(cls, features: Values, live: Values, context: Values) -> RuleVariables:
        """From values as served, where None marks a missing one."""
        sent = _present(context)
        customer = {**_present(features), **{name: sent[name] for name in features if name in sent}}
        segments = customer.get(SEGMENTS_FEATURE, ())
        return cls(
            customer=customer,
            segments=segments if isinstance(segments, tuple) else (),
            live=_present(live),
            context=sent,
        )


def _present(values: Values) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """A rule that could not be evaluated or whose value is not true or false; `message` says why, for RULE_ERROR."""

    message: str


RuleResult: TypeAlias = bool | RuleFailure


class Rules(Protocol):
    """Evaluates rules. Stateless and deterministic: the same variables give the same results. Thread-safe."""

    def evaluate(self, expressions: Sequence[str], variables: RuleVariables) -> Sequence[RuleResult]:
        """One result per expression, in order. Never raises for what a rule says: that is a RuleFailure."""
        ...

    def reads(self, expression: str) -> Sequence[str]:
        """What a rule reads of the variables, sorted: `customer.age`, `live.views_1d`, `segments`."""
        ...
