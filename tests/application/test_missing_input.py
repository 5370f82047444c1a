"""What guardrails make of features that could not be read, as against those known to be missing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from decision_service.adapters.memory.features import MemoryView
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ALL_FEATURES, DecisionRecord, FeatureStatus
from decision_service.core.model.values import NO_ACTION, Values, ValueType
from tests.support.served import AUDIT, PROGRAM, World

HOUR_S = 3600
CUSTOMER = {"mail_ok": ValueType.BOOL, "segments": ValueType.STRINGS, "timezone": ValueType.STRING}
REFUSER: Values = {"mail_ok": False, "segments": ("employees",), "timezone": "Asia/Tokyo"}
CONSENT = "consent: {features: {email: mail_ok}, default: allow}"
AT_NIGHT_IN_TOKYO = "quiet_hours: [{id: night, from: '00:00', to: '12:00', when_quiet: discard}]\nunknown_timezone: UTC"


def world(policy: str = "caps: []", **parts: str) -> World:
    """A customer who refused e-mail, in Tokyo, where it is seven in the morning; `parts` are the program's and, as
    `mail`, the mail's."""
    made = World()
    made.features.define("s", MemoryView("v", CUSTOMER, ttl_s=HOUR_S), MemoryView("w", {"age": ValueType.INT}))
    made.features.put("v", "c", REFUSER, made.clock.now_ms() + 1)  # newer than what is there
    made.features.put("w", "c", {"age": 40}, made.clock.now_ms())
    program = PROGRAM.replace(
        "message: hello, payload", f"message: hello, {parts.pop('mail', 'attributes: {}')}, payload"
    )
    made.policies.publish_program(program + "".join(f"{name}: {of}\n" for name, of in parts.items()), AUDIT)
    made.policies.publish_policy(policy, AUDIT)
    return made


def down(made: World) -> None:
    """The store does not answer."""
    made.features.down = True


def not_built(made: World) -> None:
    """Nobody knows which features there are."""
    document = json.loads(made.policies.versions("p")[-1].document)
    made.policies.publish_program(json.dumps({**document, "features": {"service": "nowhere"}}), AUDIT)


def stale(made: World) -> None:
    """The view is past its time to live; the other one has none."""
    made.clock.advance(HOUR_S + 1)


Blind = Callable[[World], None]
BLINDNESS = pytest.mark.parametrize("blind", [down, not_built, stale])


def why_not(record: DecisionRecord, action: str = "mail") -> tuple[Reason, str] | None:
    """The exclusion of an action."""
    return next(((e.reason, e.detail) for e in record.exclusions if e.action == action), None)


@BLINDNESS
@pytest.mark.parametrize("context", [{}, {"mail_ok": True}])
def test_consent_that_could_not_be_read_is_none(blind: Blind, context: Values) -> None:
    """Whatever the default, and whatever the caller knows: a refusal may be stored. It was refused, and stays so."""
    made = world(CONSENT)
    assert why_not(made.decide("r0")) == (Reason.NO_CONSENT, "mail_ok")
    blind(made)
    record = made.decide("r1", context=context)
    assert why_not(record) == (Reason.NO_CONSENT, "mail_ok could not be read")
    assert record.chosen == "text"


@BLINDNESS
def test_the_caller_may_still_refuse(blind: Blind) -> None:
    """False in the context needs no reading."""
    made = world(CONSENT)
    blind(made)
    assert why_not(made.decide(context={"mail_ok": False})) == (Reason.NO_CONSENT, "mail_ok")


@BLINDNESS
@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ('!("employees" in segments)', "segments"),
        ("!has(customer.mail_ok) || customer.mail_ok", "customer.mail_ok"),
        ("!has(customer.segments)", "customer.segments"),
        ("!customer.exists(name, name == 'mail_ok')", "customer"),
    ],
)
def test_a_rule_that_reads_what_could_not_be_read_excludes(blind: Blind, rule: str, name: str) -> None:
    """Also one that is true where the feature is missing. As the audience it excludes everything."""
    quoted = f"'{rule.replace(chr(39), chr(39) * 2)}'"
    made = world(mail=f"eligible: {quoted}")
    blind(made)
    assert why_not(made.decide()) == (Reason.RULE_ERROR, f"`{name}` could not be read")
    made = world(audience=quoted)
    blind(made)
    record = made.decide()
    assert why_not(record) == why_not(record, "text") == (Reason.RULE_ERROR, f"audience: `{name}` could not be read")
    assert record.chosen == NO_ACTION


