"""What the ledger knows of one customer: contacts, suppressions, live event counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from decision_service.core.model.program import CapCounts
from decision_service.core.model.reasons import Reason

ALL_CHANNELS = "*"

REPORT_GRACE_MS = 60_000
"""A message sent in the last moment of its lease is reported a little later; its slot is held for so long."""


class ContactStatus(StrEnum):
    """A contact is RESERVED at Decide; SENT, then perhaps DELIVERED or BOUNCED, or RELEASED, once that is reported.

    REVOKED: a guardrail came into force before it was sent. LAPSED: its lease was over when another decision took a
    slot; a clock that is set back does not bring it back.
    """

    RESERVED = "RESERVED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    BOUNCED = "BOUNCED"
    RELEASED = "RELEASED"
    REVOKED = "REVOKED"
    LAPSED = "LAPSED"

    @property
    def was_sent(self) -> bool:
        """Whether the message went out, whatever became of it."""
        return self in _SENT


_SENT = frozenset({ContactStatus.SENT, ContactStatus.DELIVERED, ContactStatus.BOUNCED})
_COUNTED = {
    CapCounts.RESERVED: frozenset(ContactStatus),
    CapCounts.ACTIVATED: _SENT,
    CapCounts.DELIVERED: frozenset({ContactStatus.SENT, ContactStatus.DELIVERED}),
}


@dataclass(frozen=True, slots=True)
class Contact:
    """One slot in the customer's caps. Tags, channel and whether it counts are those at the time of contact.

    One that was sent has from_ms == until_ms, the time of sending. Any other might be sent, or have been, at any moment
    of [from_ms, until_ms]; until_ms is when its lease lapses.
    counted: whether it counts toward caps at all (`Action.counts_toward_caps`).
    """

    decision_id: str
    program: str
    action: str
    message: str
    channel: str
    tags: frozenset[str]
    status: ContactStatus
    from_ms: int
    until_ms: int
    counted: bool = True

    def is_pending(self, now_ms: int) -> bool:
        """Whether it may still be sent: reserved, and its lease, with the time a report may take, not over."""
        return self.status is ContactStatus.RESERVED and now_ms <= self.until_ms + REPORT_GRACE_MS

    def counts(self, what: CapCounts, now_ms: int) -> bool:
        """Whether it holds a slot of a cap that counts `what`."""
        return self.counted and (self.status in _COUNTED[what] or self.is_pending(now_ms))


@dataclass(frozen=True, slots=True)
class Suppression:
    """No contact on `channel` (ALL_CHANNELS for every one) until `until_ms`; None is for good."""

    channel: str
    reason: Reason  # SUPPRESSED or SUPPRESSED_BY_OUTCOME
    since_ms: int
    until_ms: int | None = None
    note: str = ""

    def live_at(self, now_ms: int) -> bool:
        """Whether it is in force."""
        return self.until_ms is None or now_ms < self.until_ms

    def outlasts(self, other: Suppression) -> bool:
        """Whether it holds longer than the other, or is for good and the other is not."""
        return other.until_ms is not None and (self.until_ms is None or self.until_ms > other.until_ms)

    def concerns(self, channel: str) -> bool:
        """Whether it keeps contacts on the channel back."""
        return self.channel in (channel, ALL_CHANNELS)


MAX_RECENT_EVENTS = 64


@dataclass(frozen=True, slots=True)
class EventCounter:
    """One event name of one customer: how often ever, and the latest MAX_RECENT_EVENTS times, newest first."""

    total: int = 0
    recent_ms: tuple[int, ...] = ()

    def counting(self, at_ms: int) -> EventCounter:
        """The counter with one more."""
        times = sorted((*self.recent_ms, at_ms), reverse=True)[:MAX_RECENT_EVENTS]
        return EventCounter(self.total + 1, tuple(times))


@dataclass(frozen=True, slots=True)
class CustomerState:
    """Read in one atomic step, so `version` belongs to the rest. `version` moves with contacts and suppressions."""

    version: int = 0
    contacts: tuple[Contact, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    events: Mapping[str, EventCounter] = field(default_factory=dict)

    def contact(self, decision_id: str) -> Contact | None:
        """The contact of a decision; None if it reserved none, or no cap can count it any more."""
        return next((c for c in self.contacts if c.decision_id == decision_id), None)

    def without(self, decision_id: str) -> CustomerState:
        """The state as if the decision had not been made."""
        return replace(self, contacts=tuple(c for c in self.contacts if c.decision_id != decision_id))
