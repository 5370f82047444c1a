"""Guardrails hold when a message is sent, not only when it was decided."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.adapters.memory.features import MemoryView
from decision_service.application.ports import EntryKind
from decision_service.core.model.customer import ContactStatus
from decision_service.core.model.errors import Conflict, InvalidRequest, NotFound
from decision_service.core.model.program import ProgramState
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecisionRecord, Outcome
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind, Verdict
from decision_service.core.model.values import ValueType
from tests.support.served import AUDIT, POLICY, PROGRAM, World

QUEUE = """
quiet_hours: [{id: night, from: '22:00', to: '07:30', channels: [email], when_quiet: queue}]
suppress_on: [{outcome: unsubscribe, channels: own}]
pause_on: [{id: tired, outcome: ignored, count: 2, within: 1d, for: 7d, pauses: channel}]
"""


@pytest.fixture
def world() -> World:
    """It is 23:13 in Berlin."""
    return World()


def said(confirmation: Confirmation) -> tuple[Verdict, Reason | None]:
    """The verdict and why."""
    return confirmation.verdict, confirmation.reason


def queued(world: World) -> DecisionRecord:
    """A mail that waits for the end of the night."""
    world.policies.publish_policy(QUEUE, AUDIT)
    record = world.decide()
    assert record.reservation is not None
    assert record.reservation.send_at_ms is not None
    return record


def until_sending(world: World, record: DecisionRecord) -> None:
    """The morning comes."""
    assert record.reservation is not None
    assert record.reservation.send_at_ms is not None
    world.clock.set(record.reservation.send_at_ms)
    world.features.put("v", "c", {"age": 40, "timezone": "Europe/Berlin"}, world.clock.now_ms())


def unsubscribe(world: World) -> None:
    """By e-mail."""
    world.feedback.record_outcomes([Outcome("u", "c", "unsubscribe", world.clock.now_ms(), 0, channel="email")])


def logged(world: World, kind: EntryKind) -> list[object]:
    """What the log holds of a kind."""
    return [entry.body for entry in world.ledger.read({}, 1_000) if entry.kind is kind]


def test_a_go_is_logged_and_may_be_asked_for_again(world: World) -> None:
    """It holds for a minute at most, never beyond the lease, and takes nothing."""
    record = world.decide()
    first = world.sending.confirm(record.decision_id)
    assert said(first) == (Verdict.GO, None)
    assert first.until_ms == world.clock.now_ms() + 60_000
    world.clock.advance(590)
    second = world.sending.confirm(record.decision_id)
    assert record.reservation is not None
    assert second.until_ms == record.reservation.lease_expires_at_ms
    assert logged(world, EntryKind.CONFIRMATIONS) == [first, second]
    assert [c.status for c in world.ledger.state("c").contacts] == [ContactStatus.RESERVED]


def test_what_is_queued_waits_and_then_goes(world: World) -> None:
    """Asked too early it says when; its slot stays."""
    record = queued(world)
    early = world.sending.confirm(record.decision_id)
    assert said(early) == (Verdict.WAIT, Reason.QUIET_HOURS)
    assert record.reservation is not None
    assert early.until_ms == record.reservation.send_at_ms
    until_sending(world, record)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)


def test_who_unsubscribes_in_the_night_gets_nothing_in_the_morning(world: World) -> None:
    """The reservation is revoked in the step that records it: its slot is free at once, and the runner is told why."""
    record = queued(world)
    unsubscribe(world)
    assert [c.status for c in world.ledger.state("c").contacts] == [ContactStatus.REVOKED]
    [stop] = logged(world, EntryKind.CONFIRMATIONS)
    assert isinstance(stop, Confirmation)
    assert (stop.decision_id, stop.verdict, stop.asked) == (record.decision_id, Verdict.STOP, False)
    until_sending(world, record)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.SUPPRESSED_BY_OUTCOME)
    again = world.service.decide(record.request)
    assert again.withheld is Reason.SUPPRESSED_BY_OUTCOME


def test_suppressed_by_hand(world: World) -> None:
    """As an unsubscribe; lifting it does not bring back what it stopped."""
    record = queued(world)
    world.administration.suppress("c", "*", None, "asked by phone", "ann")
    world.administration.unsuppress("c", "*", "ann", "a mistake")
    until_sending(world, record)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.SUPPRESSED)
    history = [p for p in logged(world, EntryKind.CONTACT_PREFERENCES) if isinstance(p, Preference)]
    assert [(p.kind, p.channel, p.author, p.note) for p in history] == [
        (PreferenceKind.SUPPRESS, "*", "ann", "asked by phone"),
        (PreferenceKind.LIFT, "*", "ann", "a mistake"),
    ]


def test_a_pause_that_begins_stops_what_is_queued(world: World) -> None:
    """With the outcome that brings it about, not the one before."""
    record = queued(world)
    for i in range(2):
        assert [c.status for c in world.ledger.state("c").contacts] == [ContactStatus.RESERVED]
        ignored = Outcome(f"i{i}", "c", "ignored", world.clock.now_ms(), 0, channel="email")
        world.feedback.record_outcomes([ignored])
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.SUPPRESSED_BY_OUTCOME)
    [pause] = [p for p in logged(world, EntryKind.CONTACT_PREFERENCES) if isinstance(p, Preference)]
    assert (pause.kind, pause.channel, pause.note) == (PreferenceKind.PAUSE, "channel email", "tired")


@pytest.mark.parametrize("state", [ProgramState.PAUSED, ProgramState.UNPUBLISHED])
def test_a_program_that_is_withdrawn_stops_what_it_has_queued(world: World, state: ProgramState) -> None:
    """And decides no more; both are versions, with who and why."""
    record = queued(world)
    version = world.administration.set_program_state("p", state, "ann", "wrong price")
    assert (version.version, version.audit.author) == (2, "ann")
    until_sending(world, record)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.WITHDRAWN)
    if state is ProgramState.PAUSED:
        assert {e.reason for e in world.decide("r2").exclusions} == {Reason.WITHDRAWN}
    else:
        with pytest.raises(NotFound):
            world.decide("r2")
        again = world.service.decide(record.request)
        assert (again.record, again.withheld) == (record, Reason.WITHDRAWN)
        with pytest.raises(Conflict):
            world.decide(record.request.request_id, channels=("email",))
    world.administration.set_program_state("p", ProgramState.LIVE, "ann")
    assert world.decide("r3").is_contact


def test_a_go_tells_what_was_read_of_consent(world: World) -> None:
    """So that the warehouse alone can judge it; one who has refused since is not sent anything."""
    world.features.define("s", MemoryView("v", {"mail_ok": ValueType.BOOL, "timezone": ValueType.STRING}))
    stored = {"mail_ok": True, "timezone": "Europe/Berlin"}
    world.clock.advance(1)
    world.features.put("v", "c", stored, world.clock.now_ms())
    world.policies.publish_policy(QUEUE + "consent: {features: {email: mail_ok}, default: deny}\n", AUDIT)
    record = world.decide()
    assert record.reservation is not None
    world.clock.set(record.reservation.send_at_ms or 0)
    world.features.put("v", "c", stored, world.clock.now_ms())
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)
    [go] = [c for c in logged(world, EntryKind.CONFIRMATIONS) if isinstance(c, Confirmation)]
    assert (go.policy_version, go.features, go.unread) == (1, {"mail_ok": True}, frozenset())
    world.clock.advance(1)
    world.features.put("v", "c", {**stored, "mail_ok": False}, world.clock.now_ms())
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.NO_CONSENT)


def test_an_action_that_is_gone_is_not_sent(world: World) -> None:
    """Or that is no longer for her: eligibility is judged on fresh features too."""
    record = queued(world)
    gone = "  - {id: mail, channel: email, message: hello, payload: {template: t1}}\n"
    world.policies.publish_program(PROGRAM.replace(gone, ""), AUDIT)
    until_sending(world, record)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.WITHDRAWN)


def test_eligibility_is_judged_again(world: World) -> None:
    """The customer has upgraded since."""
    world.policies.publish_program(
        PROGRAM.replace("message: hello, payload", "message: hello, eligible: customer.age < 50, payload"), AUDIT
    )
    record = queued(world)
    until_sending(world, record)
    world.clock.advance(1)
    world.features.put("v", "c", {"age": 60, "timezone": "Europe/Berlin"}, world.clock.now_ms())
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.INELIGIBLE)


def test_its_own_slot_does_not_stop_it_and_that_of_another_does(world: World) -> None:
    """A cap that is tightened meanwhile holds for what is still to be sent."""
    world.policies.publish_policy(POLICY, AUDIT)
    record = world.decide()
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)
    world.policies.publish_policy("caps: []", AUDIT)
    second = world.decide("r2")
    world.policies.publish_policy(POLICY, AUDIT)
    assert said(world.sending.confirm(second.decision_id)) == (Verdict.STOP, Reason.FREQUENCY_CAP)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)


def test_a_stop_frees_slot_and_tokens_and_stays(world: World) -> None:
    """Whoever asks again gets the same answer, logged once, though the guardrail is gone."""
    world.policies.publish_program(PROGRAM + "budgets: [{id: one, limit: 1, per: total}]\n", AUDIT)
    record = world.decide()
    world.administration.set_program_state("p", ProgramState.PAUSED, "ann")
    first = world.sending.confirm(record.decision_id)
    assert said(first) == (Verdict.STOP, Reason.WITHDRAWN)
    world.administration.set_program_state("p", ProgramState.LIVE, "ann")
    world.clock.advance(60)
    assert world.sending.confirm(record.decision_id) == first
    assert logged(world, EntryKind.CONFIRMATIONS) == [first]
    assert world.decide("r2", customer="other").chosen == "mail"  # the budget's only token


def test_a_go_that_was_given_keeps_its_slot(world: World) -> None:
    """The customer's word comes after it: the message may be on its way, so nothing takes its place under the cap."""
    world.policies.publish_policy(POLICY, AUDIT)
    record = world.decide()
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)
    unsubscribe(world)
    assert {e.reason for e in world.decide("r2").exclusions} == {Reason.SUPPRESSED_BY_OUTCOME, Reason.FREQUENCY_CAP}
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.SUPPRESSED_BY_OUTCOME)
    assert world.decide("r3").chosen == "text"  # who asks again does not send


