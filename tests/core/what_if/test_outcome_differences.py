"""What a proposed contact policy makes of outcomes: where it differs from the one in force, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.core.guardrails.pauses import paused
from decision_service.core.model.customer import ALL_CHANNELS, CustomerState, EventCounter, Suppression
from decision_service.core.model.program import Action, ContactPolicy, PauseOf, PauseRule, SuppressOn
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord, Outcome
from decision_service.core.what_if.outcome_differences import OtherEffects
from tests.support.logged import T0, decision

DAY_MS = 86_400_000
MAIL, TEXT = Action("mail", "email", "m"), Action("text", "sms", "t")
UNSUBSCRIBE, COMPLAINT = SuppressOn("unsubscribe"), SuppressOn("complaint", all_channels=True, for_s=86_400)
PAUSE = PauseRule("often", "dismiss", 2, 86_400, 2 * 86_400, PauseOf.CHANNEL)
PUBLISHED = ContactPolicy(version=3, suppress_on=(UNSUBSCRIBE,))


def outcome(name: str, at_ms: int = T0, channel: str = "email") -> Outcome:
    """Received when it occurred."""
    return Outcome(f"{name}-{at_ms}", "c1", name, at_ms, at_ms, channel=channel)


def at(at_ms: int) -> DecisionRecord:
    """A decision of that time."""
    return replace(decision("d"), decided_at_ms=at_ms)


def by_outcome(name: str, channel: str, since_ms: int = T0, until_ms: int | None = None) -> Suppression:
    """As the service puts it in force."""
    return Suppression(channel, Reason.SUPPRESSED_BY_OUTCOME, since_ms, until_ms, name)


def test_the_same_rules_leave_the_state_alone() -> None:
    """The very object, whatever else the policies differ in."""
    effects = OtherEffects(replace(PUBLISHED, version=0, timezone_feature="tz"), T0)
    effects.add(outcome("unsubscribe"), "p", MAIL)
    state = CustomerState(suppressions=())  # as somebody lifted it since
    assert effects.state(state, at(T0 + 1), PUBLISHED) is state


def test_a_new_rule_suppresses_from_the_outcome_on() -> None:
    """As of when the service heard of it, and not before the proposal is taken to be in force."""
    effects = OtherEffects(ContactPolicy(suppress_on=(UNSUBSCRIBE, COMPLAINT)), T0)
    effects.add(outcome("complaint", T0 - 1), None, None)
    effects.add(outcome("complaint", T0 + 5), None, None)
    state = CustomerState()
    assert effects.state(state, at(T0 + 4), PUBLISHED) is state
    assert effects.state(state, at(T0 + 5), PUBLISHED).suppressions == (
        by_outcome("complaint", ALL_CHANNELS, T0 + 5, T0 + 5 + DAY_MS),
    )


def test_a_rule_that_goes_takes_its_suppressions_with_it() -> None:
    """Those of the period; what stood before, what another rule made, and what somebody put in force by hand stay."""
    effects = OtherEffects(ContactPolicy(suppress_on=(COMPLAINT,)), T0)
    published = ContactPolicy(version=3, suppress_on=(UNSUBSCRIBE, COMPLAINT))
    by_hand = Suppression("push", Reason.SUPPRESSED, T0 + 1)
    kept = (
        by_outcome("complaint", ALL_CHANNELS, T0 + 2, T0 + DAY_MS),
        by_hand,
        by_outcome("unsubscribe", "sms", T0 - 1),
    )
    state = CustomerState(suppressions=(*kept, by_outcome("unsubscribe", "email", T0 + 1)))
    assert set(effects.state(state, at(T0 + 9), published).suppressions) == set(kept)


def test_a_longer_rule_replaces_what_the_shorter_one_made() -> None:
    """Of two on one channel the one that holds longer stays, as in the ledger."""
    longer = replace(COMPLAINT, for_s=30 * 86_400)
    effects = OtherEffects(ContactPolicy(suppress_on=(longer,)), T0)
    effects.add(outcome("complaint", T0 + 1), None, None)
    effects.add(outcome("complaint", T0), None, None)
    state = CustomerState(suppressions=(by_outcome("complaint", ALL_CHANNELS, T0 + 1, T0 + 1 + DAY_MS),))
    [only] = effects.state(state, at(T0 + 9), ContactPolicy(version=3, suppress_on=(COMPLAINT,))).suppressions
    assert only == by_outcome("complaint", ALL_CHANNELS, T0 + 1, T0 + 1 + 30 * DAY_MS)


def test_a_new_pause_counts_outcomes_of_before_the_period_too() -> None:
    """Two within a day pause the channel; one of them was before."""
    policy = ContactPolicy(pauses=(PAUSE,))
    effects = OtherEffects(policy, T0)
    effects.add(outcome("dismiss", T0 - 1000), "p", MAIL)
    effects.add(outcome("dismiss", T0 + 1000), "p", MAIL)
    once = effects.state(CustomerState(), at(T0), ContactPolicy(version=3))
    assert paused(policy.pauses, "p", MAIL, once.events, T0) is None
    twice = effects.state(CustomerState(), at(T0 + 1000), ContactPolicy(version=3))
    assert paused(policy.pauses, "p", MAIL, twice.events, T0 + 1000) == (PAUSE, T0 + 1000 + 2 * DAY_MS)
    assert paused(policy.pauses, "p", TEXT, twice.events, T0 + 1000) is None


@pytest.mark.parametrize("within_s", [86_400, 3_600])
def test_a_pause_that_was_counted_already_goes_by_the_log(within_s: int) -> None:
    """Whatever its other numbers: the counter is there, and is complete."""
    known = ContactPolicy(version=3, pauses=(PAUSE,))
    effects = OtherEffects(ContactPolicy(pauses=(replace(PAUSE, id="new", within_s=within_s),)), T0)
    effects.add(outcome("dismiss", T0), "p", MAIL)
    state = CustomerState(events={"dismiss": EventCounter(1, (T0,))})
    assert effects.state(state, at(T0 + 1), known) is state
