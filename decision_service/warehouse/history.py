"""The log of whole customers, read back from the warehouse: what a lost ledger is rebuilt from.

Customers come in parts of bounded size, and of old decisions only what takes a slot or a token is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from decision_service.application.ports import EntryKind, Warehouse
from decision_service.contract.codec import decode_record
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecisionRecord,
    Event,
    Outcome,
    Reservation,
    Token,
)
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind, Verdict
from decision_service.core.rebuild import Body, ContactDecision
from decision_service.warehouse.columns import values_from_json

ROWS_AT_ONCE = 100_000
"""About how many rows of the log are in memory at a time."""

_PART = "hash(customer_id) % $parts = $part"
_NAMED = "list_contains($customers, customer_id)"
_OF_LEDGER = "list_contains($ledgers, coalesce(ledger_id, ''))"
_QUERIES: Mapping[str, str] = {
    "contacts": f"""
SELECT decision_id, customer_id, decided_at_ms, program, program_version, action, channel, tokens, log_sequence,
    epoch_ms(lease_expires_at) AS lease_expires_at_ms, epoch_ms(send_at) AS send_at_ms
FROM decisions WHERE lease_expires_at IS NOT NULL AND {_OF_LEDGER}
""",
    "activations": "SELECT decision_id, customer_id, status, at_ms, received_at_ms, log_sequence FROM activations",
    "confirmations": """
SELECT decision_id, customer_id, verdict, reason, detail, asked, at_ms, until_ms, log_sequence
FROM confirmations WHERE verdict = 'STOP'
""",
    "contact_preferences": """
SELECT customer_id, kind, channel, reason, at_ms, until_ms, author, note, outcome_id, log_sequence
FROM contact_preferences WHERE kind <> 'PAUSE'
""",
    "outcomes": """
SELECT outcome_id, customer_id, name, occurred_at_ms, received_at_ms, value, decision_id, channel, attributes_json,
    log_sequence
FROM outcomes
""",
    "events": """
SELECT event_id, customer_id, name, occurred_at_ms, received_at_ms, attributes_json, log_sequence FROM events
""",
}
_RECORDS = f"SELECT customer_id, record FROM decisions WHERE decided_at_ms > $from_ms AND {_OF_LEDGER}"


@dataclass(slots=True)
class CustomerLog:
    """What was logged of one customer, in the order of the log; records are those that answer retries still."""

    customer_id: str
    bodies: Sequence[Body] = ()
    records: list[DecisionRecord] = field(default_factory=list)


class LoggedCustomers:
    """Of the decisions of one ledger, and the facts and suppressions of whoever took them.

    ledgers: the ids that its records bear, empty for none. records_from_ms: since when records are wanted.
    """

    def __init__(self, warehouse: Warehouse, ledgers: Collection[str], records_from_ms: int) -> None:
        self._warehouse, self._from_ms = warehouse, records_from_ms
        self._ledgers = sorted(ledgers)

    def parts(self, rows_at_once: int = ROWS_AT_ONCE) -> int:
        """In how many parts to read everybody."""
        rows = sum(_number(self._warehouse, f"SELECT count(*) FROM {kind.value}") for kind in EntryKind)
        return max(1, -(-rows // rows_at_once))

    def part(self, number: int, parts: int) -> Iterator[CustomerLog]:
        """The customers of one part."""
        return self._read(_PART, {"part": number, "parts": parts})

    def of(self, customers: Collection[str]) -> Iterator[CustomerLog]:
        """These customers, as far as anything was logged of them."""
        return self._read(_NAMED, {"customers": sorted(customers)})

    def heard_of_since(self, after: Mapping[int, int]) -> set[str]:
        """Customers with entries beyond a position of their shard's log."""
        found: set[str] = set()
        for kind in EntryKind:
            sql = f"SELECT DISTINCT customer_id FROM {kind.value} WHERE log_shard = $shard AND log_sequence > $after"
            for shard, sequence in after.items():
                rows = self._warehouse.query(sql, {"shard": shard, "after": sequence})
                found.update(rows.column("customer_id").to_pylist())
        return found

    def preferences_from_ms(self) -> int:
        """Since when suppressions and liftings are logged here; the end of time if none ever was."""
        sql = "SELECT coalesce(min(at_ms), 9223372036854775807) FROM contact_preferences WHERE kind <> 'PAUSE'"
        return _number(self._warehouse, sql)

    def _read(self, which: str, parameters: Mapping[str, object]) -> Iterator[CustomerLog]:
        found: dict[str, list[tuple[int, Body]]] = {}
        for name, sql in _QUERIES.items():
            used = dict(parameters)
            if name == "contacts":
                used["ledgers"] = self._ledgers
            narrowed = f"SELECT * FROM ({sql}) AS logged WHERE {which}"
            for row in self._warehouse.query(narrowed, used).to_pylist():
                found.setdefault(row["customer_id"], []).append((row["log_sequence"], _BODIES[name](row)))
        logs = {
            customer_id: CustomerLog(customer_id, [body for _, body in sorted(bodies, key=lambda entry: entry[0])])
            for customer_id, bodies in found.items()
        }
        wanted = {**parameters, "from_ms": self._from_ms, "ledgers": self._ledgers}
        for row in self._warehouse.query(f"{_RECORDS} AND {which}", wanted).to_pylist():
            log = logs.setdefault(row["customer_id"], CustomerLog(row["customer_id"]))
            log.records.append(decode_record(row["record"]))
        yield from logs.values()


