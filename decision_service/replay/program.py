"""A logged experiment as a program document, and as the table of its customers' features. Pure."""

from __future__ import annotations

import json

import pyarrow as pa

from decision_service.core.model.values import Value, ValueType
from decision_service.replay.experiment import LoggedExperiment

EPSILON = 0.3
"""A replay learns from a fraction of the rows: with less exploration an early champion that is no more than good would
hardly ever meet the evidence that something is better."""
REWARD_WINDOW_S = 3_600
_ARROW = {
    ValueType.BOOL: pa.bool_(),
    ValueType.INT: pa.int64(),
    ValueType.FLOAT: pa.float64(),
    ValueType.STRING: pa.string(),
    ValueType.STRINGS: pa.list_(pa.string()),
}


def program_document(experiment: LoggedExperiment, epsilon: float = EPSILON) -> str:
    """A program whose actions are the experiment's arms, everybody in TREATMENT, as JSON text."""
    reward = experiment.reward
    return json.dumps(
        {
            "name": experiment.name,
            "description": f"Replay of the logged experiment {experiment.name}, reward {reward.outcome}.",
            "features": {"service": experiment.name, "on_missing": "no_action"},
            "actions": [
                {
                    "id": arm.action,
                    "channel": arm.channel,
                    "message": arm.message or arm.action,
                    "attributes": {name: _plain(value) for name, value in arm.attributes.items()},
                }
                for arm in experiment.contact_arms
            ],
            "exploration": {"kind": "epsilon_greedy", "epsilon": epsilon},
            "reward": {
                "outcomes": {reward.outcome: 1.0},
                "value": "value",
                "window": f"{REWARD_WINDOW_S}s",
                "default": default_reward(experiment),
                "bounds": [float(reward.low), float(reward.high)],
            },
        }
    )


def largest_probability(actions: int, has_model: bool, epsilon: float = EPSILON) -> float:
    """Of any of so many actions, NO_ACTION included, under the program's exploration; uniform without a model."""
    return 1 - epsilon + epsilon / actions if has_model else 1 / actions


def default_reward(experiment: LoggedExperiment) -> float:
    """The reward of a decision without outcomes: 0, or the bound nearest to it."""
    return float(min(max(0.0, experiment.reward.low), experiment.reward.high))


def feature_table(experiment: LoggedExperiment) -> pa.Table:
    """One row per customer: `customer_id` and every feature, null where missing."""
    columns = {"customer_id": pa.array([row.customer_id for row in experiment.rows], pa.string())}
    for name, kind in experiment.feature_types.items():
        columns[name] = pa.array([row.features.get(name) for row in experiment.rows], _ARROW[kind])
    return pa.table(columns)


def checkpoint_rows(rows: int, checkpoints: int) -> list[int]:
    """After how many rows to train: early and often at first, and after the last row."""
    return sorted({round(rows * ((k + 1) / checkpoints) ** 1.6) for k in range(checkpoints)} - {0})


def _plain(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value
