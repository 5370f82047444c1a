"""A real service on in-memory adapters, behind a real gRPC server on a socket."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory_catalogue import MemoryCatalogue
from decision_service.adapters.memory_ledger import MemoryLedger
from decision_service.client import DecisionClient
from decision_service.core.errors import InvalidRequest, NotFound, Violation
from decision_service.core.program import (
    Action,
    ContactPolicy,
    FrequencyCap,
    GroupShares,
    Program,
    RewardDefinition,
)
from decision_service.core.record import FeatureStatus, ServedFeatures
from decision_service.core.values import ValueType
from decision_service.ports import Audit, ProgramVersion, Published
from decision_service.rpc.server import Server
from decision_service.service import DecisionService

WELCOME = Program(
    name="welcome",
    version=1,
    feature_service="customer_v1",
    actions=(
        Action("email_a", "email", "hello", payload_json='{"subject": "Hello"}'),
        Action("push_b", "push", "hello", eligible="customer.age > 17"),
        Action("sms_c", "sms", "hello", eligible="false"),
    ),
    reward=RewardDefinition({"visit": 1.0}, 3600),
    groups=GroupShares("welcome"),
    context={"page": ValueType.STRING},
    live_events=("page_view",),
    caps=(FrequencyCap("weekly", 3, window_s=7 * 86_400),),
)


@dataclass
class Shelf:
    """Programs by version (`ports.PolicyStore`); a document is a program's name, or, after a `?`, two mistakes."""

    versions_of: dict[str, list[tuple[Program, ProgramVersion]]] = field(default_factory=dict)

    def current(self) -> Published:
        latest = {name: versions[-1][0] for name, versions in self.versions_of.items()}
        return Published(sum(map(len, self.versions_of.values())), latest, ContactPolicy())

    def publish_program(self, document: str, audit: Audit) -> ProgramVersion:
        if document.startswith("?"):
            raise InvalidRequest([Violation("actions[0].channel", "is missing"), Violation("goal", "is unknown")])
        versions = self.versions_of.setdefault(document, [])
        published = ProgramVersion(document, len(versions) + 1, document, audit)
        versions.append((replace(WELCOME, name=document, version=published.version), published))
        return published

    def publish_policy(self, document: str, audit: Audit) -> int:
        return 1

    def versions(self, name: str) -> Sequence[ProgramVersion]:
        if name not in self.versions_of:
            raise NotFound("program", name)
        return [published for _, published in self.versions_of[name]]

    def rollback_program(self, name: str, version: int, audit: Audit) -> ProgramVersion:
        return self.publish_program(self.versions(name)[version - 1].document, audit)

    def program_at(self, name: str, version: int) -> Program:
        return self.versions_of[name][version - 1][0]

    def policy_at(self, version: int) -> ContactPolicy:
        return ContactPolicy()


@dataclass
class Gate:
    """Features (`ports.FeatureSource`) that can be held back, to keep calls in flight; counts the reads begun."""

    opened: threading.Event = field(default_factory=threading.Event)
    reads: int = 0
    failure: Exception | None = None

    def begin(self, service: str, customer_id: str, now_ms: int) -> Gate:
        self.reads += 1
        return self

    def result(self) -> ServedFeatures:
        assert self.opened.wait(30)
        if self.failure is not None:
            raise self.failure
        return ServedFeatures(FeatureStatus.SERVED, {"age": 30}, {"profile": 1_700_000_000_000})

    def schema(self, service: str) -> Mapping[str, ValueType]:
        return {"age": ValueType.INT}


@pytest.fixture
def gate() -> Gate:
    """Features that are open until a test closes them."""
    gate = Gate()
    gate.opened.set()
    return gate


@pytest.fixture
def service(clock: ManualClock, gate: Gate) -> DecisionService:
    """With the program `welcome` published."""
    shelf = Shelf()
    shelf.publish_program("welcome", Audit("tests", clock.now_ms()))
    return DecisionService(
        policies=shelf,
        features=gate,
        ledger=MemoryLedger(),
        catalogue=MemoryCatalogue(),
        rules=CelRules(),
        clock=clock,
        entropy=random.Random(7).random,
    )


@pytest.fixture
def server(service: DecisionService) -> Iterator[Server]:
    """Serving on a free port."""
    with Server(service, "127.0.0.1:0", threads=4) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[DecisionClient]:
    """Connected to the server."""
    with DecisionClient(server.address, channels=2, deadline_ms=10_000) as client:
        client.wait_ready(10)
        yield client
