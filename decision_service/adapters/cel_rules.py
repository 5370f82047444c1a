"""Eligibility rules, run by the Rust implementation of the Common Expression Language."""

from __future__ import annotations

from collections.abc import Sequence

import cel

from decision_service.core.guardrails.eligibility import RuleFailure, RuleResult, RuleVariables
from decision_service.documents.rules.rule_language import execute, first_sentence, reads


class CelRules:
    """`core.guardrails.eligibility.Rules`. One CEL context is built per call: it costs far more than running a rule."""

    def evaluate(self, expressions: Sequence[str], variables: RuleVariables) -> Sequence[RuleResult]:
        """One result per expression, in order."""
        if not expressions:
            return []
        try:
            context = cel.Context(
                {
                    "customer": variables.customer,
                    "segments": variables.segments,
                    "live": variables.live,
                    "context": variables.context,
                }
            )
        except ValueError as error:  # a value without a CEL form, such as text that is not Unicode
            return [RuleFailure(first_sentence(error))] * len(expressions)
        return [execute(expression, context, lambda: _longest(variables)) for expression in expressions]

    def reads(self, expression: str) -> Sequence[str]:
        """What a rule reads of the variables, sorted; remembered."""
        return list(reads(expression))


def _longest(variables: RuleVariables) -> int:
    given = (variables.customer, variables.context)
    lists = [value for values in given for value in values.values() if isinstance(value, tuple)]
    return max(map(len, (variables.segments, *lists)))
