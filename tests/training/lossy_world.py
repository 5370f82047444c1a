"""Logs of a world in which much is lost: messages bounce or fail, runners forget to report, slots are lost in races,
and customers who cannot be reached are others than those who can. As rows of the warehouse, whole logs at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.core.model.program import Action, GroupShares, Program
from decision_service.core.model.reward import LearnFrom, RewardDefinition
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse.progress import record_loaded
from decision_service.warehouse.tables import TABLES
from tests.support.logged import T0

ACTIONS = ("email_a", "push_b", NO_ACTION)
SEGMENTS = ("x", "y")
WINDOW_S = 3_600
STEP_MS = 60_000
REWARD = RewardDefinition({"visit": 1.0}, WINDOW_S)


def program(name: str, learn_from: LearnFrom | None = None) -> Program:
    """Two contacts and NO_ACTION."""
    actions = (Action("email_a", "email", "a"), Action("push_b", "push", "b"))
    return Program(name, 1, "s", actions, REWARD, GroupShares("salt"), learn_from=learn_from or LearnFrom())


@dataclass(frozen=True)
class Losses:
    """What is lost, as shares of contacts; `unreachable` of customers, who visit less whatever is sent."""

    bounced: float = 0.05
    failed: float = 0.05
    unreported: float = 0.05
    races: float = 0.05
    unreachable: float = 0.15


def live(
    warehouse: MemoryWarehouse,
    name: str,
    rng: np.random.Generator,
    n: int,
    effect: float = 0.0,
    losses: Losses | None = None,
) -> None:
    """Append `n` uniform decisions of a program, one a minute, each for a customer of its own, and what came of them.

    effect: what the action of a customer's segment adds to the rate of visits, where it is delivered; on average over
        customers, so that it is the effect of deciding for it whatever is lost.
    """
    lost = losses or Losses()
    segment, drawn = rng.integers(2, size=n), rng.integers(len(ACTIONS), size=n)
    is_contact = drawn < 2
    reachable = rng.random(n) >= lost.unreachable
    raced = is_contact & (rng.random(n) < lost.races)
    chosen = np.where(raced, 2, drawn)
    bounced = rng.random(n) < lost.bounced
    failed = (rng.random(n) < lost.failed) | ~reachable
    unreported = rng.random(n) < lost.unreported
    delivered = (chosen < 2) & ~bounced & ~failed
    arrives = (1 - lost.races) * (1 - lost.bounced) * (1 - lost.failed) * (1 - lost.unreachable)
    rate = np.where(reachable, 0.3, 0.1) + effect / arrives * (delivered & (drawn == segment))
    visits = rng.random(n) < rate
    status = np.where(failed, "FAILED", np.where(bounced, "BOUNCED", "DELIVERED"))
    ids = [f"{name}-{i}" for i in range(n)]
    at_ms = T0 + STEP_MS * np.arange(n)
    _append(
        warehouse,
        "decisions",
        n,
        decision_id=ids,
        customer_id=ids,
        program=[name] * n,
        program_version=[1] * n,
        decided_at_ms=at_ms,
        decided_at=pa.array(at_ms * 1000, pa.timestamp("us", "UTC")),
        group=["TREATMENT"] * n,
        policy=["UNIFORM"] * n,
        actions=[list(ACTIONS)] * n,
        probabilities=[[1 / 3] * 3] * n,
        n_feasible=[3] * n,
        drawn=[ACTIONS[i] for i in drawn],
        action=[ACTIONS[i] for i in chosen],
        trainable=~raced,
        features_json=[json.dumps({"segment": SEGMENTS[s]}) for s in segment],
        live_json=["{}"] * n,
        context_json=["{}"] * n,
    )
    told = np.flatnonzero((chosen < 2) & ~unreported)
    _append(
        warehouse,
        "activations",
        len(told),
        decision_id=[ids[i] for i in told],
        customer_id=[ids[i] for i in told],
        status=status[told].tolist(),
        at_ms=at_ms[told] + 1,
        received_at_ms=at_ms[told] + 1,
    )
    came = np.flatnonzero(visits)
    _append(
        warehouse,
        "outcomes",
        len(came),
        outcome_id=["visit"] * len(came),
        customer_id=[ids[i] for i in came],
        name=["visit"] * len(came),
        occurred_at_ms=at_ms[came] + 1_000,
        received_at_ms=at_ms[came] + 1_000,
        value=[1.0] * len(came),
    )
    record_loaded(warehouse, T0 + STEP_MS * n + 10 * WINDOW_S * 1000)


def _append(warehouse: MemoryWarehouse, table: str, n: int, **columns: Any) -> None:
    """Rows of a log table; what is not given is null, but the position in the log."""
    schema = TABLES[table].schema
    before = warehouse.query(f"SELECT count(*) AS n FROM {table}").to_pylist()[0]["n"]
    columns |= {"log_shard": [0] * n, "log_sequence": np.arange(before + 1, before + n + 1)}
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(n, field.type)
        for field in schema
    ]
    warehouse.append(table, pa.Table.from_arrays(arrays, schema=schema))
