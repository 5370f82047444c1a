"""Cap arithmetic: hand-computed windows, brute force over small cases, and the law that makes it safe."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.guardrails.caps import (
    DAY_MS,
    Span,
    applies,
    binds,
    calendar_window,
    droppable,
    frees_at_ms,
    remaining,
)
from decision_service.core.model.customer import REPORT_GRACE_MS, Contact, ContactStatus
from decision_service.core.model.program import ALL_CAPS, Action, CalendarUnit, CapCounts, FrequencyCap, Scope

HOUR = 3_600_000
QUARTER = HOUR // 4
NOW = 1_700_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")]


def contact(from_ms: int, until_ms: int | None = None, **changes: object) -> Contact:
    """A sent contact, or a reserved one if `until_ms` is given."""
    status = ContactStatus.SENT if until_ms is None else ContactStatus.RESERVED
    fields: dict[str, object] = {
        "decision_id": f"d{from_ms}",
        "program": "p",
        "action": "a",
        "message": "m",
        "channel": "email",
        "tags": frozenset({"promo"}),
        "status": status,
        "from_ms": from_ms,
        "until_ms": from_ms if until_ms is None else until_ms,
    }
    return Contact(**{**fields, **changes})  # type: ignore[arg-type]


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    """Local time to milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def rolling(limit: int, hours: int, scope: Scope = Scope(), counts: CapCounts = CapCounts.ACTIVATED) -> FrequencyCap:  # noqa: B008 — frozen
    """A rolling cap."""
    return FrequencyCap("c", limit, window_s=hours * 3600, scope=scope, counts=counts)


def exhausted(cap: FrequencyCap, contacts: list[Contact], span: Span, zone: ZoneInfo | None = None) -> bool:
    """Whether no slot is left, while every lease is live."""
    return remaining(cap, contacts, span, zone or UTC, min(c.from_ms for c in contacts)) <= 0


def test_a_rolling_window_frees_the_slot_exactly_at_its_end() -> None:
    """One contact per day: 24 hours later is allowed, a millisecond before is not."""
    cap = rolling(1, 24)
    assert exhausted(cap, [contact(NOW)], Span(NOW + DAY_MS - 1, NOW + DAY_MS - 1))
    assert not exhausted(cap, [contact(NOW)], Span(NOW + DAY_MS, NOW + DAY_MS))


def test_a_reservation_counts_over_its_whole_lease() -> None:
    """What may still be sent until its lease ends holds its slot from then on."""
    cap = rolling(1, 24)
    reserved = contact(NOW, NOW + HOUR)
    assert exhausted(cap, [reserved], Span(NOW + DAY_MS, NOW + DAY_MS))
    assert not exhausted(cap, [reserved], Span(NOW + DAY_MS + HOUR, NOW + DAY_MS + HOUR))


def test_a_queued_contact_ahead_counts() -> None:
    """A message queued for the morning takes the slot of one that would go out tonight."""
    queued = contact(NOW + 8 * HOUR, NOW + 9 * HOUR)
    assert exhausted(rolling(1, 24), [queued], Span(NOW, NOW + HOUR))
    assert not exhausted(rolling(1, 6), [queued], Span(NOW, NOW + HOUR))


def test_the_limit_is_a_count() -> None:
    """With a limit of three, two contacts leave a slot."""
    cap = rolling(3, 24)
    contacts = [contact(NOW - i * HOUR) for i in range(3)]
    assert [remaining(cap, contacts[:n], Span(NOW, NOW), UTC, NOW) for n in range(4)] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("unit", "inside", "outside"),
    [
        (CalendarUnit.HOUR, "2026-03-10T12:00", "2026-03-10T11:59"),
        (CalendarUnit.DAY, "2026-03-10T00:00", "2026-03-09T23:59"),
        (CalendarUnit.WEEK, "2026-03-09T00:00", "2026-03-08T23:59"),
        (CalendarUnit.MONTH, "2026-03-01T00:00", "2026-02-28T23:59"),
    ],
)
def test_calendar_windows_begin_where_the_customer_lives(unit: CalendarUnit, inside: str, outside: str) -> None:
    """The window of Tuesday 10 March 2026, 12:30 in Berlin, by unit."""
    cap = FrequencyCap("c", 1, calendar=unit)
    now = at("2026-03-10T12:30")
    assert exhausted(cap, [contact(at(inside))], Span(now, now), BERLIN)
    assert not exhausted(cap, [contact(at(outside))], Span(now, now), BERLIN)


