"""Quiet hours in the customer's own time zone, across midnight and daylight-saving changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from decision_service.core.program import QuietHours, WhenQuiet

_MINUTES = 24 * 60


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
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    minute = local.hour * 60 + local.minute
    if quiet.start_minute <= quiet.end_minute:
        is_quiet, days = quiet.start_minute <= minute < quiet.end_minute, 0
    else:
        is_quiet = minute >= quiet.start_minute or minute < quiet.end_minute
        days = 1 if minute >= quiet.start_minute else 0
    if not is_quiet:
        return None
    end = (local + timedelta(days=days)).replace(
        hour=quiet.end_minute // 60 % 24, minute=quiet.end_minute % 60, second=0, microsecond=0, fold=0
    )
    ended = round(end.timestamp() * 1000)
    # A repeated hour can place the first occurrence of the end before now; the second is then meant.
    return ended if ended > at_ms else round(end.replace(fold=1).timestamp() * 1000)


def send_time(quiet_hours: Sequence[QuietHours], at_ms: int, zone: tzinfo) -> tuple[int | None, str]:
    """When a message decided at `at_ms` may be sent: now, at the end of quiet hours that queue, or (None) not at all.

    Returns the time and the id of the last quiet hours that moved or discarded it ("" if none did).
    """
    moment, by = at_ms, ""
    for _ in range(2 * len(quiet_hours) + 2):
        for quiet in quiet_hours:
            end = ends_at_ms(quiet, moment, zone)
            if end is None:
                continue
            if quiet.when_quiet is WhenQuiet.DISCARD or end <= moment:
                return None, quiet.id
            moment, by = end, quiet.id
            break
        else:
            return moment, by
    return None, by  # quiet around the clock
