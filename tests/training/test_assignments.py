"""Assignments and reward weights: who is compared, from when, and that steps add up to the whole."""

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
from decision_service.core.model.program import Group, GroupShares, Program
from decision_service.core.model.record import Candidate, DecisionRecord
from decision_service.core.model.reward import RewardDefinition
from decision_service.warehouse.loader import drain
from decision_service.warehouse.tables import ASSIGNMENTS
from tests.support.logged import T0, ListLog, decision, loaded
from training.assignments import AssignmentReport, record_assignments, record_reward_weights

T, H = Group.TREATMENT, Group.HOLDOUT


def named(
    decision_id: str,
    customer: str = "c1",
    at_s: float = 0,
    spring: tuple[Group, bool | None] = (T, True),
    autumn: tuple[Group, bool | None] | None = (H, True),
    held_out: bool | None = False,
) -> DecisionRecord:
    """A decision that spring made, of a request that named autumn too; each with group and whether it was offered."""
    plain = decision(decision_id, customer, at_s)
    others = ()
    if autumn is not None:
        group, offered = autumn
        mode, policy = plain.learning_mode, plain.policy
        others = (
            Candidate(
                "autumn", 4, 0.0, None, group, mode, policy, None, plain.features, {}, (), (), in_audience=offered
            ),
        )
    return replace(plain, group=spring[0], in_audience=spring[1], others=others, global_holdout=held_out)


def filled(*bodies: LogBody) -> MemoryWarehouse:
    log, warehouse = ListLog(), MemoryWarehouse()
    log.add(*bodies)
    drain(log, warehouse, loaded)
    return warehouse


def assignments(warehouse: Warehouse) -> list[dict[str, Any]]:
    names = ", ".join(f'"{name}"' for name in ASSIGNMENTS.schema.names)
    rows: list[dict[str, Any]] = warehouse.query(
        f"SELECT {names} FROM assignments ORDER BY program, customer_id"
    ).to_pylist()
    return rows


def assigned(*bodies: LogBody) -> dict[tuple[str, str], tuple[object, ...]]:
    """(program, customer) → group, seconds after T0 and decision, after one step."""
    warehouse = filled(*bodies)
    record_assignments(warehouse)
    return {
        (row["program"], row["customer_id"]): (
            row["group"],
            (row["first_exposed_at_ms"] - T0) / 1000,
            row["decision_id"],
        )
        for row in assignments(warehouse)
    }


def test_every_program_named_is_exposed_whoever_decides() -> None:
    """Each under her group in it; the service as a whole, `*`, from the first of them."""
    warehouse = filled(named("d1"))
    assert record_assignments(warehouse) == AssignmentReport(assigned=3)
    common = {
        "customer_id": "c1",
        "global_holdout": False,
        "first_exposed_at_ms": T0,
        "decision_id": "d1",
        "policy_version": 2,
        "ledger_id": None,
    }
    rows = assignments(warehouse)
    assert {row.pop("first_exposed_at").timestamp() * 1000 for row in rows} == {T0}
    assert rows == [
        {"program": "*", "group": "NOT_HELD_OUT", "program_version": None, **common},
        {"program": "autumn", "group": "HOLDOUT", "program_version": 4, **common},
        {"program": "spring", "group": "TREATMENT", "program_version": 3, **common},
    ]


def test_only_who_is_in_the_audience_is_exposed() -> None:
    """From the first request in which she was; the group is that of then, whatever becomes of it."""
    found = assigned(
        named("d1", at_s=1, spring=(H, False), autumn=(H, False)),
        named("d2", at_s=2, spring=(H, False), autumn=(H, True)),
        named("d3", at_s=3, spring=(H, True), autumn=(T, True)),
        named("d4", at_s=4, spring=(T, True), autumn=(T, False)),
    )
    assert found == {
        ("*", "c1"): ("NOT_HELD_OUT", 2, "d2"),
        ("autumn", "c1"): ("HOLDOUT", 2, "d2"),
        ("spring", "c1"): ("HOLDOUT", 3, "d3"),
    }


