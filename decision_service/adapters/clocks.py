"""Clocks: the machine's, one in memory for tests, and one in a file that every process of a simulation shares."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

from decision_service.application.ports import Clock

_SIZE = 8


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """UTC epoch milliseconds."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time last set."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move to a time, forwards or backwards."""
        self._now_ms = now_ms

    def advance(self, seconds: float) -> None:
        """Move forwards by seconds."""
        self._now_ms += round(seconds * 1000)


class FileClock:
    """Eight bytes in a memory-mapped file: one process sets the time, all others see it at once."""

    def __init__(self, path: Path, create_at_ms: int | None = None) -> None:
        if create_at_ms is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            # A view of native integers reads and writes all eight bytes at once; `struct` with a byte order goes
            # byte by byte, and another process would see half of a change: a time that never was.
            self._cell = memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("q")
        if create_at_ms is not None:
            self.set(create_at_ms)

    def now_ms(self) -> int:
        """The time last set by any process."""
        return self._cell[0]

    def set(self, now_ms: int) -> None:
        """Set the time for every process that maps the file."""
        self._cell[0] = now_ms


def clock_from(setting: str) -> Clock:
    """The clock that `Settings.clock` names."""
    return SystemClock() if setting == "system" else FileClock(Path(setting.removeprefix("file:")))
