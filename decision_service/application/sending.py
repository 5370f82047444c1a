"""Just before a decided message goes out: whether it still may."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Budgets, Clock, FeatureSource, Ledger, LedgerRead, Moved, Pending
from decision_service.core.confirm import confirm, slot_lost
from decision_service.core.decide import Entrant, Inputs
from decision_service.core.guardrails.budgets import level_keys
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.errors import InvalidRequest, NotFound, Overloaded, Unavailable
from decision_service.core.model.program import Action, Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord, Exclusion, FeatureStatus, ServedFeatures
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
            Unavailable: the ledger did not answer, or this worker's clock is not to be trusted: do not send, ask again.
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
        known = self._ledger.dealings(customer_id, decision_id)
        if known.stopped is not None:
            return known.stopped
        keys = level_keys(published.policy, program, now_ms) if program is not None else ()
        levels = self._budgets.begin_levels(keys, now_ms).result() if keys else {}
        served = ServedFeatures(FeatureStatus.UNAVAILABLE) if features is None else features.result()
        entrants = () if program is None else (Entrant(program, served),)
        inputs = Inputs(record.request, entrants, published.policy, known.state, now_ms, levels)
        action = _action(program, record.chosen)
        for _ in range(MAX_ATTEMPTS):
            held = inputs.state.contact(decision_id)
            lost = slot_lost(record, held, known.reported, now_ms)
            if lost is not None and lost.reason is Reason.ALREADY_REPORTED:
                return _stop(record, lost, now_ms)  # nothing is freed: the report has done that, or it was sent
            said = confirm(record, inputs, action, self._rules) if lost is None else _stop(record, lost, now_ms)
            change = _change(held, said)
            moved = self._ledger.change(customer_id, change, inputs.state.version) if change is not None else None
            if not isinstance(moved, Moved):
                if change is not None and said.verdict is Verdict.STOP and record.reservation.tokens:
                    with suppress(Unavailable):
                        self._budgets.release(decision_id, record.reservation.tokens)
                return said
            inputs = replace(inputs, state=moved.state)
        raise Overloaded(f"too much happens to customer {customer_id!r} at once; ask again")

    def _begin(self, program: Program | None, customer_id: str, now_ms: int) -> Pending[ServedFeatures] | None:
        try:
            return None if program is None else self._features.begin(program.feature_service, customer_id, now_ms)
        except NotFound:
            return None


def _action(program: Program | None, action_id: str) -> Action | None:
    return None if program is None else next((a for a in program.actions if a.id == action_id), None)


def _stop(record: DecisionRecord, why: Exclusion, now_ms: int) -> Confirmation:
    return Confirmation(record.decision_id, record.request.customer_id, Verdict.STOP, now_ms, why.reason, why.detail)


def _change(held: Contact | None, said: Confirmation) -> Change | None:
    """What an answer changes and logs; a WAIT neither."""
    if said.verdict is Verdict.WAIT:
        return None
    if said.verdict is Verdict.GO or held is None:
        return Change(confirmations=(said,))
    status = ContactStatus.LAPSED if said.reason is Reason.LEASE_LAPSED else ContactStatus.REVOKED
    return Change(contacts=(replace(held, status=status),), confirmations=(said,))
