"""The off-policy estimate against known truths, and what it refuses to estimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.core.model.errors import NotFound
from decision_service.core.model.program import Action, ContactPolicy, Exploration, Program
from decision_service.core.model.record import ModelVersion
from decision_service.core.what_if.simulate import Scorer
from decision_service.simulation.proposal import Proposal
from decision_service.simulation.report import Estimate, SimulationReport
from decision_service.simulation.run import simulate
from tests.support.lived import PROGRAM, Shop, indifferent
from tests.support.logged import T0

FOREVER_MS = 2**50
EMAIL, PUSH = PROGRAM.actions


class Published:
    """The shop's program, and no contact policy."""

    def __init__(self, program: Program = PROGRAM) -> None:
        self._program = program

    def program_at(self, name: str, version: int) -> Program:
        """The one there is."""
        assert (name, version) == ("spring", 1)
        return self._program

    def policy_at(self, version: int) -> ContactPolicy:
        """The empty one."""
        return ContactPolicy()


def scorer(model: ModelVersion) -> Scorer:
    """There are no models."""
    raise NotFound("model version", model.name)


def proposed(shop: Shop, program: Program, until_ms: int = FOREVER_MS) -> SimulationReport:
    """The report on a program, as it is checked: of no version yet."""
    proposal = Proposal(replace(program, version=0), None, T0, until_ms)
    published = Published(shop.program)
    return simulate(proposal, shop.warehouse, lambda _: published, CelRules(), scorer, lambda *_: None)


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Uniform draws among e-mail, push and nothing. A visit comes of the message that a customer likes with .8, of the
    other with .2, of nothing with .1: on average .5, .5 and .1."""
    shop = Shop(seed=3)
    shop.live(1_500)
    return shop


def _complete(estimate: Estimate) -> Estimate:
    assert estimate.refused == ()
    return estimate


def test_a_program_with_less_to_say_earns_what_the_truth_says(shop: Shop) -> None:
    """Without push: half the time an e-mail, half the time nothing, so .3 instead of .367; with certainty less."""
    report = proposed(shop, replace(PROGRAM, actions=(EMAIL,)))
    estimate = _complete(report.estimate)
    assert estimate.today is not None
    assert estimate.proposed is not None
    assert estimate.difference is not None
    assert estimate.snips is not None
    assert 0.3 in estimate.proposed
    assert 0.3 in estimate.snips
    assert 0.3 - 1.1 / 3 in estimate.difference
    assert estimate.difference.high < 0
    assert estimate.proposed.mean == pytest.approx(estimate.today.mean + estimate.difference.mean)
    # By hand: rows that chose e-mail or nothing weigh (1/2)/(1/3), the others nothing.
    kept = shop.warehouse.query("SELECT r.reward FROM rewards r WHERE r.action <> 'push_b'").column(0).to_numpy()
    assert estimate.snips.mean == pytest.approx(float(kept.mean()))
    assert estimate.mean_weight == pytest.approx(1.5 * len(kept) / 1_500)
    assert estimate.effective_sample_size == pytest.approx(len(kept))
    assert (estimate.largest_weight, estimate.unsupported) == (pytest.approx(1.5), 0)


def test_a_rule_that_finds_who_likes_what_is_found_to_earn_more(shop: Shop) -> None:
    """E-mail to segment x and push to y alone: each message is then liked with .8, so .45 on average."""
    actions = (replace(EMAIL, eligible='customer.segment == "x"'), replace(PUSH, eligible='customer.segment == "y"'))
    estimate = _complete(proposed(shop, replace(PROGRAM, actions=actions)).estimate)
    assert estimate.difference is not None
    assert estimate.proposed is not None
    assert 0.45 in estimate.proposed
    assert estimate.difference.low > 0


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of eight logs of two hundred decisions, hardly one misses a truth that 95 % intervals should contain."""
    covered = []
    for seed in range(8):
        shop = Shop(seed=100 + seed)
        shop.live(200)
        estimate = _complete(proposed(shop, replace(PROGRAM, actions=(EMAIL,))).estimate)
        assert estimate.proposed is not None
        covered.append(0.3 in estimate.proposed)
    assert sum(covered) >= 6  # with a probability of more than .99, if they do


def test_where_nothing_makes_a_difference_none_is_found() -> None:
    """And the interval says how much it might be after all."""
    shop = Shop(seed=11)
    shop.live(400, taste=indifferent)
    estimate = _complete(proposed(shop, replace(PROGRAM, actions=(PUSH,))).estimate)
    assert estimate.difference is not None
    assert 0 in estimate.difference


