"""The load tests themselves, briefly, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from decision_service.adapters.clocks import ManualClock, SystemClock
from decision_service.rpc.server import Server
from loadtests.open_loop import due_times

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the repository, to its end."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.slow
def test_locust_walks_the_journey(server: Server, clock: ManualClock, tmp_path: Path) -> None:
    """Locust's users decide, report and record without a failure, and the server has seen what Locust counted."""
    clock.set(SystemClock().now_ms())  # Locust dates its events by the machine's clock
    command = ["locust", "-f", "loadtests/locustfile.py", "--headless", "-u", "4", "-r", "4", "-t", "4s"]
    done = run(*command, "-H", server.address, "--json-file", str(tmp_path / "result"), "--customers", "50")
    assert done.returncode == 0, done.stderr
    results = {row["name"]: row for row in json.loads((tmp_path / "result.json").read_text())}
    assert {"Decide", "ReportActivation", "RecordOutcomes", "RecordEvents"} <= set(results)
    assert {row["num_failures"] for row in results.values()} == {0}
    decided = results["Decide"]["num_requests"] + results.get("Decide again", {"num_requests": 0})["num_requests"]
    # Calls that the end of the run cut off have been seen by the server only.
    assert decided <= server.counts.snapshot()["/nba.v1.DecisionService/Decide", "OK"] <= decided + 4


@pytest.mark.slow
def test_the_open_loop_keeps_its_rate(server: Server) -> None:
    """Every call that was due is made and answered."""
    done = run(
        "loadtests.open_loop", "--target", server.address, "--program", "welcome", "--rate", "50", "--seconds", "2"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    calls = server.counts.snapshot()["/nba.v1.DecisionService/Decide", "OK"]
    assert calls == len(due_times(50, 2, seed=1))
    assert f"OK {calls}" in done.stdout


def test_arrivals_have_the_rate_asked_for() -> None:
    """Arrival times increase, stay within the run, and are as many as the rate makes."""
    times = due_times(1_000, 20, seed=3)
    assert times == sorted(times)
    assert times[-1] < 20
    assert len(times) == pytest.approx(20_000, rel=0.03)
