"""Guardrails through the whole service: what a marketer wrote holds, whatever runners report and in whatever order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from decision_service.core.model.customer import ContactStatus
from decision_service.core.model.errors import InvalidRequest, NotFound, Unavailable
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecideRequest, DecisionRecord, Outcome, Token
from decision_service.core.model.values import NO_ACTION
from tests.support.served import AUDIT, PROGRAM, World

HOUR = 3_600_000
HOUR_S = 3_600
OTHER = PROGRAM.replace("name: p", "name: q").replace("id: mail", "id: letter").replace("id: text", "id: ring")


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


def policy(world: World, text: str) -> None:
    """Publish a contact policy."""
    world.policies.publish_policy(text, AUDIT)


def program(world: World, more: str, text: str = PROGRAM) -> None:
    """Publish a program with more keys."""
    world.policies.publish_program(text + more, AUDIT)


def report(world: World, record: DecisionRecord, status: ActivationStatus) -> None:
    """The runner's word on a decision, now."""
    world.feedback.report_activation(record.decision_id, status)


def excluded(record: DecisionRecord) -> dict[str, tuple[Reason, str]]:
    """Exclusions by action."""
    return {e.action: (e.reason, e.detail) for e in record.exclusions}


def test_a_budget_is_never_exceeded_and_failed_tokens_come_back(world: World) -> None:
    """Two contacts a day in all; a failure gives its token back, a message sent keeps it."""
    program(world, "budgets: [{id: few, limit: 2, per: day}]\n")
    first, second = world.decide("r1", "c1"), world.decide("r2", "c2")
    assert [r.chosen for r in (first, second)] == ["mail", "mail"]
    assert first.reservation is not None
    (token,) = first.reservation.tokens
    assert (token.budget, token.amount) == ("p/few", 1)
    third = world.decide("r3", "c3")
    assert excluded(third) == {"mail": (Reason.VOLUME_LIMIT, "few"), "text": (Reason.VOLUME_LIMIT, "few")}
    report(world, first, ActivationStatus.FAILED)
    report(world, second, ActivationStatus.SENT)
    assert world.decide("r4", "c4").chosen == "mail"
    assert world.decide("r5", "c5").chosen == NO_ACTION
    world.clock.advance(24 * HOUR_S)
    assert world.decide("r6", "c6").chosen == "mail"


def test_a_lapsed_token_comes_back_and_a_late_report_takes_it_again(world: World) -> None:
    """A reservation that nobody reports on frees its token; a message sent late is counted all the same."""
    program(world, "budgets: [{id: one, limit: 1}]\n")
    first = world.decide("r1", "c1")
    assert world.decide("r2", "c2").chosen == NO_ACTION
    world.clock.advance(12 * 60)
    second = world.decide("r3", "c3")
    assert second.chosen == "mail"
    report(world, first, ActivationStatus.SENT)
    report(world, second, ActivationStatus.FAILED)
    assert world.decide("r4", "c4").chosen == NO_ACTION


def test_money_is_counted_by_cost(world: World) -> None:
    """Ten cents buy one text of seven, and then nothing that costs more than three."""
    text = PROGRAM.replace("channel: sms", "channel: sms, cost: 0.07")
    program(world, "budgets: [{id: cents, money: 0.10}]\n", text)
    world.draws[:] = [0.5, 0.5]
    assert world.decide("r1", "c1").chosen == "text"
    later = world.decide("r2", "c2")
    assert excluded(later) == {"text": (Reason.VOLUME_LIMIT, "cents")}
    assert later.budget_levels == {"p/cents@money-total": 70_000}


def test_a_budget_lost_in_a_race_gives_no_action(world: World) -> None:
    """Read as free, taken by somebody else before the commit: NO_ACTION, not learned from, nothing reserved."""
    program(world, "budgets: [{id: one, limit: 1}]\n")
    take = world.budgets.take

    def beaten(decision_id: str, tokens: list[Token], limits: list[int], now_ms: int, until_ms: int) -> str | None:
        take("rival", tokens, limits, now_ms, until_ms)
        return take(decision_id, tokens, limits, now_ms, until_ms)

    world.budgets.take = beaten  # type: ignore[assignment, method-assign]
    record = world.decide("r1", "c1")
    assert (record.drawn, record.chosen, record.trainable) == ("mail", NO_ACTION, False)
    assert record.degradations[-1] is Reason.CAP_RACE_LOST
    assert world.ledger.state("c1").contacts == ()