def _number(warehouse: Warehouse, sql: str) -> int:
    [[number]] = [list(row.values()) for row in warehouse.query(sql).to_pylist()]
    return int(number)


def _contact(row: dict[str, Any]) -> ContactDecision:
    tokens = tuple(Token(t["budget"], t["period"], t["amount"]) for t in row["tokens"] or ())
    return ContactDecision(
        row["decision_id"],
        row["customer_id"],
        row["decided_at_ms"],
        row["program"],
        row["program_version"],
        row["action"],
        row["channel"] or "",
        Reservation(row["lease_expires_at_ms"], row["send_at_ms"], tokens),
    )


def _activation(row: dict[str, Any]) -> Activation:
    status = ActivationStatus(row["status"])
    return Activation(row["decision_id"], row["customer_id"], status, row["at_ms"], row["received_at_ms"])


def _confirmation(row: dict[str, Any]) -> Confirmation:
    return Confirmation(
        row["decision_id"],
        row["customer_id"],
        Verdict(row["verdict"]),
        row["at_ms"],
        Reason[row["reason"]] if row["reason"] else None,
        row["detail"],
        row["until_ms"],
        row["asked"],
    )


def _preference(row: dict[str, Any]) -> Preference:
    return Preference(
        row["customer_id"],
        PreferenceKind(row["kind"]),
        row["channel"],
        row["at_ms"],
        Reason[row["reason"]] if row["reason"] else None,
        row["until_ms"],
        row["author"],
        row["note"],
        row["outcome_id"] or "",
    )


def _outcome(row: dict[str, Any]) -> Outcome:
    return Outcome(
        row["outcome_id"],
        row["customer_id"],
        row["name"],
        row["occurred_at_ms"],
        row["received_at_ms"],
        row["value"],
        row["decision_id"] or "",
        row["channel"] or "",
        values_from_json(row["attributes_json"]),
    )


def _event(row: dict[str, Any]) -> Event:
    times = row["occurred_at_ms"], row["received_at_ms"]
    return Event(row["event_id"], row["customer_id"], row["name"], *times, values_from_json(row["attributes_json"]))


_BODIES: Mapping[str, Callable[[dict[str, Any]], Body]] = {
    "contacts": _contact,
    "activations": _activation,
    "confirmations": _confirmation,
    "contact_preferences": _preference,
    "outcomes": _outcome,
    "events": _event,
}
