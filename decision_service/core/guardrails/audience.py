"""Whether a program is for a customer at all, before any of its actions is looked at.

But for `withheld`, nothing here knows the customer's group: groups are compared over the customers whom a program is
for, so who these are must be the same in each of them.
"""

from __future__ import annotations

from decision_service.core.guardrails.eligibility import RuleFailure, Rules, RuleVariables, verdicts
from decision_service.core.model.program import Group, Program, ProgramState, WhenFeaturesMissing
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import FeatureStatus, ServedFeatures


def feature_degradations(features: ServedFeatures) -> list[Reason]:
    """What is particular about the features served: FEATURES_MISSING, FEATURES_STALE, both or neither."""
    degradations = []
    if features.status is not FeatureStatus.SERVED:
        degradations.append(Reason.FEATURES_MISSING)
    if features.stale_views:
        degradations.append(Reason.FEATURES_STALE)
    return degradations


def unserved(program: Program, features: ServedFeatures) -> Reason | None:
    """Why the program cannot be offered on these features."""
    degradations = feature_degradations(features)
    if Reason.FEATURES_MISSING in degradations and program.features_missing is WhenFeaturesMissing.NO_ACTION:
        return Reason.FEATURES_MISSING
    if Reason.FEATURES_STALE in degradations and program.require_fresh:
        return Reason.FEATURES_STALE
    return None


def withheld(group: Group, program: Program, features: ServedFeatures) -> Reason | None:
    """Why nothing at all may be offered to a customer of this group."""
    return Reason.HOLDOUT if group is Group.HOLDOUT else unserved(program, features)


def not_offered(program: Program, rules: Rules, variables: RuleVariables, now_ms: int) -> tuple[Reason, str] | None:
    """Why no action of the program is for this customer, with what is concerned: it is not live, has not started or is
    over, or its audience is another."""
    if program.state is not ProgramState.LIVE:
        return Reason.WITHDRAWN, program.state.value
    if program.starts_at_ms is not None and now_ms < program.starts_at_ms:
        return Reason.NOT_STARTED, "program"
    if program.ends_at_ms is not None and now_ms >= program.ends_at_ms:
        return Reason.EXPIRED, "program"
    if program.audience is not None:
        verdict = verdicts(rules, [program.audience], variables)[0]
        if isinstance(verdict, RuleFailure):
            return Reason.RULE_ERROR, f"audience: {verdict.message}"
        if not verdict:
            return Reason.NOT_IN_AUDIENCE, program.audience
    return None
