"""Durations, times of day, timestamps, weekdays, zones and holidays as people write them, as pydantic field types."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from decision_service.core.model.errors import InvalidRequest
from decision_service.documents import holiday_calendars
from decision_service.documents.fields import identifier, matching, nearest, shown, string, wrong

MAX_DURATION_S = 366 * 86_400
END_OF_DAY = 24 * 60
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_DURATION = r"^[0-9]{1,9}[smhdw]$"
_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_UNTIL = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_DAY_NUMBERS = {name: day for day, whole in enumerate(WEEKDAYS) for name in (whole, whole[:3])}


def _duration(value: object) -> int:
    text = matching(value, _DURATION, "a duration; write a number and a unit, such as 90s, 15m, 12h, 7d or 2w")
    seconds = int(text[:-1]) * _SECONDS[text[-1]]
    if seconds > MAX_DURATION_S:
        raise wrong(f"{text} is longer than {MAX_DURATION_S // 86_400}d")
    return seconds


def _window(value: object) -> int:
    seconds = _duration(value)
    if seconds == 0:
        raise wrong("must be longer than 0s")
    return seconds


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _time_of_day(value: object) -> int:
    return _minutes(matching(value, _TIME_OF_DAY, "a time of day; write it as 08:30 or 22:00"))


def _until(value: object) -> int:
    return _minutes(matching(value, _UNTIL, "a time of day; write it as 08:30 or 22:00, or 24:00 for midnight"))


def _weekday(value: object) -> int:
    day = _DAY_NUMBERS.get(value) if isinstance(value, str) else None
    if day is None:
        close = nearest(value.lower(), _DAY_NUMBERS) if isinstance(value, str) else ""
        raise wrong(f"{shown(value)} is not a weekday{close or '; write one such as monday or mon'}")
    return day


def _timestamp(value: object) -> int:
    what = "a time with zone; write it as 2026-03-01T08:00:00Z or 2026-03-01T08:00:00+01:00"
    try:
        moment = datetime.fromisoformat(matching(value, r"^\d{4}-\d\d-\d\dT", what))
    except ValueError:
        raise wrong(f"{shown(value)} is not {what}") from None
    if moment.tzinfo is None:
        raise wrong(f"{shown(value)} has no zone; add Z for UTC, or an offset such as +01:00")
    try:
        return round(moment.astimezone(UTC).timestamp() * 1000)
    except OverflowError:
        raise wrong(f"{shown(value)} is out of range") from None


def _zone(value: object) -> str:
    name = identifier(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = nearest(name, zoneinfo.available_timezones())
        raise wrong(
            f"{shown(name)} is not a time zone{close or '; write an IANA name such as Europe/Berlin'}"
        ) from None
    return name


def _holiday_calendar(value: object) -> str:
    name = identifier(value)
    try:
        holiday_calendars.dates(name)
    except InvalidRequest as refused:
        raise wrong(refused.violations[0].message) from None
    return name


Duration: TypeAlias = Annotated[int, BeforeValidator(_duration), string(_DURATION, "15m", "7d")]
"""Seconds, from `90s`, `15m`, `12h`, `7d`, `2w`; 0 to 366 days."""

Window: TypeAlias = Annotated[int, BeforeValidator(_window), string(_DURATION, "15m", "7d")]
"""A duration longer than nothing."""

TimeOfDay: TypeAlias = Annotated[int, BeforeValidator(_time_of_day), string(_TIME_OF_DAY, "22:00")]
"""Minutes since midnight, from `22:00`."""

Until: TypeAlias = Annotated[int, BeforeValidator(_until), string(_UNTIL, "08:00", "24:00")]
"""Minutes since midnight, END_OF_DAY for the midnight at the end."""

Weekday: TypeAlias = Annotated[
    int, BeforeValidator(_weekday), WithJsonSchema({"type": "string", "enum": list(_DAY_NUMBERS)})
]
"""0 for Monday to 6 for Sunday, from `monday` or `mon`."""

Timestamp: TypeAlias = Annotated[
    int,
    BeforeValidator(_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T08:00:00+01:00"]}),
]
"""UTC epoch milliseconds, from ISO 8601 with zone."""

Zone: TypeAlias = Annotated[
    str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})
]
"""An IANA time zone that this machine knows."""

HolidayCalendar: TypeAlias = Annotated[
    str, BeforeValidator(_holiday_calendar), string(r"^[A-Z]{2}(-.+)?$", "DE", "DE-BY", "US")
]
"""A country, or a part of one, whose public holidays are known."""
