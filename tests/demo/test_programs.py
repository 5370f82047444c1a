"""The demo's published documents fit the simulation."""

from __future__ import annotations

import pytest

from decision_service.core.model.program import CalendarUnit, CapCounts
from decision_service.demo.journeys import STEPS
from decision_service.demo.report import PROPOSALS
from decision_service.demo.response import BASE, LIFTS, LONGEST_DELAY_S
from decision_service.demo.run import POLICY, PROGRAMS
from decision_service.documents import parse_contact_policy, parse_program
from decision_service.documents.differences import differences

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


def test_the_policy_has_guardrails_of_every_sort() -> None:
    """Caps of each window and scope, money, quiet hours by night and weekday, what stops and what pauses contact."""
    policy = parse_contact_policy((PROGRAMS / POLICY).read_text())
    assert {CalendarUnit.DAY, CalendarUnit.WEEK} <= {cap.calendar for cap in policy.caps}
    assert any(cap.window_s for cap in policy.caps)
    scopes = [cap.scope for cap in policy.caps]
    assert any(s.channel for s in scopes)
    assert any(s.tag for s in scopes)
    assert any(s.message for s in scopes)
    assert {cap.counts for cap in policy.caps} == {CapCounts.ACTIVATED, CapCounts.DELIVERED}
    assert any(budget.in_money and budget.paced for budget in policy.budgets)
    assert any(quiet.weekdays and quiet.holiday_calendar for quiet in policy.quiet_hours)
    assert {rule.outcome for rule in policy.suppress_on} == {"unsubscribe"}
    assert {rule.outcome for rule in policy.pauses} == {"complaint"}


def test_programs_are_worth_money() -> None:
    """Each has a value of its own, by which programs compete, and every action a cost."""
    programs = [parse_program(text) for text in DOCUMENTS.values()]
    assert all(program.value > 1 for program in programs)
    assert all(action.cost_micros > 0 for program in programs for action in program.actions)


def test_proposals_change_what_is_published() -> None:
    """Each is a document of the demo, changed in few places."""
    proposals = sorted(PROPOSALS.glob("*.yaml"))
    assert [path.name for path in proposals] == ["contact_policy.yaml", "win_back.yaml"]
    for path in proposals:
        changes = differences((PROGRAMS / path.name).read_text(), path.read_text())
        assert 1 <= len(changes) <= 4
    assert parse_program(proposals[1].read_text()).name == "win_back"
    assert parse_contact_policy(proposals[0].read_text()).caps
