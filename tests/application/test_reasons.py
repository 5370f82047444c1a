"""Every reason code through the whole service: something produces it, and Explain says what to do about it, and when,
or by what, it would have been otherwise. A time that Explain gives is put to the test by deciding as of then."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from decision_service.core.model.program import Action, Group
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    ModelVersion,
    Outcome,
    Token,
)
from decision_service.core.model.values import NO_ACTION, Values
from tests.support.served import AUDIT, PROGRAM, World

MAIL = "{id: mail, channel: email, message: hello, payload: {template: t1}}"


def with_program(world: World, more: str = "", mail: str = "") -> None:
    """Publish the program with more keys, and more keys of the action `mail`."""
    changed = MAIL.replace("}}", "}, " + mail + "}") if mail else MAIL
    world.policies.publish_program(PROGRAM.replace(MAIL, changed) + more, AUDIT)


def deciding(more: str = "", mail: str = "", policy: str = "", **request: object) -> Callable[[World], DecisionRecord]:
    """Decide under these documents."""

    def arrange(world: World) -> DecisionRecord:
        with_program(world, more, mail)
        if policy:
            world.policies.publish_policy(policy, AUDIT)
        return world.decide(**request)

    return arrange


def suppressed(until_s: int | None) -> Callable[[World], DecisionRecord]:
    """Suppressed by hand, for so long."""

    def arrange(world: World) -> DecisionRecord:
        until_ms = None if until_s is None else world.clock.now_ms() + until_s * 1000
        world.administration.suppress("c", "email", until_ms, "asked by phone")
        return world.decide()

    return arrange


def after_outcomes(policy: str, *names: str) -> Callable[[World], DecisionRecord]:
    """After outcomes of an e-mail."""

    def arrange(world: World) -> DecisionRecord:
        world.policies.publish_policy(policy, AUDIT)
        first = world.decide("first")
        for i, name in enumerate(names):
            now_ms = world.clock.now_ms()
            world.feedback.record_outcomes([Outcome(f"o{i}", "c", name, now_ms, now_ms, 1.0, first.decision_id)])
            world.clock.advance(60)
        return world.decide()

    return arrange


def after_sending(*, policy: str = "", more: str = "", customer: str = "c") -> Callable[[World], DecisionRecord]:
    """After a first message has been sent, to this customer or another one."""

    def arrange(world: World) -> DecisionRecord:
        with_program(world, more)
        if policy:
            world.policies.publish_policy(policy, AUDIT)
        first = world.decide("first", customer)
        assert first.chosen == "mail"
        world.feedback.report_activation(first.decision_id, ActivationStatus.SENT)
        return world.decide()

    return arrange


def without_timezone(world: World) -> DecisionRecord:
    """A customer whose zone nobody knows, and a cap by the day."""
    world.policies.publish_policy("caps: [{id: daily, limit: 1, calendar: day}]", AUDIT)
    world.features.put("v", "nomad", {"age": 40, "timezone": "Mars/Base"}, world.clock.now_ms())
    return world.decide(customer="nomad")


def with_features_down(world: World) -> DecisionRecord:
    """The store does not answer, and the program does not go without."""
    world.policies.publish_program(PROGRAM.replace("{service: s}", "{service: s, on_missing: no_action}"), AUDIT)
    world.features.down = True
    return world.decide()


def with_stale_features(world: World) -> DecisionRecord:
    """Older than their time to live, where the program wants them fresh."""
    world.policies.publish_program(PROGRAM.replace("{service: s}", "{service: s, require_fresh: true}"), AUDIT)
    world.clock.advance(3601)
    return world.decide()


def losing_the_last_token(world: World) -> DecisionRecord:
    """A rival takes the budget's last token between the read and the commit."""
    with_program(world, "budgets: [{id: one, limit: 1, per: total}]\n")
    honest = world.budgets.take

    def raced(
        decision_id: str, tokens: Sequence[Token], limits: Sequence[int], now_ms: int, until_ms: int
    ) -> str | None:
        assert honest("rival", tokens, limits, now_ms, until_ms) is None
        return honest(decision_id, tokens, limits, now_ms, until_ms)

    world.budgets.take = raced  # type: ignore[method-assign]
    return world.decide()


