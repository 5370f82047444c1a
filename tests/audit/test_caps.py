"""The audit of frequency caps: what is planted is found and named, and nothing else."""

from __future__ import annotations

import pytest

from decision_service.core.model.values import NO_ACTION
from tests.audit.journal import DAY_MS, HOUR_MS, LEASE_MS, MINUTE_MS, START_MS, Journal, at, found, policy, program


def cap(**parts: object) -> str:
    return policy(caps=[{"id": "cap", "limit": 1, "rolling": "1d", **parts}])


def test_a_cap_that_is_exceeded_is_named(journal: Journal) -> None:
    """Two mails within a day where one is allowed: the later decision, its time, the cap and its version."""
    journal.publish(cap())
    journal.send()
    journal.send(START_MS + DAY_MS - 1)
    report = journal.audit()
    assert found(report, "frequency caps") == 1
    [words] = report.section("frequency caps").first
    assert words == (
        "c: decision d2, sent 2026-03-11 11:59:59.999Z, is contact 2 in 86400 s; cap 'cap' of the contact policy "
        "version 1 allows 1"
    )
    assert report.section("frequency caps").checked == 2


def test_a_rolling_window_is_open_at_its_end(journal: Journal) -> None:
    """Contacts exactly one window apart do not share it."""
    journal.publish(cap())
    journal.send()
    journal.send(START_MS + DAY_MS)
    assert journal.audit().violations == 0


def test_every_window_that_holds_the_contact_is_looked_at(journal: Journal) -> None:
    """A message queued for later is counted where it is sent; one sent between two others breaks a cap of two."""
    journal.publish(cap(limit=2))
    journal.send(START_MS, send_ms=START_MS + 20 * HOUR_MS)
    journal.send(START_MS + MINUTE_MS)
    assert journal.audit().violations == 0
    journal.send(START_MS + 10 * HOUR_MS)
    assert found(journal.audit(), "frequency caps") == 1


def test_not_every_contact_near_is_in_one_window(journal: Journal) -> None:
    """Two that are exactly a day apart share none, though each shares one with what lies between."""
    journal.publish(cap(limit=2))
    journal.send(START_MS, send_ms=START_MS + MINUTE_MS + DAY_MS)
    journal.send(START_MS + MINUTE_MS)
    journal.send(START_MS + 10 * HOUR_MS)
    assert journal.audit().violations == 0


def test_customers_and_what_failed_do_not_count(journal: Journal) -> None:
    """Contacts of others, failed, skipped, lapsed and undecided ones leave a slot free."""
    journal.publish(cap())
    journal.send(customer="other")
    journal.report(journal.decide(), START_MS, "FAILED")
    journal.report(journal.decide(), START_MS, "SKIPPED")
    journal.decide()
    journal.decide(action=NO_ACTION)
    journal.send(START_MS + HOUR_MS)
    assert journal.audit().violations == 0


def test_a_delivery_stands_for_sending(journal: Journal) -> None:
    """Messages reported only as delivered or bounced were sent."""
    journal.publish(cap())
    journal.report(journal.decide(), START_MS, "DELIVERED")
    journal.report(journal.decide(START_MS + 1), START_MS + 1, "BOUNCED")
    assert found(journal.audit(), "frequency caps") == 1


@pytest.mark.parametrize(("counts", "violations"), [("reserved", 3), ("activated", 2), ("delivered", 1)])
def test_what_counts_is_the_caps_to_say(journal: Journal, counts: str, violations: int) -> None:
    """A failed, a bounced and two sent messages under a limit of one: attempts, what was sent, what did not bounce."""
    journal.publish(cap(counts=counts))
    journal.report(journal.decide(), START_MS, "FAILED")
    bounced = journal.send(START_MS + 1)
    journal.report(bounced, START_MS + 2, "BOUNCED")
    journal.send(START_MS + 3)
    journal.send(START_MS + 4)
    assert found(journal.audit(), "frequency caps") == violations


def test_attempts_that_are_not_sent_break_a_cap_on_attempts(journal: Journal) -> None:
    """Where attempts count, a second one is a violation even if it failed."""
    journal.publish(cap(counts="reserved"))
    for _ in range(2):
        journal.report(journal.decide(), START_MS, "FAILED")
    assert found(journal.audit(), "frequency caps") == 1


def test_transactional_messages(journal: Journal) -> None:
    """What ignores a cap is not judged by it, and counts; what does not count is judged, and leaves the slot."""
    actions = [
        {"id": "mail", "channel": "email", "message": "offer"},
        {"id": "receipt", "channel": "email", "message": "receipt", "ignores_caps": ["cap"]},
        {"id": "notice", "channel": "email", "message": "notice", "counts_toward_caps": False},
    ]
    journal.publish(program(actions=actions))
    journal.publish(cap())
    journal.send(action="notice")
    journal.send(action="receipt")
    journal.send(action="receipt")
    assert journal.audit().violations == 0
    journal.send(action="mail")
    assert found(journal.audit(), "frequency caps") == 1
    journal.send(action="notice")
    assert found(journal.audit(), "frequency caps") == 2


