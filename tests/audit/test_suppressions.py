"""The audit of suppression by outcomes."""

from __future__ import annotations

import pytest

from decision_service.core.model.values import NO_ACTION
from tests.audit.journal import DAY_MS, HOUR_MS, START_MS, Journal, excluded, found, policy

STOP = policy(suppress_on=[{"outcome": "unsubscribe"}, {"outcome": "complaint", "channels": "all", "for": "1d"}])


def test_a_contact_after_an_unsubscribe_is_proven_by_what_came_later(journal: Journal) -> None:
    """A later decision still excluded the channel for it, so nobody had lifted it."""
    journal.publish(STOP)
    journal.outcome("unsubscribe", START_MS)
    journal.send(START_MS + 1)
    report = journal.audit()
    assert report.violations == 0
    [doubt] = report.section("suppression").to_check
    assert doubt.startswith("c: decision d1 of 2026-03-10 12:00:00.001Z contacts on email, which unsubscribe")
    journal.decide(START_MS + 2, NO_ACTION, exclusions=[excluded("unsubscribe")])
    report = journal.audit()
    assert found(report, "suppression") == 1
    assert report.section("suppression").to_check == ()


def test_another_outcome_in_between_proves_nothing(journal: Journal) -> None:
    """The later exclusion may be due to the second unsubscribe, after the first was lifted."""
    journal.publish(STOP)
    journal.outcome("unsubscribe", START_MS)
    journal.send(START_MS + 1)
    journal.outcome("unsubscribe", START_MS + 2)
    journal.decide(START_MS + 3, NO_ACTION, exclusions=[excluded("unsubscribe")])
    report = journal.audit()
    assert report.violations == 0
    assert len(report.section("suppression").to_check) == 1


@pytest.mark.parametrize(
    ("name", "channel", "after_ms", "action", "stopped"),
    [
        ("unsubscribe", "email", 400 * DAY_MS, "mail", True),
        ("unsubscribe", "email", 1, "text", False),
        ("unsubscribe", "", 1, "text", True),
        ("complaint", "email", DAY_MS - 1, "text", True),
        ("complaint", "email", DAY_MS, "mail", False),
        ("visit", "email", 1, "mail", False),
    ],
)
def test_suppression_has_a_channel_and_an_end(
    journal: Journal, name: str, channel: str, after_ms: int, action: str, stopped: bool
) -> None:
    """Only contacts on its channel, within its time, are in question."""
    journal.publish(STOP)
    journal.outcome(name, START_MS, channel)
    journal.send(START_MS + after_ms, action)
    assert len(journal.audit().section("suppression").to_check) == stopped


def test_an_outcome_acts_by_the_policy_of_its_time(journal: Journal) -> None:
    """What was no reason to stop when it happened is none later; what came just as a policy was published is left."""
    journal.publish(policy())
    journal.outcome("unsubscribe", START_MS)
    journal.publish(STOP, START_MS + HOUR_MS)
    journal.outcome("complaint", START_MS + HOUR_MS + 500)
    journal.send(START_MS + 2 * HOUR_MS)
    assert journal.audit().section("suppression").to_check == ()


def test_a_contact_before_the_outcome_is_fine(journal: Journal) -> None:
    """What was decided before, and sent after, could not know."""
    journal.publish(STOP)
    decided = journal.decide(START_MS)
    journal.outcome("unsubscribe", START_MS + 1)
    journal.report(decided, START_MS + 2)
    report = journal.audit()
    assert (report.violations, report.section("suppression").to_check) == (0, ())
