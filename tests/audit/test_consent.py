"""The audit of consent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.core.model.sending import Confirmation, Verdict
from decision_service.core.model.values import NO_ACTION
from tests.audit.journal import DAY_MS, START_MS, Journal, found, policy

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


@pytest.mark.parametrize(
    ("read", "unread", "allowed"),
    [(True, False, True), (False, False, False), (None, False, False), (True, True, False)],
)
def test_a_go_without_consent_is_a_breach(journal: Journal, read: bool | None, unread: bool, allowed: bool) -> None:
    """By what was read when the runner asked, under the policy of then; a release that did not log it is not judged."""
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": "allow"}))
    decision_id = journal.decide(features={"email_consent": True})
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": "deny"}))
    go = Confirmation(decision_id, "c", Verdict.GO, START_MS + 1, until_ms=START_MS + 2)
    journal.log(go)
    assert journal.audit().section("consent").checked == 1
    names = frozenset({"email_consent"} if unread else ())
    journal.log(replace(go, policy_version=2, features={"email_consent": read}, unread=names))
    report = journal.audit()
    assert (found(report, "consent"), report.section("consent").checked) == (not allowed, 2)
    if not allowed:
        assert "decision d1 got GO 2026-03-10 12:00:00.001Z on email without email_consent" in report.first[0]


@pytest.mark.parametrize("unread", [frozenset({"email_consent", "age"}), frozenset({"*"})])
@pytest.mark.parametrize("told", [None, True])
def test_consent_that_could_not_be_read_is_none(journal: Journal, unread: frozenset[str], told: bool | None) -> None:
    """A contact all the same is a violation, under either default, whatever the caller said; and is told as such."""
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": "allow"}))
    context = {} if told is None else {"email_consent": told}
    journal.send(action="text", unread=unread)
    journal.send(unread=frozenset({"age"}), context=context)
    assert journal.audit().violations == 0
    journal.send(START_MS + DAY_MS, features={"email_consent": None}, context=context, unread=unread)
    report = journal.audit()
    assert found(report, "consent") == 1
    assert "without email_consent (feature could not be read, context" in report.first[0]


@pytest.mark.parametrize("given", [1.0, 1, "true", 0.5])
def test_only_true_is_consent(journal: Journal, given: float | str) -> None:
    """Not what equals it, nor a text that says so."""
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": "allow"}))
    journal.send(features={"email_consent": given})
    assert found(journal.audit(), "consent") == 1


def test_an_earlier_release_is_judged_by_whether_the_store_answered(journal: Journal) -> None:
    """Its rows have no list of what was not read: with the store down, consent was not; else it was missing."""
    journal.publish(policy(consent={**MAIL_NEEDS_IT, "default": "allow"}))
    journal.send(customer="read")
    journal.send(customer="blind")
    journal.load()
    rows = journal.warehouse.query(
        "SELECT * EXCLUDE (features_unread) REPLACE (if(customer_id = 'blind', 'UNAVAILABLE', 'SERVED') AS "
        "features_status), NULL::VARCHAR[] AS features_unread FROM decisions"
    )
    journal.warehouse.replace("decisions", rows)
    report = journal.audit()
    assert found(report, "consent") == 1
    assert report.first[0].startswith("consent: blind: ")
