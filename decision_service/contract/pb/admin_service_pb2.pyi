from decision_service.contract.pb import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProgramState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROGRAM_STATE_UNSPECIFIED: _ClassVar[ProgramState]
    PROGRAM_LIVE: _ClassVar[ProgramState]
    PROGRAM_PAUSED: _ClassVar[ProgramState]
    PROGRAM_UNPUBLISHED: _ClassVar[ProgramState]
PROGRAM_STATE_UNSPECIFIED: ProgramState
PROGRAM_LIVE: ProgramState
PROGRAM_PAUSED: ProgramState
PROGRAM_UNPUBLISHED: ProgramState

class Audit(_message.Message):
    __slots__ = ("author", "at_ms", "note")
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    author: str
    at_ms: int
    note: str
    def __init__(self, author: _Optional[str] = ..., at_ms: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class ApplyProgramRequest(_message.Message):
    __slots__ = ("document", "author", "note", "validate_only")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    document: str
    author: str
    note: str
    validate_only: bool
    def __init__(self, document: _Optional[str] = ..., author: _Optional[str] = ..., note: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ApplyProgramResponse(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ListProgramsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProgramSummary(_message.Message):
    __slots__ = ("name", "version", "description", "learning_mode", "actions", "model", "state")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LEARNING_MODE_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    description: str
    learning_mode: _types_pb2.LearningMode
    actions: int
    model: str
    state: ProgramState
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., description: _Optional[str] = ..., learning_mode: _Optional[_Union[_types_pb2.LearningMode, str]] = ..., actions: _Optional[int] = ..., model: _Optional[str] = ..., state: _Optional[_Union[ProgramState, str]] = ...) -> None: ...

class SetProgramStateRequest(_message.Message):
    __slots__ = ("name", "state", "author", "note")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: ProgramState
    author: str
    note: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[ProgramState, str]] = ..., author: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class SetProgramStateResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class ListProgramsResponse(_message.Message):
    __slots__ = ("programs",)
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    programs: _containers.RepeatedCompositeFieldContainer[ProgramSummary]
    def __init__(self, programs: _Optional[_Iterable[_Union[ProgramSummary, _Mapping]]] = ...) -> None: ...

class GetProgramRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ProgramVersion(_message.Message):
    __slots__ = ("version", "audit")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    version: int
    audit: Audit
    def __init__(self, version: _Optional[int] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ...) -> None: ...

class GetProgramResponse(_message.Message):
    __slots__ = ("name", "version", "document", "audit", "history", "ranges")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    document: str
    audit: Audit
    history: _containers.RepeatedCompositeFieldContainer[ProgramVersion]
    ranges: _containers.RepeatedCompositeFieldContainer[BucketRange]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., document: _Optional[str] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ..., history: _Optional[_Iterable[_Union[ProgramVersion, _Mapping]]] = ..., ranges: _Optional[_Iterable[_Union[BucketRange, _Mapping]]] = ...) -> None: ...

class BucketRange(_message.Message):
    __slots__ = ("group", "first", "end")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    group: _types_pb2.Group
    first: int
    end: int
    def __init__(self, group: _Optional[_Union[_types_pb2.Group, str]] = ..., first: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class RollbackProgramRequest(_message.Message):
    __slots__ = ("name", "version", "author", "note")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    author: str
    note: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., author: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class RollbackProgramResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class SimulateProgramRequest(_message.Message):
    __slots__ = ("document", "contact_policy_document", "from_ms", "until_ms")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_POLICY_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    document: str
    contact_policy_document: str
    from_ms: int
    until_ms: int
    def __init__(self, document: _Optional[str] = ..., contact_policy_document: _Optional[str] = ..., from_ms: _Optional[int] = ..., until_ms: _Optional[int] = ...) -> None: ...

class SimulateProgramResponse(_message.Message):
    __slots__ = ("report_json",)
    REPORT_JSON_FIELD_NUMBER: _ClassVar[int]
    report_json: str
    def __init__(self, report_json: _Optional[str] = ...) -> None: ...

class ApplyContactPolicyRequest(_message.Message):
    __slots__ = ("document", "author", "note", "validate_only")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    document: str
    author: str
    note: str
    validate_only: bool
    def __init__(self, document: _Optional[str] = ..., author: _Optional[str] = ..., note: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class ApplyContactPolicyResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class GetContactPolicyRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class GetContactPolicyResponse(_message.Message):
    __slots__ = ("version", "document", "audit", "history")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    AUDIT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    version: int
    document: str
    audit: Audit
    history: _containers.RepeatedCompositeFieldContainer[ProgramVersion]
    def __init__(self, version: _Optional[int] = ..., document: _Optional[str] = ..., audit: _Optional[_Union[Audit, _Mapping]] = ..., history: _Optional[_Iterable[_Union[ProgramVersion, _Mapping]]] = ...) -> None: ...

class RollbackContactPolicyRequest(_message.Message):
    __slots__ = ("version", "author", "note")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    version: int
    author: str
    note: str
    def __init__(self, version: _Optional[int] = ..., author: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class RollbackContactPolicyResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class SuppressRequest(_message.Message):
    __slots__ = ("customer_id", "channel", "until_ms", "note", "author")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    channel: str
    until_ms: int
    note: str
    author: str
    def __init__(self, customer_id: _Optional[str] = ..., channel: _Optional[str] = ..., until_ms: _Optional[int] = ..., note: _Optional[str] = ..., author: _Optional[str] = ...) -> None: ...

class SuppressResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SuppressBatchRequest(_message.Message):
    __slots__ = ("suppressions",)
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    suppressions: _containers.RepeatedCompositeFieldContainer[SuppressRequest]
    def __init__(self, suppressions: _Optional[_Iterable[_Union[SuppressRequest, _Mapping]]] = ...) -> None: ...

class SuppressBatchResponse(_message.Message):
    __slots__ = ("applied",)
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    applied: int
    def __init__(self, applied: _Optional[int] = ...) -> None: ...

class UnsuppressRequest(_message.Message):
    __slots__ = ("customer_id", "channel", "author", "note")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    channel: str
    author: str
    note: str
    def __init__(self, customer_id: _Optional[str] = ..., channel: _Optional[str] = ..., author: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class UnsuppressResponse(_message.Message):
    __slots__ = ("lifted",)
    LIFTED_FIELD_NUMBER: _ClassVar[int]
    lifted: bool
    def __init__(self, lifted: _Optional[bool] = ...) -> None: ...

class ForgetCustomerRequest(_message.Message):
    __slots__ = ("customer_id",)
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    def __init__(self, customer_id: _Optional[str] = ...) -> None: ...

class ForgetCustomerResponse(_message.Message):
    __slots__ = ("rows_deleted",)
    ROWS_DELETED_FIELD_NUMBER: _ClassVar[int]
    rows_deleted: int
    def __init__(self, rows_deleted: _Optional[int] = ...) -> None: ...
