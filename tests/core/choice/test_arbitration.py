"""Several programs compete for one customer, and the last slot has a price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.core.choice.arbitration import Competitor, compete, scores
from decision_service.core.choice.last_slot import Due, slot_prices
from decision_service.core.decide import Decision, Entrant, Inputs, decide
from decision_service.core.guardrails.caps import Span
from decision_service.core.guardrails.shrink import Feasible
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.program import (
    NO_ACTION_ACTION,
    Action,
    Arbitration,
    BaselineRule,
    CalendarUnit,
    ContactPolicy,
    Exploration,
    FrequencyCap,
    Group,
    GroupShares,
    Program,
    QuietHours,
    Scope,
)
from decision_service.core.model.record import DecideRequest, FeatureStatus, ModelVersion, ServedFeatures
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import NO_ACTION, Values
from decision_service.core.replay import compare, inputs_of, record_of

NOW = 1_750_000_000_000  # 2025-06-15 17:06:40 in Berlin
HOUR = 3_600_000
RULES = CelRules()
GREEDY = Exploration(epsilon=0.0)
FEATURES = ServedFeatures(FeatureStatus.SERVED, {"timezone": "Europe/Berlin"}, {"v": NOW})


class Table:
    """A model that knows the reward of each action by its id."""

    version = ModelVersion("m", "1", "1")
    feature_service = "s"
    examples = None

    def __init__(self, **rewards: float) -> None:
        self.rewards = rewards

    def encode(self, shared: Values, actions: Sequence[Action]) -> str:
        return "\n".join(["shared", *(a.id for a in actions)])

    def predict(self, encoded: str, n_actions: int) -> npt.NDArray[np.float64]:
        return np.array([self.rewards.get(action, 0.0) for action in encoded.split("\n")[1:]])


def action(name: str, channel: str = "email", **changes: object) -> Action:
    """An action whose message is its id."""
    return Action(name, channel, name, **changes)  # type: ignore[arg-type]


def program(name: str, *actions: Action, **changes: object) -> Program:
    """Everybody in TREATMENT, greedy."""
    made = Program(name, 1, "s", actions, RewardDefinition({"buy": 1.0}, 3600), GroupShares(name), exploration=GREEDY)
    return replace(made, **changes)  # type: ignore[arg-type]


def inputs(*programs: Program, policy: ContactPolicy | None = None, customer: str = "c") -> Inputs:
    """One customer without history, for these programs."""
    request = DecideRequest("r", customer, tuple(p.name for p in programs))
    entrants = tuple(Entrant(p, FEATURES) for p in sorted(programs, key=lambda p: p.name))
    return Inputs(request, entrants, policy or greedy(), CustomerState(), NOW)


def greedy(**changes: object) -> ContactPolicy:
    """A contact policy under which the best program decides."""
    return ContactPolicy(arbitration=Arbitration(exploration=GREEDY), **changes)  # type: ignore[arg-type]


def shares(decision: Decision) -> dict[str, float]:
    """P(program) by name."""
    return {c.program: c.probability for c in decision.candidates}


def test_scores_are_worth_beyond_no_action_in_one_currency() -> None:
    """value × (lever × predicted − predicted of NO_ACTION) − value × price; NO_ACTION is 0."""
    actions = [action("a"), action("b", lever=2.0), NO_ACTION_ACTION]
    found = scores(
        program("p", *actions[:2], value=10.0), actions, np.array([0.5, 0.4, 0.1]), np.array([0.0, 0.2, 0.0])
    )
    assert found == pytest.approx([4.0, 5.0, 0.0])


def test_programs_compete_by_score_within_the_highest_priority() -> None:
    """Those without anything feasible take no part; with nothing anywhere the first decides."""
    rivals = [Competitor(0, 9.0), Competitor(1, 1.0), None, Competitor(1, 2.0)]
    assert compete(rivals, Arbitration(Exploration(epsilon=0.2))) == pytest.approx([0.0, 0.1, 0.0, 0.9])
    assert compete([None, None], Arbitration()) == pytest.approx([1.0, 0.0])


def test_the_best_value_wins_not_the_first_program() -> None:
    """A reward of .2 worth 50 beats one of .9 worth 1; levers and value move the choice."""
    spring = program("spring", action("mail"), value=1.0)
    upsell = program("upsell", action("call", "phone"), value=50.0)
    models = {"spring": Table(mail=0.9), "upsell": Table(call=0.2)}
    assert decide(inputs(spring, upsell), RULES, models, 0.5).drawn == "call"
    muted = replace(upsell, actions=(action("call", "phone", lever=0.05),))
    assert decide(inputs(spring, muted), RULES, models, 0.5).drawn == "mail"


def test_probabilities_over_the_union_are_the_realised_ones() -> None:
    """P(program) × P(action | program), over three programs of different groups and priorities; chi-square."""
    wide = Exploration(epsilon=0.4, floor=0.05)
    programs = (
        program("a", action("a1"), action("a2", "sms"), exploration=wide),
        program("b", action("b1", "push"), action("b2"), exploration=wide, groups=GroupShares("b", 0, 10_000)),
        program("c", action("c1"), baseline=(BaselineRule("c1"),), groups=GroupShares("c", 0, 0, 10_000)),
        program("d", action("d1"), priority=-1),
    )
    policy = ContactPolicy(arbitration=Arbitration(Exploration(epsilon=0.6)))
    models = {"a": Table(a1=0.3, a2=0.1), "b": Table(b1=0.2), "c": Table(c1=0.25)}
    given = inputs(*programs, policy=policy)
    expected = {
        (c.program, o.action): c.probability * o.probability
        for c in decide(given, RULES, models, 0.5).candidates
        for o in c.options
    }
    assert sum(expected.values()) == pytest.approx(1.0)
    assert expected["d", "d1"] == 0.0
    n = 4_000
    drawn = (decide(given, RULES, models, u) for u in np.random.default_rng(5).random(n))
    counts = Counter((d.decided.program, d.drawn) for d in drawn)
    assert {key for key in counts if expected[key] == 0.0} == set()
    statistic = sum((counts[key] - n * p) ** 2 / (n * p) for key, p in expected.items() if p > 0)
    assert statistic < 24.3  # chi-square, 7 degrees of freedom, p = .001


def test_who_competes_does_not_depend_on_the_group() -> None:
    """The same P(program) for a customer in any group but HOLDOUT, so that groups stay comparable."""
    other = program("other", action("o"))
    models = {"p": Table(a=0.3, b=0.1), "other": Table(o=0.2)}
    arbitration = ContactPolicy(arbitration=Arbitration(Exploration(epsilon=0.3)))
    found = []
    for sizes in ((10_000, 0, 0), (0, 10_000, 0), (0, 0, 10_000)):
        mine = program("p", action("a"), action("b"), baseline=(BaselineRule("b"),), groups=GroupShares("x", *sizes))
        found.append(shares(decide(inputs(mine, other, policy=arbitration), RULES, models, 0.1)))
    assert found[0] == found[1] == found[2] == pytest.approx({"p": 0.85, "other": 0.15})


def test_a_held_out_program_leaves_the_customer_to_the_others() -> None:
    """HOLDOUT in one program excludes its actions only."""
    held = program("held", action("h"), groups=GroupShares("h", 0, 0, 0, 10_000), value=100.0)
    decision = decide(
        inputs(held, program("open", action("o"))), RULES, {"open": Table(o=0.2), "held": Table(h=1)}, 0.5
    )
    assert (decision.decided.program, decision.drawn) == ("open", "o")
    assert decision.candidates[0].group is Group.HOLDOUT
    assert shares(decision) == {"held": 0.0, "open": 1.0}


def test_a_single_program_is_decided_as_without_arbitration() -> None:
    """P(program) is 1, and the distribution is that of its own exploration."""
    mine = program("p", action("a"), action("b"), exploration=Exploration(epsilon=0.3))
    decision = decide(inputs(mine), RULES, {"p": Table(a=0.2, b=0.1)}, 0.99)
    assert [o.probability for o in decision.decided.options] == pytest.approx([0.8, 0.1, 0.1])
    assert decision.decided.probability == 1.0


ONE_A_WEEK = FrequencyCap("one_a_week", 1, 7 * 86_400)


def test_a_weak_message_does_not_take_the_last_slot_from_a_strong_one_due_soon() -> None:
    """With a price on last slots nothing is sent today, as tomorrow's message is worth more; without, it is."""
    weak = program("news", action("tips"))
    strong = program("sale", action("launch", starts_at_ms=NOW + 24 * HOUR))
    models = {"news": Table(tips=0.1), "sale": Table(launch=0.5)}
    far = Arbitration(exploration=GREEDY, due_within_s=48 * 3600)
    near = replace(far, due_within_s=3600)
    for arbitration, chosen in ((far, NO_ACTION), (near, "tips"), (replace(far, due_discount=0.1), "tips")):
        policy = ContactPolicy(caps=(ONE_A_WEEK,), arbitration=arbitration)
        assert decide(inputs(weak, strong, policy=policy), RULES, models, 0.5).drawn == chosen
    roomy = ContactPolicy(caps=(replace(ONE_A_WEEK, limit=2),), arbitration=far)
    assert decide(inputs(weak, strong, policy=roomy), RULES, models, 0.5).drawn == "tips"


