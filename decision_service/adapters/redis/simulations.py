"""Simulations handed to the simulator through the ledger's Redis: `ports.Simulations`, `simulation.tasks`.

A task is a key that lives as long as somebody waits for it, with its id in a list; the answer is a key that the one
who waits looks for. Nothing blocks in Redis, everything has a time to live, and no two machines compare clocks.
"""

from __future__ import annotations

import json
import secrets
import threading
import time

from decision_service.adapters.redis.wire import Wire
from decision_service.core.model.errors import InvalidRequest, NbaError, NotFound, Overloaded, Unavailable, Violation
from decision_service.simulation.tasks import SimulationTask

_WAITING = "nba:{simulations}:waiting"
_AT_WORK = "nba:{simulations}:at_work"
_ALIVE = "nba:{simulations}:alive"

PART = "simulator"
ALIVE_S = 10
ANSWER_KEPT_S = 60
MOST_WAITING = 8
POLL_S = 0.1


def _task(task_id: str) -> str:
    return f"nba:{{simulations}}:task:{task_id}"


def _answer(task_id: str) -> str:
    return f"nba:{{simulations}}:answer:{task_id}"


class RedisSimulations:
    """A worker's end. Thread-safe; only one call at a time waits, because each occupies one of the worker's threads."""

    def __init__(self, url: str, deadline_ms: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")
        self._turn = threading.Lock()

    def run(self, document: str, contact_policy_document: str, from_ms: int, until_ms: int, timeout_s: float) -> str:
        """See the port."""
        if not self._turn.acquire(blocking=False):
            raise Overloaded("this worker waits for a simulation already; ask again when it is done")
        try:
            return self._run(
                {
                    "document": document,
                    "contact_policy_document": contact_policy_document,
                    "from_ms": from_ms,
                    "until_ms": until_ms,
                },
                timeout_s,
            )
        finally:
            self._turn.release()

    def _run(self, body: dict[str, object], timeout_s: float) -> str:
        if not self._wire.call("EXISTS", _ALIVE):
            raise Unavailable(PART, "none is running; start one with `nba simulator`, or everything by `nba up`")
        if self._wire.call("LLEN", _WAITING) >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} simulations wait already; ask again later")
        task_id = secrets.token_hex(8)
        self._wire.call("SET", _task(task_id), json.dumps(body), "PX", max(1, round(timeout_s * 1000)))
        self._wire.call("LPUSH", _WAITING, task_id)
        deadline = time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                answer = self._wire.call("GET", _answer(task_id))
                if answer is not None:
                    return _opened(answer)
                if not self._wire.call("EXISTS", _ALIVE):
                    raise Unavailable(PART, "it stopped before it answered; see its log")
                time.sleep(POLL_S)
        finally:
            # What nobody waits for any more is not begun, or is given up.
            self._wire.call("DEL", _task(task_id), _answer(task_id))
            self._wire.call("LREM", _WAITING, 0, task_id)
        raise Unavailable(PART, f"no answer within {timeout_s:g} s; give it more time, or a shorter period")

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()


class RedisSimulationTasks:
    """The simulator's end. There is one simulator per ledger."""

    def __init__(self, url: str, deadline_ms: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")

    def alive(self) -> None:
        """Say that a simulator is there, for ALIVE_S seconds."""
        self._wire.call("SET", _ALIVE, "1", "EX", ALIVE_S)

    def gone(self) -> None:
        """Say that there is none any more."""
        self._wire.call("DEL", _ALIVE)

    def give_up_orphan(self) -> None:
        """Answer for the task that a simulator before this one died on."""
        orphan = self._wire.call("GET", _AT_WORK)
        if orphan is not None:
            self._put(orphan.decode(), _refusal(Unavailable(PART, "it died at work on this; see its log")))

    def take(self) -> SimulationTask | None:
        """The task that has waited longest, None if none waits."""
        while (found := self._wire.call("RPOP", _WAITING)) is not None:
            task_id = found.decode()
            body = self._wire.call("GET", _task(task_id))
            if body is not None:
                self._wire.call("SET", _AT_WORK, task_id)
                return SimulationTask(task_id, **json.loads(body))
        return None

    def wanted(self, task: SimulationTask) -> bool:
        """Whether somebody still waits for it."""
        return bool(self._wire.call("EXISTS", _task(task.id)))

    def report(self, task: SimulationTask, report: str) -> None:
        """Answer with the report."""
        self._put(task.id, {"report": report})

    def refuse(self, task: SimulationTask, error: NbaError) -> None:
        """Answer with an error."""
        self._put(task.id, _refusal(error))

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _put(self, task_id: str, answer: dict[str, object]) -> None:
        self._wire.call("SET", _answer(task_id), json.dumps(answer), "EX", ANSWER_KEPT_S)
        self._wire.call("DEL", _AT_WORK)


def _refusal(error: NbaError) -> dict[str, object]:
    match error:
        case InvalidRequest():
            return {"violations": [[v.field, v.message] for v in error.violations]}
        case NotFound():
            return {"not_found": [error.kind, error.name, error.hint]}
        case Unavailable():
            return {"unavailable": [error.part, str(error).removeprefix(f"{error.part}: ")]}
        case _:
            return {"unavailable": [PART, str(error)]}


def _opened(answer: bytes) -> str:
    """The report, or the error that was put down in its place."""
    found = json.loads(answer)
    if "report" in found:
        return str(found["report"])
    if "violations" in found:
        raise InvalidRequest(Violation(field, message) for field, message in found["violations"])
    if "not_found" in found:
        raise NotFound(*found["not_found"])
    raise Unavailable(*found["unavailable"])