def test_nothing_is_sent_before_its_time(world: World) -> None:
    """Though quiet hours are gone from the policy: its slot and its tokens are those of the morning."""
    record = queued(world)
    world.policies.publish_policy("caps: []", AUDIT)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.WAIT, Reason.QUIET_HOURS)
    until_sending(world, record)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)


def test_after_the_lease_a_report_may_be_under_way(world: World) -> None:
    """For a minute the slot is held, whoever asks."""
    world.policies.publish_policy(POLICY, AUDIT)
    record = world.decide()
    world.clock.advance(601)
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.LEASE_LAPSED)
    assert {e.reason for e in world.decide("r2").exclusions} == {Reason.FREQUENCY_CAP}
    assert not world.feedback.report_activation(
        record.decision_id, ActivationStatus.SENT, record.decided_at_ms + 599_000
    ).late


def test_a_paced_budget_does_not_stop_who_holds_its_token(world: World) -> None:
    """The token was taken when the pace allowed it."""
    paced = "budgets: [{id: even, limit: 2, per: day, pace: even}]\n"
    world.policies.publish_program(PROGRAM + paced, AUDIT)
    record = world.decide()
    other = world.decide("r2", customer="other")
    assert record.is_contact
    assert other.is_contact
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.GO, None)


def test_what_was_sent_in_spite_of_a_stop_counts(world: World) -> None:
    """The truth is logged, and the cap sees it."""
    world.policies.publish_policy(POLICY, AUDIT)
    record = world.decide()
    world.administration.suppress("c", "sms", None)
    unsubscribe(world)
    world.feedback.report_activation(record.decision_id, ActivationStatus.SENT)
    assert [c.status for c in world.ledger.state("c").contacts] == [ContactStatus.SENT]
    world.administration.unsuppress("c", "email")
    assert {e.reason for e in world.decide("r2").exclusions} >= {Reason.FREQUENCY_CAP}


