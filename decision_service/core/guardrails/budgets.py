"""Volume constraints: which tokens a contact takes from which budgets, and how much of them may be taken by when.

A contact belongs to the period it is planned to be sent in: what quiet hours queue for tomorrow takes of tomorrow's
budget. The counters themselves are behind the `Budgets` port; nothing here counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from decision_service.core.guardrails.caps import applies, calendar_window
from decision_service.core.guardrails.quiet_hours import applicable
from decision_service.core.model.program import (
    Action,
    Budget,
    BudgetPeriod,
    CalendarUnit,
    ContactPolicy,
    Program,
    WhenQuiet,
)
from decision_service.core.model.record import Token

_TOTAL = BudgetPeriod.TOTAL.value
_MONEY = "money-"

END_OF_TIME_MS = 253_402_300_800_000  # the year 10000

QUEUED_AHEAD_MS = {**dict.fromkeys(BudgetPeriod, 7 * 86_400_000), BudgetPeriod.HOUR: 86_400_000}
"""How far ahead `level_keys` looks where quiet hours queue: past long weekends, but not hour by hour. What is queued
for later still is judged when taken."""


@dataclass(frozen=True, slots=True)
class _Bindings:
    """Which budgets concern which action, the same for every customer."""

    program: Program
    policy: ContactPolicy
    budgets: Mapping[str, Budget]  # `Token.budget` → those that concern any action of the program
    amounts: Mapping[str, tuple[tuple[str, int], ...]]  # action id → `Token.budget`, amount
    kinds: Mapping[str, int]  # see `kinds_of`
    is_queued: bool  # whether quiet hours may move what the program sends to later

    @classmethod
    def of(cls, program: Program, policy: ContactPolicy) -> _Bindings:
        """Remembered by identity: versions are immutable, but hold mappings and so do not hash."""
        key = (id(program), id(policy))
        known = _bindings.get(key)
        if known is not None:
            return known
        named = {f"/{b.id}": b for b in policy.budgets} | {f"{program.name}/{b.id}": b for b in program.budgets}
        amounts = {
            action.id: tuple(
                (name, amount)
                for name, budget in named.items()
                if applies(budget.scope, program.name, action) and (amount := _amount(budget, action)) > 0
            )
            for action in program.actions
        }
        numbers = {taken: number for number, taken in enumerate(set(amounts.values()))}
        concerned = {name for taken in amounts.values() for name, _ in taken}
        quiet = (*policy.quiet_hours, *program.quiet_hours)
        made = cls(
            program,
            policy,
            {name: budget for name, budget in named.items() if name in concerned},
            amounts,
            {action: numbers[taken] for action, taken in amounts.items()},
            any(
                q.when_quiet is WhenQuiet.QUEUE
                for action in program.actions
                if amounts[action.id]
                for q in applicable(quiet, action.channel)
            ),
        )
        if len(_bindings) >= _MOST_BINDINGS:
            _bindings.clear()
        _bindings[key] = made
        return made


_MOST_BINDINGS = 1024
_bindings: dict[tuple[int, int], _Bindings] = {}


def tokens(policy: ContactPolicy, program: Program, action: Action, send_ms: int) -> tuple[Token, ...]:
    """What a contact by the action, sent at `send_ms`, takes: one token of each budget that concerns it.

    The policy's budgets come first, in the order of the documents. NO_ACTION, and an action without cost as to
    budgets in money, take none.
    """
    bound = _Bindings.of(program, policy)
    return tuple(
        Token(name, period_bounds(bound.budgets[name], send_ms)[0], amount)
        for name, amount in bound.amounts.get(action.id, ())
    )


def kinds_of(policy: ContactPolicy, program: Program) -> Mapping[str, int]:
    """Action id → the same number for all that take the same tokens, so that one can be judged for all of them."""
    return _Bindings.of(program, policy).kinds


def budget_of(policy: ContactPolicy, program: Program, token: Token) -> Budget:
    """The budget that a token is taken from.

    Raises:
        KeyError: these versions have no such budget for an action of the program.
    """
    return _Bindings.of(program, policy).budgets[token.budget]


def limit_of(policy: ContactPolicy, program: Program, token: Token, send_ms: int) -> int:
    """How much may have been taken of the token's period once it is taken too, for a contact sent at `send_ms`.

    A paced budget allows the share of its limit that corresponds to the share of the period which will have passed
    by the time of sending, rounded up: a message queued for noon may take what is allowed by noon, whenever it is
    decided. What is queued so counts at once, and leaves that much less to what is sent before.
    """
    budget = budget_of(policy, program, token)
    if not budget.paced or budget.period is BudgetPeriod.TOTAL:
        return budget.limit
    _, start_ms, end_ms = period_bounds(budget, send_ms)
    return -(-budget.limit * (send_ms - start_ms) // (end_ms - start_ms))


def exhausted(
    policy: ContactPolicy, program: Program, taken: Sequence[Token], levels: Mapping[str, int], send_ms: int
) -> Budget | None:
    """The first budget that has too little left for its token; None if the contact fits all of them.

    taken: `tokens` of the contact. levels: `Token.key` → what was taken before; absent is 0.
    """
    for token in taken:
        if levels.get(token.key, 0) + token.amount > limit_of(policy, program, token, send_ms):
            return budget_of(policy, program, token)
    return None


def level_keys(policy: ContactPolicy, program: Program, now_ms: int) -> tuple[str, ...]:
    """The counters (`Token.key`) that deciding on the program at `now_ms` depends on; none without budgets.

    Those of the current periods; where quiet hours may queue, those of every period within QUEUED_AHEAD_MS too.
    """
    bound = _Bindings.of(program, policy)
    keys = []
    for name, budget in bound.budgets.items():
        at_ms, until_ms = now_ms, now_ms + (QUEUED_AHEAD_MS[budget.period] if bound.is_queued else 0)
        while at_ms <= until_ms:
            period, _, at_ms = period_bounds(budget, at_ms)
            keys.append(f"{name}@{period}")
    return tuple(keys)


def period_bounds(budget: Budget, at_ms: int) -> tuple[str, int, int]:
    """The budget's period at a time: its name, unique within the budget, and [start_ms, end_ms).

    The name is `total`; or the unit and the local start, such as `day:2026-03-29` or `hour:2026-10-25T02:00+01:00`.
    Money and contacts never share a counter: the names of periods in money begin with `money-`.
    """
    name, start_ms, end_ms = _bounds(budget.period, budget.timezone, budget.week_starts, at_ms // 60_000)
    return (f"{_MONEY}{name}" if budget.in_money else name), start_ms, end_ms


def ends(token: Token) -> bool:
    """Whether the token's period is ever over."""
    return token.period.removeprefix(_MONEY) != _TOTAL


@lru_cache(maxsize=4096)
def _bounds(period: BudgetPeriod, timezone: str, week_starts: int, minute: int) -> tuple[str, int, int]:
    """By the minute, which no period begins within: offsets of zones are whole minutes since 1972."""
    if period is BudgetPeriod.TOTAL:
        return _TOTAL, 0, END_OF_TIME_MS
    zone = ZoneInfo(timezone)
    at_ms = minute * 60_000
    start_ms, end_ms = calendar_window(CalendarUnit(period.value), at_ms, zone, week_starts)
    start = datetime.fromtimestamp(start_ms / 1000, zone)
    local = start.isoformat(timespec="minutes") if period is BudgetPeriod.HOUR else start.date().isoformat()
    return f"{period.value}:{local}", start_ms, end_ms


def _amount(budget: Budget, action: Action) -> int:
    return action.cost_micros if budget.in_money else 1
