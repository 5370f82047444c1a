"""The gate: its error rate over null experiments, its power, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from decision_service.core.estimation.ope import Calibration
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import NO_ACTION_ACTION
from tests.training.simulated_log import preferring, rates_by_segment, segments_of, simulated_log
from training.dataset import ActivationRate, LogFacts, LoggedDataset
from training.evaluate import (
    BASELINE,
    CHALLENGER,
    CHAMPION,
    UNIFORM,
    Evaluation,
    baseline_policy,
    evaluate,
    first_feasible,
    uniform_policy,
)
from training.gate import GateRules, Look, Verdict, judge

RIGHT, WRONG = (0, 1, 2), (1, 2, 0)


def experiment(
    rng: np.random.Generator, effect: float, champion: Sequence[int] | None, n: int, looks: int = 1
) -> list[Evaluation]:
    """Learn from n/2 decisions, then evaluate on later ones, at each of several looks while n come in."""
    learned = rates_by_segment(simulated_log(rng, n // 2, effect, champion))
    later = simulated_log(rng, n, effect, champion, first_ms=10**6)
    reference = UNIFORM if champion is None else CHAMPION
    policies = {
        CHALLENGER: preferring(learned.argmax(axis=1)),
        reference: uniform_policy if champion is None else preferring(champion),
    }
    evaluations = []
    for look in range(1, looks + 1):
        seen = replace(later, rows=later.rows[: n * look // looks])
        predicted = np.clip(learned[segments_of(seen)], 0, 1)
        evaluations.append(evaluate(seen, policies, predicted, reference=reference))
    return evaluations


@pytest.mark.parametrize("champion", [None, WRONG], ids=["no champion", "champion"])
def test_null_experiments_promote_no_more_than_alpha(champion: Sequence[int] | None) -> None:
    """Where no action matters, at most alpha of 100 challengers are ever promoted over two looks, within binomial
    slack; the one-shot rule keeps its rate at its one look."""
    rng, runs, alpha, anytime, one_shot = np.random.default_rng(11), 100, 0.1, 0, 0
    for _ in range(runs):
        evaluations = experiment(rng, 0.0, champion, 500, looks=2)
        rules = GateRules(alpha=alpha, least_effective_rows=20)
        anytime += any(judge(e, rules).verdict is Verdict.PROMOTE for e in evaluations)
        once = judge(evaluations[-1], replace(rules, look=Look.ONE_SHOT))
        one_shot += once.verdict is Verdict.PROMOTE
    most = runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))
    assert anytime <= most
    assert one_shot <= most


def test_a_clear_effect_is_promoted() -> None:
    """The first model of a world with a clear effect is promoted in nearly every run, at one look on 2,000 rows."""
    rng = np.random.default_rng(12)
    verdicts = [judge(experiment(rng, 0.2, None, 2_000)[0]).verdict for _ in range(10)]
    assert verdicts.count(Verdict.PROMOTE) >= 9


def test_a_stale_champion_is_replaced() -> None:
    """After preferences changed, the challenger that learned the new ones replaces the champion that serves."""
    rng = np.random.default_rng(13)
    judgement = judge(experiment(rng, 0.35, WRONG, 4_000)[0])
    assert judgement.verdict is Verdict.PROMOTE
    assert judgement.difference.low > 0
    assert "earns more than the model that serves now" in judgement.sentence
    assert "95%" in judgement.sentence


def _evaluation(effect: float = 0.3, n: int = 2_000, mine: Sequence[int] = RIGHT) -> Evaluation:
    log = simulated_log(np.random.default_rng(14), n, effect)
    return evaluate(log, {CHALLENGER: preferring(mine), CHAMPION: preferring(WRONG)}, np.full(log.logged.shape, 0.15))


def test_a_worse_challenger_is_held() -> None:
    """The verdict names the estimate, and asks for no more decisions."""
    log = simulated_log(np.random.default_rng(15), 2_000, 0.3)
    policies = {CHALLENGER: preferring(WRONG), CHAMPION: preferring(RIGHT)}
    judgement = judge(evaluate(log, policies, np.zeros(log.logged.shape)))
    assert (judgement.verdict, judgement.needed) == (Verdict.HOLD, None)
    assert "estimated difference -" in judgement.reasons[0]


def test_the_same_policy_is_held() -> None:
    """There is nothing to gain from a model that decides as the champion does."""
    judgement = judge(_evaluation(mine=WRONG))
    assert judgement.verdict is Verdict.HOLD
    assert "decides exactly as" in judgement.reasons[0]


@pytest.mark.parametrize(("look", "n"), [(Look.ANYTIME, 150), (Look.ONE_SHOT, 40)])
def test_insufficient_says_how_many_decisions_would_tell(look: Look, n: int) -> None:
    """With that many decisions like these the verdict is PROMOTE; with a tenth fewer it is not."""
    rules = GateRules(look=look)
    evaluation = _evaluation(effect=0.3, n=n)
    judgement = judge(evaluation, replace(rules, least_effective_rows=1))
    assert judgement.verdict is Verdict.INSUFFICIENT
    assert judgement.needed is not None
    assert f"{judgement.needed:,}" in judgement.sentence

    def verdict_at(n: float) -> Verdict:
        terms = evaluation.difference.terms.scaled(n / evaluation.n)
        grown = replace(evaluation, difference=replace(evaluation.difference, terms=terms))
        return judge(grown, replace(rules, least_effective_rows=1)).verdict

    assert verdict_at(judgement.needed + 1) is Verdict.PROMOTE
    assert verdict_at(0.9 * judgement.needed) is Verdict.INSUFFICIENT


def test_a_small_effective_sample_concludes_nothing() -> None:
    """However large the estimate, too few effective rows are INSUFFICIENT, with the rows that would do."""
    judgement = judge(_evaluation(effect=0.8, n=300), GateRules(least_effective_rows=500))
    assert judgement.verdict is Verdict.INSUFFICIENT
    assert judgement.needed is not None
    assert judgement.needed > 300


def test_a_margin_accepts_not_worse() -> None:
    """With a margin, equal policies in effect pass; the sentence says what was proven."""
    evaluation = _evaluation(effect=0.0, n=6_000)
    assert judge(evaluation).verdict is not Verdict.PROMOTE
    judgement = judge(evaluation, GateRules(margin=0.15))
    assert judgement.verdict is Verdict.PROMOTE
    assert "not worse" in judgement.sentence


def test_missing_support_is_refused() -> None:
    """A challenger that prefers an action which could never be drawn is held, however good it looks."""
    log = simulated_log(np.random.default_rng(16), 1_000, 0.3)
    rows = [replace(row, probabilities=(0.0, *(0.2,) * 5), chosen=max(row.chosen, 1)) for row in log.rows]
    blind = LoggedDataset.of(log.program, log.reward, rows)
    hopeful = np.zeros(blind.logged.shape)
    hopeful[:, 0] = 1.0
    policies = {CHALLENGER: first_feasible("a0"), CHAMPION: first_feasible("a1")}
    judgement = judge(evaluate(blind, policies, hopeful))
    assert judgement.verdict is Verdict.HOLD
    assert any(reason.startswith("support of the challenger") for reason in judgement.reasons)
    assert "failed a check" in judgement.sentence


def test_a_log_that_was_not_drawn_as_logged_is_refused() -> None:
    """Greedy draws under logged exploration fail the calibration check, and no estimate is believed."""
    logged = np.tile([0.5, 0.5], (200, 1))
    broken = Calibration.by_action(("a", "b"), logged, np.zeros(200, dtype=np.int64))
    judgement = judge(replace(_evaluation(), facts=LogFacts(broken)))
    assert judgement.verdict is Verdict.HOLD
    assert judgement.reasons[0].startswith("drawn as logged, by action")
    assert judge(_evaluation()).verdict is Verdict.PROMOTE


def test_uneven_activation_is_refused_and_names_the_action() -> None:
    """Where only activated decisions are learned from, an action whose activations go unreported biases every estimate;
    ones with few decisions are not judged."""
    rates = (ActivationRate("a0", 500, 480), ActivationRate("a1", 500, 200), ActivationRate("a2", 20, 0))
    judgement = judge(replace(_evaluation(), facts=LogFacts(activated=rates)))
    assert judgement.verdict is Verdict.HOLD
    assert "a1 40% to a0 96%" in judgement.reasons[0]


def test_decisions_without_a_choice_are_no_evidence() -> None:
    """Thirty draws among three thousand decisions that could be nothing but NO_ACTION are worth thirty."""
    log = simulated_log(np.random.default_rng(14), 3_030, 0.3)
    forced = {"actions": (NO_ACTION_ACTION,), "probabilities": (1.0,), "chosen": 0}
    rows = [row if i < 30 else replace(row, **forced) for i, row in enumerate(log.rows)]  # type: ignore[arg-type]
    mixed = LoggedDataset.of(log.program, log.reward, rows)
    evaluation = evaluate(
        mixed,
        {CHALLENGER: first_feasible("a0"), CHAMPION: first_feasible("a1")},
        np.where(mixed.feasible, 0.15, 0.0),
    )
    assert evaluation.value(CHALLENGER).effective_sample_size <= 30
    judgement = judge(evaluation, GateRules(look=Look.ONE_SHOT))
    assert judgement.verdict is Verdict.INSUFFICIENT
    assert "effective sample size" in judgement.reasons[0]


def test_the_reference_is_the_baseline_where_that_is_served() -> None:
    """A model that beats uniform draws and loses to business as usual is not promoted over it."""
    log = simulated_log(np.random.default_rng(15), 4_000, 0.4)
    usual = [replace(row, baseline=f"a{segment}") for row, segment in zip(log.rows, segments_of(log), strict=True)]
    log = LoggedDataset.of(log.program, log.reward, usual)
    policies = {CHALLENGER: preferring((0, 1, 3)), BASELINE: baseline_policy, UNIFORM: uniform_policy}
    predicted = np.full(log.logged.shape, 0.15)
    assert judge(evaluate(log, policies, predicted, reference=UNIFORM)).verdict is Verdict.PROMOTE
    judgement = judge(evaluate(log, policies, predicted, reference=BASELINE))
    assert judgement.verdict is Verdict.HOLD
    assert "the baseline that serves now" in judgement.sentence


def test_heavy_weights_are_refused() -> None:
    """A weight beyond the accepted one is named with the remedy."""
    judgement = judge(_evaluation(), GateRules(most_weight=2.0))
    assert judgement.verdict is Verdict.HOLD
    assert "exploration floor" in judgement.reasons[0]


def test_rules_without_an_error_rate_are_refused() -> None:
    """Every field out of range is named at once."""
    with pytest.raises(InvalidRequest, match=r"alpha.*margin"):
        GateRules(alpha=0.7, margin=-1)
