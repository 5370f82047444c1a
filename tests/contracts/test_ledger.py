"""What every ledger does, on the in-memory form and on a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.redis.installation import RedisInstallation
from decision_service.adapters.redis.ledger import RedisLedger
from decision_service.adapters.redis.log import RedisLog
from decision_service.adapters.redis.restore import RedisRestore
from decision_service.application.ports import Committed, Earlier, EntryKind, Ledger, LogReader, Moved, Recorded
from decision_service.core.model.customer import (
    ALL_CHANNELS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.errors import NotFound, NotInService
from decision_service.core.model.installation import Installation
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
from decision_service.core.model.sending import Change, Confirmation, Preference, PreferenceKind, Verdict

NOW = 1_700_000_000_000
LEDGER = "lived"


class Forms(NamedTuple):
    """A ledger, the reader of its log, and what puts the ledger in service under an id; without one, out of service."""

    ledger: Ledger
    log: LogReader
    serve: Callable[[str], object]


@pytest.fixture(params=["memory", "redis"])
def forms(request: pytest.FixtureRequest) -> Iterator[Forms]:
    """Each form in turn, empty and in service."""
    if request.param == "memory":
        memory = MemoryLedger(LEDGER)
        yield Forms(memory, memory, lambda name: setattr(memory, "ledger_id", name))
        return
    url = request.getfixturevalue("redis_url")
    ledger, log = RedisLedger(url, 4, 5_000, 3600), RedisLog(url, 4, 5_000)
    installation = RedisInstallation(url, 4, 5_000)
    restore = RedisRestore(url, 4, 5_000, 3600)

    def serve(name: str) -> None:
        if name:
            installation.put_in_service(Installation(name, b""))
        else:
            restore.begin(range(4), {})

    serve(LEDGER)
    yield Forms(ledger, log, serve)
    for part in (ledger, log, installation, restore):
        part.close()


def record(ledger: Ledger, request_id: str = "r1", customer: str = "c1", action: str = "a1") -> DecisionRecord:
    """A minimal record of a contact."""
    return DecisionRecord(
        decision_id=ledger.new_decision_id(customer, NOW),
        ledger_id=LEDGER,
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
    assert forms.ledger.commit(r, [contact(r)], 0) == Committed()
    state = forms.ledger.begin_read("c1", "r2").result().state
    assert (state.version, state.contacts) == (1, (contact(r),))
    entries = forms.log.read({}, 10)
    assert [(e.kind, e.body) for e in entries] == [(EntryKind.DECISIONS, r)]
    assert forms.log.backlog() == 1


def test_the_same_request_id_gets_the_earlier_record(forms: Forms) -> None:
    """A second commit under a request id writes nothing and returns the first record; so does the read."""
    first, second = record(forms.ledger), record(forms.ledger, action="other")
    forms.ledger.commit(first, [contact(first)], 0)
    assert forms.ledger.commit(second, [contact(second)], 1) == Earlier(first)
    assert forms.ledger.begin_read("c1", "r1").result().earlier == first
    assert len(forms.log.read({}, 10)) == 1
    assert len(forms.ledger.state("c1").contacts) == 1


def test_a_moved_version_stops_a_reserving_commit_only(forms: Forms) -> None:
    """A stale version writes nothing and brings the fresh state; a commit that reserves nothing does not compare."""
    first, second = record(forms.ledger), record(forms.ledger, "r2")
    forms.ledger.commit(first, [contact(first)], 0)
    moved = forms.ledger.commit(second, [contact(second)], 0)
    assert isinstance(moved, Moved)
    assert moved.state == forms.ledger.state("c1")
    assert forms.log.backlog() == 1
    assert forms.ledger.commit(second, [], 0) == Committed()
    assert version(forms.ledger) == 1


def test_a_decision_that_is_not_there_may_be_known_later(forms: Forms) -> None:
    """Of a ledger that was lost nobody can tell: a report on what was sent must not be refused for good."""
    r = record(forms.ledger)
    with pytest.raises(NotFound):
        forms.ledger.record(r.decision_id)
    forms.serve("")
    with pytest.raises(NotInService, match="ask again when it is"):
        forms.ledger.record(r.decision_id)


@pytest.mark.parametrize("contacts", [True, False])
def test_what_was_read_of_another_ledger_is_not_committed(forms: Forms, contacts: bool) -> None:
    """Lost between the read and the commit, it is empty, and at the same version as a customer's who is new."""
    read = forms.ledger.begin_read("c1", "r1").result()
    assert read.ledger_id == LEDGER
    r = record(forms.ledger)
    slots = [contact(r)] if contacts else []
    forms.serve("another")
    with pytest.raises(NotInService, match="lost, or replaced"):
        forms.ledger.commit(r, slots, read.state.version)
    assert forms.ledger.state("c1") == CustomerState()
    assert list(forms.log.read({}, 10)) == []
    forms.serve(LEDGER)
    assert forms.ledger.commit(r, slots, read.state.version) == Committed()


