"""Core values → request messages; where a value's type does not fit its field, InvalidRequest names the field."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from decision_service.application.administration import CustomerSuppression
from decision_service.contract import messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.program import Group
from decision_service.core.model.record import DecideRequest

T = TypeVar("T")


def build(kind: Callable[..., T], **fields: object) -> T:
    """A message of these fields; None leaves a field unset.

    Raises:
        InvalidRequest: listing every value that its field cannot hold.
    """
    violations: list[Violation] = []
    for name, value in fields.items():
        _attempt(violations, name, value, functools.partial(kind, **{name: value}))
    _done(violations)
    return kind(**fields)


def fill(path: str, fill_message: Callable[[Any, T], None], message: Any, value: T) -> None:
    """Fill one message of a list, which stands at `path`.

    Raises:
        InvalidRequest: the value does not fit.
    """
    violations: list[Violation] = []
    _attempt(violations, path, value, lambda: fill_message(message, value))
    _done(violations)


def fill_decide(message: pb.DecideRequest, request: DecideRequest, path: str = "") -> None:
    """Set an empty message; `path` is a prefix of its fields' names in errors.

    Raises:
        InvalidRequest: listing every value that its field cannot hold.
    """
    wrong: list[Violation] = []
    for name in ("request_id", "customer_id", "no_action_when_unavailable", "dry_run"):
        value = getattr(request, name)
        _attempt(wrong, path + name, value, functools.partial(setattr, message, name, value))
    _attempt(wrong, f"{path}programs", request.programs, functools.partial(_name_all, message, request.programs))
    _attempt(wrong, f"{path}channels", request.channels, lambda: message.channels.extend(request.channels))
    if (at_ms := request.at_ms) is not None:
        _attempt(wrong, f"{path}at_ms", at_ms, lambda: setattr(message, "at_ms", at_ms))
    if (group := request.pinned_group) is not None:
        _attempt(wrong, f"{path}pinned_group", group, lambda: _pin(message, group))
    for name, value in request.context.items():
        _attempt(wrong, f"{path}context[{name!r}]", value, functools.partial(_fill_context, message, name, value))
    _done(wrong)


def fill_suppression(message: admin_pb.SuppressRequest, suppression: CustomerSuppression) -> None:
    """Set an empty message."""
    message.customer_id = suppression.customer_id
    message.channel = suppression.channel
    message.note = suppression.note
    message.author = suppression.author
    if suppression.until_ms is not None:
        message.until_ms = suppression.until_ms


def _attempt(violations: list[Violation], path: str, value: object, change: Callable[[], object]) -> None:
    """Change a message, or note that the value is of a type that the field cannot hold."""
    try:
        change()
    except (TypeError, ValueError, KeyError) as error:
        violations.append(Violation(path, f"cannot be the {type(value).__name__} {value!r:.80}: {error}"))


def _done(violations: list[Violation]) -> None:
    if violations:
        raise InvalidRequest(violations)


def _name_all(message: pb.DecideRequest, programs: tuple[str, ...]) -> None:
    if isinstance(programs, str):  # its letters would pass as names of programs
        raise TypeError(f"give a tuple of names: ({programs!r},)")
    message.programs.extend(programs)


def _pin(message: pb.DecideRequest, group: Group) -> None:
    message.pinned_group = messages.GROUP_TO_PB[group]


def _fill_context(message: pb.DecideRequest, name: str, value: Any) -> None:
    messages.fill_value(message.context[name], value)
