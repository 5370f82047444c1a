"""Core values ↔ the protobuf messages of `nba.v1`: exact both ways, with no rounding and no defaults lost.

Encoding a record lies on Decide's hot path. Messages are therefore filled in place, field by field: with
protobuf's upb runtime that costs a third of building nested messages and copying them into their parents.

`None` in a mapping of values is a `Value` with no kind set. Maps have no order on the wire: a decoded mapping
equals the encoded one but may iterate in another order. A `*_from_pb` raises KeyError where a member of a closed
vocabulary is unset or unknown to this version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar, cast

from decision_service.contract.pb import admin_service_pb2, record_pb2, types_pb2
from decision_service.core.model.customer import Contact, ContactStatus, CustomerState, EventCounter, Suppression
from decision_service.core.model.program import Group, LearningMode, ProgramState
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    Event,
    FeatureStatus,
    Outcome,
    PolicyKind,
)
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind, Verdict
from decision_service.core.model.values import Value, Values

E = TypeVar("E", bound=Enum)


def _twins(core: type[E], proto: Any, name: Callable[[str], str] = str) -> Mapping[E, Any]:
    """Core member → number of its twin in the proto enum.

    Raises:
        ValueError: a member has no twin; at import, so that it cannot be overlooked.
    """
    if missing := [twin for member in core if (twin := name(member.name)) not in proto.keys()]:  # noqa: SIM118
        raise ValueError(f"add {', '.join(missing)} to enum {core.__name__} below proto/nba/v1, then `make proto`")
    return MappingProxyType({member: proto.Value(name(member.name)) for member in core})


# Enum values share one namespace in a proto package, hence the longer names of some twins.
GROUP_TO_PB: Mapping[Group, types_pb2.Group] = _twins(
    Group, types_pb2.Group, lambda n: "HOLDOUT_GROUP" if n == "HOLDOUT" else n
)
LEARNING_MODE_TO_PB: Mapping[LearningMode, types_pb2.LearningMode] = _twins(LearningMode, types_pb2.LearningMode)
REASON_TO_PB: Mapping[Reason, types_pb2.Reason] = _twins(Reason, types_pb2.Reason)
ACTIVATION_STATUS_TO_PB: Mapping[ActivationStatus, types_pb2.ActivationStatus] = _twins(
    ActivationStatus, types_pb2.ActivationStatus
)
FEATURE_STATUS_TO_PB: Mapping[FeatureStatus, record_pb2.FeatureStatus] = _twins(
    FeatureStatus, record_pb2.FeatureStatus, lambda n: f"FEATURES_{n}"
)
CONTACT_STATUS_TO_PB: Mapping[ContactStatus, record_pb2.ContactStatus] = _twins(
    ContactStatus, record_pb2.ContactStatus, lambda n: f"CONTACT_{n}"
)
VERDICT_TO_PB: Mapping[Verdict, types_pb2.Verdict] = _twins(Verdict, types_pb2.Verdict, lambda n: f"VERDICT_{n}")
PREFERENCE_KIND_TO_PB: Mapping[PreferenceKind, record_pb2.PreferenceKind] = _twins(
    PreferenceKind, record_pb2.PreferenceKind, lambda n: f"PREFERENCE_{n}"
)
PROGRAM_STATE_TO_PB: Mapping[ProgramState, admin_service_pb2.ProgramState] = _twins(
    ProgramState, admin_service_pb2.ProgramState, lambda n: f"PROGRAM_{n}"
)
POLICY_KIND_TO_PB: Mapping[PolicyKind, record_pb2.PolicyKind] = _twins(
    PolicyKind, record_pb2.PolicyKind, lambda n: f"POLICY_{n}"
)


def _inverse(twins: Mapping[E, int]) -> Mapping[int, E]:
    return MappingProxyType({number: member for member, number in twins.items()})


GROUP_FROM_PB = _inverse(GROUP_TO_PB)
LEARNING_MODE_FROM_PB = _inverse(LEARNING_MODE_TO_PB)
REASON_FROM_PB = _inverse(REASON_TO_PB)
ACTIVATION_STATUS_FROM_PB = _inverse(ACTIVATION_STATUS_TO_PB)
FEATURE_STATUS_FROM_PB = _inverse(FEATURE_STATUS_TO_PB)
CONTACT_STATUS_FROM_PB = _inverse(CONTACT_STATUS_TO_PB)
POLICY_KIND_FROM_PB = _inverse(POLICY_KIND_TO_PB)
VERDICT_FROM_PB = _inverse(VERDICT_TO_PB)
PREFERENCE_KIND_FROM_PB = _inverse(PREFERENCE_KIND_TO_PB)
PROGRAM_STATE_FROM_PB = _inverse(PROGRAM_STATE_TO_PB)


# Values


def fill_value(pb: types_pb2.Value, value: Value | None) -> None:
    """Set an empty message to `value`.

    Raises:
        TypeError: not a bool, int, float, str or tuple of str.
        ValueError: an int beyond 64 bits.
    """
    if value is None:
        return
    if isinstance(value, float):
        pb.double_value = value
    elif isinstance(value, str):
        pb.string_value = value
    elif isinstance(value, bool):  # before int, which it is too
        pb.bool_value = value
    elif isinstance(value, int):
        pb.int_value = value
    elif isinstance(value, tuple):
        pb.strings_value.SetInParent()  # an empty tuple is not a missing value
        pb.strings_value.values.extend(value)
    else:
        raise TypeError(f"{type(value).__name__} is not a value: use bool, int, float, str or a tuple of str")


def value_to_pb(value: Value | None) -> types_pb2.Value:
    """As a message; `fill_value` has the errors."""
    pb = types_pb2.Value()
    fill_value(pb, value)
    return pb


def value_from_pb(pb: types_pb2.Value) -> Value | None:
    """The value, None where no kind is set."""
    kind = pb.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "strings_value":
        return tuple(pb.strings_value.values)
    return cast(Value, getattr(pb, kind))


def fill_values(pb: MutableMapping[str, types_pb2.Value], values: Values) -> None:
    """Set an empty map field; `fill_value` has the errors."""
    for name, value in values.items():
        fill_value(pb[name], value)


def values_from_pb(pb: Mapping[str, types_pb2.Value]) -> dict[str, Value | None]:
    """Name → value, None where no kind is set."""
    return {name: value_from_pb(value) for name, value in pb.items()}


# The customer's state


def fill_contact(pb: record_pb2.Contact, contact: Contact) -> None:
    """Set an empty message."""
    pb.decision_id = contact.decision_id
    pb.program = contact.program
    pb.action = contact.action
    pb.message = contact.message
    pb.channel = contact.channel
    pb.tags.extend(sorted(contact.tags))
    pb.status = CONTACT_STATUS_TO_PB[contact.status]
    pb.from_ms = contact.from_ms
    pb.until_ms = contact.until_ms
    pb.uncounted = not contact.counted


def contact_from_pb(pb: record_pb2.Contact) -> Contact:
    """The core value."""
    return Contact(
        decision_id=pb.decision_id,
        program=pb.program,
        action=pb.action,
        message=pb.message,
        channel=pb.channel,
        tags=frozenset(pb.tags),
        status=CONTACT_STATUS_FROM_PB[pb.status],
        from_ms=pb.from_ms,
        until_ms=pb.until_ms,
        counted=not pb.uncounted,
    )


def fill_suppression(pb: record_pb2.Suppression, suppression: Suppression) -> None:
    """Set an empty message."""
    pb.channel = suppression.channel
    pb.reason = REASON_TO_PB[suppression.reason]
    pb.since_ms = suppression.since_ms
    if suppression.until_ms is not None:
        pb.until_ms = suppression.until_ms
    pb.note = suppression.note


def suppression_from_pb(pb: record_pb2.Suppression) -> Suppression:
    """The core value."""
    return Suppression(
        channel=pb.channel,
        reason=REASON_FROM_PB[pb.reason],
        since_ms=pb.since_ms,
        until_ms=pb.until_ms if pb.HasField("until_ms") else None,
        note=pb.note,
    )


def fill_state(pb: record_pb2.CustomerState, state: CustomerState) -> None:
    """Set an empty message."""
    pb.version = state.version
    for contact in state.contacts:
        fill_contact(pb.contacts.add(), contact)
    for suppression in state.suppressions:
        fill_suppression(pb.suppressions.add(), suppression)
    for name, counter in state.events.items():
        slot = pb.events[name]
        slot.total = counter.total
        slot.recent_ms.extend(counter.recent_ms)


def state_from_pb(pb: record_pb2.CustomerState) -> CustomerState:
    """The core value."""
    return CustomerState(
        version=pb.version,
        contacts=tuple(map(contact_from_pb, pb.contacts)),
        suppressions=tuple(map(suppression_from_pb, pb.suppressions)),
        events={name: EventCounter(slot.total, tuple(slot.recent_ms)) for name, slot in pb.events.items()},
    )


# Activations, outcomes, events


def fill_activation(pb: record_pb2.Activation, activation: Activation) -> None:
    """Set an empty message."""
    pb.decision_id = activation.decision_id
    pb.customer_id = activation.customer_id
    pb.status = ACTIVATION_STATUS_TO_PB[activation.status]
    pb.at_ms = activation.at_ms
    pb.received_at_ms = activation.received_at_ms
    pb.detail = activation.detail
    pb.late = activation.late
    if activation.contradicts is not None:
        pb.contradicts = ACTIVATION_STATUS_TO_PB[activation.contradicts]


def activation_from_pb(pb: record_pb2.Activation) -> Activation:
    """The core value."""
    return Activation(
        decision_id=pb.decision_id,
        customer_id=pb.customer_id,
        status=ACTIVATION_STATUS_FROM_PB[pb.status],
        at_ms=pb.at_ms,
        received_at_ms=pb.received_at_ms,
        detail=pb.detail,
        late=pb.late,
        contradicts=ACTIVATION_STATUS_FROM_PB[pb.contradicts] if pb.contradicts else None,
    )


def fill_outcome(pb: record_pb2.Outcome, outcome: Outcome) -> None:
    """Set an empty message."""
    pb.outcome_id = outcome.outcome_id
    pb.customer_id = outcome.customer_id
    pb.name = outcome.name
    pb.occurred_at_ms = outcome.occurred_at_ms
    pb.received_at_ms = outcome.received_at_ms
    pb.value = outcome.value
    pb.decision_id = outcome.decision_id
    pb.channel = outcome.channel
    fill_values(pb.attributes, outcome.attributes)


def outcome_from_pb(pb: record_pb2.Outcome) -> Outcome:
    """The core value; its `value` is 1 where absent."""
    return Outcome(
        outcome_id=pb.outcome_id,
        customer_id=pb.customer_id,
        name=pb.name,
        occurred_at_ms=pb.occurred_at_ms,
        received_at_ms=pb.received_at_ms,
        value=pb.value if pb.HasField("value") else 1.0,
        decision_id=pb.decision_id,
        channel=pb.channel,
        attributes=values_from_pb(pb.attributes),
    )


def fill_event(pb: record_pb2.Event, event: Event) -> None:
    """Set an empty message."""
    pb.event_id = event.event_id
    pb.customer_id = event.customer_id
    pb.name = event.name
    pb.occurred_at_ms = event.occurred_at_ms
    pb.received_at_ms = event.received_at_ms
    fill_values(pb.attributes, event.attributes)


def event_from_pb(pb: record_pb2.Event) -> Event:
    """The core value."""
    return Event(
        event_id=pb.event_id,
        customer_id=pb.customer_id,
        name=pb.name,
        occurred_at_ms=pb.occurred_at_ms,
        received_at_ms=pb.received_at_ms,
        attributes=values_from_pb(pb.attributes),
    )


# Confirmations and preferences


def fill_confirmation(pb: record_pb2.Confirmation, confirmation: Confirmation) -> None:
    """Set an empty message."""
    pb.decision_id = confirmation.decision_id
    pb.customer_id = confirmation.customer_id
    pb.verdict = VERDICT_TO_PB[confirmation.verdict]
    pb.at_ms = confirmation.at_ms
    if confirmation.reason is not None:
        pb.reason = REASON_TO_PB[confirmation.reason]
    pb.detail = confirmation.detail
    if confirmation.until_ms is not None:
        pb.until_ms = confirmation.until_ms
    pb.unasked = not confirmation.asked
    pb.policy_version = confirmation.policy_version
    fill_values(pb.features, confirmation.features)
    pb.unread.extend(sorted(confirmation.unread))


def confirmation_from_pb(pb: record_pb2.Confirmation) -> Confirmation:
    """The core value."""
    return Confirmation(
        decision_id=pb.decision_id,
        customer_id=pb.customer_id,
        verdict=VERDICT_FROM_PB[pb.verdict],
        at_ms=pb.at_ms,
        reason=REASON_FROM_PB[pb.reason] if pb.reason else None,
        detail=pb.detail,
        until_ms=pb.until_ms if pb.HasField("until_ms") else None,
        asked=not pb.unasked,
        policy_version=pb.policy_version,
        features=values_from_pb(pb.features),
        unread=frozenset(pb.unread),
    )


def fill_preference(pb: record_pb2.Preference, preference: Preference) -> None:
    """Set an empty message."""
    pb.customer_id = preference.customer_id
    pb.kind = PREFERENCE_KIND_TO_PB[preference.kind]
    pb.channel = preference.channel
    pb.at_ms = preference.at_ms
    if preference.reason is not None:
        pb.reason = REASON_TO_PB[preference.reason]
    if preference.until_ms is not None:
        pb.until_ms = preference.until_ms
    pb.author = preference.author
    pb.note = preference.note
    pb.outcome_id = preference.outcome_id


def preference_from_pb(pb: record_pb2.Preference) -> Preference:
    """The core value."""
    return Preference(
        customer_id=pb.customer_id,
        kind=PREFERENCE_KIND_FROM_PB[pb.kind],
        channel=pb.channel,
        at_ms=pb.at_ms,
        reason=REASON_FROM_PB[pb.reason] if pb.reason else None,
        until_ms=pb.until_ms if pb.HasField("until_ms") else None,
        author=pb.author,
        note=pb.note,
        outcome_id=pb.outcome_id,
    )
