"""The audit of quiet hours."""

from __future__ import annotations

import pytest

from tests.audit.journal import Journal, at, found, policy, program

NIGHT = {"id": "night", "from": "22:00", "to": "07:00"}


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [("21:59:59", False), ("22:00:00", True), ("23:30:00", True), ("06:59:59", True), ("07:00:00", False)],
)
def test_nothing_is_sent_at_night(journal: Journal, clock: str, quiet: bool) -> None:
    """Quiet from their first minute to the one before their last, on the customer's clock."""
    journal.publish(policy(quiet_hours=[NIGHT]))
    journal.send(at(f"2026-03-10T{clock}"))
    journal.send(at(f"2026-03-10T{clock}"), "text", customer="far", zone="America/Los_Angeles")
    assert journal.audit().section("quiet hours").checked == 2
    report = journal.audit(shown=5)
    assert [words.partition(":")[0] for words in report.section("quiet hours").first if words.startswith("c:")] == (
        ["c"] if quiet else []
    )


def test_quiet_hours_are_named(journal: Journal) -> None:
    """The words tell the local time, the channel and whose quiet hours they are; other channels are free."""
    journal.publish(program(quiet_hours=[{**NIGHT, "channels": ["sms"]}]))
    journal.send(at("2026-03-10T23:30:00"), "mail")
    journal.send(at("2026-03-10T23:30:00"), "text")
    report = journal.audit()
    assert found(report, "quiet hours") == 1
    assert report.first == [
        "quiet hours: c: decision d2, sent on sms 2026-03-10 22:30:00.000Z (23:30 in Europe/Berlin), in quiet hours "
        "'night' of program p version 2"
    ]


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        ("2026-03-13T23:00:00", False),  # Friday
        ("2026-03-14T06:00:00", False),  # Saturday morning: still Friday's night
        ("2026-03-14T23:00:00", True),
        ("2026-03-15T06:00:00", True),  # Sunday morning: Saturday's night
        ("2026-12-25T23:00:00", True),  # a Friday, and a holiday
        ("2026-12-26T06:00:00", True),
    ],
)
def test_quiet_hours_belong_to_the_day_they_begin_on(journal: Journal, moment: str, quiet: bool) -> None:
    """On Saturdays and German holidays only, over midnight into the day after."""
    journal.publish(policy(quiet_hours=[{**NIGHT, "days": ["sat"], "holidays": "DE"}]))
    journal.send(at(moment))
    assert found(journal.audit(), "quiet hours") == quiet


def test_what_is_late_into_the_night_is_not_judged(journal: Journal) -> None:
    """A message whose lease ended before the night, sent in it, is the runner's doing."""
    journal.publish(policy(quiet_hours=[NIGHT]))
    decided = journal.decide(at("2026-03-10T21:50:00"), lease_ms=at("2026-03-10T22:00:00") - 1)
    journal.report(decided, at("2026-03-10T22:00:00"))
    assert journal.audit().violations == 0


@pytest.mark.parametrize("unread", [frozenset({"timezone"}), frozenset({"*"})])
def test_a_zone_that_could_not_be_read_is_not_to_be_assumed(journal: Journal, unread: frozenset[str]) -> None:
    """By day in the assumed zone, which may be night where the customer is; a zone that the caller sent is known."""
    night = {"id": "night", "from": "22:00", "to": "07:00", "when_quiet": "discard"}
    journal.publish(policy(quiet_hours=[night], unknown_timezone="Europe/Berlin"))
    journal.send(at("2026-03-10T12:00"), context={"timezone": "Europe/Berlin"}, unread=unread)
    journal.send(at("2026-03-11T12:00"), unread=frozenset({"age"}))
    assert journal.audit().violations == 0
    journal.send(at("2026-03-12T12:00"), unread=unread)
    report = journal.audit()
    assert found(report, "quiet hours") == 1
    assert "(zone could not be read), in quiet hours 'night'" in report.first[0]
