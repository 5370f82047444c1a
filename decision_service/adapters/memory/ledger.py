"""The ledger and its log in memory, for the core's speed in tests; held to the same contract suite as Redis."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from decision_service.application.ports import Committed, Earlier, EntryKind, LedgerRead, LogEntry, Moved
from decision_service.core.guardrails.effects import FATES, is_news
from decision_service.core.model.customer import (
    MAX_RECENT_EVENTS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.errors import NotFound
from decision_service.core.model.record import Activation, ActivationStatus, DecisionRecord, Event, Outcome


class _Ready:
    def __init__(self, read: LedgerRead) -> None:
        self._read = read

    def result(self) -> LedgerRead:
        return self._read


def _end(suppression: Suppression) -> float:
    return float("inf") if suppression.until_ms is None else suppression.until_ms


class MemoryLedger:
    """Both ports, Ledger and LogReader, under one lock.

    ledger_id, time_ms: what it says of itself with each read.
    """

    shards = 1

    def __init__(self, ledger_id: str = "", time_ms: Callable[[], int] | None = None) -> None:
        self._ledger_id, self._time_ms = ledger_id, time_ms
        self._lock = threading.RLock()
        self._states: dict[str, CustomerState] = {}
        self._requests: dict[tuple[str, str], DecisionRecord] = {}
        self._decisions: dict[str, DecisionRecord] = {}
        self._activations: dict[str, ActivationStatus] = {}
        self._occurred: set[tuple[str, str, str]] = set()
        self._log: list[LogEntry] = []
        self._sequence = 0

    def new_decision_id(self, customer_id: str, now_ms: int) -> str:
        """See the port."""
        del customer_id  # there is one shard
        return f"00-{max(now_ms, 0):011x}{secrets.token_hex(8)}"

    def begin_read(self, customer_id: str, request_id: str) -> _Ready:
        """See the port."""
        with self._lock:
            earlier = self._requests.get((customer_id, request_id))
            ledger_ms = None if self._time_ms is None else self._time_ms()
            return _Ready(LedgerRead(self.state(customer_id), earlier, self._ledger_id, ledger_ms))

    def commit(
        self, record: DecisionRecord, reserve: Contact | None, expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        """See the port."""
        request = (record.request.customer_id, record.request.request_id)
        with self._lock:
            if earlier := self._requests.get(request):
                return Earlier(earlier)
            if reserve is not None:
                state = self.state(request[0])
                if state.version != expected_version:
                    return Moved(state)
                self._set_contacts(request[0], {reserve.decision_id, *drop}, reserve)
            self._requests[request] = self._decisions[record.decision_id] = record
            self._append(EntryKind.DECISIONS, record)
            return Committed()

    def record(self, decision_id: str) -> DecisionRecord:
        """See the port."""
        try:
            return self._decisions[decision_id]
        except KeyError:
            raise NotFound("decision", decision_id) from None

    def activate(self, activation: Activation, contact: Contact | None) -> bool:
        """See the port."""
        with self._lock:
            if not is_news(self._activations.get(activation.decision_id), activation):
                return False
            self._activations[activation.decision_id] = activation.status
            if contact is not None:
                state = self.state(activation.customer_id)
                before = next((c for c in state.contacts if c.decision_id == activation.decision_id), contact)
                if before.status is ContactStatus.SENT and activation.status in FATES:
                    contact = replace(before, status=contact.status)  # the time of sending stays
                self._set_contacts(activation.customer_id, {activation.decision_id}, contact)
            self._append(EntryKind.ACTIVATIONS, activation)
            return True

    def add_outcome(
        self, outcome: Outcome, suppressions: Sequence[Suppression] = (), counters: Sequence[str] = ()
    ) -> bool:
        """See the port."""
        with self._lock:
            if not self._occur(EntryKind.OUTCOMES, outcome.outcome_id, outcome, counters):
                return False
            state = self.state(outcome.customer_id)
            held = {(s.channel, s.reason): s for s in state.suppressions}
            for suppression in suppressions:
                other = held.get((suppression.channel, suppression.reason))
                if other is None or _end(other) < _end(suppression):
                    held[suppression.channel, suppression.reason] = suppression
            if suppressions or counters:
                self._set_suppressions(outcome.customer_id, held.values())
            return True

    def add_event(self, event: Event) -> bool:
        """See the port."""
        with self._lock:
            return self._occur(EntryKind.EVENTS, event.event_id, event)

    def suppress(self, customer_id: str, suppression: Suppression) -> None:
        """See the port."""
        with self._lock:
            held = {(s.channel, s.reason): s for s in self.state(customer_id).suppressions}
            held[suppression.channel, suppression.reason] = suppression
            self._set_suppressions(customer_id, held.values())

    def unsuppress(self, customer_id: str, channel: str) -> bool:
        """See the port."""
        with self._lock:
            held = self.state(customer_id).suppressions
            kept = [s for s in held if s.channel != channel]
            if len(kept) == len(held):
                return False
            self._set_suppressions(customer_id, kept)
            return True

    def state(self, customer_id: str) -> CustomerState:
        """See the port."""
        return self._states.get(customer_id, CustomerState())

    def read(self, after: Mapping[int, int], limit: int) -> list[LogEntry]:
        """See the port."""
        with self._lock:
            return [e for e in self._log if e.sequence > after.get(0, -1)][:limit]

    def trim(self, through: Mapping[int, int]) -> None:
        """See the port."""
        with self._lock:
            self._log = [e for e in self._log if e.sequence > through.get(0, -1)]

    def backlog(self) -> int:
        """See the port."""
        return len(self._log)

    def _set_suppressions(self, customer_id: str, suppressions: Iterable[Suppression]) -> None:
        state = self.state(customer_id)
        ordered = tuple(sorted(suppressions, key=lambda s: (s.channel, s.reason)))
        self._states[customer_id] = replace(state, version=state.version + 1, suppressions=ordered)

    def _set_contacts(self, customer_id: str, without: set[str], contact: Contact | None) -> None:
        state = self.state(customer_id)
        contacts = [c for c in state.contacts if c.decision_id not in without]
        contacts += [contact] if contact is not None else []
        contacts.sort(key=lambda c: (c.from_ms, c.decision_id))
        self._states[customer_id] = replace(state, version=state.version + 1, contacts=tuple(contacts))

    def _occur(self, kind: EntryKind, occurrence_id: str, body: Outcome | Event, counters: Sequence[str] = ()) -> bool:
        key = (kind.value, body.customer_id, occurrence_id)
        if key in self._occurred:
            return False
        self._occurred.add(key)
        state = self.state(body.customer_id)
        events = dict(state.events)
        for name in {body.name, *counters}:
            counter = events.get(name, EventCounter(0, ()))
            times = sorted((*counter.recent_ms, body.occurred_at_ms), reverse=True)[:MAX_RECENT_EVENTS]
            events[name] = EventCounter(counter.total + 1, tuple(times))
        self._states[body.customer_id] = replace(state, events=events)
        self._append(kind, body)
        return True

    def _append(self, kind: EntryKind, body: DecisionRecord | Activation | Outcome | Event) -> None:
        self._sequence += 1
        self._log.append(LogEntry(0, self._sequence, kind, body))