class Broken:
    """A model whose scores are not numbers."""

    version, feature_service, examples = ModelVersion("nba-p", "3", "1"), "s", None

    def encode(self, shared: Values, actions: Sequence[Action]) -> str:
        """Nothing to tell."""
        return ""

    def predict(self, encoded: str, n_actions: int) -> np.ndarray:
        """Not numbers."""
        return np.full(n_actions, np.nan)


def with_a_broken_model(world: World) -> DecisionRecord:
    """The champion gives no numbers."""
    world.catalogue.promote("p", Broken())  # type: ignore[arg-type]
    world.catalogue.refresh(["p"])
    return world.decide()


@dataclass(frozen=True)
class Scenario:
    """What brings a reason about for the action `mail`, and what Explain must say: `detail` within the description of
    what objected, `change` within what would change it (empty: nothing but the remedy), or that it is a time."""

    reason: Reason
    arrange: Callable[[World], DecisionRecord]
    detail: str = ""
    change: str = ""
    is_timed: bool = False


SCENARIOS = {
    "audience": Scenario(
        Reason.NOT_IN_AUDIENCE,
        deciding("audience: customer.age > 50\n"),
        "rule `customer.age > 50`",
        "if the rule held; customer.age = 40",
    ),
    "eligible": Scenario(
        Reason.INELIGIBLE,
        deciding(mail="eligible: has(context.basket) && customer.age > 18"),
        "rule `has(context.basket) && customer.age > 18`",
        "if the rule held; context.basket is missing, customer.age = 40",
    ),
    "action starts": Scenario(
        Reason.NOT_STARTED,
        deciding(mail="starts_at: 2023-11-16T08:00:00Z"),
        "starts 2023-11-16 08:00:00",
        is_timed=True,
    ),
    "program starts in quiet hours": Scenario(
        Reason.NOT_STARTED,
        deciding(
            "starts_at: 2023-11-16T02:00:00Z\n",
            policy="quiet_hours: [{id: night, from: '22:00', to: '08:00', when_quiet: discard}]",
        ),
        "the program starts 2023-11-16 02:00:00 UTC (03:00 in Europe/Berlin)",
        "from 2023-11-16 07:00:00 UTC (08:00 in Europe/Berlin) on",
        is_timed=True,
    ),
    "starts, but not for her": Scenario(
        Reason.NOT_STARTED,
        deciding(mail="starts_at: 2023-11-16T08:00:00Z, eligible: customer.age > 50"),
        "starts 2023-11-16 08:00:00",
        "not by waiting alone: from 2023-11-16 08:00:00 UTC (09:00 in Europe/Berlin) on, INELIGIBLE would exclude it",
    ),
    "ended": Scenario(
        Reason.EXPIRED,
        deciding(mail="ends_at: 2023-11-14T20:00:00Z"),
        "ended 2023-11-14 20:00:00 UTC",
        "before 2023-11-14 20:00:00 UTC",
    ),
    "channel": Scenario(
        Reason.CHANNEL_NOT_REQUESTED,
        deciding(channels=("sms",)),
        "channel 'email'; the request asked for sms",
        "if the request named channel 'email', or none",
    ),
    "no consent": Scenario(
        Reason.NO_CONSENT,
        deciding(policy="consent: {features: {email: mail_ok}, default: deny}"),
        "'mail_ok' is missing, and the contact policy denies",
        "if 'mail_ok' were true",
    ),
    "consent refused": Scenario(
        Reason.NO_CONSENT,
        deciding(policy="consent: {features: {email: mail_ok}}", context={"mail_ok": False}),
        "'mail_ok' is false in the context",
        "if 'mail_ok' were true",
    ),
    "suppressed": Scenario(
        Reason.SUPPRESSED, suppressed(7200), "channel 'email' suppressed since 2023-11-14 22:13:20 UTC", is_timed=True
    ),
    "suppressed for good": Scenario(Reason.SUPPRESSED, suppressed(None), "for good: asked by phone"),
    "complaint": Scenario(
        Reason.SUPPRESSED_BY_OUTCOME,
        after_outcomes("suppress_on: [{outcome: complaint, channels: all, for: 30d}]", "complaint"),
        "all channels suppressed",
        is_timed=True,
    ),
    "pause": Scenario(
        Reason.SUPPRESSED_BY_OUTCOME,
        after_outcomes(
            "pause_on: [{id: bored, outcome: dismiss, count: 2, within: 7d, for: 3d, pauses: channel}]",
            *["dismiss"] * 2,
        ),
        "pause 'bored' of the contact policy: 2 × 'dismiss' within 1 week pause its channel for 3 days",
        is_timed=True,
    ),
    "rolling cap": Scenario(
        Reason.FREQUENCY_CAP,
        after_sending(policy="caps: [{id: few, limit: 1, rolling: 36h, scope: {channel: email}}]"),
        "cap 'few' of the contact policy: at most 1 contact of channel 'email' in any 36 hours, counting what was sent "
        "or still may be; counted mail of p sent 2023-11-14 22:13:20 UTC (23:13 in Europe/Berlin)",
        "from 2023-11-16 10:13:20 UTC (11:13 in Europe/Berlin) on",
        is_timed=True,
    ),
    "calendar cap of the program": Scenario(
        Reason.FREQUENCY_CAP,
        after_sending(more="caps: [{id: few, limit: 1, calendar: week, week_starts: sunday, counts: delivered}]\n"),
        "cap 'few' of program 'p': at most 1 contact per calendar week from Sunday in Europe/Berlin",
        "from 2023-11-18 23:00:00 UTC (Sun 00:00 in Europe/Berlin) on",
        is_timed=True,
    ),
    "cap within quiet hours": Scenario(
        Reason.FREQUENCY_CAP,
        after_sending(
            policy="caps: [{id: few, limit: 1, rolling: 4h}]\n"
            "quiet_hours: [{id: night, from: '02:00', to: '09:00', when_quiet: discard}]"
        ),
        "cap 'few'",
        "from 2023-11-15 08:00:00 UTC (09:00 in Europe/Berlin) on",
        is_timed=True,
    ),
    "quiet hours": Scenario(
        Reason.QUIET_HOURS,
        deciding(
            policy="quiet_hours: [{id: late, from: '22:00', to: '07:30', channels: [email], when_quiet: discard}]"
        ),
        "quiet hours 'late' of the contact policy: 22:00 to 07:30 on email, messages are discarded; it was "
        "2023-11-14 22:13:20 UTC (23:13 in Europe/Berlin)",
        "from 2023-11-15 06:30:00 UTC (07:30 in Europe/Berlin) on",
        is_timed=True,
    ),
    "zone": Scenario(
        Reason.TIMEZONE_UNKNOWN,
        without_timezone,
        "needed by 'daily'; feature 'timezone' = Mars/Base",
        "if 'timezone' named an IANA zone",
    ),
    "budget of the day": Scenario(
        Reason.VOLUME_LIMIT,
        after_sending(more="budgets: [{id: few, limit: 1, per: day, timezone: Europe/Berlin}]\n", customer="other"),
        "budget 'few' of program 'p': at most 1 contact per day in Europe/Berlin; 1 taken, 1 allowed",
        "from 2023-11-14 23:00:00 UTC (Wed 00:00 in Europe/Berlin) on",
        is_timed=True,
    ),
    "budget in money, paced": Scenario(
        Reason.VOLUME_LIMIT,
        deciding(mail="cost: 2.5", policy="budgets: [{id: purse, money: 2.6, per: day, pace: even}]"),
        "budget 'purse' of the contact policy: at most 2.60 of money spent on contacts per day in UTC, paced; "
        "0.00 taken, 2.407408 allowed by 2023-11-14 22:13:20 UTC",
        is_timed=True,
    ),
    "budget in total": Scenario(
        Reason.VOLUME_LIMIT,
        after_sending(policy="budgets: [{id: all, limit: 1, per: total, scope: {channel: email}}]", customer="other"),
        "budget 'all' of the contact policy: at most 1 contact of channel 'email' in total",
    ),
    "holdout": Scenario(Reason.HOLDOUT, deciding(pinned_group=Group.HOLDOUT), "pinned by the caller"),
    "global holdout": Scenario(Reason.HOLDOUT, deciding(policy="holdout: {share: 100%}"), "global holdout"),
    "learning mode": Scenario(
        Reason.BASELINE_ONLY,
        deciding("learning_mode: logging_only\nbaseline: [{action: text}]\n"),
        "learning mode LOGGING_ONLY serves the baseline text",
        "if the learning mode were ONLINE",
    ),
    "business as usual": Scenario(
        Reason.BASELINE_ONLY,
        deciding("baseline: [{action: text}]\n", pinned_group=Group.BUSINESS_AS_USUAL),
        "group BUSINESS_AS_USUAL (pinned by the caller) is served the baseline text",
    ),
    "broken rule": Scenario(
        Reason.RULE_ERROR,
        deciding(mail="eligible: customer.visits > 3"),
        "rule `customer.visits > 3`: ",
        "if the rule gave true; customer.visits is missing",
    ),
    "broken audience": Scenario(
        Reason.RULE_ERROR,
        deciding("audience: customer.visits > 3\n"),
        "rule `customer.visits > 3`: ",
        "if the rule gave true; customer.visits is missing",
    ),
    "no features": Scenario(
        Reason.FEATURES_MISSING, with_features_down, "not read in time", "if the features could be read"
    ),
    "stale features": Scenario(Reason.FEATURES_STALE, with_stale_features, "views v", "if these views were fresh"),
    "paused program": Scenario(
        Reason.WITHDRAWN, deciding("state: paused\n"), "the program is paused", "if the program were live"
    ),
    "race for a token": Scenario(Reason.CAP_RACE_LOST, losing_the_last_token),
    "no model": Scenario(Reason.MODEL_MISSING, deciding()),
    "broken model": Scenario(Reason.MODEL_REJECTED, with_a_broken_model),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))
