"""The outcome join: hand-computable rewards, and that steps and parts add up to the whole."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import LogBody, Warehouse
from decision_service.core.model.program import Aggregation, GroupShares, Program, RewardDefinition
from decision_service.core.model.record import DecisionRecord
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse.loader import drain
from decision_service.warehouse.tables import REWARDS
from tests.support.logged import T0, ListLog, activation, decision, outcome, untrainable
from training.join import LATE_GRACE_S, JoinReport, join_outcomes

WINDOW_S = 100
LONG_AFTER_S = 10_000.0


def program(name: str = "spring", **reward: Any) -> dict[str, Program]:
    definition = {"outcomes": {"purchase": 1.0}, "window_s": WINDOW_S, "early_tolerance_s": 10, "high": 100.0} | reward
    return {name: Program(name, 1, "customer_v1", (), RewardDefinition(**definition), GroupShares(salt="s"))}


def joined(
    bodies: Sequence[LogBody], programs: Mapping[str, Program] | None = None, now_s: float = LONG_AFTER_S
) -> tuple[dict[str, dict[str, Any]], JoinReport]:
    """Rewards by decision id after loading the bodies and joining once at T0 + now_s."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(*bodies)
    drain(log, warehouse)
    report = join_outcomes(warehouse, programs or program(), at(now_s))
    return {row["decision_id"]: row for row in rewards(warehouse)}, report


def at(seconds: float) -> int:
    return T0 + round(seconds * 1000)


def rewards(warehouse: Warehouse) -> list[dict[str, Any]]:
    names = ", ".join(f'"{name}"' for name in REWARDS.schema.names)
    rows: list[dict[str, Any]] = warehouse.query(
        f"SELECT {names} FROM rewards ORDER BY decision_id, program, reward_version"
    ).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("aggregation", "use_value", "reward"),
    [
        (Aggregation.SUM, True, 0.5 * 3 + 0.5 * 8 + 2 * 1),
        (Aggregation.SUM, False, 0.5 + 0.5 + 2),
        (Aggregation.MAX, True, 4.0),
        (Aggregation.EARLIEST, True, 1.5),
        (Aggregation.LATEST, True, 2.0),
        (Aggregation.ANY, True, 1.0),
    ],
)
def test_aggregations(aggregation: Aggregation, use_value: bool, reward: float) -> None:
    """Weight × value (or × 1) of two purchases and a visit, by each aggregation."""
    definition = program(outcomes={"purchase": 0.5, "visit": 2.0}, aggregation=aggregation, use_value=use_value)
    rows, _ = joined(
        [
            decision("d1"),
            outcome("o2", 20, value=8),
            outcome("o1", 10, value=3),
            outcome("o3", 30, name="visit"),
            outcome("o4", 25, name="unsubscribe", value=1000),
        ],
        definition,
    )
    assert rows["d1"]["reward"] == rows["d1"]["reward_with_late"] == reward
    assert rows["d1"]["n_outcomes"] == 3
    assert rows["d1"]["first_outcome_at"].timestamp() * 1000 == at(10)


def test_default_without_outcomes() -> None:
    """A decision without outcomes has the default reward."""
    rows, _ = joined([decision("d1")], program(default=0.25))
    assert rows["d1"]["reward"] == rows["d1"]["reward_with_late"] == 0.25
    assert rows["d1"]["n_outcomes"] == 0
    assert rows["d1"]["first_outcome_at"] is None


@pytest.mark.parametrize(("value", "reward"), [(7.0, 1.0), (0.5, 0.5), (-7.0, -1.0)])
def test_rewards_are_clipped(value: float, reward: float) -> None:
    """The aggregate is clipped to the definition's bounds."""
    rows, _ = joined([decision("d1"), outcome("o1", 1, value=value)], program(use_value=True, low=-1.0, high=1.0))
    assert rows["d1"]["reward"] == reward


@pytest.mark.parametrize(
    ("seconds", "n_outcomes", "n_early"),
    [(-10.001, 0, 0), (-10, 1, 1), (-0.001, 1, 1), (0, 1, 0), (100, 1, 0), (100.001, 0, 0)],
)
def test_window_edges(seconds: float, n_outcomes: int, n_early: int) -> None:
    """The window includes both its ends; before the decision, within the tolerance, an outcome is early."""
    rows, report = joined([decision("d1"), outcome("o1", seconds)])
    assert (rows["d1"]["n_outcomes"], rows["d1"]["n_early"], rows["d1"]["n_late"]) == (n_outcomes, n_early, 0)
    assert (report.joined, report.dangling, report.early) == (n_outcomes, 1 - n_outcomes, n_early)


@pytest.mark.parametrize(
    ("received_s", "late"), [(WINDOW_S + LATE_GRACE_S, False), (WINDOW_S + LATE_GRACE_S + 1, True)]
)
def test_late_outcomes_are_flagged_and_not_learned(received_s: float, late: bool) -> None:
    """An outcome in the window that is received past the grace is late: counted, in reward_with_late only."""
    rows, report = joined([decision("d1"), outcome("o1", 5), outcome("o2", 50, received_s=received_s)])
    assert rows["d1"]["n_late"] == report.late == int(late)
    assert rows["d1"]["n_outcomes"] == 2 - int(late)
    assert rows["d1"]["reward"] == 2 - int(late)
    assert rows["d1"]["reward_with_late"] == 2


