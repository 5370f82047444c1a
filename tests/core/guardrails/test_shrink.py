"""The guardrails of one customer at one moment: who objects first, when it would be sent, and what it would take."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from decision_service.core.guardrails.caps import Span
from decision_service.core.guardrails.pauses import counters
from decision_service.core.guardrails.shrink import Feasible, Guardrails
from decision_service.core.model.customer import (
    ALL_CHANNELS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.program import (
    ALL_CAPS,
    Action,
    Budget,
    BudgetPeriod,
    CalendarUnit,
    CapCounts,
    Consent,
    ContactPolicy,
    FrequencyCap,
    GroupShares,
    PauseOf,
    PauseRule,
    Program,
    QuietHours,
    Scope,
    WhenQuiet,
)
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ALL_FEATURES, Exclusion, Outcome
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import Values

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000
EMAIL = Action("email", "email", "spring", frozenset({"promo"}), cost_micros=20_000)
SMS = Action("sms", "sms", "spring", frozenset({"promo"}))
BILL = Action("bill", "email", "bill", ignores_caps=frozenset({ALL_CAPS}), counts_toward_caps=False)
PROGRAM = Program("p", 1, "s", (EMAIL, SMS, BILL), RewardDefinition({"buy": 1.0}, 60), GroupShares("salt"))
BERLINER: Values = {"timezone": "Europe/Berlin"}
NIGHT = QuietHours("night", 22 * 60, 7 * 60, when_quiet=WhenQuiet.QUEUE)
PER_DAY = FrequencyCap("day", 1, calendar=CalendarUnit.DAY)


def at(text: str) -> int:
    """Berlin time to milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


NOON = at("2026-05-05T12:00")


def contact(at_ms: int, status: ContactStatus = ContactStatus.SENT, **changes: Any) -> Contact:
    """A contact by the e-mail."""
    made = Contact(f"d{at_ms}", "p", "email", "spring", "email", frozenset({"promo"}), status, at_ms, at_ms)
    return replace(made, **changes)


def guardrails(
    policy: ContactPolicy,
    *contacts: Contact,
    now_ms: int = NOON,
    program: Program = PROGRAM,
    features: Values = BERLINER,
    state: CustomerState | None = None,
    levels: dict[str, int] | None = None,
) -> Guardrails:
    """Those of a customer in Berlin at noon."""
    return Guardrails(
        program, policy, features, {}, state or CustomerState(1, contacts), now_ms, levels if levels is not None else {}
    )


def reason(verdict: Feasible | Exclusion) -> tuple[Reason, str] | None:
    """Why not; None if it is feasible."""
    return (verdict.reason, verdict.detail) if isinstance(verdict, Exclusion) else None


def feasible(verdict: Feasible | Exclusion) -> Feasible:
    """The verdict, which must not be an exclusion."""
    assert isinstance(verdict, Feasible), verdict
    return verdict


def test_the_first_to_object_names_the_reason() -> None:
    """Consent, suppression, pauses, quiet hours, caps, budgets: taking each away shows the next, in the end none."""
    rule = PauseRule("tired", "ignored", 1, 86_400, 86_400, PauseOf.ALL)
    now = at("2026-05-05T23:00")
    [name] = counters([rule], Outcome("o", "c", "ignored", now, now), "p", EMAIL)
    policy = ContactPolicy(
        consent=Consent({"email": "email_ok"}, default_allow=False),
        pauses=(rule,),
        quiet_hours=(replace(NIGHT, when_quiet=WhenQuiet.DISCARD),),
        caps=(PER_DAY,),
        budgets=(Budget("volume", 10),),
    )
    state = CustomerState(
        1,
        (contact(now),),
        (Suppression(ALL_CHANNELS, Reason.SUPPRESSED, now, note="asked"),),
        {name: EventCounter(1, (now,))},
    )
    levels = {"/volume@total": 10}
    steps: list[tuple[tuple[Reason, str], dict[str, Any], dict[str, Any]]] = [
        ((Reason.NO_CONSENT, "email_ok"), {"consent": Consent()}, {}),
        ((Reason.SUPPRESSED, "asked"), {}, {"suppressions": ()}),
        ((Reason.SUPPRESSED_BY_OUTCOME, "tired"), {}, {"events": {}}),
        ((Reason.QUIET_HOURS, "night"), {"quiet_hours": ()}, {}),
        ((Reason.FREQUENCY_CAP, "day"), {}, {"contacts": ()}),
        ((Reason.VOLUME_LIMIT, "volume"), {"budgets": (Budget("volume", 11),)}, {}),
    ]
    for expected, policy_changes, state_changes in steps:
        assert reason(guardrails(policy, now_ms=now, state=state, levels=levels).check(EMAIL)) == expected
        policy, state = replace(policy, **policy_changes), replace(state, **state_changes)
    assert reason(guardrails(policy, now_ms=now, state=state, levels=levels).check(EMAIL)) is None


