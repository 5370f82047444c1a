"""The simulator: takes tasks one at a time, and answers each with a report or with what is wrong with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from decision_service.core.model.errors import NbaError, Unavailable
from decision_service.simulation.tasks import SimulationTask, SimulationTasks

log = logging.getLogger(__name__)

PART = "simulator"
IDLE_S = 0.25
ASK_EVERY_S = 1.0


class GivenUp(Exception):
    """Nobody waits for the task any more, or the simulator is to end."""


Progress = Callable[[str, int, int], None]
Simulate = Callable[[str, str, int, int, Progress], str]
"""(document, contact policy document, from_ms, until_ms, progress) → report; lets what `progress` raises pass."""


def work_off(tasks: SimulationTasks, simulate: Simulate, ended: threading.Event) -> None:
    """Work off tasks until `ended` is set. Whatever becomes of one, the next is taken.

    A task that nobody waits for any more is given up within about a second.
    """
    while not ended.is_set():
        try:
            task = tasks.take()
            if task is None:
                ended.wait(IDLE_S)
            else:
                _work(tasks, task, simulate, ended)
        except Unavailable as error:
            log.warning("the queue of simulations does not answer: %s", error)
            ended.wait(ASK_EVERY_S)


def _work(tasks: SimulationTasks, task: SimulationTask, simulate: Simulate, ended: threading.Event) -> None:
    asked_s = time.monotonic()

    def progress(_what: str, _done: int, _total: int) -> None:
        nonlocal asked_s
        if ended.is_set():
            raise GivenUp
        if time.monotonic() - asked_s >= ASK_EVERY_S:
            asked_s = time.monotonic()
            if not tasks.wanted(task):
                raise GivenUp

    started = time.monotonic()
    try:
        text = simulate(task.document, task.contact_policy_document, task.from_ms, task.until_ms, progress)
    except GivenUp:
        log.info("a simulation was given up after %.1f s: nobody waits for it", time.monotonic() - started)
        tasks.refuse(task, Unavailable(PART, "it was told to end"))
    except NbaError as error:
        tasks.refuse(task, error)
    except Exception:
        log.exception("a simulation failed")
        tasks.refuse(task, Unavailable(PART, "it failed at this; its log says at what"))
    else:
        log.info("a simulation took %.1f s", time.monotonic() - started)
        tasks.report(task, text)
