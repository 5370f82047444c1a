"""The ledger on Redis. Its keys are in `keys`, what it does in one step in `ledger_scripts`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from decision_service.adapters.redis.installation import check_shards, milliseconds
from decision_service.adapters.redis.keys import Keys, shard_in, shard_of
from decision_service.adapters.redis.ledger_scripts import ACTIVATE, CHANGE, COMMIT, DEALINGS, OCCUR, RECORD
from decision_service.adapters.redis.wire import Reply, Script, Wire
from decision_service.application.ports import (
    NOT_KNOWN_YET,
    REPLACED,
    Committed,
    Dealings,
    Earlier,
    LedgerRead,
    LogBody,
    Moved,
    Recorded,
)
from decision_service.contract.codec import (
    decode_contact,
    decode_entry,
    decode_suppression,
    encode_contact,
    encode_entry,
    encode_suppression,
)
from decision_service.core.guardrails.effects import CLOCK_TOLERANCE_MS
from decision_service.core.model.customer import MAX_RECENT_EVENTS, Contact, CustomerState, EventCounter, Suppression
from decision_service.core.model.errors import NotFound, NotInService
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Activation, ActivationStatus, DecisionRecord, Event, Outcome, digest_of
from decision_service.core.model.sending import Change, Confirmation, Verdict

# KEYS state, request, ledger
_READ = Script("""
return {
  redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]), redis.call('TIME')
}
""")

MOST_FIELDS = 2_000
"""Event names beyond this are logged but no longer counted: every Decide reads the whole of a customer's state. What
pauses go by is counted all the same, as a guardrail must not give way to noise."""

_SUPPRESSION_REASONS = (Reason.SUPPRESSED, Reason.SUPPRESSED_BY_OUTCOME)


class _PendingRead:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def result(self) -> LedgerRead:
        fields, earlier, ledger, time = self._reply.result()
        ledger_id = "" if ledger is None else ledger.decode()
        return LedgerRead(_state(fields), None if earlier is None else _record(earlier), ledger_id, milliseconds(time))


class RedisLedger:
    """The Ledger port. Times are the service's; only retention (`PX`) is on the server's clock."""

    def __init__(self, url: str, shards: int, deadline_ms: int, retention_s: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")
        self._keys = [Keys(shard) for shard in range(shards)]
        self._retention_ms = retention_s * 1000

    def check_shards(self) -> None:
        """See `installation.check_shards`."""
        check_shards(self._wire, len(self._keys))

    def check_durability(self) -> list[str]:
        """What is unsafe about the server's settings, one sentence each; empty if nothing is.

        Raises:
            Unavailable: it does not answer.
        """
        settings = {name: _config(self._wire, name) for name in ("appendonly", "appendfsync", "maxmemory-policy")}
        problems = []
        if settings["appendonly"] not in ("yes", None):
            problems.append("appendonly is off: a restart forgets contacts and acknowledged decisions")
        if settings["maxmemory-policy"] not in ("noeviction", None):
            problems.append(
                f"maxmemory-policy is {settings['maxmemory-policy']}: contacts may be evicted, so caps break"
            )
        return problems

    def new_decision_id(self, customer_id: str, now_ms: int) -> str:
        """`SHARD-TIME+RANDOM` in hexadecimal: found by itself, roughly sorted by time."""
        return f"{shard_of(customer_id, len(self._keys)):02x}-{max(now_ms, 0):011x}{secrets.token_hex(8)}"

    def begin_read(self, customer_id: str, request_id: str) -> _PendingRead:
        """See the port."""
        keys = self._of(customer_id)
        read = [keys.customer(customer_id), keys.request(customer_id, request_id), keys.ledger]
        command = _READ.command(read, [])
        return _PendingRead(self._wire.begin(*command, script=_READ))

    def commit(
        self, record: DecisionRecord, contacts: Sequence[Contact], expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        """See the port."""
        request = record.request
        keys = self._of(request.customer_id)
        state, earlier = keys.customer(request.customer_id), keys.request(request.customer_id, request.request_id)
        fields = [part for contact in contacts for part in (f"c:{contact.decision_id}", encode_contact(contact))]
        kind, *rest = self._wire.run(
            COMMIT,
            [state, earlier, keys.decision(record.decision_id), keys.log, keys.ledger],
            [
                expected_version,
                self._retention_ms,
                encode_entry(record),
                record.ledger_id,
                len(contacts),
                *fields,
                *(f"c:{d}" for d in drop),
            ],
        )
        if kind == b"committed":
            return Committed()
        if kind == b"replaced":
            raise NotInService(REPLACED)
        return Moved(_state(rest[0])) if kind == b"moved" else Earlier(_record(rest[0]))

    def record(self, decision_id: str) -> DecisionRecord:
        """See the port."""
        keys = self._by_decision(decision_id)
        entry, is_in_service = self._wire.run(RECORD, [keys.decision(decision_id), keys.ledger], [])
        if entry is None:
            if not is_in_service:
                raise NotInService(NOT_KNOWN_YET)
            raise NotFound(
                "decision", decision_id, "the ledger forgets after its retention; `nba explain` asks the warehouse"
            )
        return _record(entry)

    def dealings(self, customer_id: str, decision_id: str) -> Dealings:
        """See the port."""
        keys = self._of(customer_id)
        fields, reported, stopped = self._wire.run(
            DEALINGS, [keys.customer(customer_id), keys.reported(decision_id), keys.stopped(decision_id)], []
        )
        return Dealings(_state(fields), _statuses(reported or b""), None if stopped is None else _stop(stopped))

    def activate(
        self, activation: Activation, contact: Contact | None, before: Sequence[ActivationStatus]
    ) -> Sequence[ActivationStatus]:
        """See the port."""
        keys = self._of(activation.customer_id)
        known = self._wire.run(
            ACTIVATE,
            [keys.customer(activation.customer_id), keys.reported(activation.decision_id), keys.log],
            [
                ",".join(before),
                ",".join((*before, activation.status)),
                self._retention_ms,
                encode_entry(activation),
                f"c:{activation.decision_id}",
                "" if contact is None else encode_contact(contact),
            ],
        )
        return _statuses(known)

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
        compared = str(expected_version) if counters or change is not None else ""
        return self._occur(outcome, counters, change or Change(), compared, counted)

    def add_event(self, event: Event, *, counted: bool = True) -> Recorded:
        """See the port."""
        recorded = self._occur(event, (), Change(), "", counted)
        assert isinstance(recorded, Recorded)
        return recorded

    def _occur(
        self, body: Outcome | Event, counters: Sequence[str], change: Change, compared: str, counted: bool
    ) -> Recorded | Moved:
        keys = self._of(body.customer_id)
        fields = [f"e:{name}" for name in dict.fromkeys((body.name, *counters))] if counted else []
        kind, *rest = self._wire.run(
            OCCUR,
            [keys.customer(body.customer_id), keys.log, keys.fact(body), *_stopped_keys(keys, change)],
            [
                digest_of(body),
                self._retention_ms + CLOCK_TOLERANCE_MS,  # as long as what lies a little ahead still counts
                encode_entry(body),
                body.occurred_at_ms,
                MAX_RECENT_EVENTS,
                MOST_FIELDS,
                compared,
                len(fields),
                *fields,
                *self._arguments(change),
            ],
        )
        return Moved(_state(rest[0])) if kind == b"moved" else Recorded(kind.decode())

    def change(self, customer_id: str, change: Change, expected_version: int) -> Moved | None:
        """See the port."""
        keys = self._of(customer_id)
        fields = self._wire.run(
            CHANGE,
            [keys.customer(customer_id), keys.log, keys.last(customer_id), *_stopped_keys(keys, change)],
            [expected_version, secrets.token_hex(8) if change.moves else "", *self._arguments(change)],
        )
        return None if fields is None else Moved(_state(fields))

    def _arguments(self, change: Change) -> list[Any]:
        """As `ledger_scripts` applies it. Stops come first among the entries: they are remembered too."""
        fields = contact_fields(change.contacts) | suppression_fields(change.suppressions)
        lifted = [f"x:{reason}:{channel}" for channel in change.lifted for reason in _SUPPRESSION_REASONS]
        stops = _stops(change)
        entries: list[LogBody] = [*stops, *(c for c in change.confirmations if c not in stops), *change.preferences]
        return [
            self._retention_ms,
            len(fields),
            *(part for pair in fields.items() for part in pair),
            len(lifted),
            *lifted,
            *(encode_entry(entry) for entry in entries),
        ]

    def state(self, customer_id: str) -> CustomerState:
        """See the port."""
        return _state(self._wire.call("HGETALL", self._of(customer_id).customer(customer_id)))

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _of(self, customer_id: str) -> Keys:
        return self._keys[shard_of(customer_id, len(self._keys))]

    def _by_decision(self, decision_id: str) -> Keys:
        shard = shard_in(decision_id)
        if not 0 <= shard < len(self._keys):
            raise NotFound("decision", decision_id, "this is not an id that Decide returned")
        return self._keys[shard]


def _record(entry: bytes) -> DecisionRecord:
    _, body = decode_entry(entry)
    assert isinstance(body, DecisionRecord)
    return body


def _stop(entry: bytes) -> Confirmation:
    _, body = decode_entry(entry)
    assert isinstance(body, Confirmation)
    return body


def _statuses(text: bytes) -> tuple[ActivationStatus, ...]:
    return tuple(ActivationStatus(status) for status in text.decode().split(",")) if text else ()


def _stops(change: Change) -> list[Confirmation]:
    return [c for c in change.confirmations if c.verdict is Verdict.STOP]


def _stopped_keys(keys: Keys, change: Change) -> list[str]:
    return [keys.stopped(stop.decision_id) for stop in _stops(change)]


def contact_fields(contacts: Iterable[Contact]) -> dict[str, bytes]:
    """Of a customer's hash."""
    return {f"c:{c.decision_id}": encode_contact(c) for c in contacts}