def test_all_caps_must_hold() -> None:
    """The policy's and the program's caps bind together: the most restrictive wins, whichever it is."""
    wide, narrow = FrequencyCap("wide", 5, window_s=86_400), FrequencyCap("narrow", 1, window_s=86_400)
    for policy_cap, program_cap in ((wide, narrow), (narrow, wide)):
        program = replace(PROGRAM, caps=(program_cap,))
        checked = guardrails(ContactPolicy(caps=(policy_cap,)), contact(NOON - HOUR), program=program).check(EMAIL)
        assert reason(checked) == (Reason.FREQUENCY_CAP, "narrow")


def test_a_transactional_message_is_not_stopped_and_does_not_stop() -> None:
    """The bill ignores the cap, and a bill sent before leaves the slot to the e-mail."""
    policy = ContactPolicy(caps=(PER_DAY,))
    assert reason(guardrails(policy, contact(NOON - HOUR)).check(BILL)) is None
    bill = contact(NOON - HOUR, action="bill", counted=False)
    assert reason(guardrails(policy, bill).check(EMAIL)) is None


def test_a_cap_on_one_action_concerns_it_alone() -> None:
    """The e-mail has had its one, the text message not."""
    asked = guardrails(ContactPolicy(caps=(replace(PER_DAY, scope=Scope(action="email")),)), contact(NOON - HOUR))
    assert reason(asked.check(EMAIL)) == (Reason.FREQUENCY_CAP, "day")
    assert reason(asked.check(SMS)) is None


def test_what_a_cap_counts_decides() -> None:
    """A failed attempt stops under a cap on attempts, a bounced one under what was sent, not under what arrived."""
    for status, stopped in ((ContactStatus.RELEASED, "R"), (ContactStatus.BOUNCED, "RA"), (ContactStatus.SENT, "RAD")):
        for what in CapCounts:
            policy = ContactPolicy(caps=(replace(PER_DAY, counts=what),))
            verdict = reason(guardrails(policy, contact(NOON - HOUR, status)).check(EMAIL))
            assert (verdict is not None) == (what.name[0] in stopped)


def test_last_slots_are_those_of_the_caps_that_would_be_full() -> None:
    """With one of two slots taken, one more takes the last; what does not count takes none."""
    two, five = FrequencyCap("two", 2, window_s=86_400), FrequencyCap("five", 5, window_s=86_400)
    asked = guardrails(ContactPolicy(caps=(two, five)), contact(NOON - HOUR))
    assert feasible(asked.check(EMAIL)).last_slots == (two,)
    assert feasible(asked.check(replace(EMAIL, counts_toward_caps=False))).last_slots == ()
    assert feasible(guardrails(ContactPolicy(caps=(two, five))).check(EMAIL)).last_slots == ()


