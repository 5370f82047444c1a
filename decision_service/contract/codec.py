"""Core values ↔ bytes: what the ledger, the log stream and the loader hold. The messages are those of `nba.v1`.

Round trips are exact. Every decoder raises ValueError for bytes that are not such a message, or that hold a
member of a closed vocabulary that this version does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from decision_service.application.ports import EntryKind, LogBody
from decision_service.contract import messages, record_messages
from decision_service.contract.pb import record_pb2
from decision_service.core.model.customer import Contact, Suppression
from decision_service.core.model.record import Activation, DecisionRecord, Event, Outcome
from decision_service.core.model.sending import Confirmation

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def _decode(message: type[M], data: bytes, build: Callable[[M], T]) -> T:
    try:
        return build(message.FromString(data))
    except DecodeError as error:
        raise ValueError(f"not a {message.__name__}: {error}") from error
    except KeyError as error:
        raise ValueError(
            f"{message.__name__} with an unknown enum number {error}; written by a newer version?"
        ) from error


def encode_record(record: DecisionRecord) -> bytes:
    """A `DecisionRecord` message."""
    return record_messages.record_to_pb(record).SerializeToString()


def decode_record(data: bytes) -> DecisionRecord:
    """The inverse of `encode_record`."""
    return _decode(record_pb2.DecisionRecord, data, record_messages.record_from_pb)


def encode_contact(contact: Contact) -> bytes:
    """A `Contact` message."""
    pb = record_pb2.Contact()
    messages.fill_contact(pb, contact)
    return pb.SerializeToString()


def decode_contact(data: bytes) -> Contact:
    """The inverse of `encode_contact`."""
    return _decode(record_pb2.Contact, data, messages.contact_from_pb)


def encode_suppression(suppression: Suppression) -> bytes:
    """A `Suppression` message."""
    pb = record_pb2.Suppression()
    messages.fill_suppression(pb, suppression)
    return pb.SerializeToString()


def decode_suppression(data: bytes) -> Suppression:
    """The inverse of `encode_suppression`."""
    return _decode(record_pb2.Suppression, data, messages.suppression_from_pb)


def encode_entry(body: LogBody) -> bytes:
    """A `LogEntry` message: what a shard's log stream holds."""
    entry = record_pb2.LogEntry()
    if isinstance(body, DecisionRecord):
        record_messages.fill_record(entry.decision, body)
    elif isinstance(body, Activation):
        messages.fill_activation(entry.activation, body)
    elif isinstance(body, Outcome):
        messages.fill_outcome(entry.outcome, body)
    elif isinstance(body, Event):
        messages.fill_event(entry.event, body)
    elif isinstance(body, Confirmation):
        messages.fill_confirmation(entry.confirmation, body)
    else:
        messages.fill_preference(entry.preference, body)
    return entry.SerializeToString()


_BODIES: Mapping[str, tuple[EntryKind, Callable[[Any], LogBody]]] = {
    "decision": (EntryKind.DECISIONS, record_messages.record_from_pb),
    "activation": (EntryKind.ACTIVATIONS, messages.activation_from_pb),
    "outcome": (EntryKind.OUTCOMES, messages.outcome_from_pb),
    "event": (EntryKind.EVENTS, messages.event_from_pb),
    "confirmation": (EntryKind.CONFIRMATIONS, messages.confirmation_from_pb),
    "preference": (EntryKind.CONTACT_PREFERENCES, messages.preference_from_pb),
}


def _entry_from_pb(pb: record_pb2.LogEntry) -> tuple[EntryKind, LogBody]:
    body = pb.WhichOneof("body")
    if body is None:
        raise ValueError("LogEntry without a body; written by a newer version?")
    kind, build = _BODIES[body]
    return kind, build(getattr(pb, body))


def decode_entry(data: bytes) -> tuple[EntryKind, LogBody]:
    """The inverse of `encode_entry`, with the kind of its body."""
    return _decode(record_pb2.LogEntry, data, _entry_from_pb)
