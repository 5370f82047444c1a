"""Calendar windows in SQL: local times by the zone's own offsets, and a name for the window that one falls into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

DAY_MS = 86_400_000
MARGIN_MS = 40 * DAY_MS
"""A window of a contact reaches no further than a month beyond it."""

ZONE_OFFSETS = pa.schema(
    [("timezone", pa.string()), ("from_ms", pa.int64()), ("until_ms", pa.int64()), ("offset_ms", pa.int64())]
)


def zone_offsets(zones: Iterable[str], from_ms: int, until_ms: int) -> pa.Table:
    """What each zone's clocks are ahead of UTC, in pieces [from_ms, until_ms); names of no zone have no rows."""
    rows = []
    for name in sorted(set(zones)):
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
        rows += [
            {"timezone": name, "from_ms": start, "until_ms": end, "offset_ms": offset}
            for start, end, offset in _pieces(zone, from_ms - MARGIN_MS, until_ms + MARGIN_MS)
        ]
    return pa.Table.from_pylist(rows, schema=ZONE_OFFSETS)


def _pieces(zone: ZoneInfo, from_ms: int, until_ms: int) -> Iterator[tuple[int, int, int]]:
    start = at_ms = from_ms
    offset = _offset_ms(zone, start)
    while at_ms < until_ms:
        following = min(at_ms + DAY_MS, until_ms)
        if _offset_ms(zone, following) != offset:  # clocks change at most once within a day
            change = _change(zone, at_ms, following, offset)
            yield start, change, offset
            start, offset = change, _offset_ms(zone, change)
        at_ms = following
    yield start, until_ms, offset


def _change(zone: ZoneInfo, before_ms: int, after_ms: int, offset: int) -> int:
    while after_ms - before_ms > 1:
        middle = (before_ms + after_ms) // 2
        before_ms, after_ms = (middle, after_ms) if _offset_ms(zone, middle) == offset else (before_ms, middle)
    return after_ms


def _offset_ms(zone: ZoneInfo, at_ms: int) -> int:
    offset = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * 1000)


def window_name(unit: str, at_ms: str, offset_ms: str, week_starts: str) -> str:
    """SQL for the name of the calendar window that a moment falls into, all arguments being SQL expressions.

    A local hour that daylight saving repeats is two windows, so an hour's name has the offset.
    """
    local = f"epoch_ms({at_ms} + {offset_ms})"
    return f"""CASE {unit}
        WHEN 'hour' THEN strftime({local}, '%Y-%m-%d %H:00') || printf(' UTC%+d min', {offset_ms} // 60000)
        WHEN 'day' THEN strftime({local}, '%Y-%m-%d')
        WHEN 'week' THEN 'week from ' || strftime(
            {local} - to_days(CAST((isodow({local}) + 6 - {week_starts}) % 7 AS INTEGER)), '%Y-%m-%d')
        WHEN 'month' THEN strftime({local}, '%Y-%m')
        ELSE {unit}
    END"""
