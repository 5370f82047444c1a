"""What became of decisions: reports, outcomes and events act at once, and are logged to be joined and learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Budgets, Clock, Ledger, Moved, Recorded
from decision_service.core.guardrails.effects import CLOCK_TOLERANCE_MS, effects_of, following, refuse_future
from decision_service.core.guardrails.reports import SENT, report
from decision_service.core.model.customer import REPORT_GRACE_MS, Contact
from decision_service.core.model.errors import InvalidRequest, NotFound, NotInService, Overloaded, Unavailable
from decision_service.core.model.program import Action, ContactPolicy, Program
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecisionRecord,
    Event,
    Outcome,
    reserved_contact,
)
from decision_service.core.model.sending import Change

MAX_ATTEMPTS = 16

Fact = TypeVar("Fact", Outcome, Event)


@dataclass(frozen=True, slots=True)
class ActivationResult:
    """`duplicate`: the same status was known. `late`: it was sent after its lease, or reported when the lease had
    lapsed; the slot may have gone to another. `contradicts`: an earlier report that says otherwise."""

    duplicate: bool
    late: bool
    contradicts: ActivationStatus | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of facts sent together: how many were recorded, how many known; of those refused, because they are
    known with another content, position and why.

    historic: of those recorded, how many occurred before the ledger's retention: they change nothing live, as it cannot
    tell any more whether they are new.
    """

    recorded: int
    duplicates: int
    refused: tuple[tuple[int, str], ...] = ()
    historic: int = 0


