"""Quiet hours where the customer is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from decision_service.core.program import QuietHours, WhenQuiet
from decision_service.core.quiet_hours import applicable, ends_at_ms, send_time, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours("night", 22 * 60, 7 * 60, when_quiet=WhenQuiet.QUEUE)
LUNCH = QuietHours("lunch", 12 * 60, 13 * 60, channels=frozenset({"sms"}))


def at(text: str, fold: int = 0) -> int:
    """Berlin time to milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-05-04T21:59", None),
        ("2026-05-04T22:00", "2026-05-05T07:00"),
        ("2026-05-05T00:30", "2026-05-05T07:00"),
        ("2026-05-05T06:59", "2026-05-05T07:00"),
        ("2026-05-05T07:00", None),
        ("2026-03-28T23:00", "2026-03-29T07:00"),  # the night that loses an hour
        ("2026-10-24T23:00", "2026-10-25T07:00"),  # the night that repeats one
    ],
)
def test_quiet_across_midnight_ends_in_the_morning(now: str, end: str | None) -> None:
    """From 22:00 until before 07:00, whatever the clocks do that night."""
    assert ends_at_ms(NIGHT, at(now), BERLIN) == (None if end is None else at(end))


def test_quiet_may_end_inside_the_hour_that_is_repeated() -> None:
    """An end at 02:30 seen from the second 02:10 is the second 02:30, never a time already past."""
    quiet = QuietHours("q", 60, 150, when_quiet=WhenQuiet.QUEUE)
    now = at("2026-10-25T02:10", fold=1)
    end = ends_at_ms(quiet, now, BERLIN)
    assert end == at("2026-10-25T02:30", fold=1)


def test_quiet_that_ends_in_the_hour_that_is_skipped_still_ends() -> None:
    """02:30 does not exist on 29 March 2026; the send time is the moment the clocks would show it."""
    quiet = QuietHours("q", 60, 150, when_quiet=WhenQuiet.QUEUE)
    now = at("2026-03-29T01:30")
    end, by = send_time([quiet], now, BERLIN)
    assert by == "q"
    assert end is not None
    assert now < end <= at("2026-03-29T04:00")


def test_queue_gives_the_time_and_discard_gives_none() -> None:
    """Queued until morning, or not at all; the id of the quiet hours says which."""
    now = at("2026-05-04T23:00")
    assert send_time([NIGHT], now, BERLIN) == (at("2026-05-05T07:00"), "night")
    discarding = QuietHours("d", 22 * 60, 7 * 60)
    assert send_time([discarding], now, BERLIN) == (None, "d")
    assert send_time([NIGHT], at("2026-05-05T12:00"), BERLIN) == (at("2026-05-05T12:00"), "")


def test_queued_into_other_quiet_hours_is_asked_again() -> None:
    """The end of one quiet may lie in another: queued on if that queues, gone if it discards."""
    morning = QuietHours("morning", 7 * 60, 9 * 60, when_quiet=WhenQuiet.QUEUE)
    now = at("2026-05-04T23:00")
    assert send_time([NIGHT, morning], now, BERLIN) == (at("2026-05-05T09:00"), "morning")
    assert send_time([NIGHT, QuietHours("no", 7 * 60, 9 * 60)], now, BERLIN) == (None, "no")


def test_quiet_around_the_clock_never_sends() -> None:
    """Two that queue into each other for ever end in none rather than in a loop."""
    day = QuietHours("day", 7 * 60, 22 * 60, when_quiet=WhenQuiet.QUEUE)
    assert send_time([NIGHT, day], at("2026-05-04T23:00"), BERLIN)[0] is None


def test_channels_choose_their_quiet_hours() -> None:
    """Without channels it concerns all of them."""
    assert applicable([NIGHT, LUNCH], "sms") == [NIGHT, LUNCH]
    assert applicable([NIGHT, LUNCH], "email") == [NIGHT]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\0"])
def test_what_is_no_zone_is_unknown(name: str) -> None:
    """No exception for whatever a feature contains."""
    assert zone_named(name) is None
