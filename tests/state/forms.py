"""What histories run on: the in-memory forms of ledger and counters, or those on Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from decision_service.application.ports import Budgets, Ledger


class Forms:
    """How to open a ledger and counters, empty; and what has been seen on them."""

    def __init__(self, open_forms: Callable[[], tuple[Ledger, Budgets, Callable[[], None]]]) -> None:
        self.open = open_forms
        self.steps = self.compared = 0
        self.seen: Counter[str] = Counter()