class Feedback:
    """Thread-safe: all state is in the adapters. retention_s: the ledger's, seconds."""

    def __init__(
        self, *, policies: PolicyStore, ledger: Ledger, budgets: Budgets, clock: Clock, retention_s: int
    ) -> None:
        self._policies, self._ledger, self._budgets, self._clock = policies, ledger, budgets, clock
        self._retention_ms = retention_s * 1000

    def report_activation(
        self, decision_id: str, status: ActivationStatus, at_ms: int | None = None, detail: str = ""
    ) -> ActivationResult:
        """What became of a decision: it was sent (SENT, DELIVERED, BOUNCED), or not (FAILED, SKIPPED). Idempotent.

        Every report is believed and logged, also one that contradicts an earlier one: that it was sent wins.

        Raises:
            NotFound: no such decision within the ledger's retention.
            Unavailable: the ledger did not answer, or was lost and may know the decision later: report it again.
            InvalidRequest: a NO_ACTION decision cannot have been sent; a time in the future or before the decision.
        """
        record = self._ledger.record(decision_id)
        now_ms = self._clock.now_ms()
        sent_ms = now_ms if at_ms is None else at_ms
        if status in SENT and not record.is_contact:
            raise InvalidRequest.of("status", "a NO_ACTION decision has nothing to send; report SKIPPED or nothing")
        if sent_ms > now_ms + CLOCK_TOLERANCE_MS:
            raise InvalidRequest.of("at_ms", f"{sent_ms} lies in the future; the server's time is {now_ms}")
        if sent_ms < record.decided_at_ms - CLOCK_TOLERANCE_MS:
            raise InvalidRequest.of("at_ms", f"{sent_ms} lies before the decision at {record.decided_at_ms}")
        # A contact dated before its decision would leave its caps' windows too early.
        sent_ms = max(sent_ms, record.decided_at_ms)
        tokens = record.reservation.tokens if record.reservation else ()
        if status in SENT and tokens:
            # First, so that a crash between the two leaves no message that was sent with tokens that come back.
            self._budgets.spend(decision_id, tokens)
        result = self._activate(record, status, sent_ms, now_ms, detail)
        if status not in SENT and tokens:
            self._budgets.release(decision_id, tokens)
        return result

    def _activate(
        self, record: DecisionRecord, status: ActivationStatus, sent_ms: int, now_ms: int, detail: str
    ) -> ActivationResult:
        customer_id, reserved = record.request.customer_id, self._reserved(record)
        for _ in range(MAX_ATTEMPTS):
            known = self._ledger.dealings(customer_id, record.decision_id)
            before, held = tuple(known.reported), known.state.contact(record.decision_id)
            # What became of a message that was sent in time is not late, whenever it becomes known.
            late = SENT.isdisjoint(before) and _is_late(record, sent_ms, now_ms)
            reported = report(reserved, held, before, status, sent_ms)
            if reported is None:
                return ActivationResult(duplicate=True, late=late)
            activation = Activation(
                record.decision_id, customer_id, status, sent_ms, now_ms, detail, late, reported.contradicts
            )
            found = tuple(self._ledger.activate(activation, reported.contact, before))
            if found == before:
                return ActivationResult(False, late, reported.contradicts)
        raise Overloaded(f"decision {record.decision_id!r} is being reported on too often at once")

    def _reserved(self, record: DecisionRecord) -> Contact | None:
        return reserved_contact(record, self._program_of(record).action(record.chosen))

    def record_outcomes(self, outcomes: Sequence[Outcome]) -> Receipt:
        """Log outcomes and let them act at once: counters, suppressions, pauses, and what these revoke of reservations.

        Raises:
            InvalidRequest: naming those that lie in the future; none is recorded.
        """
        policy = self._policies.current().policy
        return self._record("outcomes", outcomes, lambda outcome, is_live: self._outcome(policy, outcome, is_live))

    def _outcome(self, policy: ContactPolicy, outcome: Outcome, is_live: bool) -> Recorded:
        if not is_live:
            recorded = self._ledger.add_outcome(outcome, counted=False)
            assert isinstance(recorded, Recorded)
            return recorded
        now_ms = outcome.received_at_ms
        effects = effects_of(policy, outcome, *self._contact_of(policy, outcome), now_ms)
        if not effects.suppressions and not effects.counters:
            recorded = self._ledger.add_outcome(outcome)
            assert isinstance(recorded, Recorded)
            return recorded
        state = self._ledger.state(outcome.customer_id)
        for _ in range(MAX_ATTEMPTS):
            change = following(state, policy, outcome, effects, now_ms)
            done = self._ledger.add_outcome(outcome, effects.counters, change, state.version)
            if not isinstance(done, Moved):
                if done is Recorded.NEW:
                    release_stopped(self._ledger, self._budgets, change)
                return done
            state = done.state
        raise Overloaded(f"too much happens to customer {outcome.customer_id!r} at once; report it again")

    def _contact_of(self, policy: ContactPolicy, outcome: Outcome) -> tuple[str | None, Action | None]:
        """Program and action of the decision that the outcome belongs to, where a pause rule wants to know them."""
        if not outcome.decision_id or all(rule.outcome != outcome.name for rule in policy.pauses):
            return None, None
        try:
            record = self._ledger.record(outcome.decision_id)
        except (NotFound, NotInService):
            return None, None  # a ledger that is rebuilt counts the outcome for what it then knows of the decision
        if record.request.customer_id != outcome.customer_id or not record.is_contact:
            return None, None
        return record.program, self._program_of(record).action(record.chosen)

    def record_events(self, events: Sequence[Event]) -> Receipt:
        """Log behavioural events and count them.

        Raises:
            InvalidRequest: naming those that lie in the future; none is recorded.
        """
        return self._record("events", events, lambda event, is_live: self._ledger.add_event(event, counted=is_live))

    def _record(self, field: str, facts: Sequence[Fact], add: Callable[[Fact, bool], Recorded]) -> Receipt:
        now_ms = self._clock.now_ms()
        refuse_future(field, facts, now_ms)
        counts = dict.fromkeys(Recorded, 0)
        refused, historic = [], 0
        for i, fact in enumerate(facts):
            is_live = fact.occurred_at_ms > now_ms - self._retention_ms
            recorded = add(replace(fact, received_at_ms=now_ms), is_live)
            counts[recorded] += 1
            historic += recorded is Recorded.NEW and not is_live
            if recorded is Recorded.OTHER_BODY:
                refused.append((i, _other_body(field, i, fact)))
        return Receipt(counts[Recorded.NEW], counts[Recorded.KNOWN], tuple(refused), historic)

    def _program_of(self, record: DecisionRecord) -> Program:
        return self._policies.program_at(record.program, record.program_version)


def release_stopped(ledger: Ledger, budgets: Budgets, change: Change) -> None:
    """Give back what revoked reservations hold of budgets; where that fails it comes back when their leases lapse."""
    for contact in change.contacts:
        with suppress(NotFound, Unavailable):
            reservation = ledger.record(contact.decision_id).reservation
            if reservation is not None and reservation.tokens:
                budgets.release(contact.decision_id, reservation.tokens)


def _is_late(record: DecisionRecord, sent_ms: int, now_ms: int) -> bool:
    lease_ends_ms = record.reservation.lease_expires_at_ms if record.reservation else None
    return lease_ends_ms is not None and (sent_ms > lease_ends_ms or now_ms > lease_ends_ms + REPORT_GRACE_MS)


def _other_body(field: str, i: int, fact: Outcome | Event) -> str:
    what = "outcome_id" if isinstance(fact, Outcome) else "event_id"
    fact_id = fact.outcome_id if isinstance(fact, Outcome) else fact.event_id
    return (
        f"{field}[{i}]: {what} {fact_id!r} is known for a {fact.name!r} of this customer with another time, value or "
        "content; give a fact of its own an id of its own, and repeat a known one unchanged"
    )