def test_an_action_that_never_could_be_chosen_is_not_estimated(shop: Shop) -> None:
    """It says which, how much of the proposal it is, why it could not, and what would help."""
    text = Action("sms_b", "sms", "b")
    estimate = proposed(shop, replace(PROGRAM, actions=(EMAIL, PUSH, text))).estimate
    assert estimate.unsupported == pytest.approx(0.25)
    assert (estimate.proposed, estimate.difference, estimate.snips) == (None, None, None)
    assert estimate.today is not None
    [refusal] = estimate.refused
    assert refusal.startswith("25.0% of the proposed probability lies on actions that the logged decisions could not")
    assert "sms_b has 100% of it, the program did not have it" in refusal
    assert "small share of customers first" in refusal


def test_an_action_that_a_guardrail_kept_out_is_named_with_the_guardrail() -> None:
    """Lifting it leads where the log has never been."""
    strict = replace(PROGRAM, actions=(EMAIL, replace(PUSH, eligible="customer.spend > 1000000.0")))
    shop = Shop(strict, seed=4)
    shop.live(300)
    [refusal] = proposed(shop, PROGRAM).estimate.refused
    assert "push_b has 100% of it, mostly INELIGIBLE customer.spend > 1000000.0" in refusal


def test_a_little_mass_without_support_only_widens_the_interval(shop: Shop) -> None:
    """By as much as the rewards of what is not known could matter."""
    rare = Action("sms_b", "sms", "b", eligible="customer.spend > 2000.0")  # about one in 90, at a quarter each
    with_rare = proposed(shop, replace(PROGRAM, actions=(EMAIL, PUSH, rare))).estimate
    assert with_rare.unsupported is not None
    assert 0 < with_rare.unsupported < 0.01
    without = proposed(shop, PROGRAM).estimate
    assert with_rare.difference is not None
    assert without.difference is not None
    wide = with_rare.difference.high - with_rare.difference.low
    assert wide >= without.difference.high - without.difference.low + 2 * with_rare.unsupported


def test_too_few_decisions_are_not_estimated_from(shop: Shop) -> None:
    """It says what they are worth, and what is needed."""
    [refusal] = proposed(shop, replace(PROGRAM, actions=(EMAIL,)), T0 + 60_500).estimate.refused
    assert "the 60 matured decisions are worth" in refusal
    assert "100 are needed" in refusal


def test_what_has_not_matured_is_not_estimated_from() -> None:
    """The reward window has to pass, and the outcomes to be joined."""
    shop = Shop(seed=5)
    shop.live(50)
    shop.warehouse.replace("rewards", shop.warehouse.query("SELECT * FROM rewards WHERE FALSE"))
    estimate = proposed(shop, PROGRAM).estimate
    assert estimate.rows == 0
    [refusal] = estimate.refused
    assert "none of the 50 decisions that 'spring' drew has matured" in refusal
    assert "run `nba join`" in refusal


def test_a_log_that_contradicts_its_probabilities_is_refused(shop: Shop) -> None:
    """Here every decision for push has got lost, so that weights average 1.5 where they should average 1."""
    biased = Shop(seed=3)
    biased.warehouse = MemoryWarehouse()
    for table in ("decisions", "rewards", "activations"):
        rows = shop.warehouse.query(f"SELECT * FROM {table}")
        if table != "activations":
            rows = rows.filter(np.array(rows.column("action").to_pylist()) != "push_b")
        biased.warehouse.append(table, rows)
    estimate = proposed(biased, replace(PROGRAM, actions=(EMAIL,))).estimate
    assert estimate.mean_weight == pytest.approx(1.5)
    [refusal] = estimate.refused
    assert "the importance weights average 1.500 where 1 is expected" in refusal


def test_a_program_that_drew_nothing_has_nothing_to_learn_from() -> None:
    """Business as usual is no draw: only what was drawn says what something else would have earned."""
    usual = replace(PROGRAM, groups=replace(PROGRAM.groups, treatment=0, business_as_usual=10_000))
    shop = Shop(usual, seed=6)
    shop.live(50)
    [refusal] = proposed(shop, PROGRAM).estimate.refused
    assert "'spring' drew no decision in this period that could be learned from" in refusal


def test_a_new_reward_definition_is_estimated_in_the_old_one(shop: Shop) -> None:
    """With a note that says so: rewards of the new one exist once it is published and joined."""
    other = replace(PROGRAM, reward=replace(PROGRAM.reward, outcomes={"purchase": 1.0}, version="2"))
    report = proposed(shop, other)
    assert _complete(report.estimate).reward_version == "1"
    assert any("the estimate is in the reward of version 1" in note for note in report.notes)


def test_exploration_without_a_model_changes_nothing(shop: Shop) -> None:
    """What the decision was drawn from decides, not what the document says of a model that is not there."""
    report = proposed(shop, replace(PROGRAM, exploration=Exploration(epsilon=0.9)))
    assert _complete(report.estimate).difference is not None
    assert report.estimate.difference is not None
    assert (report.estimate.difference.low, report.estimate.difference.high) == (0, 0)
    assert report.other_choice == 0
