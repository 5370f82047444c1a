"""What asking for a simulation gives, in this process and through a real Redis to a simulator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from decision_service.adapters.memory.simulations import MemorySimulations
from decision_service.adapters.redis.simulations import MOST_WAITING, RedisSimulations, RedisSimulationTasks
from decision_service.application.ports import Simulations
from decision_service.core.model.errors import InvalidRequest, NbaError, NotFound, Overloaded, Unavailable, Violation

DEADLINE_MS = 5_000


def simulate(document: str, contact_policy_document: str, from_ms: int, until_ms: int) -> str:
    """A report that says what was asked, or the error that the document names."""
    errors: dict[str, NbaError] = {
        "wrong": InvalidRequest([Violation("a", "is wrong"), Violation("", "so is this")]),
        "unknown": NotFound("program", "p version 3", "run `nba join`"),
        "away": Unavailable("warehouse", "the folder is gone"),
    }
    if document in errors:
        raise errors[document]
    return f"{document} {contact_policy_document} {from_ms} {until_ms}"


class Simulator:
    """A simulator in a thread."""

    def __init__(self, url: str) -> None:
        self.tasks = RedisSimulationTasks(url, DEADLINE_MS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.tasks.alive()
        self._thread.start()

    def _work(self) -> None:
        while not self._ended.wait(0.01):
            self.tasks.alive()
            task = self.tasks.take()
            if task is None:
                continue
            try:
                report = simulate(task.document, task.contact_policy_document, task.from_ms, task.until_ms)
            except NbaError as error:
                self.tasks.refuse(task, error)
            else:
                self.tasks.report(task, report)

    def end(self) -> None:
        """No trace is left but what Redis keeps."""
        self._ended.set()
        self._thread.join()
        self.tasks.gone()
        self.tasks.close()


@pytest.fixture(params=["memory", "redis"])
def simulations(request: pytest.FixtureRequest) -> Iterator[Simulations]:
    """Each form in turn."""
    if request.param == "memory":
        yield MemorySimulations(simulate)
        return
    url = request.getfixturevalue("redis_url")
    simulator, asking = Simulator(url), RedisSimulations(url, DEADLINE_MS)
    yield asking
    asking.close()
    simulator.end()


def test_the_report_is_of_what_was_asked(simulations: Simulations) -> None:
    """Documents and period arrive as they were given, and so does the report."""
    assert simulations.run("söl\n", "caps: []", 5, 2**45, 10) == f"söl\n caps: [] 5 {2**45}"
    assert simulations.run("two", "", 0, 1, 10) == "two  0 1"


@pytest.mark.parametrize(
    ("document", "kind", "text"),
    [
        ("wrong", InvalidRequest, "a: is wrong; so is this"),
        ("unknown", NotFound, "program 'p version 3' not found; run `nba join`"),
        ("away", Unavailable, "warehouse: the folder is gone"),
    ],
)
def test_errors_arrive_as_what_they_were(
    simulations: Simulations, document: str, kind: type[NbaError], text: str
) -> None:
    """With every violation, and the part that does not answer."""
    with pytest.raises(kind) as raised:
        simulations.run(document, "", 0, 1, 10)
    assert str(raised.value) == text
    if isinstance(raised.value, InvalidRequest):
        assert [v.field for v in raised.value.violations] == ["a", ""]


@pytest.fixture
def asking(redis_url: str) -> Iterator[RedisSimulations]:
    """A worker's end alone."""
    simulations = RedisSimulations(redis_url, DEADLINE_MS)
    yield simulations
    simulations.close()


@pytest.fixture
def tasks(redis_url: str) -> Iterator[RedisSimulationTasks]:
    """A simulator that says it is there, and does what the test does for it."""
    simulator = RedisSimulationTasks(redis_url, DEADLINE_MS)
    simulator.alive()
    yield simulator
    simulator.close()


def test_without_a_simulator_nobody_waits(asking: RedisSimulations, redis_url: str) -> None:
    """The answer names the part that is missing, at once, and leaves nothing behind."""
    with pytest.raises(Unavailable, match="simulator: none is running"):
        asking.run("d", "", 0, 1, 60)
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []


def test_who_waits_in_vain_withdraws(asking: RedisSimulations, tasks: RedisSimulationTasks, redis_url: str) -> None:
    """After the time given; nobody then works on it, and no key outlives it but the sign that a simulator is there."""
    with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
        asking.run("d", "", 0, 1, 0.05)
    assert tasks.take() is None
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == [b"nba:{simulations}:alive"]


def test_a_simulator_that_ends_is_not_waited_for(asking: RedisSimulations, tasks: RedisSimulationTasks) -> None:
    """Its task is told so long before its time is up, and is known to be unwanted afterwards."""
    taken = []

    def take_and_end() -> None:
        while not taken:
            if task := tasks.take():
                assert tasks.wanted(task)
                taken.append(task)
                tasks.gone()

    simulator = threading.Thread(target=take_and_end)
    simulator.start()
    with pytest.raises(Unavailable, match="stopped before it answered"):
        asking.run("d", "", 0, 1, 60)
    simulator.join()
    assert not tasks.wanted(taken[0])


def test_what_a_simulator_died_on_is_answered_by_the_next(asking: RedisSimulations, redis_url: str) -> None:
    """The one who waits is told; the task is not tried again, as it may have been the cause."""
    tasks = RedisSimulationTasks(redis_url, DEADLINE_MS)
    tasks.alive()

    def die_and_start_again() -> None:
        while tasks.take() is None:
            pass
        again = RedisSimulationTasks(redis_url, DEADLINE_MS)
        again.give_up_orphan()
        again.close()

    simulator = threading.Thread(target=die_and_start_again)
    simulator.start()
    with pytest.raises(Unavailable, match="it died at work on this"):
        asking.run("d", "", 0, 1, 60)
    simulator.join()
    tasks.close()


def test_one_call_of_a_worker_waits_at_a_time(asking: RedisSimulations, tasks: RedisSimulationTasks) -> None:
    """So that simulations never take all of its threads from Decide."""
    answers: list[str] = []
    first = threading.Thread(target=lambda: answers.append(asking.run("first", "", 0, 1, 60)))
    first.start()
    while (task := tasks.take()) is None:
        pass
    with pytest.raises(Overloaded, match="waits for a simulation already"):
        asking.run("second", "", 0, 1, 60)
    tasks.report(task, "done")
    first.join()
    assert answers == ["done"]


def test_the_queue_is_bounded(tasks: RedisSimulationTasks, redis_url: str) -> None:
    """More than a few waiting are turned away, and those whose callers left do not count."""
    waiting = [RedisSimulations(redis_url, DEADLINE_MS) for _ in range(MOST_WAITING)]

    def wait_for(one: RedisSimulations) -> Callable[[], None]:
        def wait() -> None:
            with pytest.raises(Unavailable):
                one.run("d", "", 0, 1, 3)

        return wait

    threads = [threading.Thread(target=wait_for(one)) for one in waiting]
    for thread in threads:
        thread.start()
    late = RedisSimulations(redis_url, DEADLINE_MS)
    with redis.Redis.from_url(redis_url) as client:
        while client.llen("nba:{simulations}:waiting") < MOST_WAITING:
            pass
    with pytest.raises(Overloaded, match="simulations wait already"):
        late.run("d", "", 0, 1, 60)
    for thread in threads:
        thread.join()
    with pytest.raises(Unavailable, match="no answer within"):
        late.run("d", "", 0, 1, 0.01)
    for one in (*waiting, late):
        one.close()
