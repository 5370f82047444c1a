"""A customer's timeline: what the warehouse has, in order, with what the ledger holds beyond it."""

from __future__ import annotations

import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.timeline import Kind, Line, timeline
from decision_service.core.model.record import ActivationStatus, Event, Outcome
from decision_service.warehouse.loader import drain
from tests.support.served import AUDIT, POLICY, PROGRAM, World

OTHER = PROGRAM.replace("name: p", "name: q").replace("id: mail", "id: letter").replace("id: text", "id: ring")
PAUSES = "pause_on: [{id: bored, outcome: dismiss, count: 1, within: 7d, for: 3d, pauses: action}]\n"


@pytest.fixture
def world() -> World:
    """Two programs under a cap of one contact an hour."""
    made = World()
    made.policies.publish_program(OTHER, AUDIT)
    made.policies.publish_policy(POLICY + PAUSES, AUDIT)
    return made


def told(world: World, warehouse: MemoryWarehouse, **limits: int) -> tuple[Line, ...]:
    """The timeline of `c`."""
    return timeline(warehouse, world.inquiry.customer("c"), "c", **limits).lines


def lived(world: World) -> tuple[MemoryWarehouse, list[str]]:
    """A contact sent, bounced, dismissed and complained of; another program kept by the cap; then one that is open."""
    first = world.decide("r1")
    world.clock.advance(60)
    world.feedback.report_activation(first.decision_id, ActivationStatus.SENT)
    world.clock.advance(60)
    second = world.decide("r2", programs=("q",))
    now_ms = world.clock.now_ms()
    world.feedback.record_events([Event("e", "c", "page_view", now_ms + 1_000, 0), Event("f", "d", "x", now_ms, 0)])
    world.feedback.report_activation(first.decision_id, ActivationStatus.BOUNCED, now_ms + 2_000, "mailbox full")
    world.clock.advance(60)
    now_ms = world.clock.now_ms()
    world.feedback.record_outcomes([Outcome("o", "c", "dismiss", now_ms, 0, 2.5, first.decision_id, "email")])
    world.clock.advance(7_200)
    world.administration.suppress("c", "sms", None, "asked by phone")
    world.clock.advance(60)
    third = world.decide("r3", programs=("q",))
    warehouse = MemoryWarehouse()
    drain(world.ledger, warehouse, world.clock.now_ms)
    return warehouse, [first.decision_id, second.decision_id, third.decision_id]


def test_everything_of_one_customer_is_told_in_order(world: World) -> None:
    """Across programs and channels, newest last, each line with its decision; nothing of other customers."""
    warehouse, (first, second, third) = lived(world)
    lines = told(world, warehouse)
    assert [(line.kind, line.program, line.channel, line.decision_id) for line in lines] == [
        (Kind.DECISION, "p", "email", first),
        (Kind.REPORT, "p", "email", first),
        (Kind.DECISION, "q", "", second),
        (Kind.EVENT, "", "", ""),
        (Kind.REPORT, "p", "email", first),
        (Kind.OUTCOME, "", "email", first),
        (Kind.PREFERENCE, "", "", ""),
        (Kind.PREFERENCE, "", "sms", ""),
        (Kind.DECISION, "q", "email", third),
        (Kind.OPEN, "q", "email", third),
        (Kind.PAUSE, "p", "", ""),
    ]
    assert [line.text for line in lines] == [
        "p version 1 chose mail on email (probability 0.3333, TREATMENT, uniform): MODEL_MISSING",
        "mail of p was reported SENT",
        "q version 1 chose NO_ACTION (probability 1.0000, TREATMENT, uniform): MODEL_MISSING, FREQUENCY_CAP × 2",
        "page_view",
        "mail of p was reported BOUNCED: mailbox full",
        "dismiss, value 2.5 on email",
        "paused: action p/mail, until 2023-11-17 22:16:20 UTC: bored",
        "no contact on sms, for good: asked by phone",
        "q version 1 chose letter on email (probability 0.5000, TREATMENT, uniform): FEATURES_STALE, MODEL_MISSING",
        "letter of q on email may still be sent, until 2023-11-15 00:27:20 UTC",
        "mail of p paused until 2023-11-17 22:16:20 UTC by 'bored'",
    ]
    assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)


def test_what_is_not_loaded_yet_is_told_by_the_ledger(world: World) -> None:
    """An empty warehouse still shows the contacts, and without the service only the warehouse speaks."""
    warehouse, (first, _, third) = lived(world)
    lines = told(world, MemoryWarehouse())
    assert [(line.kind, line.decision_id) for line in lines] == [
        (Kind.CONTACT, first),
        (Kind.SUPPRESSION, ""),
        (Kind.OPEN, third),
        (Kind.PAUSE, ""),
    ]
    assert lines[0].text == "mail of p on email is BOUNCED in the ledger, not in the warehouse yet"
    kinds = {line.kind for line in timeline(warehouse, None, "c").lines}
    assert kinds == {Kind.DECISION, Kind.REPORT, Kind.OUTCOME, Kind.PREFERENCE, Kind.EVENT}
    assert timeline(warehouse, None, "nobody").lines == ()


def test_a_period_and_the_latest_lines(world: World) -> None:
    """From is included, until is not; of too many the latest are kept, and that is said."""
    warehouse, _ = lived(world)
    every = told(world, warehouse)
    from_ms, until_ms = every[1].at_ms, every[5].at_ms
    assert told(world, warehouse, from_ms=from_ms, until_ms=until_ms) == every[1:5]
    some = timeline(warehouse, world.inquiry.customer("c"), "c", limit=3)
    assert (some.lines, some.more) == (every[-3:], True)
    assert not timeline(warehouse, world.inquiry.customer("c"), "c", limit=len(every)).more


def test_what_quiet_hours_queue_says_when_it_is_sent(world: World) -> None:
    """The decision names the time; the open contact stands there, after everything that happened."""
    quiet = "quiet_hours: [{id: night, from: '22:00', to: '08:00', when_quiet: queue}]"
    world.policies.publish_policy(quiet, AUDIT)
    world.decide("r1")
    warehouse = MemoryWarehouse()
    drain(world.ledger, warehouse, world.clock.now_ms)
    decision, waiting = told(world, warehouse)
    assert "chose mail on email, to be sent 2023-11-15 07:00:00 UTC (" in decision.text
    assert waiting.kind is Kind.OPEN
    assert waiting.at_ms - decision.at_ms == 31_600_000
