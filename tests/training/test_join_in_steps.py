"""The join is incremental and exact: steps and parts add up to the whole, whatever arrives when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import LogBody
from decision_service.core.model.program import Program
from decision_service.core.model.record import Activation, DecisionRecord, Outcome, Reservation
from decision_service.core.model.reward import Aggregation, Attribution
from decision_service.warehouse.loader import drain
from decision_service.warehouse.progress import MARGIN_MS
from tests.support.dying import Crash, Dying
from tests.support.logged import T0, ListLog, activation, decision, loaded, outcome
from tests.training.joining import LONG_AFTER_S, at, joined, program, rewards
from training.join import JoinReport, join_outcomes


def history(seed: int) -> list[LogBody]:
    """A random history of a few customers, in an order in which the log may hold it."""
    rng = random.Random(seed)
    bodies: list[LogBody] = []
    for i in range(60):
        customer, seconds = f"c{rng.randrange(6)}", rng.uniform(0, 1000)
        made = decision(f"d{i:02}", customer, seconds, program=rng.choice(["spring", "autumn"]))
        if rng.random() < 0.2:
            send_at_ms = at(seconds + rng.uniform(1, 300))
            made = replace(made, reservation=Reservation(send_at_ms + 900_000, send_at_ms))
        bodies.append(made)
        if rng.random() < 0.8:
            status = rng.choice(["SENT", "SENT", "DELIVERED", "BOUNCED", "FAILED"])
            bodies.append(activation(f"d{i:02}", status, customer, seconds + 1))
    for i in range(80):
        customer, seconds = f"c{rng.randrange(6)}", rng.uniform(-20, 1200)
        target = f"d{rng.randrange(60):02}" if rng.random() < 0.3 else ""
        received = seconds + rng.choice([0.0, 40.0, 5000.0])
        name = rng.choice(["purchase", "visit"])
        bodies.append(outcome(f"o{i}", seconds, customer, name, rng.uniform(0, 3), target, received))
    rng.shuffle(bodies)
    return bodies


PROGRAMS = program(use_value=True, outcomes={"purchase": 0.1, "visit": 0.3}) | program(
    "autumn",
    aggregation=Aggregation.LATEST,
    window_s=300,
    default=-0.5,
    low=-1.0,
    attribution=Attribution.LAST_TOUCH,
    shares_named=False,
)


@pytest.mark.parametrize("shares_named", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_joining_in_steps_equals_joining_once(seed: int, shares_named: bool) -> None:
    """Whatever the order and portions in which the log arrives, and however time moves on, steps equal the whole."""
    touch = PROGRAMS["autumn"]
    touch = replace(touch, reward=replace(touch.reward, shares_named=shares_named))
    programs = {**PROGRAMS, "autumn": touch}
    bodies = history(seed)
    rng = random.Random(seed + 1000)
    log, warehouse = ListLog(), MemoryWarehouse()
    now_s, rest = 0.0, list(bodies)
    while rest:
        size = rng.choice([0, 2, 30, 40])
        log.add(*rest[:size])
        rest = rest[size:]
        drain(log, warehouse, lambda now_s=now_s: at(now_s + rng.choice([-500, 6000])))  # type: ignore[misc]
        now_s += rng.uniform(0, 1000)
        join_outcomes(warehouse, programs, at(now_s))
        assert {row["decision_id"]: row for row in rewards(warehouse)} == _whole(warehouse, programs, now_s)
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, programs, at(LONG_AFTER_S))
    whole, _ = joined(bodies, programs)
    assert {row["decision_id"]: row for row in rewards(warehouse)} == whole
    assert len(whole) == 60
    assert any(row["n_late"] for row in whole.values())
    assert any(row["n_early"] for row in whole.values())


def _whole(warehouse: MemoryWarehouse, programs: Mapping[str, Program], now_s: float) -> dict[str, dict[str, Any]]:
    """The rewards of a warehouse with the same log tables and no join before."""
    fresh = MemoryWarehouse()
    for table in ("decisions", "activations", "outcomes", "load_progress"):
        fresh.append(table, warehouse.query(f"SELECT * FROM {table}"))
    join_outcomes(fresh, programs, at(now_s))
    return {row["decision_id"]: row for row in rewards(fresh)}


def test_joining_parts_equals_joining_the_whole() -> None:
    """Customers joined in warehouses of their own give, together, the rows of one join over all."""
    bodies = history(7)
    parts: dict[str, dict[str, Any]] = {}
    for part in range(3):
        mine = [b for b in bodies if int(_customer(b)[1:]) % 3 == part]
        parts |= joined(mine, PROGRAMS)[0]
    whole, _ = joined(bodies, PROGRAMS)
    assert parts == whole


def _customer(body: LogBody) -> str:
    return body.request.customer_id if isinstance(body, DecisionRecord) else body.customer_id


def test_a_late_arrival_reaches_back(tmp_path: Path) -> None:
    """A decision loaded long after takes its outcome, by last touch, from the one that had it; both are right."""
    last = program(attribution=Attribution.LAST_TOUCH)
    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(decision("d1"), activation("d1"), outcome("o1", 50), decision("other", "c2", at_s=500))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, last, at(LONG_AFTER_S))
    assert [row["n_outcomes"] for row in rewards(warehouse)] == [1, 0]
    log.add(decision("d2", at_s=40), activation("d2"))
    drain(log, warehouse, loaded)
    report = join_outcomes(warehouse, last, at(LONG_AFTER_S))
    assert [(row["decision_id"], row["n_outcomes"]) for row in rewards(warehouse)] == [
        ("d1", 0),
        ("d2", 1),
        ("other", 0),
    ]
    assert (report.outcomes, report.decisions) == (0, 3)


def test_a_much_later_outcome_reaches_the_decision_it_names() -> None:
    """An outcome that names a decision of long ago is flagged on it as late, though the decision had been final."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    log.add(outcome("o1", LONG_AFTER_S, decision_id="d1"))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [(row["reward"], row["n_late"], row["reward_with_late"]) for row in rewards(warehouse)] == [(0, 1, 1)]


