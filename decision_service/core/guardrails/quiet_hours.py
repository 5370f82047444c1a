"""Quiet hours in the customer's own time zone, across midnight and daylight-saving changes.

They belong to the local day on which they begin, and last from the first moment at which the clock there shows their
start, or later, to the last moment before it shows their end for good: an hour that is repeated or skipped is quiet
once and without a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from decision_service.core.model.program import QuietHours, WhenQuiet

LONGEST_QUEUE_MS = 31 * 86_400_000
"""Nothing is queued for longer: quiet hours that follow each other without end exclude."""

_DAY = timedelta(days=1)


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo | None:
    """The IANA zone, or None if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def applicable(quiet_hours: Sequence[QuietHours], channel: str) -> list[QuietHours]:
    """Those that concern a channel."""
    return [q for q in quiet_hours if not q.channels or channel in q.channels]


def ends_at_ms(quiet: QuietHours, at_ms: int, zone: tzinfo) -> int | None:
    """When the quiet that holds at `at_ms` ends; None if it is not quiet then."""
    today = _day(at_ms, zone)
    ends = [end for day in (today - _DAY, today) for start, end in _period(quiet, day, zone) if start <= at_ms < end]
    return max(ends, default=None)


def send_time(quiet_hours: Sequence[QuietHours], at_ms: int, zone: tzinfo) -> tuple[int | None, str]:
    """When a message decided at `at_ms` may be sent: now, at the end of quiet hours that queue, or (None) not at all.

    Returns the time and the id of the last quiet hours that moved or discarded it ("" if none did).
    """
    moment, by = at_ms, ""
    while moment - at_ms <= LONGEST_QUEUE_MS:
        holding = [(q, end) for q in quiet_hours if (end := ends_at_ms(q, moment, zone)) is not None]
        if not holding:
            return moment, by
        for quiet, _ in holding:
            if quiet.when_quiet is WhenQuiet.DISCARD:
                return None, quiet.id
        quiet, moment = max(holding, key=lambda held: held[1])
        by = quiet.id
    return None, by


def next_quiet_ms(quiet_hours: Sequence[QuietHours], from_ms: int, until_ms: int, zone: tzinfo) -> int | None:
    """The first moment in (from_ms, until_ms] at which one of them begins; None if none does."""
    day, last = _day(from_ms, zone), _day(until_ms, zone)
    while day <= last:
        begun = [
            start for quiet in quiet_hours for start, _ in _period(quiet, day, zone) if from_ms < start <= until_ms
        ]
        if begun:
            return min(begun)
        day += _DAY
    return None


def _day(at_ms: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(at_ms / 1000, zone).date()


def _period(quiet: QuietHours, day: date, zone: tzinfo) -> tuple[tuple[int, int], ...]:
    """The [start_ms, end_ms) that begins on a local day; empty if none does."""
    every_day = not quiet.weekdays and not quiet.holiday_calendar
    if every_day or day.weekday() in quiet.weekdays or day in quiet.holidays:
        return _minutes(quiet.start_minute, quiet.end_minute, day, zone)
    return ()


@lru_cache(maxsize=4096)
def _minutes(start_minute: int, end_minute: int, day: date, zone: tzinfo) -> tuple[tuple[int, int], ...]:
    if start_minute == end_minute:
        return ()
    start = _moment(day, start_minute, zone, last=False)
    end = _moment(day if start_minute < end_minute else day + _DAY, end_minute, zone, last=True)
    return ((start, end),) if start < end else ()  # a skipped hour may swallow it


def _moment(day: date, minute: int, zone: tzinfo, *, last: bool) -> int:
    """When the clock shows a minute of a day, for the first or last time; where it skips it, when it does."""
    naive = datetime.combine(day, time()) + timedelta(minutes=minute)
    first_ms, last_ms = (round(naive.replace(tzinfo=zone, fold=fold).timestamp() * 1000) for fold in (0, 1))
    if first_ms <= last_ms:
        return last_ms if last else first_ms
    # Skipped: reckoned by the offset after the change it lies before the change, and the other way round.
    before, after = last_ms, first_ms
    offset = datetime.fromtimestamp(before / 1000, zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle / 1000, zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
