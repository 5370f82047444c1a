"""Just before a decided message goes out: whether it still may."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Budgets, Clock, Dealings, FeatureSource, Ledger, LedgerRead, Pending
from decision_service.core.confirm import confirm, slot_lost
from decision_service.core.decide import Entrant, Inputs
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from decision_service.core.model.program import Action, Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord, FeatureStatus, ServedFeatures
from decision_service.core.model.sending import Change, Confirmation, Verdict

MAX_ATTEMPTS = 16


class Sending:
    """Thread-safe: all state is in the adapters. admit: as for `DecisionService`."""

    def __init__(
        self,
        *,
        policies: PolicyStore,
        features: FeatureSource,
        ledger: Ledger,
        budgets: Budgets,
        rules: Rules,
        clock: Clock,
        admit: Callable[[LedgerRead, int], None] = lambda _read, _before_ms: None,
    ) -> None:
        self._policies, self._features, self._ledger, self._budgets = policies, features, ledger, budgets
        self._rules, self._clock, self._admit = rules, clock, admit

    def confirm(self, decision_id: str) -> Confirmation:
        """Whether a decided contact may be sent now: the guardrails in force, on fresh state. A STOP frees its slot and
        stays; a GO holds for a minute at most, and may be asked for again.

        Raises:
            NotFound: no such decision within the ledger's retention.
            InvalidRequest: it decided for NO_ACTION.
            Unavailable: the ledger did not answer, was lost, or this worker's clock is not to be trusted: do not send,
                ask again.
        """
        record = self._ledger.record(decision_id)
        if record.reservation is None:
            raise InvalidRequest.of(
                "decision_id", f"{decision_id!r} is a decision for NO_ACTION: nothing is to be sent"
            )
        now_ms = self._clock.now_ms()
        published = self._policies.current()
        program = published.programs.get(record.program)
        customer_id = record.request.customer_id
        features = self._begin(program, customer_id, now_ms)
        self._admit(self._ledger.begin_read(customer_id, record.request.request_id).result(), now_ms)
        served = ServedFeatures(FeatureStatus.UNAVAILABLE) if features is None else features.result()
        entrants = () if program is None else (Entrant(program, served),)
        action = _action(program, record.chosen)
        for _ in range(MAX_ATTEMPTS):
            known = self._ledger.dealings(customer_id, decision_id)
            held = known.state.contact(decision_id)
            inputs = Inputs(record.request, entrants, published.policy, known.state, now_ms)
            said, change = self._judged(record, inputs, action, held, known)
            if change is None:
                return said
            if self._ledger.change(customer_id, change, known.state.version) is None:
                if change.contacts and record.reservation.tokens:
                    with suppress(Unavailable):
                        self._budgets.release(decision_id, record.reservation.tokens)
                return said
        raise Overloaded(f"too much happens to customer {customer_id!r} at once; ask again")

    def _judged(
        self, record: DecisionRecord, inputs: Inputs, action: Action | None, held: Contact | None, known: Dealings
    ) -> tuple[Confirmation, Change | None]:
        """The answer, and what it changes and logs."""
        now_ms = inputs.now_ms
        if known.stopped is not None:
            # Who asks does not send: a slot that was held in case it was on its way is free.
            is_held = held is not None and held.status is ContactStatus.RESERVED and not known.reported
            if not is_held:
                return known.stopped, None
            again = replace(known.stopped, at_ms=now_ms, asked=True)
            return again, _freed(held, ContactStatus.REVOKED, again)
        lost = slot_lost(record, held, known.reported, now_ms)
        if lost is None:
            said = confirm(record, inputs, action, self._rules)
            if said.verdict is Verdict.WAIT:
                return said, None
            if said.verdict is Verdict.GO:
                return said, Change(confirmations=(said,))
            return said, _freed(held, ContactStatus.REVOKED, said)
        said = Confirmation(
            record.decision_id, record.request.customer_id, Verdict.STOP, now_ms, lost.reason, lost.detail
        )
        if lost.reason is Reason.ALREADY_REPORTED or (held is not None and held.is_pending(now_ms)):
            return said, None  # it was sent, or given up, or its report may be under way
        return said, _freed(held, ContactStatus.LAPSED, said)

    def _begin(self, program: Program | None, customer_id: str, now_ms: int) -> Pending[ServedFeatures] | None:
        try:
            return None if program is None else self._features.begin(program.feature_service, customer_id, now_ms)
        except NotFound:
            return None


def _action(program: Program | None, action_id: str) -> Action | None:
    return None if program is None else next((a for a in program.actions if a.id == action_id), None)


def _freed(held: Contact | None, status: ContactStatus, *said: Confirmation) -> Change:
    return Change(contacts=() if held is None else (replace(held, status=status),), confirmations=said)
