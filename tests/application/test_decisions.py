"""The Decide cycle and its siblings on in-memory adapters: what callers, runners and marketers can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.application.feedback import Receipt
from decision_service.application.ports import Committed, Earlier, LedgerRead, Moved
from decision_service.core.model.customer import Contact
from decision_service.core.model.errors import Conflict, InvalidRequest, NotFound, Overloaded, Unavailable
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    Event,
    FeatureStatus,
    Outcome,
)
from decision_service.core.model.values import NO_ACTION
from tests.support.served import AUDIT, POLICY, PROGRAM, World


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


def test_a_decision_is_reserved_logged_and_answered(world: World) -> None:
    """What is answered is what is logged, with the slot reserved until the lease's end."""
    decided = world.service.decide(DecideRequest("r", "c", ("p",), {"basket": 12.5}))
    assert (decided.action.id, decided.action.payload_json) == ("mail", '{"template":"t1"}')
    assert decided.record.reservation is not None
    assert decided.record.reservation.lease_expires_at_ms == world.clock.now_ms() + 600_000
    [entry] = world.ledger.read({}, 10)
    assert entry.body == decided.record == world.inquiry.get_decision(decided.record.decision_id)
    assert decided.record.features.values == {"age": 40, "timezone": "Europe/Berlin"}
    assert decided.record.timings_us.keys() == {"gather", "decide"}


def test_the_same_request_gets_the_same_answer(world: World) -> None:
    """Law 4: even after the caps have changed what would be feasible, and logged once."""
    world.policies.publish_policy(POLICY, AUDIT)
    first = world.decide()
    world.draws = [0.9]
    assert world.decide() == first
    assert len(world.ledger.read({}, 10)) == 1


@pytest.mark.parametrize("changes", [{"context": {"basket": 1.0}}, {"channels": ("sms",)}])
def test_a_request_id_with_another_body_is_refused(world: World, changes: dict[str, object]) -> None:
    """Law 4: reuse is a conflict, not a silent answer to another question."""
    world.decide()
    with pytest.raises(Conflict, match="request_id 'r'"):
        world.decide(**changes)


def test_request_ids_belong_to_customers(world: World) -> None:
    """Two customers may have a request of the same id."""
    assert world.decide().decision_id != world.decide(customer="d").decision_id


def test_all_mistakes_of_a_request_are_told_at_once(world: World) -> None:
    """Wrong types and unknown channels, with their fields; nothing is logged."""
    with pytest.raises(InvalidRequest) as caught:
        world.decide(context={"basket": "full", "age": 1.5}, channels=("fax",))
    assert [v.field for v in caught.value.violations] == ["context['basket']", "context['age']", "channels[0]"]
    assert world.ledger.backlog() == 0


def test_an_unknown_program_says_which_there_are(world: World) -> None:
    """The error helps."""
    with pytest.raises(NotFound, match="published are p"):
        world.service.decide(DecideRequest("r", "c", ("q",)))


