"""What every field of a message has to satisfy; all violations of a message are reported at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from decision_service.contract import messages
from decision_service.contract.pb import types_pb2
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.values import MAX_ID_LENGTH, MAX_VALUES, Value

T = TypeVar("T")

MAX_VALUES_BYTES = 32 * 1024
"""Most bytes of one context or attribute mapping: the log, the ledger and the warehouse keep it."""
MAX_AMOUNT = 1e12
"""Largest outcome value, either sign: sums of many stay finite."""
MAX_TEXT_LENGTH = 4_096
"""Longest string within a context or attribute value, note or detail, in characters."""
MAX_PROGRAMS = 100
"""Most programs of one request."""
MAX_BATCH = 1_000
"""Most requests, outcomes or events of one call."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# Times outside are no epoch milliseconds of a plausible year: seconds or microseconds, sent by mistake.
_EARLIEST_MS = 10**11  # 1973
_LATEST_MS = 10**14  # 5138


@dataclass(slots=True)
class Checks:
    """Collects what is wrong with one message. Each check returns the value to go on with."""

    violations: list[Violation] = field(default_factory=list)

    def fail(self, path: str, message: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(path, message))

    def done(self) -> None:
        """Raise InvalidRequest if there were violations."""
        if self.violations:
            raise InvalidRequest(self.violations)

    def id(self, path: str, value: str) -> str:
        """1 to MAX_ID_LENGTH characters."""
        if not value:
            self.fail(path, f"must not be empty; give 1 to {MAX_ID_LENGTH} characters")
        elif len(value) > MAX_ID_LENGTH:
            self.fail(path, f"has {len(value)} characters; give at most {MAX_ID_LENGTH}")
        elif _CONTROL.search(value):
            self.fail(path, "has control characters; give printable ones")
        return value

    def optional_id(self, path: str, value: str) -> str:
        """Empty, or an id."""
        return self.id(path, value) if value else value

    def text(self, path: str, value: str) -> str:
        """At most MAX_TEXT_LENGTH characters."""
        if len(value) > MAX_TEXT_LENGTH:
            self.fail(path, f"has {len(value)} characters; give at most {MAX_TEXT_LENGTH}")
        return value

    def finite(self, path: str, value: float) -> float:
        """Neither NaN nor infinite."""
        if not math.isfinite(value):
            self.fail(path, f"is {value}; give a finite number, or leave it out where it is unknown")
        return value

    def amount(self, path: str, value: float) -> float:
        """Finite, and so small that sums of many stay so."""
        if math.isfinite(self.finite(path, value)) and abs(value) > MAX_AMOUNT:
            self.fail(path, f"is {value}; give an amount within ±{MAX_AMOUNT:g}")
        return value

    def time(self, path: str, value_ms: int) -> int:
        """UTC epoch milliseconds of a plausible year."""
        if not value_ms:
            self.fail(path, "is missing; give UTC epoch milliseconds")
        elif value_ms < _EARLIEST_MS:
            self.fail(path, f"is {value_ms}, before 1973; give UTC epoch milliseconds, not seconds")
        elif value_ms > _LATEST_MS:
            self.fail(path, f"is {value_ms}, beyond the year 5000; give UTC epoch milliseconds, not microseconds")
        return value_ms

    def version(self, path: str, value: int, least: int) -> int:
        """A version number from `least` on."""
        if value < least:
            self.fail(path, f"is {value}; give {least} or more")
        return value

    def member(self, path: str, number: int, members: Mapping[int, T]) -> T | None:
        """The member with this number; None, with a violation, if there is none."""
        if number in members:
            return members[number]
        said = "is missing" if not number else f"{number} is not known"
        self.fail(path, f"{said}; use one of {', '.join(str(m) for m in members.values())}")
        return None

    def at_most(self, path: str, count: int, limit: int) -> None:
        """A collection's size."""
        if count > limit:
            self.fail(path, f"has {count} entries; give at most {limit}")

    def values(self, path: str, values: Mapping[str, types_pb2.Value]) -> dict[str, Value | None]:
        """Named values: numbers finite, texts and names not oversized."""
        self.at_most(path, len(values), MAX_VALUES)
        size = sum(len(name) + message.ByteSize() for name, message in values.items())
        if size > MAX_VALUES_BYTES:
            self.fail(path, f"has {size} bytes; give at most {MAX_VALUES_BYTES}, every decision's record keeps them")
        checked: dict[str, Value | None] = {}
        for name, message in values.items():
            value = messages.value_from_pb(message)
            where = f"{path}[{name[:MAX_ID_LENGTH]!r}]"
            if not name or len(name) > MAX_ID_LENGTH:
                self.id(where, name)
            if isinstance(value, float):
                self.finite(where, value)
            elif isinstance(value, str):
                self.text(where, value)
            elif isinstance(value, tuple):
                self.at_most(where, len(value), MAX_VALUES)
                for i, item in enumerate(value):
                    self.text(f"{where}[{i}]", item)
            checked[name] = value
        return checked
