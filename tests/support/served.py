"""A whole service on in-memory adapters, whose clock and draws a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.application.admission import Admission
from decision_service.application.decisions import DecisionService
from decision_service.application.policy_store import Audit
from decision_service.application.services import Services
from decision_service.core.choice.draw import Draw
from decision_service.core.model.record import DecideRequest, DecisionRecord
from decision_service.core.model.values import ValueType

AUDIT = Audit("test", 0)
PROGRAM = """
name: p
features: {service: s}
actions:
  - {id: mail, channel: email, message: hello, payload: {template: t1}}
  - {id: text, channel: sms, message: hello}
context: {basket: float}
live_events: [purchase]
lease: 10m
reward: {outcomes: {purchase: 1}, window: 1d}
"""
POLICY = """
caps: [{id: one_an_hour, limit: 1, rolling: 1h}]
suppress_on: [{outcome: unsubscribe, channels: own}, {outcome: complaint, channels: all, for: 30d}]
"""


@dataclass
class World:
    """A service and everything under it."""

    clock: ManualClock = field(default_factory=ManualClock)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    features: MemoryFeatures = field(default_factory=MemoryFeatures)
    policies: MemoryPolicies = field(default_factory=MemoryPolicies)
    budgets: MemoryBudgets = field(default_factory=MemoryBudgets)
    catalogue: MemoryCatalogue = field(default_factory=MemoryCatalogue)
    draws: list[float] = field(default_factory=list)
    accepting: bool = True
    draw: Draw | None = None
    admission: Admission | None = None

    def __post_init__(self) -> None:
        self.features.define("s", MemoryView("v", {"age": ValueType.INT, "timezone": ValueType.STRING}, ttl_s=3600))
        self.features.put("v", "c", {"age": 40, "timezone": "Europe/Berlin"}, self.clock.now_ms())
        self.policies.publish_program(PROGRAM, AUDIT)
        self.serve(self.ledger)

    def serve(self, ledger: MemoryLedger) -> DecisionService:
        """A service over a ledger; draws are those of `draw`, or else taken from `draws`, 0.0 (the first action) when
        there are none."""
        services = Services.over(
            policies=self.policies,
            features=self.features,
            ledger=ledger,
            budgets=self.budgets,
            catalogue=self.catalogue,
            rules=CelRules(),
            clock=self.clock,
            draw=self.draw or (lambda _: self.draws.pop(0) if self.draws else 0.0),
            admission=self.admission,
            accepting=lambda: self.accepting,
        )
        self.services = services
        self.service, self.feedback = services.decisions, services.feedback
        self.inquiry, self.administration = services.inquiry, services.administration
        self.sending = services.sending
        return self.service

    def decide(self, request_id: str = "r", customer: str = "c", **changes: object) -> DecisionRecord:
        """One decision, for the program `p` unless `programs` says otherwise."""
        request = DecideRequest(request_id, customer, **{"programs": ("p",), **changes})  # type: ignore[arg-type]
        return self.service.decide(request).record
