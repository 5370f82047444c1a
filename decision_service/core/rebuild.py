"""A customer's state is a fold over what was logged of the customer, in the order of the log: what a ledger that was
lost is made again from. Nothing here decides anew: each entry has the effect that it had when it was logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from decision_service.core.guardrails.caps import droppable, lapsed
from decision_service.core.guardrails.effects import effects_of, following, suppressing
from decision_service.core.guardrails.reports import SENT, report
from decision_service.core.model.customer import Contact, ContactStatus, CustomerState, EventCounter, Suppression
from decision_service.core.model.program import Action, ContactPolicy, FrequencyCap
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecisionRecord,
    Event,
    Outcome,
    Reservation,
    Token,
    contact_for,
)
from decision_service.core.model.sending import Change, Confirmation, Preference, PreferenceKind, Verdict


@dataclass(frozen=True, slots=True)
class ContactDecision:
    """A decision to contact, as far as the ledger holds on to it for longer than to the record."""

    decision_id: str
    customer_id: str
    decided_at_ms: int
    program: str
    program_version: int
    action: str
    channel: str
    reservation: Reservation

    @classmethod
    def of(cls, record: DecisionRecord) -> ContactDecision | None:
        """None for a decision that reserved nothing."""
        if record.reservation is None:
            return None
        return cls(
            record.decision_id,
            record.request.customer_id,
            record.decided_at_ms,
            record.program,
            record.program_version,
            record.chosen,
            record.channel,
            record.reservation,
        )


Body: TypeAlias = ContactDecision | Activation | Outcome | Event | Confirmation | Preference


@dataclass(frozen=True, slots=True)
class Past:
    """What the log has to be read by.

    action_of: the action that a decision chose, as its version had it. policy_of: the contact policy in force when an
    outcome was received. retention_ms: the ledger's; outcomes and events that occurred before it when they were
    received were only logged, and belong to no decision of before it.
    preferences_from_ms: since when suppressions are logged; before, they follow from outcomes. None: always were.
    """

    action_of: Callable[[ContactDecision], Action]
    policy_of: Callable[[Outcome], ContactPolicy]
    retention_ms: int
    preferences_from_ms: int | None = None


class Fate(StrEnum):
    """What became of a decision's tokens: SPENT for good, GIVEN_BACK, or HELD until the lease lapses."""

    SPENT = "SPENT"
    GIVEN_BACK = "GIVEN_BACK"
    HELD = "HELD"


@dataclass(frozen=True, slots=True)
class Holding:
    """The tokens of one decision. until_ms: when its lease lapses, or would have."""

    decision_id: str
    tokens: tuple[Token, ...]
    until_ms: int
    fate: Fate


