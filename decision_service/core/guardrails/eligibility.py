"""Rules as the core sees them: expressions over what is known of the customer, to true, false or a failure.

The language is CEL; `adapters.cel_rules` evaluates it. The core only states what a rule may read and what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from decision_service.core.model.record import ALL_FEATURES, is_unread
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
    unread: the features that could not be read, be it that the caller sent some of them; `verdicts` minds them.
    """

    customer: Mapping[str, Value]
    segments: tuple[str, ...]
    live: Mapping[str, Value]
    context: Mapping[str, Value]
    unread: frozenset[str] = frozenset()

    @classmethod
    def of(cls, features: Values, live: Values, context: Values, unread: frozenset[str] = frozenset()) -> RuleVariables:
        """From values as served, where None marks a missing one, and `ServedFeatures.unread`."""
        sent = _present(context)
        names = sent if ALL_FEATURES in unread else unread.union(features) if unread else features
        customer = {**_present(features), **{name: sent[name] for name in names if name in sent}}
        segments = customer.get(SEGMENTS_FEATURE, ())
        return cls(
            customer=customer,
            segments=segments if isinstance(segments, tuple) else (),
            live=_present(live),
            context=sent,
            unread=unread,
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
        """What a rule reads of the variables, sorted: `customer.age`, `live.views_1d`, `segments`; the variable itself,
        `customer`, where it does not name all that it reads of it. Remembered: a rule is looked into once."""
        ...


def verdicts(rules: Rules, expressions: Sequence[str], variables: RuleVariables) -> Sequence[RuleResult]:
    """`rules.evaluate`, where a rule that reads a feature which could not be read fails, whatever it makes of a missing
    one: `!has(customer.blocked)` does not hold because nobody knows. What the caller sent for it was read."""
    if not variables.unread:
        return rules.evaluate(expressions, variables)
    blind = {e: failure for e in expressions if (failure := _blind(rules.reads(e), variables)) is not None}
    sighted = [e for e in expressions if e not in blind]
    results = dict(zip(sighted, rules.evaluate(sighted, variables), strict=True))
    return [blind[e] if e in blind else results[e] for e in expressions]


def _blind(names: Sequence[str], variables: RuleVariables) -> RuleFailure | None:
    for name in names:
        if could_not_read(name, variables):
            return RuleFailure(f"`{name}` could not be read")
    return None


def could_not_read(name: str, variables: RuleVariables) -> bool:
    """Whether what `Rules.reads` names is, or may contain, a feature that could not be read."""
    unread, sent = variables.unread, variables.context
    if name == "customer":
        return ALL_FEATURES in unread or any(feature not in sent for feature in unread)
    variable, _, feature = name.partition(".")
    if variable == "segments":
        feature = SEGMENTS_FEATURE
    elif variable != "customer":
        return False
    return is_unread(unread, feature) and feature not in sent
