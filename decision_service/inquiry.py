"""Why a decision was made, and what is known of a customer. Nothing here changes anything."""

from __future__ import annotations

from decision_service.core.decide import decide
from decision_service.core.eligibility import Rules
from decision_service.core.errors import ModelRejected
from decision_service.core.explain import Explanation, explain
from decision_service.core.program import Program
from decision_service.core.record import DecisionRecord
from decision_service.core.replay import ReplayResult, compare, inputs_of
from decision_service.core.standing import Standing, standing
from decision_service.ports import Catalogue, Clock, Ledger, PolicyStore


class Inquiry:
    """Thread-safe: all state is in the adapters."""

    def __init__(
        self, *, policies: PolicyStore, ledger: Ledger, catalogue: Catalogue, rules: Rules, clock: Clock
    ) -> None:
        self._policies, self._ledger, self._catalogue = policies, ledger, catalogue
        self._rules, self._clock = rules, clock

    def get_decision(self, decision_id: str) -> DecisionRecord:
        """The record.

        Raises:
            NotFound: unknown, or older than the ledger's retention; the warehouse keeps it.
        """
        return self._ledger.record(decision_id)

    def explain(self, decision_id: str) -> Explanation:
        """Why a decision was made; see `explain_record`."""
        return self.explain_record(self._ledger.record(decision_id))

    def explain_record(self, record: DecisionRecord) -> Explanation:
        """The funnel of one decision, under the program and policy versions it was made with."""
        return explain(record, self._program_of(record), self._policies.policy_at(record.policy_version))

    def customer(self, customer_id: str) -> Standing:
        """What is known of a customer now, under what is published now; of an unknown one, the groups."""
        published = self._policies.current()
        state = self._ledger.state(customer_id)
        return standing(customer_id, state, published.programs, published.policy, self._clock.now_ms())

    def replay(self, decision_id: str) -> ReplayResult:
        """Recompute a decision from its record and the versioned artifacts; see `replay_record`."""
        return self.replay_record(self._ledger.record(decision_id))

    def replay_record(self, record: DecisionRecord) -> ReplayResult:
        """Run the same core on the logged inputs and draw, and compare what it gives with what was logged."""
        try:
            models = {c.program: self._catalogue.scorer(c.model) for c in record.candidates if c.model is not None}
        except ModelRejected as rejected:
            return ReplayResult(False, (f"model: {rejected}",))
        programs = {c.program: self._policies.program_at(c.program, c.program_version) for c in record.candidates}
        inputs = inputs_of(record, programs, self._policies.policy_at(record.policy_version))
        return compare(record, decide(inputs, self._rules, models, record.draw))

    def _program_of(self, record: DecisionRecord) -> Program:
        return self._policies.program_at(record.program, record.program_version)
