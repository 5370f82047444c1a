"""What is learned where much is lost after the draw: no effect where there is none, and the one that there is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.core.estimation.ope import FloatArray
from decision_service.core.model.program import Program
from decision_service.core.model.reward import LearnFrom
from decision_service.core.model.values import NO_ACTION
from tests.support.logged import T0
from tests.training.lossy_world import ACTIONS, SEGMENTS, Losses, live, program
from training.dataset import LoggedDataset, read_dataset
from training.evaluate import CHALLENGER, UNIFORM, Evaluation, evaluate, uniform_policy
from training.gate import GateRules, Judgement, Look, Verdict, judge
from training.join import join_outcomes

EPSILON = 0.1
LATER_MS = T0 + 10**12


def at(name: str, version: int, ledger_id: str) -> Program:
    return program(name)


def joined(warehouse: MemoryWarehouse, *names: str) -> None:
    join_outcomes(warehouse, {name: program(name) for name in names}, LATER_MS)


def learned(log: LoggedDataset) -> FloatArray:
    """Mean reward by segment and action, shape (2, 3): a learner for tests."""
    total, count = np.full((2, 3), 0.25 * 5), np.full((2, 3), 5.0)
    where = ([SEGMENTS.index(str(row.known["segment"])) for row in log.rows], _columns(log)[log.chosen])
    np.add.at(total, where, log.rewards)
    np.add.at(count, where, 1.0)
    return total / count


def _columns(log: LoggedDataset) -> np.ndarray:
    return np.array([ACTIONS.index(action) for action in log.actions])


def evaluated(log: LoggedDataset) -> Evaluation:
    """A challenger that learned from the earlier part, on the later one."""
    earlier, later = log.split(0.5)
    means = learned(earlier)[:, _columns(later)]
    segments = [SEGMENTS.index(str(row.known["segment"])) for row in later.rows]
    target = np.full(later.logged.shape, EPSILON / 3)
    target[np.arange(len(later)), means[segments].argmax(axis=1)] += 1 - EPSILON
    policies = {CHALLENGER: lambda _: target, UNIFORM: uniform_policy}
    return evaluate(later, policies, means[segments], reference=UNIFORM)


def promoted(evaluations: Sequence[Evaluation], rules: GateRules) -> int:
    return sum(judge(evaluation, rules).verdict is Verdict.PROMOTE for evaluation in evaluations)


@pytest.mark.slow
def test_where_contact_does_nothing_no_more_than_alpha_are_promoted() -> None:
    """200 worlds with bounces, failures, unreachable customers, lost races and forgotten reports. The gate's rule for
    any number of looks promotes no more than 5 %, that for one look about 5 %; no data check fails, and contact earns
    nothing. Where only what was activated is learned from, customers who can be reached are taken for an effect."""
    rng, names = np.random.default_rng(5), [f"world{i}" for i in range(200)]
    warehouse = MemoryWarehouse()
    for name in names:
        live(warehouse, name, rng, 1_000)
    joined(warehouse, *names)
    alpha, n = 0.05, len(names)
    logs = [read_dataset(warehouse, program(name), at) for name in names]
    as_drawn = [evaluated(log) for log in logs]
    assert promoted(as_drawn, GateRules(alpha=alpha)) <= alpha * n
    most = alpha * n + 3 * math.sqrt(n * alpha * (1 - alpha))
    assert promoted(as_drawn, GateRules(alpha=alpha, look=Look.ONE_SHOT)) <= most
    assert [failed(judge(evaluation)) for evaluation in as_drawn] == [[]] * n
    assert abs(effect_of_contact(logs)) < 0.006

    only = LearnFrom(activated_only=True)
    assert effect_of_contact([read_dataset(warehouse, program(name, only), at) for name in names]) > 0.02


def effect_of_contact(logs: Sequence[LoggedDataset]) -> float:
    """Mean reward of contacts less that of NO_ACTION, over all logs; its standard error is about 0.002."""
    rewards = np.concatenate([log.rewards for log in logs])
    is_contact = np.concatenate([log.chosen != log.column[NO_ACTION] for log in logs])
    return float(rewards[is_contact].mean() - rewards[~is_contact].mean())


def failed(judgement: Judgement) -> list[str]:
    return [check.name for check in judgement.checks if not check.passed]


@pytest.mark.slow
@pytest.mark.parametrize("decisions", [5_000, 100_000])
def test_an_effect_is_proven_although_messages_bounce(decisions: int) -> None:
    """+.05 where 5 % bounce: more decisions make more sure, and no check stands in the way for good."""
    warehouse = MemoryWarehouse()
    live(warehouse, "spring", np.random.default_rng(6), 2 * decisions, 0.05 * 3 / 2, Losses(0.05, 0, 0, 0, 0))
    joined(warehouse, "spring")
    judgement = judge(evaluated(read_dataset(warehouse, program("spring"), at)))
    assert judgement.verdict is Verdict.PROMOTE, judgement.reasons
    assert failed(judgement) == []
    # Uniform draws meet the right action one time in three, the challenger nine in ten and a third of the rest.
    truth = 0.075 * ((1 - EPSILON) + EPSILON / 3 - 1 / 3)
    assert judgement.difference.mean == pytest.approx(truth, abs=0.035 if decisions == 5_000 else 0.01)


def test_learning_from_activated_decisions_is_checked() -> None:
    """The bias of selecting by activation does not pass: the draws of what is left are not those that were logged."""
    warehouse = MemoryWarehouse()
    live(warehouse, "spring", np.random.default_rng(7), 6_000)
    joined(warehouse, "spring")
    only = program("spring", LearnFrom(activated_only=True))
    judgement = judge(evaluated(read_dataset(warehouse, only, at)))
    assert judgement.verdict is Verdict.HOLD
    assert "drawn as logged, by action" in failed(judgement)
    assert "activated, by action" in failed(judgement)
    assert failed(judge(evaluated(read_dataset(warehouse, program("spring"), at)))) == []
