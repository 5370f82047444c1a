"""Log entries for tests of the warehouse, loader and join, and a log in a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from decision_service.application.ports import EntryKind, LogBody, LogEntry
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.program import Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    Event,
    Exclusion,
    FeatureStatus,
    ModelVersion,
    Option,
    Outcome,
    PolicyKind,
    Reservation,
    ServedFeatures,
)
from decision_service.core.model.sending import Confirmation, Preference
from decision_service.core.model.values import NO_ACTION

T0 = 1_700_000_000_000
KIND_OF = {
    DecisionRecord: EntryKind.DECISIONS,
    Activation: EntryKind.ACTIVATIONS,
    Outcome: EntryKind.OUTCOMES,
    Event: EntryKind.EVENTS,
    Confirmation: EntryKind.CONFIRMATIONS,
    Preference: EntryKind.CONTACT_PREFERENCES,
}


def loaded() -> int:
    """A loader's clock by which the log is loaded for as long as any test asks."""
    return T0 + 1_000_000_000


def decision(
    decision_id: str, customer_id: str = "c1", at_s: float = 0, action: str = "email_a", program: str = "spring"
) -> DecisionRecord:
    """A decision `at_s` seconds after T0 between email_a (0.75) and NO_ACTION (0.25)."""
    return DecisionRecord(
        decision_id=decision_id,
        request=DecideRequest(f"r-{decision_id}", customer_id, (program,), {"page": "home", "vip": None}),
        body_digest="digest",
        decided_at_ms=T0 + round(at_s * 1000),
        program=program,
        program_version=3,
        policy_version=2,
        model=ModelVersion("nba-spring", "7", "1"),
        features=ServedFeatures(
            FeatureStatus.SERVED, {"age": 41, "spend": 1.5, "tags": ("a", "b")}, {"profile": T0 - 1000}, ("orders",)
        ),
        live={"views_1d": 2},
        state=CustomerState(version=5),
        group=Group.TREATMENT,
        learning_mode=LearningMode.ONLINE,
        policy=PolicyKind.MODEL,
        options=(Option("email_a", 0.75, 0.2), Option(NO_ACTION, 0.25)),
        exclusions=(Exclusion("sms_b", Reason.FREQUENCY_CAP, "weekly"),),
        draw=0.1,
        drawn=action,
        chosen=action,
        reservation=None if action == NO_ACTION else Reservation(T0 + 900_000),
        channel="" if action == NO_ACTION else "email",
        degradations=(Reason.FEATURES_STALE,),
        encoding_digest="abc",
        timings_us={"total": 120},
    )


def untrainable(record: DecisionRecord) -> DecisionRecord:
    """The same decision, not to be learned from."""
    return replace(record, trainable=False)


def activation(decision_id: str, status: str = "SENT", customer_id: str = "c1", at_s: float = 1) -> Activation:
    """A report `at_s` seconds after T0."""
    at_ms = T0 + round(at_s * 1000)
    return Activation(decision_id, customer_id, ActivationStatus(status), at_ms, at_ms)


def outcome(
    outcome_id: str,
    at_s: float,
    customer_id: str = "c1",
    name: str = "purchase",
    value: float = 1.0,
    decision_id: str = "",
    received_s: float | None = None,
) -> Outcome:
    """An outcome `at_s` seconds after T0, received at once unless told."""
    received = at_s if received_s is None else received_s
    return Outcome(
        outcome_id, customer_id, name, T0 + round(at_s * 1000), T0 + round(received * 1000), value, decision_id
    )


def event(event_id: str, customer_id: str = "c1", at_s: float = 0) -> Event:
    """A page view."""
    at_ms = T0 + round(at_s * 1000)
    return Event(event_id, customer_id, "page_view", at_ms, at_ms, {"page": "home"})


class ListLog:
    """A LogReader over lists, one per shard; `add` appends as the ledger does."""

    def __init__(self, shards: int = 4) -> None:
        self.shards = shards
        self._next = [1] * shards
        self.entries: list[LogEntry] = []

    def add(self, *bodies: LogBody, shard: int | None = None) -> Sequence[LogEntry]:
        """Append bodies, each to its customer's shard unless one is given; the new entries."""
        added = []
        for body in bodies:
            customer = body.request.customer_id if isinstance(body, DecisionRecord) else body.customer_id
            into = sum(customer.encode()) % self.shards if shard is None else shard
            added.append(LogEntry(into, self._next[into], KIND_OF[type(body)], body))
            self._next[into] += 1
        self.entries += added
        return added

    def read(self, after: Mapping[int, int], limit: int) -> Sequence[LogEntry]:
        """Up to `limit` entries per shard, oldest first."""
        return [
            entry
            for shard in range(self.shards)
            for entry in [e for e in self.entries if e.shard == shard and e.sequence > after.get(shard, 0)][:limit]
        ]

    def trim(self, through: Mapping[int, int]) -> None:
        """Forget entries."""
        self.entries = [e for e in self.entries if e.sequence > through.get(e.shard, 0)]

    def lengths(self) -> Sequence[int]:
        """Entries left, by shard."""
        return [sum(e.shard == shard for e in self.entries) for shard in range(self.shards)]

    def backlog(self) -> int:
        """Entries left."""
        return len(self.entries)
