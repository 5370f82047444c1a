"""What the service needs from the outside, as small ports. Each has an in-memory form, and one contract
suite in `tests/contracts` that every form passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from decision_service.core.decide import Scorer
from decision_service.core.model.customer import Contact, CustomerState
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecisionRecord,
    Event,
    ModelVersion,
    Outcome,
    ServedFeatures,
    Token,
)
from decision_service.core.model.sending import Change, Confirmation, Preference
from decision_service.core.model.values import ValueType

if TYPE_CHECKING:
    import pyarrow as pa  # a Decide worker never opens the warehouse, nor imports Arrow for it

T_co = TypeVar("T_co", covariant=True)


class Clock(Protocol):
    """Time as an argument, so that simulations and tests set it."""

    def now_ms(self) -> int:
        """UTC epoch milliseconds."""
        ...


class Pending(Protocol[T_co]):
    """A read that has been sent; `result` waits for it. Two of them overlap without threads."""

    def result(self) -> T_co:
        """The answer.

        Raises:
            Unavailable: it did not come within the adapter's deadline.
        """
        ...


class FeatureSource(Protocol):
    """Warehouse-sourced features from the online store."""

    def begin(
        self, service: str, customer_id: str, now_ms: int, arrived_s: float | None = None
    ) -> Pending[ServedFeatures]:
        """Send one read of every feature of the FeatureService; TTLs are enforced against `now_ms`.

        The result never raises for a slow or absent store: its status is then UNAVAILABLE.
        arrived_s: when the request arrived, by `time.monotonic`, which its deadline begins with; None: now. An answer
        that is there is taken even after the deadline.

        Raises:
            NotFound: no such FeatureService.
        """
        ...

    def schema(self, service: str) -> Mapping[str, ValueType]:
        """Feature name → type, in the order of the FeatureService.

        Raises:
            NotFound: no such FeatureService.
        """
        ...


NOT_KNOWN_YET = (
    "it is not in service, so nobody can tell whether the decision was made; ask again when it is; what was lost "
    "is brought back by `nba ledger rebuild`"
)
REPLACED = "what was read is not of the ledger that is there now: it was lost, or replaced, meanwhile; ask again"


@dataclass(frozen=True, slots=True)
class LedgerRead:
    """One atomic read: the customer's state, and the record of an earlier decision under the same request id.

    ledger_id: of the ledger that answered, where it is in service; else empty.
    ledger_ms: its own time, UTC epoch milliseconds; None if it has none.
    """

    state: CustomerState
    earlier: DecisionRecord | None = None
    ledger_id: str = ""
    ledger_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The decision is durable and its slot reserved."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Nothing was written: the customer's state moved since it was read. `state` is the fresh one."""

    state: CustomerState


@dataclass(frozen=True, slots=True)
class Earlier:
    """Nothing was written: this request id was already answered with `record`."""

    record: DecisionRecord


@dataclass(frozen=True, slots=True)
class Dealings:
    """One atomic read of a decision's standing.

    reported: the statuses reported, in the order in which they came. stopped: the STOP that was given, asked for or
    not; None if there was none.
    """

    state: CustomerState
    reported: tuple[ActivationStatus, ...] = ()
    stopped: Confirmation | None = None


class Recorded(StrEnum):
    """What became of an outcome or event: NEW was logged; KNOWN changed nothing; OTHER_BODY is known with another
    content, and nothing was written."""

    NEW = "new"
    KNOWN = "known"
    OTHER_BODY = "other body"


class EntryKind(StrEnum):
    """What a log entry holds; also the name of the warehouse table it is loaded into."""

    DECISIONS = "decisions"
    ACTIVATIONS = "activations"
    OUTCOMES = "outcomes"
    EVENTS = "events"
    CONFIRMATIONS = "confirmations"
    CONTACT_PREFERENCES = "contact_preferences"


LogBody: TypeAlias = DecisionRecord | Activation | Outcome | Event | Confirmation | Preference


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a shard's log stream. `sequence` increases within the shard and fits a signed 64-bit integer."""

    shard: int
    sequence: int
    kind: EntryKind
    body: LogBody