def test_records_that_do_not_say_count_whatever_the_group() -> None:
    """Of an earlier release: each program named is an exposure, and nobody knows of the global holdout."""
    old = named("d1", spring=(T, None), autumn=(H, None), held_out=None)
    assert assigned(old) == {
        ("*", "c1"): (None, 0, "d1"),
        ("autumn", "c1"): ("HOLDOUT", 0, "d1"),
        ("spring", "c1"): ("TREATMENT", 0, "d1"),
    }


def test_the_global_holdout_is_told_from_the_programs() -> None:
    """Both are HOLDOUT of the program; the service as a whole has a name for it."""
    held, own = named("d1", "c1", spring=(H, True), held_out=True), named("d2", "c2", spring=(H, True))
    warehouse = filled(held, own)
    record_assignments(warehouse)
    found = [
        (r["program"], r["group"], r["global_holdout"]) for r in assignments(warehouse) if r["program"] != "autumn"
    ]
    assert found == [
        ("*", "GLOBAL_HOLDOUT", True),
        ("*", "NOT_HELD_OUT", False),
        ("spring", "HOLDOUT", True),
        ("spring", "HOLDOUT", False),
    ]


def test_a_decision_that_is_loaded_late_but_was_made_first_wins(tmp_path: Path) -> None:
    """Its row replaces the later one, of its program alone; at one moment the lesser id is first. On Delta."""
    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(named("d2", "o'brien", at_s=50), named("d3", "c2", at_s=60, autumn=None))
    drain(log, warehouse, loaded)
    assert record_assignments(warehouse) == AssignmentReport(assigned=5)
    log.add(named("d1", "o'brien", at_s=40, autumn=None), named("d0", "c2", at_s=60, autumn=None))
    drain(log, warehouse, loaded)
    assert record_assignments(warehouse) == AssignmentReport(corrected=4)
    assert {(r["program"], r["customer_id"]): r["decision_id"] for r in assignments(warehouse)} == {
        ("*", "c2"): "d0",
        ("*", "o'brien"): "d1",
        ("autumn", "o'brien"): "d2",
        ("spring", "c2"): "d0",
        ("spring", "o'brien"): "d1",
    }


def history(seed: int) -> list[LogBody]:
    """Decisions of a few customers in an order in which the log may hold them; groups change at times."""
    rng = random.Random(seed)
    offered = [True, True, False, None]
    bodies: list[LogBody] = [
        named(
            f"d{i:02}",
            f"c{rng.randrange(8)}",
            rng.randrange(30),  # so that some are made in the same moment
            (rng.choice([T, H]), rng.choice(offered)),
            rng.choice([None, (rng.choice([T, H]), rng.choice(offered))]),
            rng.choice([True, False, None]),
        )
        for i in range(80)
    ]
    rng.shuffle(bodies)
    return bodies


@pytest.mark.parametrize("seed", range(4))
def test_steps_equal_the_whole(seed: int) -> None:
    """In whatever order and portions decisions are loaded."""
    bodies, rng = history(seed), random.Random(seed + 1000)
    log, warehouse = ListLog(), MemoryWarehouse()
    corrected, rest = 0, list(bodies)
    while rest:
        size = rng.choice([0, 1, 3, 20])
        log.add(*rest[:size])
        rest = rest[size:]
        drain(log, warehouse, loaded)
        corrected += record_assignments(warehouse).corrected
        assert assignments(warehouse) == _whole(warehouse)
    rng.shuffle(bodies)
    other = filled(*bodies)
    record_assignments(other)
    assert assignments(warehouse) == assignments(other)
    assert corrected > 0


def _whole(warehouse: MemoryWarehouse) -> list[dict[str, Any]]:
    """The assignments of a warehouse with the same decisions and no step before."""
    fresh = filled(decision("none", "nobody"))
    fresh.replace("decisions", warehouse.query("SELECT * FROM decisions"))
    record_assignments(fresh)
    return assignments(fresh)


