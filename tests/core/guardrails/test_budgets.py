"""Budgets by hand: who takes what, of which period, and how much is allowed by when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from decision_service.core.guardrails.budgets import (
    budget_of,
    ends,
    exhausted,
    kinds_of,
    level_keys,
    limit_of,
    period_bounds,
    tokens,
)
from decision_service.core.model.program import (
    NO_ACTION_ACTION,
    Action,
    Budget,
    BudgetPeriod,
    ContactPolicy,
    GroupShares,
    Program,
    QuietHours,
    Scope,
    WhenQuiet,
)
from decision_service.core.model.record import Token
from decision_service.core.model.reward import RewardDefinition

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

EMAIL = Action("offer_email", "email", "offer", tags=frozenset({"promo"}), cost_micros=2_000)
SMS = Action("offer_sms", "sms", "offer", tags=frozenset({"promo"}), cost_micros=70_000)
PUSH = Action("news_push", "push", "news")


def at(text: str, zone: str = "UTC") -> int:
    """Epoch milliseconds of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def program(*budgets: Budget, actions: tuple[Action, ...] = (EMAIL, SMS, PUSH), name: str = "p") -> Program:
    """A program of three channels."""
    return Program(
        name, 1, "customer_v1", actions, RewardDefinition({"buy": 1.0}, 60), GroupShares(name), budgets=budgets
    )


NOON = at("2026-03-10T12:00")


def test_each_budget_in_scope_takes_one_token() -> None:
    """The policy's first; contacts count one, money what the action costs; what costs nothing takes nothing."""
    policy = ContactPolicy(
        budgets=(
            Budget("all", 10, period=BudgetPeriod.DAY),
            Budget("sms", 10, scope=Scope(channel="sms")),
            Budget("money", 10, in_money=True, period=BudgetPeriod.DAY),
        )
    )
    own = program(
        Budget("promo", 10, scope=Scope(tag="promo")),
        Budget("this", 10, scope=Scope(action="offer_sms")),
        Budget("other", 10, scope=Scope(program="q")),
    )
    assert tokens(policy, own, SMS, NOON) == (
        Token("/all", "day:2026-03-10", 1),
        Token("/sms", "total", 1),
        Token("/money", "money-day:2026-03-10", 70_000),
        Token("p/promo", "total", 1),
        Token("p/this", "total", 1),
    )
    assert tokens(policy, own, PUSH, NOON) == (Token("/all", "day:2026-03-10", 1),)
    assert tokens(policy, own, NO_ACTION_ACTION, NOON) == ()
    assert [budget_of(policy, own, t).id for t in tokens(policy, own, EMAIL, NOON)] == ["all", "money", "promo"]


def test_policy_and_program_budgets_of_one_id_are_two_counters() -> None:
    """Also those of two programs; a budget of the policy is one counter for all programs."""
    policy = ContactPolicy(budgets=(Budget("b", 10),))
    p, q = program(Budget("b", 5)), program(Budget("b", 5), name="q")
    assert [t.key for t in tokens(policy, p, EMAIL, NOON)] == ["/b@total", "p/b@total"]
    assert [t.key for t in tokens(policy, q, EMAIL, NOON)] == ["/b@total", "q/b@total"]