def test_joining_again_writes_nothing(tmp_path: Path) -> None:
    """A second join at the same time leaves the tables' versions as they are."""
    from deltalake import DeltaTable

    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(*history(3))
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, PROGRAMS, at(600))
    before = rewards(warehouse)
    versions = [DeltaTable(str(tmp_path / name)).version() for name in ("rewards", "join_state")]
    assert join_outcomes(warehouse, PROGRAMS, at(600)) == JoinReport(loaded_until_ms=loaded() - MARGIN_MS)
    assert rewards(warehouse) == before
    assert [DeltaTable(str(tmp_path / name)).version() for name in ("rewards", "join_state")] == versions


def test_a_crash_before_the_positions_are_saved_repeats_the_work() -> None:
    """Dying between writing rewards and saving positions changes nothing in the end."""

    class Dying(MemoryWarehouse):
        def replace(self, table: str, rows: Any, where: str | None = None) -> None:
            """Dies at the positions."""
            if table == "join_state":
                raise InterruptedError
            super().replace(table, rows, where)

    log, warehouse = ListLog(), Dying()
    log.add(*history(4))
    drain(log, warehouse, loaded)
    with pytest.raises(InterruptedError):
        join_outcomes(warehouse, PROGRAMS, at(600))
    before = rewards(warehouse)
    warehouse.__class__ = MemoryWarehouse
    assert join_outcomes(warehouse, PROGRAMS, at(600)).decisions == len(before)
    assert rewards(warehouse) == before


def test_a_window_that_changes_with_its_version_is_joined_anew() -> None:
    """The same decisions under a shorter window and a new version lose the outcomes beyond it."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"), outcome("o1", 80))
    drain(log, warehouse, loaded)
    long = program()
    short = {"spring": replace(long["spring"], reward=replace(long["spring"].reward, window_s=60, version="2"))}
    join_outcomes(warehouse, long, at(LONG_AFTER_S))
    join_outcomes(warehouse, short, at(LONG_AFTER_S))
    assert [row["reward"] for row in rewards(warehouse)] == [1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_a_reward_that_was_learned_never_changes(seed: int) -> None:
    """Whatever waits in the stream, and wherever the loader dies: once final, a reward stays as it is."""
    rng = random.Random(seed + 2000)
    waiting = sorted(history(seed), key=_known_s)
    definitions = program(use_value=True, outcomes={"purchase": 0.1, "visit": 0.3}) | program("autumn", window_s=300)
    log, warehouse = ListLog(), MemoryWarehouse()
    now_s, final = 0.0, dict[str, float]()
    lagged = 0
    while waiting or log.backlog():
        now_s += rng.uniform(0, 600)
        log.add(*[body for body in waiting if _known_s(body) <= now_s])
        waiting = [body for body in waiting if _known_s(body) > now_s]
        if rng.random() < 0.4:
            dying = Dying(rng.randrange(12), after=rng.random() < 0.5)
            with suppress(Crash):
                drain(dying.wrap(log), dying.wrap(warehouse), lambda now_s=now_s: at(now_s) + MARGIN_MS, 3)  # type: ignore[misc]
        join_outcomes(warehouse, definitions, at(now_s))
        lagged += bool(log.backlog())
        rows = {row["decision_id"]: row["reward"] for row in rewards(warehouse) if row["learnable"]}
        assert {name: rows[name] for name in final} == final
        final = rows
    drain(log, warehouse, loaded)
    join_outcomes(warehouse, definitions, at(LONG_AFTER_S))
    rows = {row["decision_id"]: row["reward"] for row in rewards(warehouse) if row["learnable"]}
    assert {name: rows[name] for name in final} == final
    assert len(rows) == 60
    assert lagged > 3


def _known_s(body: LogBody) -> float:
    """When the service acknowledges it, in seconds after T0."""
    match body:
        case DecisionRecord():
            return (body.decided_at_ms - T0) / 1000
        case Outcome() | Activation():
            return (body.received_at_ms - T0) / 1000
        case _:
            raise TypeError(body)