@dataclass(frozen=True, slots=True)
class Reports:
    """The statuses reported on a decision, in their order, and when the service heard of the last."""

    statuses: tuple[ActivationStatus, ...]
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One customer. `state.version` is that of no ledger: whoever stores it gives it one.

    stopped: decision → the STOP that was given. inferred: suppressions that were put in force before they were logged,
    and follow from outcomes.
    """

    state: CustomerState
    reports: Mapping[str, Reports] = field(default_factory=dict)
    stopped: Mapping[str, Confirmation] = field(default_factory=dict)
    holdings: tuple[Holding, ...] = ()
    inferred: int = 0


_OVER = (ContactStatus.REVOKED, ContactStatus.LAPSED)


def rebuilt(bodies: Iterable[Body], past: Past, caps: Sequence[FrequencyCap], now_ms: int) -> Rebuilt:
    """One customer's state after `bodies`, which are all of that customer, in the order of the log.

    caps: those in force; contacts that none of them can count at `now_ms` are left out.
    """
    fold = _Fold(past)
    for body in bodies:
        fold.add(body)
    return fold.result(caps, now_ms)


class _Fold:
    def __init__(self, past: Past) -> None:
        self._past = past
        self._decisions: dict[str, ContactDecision] = {}
        self._contacts: dict[str, Contact] = {}
        self._suppressions: dict[tuple[str, Reason], Suppression] = {}
        self._events: dict[str, EventCounter] = {}
        self._reports: dict[str, Reports] = {}
        self._stopped: dict[str, Confirmation] = {}
        self._inferred = 0

    def add(self, body: Body) -> None:
        match body:
            case ContactDecision():
                self._decided(body)
            case Activation():
                self._activated(body)
            case Confirmation():
                self._confirmed(body)
            case Preference():
                self._preferred(body)
            case Outcome():
                if self._is_live(body):
                    self._outcome(body)
            case Event():
                if self._is_live(body):
                    self._count((body.name,), body.occurred_at_ms)

    def result(self, caps: Sequence[FrequencyCap], now_ms: int) -> Rebuilt:
        gone = set(droppable(self._contacts.values(), caps, now_ms))
        state = self._state()
        state = replace(state, contacts=tuple(c for c in state.contacts if c.decision_id not in gone))
        return Rebuilt(state, self._reports, self._stopped, tuple(self._holdings()), self._inferred)

    def _decided(self, decision: ContactDecision) -> None:
        self._decisions[decision.decision_id] = decision
        reserved = self._reserved(decision)
        for contact in (reserved, *lapsed(self._contacts.values(), decision.decided_at_ms)):
            self._contacts[contact.decision_id] = contact

    def _activated(self, activation: Activation) -> None:
        decision_id = activation.decision_id
        known = self._reports.get(decision_id)
        before = known.statuses if known else ()
        decision = self._decisions.get(decision_id)
        reserved = None if decision is None else self._reserved(decision)
        reported = report(reserved, self._contacts.get(decision_id), before, activation.status, activation.at_ms)
        if reported is None:
            return
        self._reports[decision_id] = Reports((*before, activation.status), activation.received_at_ms)
        if reported.contact is not None:
            self._contacts[decision_id] = reported.contact

    def _confirmed(self, said: Confirmation) -> None:
        if said.verdict is not Verdict.STOP:
            return
        self._stopped[said.decision_id] = said
        held = self._contacts.get(said.decision_id)
        # What could have been sent by then keeps its slot, unless its runner asked: see `effects`.
        if held is not None and (said.asked or held.from_ms > said.at_ms):
            status = ContactStatus.LAPSED if said.reason is Reason.LEASE_LAPSED else ContactStatus.REVOKED
            self._contacts[said.decision_id] = replace(held, status=status)

    def _preferred(self, preference: Preference) -> None:
        if preference.kind is PreferenceKind.LIFT:
            kept = {key: s for key, s in self._suppressions.items() if s.channel != preference.channel}
            self._suppressions = kept
        elif preference.kind is PreferenceKind.SUPPRESS:
            assert preference.reason is not None
            suppression = Suppression(
                preference.channel, preference.reason, preference.at_ms, preference.until_ms, preference.note
            )
            # What it revoked was logged before it, if the ledger knew of any reservation.
            change = suppressing(self._state(), preference.customer_id, suppression, preference.at_ms, "")
            if change is not None:
                self._apply(change)
            self._suppress(suppression)

    def _outcome(self, outcome: Outcome) -> None:
        policy = self._past.policy_of(outcome)
        program, action = self._contact_of(outcome)
        effects = effects_of(policy, outcome, program, action, outcome.received_at_ms)
        logged_from_ms = self._past.preferences_from_ms
        if effects.suppressions or effects.counters:
            # What was logged of it follows, and says the same. A ledger that had just been lost knew of no policy, or
            # of no reservation, and logged nothing.
            change = following(self._state(), policy, outcome, effects, outcome.received_at_ms)
            self._apply(change)
            if logged_from_ms is not None and outcome.received_at_ms < logged_from_ms:
                self._inferred += len(change.suppressions)
        self._count((outcome.name, *effects.counters), outcome.occurred_at_ms)

    def _contact_of(self, outcome: Outcome) -> tuple[str | None, Action | None]:
        decision = self._decisions.get(outcome.decision_id)
        if decision is None or decision.decided_at_ms <= outcome.received_at_ms - self._past.retention_ms:
            return None, None
        return decision.program, self._past.action_of(decision)

    def _reserved(self, decision: ContactDecision) -> Contact:
        action = self._past.action_of(decision)
        return contact_for(decision.decision_id, decision.program, action, decision.reservation, decision.decided_at_ms)

    def _apply(self, change: Change) -> None:
        """Put suppressions in force, and revoke what was not told to stop before."""
        told = {stop.decision_id for stop in change.confirmations} - self._stopped.keys()
        for contact in change.contacts:
            if contact.decision_id in told:
                self._contacts[contact.decision_id] = contact
        for stop in change.confirmations:
            self._stopped.setdefault(stop.decision_id, stop)
        for suppression in change.suppressions:
            self._suppress(suppression)

    def _suppress(self, suppression: Suppression) -> None:
        self._suppressions[suppression.channel, suppression.reason] = suppression

    def _count(self, names: Sequence[str], at_ms: int) -> None:
        for name in dict.fromkeys(names):
            self._events[name] = self._events.get(name, EventCounter()).counting(at_ms)

    def _is_live(self, fact: Outcome | Event) -> bool:
        return fact.occurred_at_ms > fact.received_at_ms - self._past.retention_ms

    def _state(self) -> CustomerState:
        return CustomerState(
            contacts=tuple(sorted(self._contacts.values(), key=lambda c: (c.from_ms, c.decision_id))),
            suppressions=tuple(sorted(self._suppressions.values(), key=lambda s: (s.channel, s.reason))),
            events=self._events,
        )

    def _holdings(self) -> Iterable[Holding]:
        for decision in self._decisions.values():
            if decision.reservation.tokens:
                reports = self._reports.get(decision.decision_id)
                if reports is not None and not SENT.isdisjoint(reports.statuses):
                    fate = Fate.SPENT
                elif reports is not None or self._contacts[decision.decision_id].status in _OVER:
                    fate = Fate.GIVEN_BACK
                else:
                    fate = Fate.HELD
                reservation = decision.reservation
                yield Holding(decision.decision_id, reservation.tokens, reservation.lease_expires_at_ms, fate)
