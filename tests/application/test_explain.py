"""Explain on real models: what spoke for the action, who competed, what levers did; in values and in words."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from decision_service.adapters import vw
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.client.answers import explanation_from_pb
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.choice.encoding import ENCODER_VERSION, encode, label
from decision_service.core.explanation.explain import MOST_CONTRIBUTIONS_TOLD
from decision_service.core.model.program import Action, Program
from decision_service.core.model.record import DecideRequest, ModelVersion
from decision_service.core.model.values import NO_ACTION
from decision_service.rpc.answers import fill_explanation
from tests.support.served import AUDIT, PROGRAM, World

NOISE = tuple(f"noise_{i}" for i in range(10))
INPUTS = ("age", "basket", *NOISE)
OTHER = """
name: q
features: {service: s}
actions:
  - {id: letter, channel: email, message: hello, lever: 0.5}
  - {id: ring, channel: sms, message: hello, eligible: customer.age > 50}
value: 10
lease: 10m
reward: {outcomes: {purchase: 1}, window: 1d}
"""


def model(program: Program, likes: str) -> vw.VwScorer:
    """Fitted to random decisions in which customers with a large basket buy after `likes`, and nobody else does."""
    source = random.Random(1)
    actions: tuple[Action, ...] = program.all_actions
    texts = []
    for _ in range(600):
        shared = {"age": source.randint(18, 80), "basket": source.choice([0.0, 100.0])}
        chosen = source.randrange(len(actions))
        reward = float(actions[chosen].id == likes and shared["basket"] > 50)
        texts.append(label(encode(INPUTS, shared, actions), chosen, -reward, 1 / len(actions)))
    version = ModelVersion(f"nba-{program.name}", "4", ENCODER_VERSION)
    return vw.VwScorer.of(vw.fit(texts, "-q UA -l 0.5"), version, "s", INPUTS)


@pytest.fixture(scope="module")
def models() -> dict[str, vw.VwScorer]:
    """One for each program; versions are immutable, so every world may have them."""
    world = World()
    world.policies.publish_program(OTHER, AUDIT)
    programs = world.policies.current().programs
    return {"p": model(programs["p"], "mail"), "q": model(programs["q"], "letter")}


@pytest.fixture
def world(models: dict[str, vw.VwScorer]) -> World:
    """Two programs with models; the best is drawn unless `draws` says otherwise."""
    made = World(catalogue=MemoryCatalogue(models))
    for text in (PROGRAM, OTHER):
        made.policies.publish_program(text + "exploration: {epsilon: 0.1}\n", AUDIT)
    return made


def test_what_was_planted_speaks_for_the_action(world: World) -> None:
    """The large basket comes first, with its value as sent; the parts sum to the difference in predicted reward."""
    record = world.decide(context={"basket": 100.0})
    explanation = world.inquiry.explain(record.decision_id)
    rewards = {o.action: o.predicted_reward or 0.0 for o in record.options}
    assert record.chosen == "mail"
    assert explanation.attribution.runner_up == max(("text", NO_ACTION), key=rewards.__getitem__)
    first = explanation.attribution.contributions[0]
    assert (first.input, first.value) == ("basket", "100")
    assert first.amount > 0.5
    total = sum(part.amount for part in explanation.attribution.contributions)
    assert total == pytest.approx(rewards["mail"] - rewards[explanation.attribution.runner_up], abs=1e-5)
    assert (
        f"What speaks for mail rather than {explanation.attribution.runner_up}: predicted reward {total:+.4g}"
        in explanation.text
    )
    assert f"  {first.amount:+.4g}  basket = 100" in explanation.text
    assert "the model nba-p version 4, the most probable one" in explanation.text
    assert not explanation.is_exploration
    assert explanation.group_because == {"p": "bucket 8591"}


def test_the_text_tells_the_largest_parts_and_sums_up_the_rest(world: World) -> None:
    """Ten inputs that are always missing weigh little each."""
    explanation = world.inquiry.explain(world.decide(context={"basket": 100.0}).decision_id)
    rest = explanation.attribution.contributions[MOST_CONTRIBUTIONS_TOLD:]
    assert rest
    assert f"  {sum(part.amount for part in rest):+.4g}  {len(rest)} others" in explanation.text


def test_exploration_is_said(world: World) -> None:
    """A draw in the tail gives NO_ACTION; the parts then speak against it."""
    world.draws = [0.9999]
    record = world.decide(context={"basket": 100.0})
    explanation = world.inquiry.explain(record.decision_id)
    assert (record.chosen, explanation.attribution.runner_up) == (NO_ACTION, "mail")
    assert explanation.is_exploration
    assert "as exploration (draw 0.999900)" in explanation.text
    assert explanation.attribution.contributions[0].amount < -0.5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: replace(r, encoding_digest="0" * 16), "no longer encodes to what the model was shown"),
        (lambda r: replace(r, model=replace(r.model, version="9")), "the model cannot be loaded: .*nba-p 9"),
    ],
)
def test_contributions_that_cannot_be_computed_are_not_made_up(world: World, change, why: str) -> None:  # type: ignore[no-untyped-def]
    """Another text than the model was shown, or another model, would explain another decision."""
    explanation = world.inquiry.explain_record(change(world.decide(context={"basket": 100.0})))
    assert (explanation.attribution.runner_up, explanation.attribution.contributions) == ("", ())
    assert re.search(why, explanation.attribution.missing)
    [line] = [line for line in explanation.text.split("\n") if line.startswith("What speaks for mail cannot be said")]
    assert re.search(why, line)


def test_every_program_that_competed_is_explained_the_one_that_decided_first(world: World) -> None:
    """P(program), scores and priority; each program's own funnel; the answer's probability as a product."""
    world.draws = [0.5]
    record = world.decide(programs=("p", "q"), context={"basket": 100.0})
    explanation = world.inquiry.explain(record.decision_id)
    assert record.program == "q"
    assert list(dict.fromkeys(step.program for step in explanation.funnel)) == ["q", "p"]
    assert {(s.program, s.action) for s in explanation.funnel if not s.kept} == {("q", "ring")}
    [chosen] = [step for step in explanation.funnel if step.chosen]
    assert (chosen.program, chosen.action) == ("q", "letter")
    text = explanation.text
    given = chosen.probability
    assert f"{record.probability:.4f} = {record.program_probability:.4f} that q decides × {given:.4f}" in text
    for candidate in record.candidates:
        assert f"decides with probability {candidate.probability:.4f}, score {candidate.score:.4g}, priority 0" in text
    assert text.index("Actions of q version") < text.index("Actions of p version")
    assert "Features of p: those of q" in text


def test_a_program_that_decided_as_exploration_is_said(world: World) -> None:
    """The less probable one, drawn by the first part of the draw's range."""
    record = world.decide(programs=("p", "q"), context={"basket": 100.0})
    explanation = world.inquiry.explain(record.decision_id)
    assert (record.program, record.program_probability) == ("p", pytest.approx(0.05))
    assert explanation.is_exploration
    assert "p decided as exploration (draw 0.000000)" in explanation.text