def test_an_outcome_past_the_window_of_its_named_decision_is_late() -> None:
    """A decision id joins an outcome whatever its time after the decision; past the window it is late."""
    rows, report = joined([decision("d1"), outcome("o1", WINDOW_S + 1, decision_id="d1")])
    assert (rows["d1"]["reward"], rows["d1"]["reward_with_late"], rows["d1"]["n_late"]) == (0, 1, 1)
    assert (report.joined, report.dangling) == (1, 0)


def test_last_touch_by_customer_and_time() -> None:
    """Without a decision id an outcome joins the customer's latest decision that holds it, in each program."""
    programs = program() | program("autumn") | program("unrelated", outcomes={"visit": 1.0})
    rows, report = joined(
        [
            decision("d1", at_s=0),
            decision("d2", at_s=50),
            decision("d3", at_s=60, program="autumn"),
            decision("d4", at_s=55, program="unrelated"),
            decision("d5", "c2", at_s=58),
            decision("d6", at_s=80),
            outcome("o1", 65),
        ],
        programs,
    )
    assert {name for name, row in rows.items() if row["n_outcomes"]} == {"d2", "d3"}
    assert (report.outcomes, report.joined) == (1, 1)


def test_a_decision_id_joins_that_decision_only() -> None:
    """A decision id overrides last touch; one that is unknown or another customer's joins nothing."""
    rows, report = joined(
        [
            decision("d1", at_s=0),
            decision("d2", at_s=5),
            decision("x1", "c2"),
            outcome("o1", 10, decision_id="d1"),
            outcome("o2", 10, decision_id="nowhere"),
            outcome("o3", 10, decision_id="x1"),
            outcome("o4", -11, decision_id="d1"),
        ]
    )
    assert {name: row["n_outcomes"] for name, row in rows.items()} == {"d1": 1, "d2": 0, "x1": 0}
    assert (report.outcomes, report.joined, report.dangling) == (4, 1, 3)


def test_an_outcome_loaded_twice_counts_once() -> None:
    """The ledger admits an outcome id once; should it come twice all the same, it counts once."""
    rows, _ = joined([decision("d1"), outcome("o1", 10), outcome("o1", 10)])
    assert rows["d1"]["n_outcomes"] == 1


@pytest.mark.parametrize(("now_s", "matured"), [(WINDOW_S - 0.001, False), (WINDOW_S, True)])
def test_maturity(now_s: float, matured: bool) -> None:
    """A decision is matured once its window has passed; before, it has the reward so far."""
    rows, report = joined([decision("d1"), activation("d1"), outcome("o1", 10)], now_s=now_s)
    assert (rows["d1"]["matured"], rows["d1"]["learnable"], rows["d1"]["reward"]) == (matured, matured, 1)
    assert (report.matured, report.learnable) == (int(matured), int(matured))


@pytest.mark.parametrize(
    ("action", "statuses", "learnable"),
    [
        ("email_a", [], False),
        ("email_a", ["SENT"], True),
        ("email_a", ["FAILED"], False),
        ("email_a", ["SKIPPED"], False),
        ("email_a", ["DELIVERED"], True),
        ("email_a", ["BOUNCED"], False),
        ("email_a", ["SENT", "DELIVERED"], True),
        ("email_a", ["SENT", "BOUNCED"], False),
        ("email_a", ["FAILED", "SENT"], True),
        (NO_ACTION, [], True),
        (NO_ACTION, ["SENT"], True),
        (NO_ACTION, ["SKIPPED"], False),
        (NO_ACTION, ["FAILED"], False),
    ],
)
def test_learnable(action: str, statuses: list[str], learnable: bool) -> None:
    """Learned from are actions that were sent and did not bounce, and NO_ACTION unless skipped; never a decision that
    is not trainable."""
    reports = [activation("d1", status, at_s=i + 1) for i, status in enumerate(statuses)]
    rows, _ = joined([decision("d1", action=action), *reports])
    assert rows["d1"]["learnable"] == learnable
    assert rows["d1"]["activated"] == (statuses[-1] if statuses else None)
    rows, _ = joined([untrainable(decision("d1", action=action)), *reports])
    assert not rows["d1"]["learnable"]


