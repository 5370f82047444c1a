"""A process that dies at any call to the parts it works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Crash(Exception):
    """The process dies here."""


class Dying:
    """Counts the calls to the parts that it wraps, and dies before or after the call number `at`."""

    def __init__(self, at: int, after: bool) -> None:
        self.at, self.after, self.calls = at, after, 0

    def wrap(self, part: Any) -> Any:
        """The part, seen through this counter."""
        dying = self

        class Wrapped:
            def __getattr__(self, name: str) -> Callable[..., Any]:
                def call(*arguments: Any) -> Any:
                    number, dying.calls = dying.calls, dying.calls + 1
                    if number == dying.at and not dying.after:
                        raise Crash
                    result = getattr(part, name)(*arguments)
                    if number == dying.at:
                        raise Crash
                    return result

                return call

        return Wrapped()
