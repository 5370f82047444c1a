"""What outcomes, events and reports do at once, before anything is joined or learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decision_service.core.guardrails.pauses import counters
from decision_service.core.model.customer import ALL_CHANNELS, Suppression
from decision_service.core.model.errors import Conflict, InvalidRequest, Violation
from decision_service.core.model.program import Action, ContactPolicy
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Activation, ActivationStatus, Event, Outcome

CLOCK_TOLERANCE_MS = 60_000
"""By how much a runner's clock may differ from the server's."""


def refuse_future(field: str, occurred: Sequence[Outcome | Event], now_ms: int) -> None:
    """What has not happened yet would hold its place in counters and windows for ever.

    Raises:
        InvalidRequest: naming each that occurred after `now_ms`, beyond the tolerance.
    """
    violations = [
        Violation(f"{field}[{i}].occurred_at_ms", f"{one.occurred_at_ms} lies in the future; the time is {now_ms}")
        for i, one in enumerate(occurred)
        if one.occurred_at_ms > now_ms + CLOCK_TOLERANCE_MS
    ]
    if violations:
        raise InvalidRequest(violations)


@dataclass(frozen=True, slots=True)
class Effects:
    """What an outcome does at once, besides being logged and counted under its own name.

    counters: further names to count it under, for `core.guardrails.pauses`.
    """

    suppressions: tuple[Suppression, ...] = ()
    counters: tuple[str, ...] = ()


def effects_of(
    policy: ContactPolicy, outcome: Outcome, program: str | None, action: Action | None, now_ms: int
) -> Effects:
    """What the policy makes of an outcome.

    program, action: those of the decision that it belongs to; None if that is unknown. They matter to pauses only: an
    outcome that names no channel suppresses every channel, as who unsubscribes may mean all of them.
    """
    suppressions = tuple(
        Suppression(
            channel=ALL_CHANNELS if rule.all_channels or not outcome.channel else outcome.channel,
            reason=Reason.SUPPRESSED_BY_OUTCOME,
            since_ms=now_ms,
            until_ms=None if rule.for_s is None else outcome.occurred_at_ms + rule.for_s * 1000,
            note=outcome.name,
        )
        for rule in policy.suppress_on
        if rule.outcome == outcome.name
    )
    return Effects(suppressions, counters(policy.pauses, outcome, program, action))


FATES = frozenset({ActivationStatus.DELIVERED, ActivationStatus.BOUNCED})
"""What becomes of a sent message: reported after SENT, or in its place."""


def is_news(before: ActivationStatus | None, activation: Activation) -> bool:
    """Whether a report says more than the status reported before; False if it repeats what is known.

    Raises:
        Conflict: it contradicts what was reported.
    """
    status = activation.status
    if before is None or (before is ActivationStatus.SENT and status in FATES):
        return True
    if before is status or (before in FATES and status is ActivationStatus.SENT):
        return False
    raise Conflict(f"decision {activation.decision_id!r} was already reported {before}, now {status}")
