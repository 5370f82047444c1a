"""What the model speaks of: customers, verdicts, messages and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.state.calendars import DAY, Label

GRACE = 60_000
LONGEST_QUEUE = 31 * DAY
READ_AHEAD = {"hour": DAY}
SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
KEPT_TIMES = 64
SENT = ("SENT", "DELIVERED", "BOUNCED")

Document = dict[str, Any]
Key = tuple[str, str, Label]
"""Of a budget's counter: `PROGRAM/ID` or `/ID`, contacts or money, period."""


def duration_ms(text: str) -> int:
    """Of `15m`."""
    return int(text[:-1]) * SECONDS[text[-1]] * 1000


@dataclass(frozen=True)
class Customer:
    """Zone and consent to e-mail, as features; None where they are missing."""

    id: str
    timezone: str | None
    email_ok: bool | None


@dataclass(frozen=True)
class Objection:
    """Why not; `by` names the cap or budget."""

    reason: str
    by: str = ""


@dataclass(frozen=True)
class Fits:
    """May be sent in [from_ms, until_ms]; takes so much of these budgets."""

    from_ms: int
    until_ms: int
    takes: Mapping[Key, int]


@dataclass
class Sending:
    """One decision to contact a customer, and what became of it.

    sent_ms: None if it was not sent. in_time: sent within its span, and reported while it held its slot.
    told: the statuses reported, in their order. stopped: it must not be sent, and whoever asks is told so.
    decided, reported: when, in the order of everything that happened.
    """

    decision_id: str
    customer: Customer
    program: str
    action: Document
    policy_document: Document
    program_document: Document
    decided_ms: int
    fits: Fits
    decided: int
    reported: int | None = None
    status: str = "RESERVED"
    sent_ms: int | None = None
    in_time: bool = False
    told: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def tags(self) -> list[str]:
        tags: list[str] = self.action.get("tags", [])
        return tags

    @property
    def counted(self) -> bool:
        return bool(self.action.get("counts_toward_caps", True))

    def may_come(self, now_ms: int) -> bool:
        """Whether it is still reserved, and its lease, with the time for a report, not over."""
        return self.status == "RESERVED" and now_ms <= self.fits.until_ms + GRACE


def in_scope(scope: Document, owner: str, program: str, action: Document) -> bool:
    """owner: the program whose document the scope stands in; empty for the contact policy."""
    own = scope.get("program") == "this" or "action" in scope
    return (
        ("channel" not in scope or scope["channel"] == action["channel"])
        and ("message" not in scope or scope["message"] == action["message"])
        and ("tag" not in scope or scope["tag"] in action.get("tags", []))
        and ("action" not in scope or scope["action"] == action["id"])
        and (program == owner if own else scope.get("program") in (None, program))
    )
