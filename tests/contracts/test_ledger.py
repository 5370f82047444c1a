"""What every ledger does, on the in-memory form and on a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.redis.ledger import RedisLedger, RedisLog
from decision_service.application.ports import Committed, Earlier, EntryKind, Ledger, LogReader, Moved
from decision_service.core.model.customer import (
    ALL_CHANNELS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.errors import Conflict, NotFound
from decision_service.core.model.program import Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Activation,
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    Event,
    Option,
    Outcome,
    PolicyKind,
    Reservation,
    ServedFeatures,
)

NOW = 1_700_000_000_000


class Forms(NamedTuple):
    """A ledger and the reader of its log."""

    ledger: Ledger
    log: LogReader


@pytest.fixture(params=["memory", "redis"])
def forms(request: pytest.FixtureRequest) -> Iterator[Forms]:
    """Each form in turn, empty."""
    if request.param == "memory":
        memory = MemoryLedger()
        yield Forms(memory, memory)
        return
    url = request.getfixturevalue("redis_url")
    ledger, log = RedisLedger(url, 4, 5_000, 3600), RedisLog(url, 4, 5_000)
    yield Forms(ledger, log)
    ledger.close()
    log.close()


def record(ledger: Ledger, request_id: str = "r1", customer: str = "c1", action: str = "a1") -> DecisionRecord:
    """A minimal record of a contact."""
    return DecisionRecord(
        decision_id=ledger.new_decision_id(customer, NOW),
        request=DecideRequest(request_id, customer, ("p",)),
        body_digest="d",
        decided_at_ms=NOW,
        program="p",
        program_version=1,
        policy_version=0,
        model=None,
        features=ServedFeatures(),
        live={},
        state=CustomerState(),
        group=Group.TREATMENT,
        learning_mode=LearningMode.ONLINE,
        policy=PolicyKind.UNIFORM,
        options=(Option(action, 0.5), Option("NO_ACTION", 0.5)),
        exclusions=(),
        draw=0.25,
        drawn=action,
        chosen=action,
        reservation=Reservation(NOW + 1000),
    )


def contact(of: DecisionRecord, status: ContactStatus = ContactStatus.RESERVED) -> Contact:
    """The slot a record reserves."""
    return Contact(of.decision_id, "p", of.chosen, "m", "email", frozenset({"t1", "t2"}), status, NOW, NOW + 1000)


def version(ledger: Ledger, customer: str = "c1") -> int:
    """The state's version now."""
    return ledger.state(customer).version


def test_a_commit_reserves_and_logs(forms: Forms) -> None:
    """After a commit the state holds the contact, and the log the record."""
    r = record(forms.ledger)
    assert forms.ledger.commit(r, contact(r), 0) == Committed()
    state = forms.ledger.begin_read("c1", "r2").result().state
    assert (state.version, state.contacts) == (1, (contact(r),))
    entries = forms.log.read({}, 10)
    assert [(e.kind, e.body) for e in entries] == [(EntryKind.DECISIONS, r)]
    assert forms.log.backlog() == 1


def test_the_same_request_id_gets_the_earlier_record(forms: Forms) -> None:
    """A second commit under a request id writes nothing and returns the first record; so does the read."""
    first, second = record(forms.ledger), record(forms.ledger, action="other")
    forms.ledger.commit(first, contact(first), 0)
    assert forms.ledger.commit(second, contact(second), 1) == Earlier(first)
    assert forms.ledger.begin_read("c1", "r1").result().earlier == first
    assert len(forms.log.read({}, 10)) == 1
    assert len(forms.ledger.state("c1").contacts) == 1


def test_a_moved_version_stops_a_reserving_commit_only(forms: Forms) -> None:
    """A stale version writes nothing and brings the fresh state; a commit that reserves nothing does not compare."""
    first, second = record(forms.ledger), record(forms.ledger, "r2")
    forms.ledger.commit(first, contact(first), 0)
    moved = forms.ledger.commit(second, contact(second), 0)
    assert isinstance(moved, Moved)
    assert moved.state == forms.ledger.state("c1")
    assert forms.log.backlog() == 1
    assert forms.ledger.commit(second, None, 0) == Committed()
    assert version(forms.ledger) == 1