def test_a_price_set_by_a_program_that_has_nothing_to_offer_yet_replays() -> None:
    """In RANDOM_CONTROL a model is asked for the price alone; the record names it all the same."""
    control = GroupShares("salt", treatment=0, random_control=10_000)
    weak = program("news", action("tips"), groups=control)
    strong = program("sale", action("launch", starts_at_ms=NOW + 24 * HOUR), groups=control)
    models = {"news": Table(tips=0.1), "sale": Table(launch=0.5)}
    policy = ContactPolicy(caps=(ONE_A_WEEK,), arbitration=Arbitration(exploration=GREEDY, due_within_s=48 * 3600))
    record = record_of(offer := inputs(weak, strong, policy=policy), decide(offer, RULES, models, 0.9))
    assert record.candidates[0].score == pytest.approx(0.1 - 0.5)
    named = {c.program: models[c.program] for c in record.candidates if c.model is not None}
    assert set(named) == {"news", "sale"}
    again = decide(inputs_of(record, {"news": weak, "sale": strong}, policy), RULES, named, record.draw)
    assert compare(record, again).identical


def test_what_leaves_quiet_hours_soon_is_due_and_what_is_not_eligible_is_not() -> None:
    """An SMS resting until morning prices the slot; for customers whom its rule leaves out it does not."""
    quiet = QuietHours("rest", 17 * 60, 18 * 60, frozenset({"sms"}))
    policy = ContactPolicy(
        caps=(ONE_A_WEEK,), quiet_hours=(quiet,), arbitration=Arbitration(GREEDY, due_within_s=24 * 3600)
    )
    models = {"p": Table(mail=0.1, sms=0.4)}
    for rule, chosen in ((None, NO_ACTION), ("has(customer.vip) && customer.vip", "mail")):
        mine = program("p", action("mail"), action("sms", "sms", eligible=rule))
        assert decide(inputs(mine, policy=policy), RULES, models, 0.5).drawn == chosen