def test_a_lease_across_midnight_needs_a_slot_on_both_days() -> None:
    """Reserved at 23:50 and perhaps sent at 00:10, it must not be the second of either day."""
    cap = FrequencyCap("c", 1, calendar=CalendarUnit.DAY)
    late = Span(at("2026-03-10T23:50"), at("2026-03-11T00:50"))
    tomorrow = contact(at("2026-03-11T08:00"), at("2026-03-11T09:00"))
    assert exhausted(cap, [tomorrow], late, BERLIN)
    assert exhausted(
        cap, [contact(late.from_ms, late.until_ms)], Span(at("2026-03-11T10:00"), at("2026-03-11T10:00")), BERLIN
    )


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_lasts_as_long_as_it_does(day: str, hours: int) -> None:
    """Days of daylight-saving changes have 23 and 25 hours."""
    noon = at(f"{day}T12:00")
    start, end = calendar_window(CalendarUnit.DAY, noon, BERLIN)
    assert (end - start) / HOUR == hours


def test_the_repeated_hour_is_two_windows() -> None:
    """02:30 happens twice on 25 October 2026; each has an hour of its own."""
    first = at("2026-10-25T02:30")
    second = first + HOUR
    assert not exhausted(
        FrequencyCap("c", 1, calendar=CalendarUnit.HOUR), [contact(first)], Span(second, second), BERLIN
    )


@pytest.mark.parametrize(
    "changes",
    [{"channel": "sms"}, {"program": "q"}, {"message": "n"}, {"tags": frozenset({"service"})}, {"action": "b"}],
)
def test_a_scope_counts_its_own_contacts_only(changes: dict[str, object]) -> None:
    """A cap on channel, program, message, tag and action together is not touched by a contact that differs in one."""
    scope = Scope(channel="email", program="p", message="m", tag="promo", action="a")
    assert exhausted(rolling(1, 24, scope), [contact(NOW)], Span(NOW, NOW))
    assert not exhausted(rolling(1, 24, scope), [contact(NOW, **changes)], Span(NOW, NOW))


def test_a_scope_binds_its_own_actions_only() -> None:
    """An SMS cap does not concern an e-mail."""
    email = Action("a", "email", "m", frozenset({"promo"}))
    assert applies(Scope(), "p", email)
    assert applies(Scope(channel="email", program="p", message="m", tag="promo", action="a"), "p", email)
    others = (Scope(channel="sms"), Scope(program="q"), Scope(message="n"), Scope(tag="service"), Scope(action="b"))
    for other in others:
        assert not applies(other, "p", email)


def test_windows_on_both_sides_of_the_candidate_are_not_one() -> None:
    """One sent 20 hours ago and one queued for in 20 hours share no day with each other, so a second slot is left."""
    cap = rolling(2, 24)
    around = [contact(NOW - 20 * HOUR), contact(NOW + 20 * HOUR, NOW + 20 * HOUR)]
    assert remaining(cap, around, Span(NOW, NOW), UTC, NOW) == 1
    assert remaining(cap, [*around, contact(NOW - HOUR)], Span(NOW, NOW), UTC, NOW) == 0


