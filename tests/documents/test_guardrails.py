"""Guardrails as people write them: what each form becomes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.model.program import (
    ALL_CAPS,
    Arbitration,
    Budget,
    BudgetPeriod,
    CapCounts,
    ContactPolicy,
    Exploration,
    ExplorationKind,
    FrequencyCap,
    PauseOf,
    PauseRule,
    Program,
    Scope,
)
from decision_service.documents import holiday_calendars, normalise, parse_contact_policy, parse_program

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
HEAD = """
name: welcome
features: {service: customer_v1}
reward: {outcomes: {visit: 1}, window: 1d}
"""
ACTIONS = "actions: [{id: hello, channel: email, message: hello, cost: 0.01}]\n"


def program(text: str, actions: str = ACTIONS) -> Program:
    return parse_program(HEAD + actions + text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gap: 4h", FrequencyCap("c", 1, window_s=14_400)),
        ("limit: 3, rolling: 7d, counts: reserved", FrequencyCap("c", 3, 604_800, counts=CapCounts.RESERVED)),
        ("gap: 1d, counts: delivered", FrequencyCap("c", 1, 86_400, counts=CapCounts.DELIVERED)),
        ("gap: 1h, scope: {program: this}", FrequencyCap("c", 1, 3_600, scope=Scope(program="welcome"))),
        (
            "gap: 1h, scope: {action: hello}",
            FrequencyCap("c", 1, 3_600, scope=Scope(program="welcome", action="hello")),
        ),
    ],
)
def test_caps(written: str, meant: FrequencyCap) -> None:
    """A gap is a rolling window with limit 1; an action in a scope is one of this program."""
    assert program(f"caps: [{{id: c, {written}}}]").caps == (meant,)


@pytest.mark.parametrize(("day", "number"), [("monday", 0), ("sun", 6), ("wednesday", 2)])
def test_weeks_start_on_any_day(day: str, number: int) -> None:
    """Whole names or their first three letters."""
    made = program(
        f"caps: [{{id: c, limit: 1, calendar: week, week_starts: {day}}}]\n"
        f"budgets: [{{id: b, limit: 1, per: week, week_starts: {day}}}]\n"
    )
    assert (made.caps[0].week_starts, made.budgets[0].week_starts) == (number, number)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("limit: 10000", Budget("b", 10_000)),
        ("money: 0.000001", Budget("b", 1, in_money=True)),
        (
            "money: 5000.00, per: day, timezone: Europe/Berlin, pace: even",
            Budget("b", 5_000_000_000, True, BudgetPeriod.DAY, timezone="Europe/Berlin", paced=True),
        ),
        (
            "limit: 5, per: month, scope: {program: this, action: hello}",
            Budget("b", 5, period=BudgetPeriod.MONTH, scope=Scope(program="welcome", action="hello")),
        ),
    ],
)
def test_budgets(written: str, meant: Budget) -> None:
    """Contacts, or money in millionths, in all or per period."""
    assert program(f"budgets: [{{id: b, {written}}}]").budgets == (meant,)


def test_the_contact_policy_has_budgets_of_programs() -> None:
    """Its scopes name any program."""
    policy = parse_contact_policy("budgets: [{id: b, limit: 5, scope: {program: welcome, channel: sms}}]")
    assert policy.budgets == (Budget("b", 5, scope=Scope(channel="sms", program="welcome")),)


@given(st.integers(0, 10**15))
def test_money_is_exact(micros: int) -> None:
    """Every amount with six decimals comes out as written, in YAML and in the canonical JSON that is published."""
    amount = f"{Decimal(micros) / 1_000_000:f}"
    text = f"{HEAD}actions: [{{id: hello, channel: email, message: hello, cost: {amount}}}]"
    assert parse_program(text).actions[0].cost_micros == micros
    assert parse_program(normalise(text)).actions[0].cost_micros == micros


def test_actions_and_caps() -> None:
    """`all` or some caps do not stop an action; shares become fractions."""
    made = program(
        "",
        """
actions:
  - {id: a, channel: email, message: m, ignores_caps: all, counts_toward_caps: false}
  - {id: b, channel: email, message: m, ignores_caps: [week, of_the_policy], lever: 0.5}
  - {id: c, channel: email, message: m, ignores_caps: [], min_share: 2.5%, max_share: 50%}
""",
    )
    a, b, c = made.actions
    assert (a.ignores_caps, a.counts_toward_caps) == ({ALL_CAPS}, False)
    assert (b.ignores_caps, b.counts_toward_caps, b.lever) == ({"week", "of_the_policy"}, True, 0.5)
    assert (c.ignores_caps, c.min_share, c.max_share) == (frozenset(), 0.025, 0.5)


def test_quiet_days() -> None:
    """Weekends and holidays may be quiet all day."""
    (quiet,) = parse_contact_policy(
        'quiet_hours: [{id: q, from: 00:00, to: "24:00", days: [sat, sunday], holidays: DE-BY}]'
    ).quiet_hours
    assert (quiet.start_minute, quiet.end_minute) == (0, 1440)
    assert (quiet.weekdays, quiet.holiday_calendar) == ({5, 6}, "DE-BY")
    assert {date(2026, 1, 6), date(2026, 12, 25), date(2060, 12, 25)} <= quiet.holidays
    assert date(2026, 1, 7) not in quiet.holidays


def test_holidays_differ_by_country_and_part() -> None:
    """Epiphany is one in Bavaria only; the fourth of July in the United States; the years are fixed."""
    epiphany, fourth = date(2026, 1, 6), date(2026, 7, 4)
    assert epiphany in holiday_calendars.dates("DE-BY") - holiday_calendars.dates("DE")
    assert fourth in holiday_calendars.dates("US") - holiday_calendars.dates("DE")
    assert {day.year for day in holiday_calendars.dates("US")} == set(holiday_calendars.YEARS)


def test_holidays_that_are_known_for_fewer_years_are_no_mistake() -> None:
    """Some of India's are known until 2035; that is not even a warning."""
    assert date(2060, 1, 26) in holiday_calendars.dates("IN")


def test_pauses_and_arbitration() -> None:
    """Each becomes the core's; pauses are by channel unless said otherwise."""
    policy = parse_contact_policy("""
pause_on:
  - {id: p, outcome: dismiss, count: 3, within: 7d, for: 30d}
  - {id: q, outcome: complaint, count: 1, within: 1d, for: 90d, pauses: all}
arbitration: {exploration: {kind: softmax, temperature: 2, floor: 0.1}, due_within: 1d, due_discount: 0.5}
""")
    assert policy == ContactPolicy(
        pauses=(
            PauseRule("p", "dismiss", 3, 7 * 86_400, 30 * 86_400),
            PauseRule("q", "complaint", 1, 86_400, 90 * 86_400, PauseOf.ALL),
        ),
        arbitration=Arbitration(
            Exploration(ExplorationKind.SOFTMAX, temperature=2.0, floor=0.1), due_within_s=86_400, due_discount=0.5
        ),
    )


def test_how_a_program_competes_and_explores() -> None:
    """Value, priority and the cap on actions with little data."""
    made = program("value: 12.5\npriority: -10\nexploration: {low_data: {below: 200, max_share: 10%}}")
    assert (made.value, made.priority) == (12.5, -10)
    assert (made.exploration.low_data_below, made.exploration.low_data_max_share) == (200, 0.1)
