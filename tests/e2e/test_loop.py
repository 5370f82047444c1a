"""The main loop on a real stack, from Decide to a promoted model and back, and what must not break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision_service.core.model.record import ActivationStatus, DecideRequest, Outcome, PolicyKind
from decision_service.core.model.values import NO_ACTION
from decision_service.operation.sandbox import Sandbox
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import environment
from tests.e2e import races

PROGRAM = """
name: loop
features: {service: customer_v1}
actions:
  - {id: mail, channel: email, message: hello}
  - {id: text, channel: sms, message: hello}
exploration: {kind: epsilon_greedy, epsilon: 0.3}
reward: {outcomes: {visit: 1}, aggregation: any, window: 1h}
"""
DECISIONS, CUSTOMERS = 1_500, 50


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A stack whose first model has learned that mail pays and text does not."""
    with Sandbox(Settings(workers=2), tmp_path_factory.mktemp("home"), races.START_MS) as sandbox:
        races.prepare(sandbox, CUSTOMERS)
        sandbox.client.apply_contact_policy("caps: []", "test")
        sandbox.client.apply_program(PROGRAM, "test")
        sandbox.await_programs(["loop"])
        _live(sandbox, "first")
        yield sandbox


def _live(sandbox: Sandbox, name: str) -> None:
    """DECISIONS decisions in rounds, delivered and answered, and the hours in which their rewards mature.

    Between two rounds nothing happens for 0, 1 or 2 hours, so that a model has seen customers contacted just now and
    hours ago: what it makes of a gap that no row had is not a question of the loop.
    """
    outcomes: list[Outcome] = []
    for i in range(DECISIONS):
        hours = i // CUSTOMERS % 3 if i % CUSTOMERS == 0 else 0
        sandbox.clock.set(sandbox.clock.now_ms() + 1_000 + hours * 3_600_000)
        answer = sandbox.client.decide(DecideRequest(f"{name}-{i}", f"customer-{i % CUSTOMERS}", ("loop",)))
        if answer.is_contact:
            sandbox.client.report_activation(answer.decision_id, ActivationStatus.SENT)
        # Of each customer in another order, so that mail is the best for every one of them at every time.
        turn = (7 * (i // CUSTOMERS) + i % CUSTOMERS) % 10
        pays = {"mail": turn < 6, "text": turn < 1, NO_ACTION: turn < 2}[answer.action]
        if pays:
            at_ms = sandbox.clock.now_ms()
            outcomes.append(
                Outcome(
                    f"{name}-{i}", f"customer-{i % CUSTOMERS}", "visit", at_ms, at_ms, decision_id=answer.decision_id
                )
            )
        if i % CUSTOMERS == CUSTOMERS - 1:
            sandbox.client.record_outcomes(outcomes)
            outcomes = []
    sandbox.clock.set(sandbox.clock.now_ms() + 2 * 3_600_000)
    sandbox.drain()


def _nba(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a user of this home runs it."""
    return subprocess.run(
        [sys.executable, "-m", "decision_service.cli", *arguments],
        env={**os.environ, **environment(sandbox.settings)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_the_loop_closes_and_a_bad_model_does_not_open_it(sandbox: Sandbox) -> None:
    """Trained, judged, promoted, served; then a damaged successor is refused, and status says why."""
    # The first model is judged better than uniform, and workers serve it.
    [run] = sandbox.learn()
    assert (run.program, run.verdict) == ("loop", "PROMOTE")
    answers = []
    for i in range(200):
        sandbox.clock.set(sandbox.clock.now_ms() + 1_000)
        answers.append(sandbox.client.decide(DecideRequest(f"served-{i}", f"customer-{i % CUSTOMERS}", ("loop",))))
    assert all(a.model is not None and a.model.version == run.version for a in answers)
    assert max(a.probability for a in answers) == pytest.approx(0.8)
    best = [a for a in answers if a.probability > 0.5]
    assert {a.action for a in best} == {"mail"}

    # Every one of them replays bit for bit through the API.
    assert all(sandbox.client.replay(a.decision_id).differences == () for a in answers[:50])

    # Re-running any job changes nothing.
    sandbox.drain()
    rewards = sandbox.warehouse.query("SELECT * FROM rewards ORDER BY ALL")
    sandbox.join()
    assert sandbox.warehouse.query("SELECT * FROM rewards ORDER BY ALL").num_rows >= rewards.num_rows
    again = sandbox.warehouse.query("SELECT * FROM rewards ORDER BY ALL")
    sandbox.join()
    assert sandbox.warehouse.query("SELECT * FROM rewards ORDER BY ALL").equals(again)

    # The command line explains from the service and, without it, from the warehouse.
    explained = _nba(sandbox, "explain", best[0].decision_id)
    assert explained.returncode == 0, explained.stderr
    assert explained.stdout.startswith("mail for customer customer-")
    absent = _nba(sandbox, "explain", best[0].decision_id, "--target", "127.0.0.1:1")
    assert absent.stdout == explained.stdout

    # A second model, damaged on disk before anyone loads it.
    _live(sandbox, "second")
    _damage_next_version(sandbox, run.version)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = json.loads(_nba(sandbox, "status", "--json").stdout)
        models = [process["models"]["loop"] for process in status["processes"].values()]
        if len(models) == 2 and all("refused" in text for text in models):
            break
    assert len(models) == 2
    for text in models:
        assert text.startswith(f"version {run.version}; version ")
        assert "refused" in text
        assert "digest" in text
    answer = sandbox.client.decide(DecideRequest("after", "customer-1", ("loop",)))
    assert answer.model is not None
    assert answer.model.version == run.version
    record = sandbox.client.get_decision(answer.decision_id)
    assert record.policy is PolicyKind.MODEL


def _damage_next_version(sandbox: Sandbox, champion: str) -> None:
    """Register a copy of the champion under a new version, break its file, and let the alias point to it."""
    import mlflow

    client = mlflow.MlflowClient(sandbox.settings.tracking_uri, sandbox.settings.tracking_uri)
    name = "nba-loop"
    source = client.get_model_version(name, champion)
    copied = client.create_model_version(name, source.source, source.run_id, tags=source.tags)
    folder = Path(source.source.removeprefix("file://"))
    serving = folder / "serving.vw"
    serving.write_bytes(serving.read_bytes()[:-1] + b"\0")
    client.set_registered_model_alias(name, "champion", copied.version)
    from decision_service.operation import bootstrap

    bootstrap.open_signals(sandbox.settings).models_changed()
