"""Pauses: what an outcome is counted under, and when that brings a rule into force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.guardrails.pauses import counters, counting, paused
from decision_service.core.model.customer import EventCounter
from decision_service.core.model.program import NO_ACTION_ACTION, Action, PauseOf, PauseRule
from decision_service.core.model.record import Outcome

DAY = 86_400_000
NOW = 1_700_000_000_000
PROMO = Action("promo", "email", "spring", frozenset({"sale", "short"}))
NEWS = Action("news", "email", "news", frozenset({"sale"}))
SMS = Action("sms", "sms", "spring", frozenset({"text"}))


def rule(pauses: PauseOf, count: int = 3, outcome: str = "ignored") -> PauseRule:
    """So many within a week pause for two weeks."""
    return PauseRule(f"{pauses.value}-{count}", outcome, count, 7 * 86_400, 14 * 86_400, pauses)


def outcome(at_ms: int = NOW, name: str = "ignored", channel: str = "") -> Outcome:
    """An outcome."""
    return Outcome("o", "c", name, at_ms, at_ms, channel=channel)


def events(
    rules: list[PauseRule], times_ms: list[int], program: str | None = "p", action: Action | None = PROMO
) -> dict[str, EventCounter]:
    """What the ledger counts of such outcomes of one action."""
    names = counters(rules, outcome(), program, action)
    return {name: EventCounter(len(times_ms), tuple(sorted(times_ms, reverse=True))) for name in names}


@pytest.mark.parametrize(
    ("pauses", "stopped"),
    [
        (PauseOf.ACTION, {"promo"}),
        (PauseOf.TAG, {"promo", "news"}),
        (PauseOf.CHANNEL, {"promo", "news"}),
        (PauseOf.ALL, {"promo", "news", "sms"}),
    ],
)
def test_a_rule_pauses_what_they_were_outcomes_of(pauses: PauseOf, stopped: set[str]) -> None:
    """Three ignored messages of an action stop it, its tags, its channel or everything."""
    rules = [rule(pauses)]
    known = events(rules, [NOW - DAY, NOW - 2 * DAY, NOW])
    verdicts = {a.id: paused(rules, "p", a, known, NOW) for a in (PROMO, NEWS, SMS)}
    assert {action for action, verdict in verdicts.items() if verdict} == stopped
    assert verdicts["promo"] == (rules[0], NOW + 14 * DAY)


def test_an_action_of_another_program_is_another_action() -> None:
    """The same id in two programs is two actions."""
    rules = [rule(PauseOf.ACTION, 1)]
    assert paused(rules, "q", PROMO, events(rules, [NOW]), NOW) is None


def test_an_outcome_of_nothing_known_concerns_its_channel_and_all_contact() -> None:
    """Without its decision an outcome still counts for the channel that it names; of others nothing is counted."""
    rules = [rule(pauses) for pauses in PauseOf]
    assert len(counters(rules, outcome(channel="sms"), None, None)) == 2
    assert len(counters(rules, outcome(), None, None)) == 1
    assert counters(rules, outcome(name="visit"), "p", PROMO) == ()
    assert len(counters(rules, outcome(), "p", PROMO)) == 5  # the action, the channel, two tags, all
    assert len(counters([rule(PauseOf.CHANNEL)], outcome(), "p", NO_ACTION_ACTION)) == 0


def test_rules_on_the_same_outcomes_share_a_counter() -> None:
    """Each outcome is counted once under a name, however many rules read it; the longest pause wins."""
    longer = PauseRule("longer", "ignored", 2, 86_400, 99 * 86_400, PauseOf.ALL)
    rules = [rule(PauseOf.ALL, 2), longer, rule(PauseOf.ALL, 1)]
    assert len(counters(rules, outcome(), "p", PROMO)) == 1
    assert paused(rules, "p", PROMO, events(rules, [NOW, NOW - DAY + 1]), NOW) == (longer, NOW + 99 * DAY)
    assert paused(rules, "p", PROMO, events(rules, [NOW, NOW - DAY]), NOW) == (rules[0], NOW + 14 * DAY)


def test_a_pause_begins_with_the_last_of_its_outcomes_and_ends() -> None:
    """Three within the week, the newest two days ago: over twelve days from now, exactly."""
    rules = [rule(PauseOf.CHANNEL)]
    known = events(rules, [NOW - 2 * DAY, NOW - 3 * DAY, NOW - 9 * DAY + 1])
    assert paused(rules, "p", PROMO, known, NOW + 12 * DAY - 1) == (rules[0], NOW + 12 * DAY)
    assert paused(rules, "p", PROMO, known, NOW + 12 * DAY) is None
    assert paused(rules, "p", PROMO, events(rules, [NOW - 2 * DAY, NOW - 3 * DAY, NOW - 9 * DAY]), NOW) is None


def test_only_rules_that_have_counted_something_are_asked() -> None:
    """Outcomes and events under their own names concern no rule."""
    rules = [rule(pauses) for pauses in PauseOf]
    assert counting(rules, {"ignored": EventCounter(9, (NOW,) * 9)}) == ()
    assert counting(rules, events([rules[1]], [NOW])) == (rules[1],)
    assert counting([rule(PauseOf.ALL, outcome="other")], events(rules, [NOW])) == ()


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 4), st.integers(1, 10), st.integers(1, 10))
def test_a_pause_holds_on_exactly_the_days_that_a_diary_says(
    days: list[int], count: int, within: int, lasts: int
) -> None:
    """Day by day: was there one of the last days on which so many had come together?"""
    asked = PauseRule("r", "ignored", count, within * 86_400, lasts * 86_400, PauseOf.ALL)
    now = max(days, default=0)
    begun = [day for day in days if sum(day - within < other <= day for other in days) >= count]
    expected = max(begun, default=None)
    verdict = paused([asked], "p", PROMO, events([asked], [NOW + day * DAY for day in days]), NOW + now * DAY)
    if expected is not None and now < expected + lasts:
        assert verdict == (asked, NOW + (expected + lasts) * DAY)
    else:
        assert verdict is None
