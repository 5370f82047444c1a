"""Frequency-cap arithmetic: one pure function over (cap, contacts, time), for Decide, its retry and replay.

A contact occupies a span of time. A sent one is a point. A reserved one may be sent at any moment until its lease
lapses, so it is a span, and the candidate is one too. Two contacts share a rolling window if the spans can come closer
than the window; they share a calendar window if both can fall into it. Counting every contact that *could* share a
window with the candidate makes the cap hold at the true send times, whichever moments of the leases those turn out
to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from decision_service.core.customer import Contact, ContactStatus
from decision_service.core.program import Action, CalendarUnit, CapCounts, FrequencyCap, Scope

DAY_MS = 86_400_000
MIN_RETENTION_MS = 35 * DAY_MS
LAPSED_RETENTION_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Span:
    """When a contact may be sent: [from_ms, until_ms], UTC epoch milliseconds."""

    from_ms: int
    until_ms: int


def applies(scope: Scope, program: str, action: Action) -> bool:
    """Whether contacts by this action are in the cap's scope."""
    return (
        (scope.channel is None or scope.channel == action.channel)
        and (scope.program is None or scope.program == program)
        and (scope.message is None or scope.message == action.message)
        and (scope.tag is None or scope.tag in action.tags)
    )


def counts(scope: Scope, contact: Contact) -> bool:
    """Whether a contact is in the cap's scope, by its attributes at the time it was made."""
    return (
        (scope.channel is None or scope.channel == contact.channel)
        and (scope.program is None or scope.program == contact.program)
        and (scope.message is None or scope.message == contact.message)
        and (scope.tag is None or scope.tag in contact.tags)
    )


def exhausted(cap: FrequencyCap, contacts: Sequence[Contact], span: Span, zone: tzinfo) -> bool:
    """Whether one more contact within `span` could exceed the cap. `contacts` are those that hold a slot."""
    in_scope = [c for c in contacts if counts(cap.scope, c)]
    if len(in_scope) < cap.limit:
        return False
    if cap.window_s is not None:
        window_ms = cap.window_s * 1000
        near = sum(c.until_ms + window_ms > span.from_ms and c.from_ms - window_ms < span.until_ms for c in in_scope)
        return near >= cap.limit
    assert cap.calendar is not None
    return any(
        sum(c.until_ms >= start and c.from_ms < end for c in in_scope) >= cap.limit
        for start, end in calendar_windows(cap.calendar, span, zone)
    )


def calendar_windows(unit: CalendarUnit, span: Span, zone: tzinfo) -> list[tuple[int, int]]:
    """The calendar windows that a span touches, as [start_ms, end_ms) pairs; local days may last 23 or 25 hours."""
    windows = []
    start = _floor(unit, datetime.fromtimestamp(span.from_ms / 1000, zone))
    while True:
        end = _next(unit, start)
        windows.append((_ms(start), _ms(end)))
        if _ms(end) > span.until_ms:
            return windows
        start = end


def _floor(unit: CalendarUnit, local: datetime) -> datetime:
    if unit is CalendarUnit.HOUR:
        # In UTC steps: the local hour that daylight saving repeats is two windows.
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if unit is CalendarUnit.WEEK:
        return day - timedelta(days=day.weekday())
    if unit is CalendarUnit.MONTH:
        return day.replace(day=1)
    return day


def _next(unit: CalendarUnit, start: datetime) -> datetime:
    match unit:
        case CalendarUnit.HOUR:
            return (start.astimezone(UTC) + timedelta(hours=1)).astimezone(start.tzinfo)
        case CalendarUnit.DAY:
            return start + timedelta(days=1)
        case CalendarUnit.WEEK:
            return start + timedelta(days=7)
        case CalendarUnit.MONTH:
            return (start + timedelta(days=32)).replace(day=1)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def holding(contacts: Iterable[Contact], now_ms: int) -> list[Contact]:
    """The contacts that hold a slot now: sent, or reserved with a live lease."""
    return [c for c in contacts if c.counts(CapCounts.ACTIVATED, now_ms)]


def droppable(contacts: Iterable[Contact], caps: Iterable[FrequencyCap], now_ms: int) -> list[str]:
    """Decision ids of contacts that no cap can count any more: older than the longest window (at least 35 days)
    before the newest, or lapsed for a day (a report that comes later still re-enters its contact)."""
    known = list(contacts)
    longest_ms = max((cap.window_s or 0 for cap in caps), default=0) * 1000
    # Not from now alone: a clock that ran far ahead for a moment must not erase every contact.
    newest_ms = min(now_ms, max((c.until_ms for c in known), default=now_ms))
    oldest_ms = newest_ms - max(longest_ms, MIN_RETENTION_MS)
    return [
        c.decision_id
        for c in known
        if c.until_ms < oldest_ms or (c.status is ContactStatus.RESERVED and c.until_ms < now_ms - LAPSED_RETENTION_MS)
    ]