@pytest.mark.parametrize(
    ("period", "moment", "zone", "name", "start", "end"),
    [
        ("hour", "2026-03-10T12:34", "UTC", "hour:2026-03-10T12:00+00:00", "2026-03-10T12:00", "2026-03-10T13:00"),
        ("day", "2026-03-29T12:00", "Europe/Berlin", "day:2026-03-29", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("day", "2026-03-10T23:59", "Asia/Tokyo", "day:2026-03-10", "2026-03-10T00:00", "2026-03-11T00:00"),
        ("week", "2026-03-10T12:00", "UTC", "week:2026-03-08", "2026-03-08T00:00", "2026-03-15T00:00"),
        ("month", "2026-02-28T23:00", "Europe/Berlin", "month:2026-02-01", "2026-02-01T00:00", "2026-03-01T00:00"),
    ],
)
def test_periods_follow_the_budgets_calendar(
    period: str, moment: str, zone: str, name: str, start: str, end: str
) -> None:
    """In its own zone, weeks from its own first day (here Sunday); the end is not part of it."""
    budget = Budget("b", 1, period=BudgetPeriod(period), timezone=zone, week_starts=6)
    expected = (name, at(start, zone), at(end, zone))
    assert period_bounds(budget, at(moment, zone)) == expected
    assert period_bounds(budget, expected[1]) == expected
    assert period_bounds(budget, expected[2] - 1) == expected
    assert period_bounds(budget, expected[2])[1] == expected[2]
    assert ends(Token("/b", name, 1))


def test_a_day_of_daylight_saving_is_shorter_and_the_repeated_hour_is_two_periods() -> None:
    """23 hours in March; in October the hour from two to three comes twice, under two names."""
    day = Budget("b", 1, period=BudgetPeriod.DAY, timezone="Europe/Berlin")
    _, start, end = period_bounds(day, at("2026-03-29T12:00", "Europe/Berlin"))
    assert end - start == 23 * HOUR_MS
    hour = replace(day, period=BudgetPeriod.HOUR)
    first = at("2026-10-25T02:30", "Europe/Berlin")
    assert period_bounds(hour, first)[0] == "hour:2026-10-25T02:00+02:00"
    assert period_bounds(hour, first + HOUR_MS)[0] == "hour:2026-10-25T02:00+01:00"


def test_a_total_never_ends_and_units_never_mix() -> None:
    """A budget that changes from contacts to money starts a counter of its own."""
    contacts = Budget("b", 1)
    money = replace(contacts, in_money=True)
    assert [period_bounds(b, NOON)[0] for b in (contacts, money)] == ["total", "money-total"]
    assert period_bounds(contacts, NOON)[1] == 0
    assert period_bounds(contacts, NOON)[2] > NOON + 5_000 * 365 * DAY_MS
    assert not any(ends(Token("/b", name, 1)) for name in ("total", "money-total"))


def test_an_exhausted_budget_is_the_first_without_room_for_its_token() -> None:
    """Up to the limit, counting the token itself; a level that was never written is 0."""
    policy = ContactPolicy(budgets=(Budget("all", 3), Budget("money", 100_000, in_money=True, period=BudgetPeriod.DAY)))
    own = program()
    taken = tokens(policy, own, SMS, NOON)
    count, money = (t.key for t in taken)

    def first(levels: dict[str, int]) -> str | None:
        budget = exhausted(policy, own, taken, levels, NOON)
        return None if budget is None else budget.id

    assert first({}) is None
    assert first({count: 2, money: 30_000}) is None
    assert first({count: 3}) == "all"
    assert first({count: 2, money: 30_001}) == "money"
    assert first({count: 9, money: 90_000}) == "all"


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [
        ("2026-03-10T00:00", 0),
        ("2026-03-10T00:01", 1),
        ("2026-03-10T06:00", 25),
        ("2026-03-10T06:01", 26),
        ("2026-03-10T12:00", 50),
        ("2026-03-10T23:59", 100),
    ],
)
def test_a_paced_budget_allows_the_share_of_the_day_that_has_passed(moment: str, allowed: int) -> None:
    """Rounded up, so that the first contact need not wait; what is queued is judged by its time of sending."""
    policy = ContactPolicy(budgets=(Budget("b", 100, period=BudgetPeriod.DAY, paced=True),))
    own, send_ms = program(), at(moment)
    taken = tokens(policy, own, EMAIL, send_ms)
    assert limit_of(policy, own, taken[0], send_ms) == allowed
    if allowed:
        assert exhausted(policy, own, taken, {taken[0].key: allowed - 1}, send_ms) is None
    assert exhausted(policy, own, taken, {taken[0].key: allowed}, send_ms) == policy.budgets[0]


