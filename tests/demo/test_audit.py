"""The audit of a simulation, on rows written by hand."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from decision_service.audit import SentContact, cap_violations
from decision_service.core.program import Action, CalendarUnit, FrequencyCap, Scope
from decision_service.demo.audit import Earned, group_values, oracle_value

MAIL = Action("mail", "email", "offer", tags=frozenset({"promo"}))
TEXT = Action("text", "sms", "offer")
HOUR_MS = 3_600_000


def at(text: str, zone: str = "Europe/Berlin") -> int:
    """UTC epoch milliseconds of a wall-clock time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def sent(
    at_ms: int, action: Action = MAIL, program: str = "p", customer: str = "c", zone: str = "Europe/Berlin"
) -> SentContact:
    """A contact."""
    return SentContact(customer, program, action, at_ms, zone)


def test_a_rolling_window_is_open_at_its_far_end() -> None:
    """Contacts exactly one window apart do not share it; a millisecond closer, they do."""
    cap = FrequencyCap("daily", 1, window_s=86_400)
    assert cap_violations([sent(0), sent(86_400_000)], [cap]) == []
    assert cap_violations([sent(0), sent(86_399_999)], [cap]) == ["c: daily exceeded at 86399999"]


def test_every_contact_beyond_the_limit_counts() -> None:
    """Five contacts under a limit of three are two violations, in whatever order they are listed."""
    cap = FrequencyCap("weekly", 3, window_s=7 * 86_400)
    assert len(cap_violations([sent(i * HOUR_MS) for i in (4, 2, 0, 1, 3)], [cap])) == 2


def test_customers_are_counted_apart() -> None:
    """One contact each of two customers exceeds nothing."""
    assert cap_violations([sent(0), sent(1, customer="d")], [FrequencyCap("daily", 1, window_s=86_400)]) == []


def test_a_calendar_day_is_the_customers() -> None:
    """Half an hour apart over local midnight are two days; the same in one zone may be one day in another."""
    cap = FrequencyCap("day", 1, calendar=CalendarUnit.DAY)
    times = (at("2026-03-10T23:45:00"), at("2026-03-11T00:15:00"))
    assert cap_violations([sent(t) for t in times], [cap]) == []
    assert len(cap_violations([sent(t, zone="Europe/London") for t in times], [cap])) == 1


def test_a_week_starts_on_monday() -> None:
    """Sunday and Monday are two weeks; Monday and the Sunday after are one."""
    cap = FrequencyCap("week", 1, calendar=CalendarUnit.WEEK)
    sunday, monday, next_sunday = at("2026-03-08T12:00:00"), at("2026-03-09T12:00:00"), at("2026-03-15T12:00:00")
    assert cap_violations([sent(sunday), sent(monday)], [cap]) == []
    assert len(cap_violations([sent(monday), sent(next_sunday)], [cap])) == 1


@pytest.mark.parametrize(
    ("scope", "violations"),
    [
        (Scope(), 1),
        (Scope(channel="email"), 0),
        (Scope(message="offer"), 1),
        (Scope(tag="promo"), 0),
        (Scope(program="p"), 0),
        (Scope(program="q", channel="sms"), 0),
    ],
)
def test_only_contacts_in_scope_count(scope: Scope, violations: int) -> None:
    """An e-mail of p and a text of q, both with the same message, against one a day in each scope."""
    contacts = [sent(0, MAIL, "p"), sent(1, TEXT, "q")]
    assert len(cap_violations(contacts, [FrequencyCap("cap", 1, window_s=86_400, scope=scope)])) == violations


def earned(group: str, customer: str, reward: float, best: float = 0.0) -> Earned:
    """A matured decision."""
    return Earned("d", customer, "p", group, 0, reward, best, 0.0)


def test_group_means_rest_on_customers() -> None:
    """Ten equal decisions of one customer say no more than one: the interval is wider than by decisions."""
    clustered = [earned("TREATMENT", f"c{i}", float(i % 2)) for i in range(10) for _ in range(10)]
    spread = [earned("TREATMENT", f"c{i}", float(i % 2)) for i in range(100)]
    wide, narrow = group_values(clustered)["TREATMENT"], group_values(spread)["TREATMENT"]
    assert wide.mean == narrow.mean == 0.5
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_the_oracle_is_asked_about_treatment_only() -> None:
    """The oracle's value is the mean of the best of TREATMENT's decisions."""
    decisions = [earned("TREATMENT", "a", 0, 0.4), earned("TREATMENT", "b", 0, 0.2), earned("HOLDOUT", "c", 0, 0.9)]
    assert oracle_value(decisions) == pytest.approx(0.3)
    assert set(group_values(decisions)) == {"TREATMENT", "HOLDOUT"}