def test_a_commit_drops_the_contacts_named(forms: Forms) -> None:
    """Contacts that no cap can count any more go in the same step."""
    first, second = record(forms.ledger), record(forms.ledger, "r2")
    forms.ledger.commit(first, [contact(first)], 0)
    forms.ledger.commit(second, [contact(second)], 1, [first.decision_id])
    assert forms.ledger.state("c1").contacts == (contact(second),)


def test_a_decision_is_found_by_its_id_alone(forms: Forms) -> None:
    """The record comes back whole; an unknown or foreign id is NotFound."""
    r = record(forms.ledger, customer="someone else")
    forms.ledger.commit(r, [], 0)
    assert forms.ledger.record(r.decision_id) == r
    for unknown in (forms.ledger.new_decision_id("c1", NOW), "nonsense", "", "zz-1"):
        with pytest.raises(NotFound):
            forms.ledger.record(unknown)


def activation(of: DecisionRecord, status: ActivationStatus) -> Activation:
    """A report on a record."""
    return Activation(of.decision_id, of.request.customer_id, status, NOW + 5, NOW + 6)


def at(of: DecisionRecord, status: ContactStatus, at_ms: int) -> Contact:
    """The contact of a record, sent at a time."""
    return replace(contact(of, status), from_ms=at_ms, until_ms=at_ms)


def test_a_report_sets_the_slot_and_is_logged(forms: Forms) -> None:
    """The contact takes the place of the reservation, the version moves, and the report is remembered in its order."""
    r = record(forms.ledger)
    forms.ledger.commit(r, [contact(r)], 0)
    sent = at(r, ContactStatus.SENT, NOW + 5)
    assert forms.ledger.activate(activation(r, ActivationStatus.SENT), sent, ()) == ()
    assert forms.ledger.state("c1").contacts == (sent,)
    bounced = at(r, ContactStatus.BOUNCED, NOW + 5)
    before = (ActivationStatus.SENT,)
    assert forms.ledger.activate(activation(r, ActivationStatus.BOUNCED), bounced, before) == before
    known = forms.ledger.dealings("c1", r.decision_id)
    assert known.reported == (ActivationStatus.SENT, ActivationStatus.BOUNCED)
    assert known.state == forms.ledger.state("c1")
    assert known.state.contacts == (bounced,)
    assert known.stopped is None
    assert version(forms.ledger) == 3
    kinds = [e.kind for e in forms.log.read({}, 10)]
    assert kinds == [EntryKind.DECISIONS, EntryKind.ACTIVATIONS, EntryKind.ACTIVATIONS]


def test_a_report_on_a_decision_that_was_reported_meanwhile_writes_nothing(forms: Forms) -> None:
    """Whoever reports learns what is known, and says it anew in its light."""
    r = record(forms.ledger)
    forms.ledger.commit(r, [contact(r)], 0)
    failed = contact(r, ContactStatus.RELEASED)
    forms.ledger.activate(activation(r, ActivationStatus.FAILED), failed, ())
    sent = at(r, ContactStatus.SENT, NOW + 5)
    assert forms.ledger.activate(activation(r, ActivationStatus.SENT), sent, ()) == (ActivationStatus.FAILED,)
    assert forms.ledger.state("c1").contacts == (failed,)
    assert forms.log.backlog() == 2


def test_a_report_on_no_action_leaves_the_state(forms: Forms) -> None:
    """Without a contact the report is logged, nothing else."""
    r = record(forms.ledger, action="NO_ACTION")
    forms.ledger.commit(r, [], 0)
    assert forms.ledger.activate(activation(r, ActivationStatus.SKIPPED), None, ()) == ()
    assert forms.ledger.state("c1") == CustomerState()
    assert [e.kind for e in forms.log.read({}, 10)] == [EntryKind.DECISIONS, EntryKind.ACTIVATIONS]


def test_a_report_brings_back_a_contact_that_was_dropped(forms: Forms) -> None:
    """A late one enters the history again."""
    first, second = record(forms.ledger), record(forms.ledger, "r2")
    forms.ledger.commit(first, [contact(first)], 0)
    forms.ledger.commit(second, [contact(second)], 1, [first.decision_id])
    forms.ledger.activate(activation(first, ActivationStatus.SENT), at(first, ContactStatus.SENT, NOW + 5), ())
    assert at(first, ContactStatus.SENT, NOW + 5) in forms.ledger.state("c1").contacts


