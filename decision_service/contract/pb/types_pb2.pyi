from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Group(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_UNSPECIFIED: _ClassVar[Group]
    TREATMENT: _ClassVar[Group]
    RANDOM_CONTROL: _ClassVar[Group]
    BUSINESS_AS_USUAL: _ClassVar[Group]
    HOLDOUT_GROUP: _ClassVar[Group]

class LearningMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEARNING_MODE_UNSPECIFIED: _ClassVar[LearningMode]
    ONLINE: _ClassVar[LearningMode]
    APPRENTICE: _ClassVar[LearningMode]
    LOGGING_ONLY: _ClassVar[LearningMode]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    NOT_IN_AUDIENCE: _ClassVar[Reason]
    INELIGIBLE: _ClassVar[Reason]
    NOT_STARTED: _ClassVar[Reason]
    EXPIRED: _ClassVar[Reason]
    CHANNEL_NOT_REQUESTED: _ClassVar[Reason]
    NO_CONSENT: _ClassVar[Reason]
    SUPPRESSED: _ClassVar[Reason]
    SUPPRESSED_BY_OUTCOME: _ClassVar[Reason]
    FREQUENCY_CAP: _ClassVar[Reason]
    QUIET_HOURS: _ClassVar[Reason]
    TIMEZONE_UNKNOWN: _ClassVar[Reason]
    VOLUME_LIMIT: _ClassVar[Reason]
    HOLDOUT: _ClassVar[Reason]
    BASELINE_ONLY: _ClassVar[Reason]
    CAP_RACE_LOST: _ClassVar[Reason]
    RULE_ERROR: _ClassVar[Reason]
    FEATURES_MISSING: _ClassVar[Reason]
    FEATURES_STALE: _ClassVar[Reason]
    MODEL_MISSING: _ClassVar[Reason]
    MODEL_REJECTED: _ClassVar[Reason]
    WITHDRAWN: _ClassVar[Reason]
    LEASE_LAPSED: _ClassVar[Reason]
    ALREADY_REPORTED: _ClassVar[Reason]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_GO: _ClassVar[Verdict]
    VERDICT_STOP: _ClassVar[Verdict]
    VERDICT_WAIT: _ClassVar[Verdict]

class ActivationStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTIVATION_STATUS_UNSPECIFIED: _ClassVar[ActivationStatus]
    SENT: _ClassVar[ActivationStatus]
    FAILED: _ClassVar[ActivationStatus]
    SKIPPED: _ClassVar[ActivationStatus]
    DELIVERED: _ClassVar[ActivationStatus]
    BOUNCED: _ClassVar[ActivationStatus]
GROUP_UNSPECIFIED: Group
TREATMENT: Group
RANDOM_CONTROL: Group
BUSINESS_AS_USUAL: Group
HOLDOUT_GROUP: Group
LEARNING_MODE_UNSPECIFIED: LearningMode
ONLINE: LearningMode
APPRENTICE: LearningMode
LOGGING_ONLY: LearningMode
REASON_UNSPECIFIED: Reason
NOT_IN_AUDIENCE: Reason
INELIGIBLE: Reason
NOT_STARTED: Reason
EXPIRED: Reason
CHANNEL_NOT_REQUESTED: Reason
NO_CONSENT: Reason
SUPPRESSED: Reason
SUPPRESSED_BY_OUTCOME: Reason
FREQUENCY_CAP: Reason
QUIET_HOURS: Reason
TIMEZONE_UNKNOWN: Reason
VOLUME_LIMIT: Reason
HOLDOUT: Reason
BASELINE_ONLY: Reason
CAP_RACE_LOST: Reason
RULE_ERROR: Reason
FEATURES_MISSING: Reason
FEATURES_STALE: Reason
MODEL_MISSING: Reason
MODEL_REJECTED: Reason
WITHDRAWN: Reason
LEASE_LAPSED: Reason
ALREADY_REPORTED: Reason
VERDICT_UNSPECIFIED: Verdict
VERDICT_GO: Verdict
VERDICT_STOP: Verdict
VERDICT_WAIT: Verdict
ACTIVATION_STATUS_UNSPECIFIED: ActivationStatus
SENT: ActivationStatus
FAILED: ActivationStatus
SKIPPED: ActivationStatus
DELIVERED: ActivationStatus
BOUNCED: ActivationStatus

class StringList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("bool_value", "int_value", "double_value", "string_value", "strings_value")
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRINGS_VALUE_FIELD_NUMBER: _ClassVar[int]
    bool_value: bool
    int_value: int
    double_value: float
    string_value: str
    strings_value: StringList
    def __init__(self, bool_value: _Optional[bool] = ..., int_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ..., strings_value: _Optional[_Union[StringList, _Mapping]] = ...) -> None: ...