def test_a_commit_drops_the_contacts_named(forms: Forms) -> None:
    """Contacts that no cap can count any more go in the same step."""
    first, second = record(forms.ledger), record(forms.ledger, "r2")
    forms.ledger.commit(first, contact(first), 0)
    forms.ledger.commit(second, contact(second), 1, [first.decision_id])
    assert forms.ledger.state("c1").contacts == (contact(second),)


def test_a_decision_is_found_by_its_id_alone(forms: Forms) -> None:
    """The record comes back whole; an unknown or foreign id is NotFound."""
    r = record(forms.ledger, customer="someone else")
    forms.ledger.commit(r, None, 0)
    assert forms.ledger.record(r.decision_id) == r
    for unknown in (forms.ledger.new_decision_id("c1", NOW), "nonsense", "", "zz-1"):
        with pytest.raises(NotFound):
            forms.ledger.record(unknown)


def activation(of: DecisionRecord, status: ActivationStatus) -> Activation:
    """A report on a record."""
    return Activation(of.decision_id, of.request.customer_id, status, NOW + 5, NOW + 6)


def test_sent_confirms_the_slot(forms: Forms) -> None:
    """SENT replaces the reservation by the contact as sent, moves the version and is logged once."""
    r = record(forms.ledger)
    forms.ledger.commit(r, contact(r), 0)
    sent = Contact(
        r.decision_id, "p", "a1", "m", "email", frozenset({"t1", "t2"}), ContactStatus.SENT, NOW + 5, NOW + 5
    )
    assert forms.ledger.activate(activation(r, ActivationStatus.SENT), sent)
    assert forms.ledger.state("c1").contacts == (sent,)
    assert version(forms.ledger) == 2
    assert not forms.ledger.activate(activation(r, ActivationStatus.SENT), sent)
    assert version(forms.ledger) == 2
    assert [e.kind for e in forms.log.read({}, 10)] == [EntryKind.DECISIONS, EntryKind.ACTIVATIONS]


@pytest.mark.parametrize("status", [ActivationStatus.FAILED, ActivationStatus.SKIPPED])
def test_failed_releases_the_slot(forms: Forms, status: ActivationStatus) -> None:
    """The contact stays, released, for caps that count attempts; another status afterwards changes nothing."""
    r = record(forms.ledger)
    forms.ledger.commit(r, contact(r), 0)
    released = contact(r, ContactStatus.RELEASED)
    assert forms.ledger.activate(activation(r, status), released)
    assert not forms.ledger.activate(activation(r, status), released)
    for other in set(ActivationStatus) - {status}:
        with pytest.raises(Conflict, match=status.value):
            forms.ledger.activate(activation(r, other), contact(r))
    assert forms.ledger.state("c1").contacts == (released,)
    assert version(forms.ledger) == 2
    assert forms.log.backlog() == 2


def test_a_report_on_no_action_leaves_the_state(forms: Forms) -> None:
    """Without a contact the report is logged, nothing else."""
    r = record(forms.ledger, action="NO_ACTION")
    forms.ledger.commit(r, None, 0)
    assert forms.ledger.activate(activation(r, ActivationStatus.SKIPPED), None)
    assert not forms.ledger.activate(activation(r, ActivationStatus.SKIPPED), None)
    assert forms.ledger.state("c1") == CustomerState()
    assert [e.kind for e in forms.log.read({}, 10)] == [EntryKind.DECISIONS, EntryKind.ACTIVATIONS]


def at(of: DecisionRecord, status: ContactStatus, at_ms: int) -> Contact:
    """The contact of a record, sent at a time."""
    return replace(contact(of, status), from_ms=at_ms, until_ms=at_ms)


FATES = [ActivationStatus.DELIVERED, ActivationStatus.BOUNCED]


