"""Why a decision was made, and what is known of a customer. Nothing here changes anything."""

from __future__ import annotations

from decision_service.core.decide import Inputs, decide
from decision_service.core.eligibility import Rules
from decision_service.core.errors import ModelRejected
from decision_service.core.explain import Explanation, explain
from decision_service.core.program import Program
from decision_service.core.record import DecisionRecord
from decision_service.core.replay import ReplayResult, compare
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
        """The funnel of one decision, under the program and policy versions it was made with."""
        record = self._ledger.record(decision_id)
        return explain(record, self._program_of(record), self._policies.policy_at(record.policy_version))

    def replay(self, decision_id: str) -> ReplayResult:
        """Recompute a decision from its record and the versioned artifacts; see `replay_record`."""
        return self.replay_record(self._ledger.record(decision_id))

    def replay_record(self, record: DecisionRecord) -> ReplayResult:
        """Run the same core on the logged inputs and draw, and compare what it gives with what was logged."""
        try:
            model = self._catalogue.scorer(record.model) if record.model is not None else None
        except ModelRejected as rejected:
            return ReplayResult(False, (f"model: {rejected}",))
        inputs = Inputs(
            record.request,
            self._program_of(record),
            self._policies.policy_at(record.policy_version),
            record.features,
            record.state,
            record.decided_at_ms,
        )
        return compare(record, decide(inputs, self._rules, model, record.draw))

    def _program_of(self, record: DecisionRecord) -> Program:
        return self._policies.program_at(record.program, record.program_version)
