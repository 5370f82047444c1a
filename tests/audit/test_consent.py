"""The audit of consent."""

from __future__ import annotations

import pytest

from decision_service.core.model.values import NO_ACTION
from tests.audit.journal import START_MS, Journal, found, policy

MAIL_NEEDS_IT = {"features": {"email": "email_consent"}}


@pytest.mark.parametrize(
    ("stored", "told", "default", "allowed"),
    [
        (True, None, "deny", True),
        (False, None, "allow", False),
        (None, True, "deny", True),
        (None, False, "allow", False),
        (False, True, "allow", False),
        (True, False, "allow", False),
        (None, None, "allow", True),
        (None, None, "deny", False),
    ],
)
def test_consent_is_by_feature_context_and_default(
    journal: Journal, stored: bool | None, told: bool | None, default: str, allowed: bool
) -> None:
    """A refusal by either stands; where neither says anything, the policy's default does."""
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": default}))
    journal.send(features={"email_consent": stored}, context={} if told is None else {"email_consent": told})
    assert found(journal.audit(), "consent") == (not allowed)


def test_a_contact_without_consent_is_named(journal: Journal) -> None:
    """On its channel only, and under the policy of its time."""
    journal.send()
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": "deny"}))
    journal.send(action="text")
    journal.decide(action=NO_ACTION)
    assert journal.audit().violations == 0
    journal.send(START_MS, features={"email_consent": False})
    report = journal.audit()
    assert found(report, "consent") == 1
    assert report.first == [
        "consent: c: decision d4 of 2026-03-10 12:00:00.000Z contacts on email without email_consent (feature false, "
        "context None; contact policy version 1)"
    ]
