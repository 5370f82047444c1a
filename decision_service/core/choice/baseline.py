"""Business as usual: what a program's baseline rules serve."""

from __future__ import annotations

from collections.abc import Set

from decision_service.core.guardrails.eligibility import RuleFailure, Rules, RuleVariables, verdicts
from decision_service.core.model.program import Program
from decision_service.core.model.values import NO_ACTION


def baseline_action(program: Program, feasible: Set[str], rules: Rules, variables: RuleVariables) -> str:
    """The action of the first baseline rule that holds and whose action is among `feasible`; NO_ACTION if none is. A
    rule that fails does not hold, but for one that would keep the customer from contact."""
    for rule in program.baseline:
        if rule.action not in feasible and rule.action != NO_ACTION:
            continue
        holds = True if rule.when is None else verdicts(rules, [rule.when], variables)[0]
        if holds is True or (rule.action == NO_ACTION and isinstance(holds, RuleFailure)):
            return rule.action
    return NO_ACTION
