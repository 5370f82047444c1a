"""Joining log entries under reward definitions, for tests of the join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import LogBody, Warehouse
from decision_service.core.model.program import GroupShares, Program
from decision_service.core.model.reward import RewardDefinition
from decision_service.warehouse.loader import drain
from decision_service.warehouse.tables import REWARDS
from tests.support.logged import T0, ListLog, loaded
from training.join import JoinReport, join_outcomes

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
    drain(log, warehouse, loaded)
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
