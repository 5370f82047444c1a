"""Quiet hours where the customer is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.guardrails.quiet_hours import applicable, ends_at_ms, next_quiet_ms, send_time, zone_named
from decision_service.core.model.program import QuietHours, WhenQuiet

MINUTE = 60_000
BERLIN = ZoneInfo("Europe/Berlin")
SATURDAY, SUNDAY = 5, 6
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


def test_quiet_that_discards_wins_over_quiet_that_queues() -> None:
    """In whichever order they stand: the most restrictive holds."""
    discarding = QuietHours("d", 22 * 60, 23 * 60)
    now = at("2026-05-04T22:30")
    assert send_time([NIGHT, discarding], now, BERLIN) == (None, "d")
    assert send_time([discarding, NIGHT], now, BERLIN) == (None, "d")


def test_quiet_belongs_to_the_day_it_begins_on() -> None:
    """Saturday's night lasts into Sunday morning; Sunday's own does not exist."""
    saturdays = QuietHours("s", 22 * 60, 7 * 60, weekdays=frozenset({SATURDAY}))
    assert ends_at_ms(saturdays, at("2026-05-09T23:00"), BERLIN) == at("2026-05-10T07:00")
    assert ends_at_ms(saturdays, at("2026-05-10T06:59"), BERLIN) == at("2026-05-10T07:00")
    for free in ("2026-05-09T06:00", "2026-05-10T07:00", "2026-05-10T22:00"):
        assert ends_at_ms(saturdays, at(free), BERLIN) is None


def test_holidays_are_quiet_beside_the_weekdays_chosen() -> None:
    """Whole Sundays and the first of May; a calendar without weekdays means its holidays alone."""
    may_day = frozenset({date(2026, 5, 1)})
    both = QuietHours("h", 0, 24 * 60, weekdays=frozenset({SUNDAY}), holidays=may_day, holiday_calendar="DE")
    assert ends_at_ms(both, at("2026-05-01T00:00"), BERLIN) == at("2026-05-02T00:00")
    assert ends_at_ms(both, at("2026-05-03T12:00"), BERLIN) == at("2026-05-04T00:00")
    assert ends_at_ms(both, at("2026-05-02T00:00"), BERLIN) is None
    alone = QuietHours("h", 0, 24 * 60, holidays=may_day, holiday_calendar="DE")
    assert ends_at_ms(alone, at("2026-05-03T12:00"), BERLIN) is None


def test_quiet_days_in_a_row_queue_until_they_are_over() -> None:
    """A long weekend of whole days, and the night after it, end on Tuesday morning."""
    days = frozenset({date(2026, 5, 22), date(2026, 5, 25)})
    weekend = QuietHours("w", 0, 1440, frozenset(), WhenQuiet.QUEUE, frozenset({SATURDAY, SUNDAY}), days, "DE")
    assert send_time([weekend, NIGHT], at("2026-05-22T10:00"), BERLIN) == (at("2026-05-26T07:00"), "night")
    assert send_time([QuietHours("all", 0, 1440, when_quiet=WhenQuiet.QUEUE)], at("2026-05-22T10:00"), BERLIN) == (
        None,
        "all",
    )


def test_the_next_quiet_is_the_first_to_begin() -> None:
    """After the start, up to and including the end; none if none begins there."""
    now = at("2026-05-04T11:00")
    assert next_quiet_ms([NIGHT, LUNCH], now, at("2026-05-05T11:00"), BERLIN) == at("2026-05-04T12:00")
    assert next_quiet_ms([NIGHT], now, at("2026-05-04T22:00"), BERLIN) == at("2026-05-04T22:00")
    assert next_quiet_ms([NIGHT], now, at("2026-05-04T22:00") - 1, BERLIN) is None
    assert next_quiet_ms([NIGHT], at("2026-05-04T22:00"), at("2026-05-05T21:00"), BERLIN) is None
    assert next_quiet_ms([], now, now + 10**9, BERLIN) is None


@lru_cache
def shown(zone: ZoneInfo, from_ms: int, until_ms: int) -> list[tuple[int, datetime]]:
    """Every minute of a time, and what the clock on the customer's wall shows."""
    return [(t, datetime.fromtimestamp(t / 1000, zone).replace(tzinfo=None)) for t in range(from_ms, until_ms, MINUTE)]


def brute_force(quiet: QuietHours, zone: ZoneInfo, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """The quiet times: of each day on which they begin, from the first to the last minute that the clock shows
    within them."""
    minutes = shown(zone, from_ms, until_ms)
    periods = []
    for day in sorted({wall.date() for _, wall in minutes}):
        if (quiet.weekdays or quiet.holiday_calendar) and not (
            day.weekday() in quiet.weekdays or day in quiet.holidays
        ):
            continue
        midnight = datetime(day.year, day.month, day.day)
        start = midnight + timedelta(minutes=quiet.start_minute)
        end = midnight + timedelta(minutes=quiet.end_minute)
        if quiet.end_minute < quiet.start_minute:
            end += timedelta(days=1)
        within = [t for t, wall in minutes if start <= wall < end]
        if within:
            periods.append((within[0], within[-1] + MINUTE))
    return periods


_ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana")]
_CHANGES = [date(2026, 3, 8), date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1), date(2026, 6, 1)]
_quiet_hours = st.builds(
    QuietHours,
    st.just("q"),
    st.one_of(st.integers(0, 1439), st.integers(0, 240)),
    st.one_of(st.integers(1, 1440), st.integers(1, 240)),
    weekdays=st.frozensets(st.integers(0, 6), max_size=3),
    holidays=st.frozensets(st.sampled_from(_CHANGES), max_size=3),
    holiday_calendar=st.sampled_from(["", "DE"]),
)


@given(_quiet_hours, st.sampled_from(_ZONES), st.sampled_from(_CHANGES), st.integers(-720, 2160), st.integers(0, 1500))
def test_quiet_is_what_the_clock_on_the_wall_shows(
    quiet: QuietHours, zone: ZoneInfo, day: date, minute: int, length: int
) -> None:
    """On days of clock changes and others: when it is quiet, until when, and when it begins next, as found minute by
    minute."""
    noon = round(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    periods = brute_force(quiet, zone, noon - 4320 * MINUTE, noon + 7200 * MINUTE)
    now = noon + minute * MINUTE
    for moment in (now, now + 1, now - 1):
        assert ends_at_ms(quiet, moment, zone) == max((e for s, e in periods if s <= moment < e), default=None)
    until = now + length * MINUTE
    assert next_quiet_ms([quiet], now, until, zone) == min((s for s, _ in periods if now < s <= until), default=None)


def test_channels_choose_their_quiet_hours() -> None:
    """Without channels it concerns all of them."""
    assert applicable([NIGHT, LUNCH], "sms") == [NIGHT, LUNCH]
    assert applicable([NIGHT, LUNCH], "email") == [NIGHT]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\0"])
def test_what_is_no_zone_is_unknown(name: str) -> None:
    """No exception for whatever a feature contains."""
    assert zone_named(name) is None
