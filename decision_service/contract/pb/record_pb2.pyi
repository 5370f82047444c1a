from decision_service.contract.pb import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_STATUS_UNSPECIFIED: _ClassVar[FeatureStatus]
    FEATURES_SERVED: _ClassVar[FeatureStatus]
    FEATURES_UNKNOWN_CUSTOMER: _ClassVar[FeatureStatus]
    FEATURES_UNAVAILABLE: _ClassVar[FeatureStatus]

class PolicyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_KIND_UNSPECIFIED: _ClassVar[PolicyKind]
    POLICY_MODEL: _ClassVar[PolicyKind]
    POLICY_UNIFORM: _ClassVar[PolicyKind]
    POLICY_BASELINE: _ClassVar[PolicyKind]
    POLICY_HOLDOUT: _ClassVar[PolicyKind]

class ContactStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTACT_RESERVED: _ClassVar[ContactStatus]
    CONTACT_SENT: _ClassVar[ContactStatus]
    CONTACT_DELIVERED: _ClassVar[ContactStatus]
    CONTACT_BOUNCED: _ClassVar[ContactStatus]
    CONTACT_RELEASED: _ClassVar[ContactStatus]
    CONTACT_REVOKED: _ClassVar[ContactStatus]
    CONTACT_LAPSED: _ClassVar[ContactStatus]

class PreferenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREFERENCE_KIND_UNSPECIFIED: _ClassVar[PreferenceKind]
    PREFERENCE_SUPPRESS: _ClassVar[PreferenceKind]
    PREFERENCE_LIFT: _ClassVar[PreferenceKind]
    PREFERENCE_PAUSE: _ClassVar[PreferenceKind]
FEATURE_STATUS_UNSPECIFIED: FeatureStatus
FEATURES_SERVED: FeatureStatus
FEATURES_UNKNOWN_CUSTOMER: FeatureStatus
FEATURES_UNAVAILABLE: FeatureStatus
POLICY_KIND_UNSPECIFIED: PolicyKind
POLICY_MODEL: PolicyKind
POLICY_UNIFORM: PolicyKind
POLICY_BASELINE: PolicyKind
POLICY_HOLDOUT: PolicyKind
CONTACT_RESERVED: ContactStatus
CONTACT_SENT: ContactStatus
CONTACT_DELIVERED: ContactStatus
CONTACT_BOUNCED: ContactStatus
CONTACT_RELEASED: ContactStatus
CONTACT_REVOKED: ContactStatus
CONTACT_LAPSED: ContactStatus
PREFERENCE_KIND_UNSPECIFIED: PreferenceKind
PREFERENCE_SUPPRESS: PreferenceKind
PREFERENCE_LIFT: PreferenceKind
PREFERENCE_PAUSE: PreferenceKind

class ServedFeatures(_message.Message):
    __slots__ = ("status", "values", "event_times_ms", "stale_views", "unread")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    class EventTimesMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIMES_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    status: FeatureStatus
    values: _containers.MessageMap[str, _types_pb2.Value]
    event_times_ms: _containers.ScalarMap[str, int]
    stale_views: _containers.RepeatedScalarFieldContainer[str]
    unread: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, status: _Optional[_Union[FeatureStatus, str]] = ..., values: _Optional[_Mapping[str, _types_pb2.Value]] = ..., event_times_ms: _Optional[_Mapping[str, int]] = ..., stale_views: _Optional[_Iterable[str]] = ..., unread: _Optional[_Iterable[str]] = ...) -> None: ...

class Contact(_message.Message):
    __slots__ = ("decision_id", "program", "action", "message", "channel", "tags", "status", "from_ms", "until_ms", "uncounted")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    UNCOUNTED_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    program: str
    action: str
    message: str
    channel: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    status: ContactStatus
    from_ms: int
    until_ms: int
    uncounted: bool
    def __init__(self, decision_id: _Optional[str] = ..., program: _Optional[str] = ..., action: _Optional[str] = ..., message: _Optional[str] = ..., channel: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., status: _Optional[_Union[ContactStatus, str]] = ..., from_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., uncounted: _Optional[bool] = ...) -> None: ...

