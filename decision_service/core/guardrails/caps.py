"""Frequency-cap arithmetic: pure functions over (cap, contacts, time), for Decide, its retry, replay and simulation.

A contact occupies a span of time. A sent one is a point. A reserved one may be sent at any moment until its lease
lapses, so it is a span, and the candidate is one too. A cap has a slot left if, wherever in their spans the contacts
are sent, no window that holds the candidate holds more than the limit: the cap then holds at the true send times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache

from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.program import ALL_CAPS, Action, CalendarUnit, CapCounts, FrequencyCap, Scope

DAY_MS = 86_400_000
MIN_RETENTION_MS = 35 * DAY_MS
UNSENT_RETENTION_MS = DAY_MS
_QUARTER_MS = 900_000
_LONGEST_MS = {  # with the hour that daylight saving may add
    CalendarUnit.HOUR: DAY_MS // 24,
    CalendarUnit.DAY: DAY_MS * 25 // 24,
    CalendarUnit.WEEK: DAY_MS * 169 // 24,
    CalendarUnit.MONTH: DAY_MS * 745 // 24,
}


@dataclass(frozen=True, slots=True)
class Span:
    """When a contact may be sent: [from_ms, until_ms], both inclusive, UTC epoch milliseconds."""

    from_ms: int
    until_ms: int


def applies(scope: Scope, program: str, action: Action) -> bool:
    """Whether contacts by this action of the program named are in a scope."""
    return (
        (scope.channel is None or scope.channel == action.channel)
        and (scope.program is None or scope.program == program)
        and (scope.message is None or scope.message == action.message)
        and (scope.tag is None or scope.tag in action.tags)
        and (scope.action is None or scope.action == action.id)
    )


def counts(scope: Scope, contact: Contact) -> bool:
    """Whether a contact is in a scope, by its attributes at the time it was made."""
    return (
        (scope.channel is None or scope.channel == contact.channel)
        and (scope.program is None or scope.program == contact.program)
        and (scope.message is None or scope.message == contact.message)
        and (scope.tag is None or scope.tag in contact.tags)
        and (scope.action is None or scope.action == contact.action)
    )


def binds(cap: FrequencyCap, program_name: str, action: Action) -> bool:
    """Whether the cap can stop the action: it is in scope and does not ignore the cap."""
    ignores = action.ignores_caps
    return cap.id not in ignores and ALL_CAPS not in ignores and applies(cap.scope, program_name, action)


def remaining(cap: FrequencyCap, contacts: Iterable[Contact], span: Span, zone: tzinfo, now_ms: int) -> int:
    """How many slots the cap has for contacts within `span`; none if not positive.

    contacts: all of the customer's; which of them count is asked here.
    """
    return cap.limit - len(_fullest(cap, _held(cap, contacts, now_ms), span, zone))


def frees_at_ms(cap: FrequencyCap, contacts: Iterable[Contact], span: Span, zone: tzinfo, now_ms: int) -> int | None:
    """The earliest start of a span as long as this one, not before it, that has a slot; None if none ever has.

    Reservations count as if they were going to be sent.
    """
    if cap.limit <= 0:
        return None
    held = _held(cap, contacts, now_ms)
    length_ms = span.until_ms - span.from_ms
    start_ms = span.from_ms
    while len(full := _fullest(cap, held, Span(start_ms, start_ms + length_ms), zone)) >= cap.limit:
        # As many of them as the limit may be sent until then: no window up to there has a slot. The next round is
        # without one of them at least.
        last_ms = sorted(c.until_ms for c in full)[-cap.limit]
        start_ms = last_ms + cap.window_s * 1000 if cap.window_s is not None else _window(cap, last_ms, zone)[1]
    return start_ms


def _held(cap: FrequencyCap, contacts: Iterable[Contact], now_ms: int) -> list[Contact]:
    return [c for c in contacts if counts(cap.scope, c) and c.counts(cap.counts, now_ms)]


def _fullest(cap: FrequencyCap, held: Sequence[Contact], span: Span, zone: tzinfo) -> list[Contact]:
    """The contacts of the window that may hold most of them, among those that may hold one within `span`.

    The cost grows with the contacts held, not with the windows that a span touches.
    """
    if not held:
        return []
    if cap.window_s is not None:
        return _together(held, cap.window_s * 1000, span)
    windows = {first := _window(cap, span.from_ms, zone)}
    if span.until_ms >= first[1]:
        # Where no contact begins in a window, the one before holds as many.
        begins = (c.from_ms for c in held if first[1] <= c.from_ms < span.until_ms)
        windows |= {_window(cap, at_ms, zone) for at_ms in (*begins, span.until_ms)}
    return max(([c for c in held if c.until_ms >= start and c.from_ms < end] for start, end in windows), key=len)


def _together(held: Sequence[Contact], window_ms: int, span: Span) -> list[Contact]:
    """Most contacts that may fall into one rolling window [t, t + window_ms) together with one within `span`."""
    first, last = span.from_ms - window_ms + 1, span.until_ms  # of t
    near = [c for c in held if c.until_ms >= first and c.from_ms - window_ms < last]
    # As t grows, more contacts fit only where one comes into reach; in the past all are at once.
    starts = {first, *(c.from_ms - window_ms + 1 for c in near if c.from_ms > span.from_ms)}
    return max(([c for c in near if c.from_ms - window_ms < t <= c.until_ms] for t in starts), key=len)


def _window(cap: FrequencyCap, at_ms: int, zone: tzinfo) -> tuple[int, int]:
    assert cap.calendar is not None
    return calendar_window(cap.calendar, at_ms, zone, cap.week_starts)


@lru_cache(maxsize=1024)
def calendar_window(unit: CalendarUnit, at_ms: int, zone: tzinfo, week_starts: int = 0) -> tuple[int, int]:
    """The calendar window that holds a moment, as [start_ms, end_ms).

    Local days may last 23 or 25 hours, and the hour that daylight saving repeats is two windows.
    week_starts: first day of weeks, 0 for Monday to 6 for Sunday.
    """
    return _hour(at_ms, zone) if unit is CalendarUnit.HOUR else _days(unit, at_ms, zone, week_starts)


def _days(unit: CalendarUnit, at_ms: int, zone: tzinfo, week_starts: int) -> tuple[int, int]:
    first = datetime.fromtimestamp(at_ms / 1000, zone).date()
    if unit is CalendarUnit.DAY:
        after = first + timedelta(days=1)
    elif unit is CalendarUnit.WEEK:
        first -= timedelta(days=(first.weekday() - week_starts) % 7)
        after = first + timedelta(days=7)
    else:
        first = first.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return _begins_ms(first, zone), _begins_ms(after, zone)


def _begins_ms(day: date, zone: tzinfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def _hour(at_ms: int, zone: tzinfo) -> tuple[int, int]:
    """Quarter by quarter: zones differ from UTC by quarters of an hour, and never change within one."""
    start = at_ms - at_ms % _QUARTER_MS
    end = start + _QUARTER_MS
    shown = _clock_hour(start, zone)
    while _clock_hour(start - _QUARTER_MS, zone) == shown:
        start -= _QUARTER_MS
    while _clock_hour(end, zone) == shown:
        end += _QUARTER_MS
    return start, end


def _clock_hour(at_ms: int, zone: tzinfo) -> tuple[date, int, timedelta | None]:
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    return local.date(), local.hour, local.utcoffset()


def droppable(contacts: Iterable[Contact], caps: Iterable[FrequencyCap], now_ms: int) -> list[str]:
    """Decision ids of contacts that none of `caps` can count any more.

    Sent ones are kept for the longest window, and at least 35 days. Those that lapsed or were released go after a day
    (a report that comes later still re-enters its contact), but stay for the longest window that counts attempts.
    """
    known, caps = list(contacts), list(caps)
    # Not from now alone: a clock that ran far ahead for a moment must not erase every contact.
    newest_ms = min(now_ms, max((c.until_ms for c in known), default=now_ms))
    sent_from_ms = newest_ms - max(MIN_RETENTION_MS, _longest_ms(caps))
    attempts_ms = _longest_ms(cap for cap in caps if cap.counts is CapCounts.RESERVED)
    unsent_from_ms = min(now_ms - UNSENT_RETENTION_MS, newest_ms - attempts_ms)
    return [c.decision_id for c in known if c.until_ms < (sent_from_ms if c.status.was_sent else unsent_from_ms)]


def _longest_ms(caps: Iterable[FrequencyCap]) -> int:
    return max((_LONGEST_MS[c.calendar] if c.calendar else (c.window_s or 0) * 1000 for c in caps), default=0)


def lapsed(contacts: Iterable[Contact], now_ms: int) -> tuple[Contact, ...]:
    """The reservations that are over, marked so for good: once another decision may have got their slot, a clock that
    is set back must not bring them back."""
    return tuple(
        replace(c, status=ContactStatus.LAPSED)
        for c in contacts
        if c.status is ContactStatus.RESERVED and not c.is_pending(now_ms)
    )
