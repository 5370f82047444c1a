"""Calendars and clocks of the model: read off the wall, quarter by quarter. Obvious rather than fast."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
QUARTER = 15 * MINUTE
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAYS = holidays.country_holidays("DE", years=range(2025, 2040))

Label = tuple[object, ...]


@lru_cache(maxsize=200_000)
def wall(quarter: int, zone: str) -> datetime:
    """What a clock there shows when a quarter of an hour begins, without its offset."""
    return datetime.fromtimestamp(quarter * QUARTER / 1000, ZoneInfo(zone)).replace(tzinfo=None)


def label(unit: str, at_ms: int, zone: str, week_starts: str = "mon") -> Label:
    """The name of the calendar window that holds a moment. Windows begin and end with quarters of an hour."""
    return _label(unit, at_ms // QUARTER, zone, week_starts)


@lru_cache(maxsize=200_000)
def _label(unit: str, quarter: int, zone: str, week_starts: str) -> Label:
    local = datetime.fromtimestamp(quarter * QUARTER / 1000, ZoneInfo(zone))
    if unit == "hour":
        return local.date(), local.hour, local.utcoffset()
    if unit == "day":
        return (local.date(),)
    if unit == "week":
        day = local.date()
        while WEEKDAYS[day.weekday()] != week_starts:
            day -= timedelta(days=1)
        return (day,)
    if unit == "month":
        return local.year, local.month
    return ("total",)


def labels(unit: str, from_ms: int, until_ms: int, zone: str, week_starts: str) -> set[Label]:
    """Those of every moment of a span."""
    moments = (*range(from_ms, until_ms, QUARTER), until_ms)
    return {label(unit, at_ms, zone, week_starts) for at_ms in moments}


def bounds(unit: str, at_ms: int, zone: str, week_starts: str) -> tuple[int, int]:
    """[start, end) of the window that holds a moment."""
    return _bounds(unit, at_ms // QUARTER, zone, week_starts)


@lru_cache(maxsize=50_000)
def _bounds(unit: str, quarter: int, zone: str, week_starts: str) -> tuple[int, int]:
    named = _label(unit, quarter, zone, week_starts)
    first = last = quarter
    while _label(unit, first - 1, zone, week_starts) == named:
        first -= 1
    while _label(unit, last + 1, zone, week_starts) == named:
        last += 1
    return first * QUARTER, (last + 1) * QUARTER


@lru_cache
def minute(text: str) -> int:
    """Of the day, of `22:30`."""
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


def quiet_times(quiet: dict[str, Any], zone: str, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """The [start, end) of quiet hours that begin on local days around a time: from the first to the last quarter of an
    hour at which the clock shows a time within them."""
    first, last = (wall(at_ms // QUARTER, zone).date() for at_ms in (from_ms - DAY, until_ms))
    times = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        named = WEEKDAYS[day.weekday()] in quiet.get("days", [])
        if named or ("holidays" in quiet and day in HOLIDAYS) or ("days" not in quiet and "holidays" not in quiet):
            times += _quiet_times(minute(quiet["from"]), minute(quiet["to"]), zone, day)
    return times


@lru_cache(maxsize=20_000)
def _quiet_times(start: int, end: int, zone: str, day: date) -> tuple[tuple[int, int], ...]:
    midnight = datetime(day.year, day.month, day.day)
    begins = midnight + timedelta(minutes=start)
    ends = midnight + timedelta(minutes=end, days=1 if end < start else 0)
    around = round(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
    moments = range(around - DAY, around + 3 * DAY, QUARTER)
    within = [at_ms for at_ms in moments if begins <= wall(at_ms // QUARTER, zone) < ends]
    return ((within[0], within[-1] + QUARTER),) if within else ()


def local(text: str, zone: str) -> int:
    """Milliseconds of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


STARTS = [
    local("2026-10-24T18:30", "Europe/Berlin"),
    local("2026-03-29T00:10", "Europe/Berlin"),
    local("2026-10-25T02:05", "Europe/Berlin"),
    local("2026-03-08T00:50", "America/New_York"),
    local("2026-11-01T01:05", "America/New_York"),
    local("2026-12-31T18:00", "Asia/Kolkata"),
]