def test_an_action_ignores_the_caps_it_names() -> None:
    """A transactional message is not stopped by a cap whose id it names, or by any with all of them."""
    cap = rolling(1, 24)
    assert binds(cap, "p", Action("a", "email", "m", ignores_caps=frozenset({"other"})))
    assert not binds(cap, "p", Action("a", "email", "m", ignores_caps=frozenset({"c"})))
    assert not binds(cap, "p", Action("a", "email", "m", ignores_caps=frozenset({ALL_CAPS})))
    assert not binds(rolling(1, 24, Scope(channel="sms")), "p", Action("a", "email", "m"))


@pytest.mark.parametrize(
    ("status", "live", "lapsed"),
    [
        (ContactStatus.RESERVED, "RAD", "R"),
        (ContactStatus.RELEASED, "R", "R"),
        (ContactStatus.SENT, "RAD", "RAD"),
        (ContactStatus.DELIVERED, "RAD", "RAD"),
        (ContactStatus.BOUNCED, "RA", "RA"),
    ],
)
def test_what_counts(status: ContactStatus, live: str, lapsed: str) -> None:
    """Attempts, what was sent, what was not bounced: what each kind of cap counts while the lease lives, and after."""
    known = [contact(NOW, NOW + HOUR, status=status)]
    uncounted = [contact(NOW, NOW + HOUR, status=status, counted=False)]
    for now_ms, counted in ((NOW + HOUR + REPORT_GRACE_MS, live), (NOW + HOUR + REPORT_GRACE_MS + 1, lapsed)):
        for what in CapCounts:
            cap = rolling(1, 24, counts=what)
            span = Span(now_ms, now_ms)
            assert remaining(cap, known, span, UTC, now_ms) == (0 if what.name[0] in counted else 1)
            assert remaining(cap, uncounted, span, UTC, now_ms) == 1


def test_a_lapsed_lease_holds_nothing() -> None:
    """A reservation counts until its lease and the grace for its report end, and not after."""
    reserved = contact(NOW, NOW + HOUR)
    assert reserved.counts(CapCounts.ACTIVATED, NOW + HOUR + REPORT_GRACE_MS)
    assert not reserved.counts(CapCounts.ACTIVATED, NOW + HOUR + REPORT_GRACE_MS + 1)
    assert contact(NOW).counts(CapCounts.ACTIVATED, NOW + 1000 * DAY_MS)


def test_weeks_begin_on_the_day_chosen() -> None:
    """Saturday 14 March 2026 belongs to weeks that began on Monday the 9th, Sunday the 8th, Saturday the 14th."""
    noon = at("2026-03-14T12:00")
    for first, begins, ends in ((0, "09", "16"), (6, "08", "15"), (5, "14", "21")):
        window = calendar_window(CalendarUnit.WEEK, noon, BERLIN, first)
        assert window == (at(f"2026-03-{begins}T00:00"), at(f"2026-03-{ends}T00:00"))


def touched(unit: CalendarUnit, from_ms: int, until_ms: int, zone: ZoneInfo, first: int = 0) -> list[tuple[int, int]]:
    """The windows of [from_ms, until_ms], one after the other."""
    windows = [calendar_window(unit, from_ms, zone, first)]
    while windows[-1][1] <= until_ms:
        windows.append(calendar_window(unit, windows[-1][1], zone, first))
    return windows


def label(unit: CalendarUnit, at_ms: int, zone: ZoneInfo, week_starts: int) -> tuple[object, ...]:
    """What the calendar and clock of a customer call the window: quarters with the same label in a row are one."""
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    match unit:
        case CalendarUnit.HOUR:
            return local.date(), local.hour, local.utcoffset()
        case CalendarUnit.DAY:
            return (local.date(),)
        case CalendarUnit.WEEK:
            return (next(d for back in range(7) if (d := _back(local, back)).weekday() == week_starts),)
        case CalendarUnit.MONTH:
            return local.year, local.month


def _back(local: datetime, days: int) -> date:
    return local.date() - timedelta(days=days)


