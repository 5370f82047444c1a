"""Evaluation of policies against a world whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Exploration
from decision_service.core.model.record import ModelVersion
from decision_service.core.model.values import NO_ACTION, Values
from tests.training.simulated_log import BASE_RATE, EPSILON, preferring, rates_by_segment, segments_of, simulated_log
from training.dataset import LoggedDataset
from training.evaluate import (
    CHALLENGER,
    CHAMPION,
    evaluate,
    first_feasible,
    fixed_policies,
    headline,
    logging_policy,
    scored_policy,
    uniform_policy,
)

RIGHT, WRONG = (0, 1, 2), (1, 2, 0)


def values_at(truth: float, log: LoggedDataset) -> np.ndarray:
    """Reward predictions that are the same everywhere."""
    return np.where(log.feasible, truth, 0.0)


def test_estimates_meet_the_truth() -> None:
    """Right policy, wrong one, uniform, fixed actions: the truth is in every estimator's 99.9 % interval."""
    effect = 0.3
    log = simulated_log(np.random.default_rng(0), 6_000, effect, champion=WRONG)
    policies = {
        CHALLENGER: preferring(RIGHT),
        CHAMPION: preferring(WRONG),
        "uniform": uniform_policy,
        **fixed_policies(log),
    }
    result = evaluate(log, policies, values_at(0.15, log), alpha=0.001)
    hit = {
        CHALLENGER: 1 - EPSILON + EPSILON / 6,
        CHAMPION: EPSILON / 6,
        "uniform": 1 / 6,
        "always a0": 1 / 3,
        "always a4": 0.0,
        f"always {NO_ACTION}": 0.0,
    }
    for name, share in hit.items():
        value = result.value(name)
        for interval in (value.dr, value.snips, value.ips):
            assert BASE_RATE + effect * share in interval, name
    assert headline(result.values)[0][0] == CHALLENGER
    assert result.difference.terms.mean == pytest.approx(
        result.value(CHALLENGER).dr.mean - result.value(CHAMPION).dr.mean
    )


@pytest.mark.slow
def test_values_lie_where_their_intervals_say() -> None:
    """Of 300 logs with RANDOM_CONTROL and several decisions of a customer, at least 93 % of the 95 % intervals of every
    estimator contain the truth."""
    rng, effect, logs = np.random.default_rng(1936), 0.1, 300
    truth = BASE_RATE + effect * (1 - EPSILON + EPSILON / 6)
    served = BASE_RATE + effect * (0.8 * EPSILON / 6 + 0.2 / 6)
    covered = dict.fromkeys(("dr", "snips", "ips", "as served"), 0)
    for _ in range(logs):
        log = simulated_log(rng, 1_000, effect, champion=WRONG)
        result = evaluate(log, {CHALLENGER: preferring(RIGHT), CHAMPION: preferring(WRONG)}, values_at(BASE_RATE, log))
        value = result.value(CHALLENGER)
        for name, interval in (("dr", value.dr), ("snips", value.snips), ("ips", value.ips)):
            assert not interval.withheld
            covered[name] += truth in interval
        covered["as served"] += served in result.logged_value
    assert min(covered.values()) >= 0.93 * logs, covered


def test_what_was_served_is_valued_at_its_average() -> None:
    """The logging policy has weights of 1, full effective sample size, and the average reward by SNIPS."""
    log = simulated_log(np.random.default_rng(1), 500, 0.2)
    result = evaluate(
        log, {"served": logging_policy, "uniform": uniform_policy}, values_at(0, log), "served", "uniform"
    )
    served = result.value("served")
    assert served.snips.mean == pytest.approx(log.rewards.mean())
    assert (served.mean_weight, served.largest_weight) == (pytest.approx(1), pytest.approx(1))
    assert served.effective_sample_size == pytest.approx(500)
    assert result.difference.same == 1.0
    assert result.groups["TREATMENT"] + result.groups["RANDOM_CONTROL"] == 500


def test_random_control_lends_precision_to_the_comparison() -> None:
    """With rare exploration in TREATMENT, balancing the groups narrows the difference beside ignoring them."""
    log = simulated_log(np.random.default_rng(2), 4_000, 0.3, champion=WRONG)
    policies = {CHALLENGER: preferring(RIGHT), CHAMPION: preferring(WRONG)}
    one_group = LoggedDataset.of(log.program, log.reward, [replace(r, group=log.rows[0].group) for r in log.rows])
    balanced = evaluate(log, policies, values_at(0.15, log)).difference.terms
    plain = evaluate(one_group, policies, values_at(0.15, log)).difference.terms
    assert balanced.standard_error < 0.92 * plain.standard_error


