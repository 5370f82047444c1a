"""Kept rows are decisions as if the service had drawn them: laws, on simulated experiments with known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from decision_service.core.estimation.ope import Calibration, mean_interval, probability_matrix
from decision_service.core.model.values import NO_ACTION, ValueType
from decision_service.replay.experiment import Arm, LoggedExperiment, LoggedRow, RewardChoice
from decision_service.replay.presentation import Presented, present

FIELD = {NO_ACTION: 0.6, "a": 0.1, "b": 0.1, "c": 0.1, "d": 0.1}
"""A field experiment: most customers left alone, four mails to try."""


def simulated(
    design: Sequence[Mapping[str, float]], rates: Sequence[Mapping[str, float]], rows: int, seed: int
) -> LoggedExperiment:
    """Customers of kinds 0, 1, …, equally many; kind x gets arm a with design[x][a], and earns 1 at rates[x][a]."""
    rng = np.random.default_rng(seed)
    names = list(design[0])
    logged = []
    for i, kind in enumerate(rng.integers(0, len(design), rows).tolist()):
        arm = names[int(rng.choice(len(names), p=list(design[kind].values())))]
        earned = float(rng.random() < rates[kind][arm])
        logged.append(LoggedRow(f"{kind}-{i}", {"kind": kind}, arm, design[kind][arm], {"y": earned}))
    return LoggedExperiment(
        name="simulated",
        feature_types={"kind": ValueType.INT},
        arms=tuple(Arm(name) for name in names),
        reward=RewardChoice("y"),
        rows=tuple(logged),
        least_probability=min(p for of_kind in design for p in of_kind.values()),
        no_action_value=None if NO_ACTION in names else 0.0,
    )


def kind_of(row: Presented) -> int:
    """Of its customer."""
    return int(row.customer_id.split("-")[0])


def kept(
    experiment: LoggedExperiment, policy: Sequence[Mapping[str, float]], most: float, seed: int
) -> list[Presented]:
    """The rows that become decisions of a service that has policy[x] for customers of kind x."""
    rows = [row for row in present(experiment, seed) if row is not None]
    return [row for row in rows if row.is_kept(policy[kind_of(row)], most)]


def test_arms_that_were_unequally_likely_are_drawn_as_the_service_has_them() -> None:
    """60/10/10/10/10 %, a policy that differs by customer: actions follow it within each kind of customer, kinds stay
    as frequent as they are, and the mean reward is what the policy earns."""
    rates = [dict.fromkeys(FIELD, 0.33) | {"b": 0.38}, dict.fromkeys(FIELD, 0.2) | {"c": 0.5}]
    policy = [
        {NO_ACTION: 0.1, "a": 0.05, "b": 0.7, "c": 0.1, "d": 0.05},
        {NO_ACTION: 0.4, "a": 0.3, "b": 0.1, "c": 0.1, "d": 0.1},
    ]
    decisions = kept(simulated([FIELD, FIELD], rates, 120_000, seed=3), policy, 0.7, seed=4)

    options = [policy[kind_of(row)] for row in decisions]
    actions, logged, chosen = probability_matrix(options, [row.action for row in decisions])
    assert Calibration.by_action(actions, logged, chosen).p_value > 0.01
    assert Calibration.by_probability(logged, chosen).p_value > 0.01
    assert len(decisions) == pytest.approx(120_000 * 0.1 / 0.7, rel=0.03)
    assert np.mean([kind_of(row) for row in decisions]) == pytest.approx(0.5, abs=0.015)
    true = np.mean([sum(p[a] * r[a] for a in FIELD) for p, r in zip(policy, rates, strict=True)])
    assert float(true) in mean_interval([row.reward for row in decisions])


def test_estimates_from_kept_rows_are_unbiased_in_many_worlds() -> None:
    """A gain of +.04 over uniform draws is estimated as that, on average over 60 experiments; rows kept where the
    service's own draw happened to be the arm would say something else."""
    rates = [dict.fromkeys(FIELD, 0.33) | {"b": 0.38}]
    uniform = [dict.fromkeys(FIELD, 0.2)]
    gains = []
    for world in range(60):
        decisions = kept(simulated([FIELD], rates, 2_000, seed=world), uniform, 0.2, seed=world)
        earned = np.array([row.reward for row in decisions])
        is_best = np.array([row.action == "b" for row in decisions])
        gains.append(float((earned * is_best / 0.2).mean() - earned.mean()))
    assert 0.04 in mean_interval(gains, alpha=0.01)
    assert mean_interval(gains).high - 0.04 < 0.03


