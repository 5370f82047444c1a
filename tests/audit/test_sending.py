"""The audit of the moment of sending."""

from __future__ import annotations

from decision_service.core.model.reasons import Reason
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind, Verdict
from tests.audit.journal import HOUR_MS, START_MS, Journal, found


def suppress(journal: Journal, at_ms: int, channel: str = "email", until_ms: int | None = None) -> None:
    """By hand."""
    journal.log(
        Preference("c", PreferenceKind.SUPPRESS, channel, at_ms, Reason.SUPPRESSED, until_ms, "ann", "asked by phone")
    )


def lift(journal: Journal, at_ms: int, channel: str = "email") -> None:
    """By hand."""
    journal.log(Preference("c", PreferenceKind.LIFT, channel, at_ms, author="ann"))


def confirm(journal: Journal, decision_id: str, at_ms: int, verdict: Verdict = Verdict.GO) -> None:
    """A runner asks; a GO holds for a minute."""
    until_ms = at_ms + 60_000 if verdict is Verdict.GO else None
    journal.log(Confirmation(decision_id, "c", verdict, at_ms, until_ms=until_ms))


def test_a_contact_decided_under_a_suppression_is_a_violation(journal: Journal) -> None:
    """By hand or by an outcome, on its channel or on all; not once it was lifted, is over, or came later."""
    suppress(journal, START_MS)
    journal.decide(START_MS + 1)
    journal.decide(START_MS + 2, "text")
    lift(journal, START_MS + 3)
    journal.decide(START_MS + 4)
    suppress(journal, START_MS + 5, "*", START_MS + 10)
    journal.decide(START_MS + 6, "text")
    journal.decide(START_MS + 10)
    suppress(journal, START_MS + 11)
    report = journal.audit()
    assert found(report, "suppression") == 2
    assert "d1 contacts on email" in report.section("suppression").first[0]
    assert "SUPPRESSED since" in report.section("suppression").first[0]


def test_a_suppression_that_was_replaced_holds_no_more(journal: Journal) -> None:
    """One by hand takes the place of one by hand, on the same channel."""
    suppress(journal, START_MS)
    suppress(journal, START_MS + 1, until_ms=START_MS + 2)
    journal.decide(START_MS + 3)
    assert found(journal.audit(), "suppression") == 0


def test_a_go_in_spite_of_a_suppression_is_the_services_breach(journal: Journal) -> None:
    """Asked and answered wrongly, then sent."""
    decision_id = journal.decide(START_MS, send_ms=START_MS + HOUR_MS)
    suppress(journal, START_MS + 1)
    confirm(journal, decision_id, START_MS + HOUR_MS)
    journal.report(decision_id, START_MS + HOUR_MS + 5)
    assert found(journal.audit(), "sending") == 1


def test_what_was_allowed_when_asked_is_no_breach(journal: Journal) -> None:
    """The customer's word came within the minute that a GO holds."""
    decision_id = journal.decide(START_MS)
    confirm(journal, decision_id, START_MS + 1)
    suppress(journal, START_MS + 2)
    journal.report(decision_id, START_MS + 3)
    report = journal.audit()
    assert found(report, "sending") == 0
    assert report.section("sending").to_check == ()


def test_what_was_sent_without_asking_is_told_apart(journal: Journal) -> None:
    """It is to be checked, not a breach: never asked, asked too long before, or told to stop."""
    unasked, stale, stopped = (journal.decide(START_MS, send_ms=START_MS + HOUR_MS) for _ in range(3))
    confirm(journal, stale, START_MS + HOUR_MS - 61_000)
    suppress(journal, START_MS + HOUR_MS - 60_500)
    confirm(journal, stopped, START_MS + HOUR_MS, Verdict.STOP)
    for decision_id in (unasked, stale, stopped):
        journal.report(decision_id, START_MS + HOUR_MS + 1)
    report = journal.audit()
    assert found(report, "sending") == 0
    to_check = report.section("sending").to_check
    assert len(to_check) == 3
    assert sum("sent without asking" in words for words in to_check) == 2
    assert sum("after a STOP" in words for words in to_check) == 1
    assert any(
        "3 messages that quiet hours had queued were sent unconfirmed" in n for n in report.section("sending").notes
    )


def test_a_slot_that_was_given_away_breaks_no_cap_of_ours(journal: Journal) -> None:
    """What failed by one report and was sent by another had lost its slot in between."""
    first = journal.decide(START_MS)
    journal.report(first, START_MS + 1, "FAILED")
    journal.send(START_MS + 2)
    journal.report(first, START_MS + 3)
    assert journal.audit().section("frequency caps").violations == 0