class Suppression(_message.Message):
    __slots__ = ("channel", "reason", "since_ms", "until_ms", "note")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    reason: _types_pb2.Reason
    since_ms: int
    until_ms: int
    note: str
    def __init__(self, channel: _Optional[str] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., since_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class EventCounter(_message.Message):
    __slots__ = ("total", "recent_ms")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    RECENT_MS_FIELD_NUMBER: _ClassVar[int]
    total: int
    recent_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, total: _Optional[int] = ..., recent_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class CustomerState(_message.Message):
    __slots__ = ("version", "contacts", "suppressions", "events")
    class EventsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EventCounter
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EventCounter, _Mapping]] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTACTS_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    contacts: _containers.RepeatedCompositeFieldContainer[Contact]
    suppressions: _containers.RepeatedCompositeFieldContainer[Suppression]
    events: _containers.MessageMap[str, EventCounter]
    def __init__(self, version: _Optional[int] = ..., contacts: _Optional[_Iterable[_Union[Contact, _Mapping]]] = ..., suppressions: _Optional[_Iterable[_Union[Suppression, _Mapping]]] = ..., events: _Optional[_Mapping[str, EventCounter]] = ...) -> None: ...

class Option(_message.Message):
    __slots__ = ("action", "probability", "predicted_reward", "apprentice_probability", "score", "base_probability")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_REWARD_FIELD_NUMBER: _ClassVar[int]
    APPRENTICE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BASE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    action: str
    probability: float
    predicted_reward: float
    apprentice_probability: float
    score: float
    base_probability: float
    def __init__(self, action: _Optional[str] = ..., probability: _Optional[float] = ..., predicted_reward: _Optional[float] = ..., apprentice_probability: _Optional[float] = ..., score: _Optional[float] = ..., base_probability: _Optional[float] = ...) -> None: ...

