"""A program that is lived through: decided by the real core, delivered, rewarded, loaded and joined."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind, LogEntry
from decision_service.core.decide import Entrant, Inputs, Scorer, decide
from decision_service.core.model.customer import CustomerState, EventCounter
from decision_service.core.model.program import Action, ContactPolicy, GroupShares, Program
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    FeatureStatus,
    Outcome,
    ServedFeatures,
)
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import NO_ACTION, Value, ValueType
from decision_service.core.replay import record_of
from decision_service.warehouse.progress import record_loaded
from tests.support.logged import T0
from training.dataset import LoggedDataset, read_dataset
from training.join import LATE_GRACE_S, join_outcomes

PROGRAM = Program(
    name="spring",
    version=1,
    feature_service="customer_v1",
    actions=(
        Action("email_a", "email", "a", frozenset({"promo"}), {"discount": 0.1}),
        Action("push_b", "push", "b"),
    ),
    reward=RewardDefinition({"visit": 1.0}, 60),
    groups=GroupShares("salt"),
    context={"page": ValueType.STRING},
    live_events=("view",),
    model_excludes=frozenset({"timezone"}),
)
SCHEMA = {
    "age": ValueType.INT,
    "segment": ValueType.STRING,
    "spend": ValueType.FLOAT,
    "tags": ValueType.STRINGS,
    "timezone": ValueType.STRING,
}

Taste = Callable[[str, str], float]
"""(segment, action) → probability of a visit."""


def opposites(segment: str, action: str) -> float:
    """Segment x likes email_a, segment y push_b; nobody comes unasked."""
    if action == NO_ACTION:
        return 0.1
    return 0.8 if (segment == "x") == (action == "email_a") else 0.2


def indifferent(segment: str, action: str) -> float:
    """Nothing makes a difference."""
    return 0.4


class Shop:
    """A warehouse that fills as decisions are lived through, one per second."""

    def __init__(self, program: Program = PROGRAM, seed: int = 0) -> None:
        self.program = program
        self.warehouse = MemoryWarehouse()
        self.now_ms = T0
        self.records: list[DecisionRecord] = []
        self._source = random.Random(seed)
        self._sequence = 0

    def program_at(self, name: str, version: int, ledger_id: str = "") -> Program:
        """The program, whatever is asked for."""
        return replace(self.program, version=version)

    def dataset(self) -> LoggedDataset:
        """The learnable decisions so far."""
        return read_dataset(self.warehouse, self.program, self.program_at)

    def live(self, count: int, model: Scorer | None = None, taste: Taste = opposites) -> None:
        """Decide `count` times, deliver and reward, then load and join."""
        bodies: list[DecisionRecord | Activation | Outcome] = []
        for _ in range(count):
            self.now_ms += 1000
            record, segment = self._decide(model)
            self.records.append(record)
            customer = record.request.customer_id
            bodies.append(record)
            if record.is_contact:
                sent = Activation(record.decision_id, customer, ActivationStatus.SENT, self.now_ms, self.now_ms)
                bodies.append(sent)
            if self._source.random() < taste(segment, record.chosen):
                visit = Outcome(
                    f"o-{record.decision_id}",
                    customer,
                    "visit",
                    self.now_ms + 1,
                    self.now_ms + 1,
                    decision_id=record.decision_id,
                )
                bodies.append(visit)
        self._load(bodies)
        self.now_ms += 120_000 + LATE_GRACE_S * 1000
        join_outcomes(self.warehouse, {self.program.name: self.program}, self.now_ms)

    def _decide(self, model: Scorer | None) -> tuple[DecisionRecord, str]:
        source, number = self._source, len(self.records)
        segment = source.choice("xy")
        features: dict[str, Value | None] = {
            "age": source.choice([None, source.randint(18, 90)]),
            "segment": segment,
            "spend": source.lognormvariate(3, 2),
            "tags": tuple(source.sample(["new", "vip", "a|b: c"], source.randint(0, 2))),
            "timezone": "Europe/Berlin",
        }
        views = tuple(self.now_ms - source.randint(1, 10**9) for _ in range(source.randint(0, 3)))
        served = ServedFeatures(FeatureStatus.SERVED, features, {"profile": self.now_ms})
        inputs = Inputs(
            DecideRequest(f"r{number}", f"c{number}", (self.program.name,), {"page": source.choice(["home", "söl d"])}),
            (Entrant(self.program, served),),
            ContactPolicy(),
            CustomerState(events={"view": EventCounter(len(views), tuple(sorted(views, reverse=True)))}),
            self.now_ms,
        )
        made = decide(inputs, CelRules(), {self.program.name: model}, source.random())
        record = record_of(inputs, made, decision_id=f"d{number:06}")
        return record, segment

    def _load(self, bodies: list[DecisionRecord | Activation | Outcome]) -> None:
        for kind, type_ in (
            (EntryKind.DECISIONS, DecisionRecord),
            (EntryKind.ACTIVATIONS, Activation),
            (EntryKind.OUTCOMES, Outcome),
        ):
            entries = []
            for body in bodies:
                if isinstance(body, type_):
                    self._sequence += 1
                    entries.append(LogEntry(0, self._sequence, kind, body))
            self.warehouse.load(kind, entries)
        record_loaded(self.warehouse, 2 * self.now_ms)
