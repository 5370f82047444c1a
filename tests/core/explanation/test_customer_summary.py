"""Where a customer stands."""

from __future__ import annotations

from decision_service.core.explanation.customer_summary import GroupIn, PauseIn, standing
from decision_service.core.guardrails.pauses import counters
from decision_service.core.model.customer import CustomerState, EventCounter
from decision_service.core.model.program import (
    Action,
    ContactPolicy,
    GlobalHoldout,
    Group,
    GroupShares,
    PauseOf,
    PauseRule,
    Program,
)
from decision_service.core.model.record import Outcome
from decision_service.core.model.reward import RewardDefinition

NOW = 1_700_000_000_000
DAY = 86_400_000
EMAIL = Action("email_a", "email", "a", frozenset({"sale"}))
PUSH = Action("push_b", "push", "b", frozenset({"sale"}))
SMS = Action("sms_c", "sms", "c")


def program(name: str, *actions: Action, **shares: int) -> Program:
    """One of these actions, everybody in TREATMENT unless shares say otherwise."""
    groups = GroupShares(salt=name, **(shares or {"treatment": 10_000}))
    return Program(name, 1, "s", actions, RewardDefinition({"visit": 1}, 3_600), groups)


def pause(name: str, pauses: PauseOf, for_s: int) -> PauseRule:
    """One outcome of that name is enough."""
    return PauseRule(name, name, 1, 86_400, for_s, pauses)


def test_groups_are_those_of_every_program_by_name() -> None:
    """Each program has its own; the global holdout comes before all of them."""
    programs = {p.name: p for p in (program("b", SMS, treatment=0, holdout=10_000), program("a", EMAIL))}
    found = standing("c", CustomerState(), programs, ContactPolicy(), NOW).groups
    assert [(g.program, g.group) for g in found] == [("a", Group.TREATMENT), ("b", Group.HOLDOUT)]
    assert all(g.because.startswith("bucket ") for g in found)
    everybody = ContactPolicy(holdout=GlobalHoldout(10_000))
    assert standing("c", CustomerState(), programs, everybody, NOW).groups == (
        GroupIn("a", Group.HOLDOUT, "global holdout"),
        GroupIn("b", Group.HOLDOUT, "global holdout"),
    )


def test_pauses_name_the_actions_that_rest() -> None:
    """By program and rule, and of two rules the one that lasts longer; what is over is not there."""
    tag, channel = pause("tag", PauseOf.TAG, 7 * 86_400), pause("channel", PauseOf.CHANNEL, 30 * 86_400)
    policy = ContactPolicy(pauses=(tag, channel))
    events: dict[str, EventCounter] = {"tag": EventCounter(1, (NOW,))}
    for rule in policy.pauses:
        outcome = Outcome("o", "c", rule.outcome, NOW, NOW)
        events |= {name: EventCounter(1, (NOW,)) for name in counters(policy.pauses, outcome, "p", PUSH)}
    programs = {"p": program("p", EMAIL, PUSH, SMS), "q": program("q", SMS)}
    state = CustomerState(events=events)
    assert standing("c", state, programs, policy, NOW).pauses == (
        PauseIn("tag", NOW + 7 * DAY, "p", ("email_a",)),
        PauseIn("channel", NOW + 30 * DAY, "p", ("push_b",)),
    )
    assert [p.rule for p in standing("c", state, programs, policy, NOW + 8 * DAY).pauses] == ["channel"]
    assert standing("c", state, programs, policy, NOW + 31 * DAY).pauses == ()
    assert standing("c", state, programs, ContactPolicy(), NOW).pauses == ()
