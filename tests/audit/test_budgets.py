"""The audit of budgets."""

from __future__ import annotations

from tests.audit.journal import DAY_MS, HOUR_MS, LEASE_MS, START_MS, Journal, found, policy, program


def test_a_budget_that_is_exceeded_is_named(journal: Journal) -> None:
    """Three texts of different customers in an hour where two are allowed; the next hour is another."""
    journal.publish(
        policy(
            budgets=[
                {"id": "texts", "limit": 2, "per": "hour", "scope": {"channel": "sms"}, "timezone": "Asia/Kolkata"}
            ]
        )
    )
    for i in range(3):
        journal.send(START_MS + i, "text", customer=f"c{i}")
        journal.send(START_MS + i, "mail", customer=f"c{i}")
    journal.send(START_MS + HOUR_MS, "text", customer="later")
    report = journal.audit()
    assert found(report, "budgets") == 1
    assert report.first == [
        "budgets: budget 'texts' of the contact policy, in 2026-03-10 17:00 UTC+330 min (Asia/Kolkata): "
        "3 contacts spent of 2"
    ]
    assert report.section("budgets").checked == 2


def test_money_is_counted_by_cost(journal: Journal) -> None:
    """Two messages of 0.30 exceed half a unit of money; one does not, and what costs nothing never does."""
    actions = [
        {"id": "mail", "channel": "email", "message": "offer"},
        {"id": "text", "channel": "sms", "message": "offer", "cost": 0.3},
    ]
    journal.publish(program(actions=actions, budgets=[{"id": "purse", "money": 0.5}]))
    for _ in range(3):
        journal.send()
    journal.send(action="text")
    assert journal.audit().violations == 0
    journal.send(START_MS + 400 * DAY_MS, "text")
    report = journal.audit()
    assert found(report, "budgets") == 1
    assert report.first == ["budgets: budget 'purse' of program p, in total: 0.6 in money spent of 0.5"]


def test_only_what_was_sent_in_time_is_spent(journal: Journal) -> None:
    """Failed, lapsed, held and late ones leave the budget as it was; a queued one is of the period it is sent in."""
    journal.publish(policy(budgets=[{"id": "one", "limit": 1, "per": "day"}]))
    journal.report(journal.decide(), START_MS, "FAILED")
    journal.decide()
    journal.report(journal.decide(), START_MS + LEASE_MS + 1)
    journal.send(send_ms=START_MS + DAY_MS)
    journal.send()
    report = journal.audit()
    assert report.violations == 0
    assert report.section("budgets").notes == (
        "fullest: budget 'one' of the contact policy, in 2026-03-10 (UTC): 1 contacts spent of 1",
    )


def test_a_lowered_limit_does_not_condemn_what_was_spent(journal: Journal) -> None:
    """A period is judged by the largest limit that one of its contacts was decided under."""
    for limit in (3, 1):
        journal.publish(policy(budgets=[{"id": "mails", "limit": limit, "per": "day"}]))
        journal.send()
        journal.send()
    report = journal.audit()
    assert found(report, "budgets") == 1
    assert "4 contacts spent of 3" in report.first[0]
