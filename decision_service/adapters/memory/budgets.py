"""Budgets in memory, for the core's speed in tests; held to the same contract suite as Redis."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from decision_service.core.model.customer import REPORT_GRACE_MS
from decision_service.core.model.record import Token


@dataclass(slots=True)
class _Counter:
    spent: int = 0
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)  # decision → amount, when its lease lapses
    released: dict[str, tuple[int, int]] = field(default_factory=dict)

    def level(self, now_ms: int) -> int:
        return self.spent + sum(amount for amount, lapses_ms in self.tokens.values() if now_ms <= lapses_ms)

    def holds(self, decision_id: str, now_ms: int) -> bool:
        return decision_id in self.tokens and now_ms <= self.tokens[decision_id][1]


class _Ready:
    def __init__(self, levels: Mapping[str, int]) -> None:
        self._levels = levels

    def result(self) -> Mapping[str, int]:
        return self._levels


class MemoryBudgets:
    """The Budgets port under one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: defaultdict[str, _Counter] = defaultdict(_Counter)

    def begin_levels(self, keys: Sequence[str], now_ms: int) -> _Ready:
        """See the port."""
        with self._lock:
            return _Ready({key: self._counters[key].level(now_ms) for key in keys})

    def take(
        self, decision_id: str, tokens: Sequence[Token], limits: Sequence[int], now_ms: int, until_ms: int
    ) -> str | None:
        """See the port."""
        with self._lock:
            missing = []
            for token, limit in zip(tokens, limits, strict=True):
                counter = self._counters[token.key]
                if counter.holds(decision_id, now_ms):
                    continue
                if counter.level(now_ms) + token.amount > limit:
                    return token.key
                missing.append(token)
            for token in missing:
                lapses_ms = max(now_ms, until_ms) + REPORT_GRACE_MS
                counter = self._counters[token.key]
                counter.tokens[decision_id] = (token.amount, lapses_ms)
                counter.released.pop(decision_id, None)
            return None

    def spend(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """See the port."""
        with self._lock:
            for token in tokens:
                counter = self._counters[token.key]
                for held in (counter.tokens, counter.released):
                    counter.spent += held.pop(decision_id, (0, 0))[0]

    def release(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """See the port."""
        with self._lock:
            for token in tokens:
                counter = self._counters[token.key]
                if (held := counter.tokens.pop(decision_id, None)) is not None:
                    counter.released[decision_id] = held
