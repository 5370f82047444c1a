"""What outcomes and suppressions do at once."""

from __future__ import annotations

from dataclasses import replace

from decision_service.core.guardrails.effects import Effects, effects_of, following, lifting, suppressing
from decision_service.core.guardrails.pauses import counters
from decision_service.core.model.customer import (
    ALL_CHANNELS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.program import Action, ContactPolicy, PauseOf, PauseRule, SuppressOn
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Outcome
from decision_service.core.model.sending import Change, PreferenceKind, Verdict

NOW = 1_700_000_000_000
EMAIL = Action("offer_email", "email", "offer", tags=frozenset({"promo"}))
POLICY = ContactPolicy(
    suppress_on=(SuppressOn("unsubscribe"), SuppressOn("complaint", all_channels=True, for_s=3_600)),
    pauses=(
        PauseRule("tired", "ignored", 3, 86_400, 86_400, PauseOf.CHANNEL),
        PauseRule("off", "unsubscribe", 2, 86_400, 86_400, PauseOf.ACTION),
    ),
)


def outcome(name: str, channel: str = "email") -> Outcome:
    """An outcome five minutes ago."""
    return Outcome("o1", "c1", name, NOW - 300_000, NOW, channel=channel)


def stop(channel: str, note: str, until_ms: int | None = None) -> Suppression:
    """A suppression by outcome, from now."""
    return Suppression(channel, Reason.SUPPRESSED_BY_OUTCOME, NOW, until_ms, note)


def test_an_outcome_suppresses_its_own_channel_or_all() -> None:
    """For good, or for as long as the rule says from when it occurred; without a channel of its own, all."""
    assert effects_of(POLICY, outcome("unsubscribe"), None, None, NOW).suppressions == (stop("email", "unsubscribe"),)
    assert effects_of(POLICY, outcome("complaint"), "p", EMAIL, NOW).suppressions == (
        stop(ALL_CHANNELS, "complaint", NOW - 300_000 + 3_600_000),
    )
    for program, action in ((None, None), ("p", EMAIL)):
        effects = effects_of(POLICY, outcome("unsubscribe", ""), program, action, NOW)
        assert effects.suppressions == (stop(ALL_CHANNELS, "unsubscribe"),)


def test_an_outcome_counts_for_the_pauses_that_it_can_bring_about() -> None:
    """By the decision it belongs to, where that is known; one that no rule names does nothing."""
    known = effects_of(POLICY, outcome("unsubscribe"), "p", EMAIL, NOW)
    assert known.counters == counters(POLICY.pauses, outcome("unsubscribe"), "p", EMAIL)
    assert len(known.counters) == 1
    assert effects_of(POLICY, outcome("unsubscribe"), None, None, NOW).counters == ()
    assert len(effects_of(POLICY, outcome("ignored"), None, None, NOW).counters) == 1
    assert effects_of(POLICY, outcome("purchase"), "p", EMAIL, NOW) == Effects()


def reserved(decision_id: str, channel: str = "email", status: ContactStatus = ContactStatus.RESERVED) -> Contact:
    """A contact of program `p` that is to be sent in a minute."""
    tags = frozenset({"promo"})
    return Contact(decision_id, "p", "offer_email", "offer", channel, tags, status, NOW + 60_000, NOW + 900_000)


OPEN = CustomerState(
    contacts=(reserved("d1"), reserved("d2", "sms"), reserved("d3", status=ContactStatus.SENT), reserved("d4"))
)


def test_what_may_be_on_its_way_is_told_to_stop_and_keeps_its_slot() -> None:
    """It could have been sent before: a slot that is given away would then be a message too many."""
    due = CustomerState(contacts=(replace(reserved("d1"), from_ms=NOW),))
    change = suppressing(due, "c1", Suppression("email", Reason.SUPPRESSED, NOW), NOW, "ann")
    assert change is not None
    assert change.contacts == ()
    assert [s.decision_id for s in change.confirmations] == ["d1"]


def test_a_suppression_by_hand_revokes_what_waits() -> None:
    """On its channel, or on all; what was sent stays sent. Each is told to whoever asks, and by whom it was done."""
    by_hand = Suppression("email", Reason.SUPPRESSED, NOW, None, "asked by phone")
    change = suppressing(OPEN, "c1", by_hand, NOW, "ann")
    assert change is not None
    assert [(c.decision_id, c.status) for c in change.contacts] == [
        ("d1", ContactStatus.REVOKED),
        ("d4", ContactStatus.REVOKED),
    ]
    assert change.suppressions == (by_hand,)
    assert [(s.decision_id, s.verdict, s.reason, s.asked) for s in change.confirmations] == [
        ("d1", Verdict.STOP, Reason.SUPPRESSED, False),
        ("d4", Verdict.STOP, Reason.SUPPRESSED, False),
    ]
    [entry] = change.preferences
    assert (entry.kind, entry.author, entry.note) == (PreferenceKind.SUPPRESS, "ann", "asked by phone")
    everywhere = suppressing(OPEN, "c1", Suppression(ALL_CHANNELS, Reason.SUPPRESSED, NOW), NOW, "ann")
    assert everywhere is not None
    assert {c.decision_id for c in everywhere.contacts} == {"d1", "d2", "d4"}
    held = CustomerState(suppressions=(by_hand,))
    assert suppressing(held, "c1", replace(by_hand, since_ms=NOW + 5), NOW + 5, "ben") is None  # said again


def test_an_unsubscribe_revokes_what_waits() -> None:
    """In the step that records it."""
    effects = effects_of(POLICY, outcome("unsubscribe"), None, None, NOW)
    change = following(OPEN, POLICY, outcome("unsubscribe"), effects, NOW)
    assert {c.decision_id for c in change.contacts} == {"d1", "d4"}
    assert {s.reason for s in change.confirmations} == {Reason.SUPPRESSED_BY_OUTCOME}
    assert change.preferences[0].outcome_id == "o1"


def test_a_pause_revokes_when_it_begins() -> None:
    """Not at the outcome before, and only what it pauses; its beginning is an entry of the history."""
    effects = effects_of(POLICY, outcome("ignored"), None, None, NOW)
    [name] = effects.counters
    once = replace(OPEN, events={name: EventCounter(1, (NOW - 1,))})
    twice = replace(OPEN, events={name: EventCounter(2, (NOW - 1, NOW - 2))})
    assert following(once, POLICY, outcome("ignored"), effects, NOW) == Change()
    change = following(twice, POLICY, outcome("ignored"), effects, NOW)
    assert {c.decision_id for c in change.contacts} == {"d1", "d4"}
    [entry] = change.preferences
    assert (entry.kind, entry.channel, entry.note) == (PreferenceKind.PAUSE, "channel email", "tired")
    assert entry.until_ms is not None
    assert entry.until_ms > NOW


def test_of_suppressions_by_outcomes_the_longest_holds() -> None:
    """A complaint that suppresses for an hour does not lift an unsubscribe that is for good; the other way it does."""
    for_now = Suppression("email", Reason.SUPPRESSED_BY_OUTCOME, NOW, NOW + 9, "complaint")
    effects = effects_of(POLICY, outcome("unsubscribe"), None, None, NOW)
    held = CustomerState(suppressions=(stop("email", "unsubscribe"),))
    assert following(held, POLICY, outcome("x"), Effects((for_now,)), NOW).suppressions == ()
    brief = CustomerState(suppressions=(for_now,))
    assert following(brief, POLICY, outcome("unsubscribe"), effects, NOW).suppressions == effects.suppressions


def test_lifting_ends_what_there_is() -> None:
    """Every suppression of the channel; without any there is nothing to do."""
    held = CustomerState(suppressions=(stop("email", "unsubscribe"),))
    change = lifting(held, "c1", "email", NOW, "ann", "asked to come back")
    assert change is not None
    assert change.lifted == ("email",)
    assert change.preferences[0].kind is PreferenceKind.LIFT
    assert lifting(held, "c1", "sms", NOW, "ann", "") is None