def suppression_fields(suppressions: Iterable[Suppression]) -> dict[str, bytes]:
    """Of a customer's hash: the end in plain text, for people who look at it (nothing: for good), then the message."""
    return {
        f"x:{s.reason}:{s.channel}": f"{'' if s.until_ms is None else s.until_ms};".encode() + encode_suppression(s)
        for s in suppressions
    }


def suppressions_in(fields: Mapping[bytes, bytes]) -> dict[bytes, tuple[bytes, Suppression]]:
    """Those among the fields of a customer's hash, by field, with the value as it is stored."""
    return {name: (value, _suppression(value)) for name, value in fields.items() if name.startswith(b"x:")}


def _suppression(value: bytes) -> Suppression:
    return decode_suppression(value.partition(b";")[2])


def _state(fields: Sequence[bytes]) -> CustomerState:
    """From HGETALL's flat list of names and values."""
    version = 0
    contacts, suppressions, events = [], [], {}
    for i in range(0, len(fields), 2):
        name, value = fields[i], fields[i + 1]
        match name[:2]:
            case b"c:":
                contacts.append(decode_contact(value))
            case b"x:":
                suppressions.append(_suppression(value))
            case b"e:":
                total, _, times = value.partition(b";")
                events[name[2:].decode()] = EventCounter(int(total), tuple(map(int, times.split(b","))))
            case _:
                version = int(value)
    contacts.sort(key=lambda c: (c.from_ms, c.decision_id))
    suppressions.sort(key=lambda s: (s.channel, s.reason))
    return CustomerState(version, tuple(contacts), tuple(suppressions), events)


def _config(wire: Wire, name: str) -> str | None:
    """A server setting; None where the server does not tell (managed services hide CONFIG)."""
    import redis

    try:
        answer: list[Any] = wire.call("CONFIG", "GET", name)
    except redis.exceptions.ResponseError:
        return None
    return answer[1].decode() if answer else None
