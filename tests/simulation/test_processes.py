"""Simulations through the running product: over gRPC, by the command line, and when nothing runs any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_service.core.model.errors import InvalidRequest, Unavailable
from decision_service.core.model.record import ActivationStatus, DecideRequest
from decision_service.operation.sandbox import Sandbox
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import environment
from tests.e2e import races

PROGRAM = """
name: hello
features: {service: customer_v1}
actions:
  - {id: mail, channel: email, message: hello}
  - {id: text, channel: sms, message: hello}
caps: [{id: two_a_day, limit: 2, rolling: 1d}]
reward: {outcomes: {visit: 1}, aggregation: any, window: 1h}
"""
STRICTER = PROGRAM.replace("limit: 2", "limit: 1")
DECISIONS = 200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A worker that has decided two hundred times in ten minutes; the rewards have matured."""
    with Sandbox(Settings(workers=1), tmp_path_factory.mktemp("home"), races.START_MS) as sandbox:
        races.prepare(sandbox, 50)
        sandbox.client.apply_contact_policy("caps: []", "test")
        sandbox.client.apply_program(PROGRAM, "test")
        sandbox.await_programs(["hello"])
        for i in range(DECISIONS):
            sandbox.clock.set(sandbox.clock.now_ms() + 3_000)
            answer = sandbox.client.decide(DecideRequest(f"r{i}", f"customer-{i % 50}", ("hello",)))
            if answer.is_contact:
                sandbox.client.report_activation(answer.decision_id, ActivationStatus.SENT)
        sandbox.clock.set(sandbox.clock.now_ms() + 2 * 3_600_000)
        sandbox.drain()
        sandbox.join()
        yield sandbox


def _environment(sandbox: Sandbox) -> dict[str, str]:
    return {**os.environ, **environment(sandbox.settings)}


def _nba(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a user of this home runs it."""
    return subprocess.run(
        [sys.executable, "-m", "decision_service.cli", *arguments],
        env=_environment(sandbox),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_simulation_is_asked_of_the_service_and_by_the_command_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """Both give the same report; what is wrong with a proposal is told by both; and nobody waits where none answers."""
    period = (races.START_MS, sandbox.clock.now_ms())
    with pytest.raises(Unavailable, match="simulator: none is running"):
        sandbox.client.simulate(PROGRAM, *period)

    simulator = subprocess.Popen(
        [sys.executable, "-m", "decision_service.cli", "simulator", "--supervised"], env=_environment(sandbox)
    )
    try:
        unchanged = json.loads(_asked(sandbox, PROGRAM, period))
        assert unchanged["decisions"] == DECISIONS
        assert unchanged["changes"] == []
        assert unchanged["estimate"]["refused"] == []
        stricter = json.loads(_asked(sandbox, STRICTER, period))
        assert stricter["total"]["proposed"]["contacts"] == stricter["total"]["proposed"]["customers"] <= 50
        assert stricter["total"]["today"] == unchanged["total"]["today"]
        with pytest.raises(InvalidRequest, match="contact_policy_document"):
            sandbox.client.simulate(PROGRAM, *period, "caps: [{}]")
        with pytest.raises(InvalidRequest, match="no decision in it"):
            sandbox.client.simulate(PROGRAM, period[0] - 2, period[0] - 1)
        again = json.loads(_asked(sandbox, STRICTER, period))
    finally:
        simulator.terminate()
        simulator.wait(30)
    assert simulator.returncode == 0
    with pytest.raises(Unavailable, match="simulator: none is running"):
        sandbox.client.simulate(PROGRAM, *period)

    file = tmp_path / "stricter.yaml"
    file.write_text(STRICTER)
    printed = _nba(sandbox, "simulate", "-f", str(file), "--json")
    assert printed.returncode == 0, printed.stderr
    by_hand = json.loads(printed.stdout)
    for report in (by_hand, again):
        for name in ("seconds", "from_ms", "until_ms"):
            report.pop(name)
    assert by_hand == again
    shown = _nba(sandbox, "simulate", "-f", str(file))
    assert "hello/mail" in shown.stdout
    (tmp_path / "wrong.yaml").write_text("name: x\n")
    refused = _nba(sandbox, "simulate", "-f", str(tmp_path / "wrong.yaml"))
    assert refused.returncode == 2
    assert "reward" in refused.stderr

    # When everything is stopped the warehouse alone will do.
    sandbox.stack.stop()
    alone = _nba(sandbox, "simulate", "-f", str(file), "--json")
    assert alone.returncode == 0, alone.stderr
    assert json.loads(alone.stdout)["total"] == by_hand["total"]


def _asked(sandbox: Sandbox, document: str, period: tuple[int, int]) -> str:
    """Of the service, as soon as the simulator says that it is there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return sandbox.client.simulate(document, *period)
        except Unavailable as error:
            if "none is running" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
