"""The humane forms that documents are written in, as pydantic field types. Each checks what it can by itself."""

from __future__ import annotations

import difflib
import json
import math
import re
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from decision_service.adapters.cel_rules import check_rule
from decision_service.core.errors import InvalidRequest
from decision_service.core.groups import BUCKETS
from decision_service.core.values import MAX_ID_LENGTH

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_DURATION = r"^[0-9]{1,9}[smhdw]$"
_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_SHARE = r"^[0-9]{1,3}(\.[0-9]{1,2})?%$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_MAX_PAYLOAD = 65_536
MAX_DURATION_S = 366 * 86_400
_INT64 = 2**63


def wrong(message: str) -> PydanticCustomError:
    """An error of a document, with the message as people read it."""
    return PydanticCustomError("document", "{message}", {"message": message})


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean `x`?` for the closest known name, or nothing if none is close."""
    close = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def shown(value: object) -> str:
    """A value as people wrote it, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _text(value: object, pattern: str, what: str) -> str:
    if not isinstance(value, str) or not re.match(pattern, value) or value.endswith("\n"):
        raise wrong(f"{shown(value)} is not {what}")
    return value


def _duration(value: object) -> int:
    text = _text(value, _DURATION, "a duration; write a number and a unit, such as 90s, 15m, 12h, 7d or 2w")
    seconds = int(text[:-1]) * _SECONDS[text[-1]]
    if seconds > MAX_DURATION_S:
        raise wrong(f"{text} is longer than {MAX_DURATION_S // 86_400}d")
    return seconds


def _window(value: object) -> int:
    seconds = _duration(value)
    if seconds == 0:
        raise wrong("must be longer than 0s")
    return seconds


def _time_of_day(value: object) -> int:
    hours, minutes = _text(value, _TIME_OF_DAY, "a time of day; write it as 08:30 or 22:00").split(":")
    return int(hours) * 60 + int(minutes)


def _share(value: object) -> int:
    text = _text(value, _SHARE, "a share; write percent with at most two decimals, such as 5% or 12.25%")
    whole, _, decimals = text[:-1].partition(".")
    buckets = int(whole) * 100 + int(decimals.ljust(2, "0"))
    if buckets > BUCKETS:
        raise wrong(f"{text} is more than 100%")
    return buckets


def _timestamp(value: object) -> int:
    what = "a time with zone; write it as 2026-03-01T08:00:00Z or 2026-03-01T08:00:00+01:00"
    try:
        moment = datetime.fromisoformat(_text(value, r"^\d{4}-\d\d-\d\dT", what))
    except ValueError:
        raise wrong(f"{shown(value)} is not {what}") from None
    if moment.tzinfo is None:
        raise wrong(f"{shown(value)} has no zone; add Z for UTC, or an offset such as +01:00")
    try:
        return round(moment.astimezone(UTC).timestamp() * 1000)
    except OverflowError:
        raise wrong(f"{shown(value)} is out of range") from None


def _id(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"{shown(value)} is not text; put quotes around it")
    if not value or value != value.strip():
        raise wrong("must not be empty, nor begin or end with a space")
    if len(value) > MAX_ID_LENGTH:
        raise wrong(f"has {len(value)} characters; at most {MAX_ID_LENGTH} are allowed")
    if not value.isprintable():
        raise wrong("must not contain control characters or line breaks")
    return value


def _name(value: object) -> str:
    return _text(_id(value), _NAME, "a name; use letters, digits, `_`, `-` and `.`, a letter or digit first")


def _variable(value: object) -> str:
    return _text(_id(value), _VARIABLE, "a variable's name; use letters, digits and `_`, no digit first")


def _rule(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"{shown(value)} is not a rule; write CEL as text, such as 'customer.age >= 18'")
    try:
        check_rule(value)
    except InvalidRequest as refused:
        raise wrong(refused.violations[0].message) from None
    return value


def _zone(value: object) -> str:
    name = _id(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        close = nearest(name, zoneinfo.available_timezones())
        raise wrong(
            f"{shown(name)} is not a time zone{close or '; write an IANA name such as Europe/Berlin'}"
        ) from None
    return name


def _value(value: object) -> object:
    match value:
        case bool() | str():
            return value
        case int() if -_INT64 <= value < _INT64:
            return value
        case float() if math.isfinite(value):
            return value
        case list() if value and all(isinstance(item, str) for item in value):
            return tuple(value)
    raise wrong(f"{shown(value)} is not a value; use text, a finite number, true, false, or a list of texts")


def _payload(value: object) -> str:
    if not isinstance(value, dict):
        raise wrong(f"{shown(value)} is not a mapping of keys to values")
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if len(text) > _MAX_PAYLOAD:
        raise wrong(f"has {len(text)} characters as JSON; at most {_MAX_PAYLOAD} are allowed")
    return text


def _string(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


_ID_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH})

Duration: TypeAlias = Annotated[int, BeforeValidator(_duration), _string(_DURATION, "15m", "7d")]
"""Seconds, from `90s`, `15m`, `12h`, `7d`, `2w`; 0 to 366 days."""

Window: TypeAlias = Annotated[int, BeforeValidator(_window), _string(_DURATION, "15m", "7d")]
"""A duration longer than nothing."""

TimeOfDay: TypeAlias = Annotated[int, BeforeValidator(_time_of_day), _string(_TIME_OF_DAY, "22:00")]
"""Minutes since midnight, from `22:00`."""

Share: TypeAlias = Annotated[int, BeforeValidator(_share), _string(_SHARE, "5%", "12.25%")]
"""Buckets of 10,000, from `12.25%`."""

Timestamp: TypeAlias = Annotated[
    int,
    BeforeValidator(_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T08:00:00+01:00"]}),
]
"""UTC epoch milliseconds, from ISO 8601 with zone."""

Id: TypeAlias = Annotated[str, BeforeValidator(_id), _ID_SCHEMA]
"""At most MAX_ID_LENGTH printable characters."""

Name: TypeAlias = Annotated[str, BeforeValidator(_name), _string(_NAME, "winter-sale")]
"""An id that may stand in paths and names of models."""

Variable: TypeAlias = Annotated[str, BeforeValidator(_variable), _string(_VARIABLE, "device")]
"""An id that rules can write as `context.device`."""

Rule: TypeAlias = Annotated[
    str, BeforeValidator(_rule), WithJsonSchema({"type": "string", "examples": ["customer.age >= 18"]})
]
"""A CEL expression that gives true or false."""

Zone: TypeAlias = Annotated[
    str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"]})
]
"""An IANA time zone that this machine knows."""

AttributeValue: TypeAlias = Annotated[
    Any,
    PlainValidator(_value),
    WithJsonSchema(
        {"type": ["string", "number", "boolean", "array"], "items": {"type": "string"}, "description": "A value."}
    ),
]
"""`core.values.Value`."""

Payload: TypeAlias = Annotated[str, PlainValidator(_payload), WithJsonSchema({"type": "object"})]
"""Canonical JSON text, from any mapping."""

Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""