def test_a_slot_lost_in_a_race_gives_its_tokens_back(world: World) -> None:
    """The budget is not charged for a decision that became NO_ACTION."""
    policy(world, "caps: [{id: one_an_hour, limit: 1, rolling: 1h}]")
    program(world, "budgets: [{id: two, limit: 2}]\n")
    commit = world.ledger.commit

    def beaten(*arguments: object) -> object:
        world.ledger.commit = commit  # type: ignore[method-assign]
        assert world.decide("rival").chosen == "mail"
        return commit(*arguments)  # type: ignore[arg-type]

    world.ledger.commit = beaten  # type: ignore[assignment, method-assign]
    assert world.decide("r1").chosen == NO_ACTION
    levels = world.budgets.begin_levels(["p/two@total"], world.clock.now_ms()).result()
    assert levels == {"p/two@total": 1}


def test_budgets_that_do_not_answer_stop_contact(world: World) -> None:
    """Unavailable, or NO_ACTION for a runner that asks for it; programs without budgets do not notice."""

    class Down:
        def result(self) -> dict[str, int]:
            raise Unavailable("budgets", "no answer")

    world.budgets.begin_levels = lambda *_: Down()  # type: ignore[assignment, method-assign]
    assert world.decide("r0").chosen == "mail"
    program(world, "budgets: [{id: one, limit: 1}]\n")
    with pytest.raises(Unavailable):
        world.decide("r1", "c1")
    assert world.decide("r2", "c1", no_action_when_unavailable=True).unlogged


def test_what_counts_toward_a_cap_is_the_marketers_choice(world: World) -> None:
    """After a failure: attempts still count; after a bounce: sent still counts, delivered does not."""
    for counts, status, chosen in (
        ("reserved", ActivationStatus.FAILED, NO_ACTION),
        ("activated", ActivationStatus.FAILED, "mail"),
        ("activated", ActivationStatus.BOUNCED, NO_ACTION),
        ("delivered", ActivationStatus.BOUNCED, "mail"),
        ("delivered", ActivationStatus.DELIVERED, NO_ACTION),
    ):
        policy(world, f"caps: [{{id: one, limit: 1, rolling: 1d, counts: {counts}}}]")
        customer = f"{counts}-{status}"
        report(world, world.decide("r1", customer), status)
        assert world.decide("r2", customer).chosen == chosen, customer


def test_a_transactional_message_ignores_caps_and_need_not_count(world: World) -> None:
    """It goes out though the cap is full, and leaves room for others where it does not count."""
    policy(world, "caps: [{id: one, limit: 1, rolling: 1d}]")
    receipt = "  - {id: receipt, channel: email, message: receipt, ignores_caps: all, counts_toward_caps: false}\n"
    program(world, "", PROGRAM.replace("actions:\n", f"actions:\n{receipt}"))
    for number in range(3):
        assert world.decide(f"r{number}").chosen == "receipt"
    world.draws[:] = [0.4]
    assert world.decide("r3").chosen == "mail"
    assert excluded(world.decide("r4"))["mail"] == (Reason.FREQUENCY_CAP, "one")
    assert world.decide("r5").chosen == "receipt"


def test_a_delivery_report_keeps_the_time_of_sending(world: World) -> None:
    """DELIVERED an hour after SENT: the contact counts from when it was sent."""
    record = world.decide("r1")
    report(world, record, ActivationStatus.SENT)
    sent_ms = world.clock.now_ms()
    world.clock.advance(HOUR_S)
    report(world, record, ActivationStatus.DELIVERED)
    (contact,) = world.ledger.state("c").contacts
    assert (contact.status, contact.from_ms, contact.until_ms) == (ContactStatus.DELIVERED, sent_ms, sent_ms)
    assert world.feedback.report_activation(record.decision_id, ActivationStatus.SENT).duplicate


def test_bounces_pause_the_channel_for_a_while(world: World) -> None:
    """Two hard bounces within a week pause e-mail for a day; other channels go on."""
    policy(
        world,
        "pause_on: [{id: bouncing, outcome: hard_bounce, count: 2, within: 7d, for: 1d, pauses: channel}]",
    )
    for number in range(2):
        record = world.decide(f"r{number}")
        now = world.clock.now_ms()
        world.feedback.record_outcomes(
            [Outcome(f"o{number}", "c", "hard_bounce", now, 0, decision_id=record.decision_id)]
        )
    paused = world.decide("r2")
    assert excluded(paused) == {"mail": (Reason.SUPPRESSED_BY_OUTCOME, "bouncing")}
    world.clock.advance(24 * HOUR_S + 1)
    assert world.decide("r3").exclusions == ()