@pytest.mark.parametrize("fate", FATES)
def test_a_fate_follows_sent_and_keeps_its_time(forms: Forms, fate: ActivationStatus) -> None:
    """The contact takes the new status at the time it was sent; the other fate is then a conflict."""
    r = record(forms.ledger)
    forms.ledger.commit(r, contact(r), 0)
    forms.ledger.activate(activation(r, ActivationStatus.SENT), at(r, ContactStatus.SENT, NOW + 5))
    status = ContactStatus(fate.value)
    assert forms.ledger.activate(activation(r, fate), at(r, status, NOW + 900))
    assert not forms.ledger.activate(activation(r, fate), at(r, status, NOW + 901))
    assert not forms.ledger.activate(activation(r, ActivationStatus.SENT), at(r, ContactStatus.SENT, NOW + 5))
    for other in {*FATES, ActivationStatus.FAILED} - {fate}:
        with pytest.raises(Conflict, match=fate.value):
            forms.ledger.activate(activation(r, other), contact(r))
    assert forms.ledger.state("c1").contacts == (at(r, status, NOW + 5),)
    assert version(forms.ledger) == 3
    assert forms.log.backlog() == 3


@pytest.mark.parametrize("fate", FATES)
def test_a_fate_stands_for_sent(forms: Forms, fate: ActivationStatus) -> None:
    """Reported first it confirms the slot; SENT afterwards says nothing new."""
    r = record(forms.ledger)
    forms.ledger.commit(r, contact(r), 0)
    known = at(r, ContactStatus(fate.value), NOW + 7)
    assert forms.ledger.activate(activation(r, fate), known)
    assert not forms.ledger.activate(activation(r, ActivationStatus.SENT), at(r, ContactStatus.SENT, NOW + 5))
    assert forms.ledger.state("c1").contacts == (known,)
    assert forms.log.backlog() == 2


def test_a_report_brings_back_a_contact_that_was_dropped(forms: Forms) -> None:
    """A late one enters the history again, and so does what becomes of it."""
    first, second, third = record(forms.ledger), record(forms.ledger, "r2"), record(forms.ledger, "r3")
    forms.ledger.commit(first, contact(first), 0)
    forms.ledger.commit(second, contact(second), 1, [first.decision_id])
    forms.ledger.activate(activation(first, ActivationStatus.SENT), at(first, ContactStatus.SENT, NOW + 5))
    assert at(first, ContactStatus.SENT, NOW + 5) in forms.ledger.state("c1").contacts
    forms.ledger.commit(third, contact(third), 3, [first.decision_id])
    bounced = at(first, ContactStatus.BOUNCED, NOW + 9)
    forms.ledger.activate(activation(first, ActivationStatus.BOUNCED), bounced)
    assert bounced in forms.ledger.state("c1").contacts


def outcome(outcome_id: str = "o1", name: str = "purchase", at_ms: int = NOW) -> Outcome:
    """A purchase."""
    return Outcome(outcome_id, "c1", name, at_ms, NOW, 12.5)


def test_outcomes_count_once_and_suppress_at_once(forms: Forms) -> None:
    """An outcome id counts once; its suppression is in the state and moves the version."""
    stop = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, None, "unsubscribe")
    assert forms.ledger.add_outcome(outcome(), [stop])
    assert not forms.ledger.add_outcome(outcome(), [stop])
    state = forms.ledger.state("c1")
    assert state.events["purchase"].total == 1
    assert state.events["purchase"].recent_ms == (NOW,)
    assert state.suppressions == (stop,)
    assert state.version == 1
    assert [e.body for e in forms.log.read({}, 10)] == [outcome()]


def test_event_times_are_kept_newest_first_and_bounded(forms: Forms) -> None:
    """However they arrive, the latest 64 times are kept in order; the total counts all."""
    times = [NOW + (i * 37) % 101 for i in range(101)]
    for i, at_ms in enumerate(times):
        assert forms.ledger.add_event(Event(f"e{i}", "c1", "view", at_ms, NOW))
    counter = forms.ledger.state("c1").events["view"]
    assert counter.total == 101
    assert counter.recent_ms == tuple(sorted(times, reverse=True)[:64])
    assert version(forms.ledger) == 0


def test_an_event_and_an_outcome_may_share_an_id(forms: Forms) -> None:
    """Ids are unique within outcomes and within events."""
    assert forms.ledger.add_outcome(outcome("x"))
    assert forms.ledger.add_event(Event("x", "c1", "view", NOW, NOW))


