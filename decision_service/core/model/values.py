"""The value types that rules, models and the log share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str | tuple[str, ...]
"""A feature, context or action-attribute value. Absence is `None`, never NaN or an empty string."""

Values: TypeAlias = Mapping[str, Value | None]
"""Named values; `None` marks a value that is known to be missing."""

NO_ACTION = "NO_ACTION"
"""The id of the explicit action of not contacting the customer; always feasible."""

MAX_VALUES = 256
"""Most entries of what callers send: of a context or attributes, and of a list in them."""

MAX_ID_LENGTH = 256
"""Longest customer, request, program, action and outcome id accepted, in characters."""


class ValueType(StrEnum):
    """The declared type of a feature or context value."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    STRINGS = "strings"


def conforms(value: Value, declared: ValueType) -> bool:
    """Whether `value` may stand where `declared` is expected; an int may stand for a float."""
    match declared:
        case ValueType.BOOL:
            return isinstance(value, bool)
        case ValueType.INT:
            return isinstance(value, int) and not isinstance(value, bool)
        case ValueType.FLOAT:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        case ValueType.STRING:
            return isinstance(value, str)
        case ValueType.STRINGS:
            return isinstance(value, tuple)
