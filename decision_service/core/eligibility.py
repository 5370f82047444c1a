"""Eligibility rules as the core sees them: expressions in, verdicts out. `adapters/cel_rules.py` evaluates CEL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from decision_service.core.values import Values


@dataclass(frozen=True, slots=True)
class RuleVariables:
    """What a rule can name: `customer` (missing features are absent, so `has(customer.x)` works), `segments` (the
    feature of that name, a list of strings), `live` and `context`."""

    customer: Values
    live: Values
    context: Values


@dataclass(frozen=True, slots=True)
class RuleFailure:
    """The rule could not be evaluated, or is not a yes or no; `message` says why."""

    message: str


class Rules(Protocol):
    """Evaluates rules that compiled when they were published. Thread-safe."""

    def evaluate(self, expressions: Sequence[str], variables: RuleVariables) -> Sequence[bool | RuleFailure]:
        """One verdict per expression, in order; never raises for what a rule does."""
        ...
