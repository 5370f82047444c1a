"""Simulations in this process, for tests (`ports.Simulations`)."""

from __future__ import annotations

from collections.abc import Callable

Simulate = Callable[[str, str, int, int], str]
"""(document, contact policy document, from_ms, until_ms) → report as JSON text."""


class MemorySimulations:
    """Simulates where it is called, however long that takes."""

    def __init__(self, simulate: Simulate) -> None:
        self._simulate = simulate

    def run(self, document: str, contact_policy_document: str, from_ms: int, until_ms: int, timeout_s: float) -> str:
        """The report."""
        del timeout_s
        return self._simulate(document, contact_policy_document, from_ms, until_ms)
