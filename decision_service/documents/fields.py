"""The humane forms that documents are written in, as pydantic field types. Each checks what it can by itself.

Those of dates and times are in `times`.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from decision_service.core.guardrails.groups import BUCKETS
from decision_service.core.model.customer import ALL_CHANNELS
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import ALL_CAPS, MICROS
from decision_service.core.model.values import MAX_ID_LENGTH
from decision_service.documents.rules.rule_language import check_rule

MAX_MONEY = 1_000_000_000
"""Most money that can be written: its millionths are still exact in the floating point of JSON and of Redis."""

_SHARE = r"^[0-9]{1,3}(\.[0-9]{1,2})?%$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_MAX_PAYLOAD = 65_536
_INT64 = 2**63


class Document(BaseModel):
    """What every part of a document has in common: unknown keys and loose types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


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


def matching(value: object, pattern: str, what: str) -> str:
    """A text that a pattern matches, which gives `what` is meant."""
    if not isinstance(value, str) or not re.match(pattern, value) or value.endswith("\n"):
        raise wrong(f"{shown(value)} is not {what}")
    return value


def _share(value: object) -> int:
    text = matching(value, _SHARE, "a share; write percent with at most two decimals, such as 5% or 12.25%")
    whole, _, decimals = text[:-1].partition(".")
    buckets = int(whole) * 100 + int(decimals.ljust(2, "0"))
    if buckets > BUCKETS:
        raise wrong(f"{text} is more than 100%")
    return buckets


def identifier(value: object) -> str:
    """At most MAX_ID_LENGTH printable characters."""
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
    return matching(identifier(value), _NAME, "a name; use letters, digits, `_`, `-` and `.`, a letter or digit first")


def _variable(value: object) -> str:
    return matching(identifier(value), _VARIABLE, "a variable's name; use letters, digits and `_`, no digit first")


def _rule(value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"{shown(value)} is not a rule; write CEL as text, such as 'customer.age >= 18'")
    try:
        check_rule(value)
    except InvalidRequest as refused:
        raise wrong(refused.violations[0].message) from None
    return value


def _channel(value: object) -> str:
    name = identifier(value)
    if name == ALL_CHANNELS:
        raise wrong(f"{ALL_CHANNELS!r} stands for every channel and cannot be the name of one")
    return name


def _cap_id(value: object) -> str:
    name = identifier(value)
    if name == ALL_CAPS:
        raise wrong(f"{ALL_CAPS!r} stands for every cap and cannot be the id of one")
    return name


def _ignored_caps(value: object) -> frozenset[str]:
    if value == "all":
        return frozenset({ALL_CAPS})
    if not isinstance(value, list):
        raise wrong(f"{shown(value)} is neither `all` nor a list of cap ids")
    return frozenset(map(_cap_id, value))


def _money(value: object) -> int:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise wrong(f"{shown(value)} is not an amount of money; write a number, such as 0.07 or 5000")
    if not 0 <= value <= MAX_MONEY:
        raise wrong(f"{value} is too {'small; the least is 0' if value < 0 else f'large; the most is {MAX_MONEY}'}")
    micros = Decimal(repr(value)) * MICROS  # the shortest text of a float is the one that was written
    if micros != int(micros):
        raise wrong(f"{value} has more than 6 decimals")
    return int(micros)


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


def string(pattern: str, *examples: str) -> WithJsonSchema:
    """JSON Schema of a text with a pattern."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


_ID_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH})

Channel: TypeAlias = Annotated[str, BeforeValidator(_channel), _ID_SCHEMA]
"""An id other than ALL_CHANNELS."""

CapId: TypeAlias = Annotated[str, BeforeValidator(_cap_id), _ID_SCHEMA]
"""An id other than ALL_CAPS."""

IgnoredCaps: TypeAlias = Annotated[
    frozenset[str],
    PlainValidator(_ignored_caps),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Ids of caps; ALL_CAPS from `all`."""

Money: TypeAlias = Annotated[
    int,
    BeforeValidator(_money),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_MONEY, "examples": [0.07, 5000]}),
]
"""Millionths of the currency, from a number with at most 6 decimals."""

Share: TypeAlias = Annotated[int, BeforeValidator(_share), string(_SHARE, "5%", "12.25%")]
"""Buckets of 10,000, from `12.25%`."""

Id: TypeAlias = Annotated[str, BeforeValidator(identifier), _ID_SCHEMA]
"""At most MAX_ID_LENGTH printable characters."""

Name: TypeAlias = Annotated[str, BeforeValidator(_name), string(_NAME, "winter-sale")]
"""An id that may stand in paths and names of models."""

Variable: TypeAlias = Annotated[str, BeforeValidator(_variable), string(_VARIABLE, "device")]
"""An id that rules can write as `context.device`."""

Rule: TypeAlias = Annotated[
    str, BeforeValidator(_rule), WithJsonSchema({"type": "string", "examples": ["customer.age >= 18"]})
]
"""A CEL expression that gives true or false."""

AttributeValue: TypeAlias = Annotated[
    Any,
    PlainValidator(_value),
    WithJsonSchema(
        {"type": ["string", "number", "boolean", "array"], "items": {"type": "string"}, "description": "A value."}
    ),
]
"""`core.model.values.Value`."""

Payload: TypeAlias = Annotated[str, PlainValidator(_payload), WithJsonSchema({"type": "object"})]
"""Canonical JSON text, from any mapping."""

Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""