@given(
    unit=st.sampled_from(list(CalendarUnit)),
    zone=st.sampled_from(ZONES),
    week_starts=st.integers(0, 6),
    near=st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]),
    offset=st.integers(-200, 200),
    length=st.integers(0, 12),
)
def test_windows_are_what_the_calendar_on_the_wall_shows(
    unit: CalendarUnit, zone: ZoneInfo, week_starts: int, near: str, offset: int, length: int
) -> None:
    """Stepping quarter by quarter over days of clock changes finds the same windows, to the millisecond."""
    first = at(near, ZoneInfo("UTC")) + offset * QUARTER
    last = first + length * QUARTER
    windows = touched(unit, first + 1, last + 1, zone, week_starts)
    assert [end for _, end in windows[:-1]] == [start for start, _ in windows[1:]]
    labels = [label(unit, start, zone, week_starts) for start, _ in windows]
    assert len(set(labels)) == len(labels)
    assert windows[0][0] <= first + 1
    assert last + 1 < windows[-1][1]
    for (start, end), named in zip(windows, labels, strict=True):
        assert label(unit, start - QUARTER, zone, week_starts) != named
        assert label(unit, end, zone, week_starts) != named
        inside = range(start, end, QUARTER if end - start <= 2 * DAY_MS else 24 * QUARTER)
        assert all(label(unit, t, zone, week_starts) == named for t in inside)


_TICK = 500
_spans = st.tuples(st.integers(0, 12), st.integers(0, 2)).map(lambda s: (s[0] * _TICK, (s[0] + s[1]) * _TICK))


def most_sent(window_ms: int, spans: list[tuple[int, int]], candidate: tuple[int, int]) -> int:
    """The most others in a window with the candidate, over all moments at which all of them can be sent."""
    moments = [range(from_ms, until_ms + 1, _TICK) for from_ms, until_ms in spans]
    most = 0
    for candidate_ms, *sent in product(range(candidate[0], candidate[1] + 1, _TICK), *moments):
        for start in (candidate_ms, *sent):
            if start <= candidate_ms < start + window_ms:
                most = max(most, sum(start <= t < start + window_ms for t in sent))
    return most


@given(st.lists(_spans, max_size=4), _spans, st.integers(1, 3), st.integers(0, 4))
def test_slots_are_counted_over_every_moment_of_sending(
    spans: list[tuple[int, int]], candidate: tuple[int, int], window_s: int, limit: int
) -> None:
    """Exactly as trying out every combination of send times does: never one too many, never one too few."""
    cap = FrequencyCap("c", limit, window_s=window_s)
    contacts = [contact(from_ms, until_ms) for from_ms, until_ms in spans]
    assert remaining(cap, contacts, Span(*candidate), UTC, 0) == limit - most_sent(window_s * 1000, spans, candidate)


@given(st.lists(_spans, max_size=5), _spans, st.integers(1, 3), st.integers(1, 3))
def test_a_slot_frees_at_the_first_moment_that_has_one(
    spans: list[tuple[int, int]], candidate: tuple[int, int], window_s: int, limit: int
) -> None:
    """Trying one start after another finds the same."""
    cap = FrequencyCap("c", limit, window_s=window_s)
    contacts = [contact(from_ms, until_ms) for from_ms, until_ms in spans]
    from_ms, until_ms = candidate
    starts = range(from_ms, from_ms + 100 * _TICK, _TICK)
    tried = next(s for s in starts if remaining(cap, contacts, Span(s, s + until_ms - from_ms), UTC, 0) > 0)
    assert frees_at_ms(cap, contacts, Span(from_ms, until_ms), UTC, 0) == tried


_hours = st.tuples(st.integers(-30, 30), st.integers(0, 40))


