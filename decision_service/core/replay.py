"""Comparing a logged decision with its recomputation."""

from __future__ import annotations

from dataclasses import dataclass

from decision_service.core.decide import Decision
from decision_service.core.record import DecisionRecord


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Whether recomputing gave the logged decision; each difference as `field: logged → recomputed`."""

    identical: bool
    differences: tuple[str, ...] = ()


def compare(record: DecisionRecord, again: Decision) -> ReplayResult:
    """Field by field, without tolerance. A lost race is compared up to its draw: what came after is not replayable."""
    logged: dict[str, object] = {
        "group": record.group,
        "learning_mode": record.learning_mode,
        "policy": record.policy,
        "model": record.model,
        "live": dict(record.live),
        "options": record.options,
        "exclusions": record.exclusions,
        "drawn": record.drawn,
        "encoding_digest": record.encoding_digest,
    }
    recomputed: dict[str, object] = {name: getattr(again, name) for name in logged}
    recomputed["live"] = dict(again.live)
    if record.chosen == record.drawn:
        logged["reservation"], recomputed["reservation"] = record.reservation, again.reservation
    differences = tuple(
        f"{name}: {logged[name]} → {recomputed[name]}" for name in logged if logged[name] != recomputed[name]
    )
    return ReplayResult(not differences, differences)
