"""Who is due for a decision today: the steps of three journeys, from what customers did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from decision_service.demo.retailer import Retailer

STEPS: Mapping[str, tuple[int, ...]] = {"welcome": (1, 3, 6, 10, 15), "win_back": (0, 4, 8), "cross_sell": (0, 4)}
"""Journey → the days of its steps, counted from the customer's entry (for welcome: from sign-up)."""

LAPSED_DAYS = 30
"""Without an order for this long, a customer enters win_back."""
CROSS_SELL_AFTER_DAYS = 3
"""So long after an order, a customer enters cross_sell."""
REST_DAYS: Mapping[str, int] = {"welcome": 10_000, "win_back": 14, "cross_sell": 8}
"""From entry, how long before the customer can enter the journey again."""


@dataclass(frozen=True, slots=True)
class Due:
    """A customer at a step of a journey. `request_id` is the same however often the runner asks."""

    program: str
    customer: int
    step: int
    request_id: str


@dataclass(slots=True)
class Journeys:
    """Who entered which journey when: program → customer → day of the latest entry."""

    entered: dict[str, dict[int, int]] = field(default_factory=lambda: {program: {} for program in STEPS})

    def due(self, retailer: Retailer, day: int) -> list[Due]:
        """Enter the customers whom today's facts bring in, and list every step that falls on today."""
        since_order = day - retailer.last_order_day
        member = retailer.members(day - 1)
        self._enter("welcome", np.flatnonzero(retailer.signup_day == day), day)
        self._enter("win_back", np.flatnonzero(member & (since_order >= LAPSED_DAYS) & (since_order < 10 * 365)), day)
        self._enter("cross_sell", np.flatnonzero(member & (since_order == CROSS_SELL_AFTER_DAYS)), day)
        return [
            Due(program, customer, step, f"{program}-{entry}-{step}")
            for program, entries in self.entered.items()
            for customer, entry in entries.items()
            for step, offset in enumerate(STEPS[program])
            if entry + offset == day and not (program == "win_back" and since_order[customer] < LAPSED_DAYS)
        ]

    def _enter(self, program: str, customers: np.ndarray[tuple[int], np.dtype[np.int64]], day: int) -> None:
        entries = self.entered[program]
        for customer in customers.tolist():
            if day - entries.get(customer, -REST_DAYS[program]) >= REST_DAYS[program]:
                entries[customer] = day
