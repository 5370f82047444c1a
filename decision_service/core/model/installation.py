"""Which ledger it is: what tells one from another, and whether it may serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class LedgerState(StrEnum):
    """NEW: not yet compared with the warehouse. READY: it goes on with the warehouse's history, and serves. REFUSED:
    the warehouse has a history that is another ledger's."""

    NEW = "NEW"
    READY = "READY"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Installation:
    """What a ledger is known by. Made once with it; the warehouse keeps a copy.

    ledger_id: versions of what is published count for one ledger; with its id they name one document for good.
    draw_key: see `KeyedDraw`.
    unnamed_before: it was made by a release that gave no ids; records without one are its own.
    problem: why it is REFUSED, and what to do.
    """

    ledger_id: str
    draw_key: bytes = field(repr=False)
    unnamed_before: bool = False
    state: LedgerState = LedgerState.NEW
    problem: str = ""

    @property
    def known_as(self) -> frozenset[str]:
        """The ids that records of this ledger bear."""
        return frozenset({self.ledger_id, ""} if self.unnamed_before else {self.ledger_id})