def test_tokens_are_of_the_time_of_sending() -> None:
    """What quiet hours queue for tomorrow takes of tomorrow's budget, whatever is left of today's."""
    policy = ContactPolicy(
        quiet_hours=(NIGHT,),
        budgets=(Budget("money", 20_000, True, BudgetPeriod.DAY, timezone="Europe/Berlin"),),
    )
    now = at("2026-05-05T23:00")
    today, tomorrow = "/money@money-day:2026-05-05", "/money@money-day:2026-05-06"
    queued = feasible(guardrails(policy, now_ms=now, levels={today: 20_000}).check(EMAIL))
    assert [(token.key, token.amount) for token in queued.tokens] == [(tomorrow, 20_000)]
    assert reason(guardrails(policy, now_ms=now, levels={tomorrow: 1}).check(EMAIL)) == (Reason.VOLUME_LIMIT, "money")
    assert feasible(guardrails(policy, now_ms=now, levels={tomorrow: 1}).check(SMS)).tokens == ()


@pytest.mark.parametrize(
    ("now", "from_", "until"),
    [
        ("2026-05-05T12:00", "2026-05-05T12:00", "2026-05-05T12:15"),
        ("2026-05-05T21:50", "2026-05-05T21:50", "2026-05-05T22:00"),  # cut
        ("2026-05-05T23:00", "2026-05-06T07:00", "2026-05-06T07:15"),  # queued
    ],
)
@pytest.mark.parametrize("program_side", [True, False])
def test_no_moment_of_the_span_is_quiet(now: str, from_: str, until: str, program_side: bool) -> None:
    """From now or the end of quiet hours, for as long as the lease, but never into the next quiet hours."""
    quiet = (NIGHT, QuietHours("sms", 12 * 60 + 5, 13 * 60, frozenset({"sms"})))
    policy = ContactPolicy() if program_side else ContactPolicy(quiet_hours=quiet)
    program = replace(PROGRAM, quiet_hours=quiet) if program_side else PROGRAM
    made = feasible(guardrails(policy, now_ms=at(now), program=program).check(EMAIL))
    cut = until == "2026-05-05T22:00"
    assert made.span == Span(at(from_), at(until) - cut)
    assert made.queued == (from_ != now)


def test_quiet_that_discards_cuts_too() -> None:
    """Five minutes before lunch there are five minutes to send in."""
    policy = ContactPolicy(quiet_hours=(QuietHours("lunch", 12 * 60 + 5, 13 * 60),))
    assert feasible(guardrails(policy).check(EMAIL)).span == Span(NOON, NOON + 5 * 60_000 - 1)
    assert reason(guardrails(policy, now_ms=NOON + 5 * 60_000).check(EMAIL)) == (Reason.QUIET_HOURS, "lunch")


def test_a_span_that_is_cut_needs_a_slot_for_itself_only() -> None:
    """A lease that would reach past midnight ends before with quiet hours, and does not take tomorrow's slot."""
    late, tomorrow = at("2026-05-05T21:55"), at("2026-05-06T08:00")
    program = replace(PROGRAM, lease_s=4 * 3600)
    queued = contact(tomorrow, ContactStatus.RESERVED, until_ms=tomorrow + HOUR)
    capped = ContactPolicy(caps=(PER_DAY,))
    asked = guardrails(capped, queued, now_ms=late, program=program)
    assert reason(asked.check(EMAIL)) == (Reason.FREQUENCY_CAP, "day")
    quiet = replace(capped, quiet_hours=(NIGHT,))
    assert reason(guardrails(quiet, queued, now_ms=late, program=program).check(EMAIL)) is None


@pytest.mark.parametrize(
    ("named", "assumed", "zone", "verdict"),
    [
        ("Europe/Berlin", None, "Europe/Berlin", None),
        (None, None, "", (Reason.TIMEZONE_UNKNOWN, "day")),
        ("Mars/Olympus", None, "", (Reason.TIMEZONE_UNKNOWN, "day")),
        ("Mars/Olympus", "Asia/Kolkata", "Asia/Kolkata", None),
        (7, "Asia/Kolkata", "Asia/Kolkata", None),
    ],
)
def test_the_zone_is_the_customers_or_the_policys(
    named: str | int | None, assumed: str | None, zone: str, verdict: tuple[Reason, str] | None
) -> None:
    """Unknown, and nothing assumed, excludes what a calendar cap binds; only that."""
    asked = guardrails(ContactPolicy(caps=(PER_DAY,), unknown_timezone=assumed), features={"timezone": named})
    assert asked.zone_name == zone
    assert reason(asked.check(EMAIL)) == verdict
    assert reason(asked.check(BILL)) is None