def test_actions_without_support_are_counted() -> None:
    """A policy that prefers what was never possible to draw says so, in share of its choices."""
    log = simulated_log(np.random.default_rng(3), 300, 0.2)
    rows = [replace(row, probabilities=(0.0, *(0.2,) * 5), chosen=max(row.chosen, 1)) for row in log.rows]
    blind = LoggedDataset.of(log.program, log.reward, rows)
    result = evaluate(blind, {CHALLENGER: first_feasible("a0"), CHAMPION: uniform_policy}, values_at(0, blind))
    assert result.value(CHALLENGER).unsupported == pytest.approx(1.0)
    assert result.value(CHAMPION).unsupported == pytest.approx(1 / 6)


def test_missing_decisions_show_in_the_mean_weight() -> None:
    """If half of the decisions for one action are lost, the mean weight leaves 1 by many standard errors."""
    log = simulated_log(np.random.default_rng(4), 4_000, 0.2)
    lost = [row for i, row in enumerate(log.rows) if row.chosen != 2 or i % 2]
    result = evaluate(
        LoggedDataset.of(log.program, log.reward, lost),
        {CHALLENGER: first_feasible("a2"), CHAMPION: uniform_policy},
        np.zeros((len(lost), 6)),
    )
    assert result.value(CHALLENGER).mean_weight_z < -5


def test_a_fixed_action_that_is_not_feasible_gives_way() -> None:
    """Next in the list, then NO_ACTION."""
    log = simulated_log(np.random.default_rng(5), 2, 0)
    first = log.rows[0]
    short = replace(first, actions=(first.actions[1], first.actions[5]), probabilities=(0.5, 0.5), chosen=0)
    dataset = LoggedDataset.of(log.program, log.reward, [short, log.rows[1]])
    assert first_feasible("a0", "a1")(dataset).argmax(axis=1).tolist() == [1, 0]
    assert first_feasible("a0")(dataset).argmax(axis=1).tolist() == [5, 0]
    assert first_feasible("unknown")(dataset).argmax(axis=1).tolist() == [5, 5]


class SegmentScorer:
    """A model that knows each segment's rates; not finite for bronze customers."""

    version, feature_service, examples = ModelVersion("nba-spring", "1", "1"), "spring_v1", None

    def __init__(self, rates: np.ndarray) -> None:
        self._rates = rates

    def encode(self, known: Values, actions: object) -> str:
        return str(known["segment"])

    def predict(self, encoded: str, n_actions: int) -> np.ndarray:
        if encoded == "bronze":
            return np.full(n_actions, np.nan)
        return self._rates[("gold", "silver").index(encoded)]


def test_a_scored_policy_is_what_serving_would_draw_from() -> None:
    """Exploration over the model's scores; uniform where they are not finite."""
    log = simulated_log(np.random.default_rng(6), 900, 0.6)
    target = scored_policy(SegmentScorer(rates_by_segment(log)), Exploration(epsilon=EPSILON))(log)
    expected = preferring(RIGHT)(log)
    expected[np.array(segments_of(log)) == 2] = 1 / 6
    assert target == pytest.approx(expected)


@pytest.mark.parametrize(
    ("policies", "field"),
    [
        ({CHALLENGER: uniform_policy}, "champion"),
        ({CHALLENGER: lambda d: d.logged * 2, CHAMPION: uniform_policy}, r"policies\[challenger\].*sum to 1"),
        ({CHALLENGER: lambda d: d.logged[:, :2], CHAMPION: uniform_policy}, r"policies\[challenger\].*shape"),
        ({CHALLENGER: lambda d: d.logged * np.nan, CHAMPION: uniform_policy}, r"policies\[challenger\].*finite"),
    ],
)
def test_what_is_no_policy_is_refused(policies, field: str) -> None:  # type: ignore[no-untyped-def]
    """A missing name or a broken distribution is one clear error."""
    log = simulated_log(np.random.default_rng(7), 20, 0)
    with pytest.raises(InvalidRequest, match=field):
        evaluate(log, policies, np.zeros((20, 6)))


def test_no_rows_cannot_be_evaluated() -> None:
    """The error says what to wait for."""
    empty = simulated_log(np.random.default_rng(8), 0, 0)
    with pytest.raises(InvalidRequest, match="matured"):
        evaluate(empty, {CHALLENGER: uniform_policy, CHAMPION: uniform_policy}, np.zeros((0, 0)))
