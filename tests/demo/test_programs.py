"""The demo's published documents fit the simulation."""

from __future__ import annotations

import pytest

from decision_service.core.program import CalendarUnit
from decision_service.demo.journeys import STEPS
from decision_service.demo.response import BASE, LIFTS, LONGEST_DELAY_S
from decision_service.demo.run import POLICY, PROGRAMS
from decision_service.documents import parse_contact_policy, parse_program

DOCUMENTS = {path.stem: path.read_text() for path in PROGRAMS.glob("*.yaml") if path.name != POLICY}


def test_every_journey_has_a_program() -> None:
    """Programs, journeys and response model speak of the same names."""
    assert set(DOCUMENTS) == set(STEPS) == set(BASE)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_response_model_knows_every_action(name: str) -> None:
    """Each action of the program has a response, and each response an action on a channel of its name."""
    program = parse_program(DOCUMENTS[name])
    assert {(name, a.id) for a in program.actions} == {key for key in LIFTS if key[0] == name}
    assert all(action.id.startswith(action.channel) for action in program.actions)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_reward_windows_hold_the_longest_delay(name: str) -> None:
    """A purchase that the simulation lets happen counts, even after a night in the queue."""
    assert parse_program(DOCUMENTS[name]).reward.window_s >= LONGEST_DELAY_S + 10 * 3600


def test_groups_are_sized_to_compare() -> None:
    """Every program has all four groups, in one proportion."""
    shares = [parse_program(text).groups for text in DOCUMENTS.values()]
    assert {(g.treatment, g.random_control, g.business_as_usual, g.holdout) for g in shares} == {
        (7000, 1000, 1000, 1000)
    }


def test_the_policy_has_caps_of_every_sort() -> None:
    """Rolling and calendar windows, everywhere, by channel, by tag and by message; and what stops contact at once."""
    policy = parse_contact_policy((PROGRAMS / POLICY).read_text())
    assert {CalendarUnit.DAY, CalendarUnit.WEEK} <= {cap.calendar for cap in policy.caps}
    assert any(cap.window_s for cap in policy.caps)
    scopes = [cap.scope for cap in policy.caps]
    assert any(s.channel for s in scopes)
    assert any(s.tag for s in scopes)
    assert any(s.message for s in scopes)
    assert {rule.outcome for rule in policy.suppress_on} == {"unsubscribe", "complaint"}
