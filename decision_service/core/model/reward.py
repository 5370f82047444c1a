"""What a program optimises, and which of its decisions it learns that from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Aggregation(StrEnum):
    """How the outcomes within a decision's reward window become one number."""

    SUM = "sum"
    MAX = "max"
    EARLIEST = "earliest"
    LATEST = "latest"
    ANY = "any"  # 1 if there is at least one outcome


class Attribution(StrEnum):
    """Which decisions of a program an outcome counts for, beside the one that it names.

    EVERY_DECISION: each whose reward window holds it. A decision was drawn, so what follows it, by way of later
    contacts too, is its effect: unbiased. LAST_TOUCH: the customer's latest contact that went out. Sums add up, and a
    contact is credited with what would have come anyway.
    """

    EVERY_DECISION = "every_decision"
    LAST_TOUCH = "last_touch"


@dataclass(frozen=True, slots=True)
class RewardDefinition:
    """How outcomes become the scalar that the bandit optimises.

    outcomes: outcome name → weight. The weight multiplies the outcome's value (`use_value`) or counts 1 each.
    window_s: outcomes count if they occur in [start - early_tolerance_s, start + window_s]. A decision starts when it
        is made; a contact that quiet hours queue, when it is to be sent.
    default: the reward of a matured decision without outcomes.
    low, high: a-priori bounds; the aggregated reward is clipped to them.
    shares_named: whether an outcome that names a decision counts for others too, as `attribution` says.
    version: changes when the definition does; part of the key of `rewards`.
    """

    outcomes: Mapping[str, float]
    window_s: int
    use_value: bool = False
    default: float = 0.0
    aggregation: Aggregation = Aggregation.SUM
    low: float = 0.0
    high: float = 1.0
    early_tolerance_s: int = 120
    attribution: Attribution = Attribution.EVERY_DECISION
    shares_named: bool = True
    version: str = "1"


@dataclass(frozen=True, slots=True)
class Period:
    """From `from_ms` on, before `until_ms`; UTC epoch milliseconds."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class LearnFrom:
    """Which randomised decisions are learned from: all as they were drawn, by default.

    activated_only: only those that the runner carried out, by its reports; for runners that ask speculatively. Biased
        where being carried out depends on the action or the customer.
    leave_out: periods whose decisions are left out, as nothing could be sent in them; by time and never by decision.
    """

    activated_only: bool = False
    leave_out: tuple[Period, ...] = ()
