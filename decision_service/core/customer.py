"""What the ledger knows of one customer: contacts, suppressions, live event counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from decision_service.core.reasons import Reason

ALL_CHANNELS = "*"

REPORT_GRACE_MS = 60_000
"""A message sent in the last moment of its lease is reported a little later; its slot is held for so long."""


class ContactStatus(StrEnum):
    """A contact is RESERVED at Decide and SENT once its activation is reported."""

    RESERVED = "RESERVED"
    SENT = "SENT"


@dataclass(frozen=True, slots=True)
class Contact:
    """One slot in the customer's caps. Tags and channel are those at the time of contact.

    A RESERVED contact may be sent at any moment of [from_ms, until_ms]; until_ms is when its lease lapses.
    A SENT one has from_ms == until_ms, the time it was sent.
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

    def live_at(self, now_ms: int) -> bool:
        """Whether it holds a slot: sent, or reserved and its lease, with the time a report may take, not over."""
        return self.status is ContactStatus.SENT or now_ms <= self.until_ms + REPORT_GRACE_MS


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


MAX_RECENT_EVENTS = 64


@dataclass(frozen=True, slots=True)
class EventCounter:
    """One event name of one customer: how often ever, and the latest MAX_RECENT_EVENTS times, newest first."""

    total: int
    recent_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CustomerState:
    """Read in one atomic step, so `version` belongs to the rest. `version` moves with contacts and suppressions."""

    version: int = 0
    contacts: tuple[Contact, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    events: Mapping[str, EventCounter] = field(default_factory=dict)
