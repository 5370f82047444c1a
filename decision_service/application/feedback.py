"""What became of decisions: reports, outcomes and events act at once, and are logged to be joined and learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decision_service.application.ports import Budgets, Clock, Ledger, PolicyStore
from decision_service.core.guardrails.effects import CLOCK_TOLERANCE_MS, effects_of, refuse_future
from decision_service.core.model.customer import REPORT_GRACE_MS, Contact, ContactStatus
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.program import Action, ContactPolicy, Program
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecisionRecord,
    Event,
    Outcome,
    reserved_contact,
)

_CONTACT_STATUS = {
    ActivationStatus.SENT: ContactStatus.SENT,
    ActivationStatus.DELIVERED: ContactStatus.DELIVERED,
    ActivationStatus.BOUNCED: ContactStatus.BOUNCED,
}
"""What a report that the message was sent makes of its contact; the other statuses release it."""


@dataclass(frozen=True, slots=True)
class ActivationResult:
    """`duplicate`: the same status was known. `late`: it was sent after its lease, or reported when the lease had
    lapsed; the slot may have gone to another."""

    duplicate: bool
    late: bool


class Feedback:
    """Thread-safe: all state is in the adapters."""

    def __init__(self, *, policies: PolicyStore, ledger: Ledger, budgets: Budgets, clock: Clock) -> None:
        self._policies, self._ledger, self._budgets, self._clock = policies, ledger, budgets, clock

    def report_activation(
        self, decision_id: str, status: ActivationStatus, at_ms: int | None = None, detail: str = ""
    ) -> ActivationResult:
        """Confirm (SENT, DELIVERED, BOUNCED) or release (FAILED, SKIPPED) a decision's reservation. Idempotent.

        Raises:
            NotFound: no such decision within the ledger's retention.
            Conflict: another status was reported before.
            InvalidRequest: a NO_ACTION decision cannot have been sent; a time in the future or before the decision.
        """
        record = self._ledger.record(decision_id)
        now_ms = self._clock.now_ms()
        sent_ms = now_ms if at_ms is None else at_ms
        if status in _CONTACT_STATUS and not record.is_contact:
            raise InvalidRequest.of("status", "a NO_ACTION decision has nothing to send; report SKIPPED or nothing")
        if sent_ms > now_ms + CLOCK_TOLERANCE_MS:
            raise InvalidRequest.of("at_ms", f"{sent_ms} lies in the future; the server's time is {now_ms}")
        if sent_ms < record.decided_at_ms - CLOCK_TOLERANCE_MS:
            raise InvalidRequest.of("at_ms", f"{sent_ms} lies before the decision at {record.decided_at_ms}")
        # A contact dated before its decision would leave its caps' windows too early.
        sent_ms = max(sent_ms, record.decided_at_ms)
        lease_ends_ms = record.reservation.lease_expires_at_ms if record.reservation else None
        late = lease_ends_ms is not None and (sent_ms > lease_ends_ms or now_ms > lease_ends_ms + REPORT_GRACE_MS)
        activation = Activation(decision_id, record.request.customer_id, status, sent_ms, now_ms, detail, late)
        tokens = record.reservation.tokens if record.reservation else ()
        was_sent = status in _CONTACT_STATUS
        if was_sent and tokens:
            # First, so that a crash between the two leaves no message that was sent with tokens that come back.
            self._budgets.spend(decision_id, tokens)
        is_new = self._ledger.activate(activation, self._reported(record, status, sent_ms))
        if not was_sent and tokens:
            self._budgets.release(decision_id, tokens)
        return ActivationResult(duplicate=not is_new, late=late)

    def _reported(self, record: DecisionRecord, status: ActivationStatus, at_ms: int) -> Contact | None:
        """The contact after the report; the ledger keeps the time of sending of one that was reported SENT."""
        reserved = reserved_contact(record, self._program_of(record).action(record.chosen))
        if reserved is None:
            return None
        if status not in _CONTACT_STATUS:
            return replace(reserved, status=ContactStatus.RELEASED)
        return replace(reserved, status=_CONTACT_STATUS[status], from_ms=at_ms, until_ms=at_ms)

    def record_outcomes(self, outcomes: Sequence[Outcome]) -> tuple[int, int]:
        """Log outcomes and let them act at once (counters, suppressions): how many were new, how many known.

        Raises:
            InvalidRequest: naming those that lie in the future; none is recorded.
        """
        policy = self._policies.current().policy
        now_ms = self._clock.now_ms()
        refuse_future("outcomes", outcomes, now_ms)
        recorded = 0
        for outcome in outcomes:
            stamped = replace(outcome, received_at_ms=now_ms)
            effects = effects_of(policy, stamped, *self._contact_of(policy, stamped), now_ms)
            recorded += self._ledger.add_outcome(stamped, effects.suppressions, effects.counters)
        return recorded, len(outcomes) - recorded

    def _contact_of(self, policy: ContactPolicy, outcome: Outcome) -> tuple[str | None, Action | None]:
        """Program and action of the decision that the outcome belongs to, where a pause rule wants to know them."""
        if not outcome.decision_id or all(rule.outcome != outcome.name for rule in policy.pauses):
            return None, None
        try:
            record = self._ledger.record(outcome.decision_id)
        except NotFound:
            return None, None
        if record.request.customer_id != outcome.customer_id or not record.is_contact:
            return None, None
        return record.program, self._program_of(record).action(record.chosen)

    def record_events(self, events: Sequence[Event]) -> tuple[int, int]:
        """Log behavioural events and count them: how many were new, how many known.

        Raises:
            InvalidRequest: naming those that lie in the future; none is recorded.
        """
        now_ms = self._clock.now_ms()
        refuse_future("events", events, now_ms)
        recorded = sum(self._ledger.add_event(replace(event, received_at_ms=now_ms)) for event in events)
        return recorded, len(events) - recorded

    def _program_of(self, record: DecisionRecord) -> Program:
        return self._policies.program_at(record.program, record.program_version)