@given(
    st.sampled_from([CalendarUnit.HOUR, CalendarUnit.DAY]),
    st.lists(_hours, max_size=6),
    st.integers(0, 40),
    st.integers(1, 3),
    st.sampled_from(["2026-03-28T20:00", "2026-10-24T20:00"]),
)
def test_calendar_slots_are_those_of_the_fullest_window(
    unit: CalendarUnit, history: list[tuple[int, int]], lease: int, limit: int, start: str
) -> None:
    """Exactly as looking at every window that a span touches, for the slots left and for when one frees."""
    cap, now = FrequencyCap("c", limit, calendar=unit), at(start) + QUARTER
    contacts = [contact(now + ago * HOUR, now + (ago + held) * HOUR) for ago, held in history]

    def left(from_ms: int) -> int:
        windows = touched(unit, from_ms, from_ms + lease * HOUR, BERLIN)
        return limit - max(sum(c.until_ms >= s and c.from_ms < e for c in contacts) for s, e in windows)

    span = Span(now, now + lease * HOUR)
    assert remaining(cap, contacts, span, BERLIN, 0) == left(now)
    starts = [now, *(begins for begins, _ in touched(unit, now, now + 100 * HOUR, BERLIN)[1:])]
    assert frees_at_ms(cap, contacts, span, BERLIN, 0) == next(s for s in starts if left(s) > 0)


@pytest.mark.parametrize("unit", CalendarUnit)
def test_the_cost_of_a_cap_does_not_grow_with_the_lease(unit: CalendarUnit) -> None:
    """A year's lease beside ten that are held so long asks for a few windows, not for each that it touches."""
    cap, year = FrequencyCap("c", 2, calendar=unit), 366 * DAY_MS
    contacts = [contact(NOW - i * HOUR, NOW - i * HOUR + year) for i in range(10)]
    calendar_window.cache_clear()
    assert remaining(cap, contacts, Span(NOW, NOW + year), BERLIN, NOW) == -8
    assert frees_at_ms(cap, contacts, Span(NOW, NOW + year), BERLIN, NOW) is not None
    assert calendar_window.cache_info().misses <= 3 * len(contacts)


def test_a_calendar_slot_frees_with_the_first_window_that_has_one() -> None:
    """Today is full and something is queued for tomorrow: the day after, at midnight where the customer is."""
    cap = FrequencyCap("c", 1, calendar=CalendarUnit.DAY)
    now = at("2026-03-28T12:00")
    contacts = [contact(now - HOUR), contact(at("2026-03-29T08:00"), at("2026-03-29T09:00"))]
    assert frees_at_ms(cap, contacts, Span(now, now + HOUR), BERLIN, now) == at("2026-03-30T00:00")
    assert frees_at_ms(cap, [], Span(now, now + HOUR), BERLIN, now) == now
    assert frees_at_ms(FrequencyCap("c", 0, calendar=CalendarUnit.DAY), [], Span(now, now), BERLIN, now) is None


def test_what_no_cap_can_count_is_dropped() -> None:
    """Contacts older than the longest window go, at least 35 days are kept; unsent ones go after a day."""
    old, older = contact(NOW - 36 * DAY_MS), contact(NOW - 91 * DAY_MS)
    lapsed, new = contact(NOW - 3 * DAY_MS, NOW - 2 * DAY_MS), contact(NOW)
    released = contact(NOW - 4 * DAY_MS, NOW - 2 * DAY_MS, status=ContactStatus.RELEASED)
    assert droppable([old, older, lapsed, released, new], [rolling(1, 24)], NOW) == [
        c.decision_id for c in (old, older, lapsed, released)
    ]
    assert droppable([old, older, new], [rolling(1, 90 * 24)], NOW) == [older.decision_id]
    assert droppable([old, new], [rolling(1, 24)], NOW + 20_000 * DAY_MS) == [old.decision_id]


