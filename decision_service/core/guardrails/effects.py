"""What outcomes and suppressions do to a customer's state at once, before anything is joined or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from decision_service.core.guardrails.pauses import begun, counters, paused
from decision_service.core.model.customer import (
    ALL_CHANNELS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.program import Action, ContactPolicy, PauseRule
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Event, Exclusion, Outcome
from decision_service.core.model.sending import Change, Confirmation, Preference, PreferenceKind, Verdict

CLOCK_TOLERANCE_MS = 60_000
"""By how much a runner's clock may differ from the server's."""


def refuse_future(field: str, occurred: Sequence[Outcome | Event], now_ms: int) -> None:
    """What has not happened yet would hold its place in counters and windows for ever.

    Raises:
        InvalidRequest: naming each that occurred after `now_ms`, beyond the tolerance.
    """
    violations = [
        Violation(f"{field}[{i}].occurred_at_ms", f"{one.occurred_at_ms} lies in the future; the time is {now_ms}")
        for i, one in enumerate(occurred)
        if one.occurred_at_ms > now_ms + CLOCK_TOLERANCE_MS
    ]
    if violations:
        raise InvalidRequest(violations)


@dataclass(frozen=True, slots=True)
class Effects:
    """What an outcome does at once, besides being logged and counted under its own name.

    counters: further names to count it under, for `core.guardrails.pauses`.
    """

    suppressions: tuple[Suppression, ...] = ()
    counters: tuple[str, ...] = ()


def effects_of(
    policy: ContactPolicy, outcome: Outcome, program: str | None, action: Action | None, now_ms: int
) -> Effects:
    """What the policy makes of an outcome.

    program, action: those of the decision that it belongs to; None if that is unknown. They matter to pauses only: an
    outcome that names no channel suppresses every channel, as who unsubscribes may mean all of them.
    """
    suppressions = tuple(
        Suppression(
            channel=ALL_CHANNELS if rule.all_channels or not outcome.channel else outcome.channel,
            reason=Reason.SUPPRESSED_BY_OUTCOME,
            since_ms=now_ms,
            until_ms=None if rule.for_s is None else outcome.occurred_at_ms + rule.for_s * 1000,
            note=outcome.name,
        )
        for rule in policy.suppress_on
        if rule.outcome == outcome.name
    )
    return Effects(suppressions, counters(policy.pauses, outcome, program, action))


def suppressing(
    state: CustomerState, customer_id: str, suppression: Suppression, now_ms: int, author: str
) -> Change | None:
    """What a suppression by hand makes of the state: it takes the place of that of the same channel and reason, and
    revokes what is reserved on its channel. None if it is in force already."""
    if any(replace(held, since_ms=suppression.since_ms) == suppression for held in state.suppressions):
        return None
    stopped = _revoked(state, [suppression], (), now_ms)
    return Change(
        contacts=_waiting(stopped, now_ms),
        suppressions=(suppression,),
        confirmations=_stops(customer_id, stopped, now_ms),
        preferences=(_preference(customer_id, suppression, now_ms, author=author),),
    )


def lifting(state: CustomerState, customer_id: str, channel: str, now_ms: int, author: str, note: str) -> Change | None:
    """What lifting every suppression of a channel makes of the state; None if there is none."""
    if all(s.channel != channel for s in state.suppressions):
        return None
    lifted = Preference(customer_id, PreferenceKind.LIFT, channel, now_ms, author=author, note=note)
    return Change(lifted=(channel,), preferences=(lifted,))


def following(state: CustomerState, policy: ContactPolicy, outcome: Outcome, effects: Effects, now_ms: int) -> Change:
    """What an outcome with these effects makes of the state, besides being counted: suppressions that hold longer than
    those in force, pauses that begin, and the reservations that either revokes."""
    held = {(s.channel, s.reason): s for s in state.suppressions}
    fresh = tuple(
        s
        for s in effects.suppressions
        if (before := held.get((s.channel, s.reason))) is None or not before.live_at(now_ms) or s.outlasts(before)
    )
    after = replace(state, events=_counted(state.events, effects.counters, outcome.occurred_at_ms))
    pauses = tuple(begun(policy.pauses, state.events, after.events, effects.counters, now_ms))
    stopped = _revoked(after, fresh, [rule for rule, _, _ in pauses], now_ms)
    return Change(
        contacts=_waiting(stopped, now_ms),
        suppressions=fresh,
        confirmations=_stops(outcome.customer_id, stopped, now_ms),
        preferences=(
            *(_preference(outcome.customer_id, s, now_ms, outcome_id=outcome.outcome_id) for s in fresh),
            *(_pause(outcome, *pause, now_ms) for pause in pauses),
        ),
    )


def _counted(events: Mapping[str, EventCounter], names: Sequence[str], at_ms: int) -> Mapping[str, EventCounter]:
    return {**events, **{name: events.get(name, EventCounter()).counting(at_ms) for name in names}}


def _revoked(
    state: CustomerState, suppressions: Sequence[Suppression], rules: Sequence[PauseRule], now_ms: int
) -> list[tuple[Contact, Exclusion]]:
    """The open reservations that a suppression or pause keeps from being sent, revoked; and why each."""
    stopped = []
    for contact in state.contacts:
        if contact.status is not ContactStatus.RESERVED:
            continue
        suppression = next((s for s in suppressions if s.concerns(contact.channel) and s.live_at(now_ms)), None)
        action = Action(contact.action, contact.channel, contact.message, contact.tags)
        why = None
        if suppression is not None:
            why = Exclusion(contact.action, suppression.reason, suppression.note or suppression.channel)
        elif rules and (pause := paused(rules, contact.program, action, state.events, now_ms)) is not None:
            why = Exclusion(contact.action, Reason.SUPPRESSED_BY_OUTCOME, pause[0].id)
        if why is not None:
            stopped.append((replace(contact, status=ContactStatus.REVOKED), why))
    return stopped


def _waiting(stopped: Sequence[tuple[Contact, Exclusion]], now_ms: int) -> tuple[Contact, ...]:
    """Those whose slots are free at once. What could have been sent by now may be on its way: it is told to stop, and
    keeps its slot until it is reported, confirmed or lapsed."""
    return tuple(revoked for revoked, _ in stopped if revoked.from_ms > now_ms)


def _stops(customer_id: str, stopped: Sequence[tuple[Contact, Exclusion]], now_ms: int) -> tuple[Confirmation, ...]:
    return tuple(
        Confirmation(contact.decision_id, customer_id, Verdict.STOP, now_ms, why.reason, why.detail, asked=False)
        for contact, why in stopped
    )


def _pause(outcome: Outcome, rule: PauseRule, subject: str, until_ms: int, now_ms: int) -> Preference:
    return Preference(
        outcome.customer_id,
        PreferenceKind.PAUSE,
        subject,
        now_ms,
        Reason.SUPPRESSED_BY_OUTCOME,
        until_ms,
        note=rule.id,
        outcome_id=outcome.outcome_id,
    )


def _preference(
    customer_id: str, suppression: Suppression, now_ms: int, author: str = "", outcome_id: str = ""
) -> Preference:
    return Preference(
        customer_id,
        PreferenceKind.SUPPRESS,
        suppression.channel,
        now_ms,
        suppression.reason,
        suppression.until_ms,
        author,
        suppression.note,
        outcome_id,
    )
