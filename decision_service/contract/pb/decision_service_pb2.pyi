from google.protobuf import any_pb2 as _any_pb2
from decision_service.contract.pb import record_pb2 as _record_pb2
from decision_service.contract.pb import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecideRequest(_message.Message):
    __slots__ = ("request_id", "customer_id", "programs", "context", "channels", "pinned_group", "no_action_when_unavailable", "dry_run", "at_ms")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Value, _Mapping]] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PINNED_GROUP_FIELD_NUMBER: _ClassVar[int]
    NO_ACTION_WHEN_UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    customer_id: str
    programs: _containers.RepeatedScalarFieldContainer[str]
    context: _containers.MessageMap[str, _types_pb2.Value]
    channels: _containers.RepeatedScalarFieldContainer[str]
    pinned_group: _types_pb2.Group
    no_action_when_unavailable: bool
    dry_run: bool
    at_ms: int
    def __init__(self, request_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., programs: _Optional[_Iterable[str]] = ..., context: _Optional[_Mapping[str, _types_pb2.Value]] = ..., channels: _Optional[_Iterable[str]] = ..., pinned_group: _Optional[_Union[_types_pb2.Group, str]] = ..., no_action_when_unavailable: _Optional[bool] = ..., dry_run: _Optional[bool] = ..., at_ms: _Optional[int] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("decision_id", "request_id", "program", "action", "channel", "message", "payload_json", "probability", "predicted_reward", "group", "learning_mode", "reasons", "exclusions", "program_version", "policy_version", "model", "lease_expires_at_ms", "send_at_ms", "decided_at_ms", "unlogged", "explanation", "program_probability", "withheld")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_JSON_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_REWARD_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LEARNING_MODE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SEND_AT_MS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UNLOGGED_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    request_id: str
    program: str
    action: str
    channel: str
    message: str
    payload_json: str
    probability: float
    predicted_reward: float
    group: _types_pb2.Group
    learning_mode: _types_pb2.LearningMode
    reasons: _containers.RepeatedScalarFieldContainer[_types_pb2.Reason]
    exclusions: _containers.RepeatedCompositeFieldContainer[_record_pb2.Exclusion]
    program_version: int
    policy_version: int
    model: _record_pb2.ModelVersion
    lease_expires_at_ms: int
    send_at_ms: int
    decided_at_ms: int
    unlogged: bool
    explanation: ExplainDecisionResponse
    program_probability: float
    withheld: _types_pb2.Reason
    def __init__(self, decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., program: _Optional[str] = ..., action: _Optional[str] = ..., channel: _Optional[str] = ..., message: _Optional[str] = ..., payload_json: _Optional[str] = ..., probability: _Optional[float] = ..., predicted_reward: _Optional[float] = ..., group: _Optional[_Union[_types_pb2.Group, str]] = ..., learning_mode: _Optional[_Union[_types_pb2.LearningMode, str]] = ..., reasons: _Optional[_Iterable[_Union[_types_pb2.Reason, str]]] = ..., exclusions: _Optional[_Iterable[_Union[_record_pb2.Exclusion, _Mapping]]] = ..., program_version: _Optional[int] = ..., policy_version: _Optional[int] = ..., model: _Optional[_Union[_record_pb2.ModelVersion, _Mapping]] = ..., lease_expires_at_ms: _Optional[int] = ..., send_at_ms: _Optional[int] = ..., decided_at_ms: _Optional[int] = ..., unlogged: _Optional[bool] = ..., explanation: _Optional[_Union[ExplainDecisionResponse, _Mapping]] = ..., program_probability: _Optional[float] = ..., withheld: _Optional[_Union[_types_pb2.Reason, str]] = ...) -> None: ...

class DecideBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[DecideRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[DecideRequest, _Mapping]]] = ...) -> None: ...

class BatchError(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class DecideBatchResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: DecideResponse
    error: BatchError
    def __init__(self, response: _Optional[_Union[DecideResponse, _Mapping]] = ..., error: _Optional[_Union[BatchError, _Mapping]] = ...) -> None: ...

class DecideBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DecideBatchResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DecideBatchResult, _Mapping]]] = ...) -> None: ...