def test_pacing_follows_the_true_length_of_the_day() -> None:
    """At noon of the day that loses an hour, 11 of 23 hours have passed. A total has no pace."""
    policy = ContactPolicy(
        budgets=(
            Budget("b", 2_300, period=BudgetPeriod.DAY, timezone="Europe/Berlin", paced=True),
            Budget("t", 7, paced=True),
        )
    )
    noon = at("2026-03-29T12:00", "Europe/Berlin")
    assert [limit_of(policy, program(), t, noon) for t in tokens(policy, program(), EMAIL, noon)] == [1_100, 7]


def test_large_limits_are_paced_exactly() -> None:
    """In whole numbers, where floating point would be off."""
    policy = ContactPolicy(budgets=(Budget("b", 9 * 10**15 + 1, in_money=True, period=BudgetPeriod.DAY, paced=True),))
    own = program()
    (token,) = tokens(policy, own, EMAIL, NOON)
    assert limit_of(policy, own, token, NOON) == 45 * 10**14 + 1


def test_only_budgets_that_can_concern_the_program_are_read() -> None:
    """Of the current periods; none at all without budgets."""
    policy = ContactPolicy(
        budgets=(
            Budget("all", 9, period=BudgetPeriod.DAY),
            Budget("fax", 9, scope=Scope(channel="fax")),
            Budget("other", 9, scope=Scope(program="q")),
        )
    )
    own = program(Budget("b", 9, in_money=True, period=BudgetPeriod.MONTH))
    assert level_keys(policy, own, NOON) == ("/all@day:2026-03-10", "p/b@money-month:2026-03-01")
    assert level_keys(policy, program(actions=(PUSH,)), NOON) == ("/all@day:2026-03-10",)
    assert level_keys(ContactPolicy(), program(), NOON) == ()


def test_where_quiet_hours_queue_the_next_periods_are_read_too() -> None:
    """Whatever is queued within a day finds the level of its period, as to days within a week; discarding quiet hours
    queue nothing."""
    night = QuietHours("night", 22 * 60, 8 * 60, frozenset({"sms"}), WhenQuiet.QUEUE)
    policy = ContactPolicy(
        budgets=(
            Budget("day", 9, period=BudgetPeriod.DAY),
            Budget("hour", 9, period=BudgetPeriod.HOUR),
            Budget("total", 9),
        ),
        quiet_hours=(night,),
    )
    keys = level_keys(policy, program(), NOON)
    for hours in range(25):
        send_ms = NOON + hours * HOUR_MS
        assert {t.key for t in tokens(policy, program(), SMS, send_ms)} <= set(keys)
    for days in range(8):
        assert tokens(policy, program(), SMS, NOON + days * DAY_MS)[0].key in keys
    assert len(keys) == len(set(keys)) == 8 + 25 + 1
    discards = replace(policy, quiet_hours=(replace(night, when_quiet=WhenQuiet.DISCARD),))
    assert len(level_keys(discards, program(), NOON)) == 3
    assert len(level_keys(policy, program(actions=(EMAIL, PUSH)), NOON)) == 3


def test_actions_that_take_the_same_are_of_one_kind() -> None:
    """So that a budget is judged once for all of them."""
    policy = ContactPolicy(budgets=(Budget("all", 9), Budget("sms", 9, scope=Scope(channel="sms"))))
    twin = replace(EMAIL, id="twin")
    own = program(actions=(EMAIL, SMS, PUSH, twin))
    kinds = kinds_of(policy, own)
    assert kinds["offer_email"] == kinds["twin"] == kinds["news_push"] != kinds["offer_sms"]
    for a in own.actions:
        for b in own.actions:
            assert (kinds[a.id] == kinds[b.id]) == (tokens(policy, own, a, NOON) == tokens(policy, own, b, NOON))


def test_a_new_version_has_its_own_budgets() -> None:
    """What is remembered of one version is not said of another."""
    policy = ContactPolicy(budgets=(Budget("all", 9),))
    before, after = program(Budget("b", 1)), program(Budget("b", 2))
    for own, limit in ((before, 1), (after, 2), (before, 1)):
        assert [limit_of(policy, own, t, NOON) for t in tokens(policy, own, EMAIL, NOON)] == [9, limit]
    assert tokens(ContactPolicy(), before, EMAIL, NOON) == (Token("p/b", "total", 1),)