class Ledger(Protocol):
    """Contacts, reservations, suppressions, live counters, idempotency and the log, atomic per customer."""

    def new_decision_id(self, customer_id: str, now_ms: int) -> str:
        """A fresh id that names the customer's shard, so that the record is found by it alone."""
        ...

    def begin_read(self, customer_id: str, request_id: str) -> Pending[LedgerRead]:
        """Send one atomic read. The result raises Unavailable when the ledger does not answer."""
        ...

    def commit(
        self, record: DecisionRecord, contacts: Sequence[Contact], expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        """In one atomic step: answer an earlier request id; else compare the state's version with
        `expected_version` (only with contacts), put `contacts` in the place of those of the same decisions, the one
        reserved first, drop the contacts of the decisions in `drop`, and append the record to the log.

        Raises:
            Unavailable: the ledger did not answer; the commit may or may not have happened, and the same
                request id will tell.
            NotInService: the record's `ledger_id` is not the ledger's that is there; nothing was written.
        """
        ...

    def record(self, decision_id: str) -> DecisionRecord:
        """The record, while the ledger retains it.

        Raises:
            NotFound: unknown, or older than the retention (the warehouse keeps it).
            NotInService: it is not there, and may be known once what was lost is brought back.
        """
        ...

    def dealings(self, customer_id: str, decision_id: str) -> Dealings:
        """In one atomic read: the customer's state, and what was reported on and said of one decision."""
        ...

    def activate(
        self, activation: Activation, contact: Contact | None, before: Sequence[ActivationStatus]
    ) -> Sequence[ActivationStatus]:
        """Log the activation and set the decision's slot to `contact` (None leaves the state), if the reports known
        are still `before`. The reports known so far: `before` if it was applied, else nothing was written."""
        ...

    def add_outcome(
        self,
        outcome: Outcome,
        counters: Sequence[str] = (),
        change: Change | None = None,
        expected_version: int = 0,
        *,
        counted: bool = True,
    ) -> Recorded | Moved:
        """Log an outcome, count it as a live event and under each of `counters`, and apply `change`, all in one step.

        An outcome is known by its id, name and channel. With counters or a change the state's version is compared
        with `expected_version`, and moves. counted: False only logs it.
        """
        ...

    def add_event(self, event: Event, *, counted: bool = True) -> Recorded:
        """Log an event and count it; it is known by its id and name. counted: False only logs it."""
        ...

    def change(self, customer_id: str, change: Change, expected_version: int) -> Moved | None:
        """Apply and log a change in one step, if the state's version is still `expected_version`; it moves if the
        change does. None if it was applied. Repeating it finds the version moved."""
        ...

    def state(self, customer_id: str) -> CustomerState:
        """The customer's state now."""
        ...


class Budgets(Protocol):
    """Counters of the volume constraints, over all customers.

    A token is taken before its decision is committed, spent when the message is reported as sent, and comes back when
    the decision is released or its lease lapses. Sent wins: a token that came back is taken again if its message turns
    out to have been sent. Every method may be repeated with the same arguments.
    """

    def begin_levels(self, keys: Sequence[str], now_ms: int) -> Pending[Mapping[str, int]]:
        """Send one read: `Token.key` → the amount taken, spent or held by a live lease; 0 where none ever was.

        The result raises Unavailable when the store does not answer.
        """
        ...

    def take(
        self, decision_id: str, tokens: Sequence[Token], limits: Sequence[int], now_ms: int, until_ms: int
    ) -> str | None:
        """Take all tokens or none, each if its counter then stays within its limit; held until `until_ms`, and the
        time that a report may take. The key of the first counter that has too little left, None if all were taken.

        Raises:
            Unavailable: no answer; the tokens may have been taken, and then come back by themselves.
        """
        ...

    def spend(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """The message was sent: its tokens never come back; those that had come back are taken again, whatever
        is left."""
        ...

    def release(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """The decision will not be sent: its tokens come back, but those spent."""
        ...


class LogReader(Protocol):
    """The loader's end of the log. Entries are never lost before `trim`."""

    @property
    def shards(self) -> int:
        """How many streams there are."""
        ...

    def read(self, after: Mapping[int, int], limit: int) -> Sequence[LogEntry]:
        """Up to `limit` entries per shard with sequence greater than `after[shard]` (absent: from the start), oldest
        first; fewer shards than there are, where that is much to hold in memory."""
        ...

    def trim(self, through: Mapping[int, int]) -> None:
        """Forget entries up to and including each shard's sequence; they are in the warehouse."""
        ...

    def lengths(self) -> Sequence[int]:
        """Entries not trimmed yet, by shard."""
        ...

    def backlog(self) -> int:
        """The same over all shards."""
        ...


class Warehouse(Protocol):
    """Tables and SQL. One loader process writes the four log tables; jobs own the tables they write.

    Tables are exchanged as Arrow. SQL is DuckDB's dialect; `tables()` names what it can see.
    """

    def load(self, kind: EntryKind, entries: Sequence[LogEntry]) -> int:
        """Append entries to the kind's table exactly once: those at or below the last loaded sequence of their
        shard are skipped, and the new last sequences are recorded in the same transaction. Rows written."""
        ...

    def loaded(self, kind: EntryKind) -> Mapping[int, int]:
        """Shard → last loaded sequence of the kind's table."""
        ...

    def tables(self) -> Sequence[str]:
        """Names of the tables that exist."""
        ...

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """Run a read-only query; parameters are named (`$name`). Log tables that do not exist yet read as empty."""
        ...

    def replace(self, table: str, rows: pa.Table, where: str | None = None) -> None:
        """Atomically replace the rows that match `where` (all of them by default) with `rows`; creates the table."""
        ...

    def append(self, table: str, rows: pa.Table) -> None:
        """Append rows; creates the table."""
        ...

    def forget(self, customer_id: str) -> int:
        """Delete every row of a customer from every table; how many."""
        ...

    def compact(self) -> int:
        """Merge small files and drop those no longer referenced; files removed."""
        ...


class Catalogue(Protocol):
    """The models that may serve."""

    def champion(self, program: str) -> Scorer | None:
        """The loaded champion of a program, None if there is none; cheap, called once per Decide."""
        ...

    def scorer(self, model: ModelVersion) -> Scorer:
        """A particular version, for replay.

        Raises:
            NotFound: no such model version.
            ModelRejected: it fails its checks.
        """
        ...

    def status(self) -> Mapping[str, str]:
        """Program → what is loaded and, where a newer version was refused, why."""
        ...


class Simulations(Protocol):
    """Simulations of what is proposed, done by another process: no Decide worker opens the warehouse."""

    def run(self, document: str, contact_policy_document: str, from_ms: int, until_ms: int, timeout_s: float) -> str:
        """The report as JSON text (docs/simulate.md) on the decisions of [from_ms, until_ms), replayed through the
        program `document`; an empty contact policy document leaves every decision the policy it was made under.

        Raises:
            InvalidRequest: every mistake of both documents and of the period, at once.
            NotFound: a version that decisions were logged under is not known.
            Unavailable: no simulator answers, or not within `timeout_s`.
            Overloaded: others wait for one already.
        """
        ...
