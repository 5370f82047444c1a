"""What outcomes and reports do at once."""

from __future__ import annotations

import pytest

from decision_service.core.guardrails.effects import Effects, effects_of, is_news
from decision_service.core.guardrails.pauses import counters
from decision_service.core.model.customer import ALL_CHANNELS, Suppression
from decision_service.core.model.errors import Conflict
from decision_service.core.model.program import Action, ContactPolicy, PauseOf, PauseRule, SuppressOn
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Activation, ActivationStatus, Outcome

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


SENT = ActivationStatus.SENT
DELIVERED, BOUNCED = ActivationStatus.DELIVERED, ActivationStatus.BOUNCED


@pytest.mark.parametrize("before", [None, *ActivationStatus])
@pytest.mark.parametrize("status", list(ActivationStatus))
def test_a_report_is_news_repeats_or_contradicts(before: ActivationStatus | None, status: ActivationStatus) -> None:
    """News: the first, and what became of a sent message. A repetition: the same, and SENT once that is known."""
    report = Activation("d1", "c1", status, NOW, NOW)
    news = {(None, s) for s in ActivationStatus} | {(SENT, DELIVERED), (SENT, BOUNCED)}
    repeats = {(s, s) for s in ActivationStatus} | {(DELIVERED, SENT), (BOUNCED, SENT)}
    if (before, status) in news | repeats:
        assert is_news(before, report) == ((before, status) in news)
    else:
        with pytest.raises(Conflict, match=f"{before}, now {status}"):
            is_news(before, report)
