"""The simulator's loop: every task is answered, and nothing that one does keeps the next from being taken."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from decision_service.core.model.errors import InvalidRequest, NbaError, Unavailable
from decision_service.simulation import simulator
from decision_service.simulation.simulator import Progress, work_off
from decision_service.simulation.tasks import SimulationTask


class Queue:
    """`simulation.tasks.SimulationTasks` in memory; ends the simulator when nothing is left to do."""

    def __init__(self, *documents: str) -> None:
        self.ended = threading.Event()
        self.answers: dict[str, str | NbaError] = {}
        self.unwanted: set[str] = set()
        self.away = 0
        self._tasks = deque(SimulationTask(f"t-{d}", d, "", 0, 1) for d in documents)

    def take(self) -> SimulationTask | None:
        if self.away:
            self.away -= 1
            raise Unavailable("ledger", "no answer")
        if not self._tasks:
            self.ended.set()
            return None
        return self._tasks.popleft()

    def wanted(self, task: SimulationTask) -> bool:
        return task.document not in self.unwanted

    def report(self, task: SimulationTask, report: str) -> None:
        self.answers[task.document] = report

    def refuse(self, task: SimulationTask, error: NbaError) -> None:
        self.answers[task.document] = error


def simulate(document: str, _policy: str, _from_ms: int, _until_ms: int, progress: Progress) -> str:
    """Does what the document says."""
    if document == "wrong":
        raise InvalidRequest.of("name", "is missing")
    if document == "crash":
        raise ZeroDivisionError("deep inside")
    for done in range(3):
        progress("decisions", done, 3)
    return f"report of {document}"


def test_whatever_a_task_does_the_next_is_answered() -> None:
    """With the report, with what is wrong, or with where to look for a failure; never with its innards."""
    queue = Queue("one", "wrong", "crash", "two")
    work_off(queue, simulate, queue.ended)
    assert queue.answers["one"] == "report of one"
    assert queue.answers["two"] == "report of two"
    assert str(queue.answers["wrong"]) == "name: is missing"
    assert isinstance(queue.answers["wrong"], InvalidRequest)
    assert str(queue.answers["crash"]) == "simulator: it failed at this; its log says at what"


def test_a_queue_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator outlives a restart of the ledger."""
    monkeypatch.setattr(simulator, "ASK_EVERY_S", 0.0)
    queue = Queue("one")
    queue.away = 2
    work_off(queue, simulate, queue.ended)
    assert queue.answers == {"one": "report of one"}


def test_what_nobody_waits_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next sign of progress, and the next task is taken."""
    monkeypatch.setattr(simulator, "ASK_EVERY_S", 0.0)
    queue = Queue("left", "two")
    queue.unwanted = {"left"}
    work_off(queue, simulate, queue.ended)
    assert isinstance(queue.answers["left"], Unavailable)
    assert queue.answers["two"] == "report of two"


def test_a_simulator_that_is_to_end_does_not_finish_first() -> None:
    """It says so to the one who waits."""
    queue = Queue("one", "two")

    def ended_at_work(document: str, policy: str, from_ms: int, until_ms: int, progress: Progress) -> str:
        queue.ended.set()
        return simulate(document, policy, from_ms, until_ms, progress)

    work_off(queue, ended_at_work, queue.ended)
    assert str(queue.answers["one"]) == "simulator: it was told to end"
    assert "two" not in queue.answers