def test_attempts_are_kept_while_a_cap_counts_them() -> None:
    """Where a cap counts reservations, lapsed and released ones stay as long as its window, and no longer."""
    lapsed = contact(NOW - 3 * DAY_MS, NOW - 2 * DAY_MS)
    released = contact(NOW - 9 * DAY_MS, NOW - 8 * DAY_MS, status=ContactStatus.RELEASED)
    counting = CapCounts.RESERVED
    assert droppable([lapsed, released], [rolling(1, 24, counts=counting)], NOW + DAY_MS) == [released.decision_id]
    assert droppable([lapsed, released], [rolling(1, 24 * 7, counts=counting)], NOW) == []
    month = FrequencyCap("c", 1, calendar=CalendarUnit.MONTH, counts=counting)
    assert droppable([lapsed, released, contact(NOW)], [month], NOW) == []
    gone = contact(NOW - 33 * DAY_MS, NOW - 32 * DAY_MS)
    assert droppable([gone, contact(NOW)], [month], NOW) == [gone.decision_id]


@given(
    st.sampled_from(list(CapCounts)),
    st.sampled_from([None, *CalendarUnit]),
    st.lists(st.tuples(st.integers(0, 45 * 24), st.integers(0, 3), st.sampled_from(list(ContactStatus))), max_size=6),
    st.integers(0, 40 * 24),
)
def test_dropping_never_frees_a_slot(
    what: CapCounts, unit: CalendarUnit | None, history: list[tuple[int, int, ContactStatus]], hours: int
) -> None:
    """Whatever is dropped, the caps that it was dropped under have the slots they had, then and at any later time."""
    cap = FrequencyCap("c", 9, window_s=None if unit else 40 * 86_400, calendar=unit, counts=what)
    contacts = [
        contact(
            NOW - ago * HOUR,
            NOW - (ago - lease if status in (ContactStatus.RESERVED, ContactStatus.RELEASED) else ago) * HOUR,
            status=status,
            decision_id=f"d{i}",
        )
        for i, (ago, lease, status) in enumerate(history)
    ]
    gone = droppable(contacts, [cap], NOW)
    kept = [c for c in contacts if c.decision_id not in gone]
    now_ms = NOW + hours * HOUR
    span = Span(now_ms, now_ms + HOUR)
    assert remaining(cap, kept, span, BERLIN, now_ms) == remaining(cap, contacts, span, BERLIN, now_ms)


_caps = st.one_of(
    st.builds(lambda n, h: FrequencyCap("c", n, window_s=h * 3600), st.integers(1, 3), st.integers(1, 72)),
    st.builds(lambda n, u: FrequencyCap("c", n, calendar=u), st.integers(1, 3), st.sampled_from(list(CalendarUnit))),
)


@given(
    cap=_caps,
    gaps=st.lists(st.tuples(st.integers(0, 40 * HOUR), st.integers(0, 3 * HOUR)), min_size=1, max_size=12),
    start=st.sampled_from(["2026-03-28T20:00", "2026-10-24T20:00", "2026-12-31T01:00"]),
    delays=st.lists(st.floats(0, 1), min_size=12, max_size=12),
)
def test_no_cap_is_exceeded_whenever_within_their_leases_contacts_are_sent(
    cap: FrequencyCap, gaps: list[tuple[int, int]], start: str, delays: list[float]
) -> None:
    """Decide whenever the cap allows, send at any moment of the lease: no window ever holds more than the limit."""
    now = at(start)
    contacts: list[Contact] = []
    for gap, lease in gaps:
        now += gap
        if remaining(cap, contacts, Span(now, now + lease), BERLIN, 0) > 0:
            contacts.append(contact(now, now + lease, decision_id=f"d{len(contacts)}"))
    sent = sorted(
        c.from_ms + round(delay * (c.until_ms - c.from_ms)) for c, delay in zip(contacts, delays, strict=False)
    )
    for first, last in product(range(len(sent)), repeat=2):
        if last - first < cap.limit:
            continue
        if cap.window_s is not None:
            assert sent[last] - sent[first] >= cap.window_s * 1000
        else:
            assert cap.calendar is not None
            one, other = (calendar_window(cap.calendar, t, BERLIN) for t in (sent[first], sent[last]))
            assert one != other
