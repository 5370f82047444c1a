"""Cap arithmetic: hand-computed windows, and the law that makes it safe."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.caps import DAY_MS, Span, applies, calendar_windows, droppable, exhausted, holding
from decision_service.core.customer import REPORT_GRACE_MS, Contact, ContactStatus
from decision_service.core.program import Action, CalendarUnit, FrequencyCap, Scope

HOUR = 3_600_000
NOW = 1_700_000_000_000
BERLIN = ZoneInfo("Europe/Berlin")


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


def rolling(limit: int, hours: int, scope: Scope = Scope()) -> FrequencyCap:  # noqa: B008 — frozen
    """A rolling cap."""
    return FrequencyCap("c", limit, window_s=hours * 3600, scope=scope)


def test_a_rolling_window_frees_the_slot_exactly_at_its_end() -> None:
    """One contact per day: 24 hours later is allowed, a millisecond before is not."""
    cap = rolling(1, 24)
    assert exhausted(cap, [contact(NOW)], Span(NOW + DAY_MS - 1, NOW + DAY_MS - 1), UTC)
    assert not exhausted(cap, [contact(NOW)], Span(NOW + DAY_MS, NOW + DAY_MS), UTC)


def test_a_reservation_counts_over_its_whole_lease() -> None:
    """What may still be sent until its lease ends holds its slot from then on."""
    cap = rolling(1, 24)
    reserved = contact(NOW, NOW + HOUR)
    assert exhausted(cap, [reserved], Span(NOW + DAY_MS, NOW + DAY_MS), UTC)
    assert not exhausted(cap, [reserved], Span(NOW + DAY_MS + HOUR, NOW + DAY_MS + HOUR), UTC)


def test_a_queued_contact_ahead_counts() -> None:
    """A message queued for the morning takes the slot of one that would go out tonight."""
    queued = contact(NOW + 8 * HOUR, NOW + 9 * HOUR)
    assert exhausted(rolling(1, 24), [queued], Span(NOW, NOW + HOUR), UTC)
    assert not exhausted(rolling(1, 6), [queued], Span(NOW, NOW + HOUR), UTC)


def test_the_limit_is_a_count() -> None:
    """With a limit of three, two contacts leave a slot."""
    cap = rolling(3, 24)
    contacts = [contact(NOW - i * HOUR) for i in range(3)]
    assert not exhausted(cap, contacts[:2], Span(NOW, NOW), UTC)
    assert exhausted(cap, contacts, Span(NOW, NOW), UTC)


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
    [(start, end)] = calendar_windows(CalendarUnit.DAY, Span(noon, noon), BERLIN)
    assert (end - start) / HOUR == hours


def test_the_repeated_hour_is_two_windows() -> None:
    """02:30 happens twice on 25 October 2026; each has an hour of its own."""
    first = at("2026-10-25T02:30")
    second = first + HOUR
    assert not exhausted(
        FrequencyCap("c", 1, calendar=CalendarUnit.HOUR), [contact(first)], Span(second, second), BERLIN
    )


@pytest.mark.parametrize(
    "changes", [{"channel": "sms"}, {"program": "q"}, {"message": "n"}, {"tags": frozenset({"service"})}]
)
def test_a_scope_counts_its_own_contacts_only(changes: dict[str, object]) -> None:
    """A cap on channel, program, message and tag together is not touched by a contact that differs in one."""
    scope = Scope(channel="email", program="p", message="m", tag="promo")
    assert exhausted(rolling(1, 24, scope), [contact(NOW)], Span(NOW, NOW), UTC)
    assert not exhausted(rolling(1, 24, scope), [contact(NOW, **changes)], Span(NOW, NOW), UTC)


def test_a_scope_binds_its_own_actions_only() -> None:
    """An SMS cap does not concern an e-mail."""
    email = Action("a", "email", "m", frozenset({"promo"}))
    assert applies(Scope(), "p", email)
    assert applies(Scope(channel="email", program="p", message="m", tag="promo"), "p", email)
    for other in (Scope(channel="sms"), Scope(program="q"), Scope(message="n"), Scope(tag="service")):
        assert not applies(other, "p", email)


def test_a_lapsed_lease_holds_nothing() -> None:
    """A reservation counts until its lease and the grace for its report end, and not after."""
    reserved = contact(NOW, NOW + HOUR)
    assert holding([reserved], NOW + HOUR + REPORT_GRACE_MS) == [reserved]
    assert holding([reserved], NOW + HOUR + REPORT_GRACE_MS + 1) == []
    assert holding([contact(NOW)], NOW + 1000 * DAY_MS) == [contact(NOW)]


def test_what_no_cap_can_count_is_dropped() -> None:
    """Contacts older than the longest window go, at least 35 days are kept; lapsed ones go after a day."""
    old, older = contact(NOW - 36 * DAY_MS), contact(NOW - 91 * DAY_MS)
    lapsed, new = contact(NOW - 3 * DAY_MS, NOW - 2 * DAY_MS), contact(NOW)
    assert droppable([old, older, lapsed, new], [rolling(1, 24)], NOW) == [
        old.decision_id,
        older.decision_id,
        lapsed.decision_id,
    ]
    assert droppable([old, older, new], [rolling(1, 90 * 24)], NOW) == [older.decision_id]
    assert droppable([old, new], [rolling(1, 24)], NOW + 20_000 * DAY_MS) == [old.decision_id]


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
        if not exhausted(cap, contacts, Span(now, now + lease), BERLIN):
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
            one, other = (calendar_windows(cap.calendar, Span(t, t), BERLIN)[0] for t in (sent[first], sent[last]))
            assert one != other
