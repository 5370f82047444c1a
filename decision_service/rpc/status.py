"""The error tree ↔ gRPC status codes with `google.rpc` details. The only place that maps them, both ways."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from grpc_status import rpc_status

from decision_service.core.model.errors import (
    Conflict,
    InvalidRequest,
    ModelRejected,
    NbaError,
    NotBuilt,
    NotFound,
    Overloaded,
    Unavailable,
    Violation,
)
from decision_service.core.model.values import MAX_ID_LENGTH

log = logging.getLogger(__name__)

CODES: Sequence[tuple[type[NbaError], int]] = (
    (InvalidRequest, code_pb2.INVALID_ARGUMENT),
    (NotFound, code_pb2.NOT_FOUND),
    (Conflict, code_pb2.ALREADY_EXISTS),
    (Unavailable, code_pb2.UNAVAILABLE),
    (Overloaded, code_pb2.RESOURCE_EXHAUSTED),
    (NotBuilt, code_pb2.UNIMPLEMENTED),
    (ModelRejected, code_pb2.FAILED_PRECONDITION),
)
"""Every other exception, `InvalidDistribution` included, is INTERNAL, and its text stays in the log."""

INTERNAL_MESSAGE = "internal error; the server's log has it"
RETRY_AFTER_MS = 50

# Status and details travel as trailing metadata, of which gRPC clients accept 8 KiB by default (base64 included)
# before the whole answer turns into an error about metadata.
_MESSAGE_BYTES = 700  # travels twice
_DETAIL_BYTES = 4_200


def to_status(error: Exception) -> status_pb2.Status:
    """The canonical code, the message and the details of an error; unknown ones are logged with traceback."""
    code = next((code for kind, code in CODES if isinstance(error, kind)), None)
    if code is None:
        log.error("unexpected error", exc_info=error)
        return status_pb2.Status(code=code_pb2.INTERNAL, message=INTERNAL_MESSAGE)
    status = status_pb2.Status(code=code, message=_shorten(str(error), _MESSAGE_BYTES))
    for detail in _details(error):
        status.details.add().Pack(detail)
    return status


def _shorten(text: str, limit: int) -> str:
    """At most `limit` bytes once percent-encoded, as `grpc-message` is."""
    spent = 0
    for i, character in enumerate(text):
        spent += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if spent > limit:
            return text[:i] + " …"
    return text


def _details(error: Exception) -> list[Message]:
    match error:
        case InvalidRequest():
            return [_bad_request(error.violations)]
        case NotFound():
            hint = _shorten(error.hint, _MESSAGE_BYTES)
            return [ResourceInfo(resource_type=error.kind, resource_name=error.name[:MAX_ID_LENGTH], description=hint)]
        case Unavailable():
            return [_retry(), ErrorInfo(reason="UNAVAILABLE", domain="nba.v1", metadata={"part": error.part})]
        case Overloaded():
            return [_retry()]
        case _:
            return []


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    """As many violations as fit; the last entry then says how many did not."""
    detail = BadRequest()
    spent = 0
    for i, violation in enumerate(violations):
        slot = detail.field_violations.add(field=violation.field, description=violation.message)
        spent += slot.ByteSize() + 4
        if spent > _DETAIL_BYTES and i:
            slot.field = ""
            slot.description = f"and {len(violations) - i} more; correct these first"
            break
    return detail


def _retry() -> RetryInfo:
    detail = RetryInfo()
    detail.retry_delay.FromMilliseconds(RETRY_AFTER_MS)
    return detail


def name_of(code: int) -> str:
    """`NOT_FOUND` of 5."""
    name: str = code_pb2.Code.Name(code)
    return name


def abort(context: grpc.ServicerContext, status: status_pb2.Status) -> NoReturn:
    """End the call with a status."""
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status always raises")


def from_status(code: int, message: str, details: Sequence[AnyMessage]) -> NbaError:
    """The error that `to_status` made this of; for codes that it never makes, the nearest of the tree."""
    unpacked = {type(detail): detail for detail in map(_unpack, details)}
    match code:
        case code_pb2.INVALID_ARGUMENT:
            bad_request: Any = unpacked.get(BadRequest)
            if bad_request is None:
                return InvalidRequest.of("", message)
            return InvalidRequest(Violation(v.field, v.description) for v in bad_request.field_violations)
        case code_pb2.NOT_FOUND:
            resource: Any = unpacked.get(ResourceInfo)
            if resource is None:
                return NotFound("resource", message)
            return NotFound(resource.resource_type, resource.resource_name, resource.description)
        case code_pb2.ALREADY_EXISTS:
            return Conflict(message)
        case code_pb2.UNAVAILABLE:
            info: Any = unpacked.get(ErrorInfo)
            part = info.metadata["part"] if info else "decision service"
            return Unavailable(part, message.removeprefix(f"{part}: "))
        case code_pb2.DEADLINE_EXCEEDED | code_pb2.CANCELLED:
            return Unavailable("decision service", message or "no answer within the deadline")
        case code_pb2.RESOURCE_EXHAUSTED:
            return Overloaded(message)
        case code_pb2.UNIMPLEMENTED:
            return NotBuilt(message)
        case code_pb2.FAILED_PRECONDITION:
            return ModelRejected(message)
        case _:
            return NbaError(message)


def from_rpc_error(error: grpc.RpcError) -> NbaError:
    """The error that a failed call stands for."""
    status = rpc_status.from_call(error)
    if status is None:
        return from_status(error.code().value[0], error.details() or "", ())
    return from_status(status.code, status.message, status.details)


def _unpack(detail: AnyMessage) -> Message | None:
    for kind in (BadRequest, ResourceInfo, RetryInfo, ErrorInfo):
        if detail.Is(kind.DESCRIPTOR):
            message: Message = kind()
            detail.Unpack(message)
            return message
    return None
