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

from decision_service.core.customer import Contact, ContactStatus, CustomerState, EventCounter, Suppression
from decision_service.core.program import Group, LearningMode
from decision_service.core.reasons import Reason
from decision_service.core.record import (
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
from decision_service.core.values import Value, Values
from decision_service.pb import record_pb2, types_pb2

E = TypeVar("E", bound=Enum)


def _twins(core: type[E], proto: Any, name: Callable[[str], str] = str) -> Mapping[E, Any]:
    """Core member → number of its twin in the proto enum.

    Raises:
        ValueError: a member has no twin; at import, so that it cannot be overlooked.
    """
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
POLICY_KIND_FROM_PB = _inverse(POLICY_KIND_TO_PB)


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
    pb.sent = contact.status is ContactStatus.SENT
    pb.from_ms = contact.from_ms
    pb.until_ms = contact.until_ms


def contact_from_pb(pb: record_pb2.Contact) -> Contact:
    """The core value."""
    return Contact(
        decision_id=pb.decision_id,
        program=pb.program,
        action=pb.action,
        message=pb.message,
        channel=pb.channel,
        tags=frozenset(pb.tags),
        status=ContactStatus.SENT if pb.sent else ContactStatus.RESERVED,
        from_ms=pb.from_ms,
        until_ms=pb.until_ms,
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


# The decision record and its parts


def fill_exclusion(pb: record_pb2.Exclusion, exclusion: Exclusion) -> None:
    """Set an empty message."""
    pb.action = exclusion.action
    pb.reason = REASON_TO_PB[exclusion.reason]
    pb.detail = exclusion.detail


def exclusion_from_pb(pb: record_pb2.Exclusion) -> Exclusion:
    """The core value."""
    return Exclusion(pb.action, REASON_FROM_PB[pb.reason], pb.detail)


def fill_model(pb: record_pb2.ModelVersion, model: ModelVersion) -> None:
    """Set an empty message, present even if all its names are empty."""
    pb.SetInParent()
    pb.name = model.name
    pb.version = model.version
    pb.encoder_version = model.encoder_version


def model_from_pb(pb: record_pb2.ModelVersion) -> ModelVersion:
    """The core value."""
    return ModelVersion(pb.name, pb.version, pb.encoder_version)


def fill_record(pb: record_pb2.DecisionRecord, record: DecisionRecord) -> None:
    """Set an empty message."""
    request = record.request
    pb.decision_id = record.decision_id
    pb.request_id = request.request_id
    pb.customer_id = request.customer_id
    pb.program = request.program
    pb.body_digest = record.body_digest
    pb.decided_at_ms = record.decided_at_ms
    fill_values(pb.context, request.context)
    pb.channels.extend(request.channels)
    if request.pinned_group is not None:
        pb.pinned_group = GROUP_TO_PB[request.pinned_group]
    pb.no_action_when_unavailable = request.no_action_when_unavailable

    pb.program_version = record.program_version
    pb.policy_version = record.policy_version
    if record.model is not None:
        fill_model(pb.model, record.model)

    features = pb.features
    features.status = FEATURE_STATUS_TO_PB[record.features.status]
    fill_values(features.values, record.features.values)
    features.event_times_ms.update(record.features.event_times_ms)
    features.stale_views.extend(record.features.stale_views)
    fill_values(pb.live, record.live)
    fill_state(pb.state, record.state)

    pb.group = GROUP_TO_PB[record.group]
    pb.learning_mode = LEARNING_MODE_TO_PB[record.learning_mode]
    pb.policy = POLICY_KIND_TO_PB[record.policy]
    for option in record.options:
        slot = pb.options.add()
        slot.action = option.action
        slot.probability = option.probability
        if option.predicted_reward is not None:
            slot.predicted_reward = option.predicted_reward
        if option.apprentice_probability is not None:
            slot.apprentice_probability = option.apprentice_probability
    for exclusion in record.exclusions:
        fill_exclusion(pb.exclusions.add(), exclusion)
    pb.draw = record.draw
    pb.drawn = record.drawn
    pb.chosen = record.chosen
    if record.reservation is not None:
        pb.reservation.SetInParent()
        pb.reservation.lease_expires_at_ms = record.reservation.lease_expires_at_ms
        if record.reservation.send_at_ms is not None:
            pb.reservation.send_at_ms = record.reservation.send_at_ms
    pb.degradations.extend([REASON_TO_PB[reason] for reason in record.degradations])
    pb.trainable = record.trainable
    pb.encoding_digest = record.encoding_digest
    pb.timings_us.update(record.timings_us)
    pb.unlogged = record.unlogged
    pb.channel = record.channel


def record_to_pb(record: DecisionRecord) -> record_pb2.DecisionRecord:
    """As a message."""
    pb = record_pb2.DecisionRecord()
    fill_record(pb, record)
    return pb


def _option_from_pb(pb: record_pb2.Option) -> Option:
    return Option(
        action=pb.action,
        probability=pb.probability,
        predicted_reward=pb.predicted_reward if pb.HasField("predicted_reward") else None,
        apprentice_probability=pb.apprentice_probability if pb.HasField("apprentice_probability") else None,
    )


def _reservation_from_pb(pb: record_pb2.Reservation) -> Reservation:
    return Reservation(pb.lease_expires_at_ms, pb.send_at_ms if pb.HasField("send_at_ms") else None)


def record_from_pb(pb: record_pb2.DecisionRecord) -> DecisionRecord:
    """The core value."""
    return DecisionRecord(
        decision_id=pb.decision_id,
        request=DecideRequest(
            request_id=pb.request_id,
            customer_id=pb.customer_id,
            program=pb.program,
            context=values_from_pb(pb.context),
            channels=tuple(pb.channels),
            pinned_group=GROUP_FROM_PB[pb.pinned_group] if pb.pinned_group else None,
            no_action_when_unavailable=pb.no_action_when_unavailable,
        ),
        body_digest=pb.body_digest,
        decided_at_ms=pb.decided_at_ms,
        program_version=pb.program_version,
        policy_version=pb.policy_version,
        model=model_from_pb(pb.model) if pb.HasField("model") else None,
        features=ServedFeatures(
            status=FEATURE_STATUS_FROM_PB[pb.features.status],
            values=values_from_pb(pb.features.values),
            event_times_ms=dict(pb.features.event_times_ms),
            stale_views=tuple(pb.features.stale_views),
        ),
        live=values_from_pb(pb.live),
        state=state_from_pb(pb.state),
        group=GROUP_FROM_PB[pb.group],
        learning_mode=LEARNING_MODE_FROM_PB[pb.learning_mode],
        policy=POLICY_KIND_FROM_PB[pb.policy],
        options=tuple(map(_option_from_pb, pb.options)),
        exclusions=tuple(map(exclusion_from_pb, pb.exclusions)),
        draw=pb.draw,
        drawn=pb.drawn,
        chosen=pb.chosen,
        reservation=_reservation_from_pb(pb.reservation) if pb.HasField("reservation") else None,
        degradations=tuple([REASON_FROM_PB[reason] for reason in pb.degradations]),
        trainable=pb.trainable,
        encoding_digest=pb.encoding_digest,
        timings_us=dict(pb.timings_us),
        unlogged=pb.unlogged,
        channel=pb.channel,
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