@pytest.mark.parametrize("status", [ActivationStatus.SENT, ActivationStatus.FAILED])
def test_what_was_reported_is_not_sent_again(world: World, status: ActivationStatus) -> None:
    """Asked for confirmation, or for the decision under its request id once more."""
    record = world.decide()
    world.feedback.report_activation(record.decision_id, status)
    before = world.ledger.state("c")
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.ALREADY_REPORTED)
    assert world.ledger.state("c") == before
    again = world.service.decide(record.request)
    assert (again.record.decision_id, again.withheld) == (record.decision_id, Reason.ALREADY_REPORTED)
    assert again.reasons[0] is Reason.ALREADY_REPORTED


def test_after_the_lease_nothing_is_sent(world: World) -> None:
    """The same request asked again says so, and so does a confirmation; until then it is as fresh."""
    record = world.decide()
    assert record.reservation is not None
    world.clock.set(record.reservation.lease_expires_at_ms)
    assert world.service.decide(record.request).withheld is None
    world.clock.advance(1)
    assert world.service.decide(record.request).withheld is Reason.LEASE_LAPSED
    assert said(world.sending.confirm(record.decision_id)) == (Verdict.STOP, Reason.LEASE_LAPSED)


def test_a_clock_set_back_does_not_revive_a_lapsed_slot(world: World) -> None:
    """Once another decision has its slot, the first one is over for good."""
    world.policies.publish_policy(POLICY, AUDIT)
    first = world.decide("r1")
    world.clock.advance(600 + 61)
    second = world.decide("r2")
    assert second.chosen == "mail"
    world.clock.advance(-300)
    statuses = {c.decision_id: c.status for c in world.ledger.state("c").contacts}
    assert statuses[first.decision_id] is ContactStatus.LAPSED
    assert world.service.decide(first.request).withheld is Reason.LEASE_LAPSED
    assert said(world.sending.confirm(first.decision_id)) == (Verdict.STOP, Reason.LEASE_LAPSED)
    assert said(world.sending.confirm(second.decision_id)) == (Verdict.GO, None)


