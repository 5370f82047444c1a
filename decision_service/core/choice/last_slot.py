"""The price of a customer's last slots: what is due soon, and would find none if an action took it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from decision_service.core.guardrails.caps import Span, binds, remaining
from decision_service.core.guardrails.quiet_hours import applicable, ends_at_ms, zone_named
from decision_service.core.guardrails.shrink import Feasible
from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.program import Action, ContactPolicy, FrequencyCap, Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Exclusion


@dataclass(frozen=True, slots=True)
class Opening:
    """An action that is not allowed now, and when what excludes it has passed by itself."""

    action: Action
    at_ms: int


@dataclass(frozen=True, slots=True)
class Due:
    """An action that is not allowed now but soon will be, the span in which it would be sent, and its discounted
    score."""

    program: Program
    action: Action
    span: Span
    score: float


def openings(
    program: Program, policy: ContactPolicy, exclusions: Sequence[Exclusion], zone_name: str, now_ms: int
) -> list[Opening]:
    """The excluded actions that start, or leave quiet hours, within the policy's `due_within_s`, and are not over by
    then."""
    actions = {action.id: action for action in program.actions}
    latest_ms = now_ms + policy.arbitration.due_within_s * 1000
    quiet_until: dict[str, int | None] = {}
    found = []
    for exclusion in exclusions:
        action = actions[exclusion.action]
        at_ms: int | None = None
        if exclusion.reason is Reason.NOT_STARTED:
            at_ms = max(program.starts_at_ms or 0, action.starts_at_ms or 0)
        elif exclusion.reason is Reason.QUIET_HOURS:
            if action.channel not in quiet_until:
                quiet_until[action.channel] = _quiet_until_ms(program, policy, action.channel, zone_name, now_ms)
            at_ms = quiet_until[action.channel]
        if at_ms is not None and at_ms <= latest_ms and not _is_over(program, action, at_ms):
            found.append(Opening(action, at_ms))
    return found


def _quiet_until_ms(program: Program, policy: ContactPolicy, channel: str, zone_name: str, now_ms: int) -> int | None:
    zone = zone_named(zone_name)
    if zone is None:
        return None
    quiet = applicable((*policy.quiet_hours, *program.quiet_hours), channel)
    return max((end for q in quiet if (end := ends_at_ms(q, now_ms, zone)) is not None), default=None)


def _is_over(program: Program, action: Action, at_ms: int) -> bool:
    return any(ends_ms is not None and ends_ms <= at_ms for ends_ms in (program.ends_at_ms, action.ends_at_ms))


def slot_prices(
    program: Program,
    offered: Sequence[Feasible],
    due: Sequence[Due],
    contacts: Sequence[Contact],
    zone_name: str,
    now_ms: int,
) -> list[float]:
    """What each action pays, in the workspace's currency: the best score among the due actions to which a cap of its
    `last_slots` has none left once it is sent, at least 0.

    contacts: all of the customer's.
    """
    best_first = sorted((d for d in due if d.score > 0), key=lambda d: d.score, reverse=True)
    zone = zone_named(zone_name) or UTC
    known: dict[tuple[int, Span], float] = {}
    prices = []
    for feasible in offered:
        price = 0.0
        for cap in feasible.last_slots:
            key = id(cap), feasible.span
            if key not in known:
                after = [*contacts, _sent(program.name, feasible)]
                known[key] = _price(cap, best_first, after, zone, now_ms)
            price = max(price, known[key])
        prices.append(price)
    return prices


def _price(
    cap: FrequencyCap, best_first: Sequence[Due], contacts: Sequence[Contact], zone: tzinfo, now_ms: int
) -> float:
    deprives: dict[Span, bool] = {}
    for due in best_first:
        if binds(cap, due.program.name, due.action):
            if due.span not in deprives:
                deprives[due.span] = remaining(cap, contacts, due.span, zone, now_ms) <= 0
            if deprives[due.span]:
                return due.score
    return 0.0


def _sent(program: str, feasible: Feasible) -> Contact:
    action, at_ms = feasible.action, feasible.span.from_ms
    return Contact(
        decision_id="",
        program=program,
        action=action.id,
        message=action.message,
        channel=action.channel,
        tags=action.tags,
        status=ContactStatus.SENT,
        from_ms=at_ms,
        until_ms=at_ms,
    )
