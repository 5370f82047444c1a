"""Clocks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from decision_service.adapters.clocks import FileClock, ManualClock, SystemClock, clock_from

LOW, HIGH = 0x0000_01A0_00FF_FFFF, 0x0000_01A0_0100_0000  # one millisecond apart, four bytes different

FLIP = f"""
import sys
from pathlib import Path
from decision_service.adapters.clocks import FileClock
clock = FileClock(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    clock.set({LOW})
    clock.set({HIGH})
"""


def test_a_shared_clock_is_never_seen_half_set(tmp_path: Path) -> None:
    """While another process moves it over a carry of several bytes, only times that were set are read."""
    clock = FileClock(tmp_path / "clock", create_at_ms=LOW)
    with subprocess.Popen([sys.executable, "-c", FLIP, str(tmp_path / "clock")], stdout=subprocess.PIPE) as flipper:
        assert flipper.stdout is not None
        flipper.stdout.readline()
        # On a busy machine the other process may not have had its turn yet by the end of so many reads.
        deadline = time.monotonic() + 30
        seen = {clock.now_ms() for _ in range(300_000)}
        while len(seen) < 2 and time.monotonic() < deadline:
            seen |= {clock.now_ms() for _ in range(10_000)}
        flipper.kill()
    assert seen == {LOW, HIGH}


def test_the_setting_names_the_clock(tmp_path: Path) -> None:
    """`system`, or a file that every process shares."""
    assert isinstance(clock_from("system"), SystemClock)
    FileClock(tmp_path / "clock", create_at_ms=5)
    assert clock_from(f"file:{tmp_path / 'clock'}").now_ms() == 5


def test_clocks_move_as_told() -> None:
    """Forwards, backwards, and the system's by itself."""
    clock = ManualClock(1000)
    clock.advance(1.5)
    assert clock.now_ms() == 2500
    clock.set(10)
    assert clock.now_ms() == 10
    assert SystemClock().now_ms() == pytest.approx(time.time() * 1000, abs=5_000)
