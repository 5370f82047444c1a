"""The audit's SQL against every window looked at one by one, on random contacts around days that clocks change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audit.journal import DAY_MS, HOUR_MS, LEASE_MS, MINUTE_MS, Journal, at, policy, program

ZONES = ("Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata")
AROUND = [at("2026-03-08T03:00:00", "UTC"), at("2026-10-25T00:00:00", "UTC"), at("2026-12-31T23:00:00", "UTC")]
CAPS = [
    {"id": "two_in_an_hour", "limit": 2, "rolling": "1h"},
    {"id": "three_in_a_day", "limit": 3, "rolling": "1d", "counts": "delivered"},
    {"id": "two_attempts", "limit": 2, "rolling": "30m", "counts": "reserved"},
    {"id": "two_an_hour", "limit": 2, "calendar": "hour"},
    {"id": "two_mails_a_day", "limit": 2, "calendar": "day", "scope": {"channel": "email"}},
    {"id": "four_a_week", "limit": 4, "calendar": "week", "week_starts": "sunday", "counts": "delivered"},
    {"id": "five_attempts_a_month", "limit": 5, "calendar": "month", "counts": "reserved"},
]


@dataclass(frozen=True)
class Contact:
    """A decision to contact; `planned_ms` after it where quiet hours queued it. status "": nothing was reported."""

    decided_ms: int
    action: str
    planned_ms: int
    sent_ms: int
    status: str

    @property
    def was_sent(self) -> bool:
        return self.status in {"SENT", "BOUNCED"}


@st.composite
def contacts(draw: st.DrawFn) -> list[Contact]:
    """In the order of decisions; sent at any moment of their leases."""
    around = draw(st.sampled_from(AROUND))
    spread = draw(st.sampled_from([2 * HOUR_MS, DAY_MS, 9 * DAY_MS]))
    made = []
    for decided in sorted(draw(st.lists(st.integers(-spread, spread), max_size=14))):
        planned = around + decided + draw(st.sampled_from([0, 0, HOUR_MS, 10 * HOUR_MS]))
        status = draw(st.sampled_from(["SENT", "SENT", "SENT", "BOUNCED", "FAILED", ""]))
        sent = planned + draw(st.integers(0, LEASE_MS))
        made.append(Contact(around + decided, draw(st.sampled_from(["mail", "text"])), planned, sent, status))
    return made


def counted_at(contact: Contact, counts: str) -> int | None:
    """When a contact counts; None if it does not."""
    if contact.was_sent:
        return None if counts == "delivered" and contact.status == "BOUNCED" else contact.sent_ms
    return contact.planned_ms if counts == "reserved" else None


def rolling_windows(around_ms: int, length_ms: int, times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Every rolling window [start, end) that holds a moment and begins with some contact, or ends with one."""
    for start in {*times, *(time - length_ms + 1 for time in times)}:
        if start <= around_ms < start + length_ms:
            yield start, start + length_ms


def same_calendar_window(cap: dict[str, object], zone: ZoneInfo, one_ms: int, other_ms: int) -> bool:
    one, other = (datetime.fromtimestamp(ms / 1000, zone) for ms in (one_ms, other_ms))
    match cap["calendar"]:
        case "hour":
            return (one.date(), one.hour, one.utcoffset()) == (other.date(), other.hour, other.utcoffset())
        case "day":
            return one.date() == other.date()
        case "week":  # that starts on Sunday
            sundays = [day.date() - timedelta(days=day.isoweekday() % 7) for day in (one, other)]
            return sundays[0] == sundays[1]
        case _:
            return (one.year, one.month) == (other.year, other.month)


def breaks(cap: dict[str, object], zone: ZoneInfo, before: Sequence[Contact], contact: Contact) -> bool:
    """Whether the contact and those decided before it are more than the limit, in some window that holds it."""
    counts = str(cap.get("counts", "activated"))
    mails_only = "scope" in cap
    own_ms = contact.sent_ms if contact.was_sent else contact.planned_ms
    if not (contact.was_sent or counts == "reserved") or (mails_only and contact.action != "mail"):
        return False
    times = [
        time
        for earlier in before
        if (time := counted_at(earlier, counts)) is not None and not (mails_only and earlier.action != "mail")
    ]
    limit = cap["limit"]
    assert isinstance(limit, int)
    if "calendar" in cap:
        return 1 + sum(same_calendar_window(cap, zone, own_ms, time) for time in times) > limit
    length_ms = {"1h": HOUR_MS, "1d": DAY_MS, "30m": 30 * MINUTE_MS}[str(cap["rolling"])]
    return any(
        1 + sum(start <= time < end for time in times) > limit
        for start, end in rolling_windows(own_ms, length_ms, [*times, own_ms])
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(contacts(), min_size=len(ZONES), max_size=len(ZONES)))
def test_sql_and_brute_force_agree(histories: list[list[Contact]]) -> None:
    """The same decisions break the same caps, in every zone."""
    journal = Journal()
    journal.publish(program())
    journal.publish(policy(caps=CAPS), at_ms=0)
    expected = set()
    for zone, history in zip(ZONES, histories, strict=True):
        for i, contact in enumerate(history):
            queued = contact.planned_ms if contact.planned_ms != contact.decided_ms else None
            decided = journal.decide(contact.decided_ms, contact.action, customer=zone, zone=zone, send_ms=queued)
            if contact.status:
                sent_ms = contact.sent_ms if contact.was_sent else contact.planned_ms
                journal.report(decided, sent_ms, "SENT" if contact.was_sent else contact.status, zone)
                if contact.status == "BOUNCED":
                    journal.report(decided, sent_ms + 1, "BOUNCED", zone)
            expected |= {(decided, cap["id"]) for cap in CAPS if breaks(cap, ZoneInfo(zone), history[:i], contact)}
    section = journal.audit(shown=10_000).section("frequency caps")
    found = {
        match.groups() for words in section.first if (match := re.search(r"decision (\w+), .* cap '(\w+)'", words))
    }
    assert found == expected
    assert section.violations == len(expected)