def test_several_programs_share_one_customer(world: World) -> None:
    """One decision, one slot; the record names who decided and who else competed; the answer is the same again."""
    program(world, "", OTHER)
    record = world.decide("r1", programs=("q", "p"))
    assert record.program == "p"
    assert [c.program for c in record.others] == ["q"]
    assert record.probability == pytest.approx(0.5 / 3)
    assert world.decide("r1", programs=("p", "q")) == record
    assert len(world.ledger.state("c").contacts) == 1
    assert world.inquiry.replay(record.decision_id).differences == ()
    everything = world.decide("r2", programs=("*",))
    assert {everything.program, *(c.program for c in everything.others)} == {"p", "q"}


def test_unknown_programs_are_named_together(world: World) -> None:
    """All that are missing, and what there is."""
    with pytest.raises(NotFound, match=r"nope, what.*published are p"):
        world.decide("r1", programs=("what", "p", "nope"))


def test_channels_are_judged_over_all_programs_of_a_request(world: World) -> None:
    """A channel that one of them has is fine; one that none has is named."""
    program(world, "", OTHER.replace("channel: sms", "channel: phone"))
    assert world.decide("r1", programs=("p", "q"), channels=("phone",)).program in {"p", "q"}
    with pytest.raises(InvalidRequest, match=r"channels\[0\].*fax.*email, phone, sms"):
        world.decide("r2", programs=("p", "q"), channels=("fax",))


def test_a_dry_run_touches_nothing_and_explains(world: World) -> None:
    """No slot, no token, no log, no request id taken; as of any moment; with the explanation at once."""
    policy(world, "quiet_hours: [{id: night, from: '21:00', to: '08:00'}]\nunknown_timezone: UTC")
    program(world, "budgets: [{id: one, limit: 1}]\n")
    backlog = world.ledger.backlog()
    midnight = world.clock.now_ms() // (24 * HOUR) * 24 * HOUR
    for hour, reason in ((23, Reason.QUIET_HOURS), (12, None)):
        request = DecideRequest("r1", "x", ("p",), dry_run=True, at_ms=midnight + hour * HOUR)
        decided = world.service.decide(request)
        assert decided.record.unlogged
        assert decided.record.decided_at_ms == midnight + hour * HOUR
        assert decided.explanation is not None
        assert {e.reason for e in decided.record.exclusions} == ({reason} if reason else set())
        assert not reason or reason.value in decided.explanation.text
    assert world.ledger.backlog() == backlog
    assert world.ledger.state("x").contacts == ()
    assert world.budgets.begin_levels(["p/one@total"], midnight).result() == {"p/one@total": 0}
    world.clock.set(midnight + 12 * HOUR)
    assert world.decide("r1", "x").decision_id


def test_one_programs_decision_keeps_what_anothers_cap_counts(world: World) -> None:
    """A cap over 60 days in another program still sees a contact of 50 days ago after this one decided."""
    cap = "caps: [{id: rare, limit: 1, rolling: 60d}]\n"
    program(world, cap, OTHER)
    report(world, world.decide("r1"), ActivationStatus.SENT)
    world.clock.advance(50 * 24 * HOUR_S)
    assert world.decide("r2").chosen == "mail"
    (letter,) = {e.detail for e in world.decide("r3", programs=("q",)).exclusions}
    assert letter == "rare"
    assert len(world.ledger.state("c").contacts) == 2


def test_what_would_be_over_when_quiet_hours_end_is_not_queued(world: World) -> None:
    """An offer that ends in the night is excluded as expired in the evening; the other is queued until morning."""
    policy(world, "quiet_hours: [{id: night, from: '21:00', to: '08:00', when_quiet: queue}]\nunknown_timezone: UTC")
    midnight = world.clock.now_ms() // (24 * HOUR) * 24 * HOUR
    world.clock.set(midnight + 23 * HOUR)
    ends = datetime.fromtimestamp((midnight + 26 * HOUR) / 1000, UTC).isoformat()
    program(world, "", PROGRAM.replace("channel: sms", f"channel: sms, ends_at: '{ends}'"))
    record = world.decide("r1", "x")
    assert excluded(record) == {"text": (Reason.EXPIRED, "action")}
    assert record.reservation is not None
    assert record.reservation.send_at_ms == midnight + 32 * HOUR
    assert world.inquiry.replay(record.decision_id).identical