@pytest.mark.parametrize(
    ("sent", "zone"),
    [("Asia/Kolkata", "Asia/Kolkata"), (None, "Europe/Berlin"), ("Mars/Base", "America/New_York")],
)
def test_a_request_without_a_zone_does_not_hide_the_one_that_is_stored(sent: str | None, zone: str) -> None:
    """What the caller sends comes first, a missing value is not sent; the policy assumes one where that is no zone."""
    policy = ContactPolicy(unknown_timezone="America/New_York")
    asked = Guardrails(PROGRAM, policy, BERLINER, {"timezone": sent}, CustomerState(), NOON)
    assert asked.zone_name == zone


@pytest.mark.parametrize("default_allow", [True, False])
@pytest.mark.parametrize("given", [1, 1.0, float("nan"), 0.0, "true", "yes", ("yes",), False])
def test_only_the_boolean_true_is_consent(given: Any, default_allow: bool) -> None:
    """Stored or sent: 1.0 equals True, and is none; the default is for what is missing, not for what is no answer."""
    policy = ContactPolicy(consent=Consent({"email": "ok"}, default_allow))
    for stored, sent in ((given, None), (None, given), (True, given), (given, True)):
        asked = Guardrails(PROGRAM, policy, {"ok": stored}, {"ok": sent}, CustomerState(), NOON)
        assert reason(asked.check(EMAIL)) == (Reason.NO_CONSENT, "ok")
    for granted in ({"ok": True}, {"ok": None}):
        asked = Guardrails(PROGRAM, policy, granted, {"ok": True}, CustomerState(), NOON)
        assert reason(asked.check(EMAIL)) is None


@pytest.mark.parametrize("unread", [frozenset({"ok"}), frozenset({ALL_FEATURES})])
def test_a_refusal_that_could_not_be_read_stands(unread: frozenset[str]) -> None:
    """Under either default, whatever is sent; a channel that needs no consent is free."""
    for default_allow in (True, False):
        policy = ContactPolicy(consent=Consent({"email": "ok"}, default_allow))
        for sent in (None, True):
            asked = Guardrails(PROGRAM, policy, {"ok": None}, {"ok": sent}, CustomerState(), NOON, unread=unread)
            assert reason(asked.check(EMAIL)) == (Reason.NO_CONSENT, "ok could not be read")
            assert reason(asked.check(SMS)) is None
    asked = Guardrails(PROGRAM, policy, {}, {"ok": True}, CustomerState(), NOON, unread=frozenset({"other"}))
    assert reason(asked.check(EMAIL)) is None


@pytest.mark.parametrize(("sent", "zone"), [(None, ""), ("Mars/Base", ""), ("Asia/Kolkata", "Asia/Kolkata")])
def test_a_zone_that_could_not_be_read_is_not_assumed(sent: str | None, zone: str) -> None:
    """What the policy assumes is for customers without a zone; what needs one is excluded."""
    policy = ContactPolicy(caps=(PER_DAY,), unknown_timezone="America/New_York")
    for unread in (frozenset({"timezone"}), frozenset({ALL_FEATURES})):
        asked = Guardrails(PROGRAM, policy, {}, {"timezone": sent}, CustomerState(), NOON, unread=unread)
        assert asked.zone_name == zone
        assert reason(asked.check(EMAIL)) == (None if zone else (Reason.TIMEZONE_UNKNOWN, "day"))
        assert reason(asked.check(BILL)) is None
