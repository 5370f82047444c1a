"""What an outcome does at once, before anything is joined or learned."""

from __future__ import annotations

from decision_service.core.customer import ALL_CHANNELS, Suppression
from decision_service.core.program import ContactPolicy
from decision_service.core.reasons import Reason
from decision_service.core.record import Outcome


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
