"""How many decisions were made without features, of late."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60


class FeatureGauge:
    """Counts decisions of the last WINDOW_S seconds, by the second; thread-safe."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._seconds: deque[list[int]] = deque()  # [second, decisions, without features]

    def add(self, without: bool) -> None:
        """Count one decision; `without`: none of the features of one of its programs could be read."""
        with self._lock:
            second = self._forget()
            if not self._seconds or self._seconds[-1][0] != second:
                self._seconds.append([second, 0, 0])
            latest = self._seconds[-1]
            latest[1] += 1
            latest[2] += without

    def read(self) -> tuple[int, int]:
        """Decisions of the last WINDOW_S seconds, and those of them that were made without features."""
        with self._lock:
            self._forget()
            return sum(s[1] for s in self._seconds), sum(s[2] for s in self._seconds)

    def _forget(self) -> int:
        second = int(self._monotonic_s())
        while self._seconds and self._seconds[0][0] <= second - WINDOW_S:
            self._seconds.popleft()
        return second
