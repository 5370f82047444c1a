"""Whether contacts may be decided on: on a ledger that goes on with the history, by a clock that agrees with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from decision_service.application.ports import Clock, LedgerRead
from decision_service.core.choice.draw import KeyedDraw
from decision_service.core.model.errors import NotInService, Unavailable
from decision_service.core.model.installation import Installation, LedgerState
from decision_service.core.model.record import DecideRequest

UNCOMPARED = (
    "this ledger is new, and the loader has not compared it with the warehouse yet; it does so within a second or two "
    "where it runs (`nba up`, `nba loader`)"
)
LOST = (
    "the ledger has lost what it held since this worker started, or a part of it; run `nba ledger rebuild`, or "
    "`nba ledger new` if it is to start anew"
)


def skew_of(ledger_ms: int, before_ms: int, after_ms: int) -> int:
    """How far a clock is ahead of the ledger's (behind: below 0), ms; it read before and after the ledger's was read.

    What lies between those two is no skew: a read that takes long must not look like a clock that is wrong.
    """
    return max(before_ms - ledger_ms, 0) or min(after_ms - ledger_ms, 0)


def too_far(skew_ms: int, now_ms: int, bound_ms: int) -> str:
    """What is wrong with a clock, and what to do; empty if its skew is within the bound."""
    if abs(skew_ms) <= bound_ms:
        return ""
    here, there = (
        datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "milliseconds") for ms in (now_ms, now_ms - skew_ms)
    )
    direction = "ahead of" if skew_ms > 0 else "behind"
    return (
        f"this machine's time, {here}, is {abs(skew_ms) / 1000:.1f} s {direction} the ledger's, {there}; at most "
        f"{bound_ms / 1000:g} s are allowed: synchronise both with NTP, or set NBA_MAX_CLOCK_SKEW_S"
    )


class Admission:
    """Thread-safe. What it knows of the ledger is renewed in the background; what it lets through is judged by the
    very read that the decision is made of.

    max_skew_ms: how far the clock may be from the ledger's; None: it is not compared, as where time is simulated.
    """

    def __init__(self, installation: Installation, clock: Clock, max_skew_ms: int | None = None) -> None:
        self._clock, self._bound_ms = clock, max_skew_ms
        self._skew_ms: int | None = None
        self.renew(installation)

    @property
    def installation(self) -> Installation:
        """As last looked at."""
        return self._known[0]

    @property
    def skew_ms(self) -> int | None:
        """The clock's skew as last measured; None if it never was."""
        return self._skew_ms

    def renew(self, installation: Installation) -> None:
        """Go on with what the ledger says of itself now."""
        self._known = (installation, KeyedDraw(installation.draw_key))

    def measure(self, ledger_ms: int, before_ms: int) -> None:
        """Note the ledger's time, asked for at `before_ms` of this clock."""
        if self._bound_ms is not None:
            self._skew_ms = skew_of(ledger_ms, before_ms, self._clock.now_ms())

    def draw(self, request: DecideRequest) -> float:
        """The request's draw, by the installation's key."""
        return self._known[1](request)

    def admit(self, read: LedgerRead, before_ms: int) -> None:
        """Let a decision be made of what was read; the read was begun at `before_ms`.

        Raises:
            Unavailable: the ledger is not in service, or the clock is too far from its own.
        """
        installation = self.installation
        if not read.ledger_id or read.ledger_id != installation.ledger_id:
            raise NotInService(why_not(installation))
        if self._bound_ms is not None and read.ledger_ms is not None:
            now_ms = self._clock.now_ms()
            if problem := too_far(skew_of(read.ledger_ms, before_ms, now_ms), now_ms, self._bound_ms):
                raise Unavailable("clock", problem)

    def check_publishing(self) -> None:
        """Let something be published: not before it is known where versions go on.

        Raises:
            Unavailable: the ledger is not in service.
        """
        if self.installation.state is not LedgerState.READY:
            raise NotInService(why_not(self.installation))

    @property
    def clock_problem(self) -> str:
        """What is wrong with the clock as last measured; empty if nothing is."""
        if self._skew_ms is None or self._bound_ms is None:
            return ""
        return too_far(self._skew_ms, self._clock.now_ms(), self._bound_ms)

    @property
    def problems(self) -> Mapping[str, str]:
        """Part → why no contact is decided on; empty if they are."""
        problems = {"clock": self.clock_problem}
        if self.installation.state is not LedgerState.READY:
            problems["ledger"] = why_not(self.installation)
        return {part: problem for part, problem in problems.items() if problem}


def why_not(installation: Installation) -> str:
    """Why no contact is decided on this ledger."""
    match installation.state:
        case LedgerState.NEW:
            return UNCOMPARED
        case LedgerState.REFUSED:
            return installation.problem
        case LedgerState.READY:
            return LOST
