"""Budgets in memory, for the core's speed in tests; held to the same contract suite as Redis."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from decision_service.core.customer import REPORT_GRACE_MS
from decision_service.core.record import Token


@dataclass(slots=True)
class _Counter:
    spent: dict[str, int] = field(default_factory=dict)
    held: dict[str, tuple[int, int]] = field(default_factory=dict)  # decision → (amount, until_ms)

    def level(self, now_ms: int) -> int:
        live = sum(amount for amount, until_ms in self.held.values() if now_ms <= until_ms + REPORT_GRACE_MS)
        return live + sum(self.spent.values())


class _Ready:
    def __init__(self, levels: Mapping[str, int]) -> None:
        self._levels = levels

    def result(self) -> Mapping[str, int]:
        return self._levels


class MemoryBudgets:
    """The Budgets port under one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, _Counter] = {}

    def begin_levels(self, keys: Sequence[str], now_ms: int) -> _Ready:
        """See the port."""
        with self._lock:
            return _Ready({key: self._counter(key).level(now_ms) for key in keys})

    def take(
        self, decision_id: str, tokens: Sequence[Token], limits: Sequence[int], now_ms: int, until_ms: int
    ) -> str | None:
        """See the port."""
        with self._lock:
            for token, limit in zip(tokens, limits, strict=True):
                counter = self._counter(token.key)
                if decision_id not in counter.held and counter.level(now_ms) + token.amount > limit:
                    return token.key
            for token in tokens:
                self._counter(token.key).held[decision_id] = (token.amount, until_ms)
            return None

    def spend(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """See the port."""
        with self._lock:
            for token in tokens:
                counter = self._counter(token.key)
                counter.held.pop(decision_id, None)
                counter.spent[decision_id] = token.amount

    def release(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """See the port."""
        with self._lock:
            for token in tokens:
                self._counter(token.key).held.pop(decision_id, None)

    def _counter(self, key: str) -> _Counter:
        return self._counters.setdefault(key, _Counter())