def test_a_commit_marks_what_has_lapsed(forms: Forms) -> None:
    """Further contacts take the place of those of the same decisions, in the step that reserves."""
    first, second = record(forms.ledger), record(forms.ledger, "r2")
    forms.ledger.commit(first, [contact(first)], 0)
    lapsed = contact(first, ContactStatus.LAPSED)
    forms.ledger.commit(second, [contact(second), lapsed], 1)
    assert set(forms.ledger.state("c1").contacts) == {contact(second), lapsed}
    assert version(forms.ledger) == 2


STOP = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, None, "unsubscribe")


def stopped(of: DecisionRecord) -> Confirmation:
    """That a reservation was revoked."""
    return Confirmation(of.decision_id, "c1", Verdict.STOP, NOW + 3, Reason.SUPPRESSED, "asked", asked=False)


def preference(kind: PreferenceKind = PreferenceKind.SUPPRESS) -> Preference:
    """An entry of the history of suppressions."""
    return Preference("c1", kind, "email", NOW + 3, Reason.SUPPRESSED, None, "ann", "asked")


def test_a_change_is_applied_whole(forms: Forms) -> None:
    """Contacts, suppressions and what is logged, in one step; a STOP is remembered for its decision."""
    r = record(forms.ledger)
    forms.ledger.commit(r, [contact(r)], 0)
    revoked = contact(r, ContactStatus.REVOKED)
    change = Change((revoked,), (STOP,), (), (stopped(r),), (preference(),))
    assert forms.ledger.change("c1", change, 1) is None
    known = forms.ledger.dealings("c1", r.decision_id)
    assert known.stopped == stopped(r)
    assert (known.state.version, known.state.contacts, known.state.suppressions) == (2, (revoked,), (STOP,))
    assert [(e.kind, e.body) for e in forms.log.read({}, 10)][1:] == [
        (EntryKind.CONFIRMATIONS, stopped(r)),
        (EntryKind.CONTACT_PREFERENCES, preference()),
    ]


def test_a_change_of_a_moved_state_writes_nothing(forms: Forms) -> None:
    """The fresh state comes back."""
    r = record(forms.ledger)
    forms.ledger.commit(r, [contact(r)], 0)
    moved = forms.ledger.change("c1", Change(suppressions=(STOP,), preferences=(preference(),)), 0)
    assert moved == Moved(forms.ledger.state("c1"))
    assert forms.ledger.state("c1").suppressions == ()
    assert forms.log.backlog() == 1


def test_a_go_is_logged_and_moves_nothing(forms: Forms) -> None:
    """It is compared with the state that it was judged on, and not remembered: the next one is judged anew."""
    r = record(forms.ledger)
    forms.ledger.commit(r, [contact(r)], 0)
    go = Confirmation(r.decision_id, "c1", Verdict.GO, NOW + 3, until_ms=NOW + 60_003)
    assert forms.ledger.change("c1", Change(confirmations=(go,)), 1) is None
    assert forms.ledger.dealings("c1", r.decision_id).stopped is None
    assert version(forms.ledger) == 1
    assert [e.body for e in forms.log.read({}, 10)][1:] == [go]


def test_suppressions_of_both_reasons_stand_side_by_side_and_are_lifted_together(forms: Forms) -> None:
    """One per channel and reason; lifting a channel lifts both, and only there."""
    by_hand = Suppression("email", Reason.SUPPRESSED, NOW, NOW + 9, "asked")
    everywhere = Suppression(ALL_CHANNELS, Reason.SUPPRESSED, NOW)
    for i, suppression in enumerate((everywhere, STOP, replace(by_hand, until_ms=None), by_hand)):
        assert forms.ledger.change("c1", Change(suppressions=(suppression,)), i) is None
    assert set(forms.ledger.state("c1").suppressions) == {by_hand, STOP, everywhere}
    lift = Change(lifted=("email",), preferences=(preference(PreferenceKind.LIFT),))
    assert forms.ledger.change("c1", lift, 4) is None
    assert forms.ledger.state("c1").suppressions == (everywhere,)
    assert version(forms.ledger) == 5


def outcome(outcome_id: str = "o1", name: str = "purchase", at_ms: int = NOW) -> Outcome:
    """A purchase."""
    return Outcome(outcome_id, "c1", name, at_ms, NOW, 12.5)