class Exclusion(_message.Message):
    __slots__ = ("action", "reason", "detail", "program")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    action: str
    reason: _types_pb2.Reason
    detail: str
    program: str
    def __init__(self, action: _Optional[str] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., detail: _Optional[str] = ..., program: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("budget", "period", "amount")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    budget: str
    period: str
    amount: int
    def __init__(self, budget: _Optional[str] = ..., period: _Optional[str] = ..., amount: _Optional[int] = ...) -> None: ...

class Reservation(_message.Message):
    __slots__ = ("lease_expires_at_ms", "send_at_ms", "tokens")
    LEASE_EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SEND_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    lease_expires_at_ms: int
    send_at_ms: int
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    def __init__(self, lease_expires_at_ms: _Optional[int] = ..., send_at_ms: _Optional[int] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "version", "encoder_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENCODER_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    encoder_version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., encoder_version: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("program", "program_version", "probability", "score", "group", "learning_mode", "policy", "model", "features", "live", "options", "exclusions", "degradations", "encoding_digest", "in_audience")
    class LiveEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LEARNING_MODE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    DEGRADATIONS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_DIGEST_FIELD_NUMBER: _ClassVar[int]
    IN_AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    program: str
    program_version: int
    probability: float
    score: float
    group: _types_pb2.Group
    learning_mode: _types_pb2.LearningMode
    policy: PolicyKind
    model: ModelVersion
    features: ServedFeatures
    live: _containers.MessageMap[str, _types_pb2.Value]
    options: _containers.RepeatedCompositeFieldContainer[Option]
    exclusions: _containers.RepeatedCompositeFieldContainer[Exclusion]
    degradations: _containers.RepeatedScalarFieldContainer[_types_pb2.Reason]
    encoding_digest: str
    in_audience: bool
    def __init__(self, program: _Optional[str] = ..., program_version: _Optional[int] = ..., probability: _Optional[float] = ..., score: _Optional[float] = ..., group: _Optional[_Union[_types_pb2.Group, str]] = ..., learning_mode: _Optional[_Union[_types_pb2.LearningMode, str]] = ..., policy: _Optional[_Union[PolicyKind, str]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., features: _Optional[_Union[ServedFeatures, _Mapping]] = ..., live: _Optional[_Mapping[str, _types_pb2.Value]] = ..., options: _Optional[_Iterable[_Union[Option, _Mapping]]] = ..., exclusions: _Optional[_Iterable[_Union[Exclusion, _Mapping]]] = ..., degradations: _Optional[_Iterable[_Union[_types_pb2.Reason, str]]] = ..., encoding_digest: _Optional[str] = ..., in_audience: _Optional[bool] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "request_id", "customer_id", "program", "body_digest", "decided_at_ms", "context", "channels", "pinned_group", "program_version", "policy_version", "model", "features", "live", "state", "group", "learning_mode", "policy", "options", "exclusions", "draw", "drawn", "chosen", "reservation", "degradations", "trainable", "encoding_digest", "timings_us", "no_action_when_unavailable", "unlogged", "channel", "programs", "program_probability", "program_score", "others", "timezone", "budget_levels", "ledger_id", "in_audience", "global_holdout")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    class LiveEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    class TimingsUsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class BudgetLevelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    BODY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PINNED_GROUP_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LEARNING_MODE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    DRAW_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    DEGRADATIONS_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_FIELD_NUMBER: _ClassVar[int]
    ENCODING_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_US_FIELD_NUMBER: _ClassVar[int]
    NO_ACTION_WHEN_UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    UNLOGGED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_SCORE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LEVELS_FIELD_NUMBER: _ClassVar[int]
    LEDGER_ID_FIELD_NUMBER: _ClassVar[int]
    IN_AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_HOLDOUT_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    request_id: str
    customer_id: str
    program: str
    body_digest: str
    decided_at_ms: int
    context: _containers.MessageMap[str, _types_pb2.Value]
    channels: _containers.RepeatedScalarFieldContainer[str]
    pinned_group: _types_pb2.Group
    program_version: int
    policy_version: int
    model: ModelVersion
    features: ServedFeatures
    live: _containers.MessageMap[str, _types_pb2.Value]
    state: CustomerState
    group: _types_pb2.Group
    learning_mode: _types_pb2.LearningMode
    policy: PolicyKind
    options: _containers.RepeatedCompositeFieldContainer[Option]
    exclusions: _containers.RepeatedCompositeFieldContainer[Exclusion]
    draw: float
    drawn: str
    chosen: str
    reservation: Reservation
    degradations: _containers.RepeatedScalarFieldContainer[_types_pb2.Reason]
    trainable: bool
    encoding_digest: str
    timings_us: _containers.ScalarMap[str, int]
    no_action_when_unavailable: bool
    unlogged: bool
    channel: str
    programs: _containers.RepeatedScalarFieldContainer[str]
    program_probability: float
    program_score: float
    others: _containers.RepeatedCompositeFieldContainer[Candidate]
    timezone: str
    budget_levels: _containers.ScalarMap[str, int]
    ledger_id: str
    in_audience: bool
    global_holdout: bool
    def __init__(self, decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., program: _Optional[str] = ..., body_digest: _Optional[str] = ..., decided_at_ms: _Optional[int] = ..., context: _Optional[_Mapping[str, _types_pb2.Value]] = ..., channels: _Optional[_Iterable[str]] = ..., pinned_group: _Optional[_Union[_types_pb2.Group, str]] = ..., program_version: _Optional[int] = ..., policy_version: _Optional[int] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ..., features: _Optional[_Union[ServedFeatures, _Mapping]] = ..., live: _Optional[_Mapping[str, _types_pb2.Value]] = ..., state: _Optional[_Union[CustomerState, _Mapping]] = ..., group: _Optional[_Union[_types_pb2.Group, str]] = ..., learning_mode: _Optional[_Union[_types_pb2.LearningMode, str]] = ..., policy: _Optional[_Union[PolicyKind, str]] = ..., options: _Optional[_Iterable[_Union[Option, _Mapping]]] = ..., exclusions: _Optional[_Iterable[_Union[Exclusion, _Mapping]]] = ..., draw: _Optional[float] = ..., drawn: _Optional[str] = ..., chosen: _Optional[str] = ..., reservation: _Optional[_Union[Reservation, _Mapping]] = ..., degradations: _Optional[_Iterable[_Union[_types_pb2.Reason, str]]] = ..., trainable: _Optional[bool] = ..., encoding_digest: _Optional[str] = ..., timings_us: _Optional[_Mapping[str, int]] = ..., no_action_when_unavailable: _Optional[bool] = ..., unlogged: _Optional[bool] = ..., channel: _Optional[str] = ..., programs: _Optional[_Iterable[str]] = ..., program_probability: _Optional[float] = ..., program_score: _Optional[float] = ..., others: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., timezone: _Optional[str] = ..., budget_levels: _Optional[_Mapping[str, int]] = ..., ledger_id: _Optional[str] = ..., in_audience: _Optional[bool] = ..., global_holdout: _Optional[bool] = ...) -> None: ...

class Activation(_message.Message):
    __slots__ = ("decision_id", "customer_id", "status", "at_ms", "received_at_ms", "detail", "late", "contradicts")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    CONTRADICTS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    customer_id: str
    status: _types_pb2.ActivationStatus
    at_ms: int
    received_at_ms: int
    detail: str
    late: bool
    contradicts: _types_pb2.ActivationStatus
    def __init__(self, decision_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., status: _Optional[_Union[_types_pb2.ActivationStatus, str]] = ..., at_ms: _Optional[int] = ..., received_at_ms: _Optional[int] = ..., detail: _Optional[str] = ..., late: _Optional[bool] = ..., contradicts: _Optional[_Union[_types_pb2.ActivationStatus, str]] = ...) -> None: ...

class Confirmation(_message.Message):
    __slots__ = ("decision_id", "customer_id", "verdict", "at_ms", "reason", "detail", "until_ms", "unasked", "policy_version", "features", "unread")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    UNASKED_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    customer_id: str
    verdict: _types_pb2.Verdict
    at_ms: int
    reason: _types_pb2.Reason
    detail: str
    until_ms: int
    unasked: bool
    policy_version: int
    features: _containers.MessageMap[str, _types_pb2.Value]
    unread: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, decision_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., at_ms: _Optional[int] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., detail: _Optional[str] = ..., until_ms: _Optional[int] = ..., unasked: _Optional[bool] = ..., policy_version: _Optional[int] = ..., features: _Optional[_Mapping[str, _types_pb2.Value]] = ..., unread: _Optional[_Iterable[str]] = ...) -> None: ...

class Preference(_message.Message):
    __slots__ = ("customer_id", "kind", "channel", "at_ms", "reason", "until_ms", "author", "note", "outcome_id")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_ID_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    kind: PreferenceKind
    channel: str
    at_ms: int
    reason: _types_pb2.Reason
    until_ms: int
    author: str
    note: str
    outcome_id: str
    def __init__(self, customer_id: _Optional[str] = ..., kind: _Optional[_Union[PreferenceKind, str]] = ..., channel: _Optional[str] = ..., at_ms: _Optional[int] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., until_ms: _Optional[int] = ..., author: _Optional[str] = ..., note: _Optional[str] = ..., outcome_id: _Optional[str] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("outcome_id", "customer_id", "name", "occurred_at_ms", "received_at_ms", "value", "decision_id", "channel", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    OUTCOME_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    outcome_id: str
    customer_id: str
    name: str
    occurred_at_ms: int
    received_at_ms: int
    value: float
    decision_id: str
    channel: str
    attributes: _containers.MessageMap[str, _types_pb2.Value]
    def __init__(self, outcome_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., name: _Optional[str] = ..., occurred_at_ms: _Optional[int] = ..., received_at_ms: _Optional[int] = ..., value: _Optional[float] = ..., decision_id: _Optional[str] = ..., channel: _Optional[str] = ..., attributes: _Optional[_Mapping[str, _types_pb2.Value]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("event_id", "customer_id", "name", "occurred_at_ms", "received_at_ms", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    customer_id: str
    name: str
    occurred_at_ms: int
    received_at_ms: int
    attributes: _containers.MessageMap[str, _types_pb2.Value]
    def __init__(self, event_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., name: _Optional[str] = ..., occurred_at_ms: _Optional[int] = ..., received_at_ms: _Optional[int] = ..., attributes: _Optional[_Mapping[str, _types_pb2.Value]] = ...) -> None: ...

class LogEntry(_message.Message):
    __slots__ = ("decision", "activation", "outcome", "event", "confirmation", "preference")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    decision: DecisionRecord
    activation: Activation
    outcome: Outcome
    event: Event
    confirmation: Confirmation
    preference: Preference
    def __init__(self, decision: _Optional[_Union[DecisionRecord, _Mapping]] = ..., activation: _Optional[_Union[Activation, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., confirmation: _Optional[_Union[Confirmation, _Mapping]] = ..., preference: _Optional[_Union[Preference, _Mapping]] = ...) -> None: ...
