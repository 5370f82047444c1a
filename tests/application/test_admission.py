"""What keeps a worker from deciding on contacts: a ledger that is not in service, a clock that is not the ledger's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.application.admission import Admission, skew_of
from decision_service.core.model.errors import NotFound, NotInService, Unavailable
from decision_service.core.model.installation import Installation, LedgerState
from decision_service.core.model.record import ActivationStatus
from decision_service.core.model.sending import Verdict
from decision_service.core.model.values import NO_ACTION
from tests.support.served import AUDIT, POLICY, PROGRAM, World

HERE = Installation("here", b"key", state=LedgerState.READY)
BOUND_MS = 5_000
DAILY = "caps: [{id: one_a_day, limit: 1, calendar: day}]\ntimezone_feature: timezone\n"


def world_on(ledger: MemoryLedger, installation: Installation = HERE, ahead_s: float = 0.0) -> World:
    """A worker whose clock is `ahead_s` of the ledger's."""
    clock = ManualClock()
    world = World(clock=clock, ledger=ledger, admission=Admission(installation, clock, BOUND_MS))
    clock.advance(ahead_s)
    return world


def ledger_of(installation: Installation = HERE) -> MemoryLedger:
    """Its own time stands still."""
    return MemoryLedger(installation.ledger_id, ManualClock().now_ms)


def test_a_clock_that_is_ahead_breaks_no_daily_cap() -> None:
    """Twelve minutes before midnight a worker whose clock says tomorrow decides on nothing; one on time caps."""
    midnight = ManualClock()
    midnight.set(1_700_000_000_000 - 1_700_000_000_000 % 86_400_000 + 22 * 3_600_000 + 55 * 60_000)  # 23:55 in Berlin
    ledger = MemoryLedger("here", midnight.now_ms)
    worlds = []
    for ahead_s in (0, 12 * 60):
        clock = ManualClock(midnight.now_ms())
        worlds.append(World(clock=clock, ledger=ledger, admission=Admission(HERE, clock, BOUND_MS)))
        clock.advance(ahead_s)
        worlds[-1].policies.publish_policy(DAILY, AUDIT)
    on_time, ahead = worlds
    sent = on_time.decide("r1")
    assert sent.chosen == "mail"
    on_time.feedback.report_activation(sent.decision_id, ActivationStatus.SENT)
    with pytest.raises(Unavailable, match=r"720\.0 s ahead of the ledger's.*NTP") as refused:
        ahead.decide("r2")
    assert refused.value.part == "clock"
    assert len(ledger.state("c").contacts) == 1
    assert on_time.decide("r3").chosen == NO_ACTION


@pytest.mark.parametrize(("ahead_s", "refused"), [(4.9, False), (-4.9, False), (5.1, True), (-5.1, True)])
def test_the_bound_holds_in_both_directions(ahead_s: float, refused: bool) -> None:
    """Within it nothing is said; beyond it nothing is decided, and the runner that asks for it gets NO_ACTION."""
    world = world_on(ledger_of(), ahead_s=ahead_s)
    if not refused:
        assert world.decide().is_contact
        return
    with pytest.raises(Unavailable, match="clock"):
        world.decide()
    assert world.decide(no_action_when_unavailable=True).unlogged
    assert world.ledger.state("c").contacts == ()


def test_a_clock_that_was_corrected_serves_again() -> None:
    """Nothing has to be started anew."""
    world = world_on(ledger_of(), ahead_s=60)
    with pytest.raises(Unavailable):
        world.decide()
    world.clock.advance(-60)
    assert world.decide().is_contact


def test_time_that_is_simulated_is_not_compared() -> None:
    """Nor is there anything to compare with a ledger in memory."""
    clock = ManualClock()
    world = World(clock=clock, ledger=ledger_of(), admission=Admission(HERE, clock, None))
    clock.advance(600)
    assert world.decide().is_contact
    assert World(ledger=MemoryLedger("here"), admission=Admission(HERE, ManualClock(), 1)).decide().is_contact


def test_a_slow_read_is_no_skew() -> None:
    """What lies between asking and hearing may be anywhere in between."""
    assert skew_of(1_000, before_ms=400, after_ms=1_900) == 0
    assert skew_of(1_000, before_ms=1_300, after_ms=1_900) == 300
    assert skew_of(1_000, before_ms=100, after_ms=800) == -200


@pytest.mark.parametrize(
    ("installation", "told"),
    [
        (replace(HERE, state=LedgerState.NEW), "the loader has not compared it"),
        (replace(HERE, state=LedgerState.REFUSED, problem="it is another's"), "it is another's"),
        (HERE, "has lost what it held"),
    ],
)
def test_nothing_is_decided_on_a_ledger_that_is_not_in_service(installation: Installation, told: str) -> None:
    """By what the read itself says: a worker that believes it is in service notices that it is another one, or none."""
    for ledger in (MemoryLedger(""), MemoryLedger("elsewhere")):
        world = world_on(ledger, installation)
        with pytest.raises(Unavailable, match=told):
            world.decide()
        assert ledger.backlog() == 0


def test_a_ledger_that_was_lost_knows_of_no_program() -> None:
    """Nor does a worker that starts beside it: that is no mistake of the caller's."""
    with pytest.raises(NotInService, match="has lost what it held"):
        world_on(MemoryLedger("")).decide(programs=("spring",))
    with pytest.raises(NotFound, match="published are p"):
        world_on(ledger_of()).decide(programs=("spring",))


def test_nothing_is_published_before_versions_are_known_to_go_on() -> None:
    """Version 1 of another document would take the name of an old one; checking a document is possible."""
    world = world_on(MemoryLedger(), replace(HERE, state=LedgerState.NEW))
    administration = world.administration
    with pytest.raises(Unavailable):
        administration.apply_program(PROGRAM, "anna")
    with pytest.raises(Unavailable):
        administration.apply_contact_policy(POLICY, "anna")
    with pytest.raises(Unavailable):
        administration.rollback_program("p", 1, "anna")
    assert administration.apply_program(PROGRAM + "description: d", "anna", validate_only=True).version == 2
    assert world.admission is not None
    world.admission.renew(HERE)
    assert administration.apply_contact_policy(POLICY, "anna") == 1


def test_a_record_names_the_ledger_that_it_is_of() -> None:
    """As the read did that it was made of."""
    assert world_on(ledger_of()).decide().ledger_id == "here"


def test_nothing_is_confirmed_by_a_clock_that_is_off() -> None:
    """A GO of a worker that is ahead would send what quiet hours and caps keep back."""
    ledger = ledger_of()
    record = world_on(ledger).decide()
    with pytest.raises(Unavailable, match="clock"):
        world_on(ledger, ahead_s=60).sending.confirm(record.decision_id)
    assert world_on(ledger).sending.confirm(record.decision_id).verdict is Verdict.GO
