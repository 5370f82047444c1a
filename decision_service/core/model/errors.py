"""Every error that the product raises on purpose, as one tree, free of transport.

    NbaError
    ├── InvalidRequest      the caller must change the request; lists every violation at once
    ├── NotFound            the named thing does not exist
    ├── Conflict            the request contradicts what was already recorded
    ├── Unavailable         a part is down; retrying later may help
    │   └── NotInService    the ledger answers, but is new or was lost
    ├── Overloaded          shed load; retry with backoff
    ├── NotBuilt            part of the API surface that this version does not offer
    ├── ModelRejected       a model failed digest, encoder or golden-context checks
    └── InvalidDistribution a policy produced something that is not a probability distribution

`rpc/status.py` is the only place that maps them to gRPC codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class NbaError(Exception):
    """Root of the tree."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field: `field` is its path (`actions[2].channel`), `message` says what and the fix."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidRequest(NbaError):
    """The input is wrong in one or more named fields; nothing was applied."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(str(v) for v in self.violations))

    @classmethod
    def of(cls, field: str, message: str) -> InvalidRequest:
        """An error about a single field."""
        return cls([Violation(field, message)])


class NotFound(NbaError):
    """`kind` (program, decision, model …) with this `name` does not exist; `hint` says where to look."""

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        self.kind, self.name, self.hint = kind, name, hint
        super().__init__(f"{kind} {name!r} not found" + (f"; {hint}" if hint else ""))


class Conflict(NbaError):
    """The request contradicts an earlier one, such as a `request_id` reused with another body."""


class Unavailable(NbaError):
    """A part that is needed did not answer in time; `part` names it."""

    def __init__(self, part: str, detail: str) -> None:
        self.part = part
        super().__init__(f"{part}: {detail}")


class NotInService(Unavailable):
    """The ledger answers, but was not found to go on with the history: it is new, or was lost."""

    def __init__(self, detail: str) -> None:
        super().__init__("ledger", detail)


class Overloaded(NbaError):
    """The service sheds load instead of queueing without bound."""


class NotBuilt(NbaError):
    """This method or option is declared by the API but not offered by this version."""


class ModelRejected(NbaError):
    """A model artifact failed a check (digest, encoder version, golden contexts) and must not serve."""


class InvalidDistribution(NbaError):
    """Not finite, negative, not summing to one, or of the wrong length."""
