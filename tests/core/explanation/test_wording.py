"""Guardrails, values and times in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from decision_service.core.explanation import wording
from decision_service.core.model.customer import Suppression
from decision_service.core.model.program import (
    Budget,
    BudgetPeriod,
    CalendarUnit,
    CapCounts,
    FrequencyCap,
    PauseOf,
    PauseRule,
    QuietHours,
    Scope,
    WhenQuiet,
)
from decision_service.core.model.reasons import Reason

NOON = round(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp() * 1000)
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("", "2026-03-28 12:00:00 UTC"),
        ("UTC", "2026-03-28 12:00:00 UTC"),
        (BERLIN, "2026-03-28 12:00:00 UTC (13:00 in Europe/Berlin)"),
        ("Pacific/Auckland", "2026-03-28 12:00:00 UTC (Sun 01:00 in Pacific/Auckland)"),
        ("Mars/Base", "2026-03-28 12:00:00 UTC"),
    ],
)
def test_moments_are_told_in_utc_and_on_the_customers_clock(zone: str, shown: str) -> None:
    """With the weekday where her day is another."""
    assert wording.moment(NOON, zone) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1, "1 second"), (90, "90 seconds"), (3600, "1 hour"), (129_600, "36 hours"), (86_400 * 14, "2 weeks")],
)
def test_durations_are_told_in_their_largest_whole_unit(seconds: int, shown: str) -> None:
    """As a marketer would have written them."""
    assert wording.duration(seconds) == shown


def test_ages_are_told_roughly() -> None:
    """In the unit that fits; a dry run of the past may be told of features that came later."""
    assert [wording.age(ms) for ms in (0, 45_000, 5_400_000, 216_000_000, -1)] == [
        "0 s old",
        "45 s old",
        "1.5 h old",
        "2.5 days old",
        "newer",
    ]


def test_caps() -> None:
    """Limit, scope, window and what counts."""
    rolling = FrequencyCap("a", 1, 3600, scope=Scope(channel="sms", tag="promo"), counts=CapCounts.RESERVED)
    assert wording.cap(rolling, BERLIN) == (
        "at most 1 contact of channel 'sms' and tag 'promo' in any 1 hour, counting every attempt"
    )
    weekly = FrequencyCap("b", 3, calendar=CalendarUnit.WEEK, week_starts=6)
    assert wording.cap(weekly, BERLIN) == (
        "at most 3 contacts per calendar week from Sunday in Europe/Berlin, counting what was sent or still may be"
    )


def test_quiet_hours() -> None:
    """Channels, days, holidays and what becomes of messages."""
    plain = QuietHours("q", 22 * 60, 8 * 60)
    assert wording.quiet_hours(plain) == "22:00 to 08:00, messages are discarded"
    rich = QuietHours(
        "q", 0, 1440, frozenset({"sms", "push"}), WhenQuiet.QUEUE, weekdays=frozenset({6}), holiday_calendar="DE-BY"
    )
    assert wording.quiet_hours(rich) == (
        "00:00 to 24:00 on push, sms beginning on Sunday, holidays of DE-BY, messages wait"
    )


def test_budgets() -> None:
    """In contacts and in money, by period, with their pacing."""
    paced = Budget("b", 1000, period=BudgetPeriod.DAY, timezone=BERLIN, paced=True, scope=Scope(program="p"))
    assert wording.budget(paced) == "at most 1000 contacts of program 'p' per day in Europe/Berlin, paced"
    money = Budget("b", 12_345_678_901, in_money=True)
    assert wording.budget(money) == "at most 12,345.678901 of money spent on contacts in total"


def test_suppressions_and_pauses() -> None:
    """What is stopped, since and until when, and why."""
    stopped = Suppression("*", Reason.SUPPRESSED, NOON, None, "asked by phone")
    assert wording.suppression(stopped, "") == (
        "all channels suppressed since 2026-03-28 12:00:00 UTC for good: asked by phone"
    )
    rule = PauseRule("r", "dismiss", 3, 7 * 86_400, 30 * 86_400, PauseOf.TAG)
    assert wording.pause(rule) == "3 × 'dismiss' within 1 week pause its tags for 30 days"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "= true"), (1.5, "= 1.5"), (3, "= 3"), ("x", "= x"), (("a", "b"), "= a, b"), ((), "= an empty list")],
)
def test_values(value: object, shown: str) -> None:
    """As they are; missing is said."""
    assert wording.held(value) == shown
    assert wording.held(None) == "is missing"