@pytest.mark.parametrize(
    ("scope", "violations"),
    [
        ({}, 1),
        ({"channel": "email"}, 0),
        ({"message": "offer"}, 1),
        ({"tag": "promo"}, 0),
        ({"program": "p"}, 0),
        ({"program": "q", "channel": "sms"}, 0),
    ],
)
def test_only_contacts_in_scope_count(journal: Journal, scope: dict[str, str], violations: int) -> None:
    """A mail of p and a text of q, both with the same message, against one a day in each scope."""
    journal.publish(program("q"))
    journal.publish(cap(scope=scope))
    journal.send()
    journal.send(START_MS + 1, "text", program="q")
    assert found(journal.audit(), "frequency caps") == violations


def test_a_change_of_tags_does_not_rewrite_history(journal: Journal) -> None:
    """A contact has the tags of the version that made it, and is judged by the caps of that version."""
    journal.publish(cap(scope={"tag": "promo"}))
    journal.send()
    journal.publish(program(actions=[{"id": "mail", "channel": "email", "message": "offer"}]))
    journal.send(START_MS + 1)
    journal.send(START_MS + 2)
    assert journal.audit().violations == 0
    journal.publish(program())
    journal.send(START_MS + 3)
    assert found(journal.audit(), "frequency caps") == 1


def test_a_programs_cap_counts_what_other_programs_sent(journal: Journal) -> None:
    """It binds the program's own contacts, and counts every contact in its scope."""
    journal.publish(program("strict", caps=[{"id": "quiet_customers", "limit": 1, "rolling": "1d"}]))
    journal.send(program="strict")
    journal.send(START_MS + 1)
    assert journal.audit().violations == 0
    journal.send(START_MS + 2, program="strict")
    report = journal.audit()
    assert found(report, "frequency caps") == 1
    assert "is contact 3 in 86400 s; cap 'quiet_customers' of program strict version 1" in report.first[0]


@pytest.mark.parametrize(
    "late", [{"at_ms": LEASE_MS + 1}, {"at_ms": 0, "received_ms": LEASE_MS + MINUTE_MS + 1}], ids=["sent", "reported"]
)
def test_what_was_late_is_the_runners_doing(journal: Journal, late: dict[str, int]) -> None:
    """Sent after its lease, or reported so late that the slot had gone, it breaks no cap; it is counted and told."""
    journal.publish(cap())
    first = journal.decide()
    journal.send(START_MS + 2)
    journal.report(first, **{name: START_MS + value for name, value in late.items()})
    report = journal.audit()
    assert report.violations == 0
    assert report.section("frequency caps").notes == (
        "1 messages were sent before their time, or sent or reported after their lease",
    )
    journal.send(START_MS + 2 * HOUR_MS)  # by then the service knew of both
    assert found(journal.audit(), "frequency caps") == 1


def test_calendar_windows_are_the_customers(journal: Journal) -> None:
    """Half an hour apart over local midnight are two days; the same in another zone may be one."""
    journal.publish(policy(caps=[{"id": "day", "limit": 1, "calendar": "day"}]))
    for zone in ("Europe/Berlin", "Europe/London"):
        journal.send(at("2026-03-10T23:45:00"), customer=zone, zone=zone)
        journal.send(at("2026-03-11T00:15:00"), customer=zone, zone=zone)
    report = journal.audit()
    assert found(report, "frequency caps") == 1
    assert report.first[0].startswith("frequency caps: Europe/London: decision d4")
    assert "is contact 2 in 2026-03-10; cap 'day'" in report.first[0]


@pytest.mark.parametrize(("week_starts", "violations"), [("monday", 1), ("sunday", 2), ("tuesday", 1)])
def test_weeks_start_when_the_cap_says(journal: Journal, week_starts: str, violations: int) -> None:
    """Sunday 8, Monday 9 and Saturday 14 March: which of them share a week depends on its first day."""
    journal.publish(policy(caps=[{"id": "week", "limit": 1, "calendar": "week", "week_starts": week_starts}]))
    for day in ("08", "09", "14"):
        journal.send(at(f"2026-03-{day}T12:00:00"))
    assert found(journal.audit(), "frequency caps") == violations


def test_an_hour_that_is_repeated_is_two_windows(journal: Journal) -> None:
    """On the day that clocks go back, 02:30 comes twice, and one contact an hour allows both."""
    journal.publish(policy(caps=[{"id": "hour", "limit": 1, "calendar": "hour"}]))
    journal.send(at("2026-10-25T02:30:00"))
    journal.send(at("2026-10-25T02:30:00", fold=1))
    assert journal.audit().violations == 0
    journal.send(at("2026-10-25T02:40:00", fold=1))
    report = journal.audit()
    assert found(report, "frequency caps") == 1
    assert "in 2026-10-25 02:00 UTC+60 min;" in report.first[0]


def test_a_day_of_25_hours_is_one_window(journal: Journal) -> None:
    """The first and the last minute of the day that clocks go back share it."""
    journal.publish(policy(caps=[{"id": "day", "limit": 1, "calendar": "day"}]))
    journal.send(at("2026-10-25T00:01:00"))
    journal.send(at("2026-10-25T23:59:00"))
    journal.send(at("2026-10-26T00:01:00"))
    assert found(journal.audit(), "frequency caps") == 1


def test_a_calendar_cap_needs_a_zone(journal: Journal) -> None:
    """A contact under a calendar cap without a known zone is a violation."""
    journal.publish(policy(caps=[{"id": "day", "limit": 1, "calendar": "day"}]))
    journal.send(zone="")
    report = journal.audit()
    assert found(report, "frequency caps") == 1
    assert "although the customer's time zone was unknown" in report.first[0]
