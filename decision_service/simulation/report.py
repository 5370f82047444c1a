"""What a simulation says, as plain values: today beside what is proposed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from decision_service.core.estimation.intervals import Interval

FEASIBLE, ABSENT = "FEASIBLE", "ABSENT"
"""Beside reason codes: what an action was that was not excluded, and one that its program did not have."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    decisions: that concern it. contacts: decisions to contact. customers: distinct ones contacted, the reach.
    excluded: actions that decisions could not choose, each counted once per decision.
    """

    decisions: int
    contacts: int
    customers: int
    excluded: int


@dataclass(frozen=True, slots=True)
class ExcludedFor:
    """How often actions were excluded for one reason; `guardrail` names the cap, rule or channel."""

    reason: str
    guardrail: str
    today: int
    proposed: int


@dataclass(frozen=True, slots=True)
class Row:
    """Everything, or one program, action, channel, segment or value of a feature."""

    name: str
    today: Side
    proposed: Side
    exclusions: tuple[ExcludedFor, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """In how many decisions an action's fate changed, and from what into what: FEASIBLE, ABSENT or a reason code."""

    program: str
    action: str
    today: str
    today_guardrail: str
    proposed: str
    proposed_guardrail: str
    decisions: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the program's decisions would earn on average, by rewards of what was done.

    refused: why there is no estimate, and what would give one; empty if there is one.
    rows: matured decisions that it rests on: drawn, sent and rewarded, under `reward_version`.
    today: their mean reward. difference: proposed less today, doubly robust and paired. proposed: their sum. snips: the
    self-normalised estimate, which must not contradict it. Intervals are two-sided at `confidence`, by customer.
    effective_sample_size: how many decisions drawn as proposed the rows are worth.
    mean_weight, mean_weight_z: should be 1, and how many standard errors it is away from that.
    unsupported: share of the proposed probability on actions that the logged decision could not choose.
    other_history: share of the rows in which the customer's history would have been another; the estimate knows that
        their probabilities change, and not that their rewards might.
    cautions: what to know when reading it.
    """

    refused: tuple[str, ...]
    reward_version: str
    rows: int
    confidence: float
    today: Interval | None = None
    proposed: Interval | None = None
    difference: Interval | None = None
    snips: Interval | None = None
    effective_sample_size: float | None = None
    mean_weight: float | None = None
    mean_weight_z: float | None = None
    largest_weight: float | None = None
    unsupported: float | None = None
    other_history: float | None = None
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """One simulation.

    decisions: simulated, of [from_ms, until_ms). other_choice: those that would have chosen otherwise. other_history:
    those that would have met a customer with another history: contacts, suppressions, pauses. lost_races: those that
    lost their last slot to another decision, taken as logged.
    features: by feature named in the request, its values; beyond MOST_VALUES, the rest together.
    changes: the most frequent first. notes: what the simulation could not take into account.
    """

    program: str
    contact_policy_proposed: bool
    from_ms: int
    until_ms: int
    decisions: int
    other_choice: int
    other_history: int
    lost_races: int
    total: Row
    programs: tuple[Row, ...]
    actions: tuple[Row, ...]
    channels: tuple[Row, ...]
    segments: tuple[Row, ...]
    features: Mapping[str, tuple[Row, ...]]
    changes: tuple[Change, ...]
    estimate: Estimate
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; bounds that do not exist are null."""
        document: dict[str, Any] = _plain(self)
        return document


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