def test_a_reason_is_reached_and_explained(scenario: Scenario) -> None:
    """It stands in the record; Explain names it, its remedy and, where there is one, what would change it."""
    world = World()
    record = scenario.arrange(world)
    explanation = world.inquiry.explain(record.decision_id)
    assert f"{scenario.reason}: " in explanation.text
    assert scenario.reason.remedy in explanation.text
    assert world.inquiry.replay(record.decision_id).identical
    if scenario.reason in record.degradations and not scenario.detail:
        assert explanation.record.degradations == record.degradations
        return
    [exclusion] = [e for e in record.exclusions if e.action == "mail"]
    [step] = [s for s in explanation.funnel if s.action == "mail"]
    assert (exclusion.reason, step.reason, step.kept, step.remedy) == (
        scenario.reason,
        scenario.reason,
        False,
        scenario.reason.remedy,
    )
    assert scenario.detail in step.detail
    assert scenario.change in step.change
    assert (step.change == "") is (scenario.change == "" and not scenario.is_timed)
    assert step.detail in explanation.text
    assert step.change in explanation.text
    if scenario.is_timed:
        opens_ms = promised(step.change)
        assert "mail" in options(world, record, opens_ms)
        assert "mail" not in options(world, record, opens_ms - 1000)


def promised(change: str) -> int:
    """The time that Explain gives, in milliseconds."""
    found = re.fullmatch(r"from (\S+ \S+) UTC.* on, if nothing else changes", change)
    assert found, change
    return round(datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp() * 1000)


def options(world: World, record: DecisionRecord, at_ms: int) -> set[str]:
    """What would be kept of the same request at another time."""
    again = DecideRequest(
        "again", record.request.customer_id, ("p",), record.request.context, dry_run=True, at_ms=at_ms
    )
    return {option.action for option in world.service.decide(again).record.options}


def test_every_reason_has_a_scenario() -> None:
    """A new reason needs one here, but for those that only an answer has: `test_sending` reaches them."""
    answered = {Reason.LEASE_LAPSED, Reason.ALREADY_REPORTED}
    assert {scenario.reason for scenario in SCENARIOS.values()} == set(Reason) - answered


def test_a_lost_race_says_what_was_drawn() -> None:
    """The answer is NO_ACTION, and Explain tells what it would have been."""
    world = World()
    record = losing_the_last_token(world)
    assert (record.drawn, record.chosen) == ("mail", NO_ACTION)
    assert "mail was drawn, but could not be reserved any more" in world.inquiry.explain(record.decision_id).text
