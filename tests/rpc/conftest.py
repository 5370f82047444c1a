"""A real service on in-memory adapters, behind a real gRPC server on a socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.application.policy_store import Audit
from decision_service.application.ports import Pending
from decision_service.application.services import Services
from decision_service.client import DecisionClient
from decision_service.core.choice.draw import KeyedDraw
from decision_service.core.model.record import ServedFeatures
from decision_service.core.model.values import ValueType
from decision_service.rpc.server import Server

WELCOME = """
name: welcome
features: {service: customer_v1}
context: {page: string}
live_events: [page_view]
actions:
  - {id: email_a, channel: email, message: hello, payload: {subject: Hello}}
  - {id: push_b, channel: push, message: hello, eligible: '!has(customer.age) || customer.age > 17'}
  - {id: sms_c, channel: sms, message: hello, eligible: 'false'}
caps: [{id: weekly, limit: 3, rolling: 7d}]
reward: {outcomes: {visit: 1}, window: 1h}
"""


@dataclass
class Gate:
    """In front of features (`ports.FeatureSource`): closed, it keeps calls in flight; it counts the reads begun."""

    behind: MemoryFeatures
    opened: threading.Event = field(default_factory=threading.Event)
    reads: int = 0
    failure: Exception | None = None
    arrived_s: list[float | None] = field(default_factory=list)

    def begin(
        self, service: str, customer_id: str, now_ms: int, arrived_s: float | None = None
    ) -> Pending[ServedFeatures]:
        self.reads += 1
        self.arrived_s.append(arrived_s)
        assert self.opened.wait(30)
        if self.failure is not None:
            raise self.failure
        return self.behind.begin(service, customer_id, now_ms, arrived_s)

    def schema(self, service: str) -> Mapping[str, ValueType]:
        return self.behind.schema(service)


@pytest.fixture
def gate(clock: ManualClock) -> Gate:
    """Features of the customer `c`, open until a test closes them."""
    features = MemoryFeatures()
    features.define("customer_v1", MemoryView("profile", {"age": ValueType.INT}))
    features.put("profile", "c", {"age": 30}, clock.now_ms())
    gate = Gate(features)
    gate.opened.set()
    return gate


@pytest.fixture
def service(clock: ManualClock, gate: Gate) -> Services:
    """With the program `welcome` published."""
    policies = MemoryPolicies()
    policies.publish_program(WELCOME, Audit("tests", clock.now_ms()))
    return Services.over(
        policies=policies,
        features=gate,
        ledger=MemoryLedger(),
        budgets=MemoryBudgets(),
        catalogue=MemoryCatalogue(),
        rules=CelRules(),
        clock=clock,
        draw=KeyedDraw(b"7"),
    )


@pytest.fixture
def server(service: Services) -> Iterator[Server]:
    """Serving on a free port."""
    with Server(service, "127.0.0.1:0", threads=4) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[DecisionClient]:
    """Connected to the server."""
    with DecisionClient(server.address, channels=2, deadline_ms=10_000) as client:
        client.wait_ready(10)
        yield client