class ReportActivationRequest(_message.Message):
    __slots__ = ("decision_id", "status", "at_ms", "detail")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    status: _types_pb2.ActivationStatus
    at_ms: int
    detail: str
    def __init__(self, decision_id: _Optional[str] = ..., status: _Optional[_Union[_types_pb2.ActivationStatus, str]] = ..., at_ms: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ReportActivationResponse(_message.Message):
    __slots__ = ("duplicate", "late", "contradicts")
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    CONTRADICTS_FIELD_NUMBER: _ClassVar[int]
    duplicate: bool
    late: bool
    contradicts: _types_pb2.ActivationStatus
    def __init__(self, duplicate: _Optional[bool] = ..., late: _Optional[bool] = ..., contradicts: _Optional[_Union[_types_pb2.ActivationStatus, str]] = ...) -> None: ...

class ConfirmSendRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class ConfirmSendResponse(_message.Message):
    __slots__ = ("verdict", "reason", "detail", "at_ms", "until_ms")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    verdict: _types_pb2.Verdict
    reason: _types_pb2.Reason
    detail: str
    at_ms: int
    until_ms: int
    def __init__(self, verdict: _Optional[_Union[_types_pb2.Verdict, str]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., detail: _Optional[str] = ..., at_ms: _Optional[int] = ..., until_ms: _Optional[int] = ...) -> None: ...

class OtherBody(_message.Message):
    __slots__ = ("index", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    message: str
    def __init__(self, index: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class RecordOutcomesRequest(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[_record_pb2.Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[_record_pb2.Outcome, _Mapping]]] = ...) -> None: ...

class RecordOutcomesResponse(_message.Message):
    __slots__ = ("recorded", "duplicates", "refused", "historic")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HISTORIC_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    duplicates: int
    refused: _containers.RepeatedCompositeFieldContainer[OtherBody]
    historic: int
    def __init__(self, recorded: _Optional[int] = ..., duplicates: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[OtherBody, _Mapping]]] = ..., historic: _Optional[int] = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_record_pb2.Event]
    def __init__(self, events: _Optional[_Iterable[_Union[_record_pb2.Event, _Mapping]]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("recorded", "duplicates", "refused", "historic")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HISTORIC_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    duplicates: int
    refused: _containers.RepeatedCompositeFieldContainer[OtherBody]
    historic: int
    def __init__(self, recorded: _Optional[int] = ..., duplicates: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[OtherBody, _Mapping]]] = ..., historic: _Optional[int] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class GetDecisionResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: _record_pb2.DecisionRecord
    def __init__(self, record: _Optional[_Union[_record_pb2.DecisionRecord, _Mapping]] = ...) -> None: ...

class ExplainDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class FunnelStep(_message.Message):
    __slots__ = ("action", "kept", "reason", "detail", "remedy", "probability", "predicted_reward", "chosen", "program", "change", "base_probability", "score")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_REWARD_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    BASE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    action: str
    kept: bool
    reason: _types_pb2.Reason
    detail: str
    remedy: str
    probability: float
    predicted_reward: float
    chosen: bool
    program: str
    change: str
    base_probability: float
    score: float
    def __init__(self, action: _Optional[str] = ..., kept: _Optional[bool] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., detail: _Optional[str] = ..., remedy: _Optional[str] = ..., probability: _Optional[float] = ..., predicted_reward: _Optional[float] = ..., chosen: _Optional[bool] = ..., program: _Optional[str] = ..., change: _Optional[str] = ..., base_probability: _Optional[float] = ..., score: _Optional[float] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("input", "value", "amount")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    input: str
    value: str
    amount: float
    def __init__(self, input: _Optional[str] = ..., value: _Optional[str] = ..., amount: _Optional[float] = ...) -> None: ...

class ExplainDecisionResponse(_message.Message):
    __slots__ = ("text", "funnel", "record", "runner_up", "contributions", "contributions_missing", "is_exploration", "group_because")
    class GroupBecauseEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FUNNEL_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    RUNNER_UP_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_MISSING_FIELD_NUMBER: _ClassVar[int]
    IS_EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    GROUP_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    text: str
    funnel: _containers.RepeatedCompositeFieldContainer[FunnelStep]
    record: _record_pb2.DecisionRecord
    runner_up: str
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    contributions_missing: str
    is_exploration: bool
    group_because: _containers.ScalarMap[str, str]
    def __init__(self, text: _Optional[str] = ..., funnel: _Optional[_Iterable[_Union[FunnelStep, _Mapping]]] = ..., record: _Optional[_Union[_record_pb2.DecisionRecord, _Mapping]] = ..., runner_up: _Optional[str] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., contributions_missing: _Optional[str] = ..., is_exploration: _Optional[bool] = ..., group_because: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetCustomerRequest(_message.Message):
    __slots__ = ("customer_id",)
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    def __init__(self, customer_id: _Optional[str] = ...) -> None: ...

class CustomerGroup(_message.Message):
    __slots__ = ("program", "group", "because")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    program: str
    group: _types_pb2.Group
    because: str
    def __init__(self, program: _Optional[str] = ..., group: _Optional[_Union[_types_pb2.Group, str]] = ..., because: _Optional[str] = ...) -> None: ...

class CustomerPause(_message.Message):
    __slots__ = ("rule", "until_ms", "program", "actions")
    RULE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    rule: str
    until_ms: int
    program: str
    actions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule: _Optional[str] = ..., until_ms: _Optional[int] = ..., program: _Optional[str] = ..., actions: _Optional[_Iterable[str]] = ...) -> None: ...

class GetCustomerResponse(_message.Message):
    __slots__ = ("state", "groups", "pauses", "at_ms")
    STATE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    state: _record_pb2.CustomerState
    groups: _containers.RepeatedCompositeFieldContainer[CustomerGroup]
    pauses: _containers.RepeatedCompositeFieldContainer[CustomerPause]
    at_ms: int
    def __init__(self, state: _Optional[_Union[_record_pb2.CustomerState, _Mapping]] = ..., groups: _Optional[_Iterable[_Union[CustomerGroup, _Mapping]]] = ..., pauses: _Optional[_Iterable[_Union[CustomerPause, _Mapping]]] = ..., at_ms: _Optional[int] = ...) -> None: ...

class ReplayDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class ReplayDecisionResponse(_message.Message):
    __slots__ = ("identical", "differences")
    IDENTICAL_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    identical: bool
    differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, identical: _Optional[bool] = ..., differences: _Optional[_Iterable[str]] = ...) -> None: ...