def test_a_bounce_reported_after_the_reward_is_final_is_unlearned() -> None:
    """The latest report wins, however late: the row changes, and daily_volumes still counts the message as sent."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"), decision("d2"), activation("d1"), activation("d2"))
    drain(log, warehouse)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [row["learnable"] for row in rewards(warehouse)] == [True, True]
    log.add(activation("d1", "BOUNCED", at_s=LONG_AFTER_S))
    drain(log, warehouse)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [row["learnable"] for row in rewards(warehouse)] == [False, True]
    [day] = warehouse.query("SELECT sent, bounced FROM daily_volumes").to_pylist()
    assert day == {"sent": 2, "bounced": 1}


def test_delays_are_reported() -> None:
    """The report tells how long outcomes took to happen, and from being received to being joined."""
    _, report = joined([decision("d1"), outcome("o1", 10), outcome("o2", 30)], now_s=60)
    assert (report.outcome_delay_s, report.join_delay_s) == (20, 40)


def test_a_new_reward_version_adds_rows() -> None:
    """Under a new version every decision gets a second row; the rows of the old version stay."""
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(decision("d1"), outcome("o1", 10, value=5))
    drain(log, warehouse)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    join_outcomes(warehouse, program(version="it's 2", use_value=True), at(LONG_AFTER_S))
    assert [(row["reward_version"], row["reward"]) for row in rewards(warehouse)] == [("1", 1), ("it's 2", 5)]
    assert warehouse.query("SELECT reward FROM decision_facts").to_pylist() == [{"reward": 5}]


def test_nothing_to_join() -> None:
    """Without programs or without decisions the join does nothing."""
    assert joined([], program())[1] == JoinReport()
    warehouse = MemoryWarehouse()
    assert join_outcomes(warehouse, {}, at(0)) == JoinReport()
    assert warehouse.tables() == []


def history(seed: int) -> list[LogBody]:
    """A random history of a few customers, in an order in which the log may hold it."""
    rng = random.Random(seed)
    bodies: list[LogBody] = []
    for i in range(60):
        customer, seconds = f"c{rng.randrange(6)}", rng.uniform(0, 1000)
        bodies.append(decision(f"d{i:02}", customer, seconds, program=rng.choice(["spring", "autumn"])))
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
    "autumn", aggregation=Aggregation.LATEST, window_s=300, default=-0.5, low=-1.0
)


@pytest.mark.parametrize("seed", range(3))
def test_joining_in_steps_equals_joining_once(seed: int) -> None:
    """Whatever the order and portions in which the log arrives, and however time moves on, steps equal the whole."""
    bodies = history(seed)
    rng = random.Random(seed + 1000)
    log, warehouse = ListLog(), MemoryWarehouse()
    now_s, rest = 0.0, list(bodies)
    while rest:
        size = rng.choice([0, 2, 30, 40])
        log.add(*rest[:size])
        rest = rest[size:]
        drain(log, warehouse)
        now_s += rng.uniform(0, 200)
        join_outcomes(warehouse, PROGRAMS, at(now_s))
        assert {row["decision_id"]: row for row in rewards(warehouse)} == _whole(warehouse, now_s)
    join_outcomes(warehouse, PROGRAMS, at(LONG_AFTER_S))
    whole, _ = joined(bodies, PROGRAMS)
    assert {row["decision_id"]: row for row in rewards(warehouse)} == whole
    assert len(whole) == 60
    assert any(row["n_late"] for row in whole.values())
    assert any(row["n_early"] for row in whole.values())


def _whole(warehouse: MemoryWarehouse, now_s: float) -> dict[str, dict[str, Any]]:
    """The rewards of a warehouse with the same log tables and no join before."""
    fresh = MemoryWarehouse()
    for table in ("decisions", "activations", "outcomes"):
        fresh.append(table, warehouse.query(f"SELECT * FROM {table}"))
    join_outcomes(fresh, PROGRAMS, at(now_s))
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
    """A decision loaded long after takes its outcome from the decision that had it; both rows are right, on Delta."""
    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(decision("d1"), outcome("o1", 50), decision("other", "c2", at_s=500))
    drain(log, warehouse)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [row["n_outcomes"] for row in rewards(warehouse)] == [1, 0]
    log.add(decision("d2", at_s=40))
    drain(log, warehouse)
    report = join_outcomes(warehouse, program(), at(LONG_AFTER_S))
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
    drain(log, warehouse)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    log.add(outcome("o1", LONG_AFTER_S, decision_id="d1"))
    drain(log, warehouse)
    join_outcomes(warehouse, program(), at(LONG_AFTER_S))
    assert [(row["reward"], row["n_late"], row["reward_with_late"]) for row in rewards(warehouse)] == [(0, 1, 1)]


def test_joining_again_writes_nothing(tmp_path: Path) -> None:
    """A second join at the same time leaves the tables' versions as they are."""
    from deltalake import DeltaTable

    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(*history(3))
    drain(log, warehouse)
    join_outcomes(warehouse, PROGRAMS, at(600))
    before = rewards(warehouse)
    versions = [DeltaTable(str(tmp_path / name)).version() for name in ("rewards", "join_state")]
    assert join_outcomes(warehouse, PROGRAMS, at(600)) == JoinReport()
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
    drain(log, warehouse)
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
    drain(log, warehouse)
    long = program()
    short = {"spring": replace(long["spring"], reward=replace(long["spring"].reward, window_s=60, version="2"))}
    join_outcomes(warehouse, long, at(LONG_AFTER_S))
    join_outcomes(warehouse, short, at(LONG_AFTER_S))
    assert [row["reward"] for row in rewards(warehouse)] == [1, 0]