@BLINDNESS
def test_what_the_caller_sends_was_read(blind: Blind) -> None:
    """The context overrides a feature for rules, and for the zone."""
    made = world(AT_NIGHT_IN_TOKYO, mail="eligible: '!(\"employees\" in segments)'")
    blind(made)
    record = made.decide(context={"segments": ("loyal",), "timezone": "UTC"})
    assert (record.chosen, record.timezone) == ("mail", "UTC")
    assert why_not(made.decide("r2", context={"segments": ("employees",), "timezone": "UTC"})) == (
        Reason.INELIGIBLE,
        '!("employees" in segments)',
    )


def test_a_view_that_is_fresh_serves_its_rules() -> None:
    """Only what could not be read is in doubt."""
    made = world(mail="eligible: customer.age == 40 && !has(context.basket)")
    stale(made)
    record = made.decide()
    assert record.chosen == "mail"
    assert record.features.unread == {"mail_ok", "segments", "timezone"}


@BLINDNESS
def test_no_zone_is_assumed_where_it_could_not_be_read(blind: Blind) -> None:
    """The policy's zone is for customers without one: in Tokyo it is night."""
    made = world(AT_NIGHT_IN_TOKYO)
    assert why_not(made.decide("r0")) == (Reason.QUIET_HOURS, "night")
    blind(made)
    record = made.decide("r1")
    assert (why_not(record), record.timezone) == ((Reason.TIMEZONE_UNKNOWN, "night"), "")


def test_what_is_known_to_be_missing_follows_the_policy() -> None:
    """A row without values, and a customer without a row: the default, `has`, and the policy's zone apply."""
    made = world(
        f"{CONSENT}\n{AT_NIGHT_IN_TOKYO}", mail="eligible: '!has(customer.age) && !(\"employees\" in segments)'"
    )
    made.features.put("v", "empty", {}, made.clock.now_ms())
    for customer in ("empty", "stranger"):
        record = made.decide(customer, customer)
        assert (record.chosen, record.timezone, record.features.unread) == ("mail", "UTC", frozenset())


@BLINDNESS
def test_a_baseline_rule_that_could_not_be_read_does_not_serve(blind: Blind) -> None:
    """Not its action; and one that would have kept the customer from contact does."""
    mail, nothing = (
        "{action: mail, when: '!has(customer.mail_ok)'}",
        "{action: NO_ACTION, when: '\"employees\" in segments'}",
    )
    for rules, chosen in (
        (f"[{mail}, {nothing}, {{action: text}}]", NO_ACTION),
        (f"[{mail}, {{action: text}}]", "text"),
    ):
        made = world(baseline=rules, learning_mode="apprentice")
        blind(made)
        assert made.decide().chosen == chosen


@BLINDNESS
def test_such_a_decision_replays_and_is_explained(blind: Blind) -> None:
    """Law 5, from the record as it is kept; the explanation tells missing from unread."""
    made = world(f"{CONSENT}\n{AT_NIGHT_IN_TOKYO}", mail="eligible: '!(\"employees\" in segments)'")
    blind(made)
    for i, context in enumerate(({}, {"segments": ("loyal",)}, {"segments": ("loyal",), "timezone": "UTC"})):
        record = made.decide(f"r{i}", context=context)
        assert made.inquiry.replay(record.decision_id).differences == ()
        text = made.inquiry.explain(record.decision_id).text
        assert "could not be read" in text
        assert "mail_ok' is missing" not in text
    assert why_not(record) == (Reason.NO_CONSENT, "mail_ok could not be read")


def test_the_record_says_what_could_not_be_read() -> None:
    """All features of the service, or every one where nobody knows which they are."""
    made = world()
    down(made)
    features = made.decide("r1").features
    assert (features.status, features.unread) == (FeatureStatus.UNAVAILABLE, {*CUSTOMER, "age"})
    not_built(made)
    assert made.decide("r2").features.unread == {ALL_FEATURES}
