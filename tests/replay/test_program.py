"""An experiment as a program, its customers as a feature table."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.core.choice.exploration import explore, uniform
from decision_service.core.model.values import NO_ACTION, ValueType
from decision_service.documents import parse_program
from decision_service.replay.experiment import Arm, LoggedExperiment, LoggedRow, RewardChoice
from decision_service.replay.program import (
    EPSILON,
    checkpoint_rows,
    default_reward,
    feature_table,
    largest_probability,
    program_document,
)

EXPERIMENT = LoggedExperiment(
    name="spring",
    feature_types={"age": ValueType.INT, "tags": ValueType.STRINGS},
    arms=(Arm("mail", "email", "offer", {"offer": "discount"}), Arm("text", "sms"), Arm(NO_ACTION)),
    reward=RewardChoice("sale", 0.0, 200.0),
    rows=(
        LoggedRow("u1", {"age": 31, "tags": ("a", "b")}, "mail", 0.5, {"sale": 3.0}),
        LoggedRow("u2", {"age": None, "tags": None}, NO_ACTION, 0.5, {"sale": 0.0}),
    ),
    least_probability=0.5,
)


def test_the_program_offers_every_contact_arm_to_everybody() -> None:
    """The document parses; control is the product's own NO_ACTION; the reward has the declared bounds."""
    program = parse_program(program_document(EXPERIMENT))
    assert [(a.id, a.channel, a.message) for a in program.actions] == [
        ("mail", "email", "offer"),
        ("text", "sms", "text"),
    ]
    assert program.actions[0].attributes == {"offer": "discount"}
    assert program.groups.treatment == 10_000
    assert program.caps == ()
    assert (program.reward.low, program.reward.high, program.reward.use_value) == (0.0, 200.0, True)
    assert program.feature_service == "spring"


def test_no_probability_of_the_program_is_above_the_largest() -> None:
    """The best action under the program's own exploration, and every action under a uniform draw."""
    exploration = parse_program(program_document(EXPERIMENT)).exploration
    assert exploration.epsilon == EPSILON
    assert explore(np.array([0.3, 0.1, 0.2]), exploration).max() == pytest.approx(largest_probability(3, True))
    assert uniform(3).max() == largest_probability(3, False)


@pytest.mark.parametrize(("low", "high", "default"), [(0, 1, 0), (-5, 5, 0), (1, 5, 1), (-5, -1, -1)])
def test_the_default_reward_is_nothing_or_the_nearest_bound(low: float, high: float, default: float) -> None:
    """A decision without outcomes earns 0 where that is possible."""
    experiment = LoggedExperiment("x", {}, (), RewardChoice("y", low, high), (), 1.0)
    assert default_reward(experiment) == default


def test_the_feature_table_keeps_types_and_missing_values() -> None:
    """Columns have the declared types; a missing value is null."""
    table = feature_table(EXPERIMENT)
    assert table.to_pylist() == [
        {"customer_id": "u1", "age": 31, "tags": ["a", "b"]},
        {"customer_id": "u2", "age": None, "tags": None},
    ]
    assert str(table.schema.field("age").type) == "int64"


def test_checkpoints_come_early_and_end_with_the_last_row() -> None:
    """They increase, wait longer each time, and none is asked for without rows."""
    cuts = checkpoint_rows(64_000, 8)
    gaps = [b - a for a, b in zip([0, *cuts], cuts, strict=False)]
    assert cuts[-1] == 64_000
    assert gaps == sorted(gaps)
    assert checkpoint_rows(3, 8) == [1, 2, 3]
    assert checkpoint_rows(100, 0) == []