def test_what_shares_do_shows_in_probabilities_before_and_after(world: World) -> None:
    """The favourite is held to 30 %; what it would have had stands beside it."""
    world.policies.publish_program(OTHER.replace("lever: 0.5", "lever: 0.5, max_share: 30%"), AUDIT)
    record = world.decide(programs=("q",), context={"basket": 100.0})
    explanation = world.inquiry.explain(record.decision_id)
    [letter] = [step for step in explanation.funnel if step.action == "letter"]
    [option] = [option for option in record.options if option.action == "letter"]
    assert (letter.base_probability, letter.probability) == pytest.approx((0.95, 0.3))
    assert letter.score == option.score
    assert "probability 0.3000 (before levers, prices, shares and floor 0.9500)" in explanation.text


def test_a_dry_run_is_explained_without_leaving_a_trace(world: World) -> None:
    """As a decision, at another time, with everything but an id."""
    at_ms = world.clock.now_ms() + 3_600_000
    asked = DecideRequest("r", "c", ("p", "q"), {"basket": 100.0}, dry_run=True, at_ms=at_ms)
    explanation = world.service.decide(asked).explanation
    assert explanation is not None
    assert "decision     a dry run: nothing was reserved or logged" in explanation.text
    assert explanation.attribution.runner_up
    assert explanation.record.decided_at_ms == at_ms
    assert world.ledger.backlog() == 0


def test_an_explanation_survives_the_api(world: World) -> None:
    """Message and back, every field, with competing programs, exclusions and contributions."""
    record = world.decide(programs=("p", "q"), context={"basket": 100.0})
    explanation = world.inquiry.explain(record.decision_id)
    message = pb.ExplainDecisionResponse()
    fill_explanation(message, explanation)
    again = explanation_from_pb(pb.ExplainDecisionResponse.FromString(message.SerializeToString()))
    assert again == explanation


def test_features_are_told_with_their_age_and_what_is_stale(world: World) -> None:
    """By view; stale ones are named, and missing values listed."""
    world.clock.advance(1800)
    text = world.inquiry.explain(world.decide("r1").decision_id).text
    assert "Features: served (v 30.0 min old)" in text
    assert "  age = 40" in text
    world.clock.advance(7200)
    text = world.inquiry.explain(world.decide("r2").decision_id).text
    assert "stale, so not known any more: v" in text
    assert "could not be read: age, timezone" in text


def test_what_a_contact_takes_is_told_in_contacts_and_money() -> None:
    """A decision reserves and takes; a dry run would."""
    world = World()
    document = PROGRAM.replace("name: p", "name: r").replace("hello, payload", "hello, cost: 0.002, payload")
    budgets = "budgets: [{id: some, limit: 5, per: day}, {id: cents, money: 0.10, per: week}]\n"
    world.policies.publish_program(document + budgets, AUDIT)
    decided = world.inquiry.explain(world.decide(programs=("r",)).decision_id).text
    assert "\n  reserved     until " in decided
    assert "\n  takes        1 of budget 'some' of program 'r'\n" in decided
    assert "\n  takes        0.002 of budget 'cents' of program 'r'\n" in decided
    dry = world.inquiry.explain_record(world.decide("s", customer="d", programs=("r",), dry_run=True)).text
    assert "\n  would hold   until " in dry
    assert "\n  would take   1 of budget 'some' of program 'r'\n" in dry