def test_a_step_without_new_decisions_writes_nothing(tmp_path: Path) -> None:
    """The tables' versions stay as they are; few new rows are added and do not rewrite those there were."""
    from deltalake import DeltaTable

    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(*history(3))
    drain(log, warehouse, loaded)
    record_assignments(warehouse)
    versions = {name: DeltaTable(str(tmp_path / name)).version() for name in ("assignments", "assignment_state")}
    files = set(DeltaTable(str(tmp_path / "assignments")).file_uris())
    assert record_assignments(warehouse) == AssignmentReport()
    for name, version in versions.items():
        assert DeltaTable(str(tmp_path / name)).version() == version
    log.add(named("new", "c99"))
    drain(log, warehouse, loaded)
    assert record_assignments(warehouse) == AssignmentReport(assigned=3)
    assert files < set(DeltaTable(str(tmp_path / "assignments")).file_uris())


@pytest.mark.parametrize("dies_at", ["assignments", "assignment_state"])
def test_a_crash_repeats_work_and_changes_nothing(dies_at: str) -> None:
    """After the corrections, or before the positions are saved."""

    class Dying(MemoryWarehouse):
        def replace(self, table: str, rows: Any, where: str | None = None) -> None:
            """Dies at the positions."""
            if table == dies_at == "assignment_state":
                raise InterruptedError
            super().replace(table, rows, where)

        def append(self, table: str, rows: Any) -> None:
            """Dies between corrections and additions."""
            if table == dies_at == "assignments":
                raise InterruptedError
            super().append(table, rows)

    log, warehouse = ListLog(), MemoryWarehouse()
    bodies = history(5)
    log.add(*bodies[:30])
    drain(log, warehouse, loaded)
    record_assignments(warehouse)
    log.add(*bodies[30:])
    drain(log, warehouse, loaded)
    warehouse.__class__ = Dying
    with pytest.raises(InterruptedError):
        record_assignments(warehouse)
    warehouse.__class__ = MemoryWarehouse
    record_assignments(warehouse)
    assert assignments(warehouse) == _whole(warehouse)
    assert record_assignments(warehouse) == AssignmentReport()


def test_who_is_forgotten_is_forgotten_here(tmp_path: Path) -> None:
    """And is not assigned again by what comes after."""
    log, warehouse = ListLog(), Lakehouse(tmp_path)
    log.add(named("d1", "c1"), named("d2", "c2"))
    drain(log, warehouse, loaded)
    record_assignments(warehouse)
    warehouse.forget("c1")
    log.add(named("d3", "c2", at_s=9))
    drain(log, warehouse, loaded)
    assert record_assignments(warehouse) == AssignmentReport()
    assert {row["customer_id"] for row in assignments(warehouse)} == {"c2"}


def program(name: str, outcomes: Mapping[str, float], version: str = "1", use_value: bool = False) -> Program:
    reward = RewardDefinition(outcomes, 100, use_value=use_value, version=version)
    return Program(name, 1, "customer_v1", (), reward, GroupShares(salt=name))


def weights(warehouse: Warehouse) -> Sequence[tuple[object, ...]]:
    rows = warehouse.query(
        "SELECT program, outcome, reward_version, weight, use_value FROM reward_weights ORDER BY program, outcome"
    )
    return [tuple(row.values()) for row in rows.to_pylist()]


def test_reward_weights_are_those_in_force(tmp_path: Path) -> None:
    """A changed definition replaces its program's; one that is no longer published keeps its last; again is nothing."""
    from deltalake import DeltaTable

    warehouse = Lakehouse(tmp_path)
    record_reward_weights(warehouse, {})
    assert warehouse.tables() == []
    spring, autumn = program("spring", {"visit": 1, "purchase": 10}), program("it's", {"visit": 2})
    record_reward_weights(warehouse, {"spring": spring, "it's": autumn})
    assert weights(warehouse) == [
        ("it's", "visit", "1", 2, False),
        ("spring", "purchase", "1", 10, False),
        ("spring", "visit", "1", 1, False),
    ]
    changed = {"spring": program("spring", {"purchase": 0.5}, "2", use_value=True)}
    record_reward_weights(warehouse, changed)
    assert weights(warehouse) == [("it's", "visit", "1", 2, False), ("spring", "purchase", "2", 0.5, True)]
    version = DeltaTable(str(tmp_path / "reward_weights")).version()
    record_reward_weights(warehouse, changed)
    assert DeltaTable(str(tmp_path / "reward_weights")).version() == version