def test_a_slot_that_is_free_again_when_something_is_due_costs_nothing() -> None:
    """One message a day: tomorrow's has tomorrow's slot, whatever is sent today; with a gap of two days it has not."""
    strong = program("sale", action("launch", starts_at_ms=NOW + 24 * HOUR))
    models = {"news": Table(tips=0.1), "sale": Table(launch=0.5)}
    for cap, chosen in (
        (FrequencyCap("one_a_day", 1, calendar=CalendarUnit.DAY), "tips"),
        (FrequencyCap("gap", 1, 12 * 3600), "tips"),
        (FrequencyCap("gap", 1, 48 * 3600), NO_ACTION),
    ):
        policy = ContactPolicy(caps=(cap,), arbitration=Arbitration(exploration=GREEDY, due_within_s=48 * 3600))
        given = inputs(program("news", action("tips")), strong, policy=replace(policy, unknown_timezone="UTC"))
        assert decide(given, RULES, models, 0.5).drawn == chosen


def test_what_will_be_over_when_it_could_start_is_not_due() -> None:
    """An offer that ends while its channel rests leaves the slot to what can be sent now."""
    quiet = QuietHours("rest", 17 * 60, 18 * 60, frozenset({"sms"}))
    policy = ContactPolicy(
        caps=(ONE_A_WEEK,), quiet_hours=(quiet,), arbitration=Arbitration(GREEDY, due_within_s=24 * 3600)
    )
    models = {"p": Table(mail=0.1, sms=0.4)}
    for ends_at_ms, chosen in ((NOW + 1000, "mail"), (NOW + 9 * HOUR, NO_ACTION)):
        mine = program("p", action("mail"), action("sms", "sms", ends_at_ms=ends_at_ms))
        assert decide(inputs(mine, policy=policy), RULES, models, 0.5).drawn == chosen


def test_only_due_actions_under_the_same_cap_count_and_at_their_score() -> None:
    """The price is the best score among those that a last-slot cap binds, never negative."""
    mail, sms = action("mail"), action("sms", "sms")
    mine = program("p", mail, sms)
    now, later = Span(NOW, NOW + 900_000), Span(NOW + HOUR, NOW + HOUR + 900_000)
    due = [Due(mine, sms, later, 3.0), Due(mine, action("later"), later, 2.0), Due(mine, action("bad"), later, -1.0)]
    cap = replace(ONE_A_WEEK, scope=Scope(channel="email"))

    def prices(caps: list[FrequencyCap], due: list[Due]) -> list[float]:
        return slot_prices(mine, [Feasible(mail, now, False, last_slots=tuple(caps))], due, (), "UTC", NOW)

    assert prices([cap], due) == [2.0]
    assert prices([cap, ONE_A_WEEK], due) == [3.0]
    assert prices([], due) == prices([cap], due[:1]) == prices([cap], due[2:]) == [0.0]


def test_a_record_of_several_programs_replays_bit_for_bit() -> None:
    """From its own inputs; another draw is noticed."""
    programs = {n: program(n, action(f"{n}1"), action(f"{n}2", "sms"), exploration=Exploration()) for n in "abc"}
    given = inputs(*programs.values(), policy=ContactPolicy(arbitration=Arbitration(Exploration(epsilon=0.5))))
    models = {n: Table(**{f"{n}1": 0.1 * i, f"{n}2": 0.05}) for i, n in enumerate("abc")}
    for draw in (0.05, 0.4, 0.77, 0.99):
        record = record_of(given, decide(given, RULES, models, draw))
        again = inputs_of(record, programs, given.policy)
        assert compare(record, decide(again, RULES, models, record.draw)).identical
        assert record.probability == pytest.approx(
            record.program_probability * next(o.probability for o in record.options if o.action == record.chosen)
        )
        others = (decide(again, RULES, models, u) for u in (0.001, 0.6, 0.999))
        assert not compare(record, next(d for d in others if d.drawn != record.drawn)).identical
