"""The ledger and its log in memory, for the core's speed in tests; held to the same contract suite as Redis."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from decision_service.application.ports import (
    NOT_KNOWN_YET,
    REPLACED,
    Committed,
    Dealings,
    Earlier,
    EntryKind,
    LedgerRead,
    LogBody,
    LogEntry,
    Moved,
    Recorded,
)
from decision_service.core.model.customer import Contact, CustomerState, EventCounter
from decision_service.core.model.errors import NotFound, NotInService
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecisionRecord,
    Event,
    Outcome,
    digest_of,
    identity,
)
from decision_service.core.model.sending import Change, Confirmation, Verdict


class _Ready:
    def __init__(self, read: LedgerRead) -> None:
        self._read = read

    def result(self) -> LedgerRead:
        return self._read


class MemoryLedger:
    """Both ports, Ledger and LogReader, under one lock.

    ledger_id, time_ms: what it says of itself with each read; without an id it is not in service.
    """

    shards = 1

    def __init__(self, ledger_id: str = "memory", time_ms: Callable[[], int] | None = None) -> None:
        self.ledger_id, self._time_ms = ledger_id, time_ms
        self._lock = threading.RLock()
        self._states: dict[str, CustomerState] = {}
        self._requests: dict[tuple[str, str], DecisionRecord] = {}
        self._decisions: dict[str, DecisionRecord] = {}
        self._reported: dict[str, tuple[ActivationStatus, ...]] = {}
        self._stopped: dict[str, Confirmation] = {}
        self._occurred: dict[tuple[str, ...], str] = {}
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
            return _Ready(LedgerRead(self.state(customer_id), earlier, self.ledger_id, ledger_ms))

    def commit(
        self, record: DecisionRecord, contacts: Sequence[Contact], expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        """See the port."""
        request = (record.request.customer_id, record.request.request_id)
        with self._lock:
            if record.ledger_id != self.ledger_id:
                raise NotInService(REPLACED)
            if earlier := self._requests.get(request):
                return Earlier(earlier)
            if contacts:
                state = self.state(request[0])
                if state.version != expected_version:
                    return Moved(state)
                self._states[request[0]] = _moved(_with_contacts(state, contacts, drop))
            self._requests[request] = self._decisions[record.decision_id] = record
            self._append(EntryKind.DECISIONS, record)
            return Committed()

    def record(self, decision_id: str) -> DecisionRecord:
        """See the port."""
        try:
            return self._decisions[decision_id]
        except KeyError:
            if not self.ledger_id:
                raise NotInService(NOT_KNOWN_YET) from None
            raise NotFound("decision", decision_id) from None

    def dealings(self, customer_id: str, decision_id: str) -> Dealings:
        """See the port."""
        with self._lock:
            return Dealings(
                self.state(customer_id), self._reported.get(decision_id, ()), self._stopped.get(decision_id)
            )

    def activate(
        self, activation: Activation, contact: Contact | None, before: Sequence[ActivationStatus]
    ) -> Sequence[ActivationStatus]:
        """See the port."""
        with self._lock:
            known = self._reported.get(activation.decision_id, ())
            if known == tuple(before):
                self._reported[activation.decision_id] = (*known, activation.status)
                if contact is not None:
                    state = self.state(activation.customer_id)
                    self._states[activation.customer_id] = _moved(_with_contacts(state, [contact]))
                self._append(EntryKind.ACTIVATIONS, activation)
            return known

    def add_outcome(
        self,
        outcome: Outcome,
        counters: Sequence[str] = (),
        change: Change | None = None,
        expected_version: int = 0,
        *,
        counted: bool = True,
    ) -> Recorded | Moved:
        """See the port."""
        with self._lock:
            known = self._known(EntryKind.OUTCOMES, outcome)
            if known is not Recorded.NEW:
                return known
            state = self.state(outcome.customer_id)
            is_compared = bool(counters) or change is not None
            if is_compared and state.version != expected_version:
                return Moved(state)
            self._note(EntryKind.OUTCOMES, outcome)
            if counted:
                self._states[outcome.customer_id] = _with_counts(state, outcome, counters)
            self._apply(outcome.customer_id, change or Change(), moves=is_compared)
            return Recorded.NEW

    def add_event(self, event: Event, *, counted: bool = True) -> Recorded:
        """See the port."""
        with self._lock:
            known = self._known(EntryKind.EVENTS, event)
            if known is Recorded.NEW:
                self._note(EntryKind.EVENTS, event)
                if counted:
                    self._states[event.customer_id] = _with_counts(self.state(event.customer_id), event)
            return known

    def change(self, customer_id: str, change: Change, expected_version: int) -> Moved | None:
        """See the port."""
        with self._lock:
            state = self.state(customer_id)
            if state.version != expected_version:
                return Moved(state)
            self._apply(customer_id, change, moves=change.moves)
            return None

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

    def lengths(self) -> list[int]:
        """See the port."""
        return [len(self._log)]

    def backlog(self) -> int:
        """See the port."""
        return len(self._log)

    def _apply(self, customer_id: str, change: Change, moves: bool) -> None:
        state = self.state(customer_id)
        held = {(s.channel, s.reason): s for s in state.suppressions if s.channel not in change.lifted}
        held |= {(s.channel, s.reason): s for s in change.suppressions}
        suppressions = tuple(sorted(held.values(), key=lambda s: (s.channel, s.reason)))
        changed = replace(_with_contacts(state, change.contacts), suppressions=suppressions)
        self._states[customer_id] = _moved(changed) if moves else changed
        for confirmation in change.confirmations:
            if confirmation.verdict is Verdict.STOP:
                self._stopped[confirmation.decision_id] = confirmation
            self._append(EntryKind.CONFIRMATIONS, confirmation)
        for preference in change.preferences:
            self._append(EntryKind.CONTACT_PREFERENCES, preference)

    def _known(self, kind: EntryKind, body: Outcome | Event) -> Recorded:
        digest = self._occurred.get((kind.value, *identity(body)))
        if digest is None:
            return Recorded.NEW
        return Recorded.KNOWN if digest == digest_of(body) else Recorded.OTHER_BODY

    def _note(self, kind: EntryKind, body: Outcome | Event) -> None:
        self._occurred[(kind.value, *identity(body))] = digest_of(body)
        self._append(kind, body)

    def _append(self, kind: EntryKind, body: LogBody) -> None:
        self._sequence += 1
        self._log.append(LogEntry(0, self._sequence, kind, body))


def _moved(state: CustomerState) -> CustomerState:
    return replace(state, version=state.version + 1)


def _with_contacts(state: CustomerState, contacts: Sequence[Contact], drop: Sequence[str] = ()) -> CustomerState:
    gone = {*drop, *(c.decision_id for c in contacts)}
    kept = [
        *(c for c in state.contacts if c.decision_id not in gone),
        *(c for c in contacts if c.decision_id not in drop),
    ]
    return replace(state, contacts=tuple(sorted(kept, key=lambda c: (c.from_ms, c.decision_id))))


def _with_counts(state: CustomerState, body: Outcome | Event, counters: Sequence[str] = ()) -> CustomerState:
    counted = {
        name: state.events.get(name, EventCounter()).counting(body.occurred_at_ms) for name in {body.name, *counters}
    }
    return replace(state, events={**state.events, **counted})
