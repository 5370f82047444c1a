"""What outcomes and events do at once, before anything is joined or learned."""

from __future__ import annotations

from collections.abc import Sequence

from decision_service.core.customer import ALL_CHANNELS, Suppression
from decision_service.core.errors import InvalidRequest, Violation
from decision_service.core.program import ContactPolicy
from decision_service.core.reasons import Reason
from decision_service.core.record import Event, Outcome

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


def suppressions_by(policy: ContactPolicy, outcome: Outcome, now_ms: int) -> list[Suppression]:
    """The suppressions that an outcome brings under the policy; without a channel of its own it concerns all."""
    return [
        Suppression(
            channel=ALL_CHANNELS if rule.all_channels or not outcome.channel else outcome.channel,
            reason=Reason.SUPPRESSED_BY_OUTCOME,
            since_ms=now_ms,
            until_ms=None if rule.for_s is None else outcome.occurred_at_ms + rule.for_s * 1000,
            note=outcome.name,
        )
        for rule in policy.suppress_on
        if rule.outcome == outcome.name
    ]