def test_suppressions_of_both_reasons_stand_side_by_side(forms: Forms) -> None:
    """One per channel and reason; lifting a channel lifts both, and only there."""
    by_hand = Suppression("email", Reason.SUPPRESSED, NOW, NOW + 9, "asked")
    by_outcome = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW)
    everywhere = Suppression(ALL_CHANNELS, Reason.SUPPRESSED, NOW)
    for suppression in (everywhere, by_outcome, by_hand, by_hand):
        forms.ledger.suppress("c1", suppression)
    assert set(forms.ledger.state("c1").suppressions) == {by_hand, by_outcome, everywhere}
    assert forms.ledger.unsuppress("c1", "email")
    assert forms.ledger.state("c1").suppressions == (everywhere,)
    assert not forms.ledger.unsuppress("c1", "email")


def test_an_outcome_counts_under_further_names(forms: Forms) -> None:
    """Once each, also under names given twice; the version moves, as what is paused may depend on them."""
    counters = ["pause:email", "pause:a1", "pause:email"]
    for i, at_ms in enumerate([NOW, NOW + 2, NOW + 1]):
        assert forms.ledger.add_outcome(outcome(f"o{i}", at_ms=at_ms), counters=counters)
        assert not forms.ledger.add_outcome(outcome(f"o{i}", at_ms=at_ms), counters=counters)
    state = forms.ledger.state("c1")
    expected = EventCounter(3, (NOW + 2, NOW + 1, NOW))
    assert state.events == dict.fromkeys(["purchase", "pause:email", "pause:a1"], expected)
    assert (state.version, state.suppressions) == (3, ())
    assert forms.ledger.add_outcome(outcome("o9", "visit"))
    assert version(forms.ledger) == 3


def test_counters_and_suppressions_come_together(forms: Forms) -> None:
    """In one step, and the version moves once; counters keep the latest 64 times."""
    stop = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, None, "unsubscribe")
    for i in range(70):
        assert forms.ledger.add_outcome(outcome(f"o{i}", at_ms=NOW + i), [stop], ["pause:email"])
    state = forms.ledger.state("c1")
    assert state.events["pause:email"] == state.events["purchase"]
    assert state.events["pause:email"].recent_ms == tuple(NOW + i for i in range(69, 5, -1))
    assert (state.version, state.suppressions) == (70, (stop,))


@pytest.mark.parametrize("order", [0, 1])
def test_of_suppressions_by_outcomes_the_longest_holds(forms: Forms, order: int) -> None:
    """A complaint that suppresses for an hour does not lift an unsubscribe that holds for good, in either order."""
    for_good = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, None, "unsubscribe")
    for_now = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, NOW + 9, "complaint")
    both = [for_good, for_now] if order else [for_now, for_good]
    for i, suppression in enumerate(both):
        forms.ledger.add_outcome(outcome(f"o{i}", suppression.note), [suppression])
    assert forms.ledger.state("c1").suppressions == (for_good,)


def test_the_log_is_read_after_and_trimmed_through_a_sequence(forms: Forms) -> None:
    """Reading goes on after the last sequence of each shard; trimming forgets exactly what was read."""
    for i in range(30):
        forms.ledger.add_event(Event(f"e{i}", f"c{i}", "view", NOW, NOW))
    seen: dict[int, int] = {}
    ids = []
    while entries := forms.log.read(seen, 3):
        ids += [e.body.event_id for e in entries if isinstance(e.body, Event)]
        for e in entries:
            assert e.sequence > seen.get(e.shard, -1)
            seen[e.shard] = e.sequence
    assert sorted(ids) == sorted(f"e{i}" for i in range(30))
    forms.ledger.add_event(Event("late", "c1", "view", NOW, NOW))
    forms.log.trim(seen)
    assert [e.body for e in forms.log.read({}, 10)] == [Event("late", "c1", "view", NOW, NOW)]
    assert forms.log.backlog() == 1


def test_of_racing_commits_one_wins_per_version(forms: Forms) -> None:
    """Sixteen threads with the same expected version: one commits, the others see the state it made."""
    records = [record(forms.ledger, f"r{i}") for i in range(16)]
    results: list[object] = []
    barrier = threading.Barrier(16)

    def commit(r: DecisionRecord) -> None:
        barrier.wait()
        results.append(forms.ledger.commit(r, contact(r), 0))

    threads = [threading.Thread(target=commit, args=(r,)) for r in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(r, Committed) for r in results) == 1
    assert sum(isinstance(r, Moved) for r in results) == 15
    assert len(forms.ledger.state("c1").contacts) == 1
