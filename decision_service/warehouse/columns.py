"""What a documented table is made of: columns with type, unit and meaning. Timestamps are UTC with microseconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from decision_service.core.model.values import Value, Values

STRING, INT, FLOAT, BOOL, BINARY = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary()
TIMESTAMP = pa.timestamp("us", tz="UTC")
STRINGS, FLOATS, BOOLS = pa.list_(pa.string()), pa.list_(pa.float64()), pa.list_(pa.bool_())
EXCLUSIONS = pa.list_(pa.struct([("action", STRING), ("reason", STRING), ("detail", STRING)]))
TOKENS = pa.list_(pa.struct([("budget", STRING), ("period", STRING), ("amount", INT)]))
OTHERS = pa.list_(
    pa.struct(
        [("program", STRING), ("program_version", INT), ("probability", FLOAT), ("score", FLOAT), ("group", STRING)]
    )
)


to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `unit` is empty for plain text and flags; `value` makes it from a log entry's body."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    value: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One documented table; `key` names the columns that identify a row."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """Its Arrow schema, all columns nullable."""
        return pa.schema([(column.name, column.type) for column in self.columns])


def microseconds(ms: int | None) -> int | None:
    return None if ms is None else ms * 1000


def values_to_json(values: Values) -> str:
    """Named values as JSON text; floats keep every digit, missing values are null."""
    return to_json.encode(dict(values))


def values_from_json(text: str) -> dict[str, Value | None]:
    """The inverse of `values_to_json`."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(text).items()}