class Raced(MemoryLedger):
    """Lets others in between the read and the commit: `others` are run before a commit, one per attempt."""

    others: list[object]

    def commit(
        self, record: DecisionRecord, contacts: Sequence[Contact], expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        if self.others and contacts:
            self.others.pop(0)()  # type: ignore[operator]
        return super().commit(record, contacts, expected_version, drop)


def raced(world: World, times: int) -> tuple[World, Raced]:
    """A world whose ledger lets `times` decisions of another runner in between."""
    ledger = Raced()
    rival = world.serve(ledger)
    world.ledger, world.service = ledger, world.serve(ledger)
    ledger.others = []
    numbers = iter(range(times))

    def intrude() -> None:
        pending, ledger.others = ledger.others, []
        rival.decide(DecideRequest(f"rival-{next(numbers)}", "c", ("p",)))
        ledger.others = pending

    ledger.others = [intrude] * times
    return world, ledger


def test_a_lost_race_is_no_action_and_says_so(world: World) -> None:
    """The last slot went between draw and commit: NO_ACTION, CAP_RACE_LOST, not trainable, draw kept for audit."""
    world.policies.publish_policy(POLICY, AUDIT)
    world, ledger = raced(world, 1)
    record = world.decide()
    assert (record.drawn, record.chosen, record.reservation) == ("mail", NO_ACTION, None)
    assert (record.trainable, record.degradations[-1], record.probability) == (False, Reason.CAP_RACE_LOST, 1.0)
    assert len(ledger.state("c").contacts) == 1
    assert world.inquiry.replay(record.decision_id).identical


def test_a_won_race_is_committed_on_the_fresh_state(world: World) -> None:
    """Without a cap in the way the drawn action stands, after as many retries as it takes."""
    world, ledger = raced(world, 3)
    record = world.decide()
    assert (record.chosen, record.trainable) == ("mail", True)
    assert len(ledger.state("c").contacts) == 4


def test_sent_failed_and_skipped(world: World) -> None:
    """SENT keeps the slot, FAILED gives it back; both are idempotent."""
    world.policies.publish_policy(POLICY, AUDIT)
    first = world.decide("r1")
    assert not world.feedback.report_activation(first.decision_id, ActivationStatus.FAILED).duplicate
    assert world.feedback.report_activation(first.decision_id, ActivationStatus.FAILED).duplicate
    second = world.decide("r2")
    assert second.chosen == "mail"
    world.feedback.report_activation(second.decision_id, ActivationStatus.SENT)
    assert {e.reason for e in world.decide("r3").exclusions} == {Reason.FREQUENCY_CAP}
    contradicted = world.feedback.report_activation(second.decision_id, ActivationStatus.SKIPPED)
    assert contradicted.contradicts is ActivationStatus.SENT
    assert {e.reason for e in world.decide("r4").exclusions} == {Reason.FREQUENCY_CAP}


def test_what_failed_and_was_sent_all_the_same_counts(world: World) -> None:
    """The truth is never refused: both reports are logged, and the next message is not sent on top."""
    world.policies.publish_policy(POLICY, AUDIT)
    first = world.decide("r1")
    world.feedback.report_activation(first.decision_id, ActivationStatus.FAILED)
    result = world.feedback.report_activation(first.decision_id, ActivationStatus.DELIVERED)
    assert (result.duplicate, result.contradicts) == (False, ActivationStatus.FAILED)
    assert {e.reason for e in world.decide("r2").exclusions} == {Reason.FREQUENCY_CAP}


def test_the_receipt_of_a_timely_message_is_not_late(world: World) -> None:
    """However long after its lease it comes."""
    record = world.decide()
    assert not world.feedback.report_activation(record.decision_id, ActivationStatus.SENT).late
    world.clock.advance(7_200)
    assert not world.feedback.report_activation(record.decision_id, ActivationStatus.DELIVERED).late


def test_a_lease_lapses_and_a_late_report_still_counts(world: World) -> None:
    """After the lease the slot is free; a message sent all the same is a contact, marked late."""
    world.policies.publish_policy(POLICY, AUDIT)
    first = world.decide("r1")
    world.clock.advance(600 + 61)
    assert world.decide("r2").chosen == "mail"
    assert world.feedback.report_activation(first.decision_id, ActivationStatus.SENT).late
    assert len([c for c in world.ledger.state("c").contacts if c.from_ms == world.clock.now_ms()]) == 2


@pytest.mark.parametrize("offset_s", [-3600, 3600])
def test_an_activation_at_an_impossible_time_is_refused(world: World, offset_s: int) -> None:
    """Neither before the decision nor in the future; the slot stays reserved."""
    record = world.decide()
    with pytest.raises(InvalidRequest, match="at_ms"):
        world.feedback.report_activation(
            record.decision_id, ActivationStatus.SENT, world.clock.now_ms() + offset_s * 1000
        )
    assert len(world.ledger.state("c").contacts) == 1


def test_no_action_cannot_be_sent_but_can_be_skipped(world: World) -> None:
    """SKIPPED on a NO_ACTION decision takes it out of learning."""
    world.draws = [0.99]
    record = world.decide()
    assert record.chosen == NO_ACTION
    with pytest.raises(InvalidRequest):
        world.feedback.report_activation(record.decision_id, ActivationStatus.SENT)
    assert not world.feedback.report_activation(record.decision_id, ActivationStatus.SKIPPED).duplicate


def outcome(name: str, outcome_id: str = "o", channel: str = "", at_ms: int = 1_700_000_000_000) -> Outcome:
    """What a customer did."""
    return Outcome(outcome_id, "c", name, at_ms, 0, channel=channel)


def test_an_unsubscribe_is_seen_by_the_next_decide(world: World) -> None:
    """Law 8: its own channel is suppressed, others are not."""
    world.policies.publish_policy(POLICY, AUDIT)
    assert world.feedback.record_outcomes([outcome("unsubscribe", channel="email")] * 2) == Receipt(1, 1)
    record = world.decide()
    assert [(e.action, e.reason, e.detail) for e in record.exclusions] == [
        ("mail", Reason.SUPPRESSED_BY_OUTCOME, "unsubscribe")
    ]


def test_a_complaint_suppresses_everything_for_its_time(world: World) -> None:
    """All channels for 30 days, and no longer."""
    world.policies.publish_policy(POLICY, AUDIT)
    world.feedback.record_outcomes([outcome("complaint", at_ms=world.clock.now_ms())])
    assert set(world.decide("r1").reasons) == {Reason.MODEL_MISSING, Reason.SUPPRESSED_BY_OUTCOME}
    world.clock.advance(31 * 86_400)
    assert world.decide("r2").chosen == "mail"


def test_a_purchase_is_seen_by_the_next_decide(world: World) -> None:
    """Law 8: as a live feature, from outcomes and events alike."""
    assert world.decide("r1").live["purchase_count_1d"] == 0
    world.feedback.record_outcomes([outcome("purchase", at_ms=world.clock.now_ms())])
    world.feedback.record_events([Event("e", "c", "purchase", world.clock.now_ms() - 3_600_000, 0)])
    live = world.decide("r2").live
    assert (live["purchase_count_1d"], live["purchase_hours_since"]) == (2, 0.0)


def test_what_has_not_happened_yet_is_refused_whole(world: World) -> None:
    """An event of tomorrow would hold its place among the latest for a day; nothing of its batch is recorded."""
    now = world.clock.now_ms()
    later = now + 86_400_000
    with pytest.raises(InvalidRequest, match=r"events\[1\].occurred_at_ms"):
        world.feedback.record_events([Event("a", "c", "view", now, 0), Event("b", "c", "view", later, 0)])
    with pytest.raises(InvalidRequest, match=r"outcomes\[0\].occurred_at_ms"):
        world.feedback.record_outcomes([outcome("purchase", at_ms=later)])
    assert world.ledger.backlog() == 0


def test_suppress_and_unsuppress(world: World) -> None:
    """By hand, at once, until lifted."""
    world.administration.suppress("c", "*", None, "asked by phone")
    assert set(world.decide("r1").reasons) == {Reason.MODEL_MISSING, Reason.SUPPRESSED}
    assert world.administration.unsuppress("c", "*")
    assert world.decide("r2").chosen == "mail"


def test_features_that_are_down_degrade_the_answer(world: World) -> None:
    """Decided on context alone, and said so; likewise for a FeatureService that is not there."""
    world.features.down = True
    record = world.decide("r1")
    assert record.features.status is FeatureStatus.UNAVAILABLE
    assert Reason.FEATURES_MISSING in record.degradations
    world.policies.publish_program(PROGRAM.replace("service: s", "service: nowhere"), AUDIT)
    assert Reason.FEATURES_MISSING in world.decide("r2").degradations


def test_stale_features_are_missing_and_named(world: World) -> None:
    """Beyond the view's TTL."""
    world.clock.advance(3601)
    record = world.decide()
    assert record.features.stale_views == ("v",)
    assert record.features.values["age"] is None
    assert Reason.FEATURES_STALE in record.degradations


def test_a_customer_nobody_has_seen(world: World) -> None:
    """Is decided for, with FEATURES_MISSING."""
    record = world.decide(customer="stranger")
    assert record.features.status is FeatureStatus.UNKNOWN_CUSTOMER
    assert record.degradations == (Reason.FEATURES_MISSING, Reason.MODEL_MISSING)


class Down(MemoryLedger):
    """Does not answer."""

    def begin_read(self, customer_id: str, request_id: str) -> Down:  # type: ignore[override]
        return self

    def result(self) -> LedgerRead:
        raise Unavailable("ledger", "connection refused")


def test_without_the_ledger_nobody_is_contacted(world: World) -> None:
    """UNAVAILABLE; or NO_ACTION marked unlogged, where the runner asked for that."""
    service = world.serve(Down())
    with pytest.raises(Unavailable):
        service.decide(DecideRequest("r", "c", ("p",)))
    decided = service.decide(DecideRequest("r", "c", ("p",), no_action_when_unavailable=True))
    assert (decided.action.id, decided.record.unlogged, decided.record.trainable) == (NO_ACTION, True, False)


def test_a_log_at_its_bound_sheds_load(world: World) -> None:
    """Backpressure: refused, not queued."""
    world.accepting = False
    with pytest.raises(Overloaded):
        world.decide()


def test_every_decision_replays(world: World) -> None:
    """Law 5: under program and policy versions long replaced, with contacts long changed."""
    world.policies.publish_policy(POLICY, AUDIT)
    world.draws = [i / 17 for i in range(17)]
    records = []
    for i in range(17):
        records.append(world.decide(f"r{i}", customer="c" if i % 2 else "d"))
        world.clock.advance(500)
    world.policies.publish_program(PROGRAM.replace("id: mail", "id: letter"), AUDIT)
    world.policies.publish_policy("caps: []", AUDIT)
    for record in records:
        assert world.inquiry.replay(record.decision_id).differences == ()
    assert {r.chosen for r in records} == {"mail", "text", NO_ACTION}


def test_a_record_that_was_tampered_with_does_not_replay(world: World) -> None:
    """The comparison can fail, and names the field."""
    record = world.decide()
    result = world.inquiry.replay_record(replace(record, draw=0.5))
    assert not result.identical
    assert [d.partition(":")[0] for d in result.differences] == ["drawn"]


def test_explain_says_who_was_removed_and_what_to_do(world: World) -> None:
    """Text for people with the funnel, the cap by name, the features; and the funnel as values."""
    world.policies.publish_policy(POLICY, AUDIT)
    world.decide("r1")
    record = world.decide("r2")
    explanation = world.inquiry.explain(record.decision_id)
    assert "cap 'one_an_hour' of the contact policy: at most 1 contact in any 1 hour" in explanation.text
    assert "age = 40" in explanation.text
    assert [(s.action, s.kept, s.chosen) for s in explanation.funnel] == [
        (NO_ACTION, True, True),
        ("mail", False, False),
        ("text", False, False),
    ]
    assert explanation.funnel[1].remedy == Reason.FREQUENCY_CAP.remedy


def test_programs_are_published_with_an_author(world: World) -> None:
    """An audit without a name is none."""
    with pytest.raises(InvalidRequest, match="author"):
        world.administration.apply_program(PROGRAM, "")
    published = world.administration.apply_program(PROGRAM.replace("lease: 10m", "lease: 20m"), "ann", "longer")
    assert (published.version, published.audit.author, published.audit.note) == (2, "ann", "longer")
    assert world.administration.rollback_program("p", 1, "bob").version == 3
    version, history = world.administration.get_program("p")
    assert (version.version, [v.version for v in history]) == (3, [1, 2, 3])
    with pytest.raises(NotFound, match="versions are 1 to 3"):
        world.administration.get_program("p", 9)
