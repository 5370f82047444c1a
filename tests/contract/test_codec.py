"""Law: what is decoded equals what was encoded, field by field and type by type."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision_service.application.ports import EntryKind, LogBody
from decision_service.contract import codec, messages, record_messages
from decision_service.contract.pb import record_pb2, types_pb2
from decision_service.core.model.customer import Contact, ContactStatus, CustomerState, EventCounter, Suppression
from decision_service.core.model.program import Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    ALL_FEATURES,
    Activation,
    ActivationStatus,
    Candidate,
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
    Token,
    digest_body,
)
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind, Verdict

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
int64 = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False)
value = st.one_of(st.none(), st.booleans(), int64, finite, text, st.lists(text, max_size=3).map(tuple))
values = st.dictionaries(text, value, max_size=6)
names = st.lists(text, max_size=3).map(tuple)
contacts = st.builds(
    Contact,
    text,
    text,
    text,
    text,
    text,
    st.frozensets(text, max_size=3),
    st.sampled_from(ContactStatus),
    int64,
    int64,
    st.booleans(),
)
suppressions = st.builds(Suppression, text, st.sampled_from(Reason), int64, st.none() | int64, text)
counters = st.builds(EventCounter, int64, st.lists(int64, max_size=4).map(tuple))
states = st.builds(
    CustomerState,
    int64,
    st.lists(contacts, max_size=2).map(tuple),
    st.lists(suppressions, max_size=2).map(tuple),
    st.dictionaries(text, counters, max_size=2),
)
programs = st.lists(text, min_size=1, max_size=3).map(tuple)
requests = st.builds(
    DecideRequest, text, text, programs, values, names, st.none() | st.sampled_from(Group), st.booleans()
)
served = st.builds(
    ServedFeatures,
    st.sampled_from(FeatureStatus),
    values,
    st.dictionaries(text, int64, max_size=2),
    names,
    st.frozensets(text, max_size=3),
)
tokens = st.lists(st.builds(Token, text, text, int64), max_size=2).map(tuple)
maybe = st.none() | finite
options = st.lists(st.builds(Option, text, finite, maybe, maybe, maybe, maybe), max_size=3).map(tuple)
exclusions = st.lists(st.builds(Exclusion, text, st.sampled_from(Reason), text), max_size=3).map(tuple)
candidates = st.builds(
    Candidate,
    program=text,
    program_version=int64,
    probability=finite,
    score=maybe,
    group=st.sampled_from(Group),
    learning_mode=st.sampled_from(LearningMode),
    policy=st.sampled_from(PolicyKind),
    model=st.none() | st.builds(ModelVersion, text, text, text),
    features=served,
    live=values,
    options=options,
    exclusions=exclusions,
    degradations=st.lists(st.sampled_from(Reason), max_size=2).map(tuple),
    encoding_digest=text,
    in_audience=st.none() | st.booleans(),
)
records = st.builds(
    DecisionRecord,
    decision_id=text,
    ledger_id=text,
    request=requests,
    body_digest=text,
    decided_at_ms=int64,
    program=text,
    program_version=int64,
    policy_version=int64,
    model=st.none() | st.builds(ModelVersion, text, text, text),
    features=served,
    live=values,
    state=states,
    group=st.sampled_from(Group),
    learning_mode=st.sampled_from(LearningMode),
    policy=st.sampled_from(PolicyKind),
    options=options,
    exclusions=exclusions,
    draw=finite,
    drawn=text,
    chosen=text,
    reservation=st.none() | st.builds(Reservation, int64, st.none() | int64, tokens),
    degradations=st.lists(st.sampled_from(Reason), max_size=3).map(tuple),
    trainable=st.booleans(),
    encoding_digest=text,
    timings_us=st.dictionaries(text, int64, max_size=3),
    unlogged=st.booleans(),
    channel=text,
    program_probability=finite.filter(bool),
    program_score=maybe,
    others=st.lists(candidates, max_size=2).map(tuple),
    timezone=text,
    budget_levels=st.dictionaries(text, int64, max_size=2),
    in_audience=st.none() | st.booleans(),
    global_holdout=st.none() | st.booleans(),
)
activations = st.builds(
    Activation,
    text,
    text,
    st.sampled_from(ActivationStatus),
    int64,
    int64,
    detail=text,
    late=st.booleans(),
    contradicts=st.none() | st.sampled_from(ActivationStatus),
)
confirmations = st.builds(
    Confirmation,
    text,
    text,
    st.sampled_from(Verdict),
    int64,
    reason=st.none() | st.sampled_from(Reason),
    detail=text,
    until_ms=st.none() | int64,
    asked=st.booleans(),
    policy_version=int64,
    features=values,
    unread=names.map(frozenset),
)
preferences = st.builds(
    Preference,
    text,
    st.sampled_from(PreferenceKind),
    text,
    int64,
    reason=st.none() | st.sampled_from(Reason),
    until_ms=st.none() | int64,
    author=text,
    note=text,
    outcome_id=text,
)
outcomes = st.builds(
    Outcome, text, text, text, int64, int64, value=finite, decision_id=text, channel=text, attributes=values
)
events = st.builds(Event, text, text, text, int64, int64, attributes=values)


def typed(x: Any) -> Any:
    """A form in which True, 1 and 1.0 differ, so that equality also compares types."""
    if dataclasses.is_dataclass(x):
        return {f.name: typed(getattr(x, f.name)) for f in dataclasses.fields(x)}
    if isinstance(x, dict):
        return {k: typed(v) for k, v in x.items()}
    if isinstance(x, tuple):
        return tuple(map(typed, x))
    return (type(x), x)


@settings(deadline=None, max_examples=150)
@given(records)
def test_a_record_survives_encoding(record: DecisionRecord) -> None:
    """decode(encode(record)) is the record, with None, bool, int and float told apart and no float rounded."""
    assert typed(codec.decode_record(codec.encode_record(record))) == typed(record)


@settings(deadline=None, max_examples=150)
@given(st.one_of(records, activations, outcomes, events, confirmations, preferences))
def test_a_log_entry_survives_encoding(body: LogBody) -> None:
    """decode_entry gives back the body and names its kind."""
    kind, decoded = codec.decode_entry(codec.encode_entry(body))
    expected = {
        DecisionRecord: EntryKind.DECISIONS,
        Activation: EntryKind.ACTIVATIONS,
        Outcome: EntryKind.OUTCOMES,
        Event: EntryKind.EVENTS,
        Confirmation: EntryKind.CONFIRMATIONS,
        Preference: EntryKind.CONTACT_PREFERENCES,
    }
    assert kind is expected[type(body)]
    assert typed(decoded) == typed(body)


NOT_LOGGED = {"DecideRequest.dry_run", "DecideRequest.at_ms"}
"""A dry run is not logged, and only a dry run names its moment."""


def test_no_field_is_left_out_of_the_law() -> None:
    """Each takes other values than its default above, so that a new one that is not encoded is noticed."""
    fields, varied = set(), set()

    def look(x: Any) -> None:
        if dataclasses.is_dataclass(x):
            for f in dataclasses.fields(x):
                name = f"{type(x).__name__}.{f.name}"
                fields.add(name)
                value = getattr(x, f.name)
                default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
                if value != default:
                    varied.add(name)
                look(value)
        elif isinstance(x, (dict, tuple)):
            for inner in x.values() if isinstance(x, dict) else x:
                look(inner)

    @settings(deadline=None, max_examples=1_000, database=None, derandomize=True)
    @given(st.one_of(records, activations, outcomes, events, confirmations, preferences))
    def collect(body: LogBody) -> None:
        look(body)

    collect()
    assert fields - varied == NOT_LOGGED


@settings(deadline=None, max_examples=60)
@given(contacts, suppressions)
def test_contacts_and_suppressions_survive_encoding(contact: Contact, suppression: Suppression) -> None:
    """What the ledger stores of a customer is read back as written."""
    assert typed(codec.decode_contact(codec.encode_contact(contact))) == typed(contact)
    assert typed(codec.decode_suppression(codec.encode_suppression(suppression))) == typed(suppression)


@settings(deadline=None, max_examples=20)
@given(records)
def test_a_record_of_one_program_by_an_earlier_release_is_read(record: DecisionRecord) -> None:
    """Without the programs asked and their probability, the program that decided was asked alone and certain to."""
    pb = record_messages.record_to_pb(dataclasses.replace(record, others=()))
    for name in ("programs", "program_probability"):
        pb.ClearField(name)  # type: ignore[arg-type]
    read = record_messages.record_from_pb(pb)
    assert (read.request.programs, read.program_probability) == ((record.program,), 1.0)


@given(records)
def test_what_an_earlier_release_could_not_read_is_taken_from_the_status(record: DecisionRecord) -> None:
    """It did not log it: nothing was unread where the store answered, everything where it did not."""
    pb = record_messages.record_to_pb(record)
    pb.features.ClearField("unread")
    for candidate in pb.others:
        candidate.features.ClearField("unread")
    features = record_messages.record_from_pb(pb).features
    is_unavailable = record.features.status is FeatureStatus.UNAVAILABLE
    assert features.unread == ({ALL_FEATURES} if is_unavailable else frozenset())


def test_a_request_of_one_program_has_the_digest_that_an_earlier_release_gave_it() -> None:
    """So that a retry which arrives after the upgrade gets the same answer, and is not refused as another request."""
    request = DecideRequest("r1", "ada", ("spring",), {"age": 3}, ("email",))
    assert digest_body(request) == "40dea9eb84b88103866b78b58b7a20bc"
    assert digest_body(dataclasses.replace(request, programs=("spring", "autumn"))) != digest_body(request)


def test_an_entry_of_defaults_keeps_its_kind() -> None:
    """A body whose fields are all zero or empty is still told from an entry without a body."""
    event = Event("", "", "", 0, 0)
    assert codec.decode_entry(codec.encode_entry(event)) == (EntryKind.EVENTS, event)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\xff\xff", "not a LogEntry"),
        (b"", "without a body"),
        (
            record_pb2.LogEntry(activation=record_pb2.Activation(status=77)).SerializeToString(),  # type: ignore[arg-type]
            "unknown enum number 77",
        ),
    ],
)
def test_foreign_bytes_are_refused(data: bytes, complaint: str) -> None:
    """Bytes that are no entry of this version raise ValueError saying what is wrong."""
    with pytest.raises(ValueError, match=complaint):
        codec.decode_entry(data)


def test_values_outside_the_vocabulary_are_refused() -> None:
    """A list is not a value, and an int beyond 64 bits does not fit."""
    with pytest.raises(TypeError, match="tuple of str"):
        messages.value_to_pb(["a"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="range"):
        messages.value_to_pb(2**63)


@pytest.mark.parametrize(
    ("core", "to_pb", "proto"),
    [
        (Group, messages.GROUP_TO_PB, types_pb2.Group),
        (LearningMode, messages.LEARNING_MODE_TO_PB, types_pb2.LearningMode),
        (Reason, messages.REASON_TO_PB, types_pb2.Reason),
        (ActivationStatus, messages.ACTIVATION_STATUS_TO_PB, types_pb2.ActivationStatus),
        (FeatureStatus, messages.FEATURE_STATUS_TO_PB, record_pb2.FeatureStatus),
        (PolicyKind, messages.POLICY_KIND_TO_PB, record_pb2.PolicyKind),
    ],
)
def test_enums_have_twins(core: type[Enum], to_pb: dict[Any, int], proto: Any) -> None:
    """Every core member has its own proto number, and the proto enum has no other member than UNSPECIFIED."""
    assert set(to_pb) == set(core)
    assert sorted(to_pb.values()) == sorted(number for number in proto.values() if number)
    suffixed = {member: proto.Name(number) for member, number in to_pb.items()}
    assert all(member.name in name for member, name in suffixed.items())
