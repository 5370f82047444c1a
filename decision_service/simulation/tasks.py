"""The simulator's end of the `Simulations` port: what waits to be simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from decision_service.core.model.errors import NbaError


@dataclass(frozen=True, slots=True)
class SimulationTask:
    """A simulation that somebody waits for; see `Simulations.run`."""

    id: str
    document: str
    contact_policy_document: str
    from_ms: int
    until_ms: int


class SimulationTasks(Protocol):
    """The simulator's end of `Simulations`. Every method may raise Unavailable."""

    def take(self) -> SimulationTask | None:
        """The task that has waited longest, None if none waits."""
        ...

    def wanted(self, task: SimulationTask) -> bool:
        """Whether somebody still waits for it."""
        ...

    def report(self, task: SimulationTask, report: str) -> None:
        """Answer with the report."""
        ...

    def refuse(self, task: SimulationTask, error: NbaError) -> None:
        """Answer with an error."""
        ...
