"""Every guardrail that can keep an action out has a law of the audit, or a reason why it needs none."""

from __future__ import annotations

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.audit import audit
from decision_service.core.model.reasons import Reason

LAWS = {
    Reason.NO_CONSENT: "consent",
    Reason.SUPPRESSED_BY_OUTCOME: "suppression",
    Reason.QUIET_HOURS: "quiet hours",
    Reason.TIMEZONE_UNKNOWN: "quiet hours",
    Reason.FREQUENCY_CAP: "frequency caps",
    Reason.VOLUME_LIMIT: "budgets",
    Reason.HOLDOUT: "holdouts",
    Reason.BASELINE_ONLY: "group assignment",
}
NO_LAW = {
    Reason.NOT_IN_AUDIENCE: "rules are CEL, which SQL cannot run; ReplayDecision runs them again",
    Reason.INELIGIBLE: "as the audience",
    Reason.RULE_ERROR: "as the audience",
    Reason.NOT_STARTED: "dates of the document, which replay looks at again",
    Reason.EXPIRED: "as what has not started",
    Reason.CHANNEL_NOT_REQUESTED: "the caller's wish, not a guardrail",
    Reason.SUPPRESSED: "what is done by hand is not in the warehouse",
    Reason.CAP_RACE_LOST: "says that a guardrail held",
    Reason.FEATURES_MISSING: "says what was known",
    Reason.FEATURES_STALE: "says what was known",
    Reason.MODEL_MISSING: "says what was known",
    Reason.MODEL_REJECTED: "says what was known",
}


def test_every_reason_is_audited_or_says_why_not() -> None:
    """A new one is put with its law here, or among those that need none."""
    assert {*LAWS, *NO_LAW} == set(Reason)
    assert not LAWS.keys() & NO_LAW.keys()


def test_the_laws_are_looked_at() -> None:
    """The audit has a section for each, even where there is nothing to judge."""
    assert set(LAWS.values()) <= {section.name for section in audit(MemoryWarehouse()).sections}