def test_outcomes_count_once_and_change_at_once(forms: Forms) -> None:
    """An outcome counts once; its change is in the state and moves the version."""
    change = Change(suppressions=(STOP,), preferences=(preference(),))
    assert forms.ledger.add_outcome(outcome(), (), change, 0) is Recorded.NEW
    assert forms.ledger.add_outcome(outcome(), (), change, 0) is Recorded.KNOWN
    state = forms.ledger.state("c1")
    assert state.events["purchase"] == EventCounter(1, (NOW,))
    assert state.suppressions == (STOP,)
    assert state.version == 1
    assert [e.body for e in forms.log.read({}, 10)] == [outcome(), preference()]


def test_an_outcome_of_a_moved_state_writes_nothing(forms: Forms) -> None:
    """What it changes was worked out from a state that is no more."""
    forms.ledger.change("c1", Change(suppressions=(STOP,)), 0)
    moved = forms.ledger.add_outcome(outcome(), (), Change(suppressions=(STOP,)), 0)
    assert moved == Moved(forms.ledger.state("c1"))
    assert forms.log.backlog() == 0
    assert forms.ledger.add_outcome(outcome()) is Recorded.NEW


def test_names_and_channels_keep_facts_of_one_id_apart(forms: Forms) -> None:
    """As senders give a message's opening and its unsubscribing one id; with another content it is refused."""
    stop, again = outcome(name="unsubscribe"), replace(outcome(), value=13.0)
    for fact in (outcome(), stop, replace(stop, channel="sms")):
        assert forms.ledger.add_outcome(fact) is Recorded.NEW
    assert forms.ledger.add_outcome(again) is Recorded.OTHER_BODY
    assert forms.ledger.add_outcome(replace(outcome(), received_at_ms=NOW + 9)) is Recorded.KNOWN
    view = Event("o1", "c1", "view", NOW, NOW)
    assert forms.ledger.add_event(view) is Recorded.NEW
    assert forms.ledger.add_event(replace(view, name="click")) is Recorded.NEW
    assert forms.ledger.add_event(replace(view, attributes={"page": "home"})) is Recorded.OTHER_BODY
    assert forms.log.backlog() == 5
    assert forms.ledger.state("c1").events["purchase"].total == 1


def test_what_is_not_counted_is_only_logged(forms: Forms) -> None:
    """The state stays as it was; it is known all the same."""
    assert forms.ledger.add_outcome(outcome(), counted=False) is Recorded.NEW
    assert forms.ledger.add_event(Event("e", "c1", "view", NOW, NOW), counted=False) is Recorded.NEW
    assert forms.ledger.state("c1") == CustomerState()
    assert forms.ledger.add_outcome(outcome()) is Recorded.KNOWN
    assert forms.log.backlog() == 2


def test_event_times_are_kept_newest_first_and_bounded(forms: Forms) -> None:
    """However they arrive, the latest 64 times are kept in order; the total counts all."""
    times = [NOW + (i * 37) % 101 for i in range(101)]
    for i, at_ms in enumerate(times):
        assert forms.ledger.add_event(Event(f"e{i}", "c1", "view", at_ms, NOW)) is Recorded.NEW
    counter = forms.ledger.state("c1").events["view"]
    assert counter.total == 101
    assert counter.recent_ms == tuple(sorted(times, reverse=True)[:64])
    assert version(forms.ledger) == 0


def test_an_event_and_an_outcome_may_share_an_id(forms: Forms) -> None:
    """Ids are unique within outcomes and within events."""
    assert forms.ledger.add_outcome(outcome("x")) is Recorded.NEW
    assert forms.ledger.add_event(Event("x", "c1", "purchase", NOW, NOW)) is Recorded.NEW


def test_an_outcome_counts_under_further_names(forms: Forms) -> None:
    """Once each, also under names given twice; the version moves, as what is paused may depend on them."""
    counters = ["pause:email", "pause:a1", "pause:email"]
    for i, at_ms in enumerate([NOW, NOW + 2, NOW + 1]):
        assert forms.ledger.add_outcome(outcome(f"o{i}", at_ms=at_ms), counters, None, i) is Recorded.NEW
        assert forms.ledger.add_outcome(outcome(f"o{i}", at_ms=at_ms), counters, None, i) is Recorded.KNOWN
    state = forms.ledger.state("c1")
    expected = EventCounter(3, (NOW + 2, NOW + 1, NOW))
    assert state.events == dict.fromkeys(["purchase", "pause:email", "pause:a1"], expected)
    assert (state.version, state.suppressions) == (3, ())
    assert forms.ledger.add_outcome(outcome("o9", "visit")) is Recorded.NEW
    assert version(forms.ledger) == 3


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
        results.append(forms.ledger.commit(r, [contact(r)], 0))

    threads = [threading.Thread(target=commit, args=(r,)) for r in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(r, Committed) for r in results) == 1
    assert sum(isinstance(r, Moved) for r in results) == 15
    assert len(forms.ledger.state("c1").contacts) == 1