def test_no_action_has_nothing_to_send(world: World) -> None:
    """And an unknown decision is unknown."""
    world.draws = [0.99]
    with pytest.raises(InvalidRequest, match="NO_ACTION"):
        world.sending.confirm(world.decide().decision_id)
    with pytest.raises(NotFound):
        world.sending.confirm("00-nothing")


def test_what_occurred_before_the_retention_changes_nothing_live(world: World) -> None:
    """A repeated export does not re-apply an unsubscribe that was lifted, nor count twice; it is logged."""
    world.policies.publish_policy(QUEUE, AUDIT)
    old = Outcome("u", "c", "unsubscribe", world.clock.now_ms() - 8 * 86_400_000, 0, channel="email")
    receipt = world.feedback.record_outcomes([old])
    assert (receipt.recorded, receipt.historic) == (1, 1)
    assert world.ledger.state("c").suppressions == ()
    assert world.ledger.state("c").events == {}
    assert len(logged(world, EntryKind.OUTCOMES)) == 1


def test_one_id_for_two_facts_keeps_both(world: World) -> None:
    """An opening and an unsubscribe under one message id: the customer is not mailed any more. The same fact with
    another content is refused by name, and what comes with it is recorded."""
    world.policies.publish_policy(QUEUE, AUDIT)
    now_ms = world.clock.now_ms()
    opened = Outcome("m1", "c", "open", now_ms, 0, channel="email")
    receipt = world.feedback.record_outcomes(
        [opened, replace(opened, name="unsubscribe"), replace(opened, value=2.0), replace(opened, name="click")]
    )
    assert (receipt.recorded, [i for i, _ in receipt.refused]) == (3, [2])
    assert "outcome_id 'm1'" in receipt.refused[0][1]
    assert Reason.SUPPRESSED_BY_OUTCOME in {e.reason for e in world.decide().exclusions}