def test_probabilities_may_differ_from_row_to_row() -> None:
    """As when a bandit logged: kinds of customers stay as frequent, although their arms had other probabilities."""
    design = [{"a": 0.8, "b": 0.1, NO_ACTION: 0.1}, {"a": 0.2, "b": 0.5, NO_ACTION: 0.3}]
    policy = [{"a": 0.2, "b": 0.6, NO_ACTION: 0.2}, {"a": 0.6, "b": 0.2, NO_ACTION: 0.2}]
    decisions = kept(simulated(design, [dict.fromkeys(design[0], 0.5)] * 2, 60_000, seed=5), policy, 0.6, seed=6)
    options = [policy[kind_of(row)] for row in decisions]
    assert (
        Calibration.by_probability(*probability_matrix(options, [row.action for row in decisions])[1:]).p_value > 0.01
    )
    assert np.mean([kind_of(row) for row in decisions]) == pytest.approx(0.5, abs=0.02)


def test_nobody_is_rejected_where_arms_are_alike_and_the_service_draws_uniformly() -> None:
    """Then the experiment is what the service would have done."""
    thirds = {NO_ACTION: 1 / 3, "a": 1 / 3, "b": 1 / 3}
    experiment = simulated([thirds], [dict.fromkeys(thirds, 0.5)], 1_000, seed=7)
    decisions = kept(experiment, [thirds], 1 / 3, seed=8)
    assert [(row.customer_id, row.action, row.reward) for row in decisions] == [
        (row.customer_id, row.arm, row.outcomes["y"]) for row in experiment.rows
    ]


def test_without_a_control_arm_no_action_is_presented_as_often_as_an_arm() -> None:
    """The service may draw it; such rows earn what was declared, and as many remain of each arm."""
    halves = {"a": 0.5, "b": 0.5}
    rows = [row for row in present(simulated([halves], [halves], 30_000, seed=9), seed=1) if row is not None]
    counts = [sum(row.action == action for row in rows) for action in (NO_ACTION, "a", "b")]
    assert sum(counts) == 30_000
    assert counts == pytest.approx([10_000] * 3, rel=0.05)
    assert {row.reward for row in rows if row.action == NO_ACTION} == {0.0}


def test_a_customer_with_a_probability_beyond_the_most_is_left_out_whatever_the_arm() -> None:
    """A degraded answer, such as NO_ACTION for certain, must not keep the rows of one arm more often than it should."""
    row = Presented("c", NO_ACTION, 0.0, 0.0)
    assert not row.is_kept({NO_ACTION: 1.0}, 0.8)
    assert not Presented("c", "a", 0.0, 0.0).is_kept({NO_ACTION: 1.0}, 0.8)
    assert row.is_kept({NO_ACTION: 0.8, "a": 0.2}, 0.8)
    assert not Presented("c", "b", 0.0, 0.0).is_kept({NO_ACTION: 0.8, "a": 0.2}, 0.8)


def test_the_seed_says_which_rows_are_presented() -> None:
    """The same again with the same seed, others with another."""
    experiment = simulated([FIELD], [dict.fromkeys(FIELD, 0.5)], 500, seed=1)
    assert present(experiment, 1) == present(experiment, 1)
    assert present(experiment, 1) != present(experiment, 2)
