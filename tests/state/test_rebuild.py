"""Folding the log of a random history gives the state, reports, stops and tokens that the live ledger has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.core.guardrails.caps import droppable
from decision_service.core.model.customer import REPORT_GRACE_MS, CustomerState
from decision_service.core.model.program import ContactPolicy
from decision_service.core.model.record import DecisionRecord
from decision_service.core.rebuild import Body, ContactDecision, Fate, Past, Rebuilt, rebuilt
from tests.state.histories import Forms, Histories
from tests.state.published import CUSTOMERS
from tests.state.sendings import Customer, Sending

RETENTION_MS = 7 * 86_400_000


class Retold(Histories):
    """The same histories; at every step the log is folded, and compared."""

    def __init__(self) -> None:
        super().__init__()
        self.in_force: dict[str, ContactPolicy] = {}

    def _outcome(self, customer: Customer, name: str, channel: str, at_ms: int, of: Sending | None) -> None:
        self.in_force[f"o{self.outcomes + 1}"] = self.policies.current().policy
        super()._outcome(customer, name, channel, at_ms, of)

    def folded(self, customer_id: str) -> Rebuilt:
        assert isinstance(self.ledger, MemoryLedger)
        bodies: list[Body] = []
        for entry in self.ledger.read({}, 1_000_000):
            body = entry.body
            found = ContactDecision.of(body) if isinstance(body, DecisionRecord) else body
            if found is not None and found.customer_id == customer_id:
                bodies.append(found)
        past = Past(
            action_of=lambda d: self.policies.program_at(d.program, d.program_version).action(d.action),
            policy_of=lambda outcome: self.in_force[outcome.outcome_id],
            # The ledger in memory forgets no decision, so neither must the fold; facts are never so old here.
            retention_ms=10**15,
        )
        return rebuilt(bodies, past, self.caps, self.model.now_ms)

    @property
    def caps(self) -> list[Any]:
        published = self.policies.current()
        return [*published.policy.caps, *(cap for program in published.programs.values() for cap in program.caps)]

    def lasting(self, state: CustomerState) -> CustomerState:
        """Without what no cap can count any more."""
        gone = droppable(state.contacts, self.caps, self.model.now_ms)
        return replace(state, version=0, contacts=tuple(c for c in state.contacts if c.decision_id not in gone))

    @invariant()
    def the_log_tells_what_the_ledger_has(self) -> None:
        if not hasattr(self, "model"):
            return
        told, live = self.folded(self.touched.id), self.ledger.state(self.touched.id)
        assert replace(told.state, version=0) == self.lasting(live)
        self.forms.compared += 1
        for sending in (s for s in self.model.sendings if s.customer is self.touched):
            known = self.ledger.dealings(self.touched.id, sending.decision_id)
            reports = told.reports.get(sending.decision_id)
            assert (reports.statuses if reports else ()) == tuple(known.reported)
            assert told.stopped.get(sending.decision_id) == known.stopped

    @invariant()
    def tokens_are_where_the_counters_have_them(self) -> None:
        if not hasattr(self, "model") or not self.keys:
            return
        levels = dict.fromkeys(self.keys.values(), 0)
        for customer in CUSTOMERS.values():
            for holding in self.folded(customer.id).holdings:
                is_held = holding.fate is Fate.HELD and self.model.now_ms <= holding.until_ms + REPORT_GRACE_MS
                for token in holding.tokens if is_held or holding.fate is Fate.SPENT else ():
                    levels[token.key] += token.amount
        assert levels == dict(self.budgets.begin_levels(tuple(levels), self.model.now_ms).result())


@pytest.mark.timeout(300)
def test_the_log_of_any_history_folds_to_the_ledgers_state() -> None:
    """Every contact that a cap can count, every suppression, counter, report, STOP and token."""
    forms = Forms(lambda: (MemoryLedger(), MemoryBudgets(), lambda: None))
    for number in range(12):
        machine: Any = seed(number)(type("Machine", (Retold,), {"forms": forms}))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=3,
                stateful_step_count=40,
                database=None,
                deadline=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert forms.compared > 500
    assert {"race lost", "contradicted", "confirmed: STOP", "SUPPRESSED", "SUPPRESSED_BY_OUTCOME"} <= set(forms.seen)
