"""Law 1 with failures that only contacts can have: what is realised follows the logged probabilities all the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.application.ports import Committed, Earlier, Moved
from decision_service.core.choice.draw import KeyedDraw
from decision_service.core.estimation.intervals import chi_square_survival
from decision_service.core.model.customer import Contact
from decision_service.core.model.errors import Unavailable
from decision_service.core.model.record import DecideRequest, DecisionRecord, Token
from decision_service.core.model.values import NO_ACTION
from tests.support.served import AUDIT, PROGRAM, World

REQUESTS = 3_000


@dataclass
class Failures:
    """How often a call that only a contact makes fails, before or after its effect."""

    source: random.Random = field(default_factory=lambda: random.Random(11))
    happened: Counter[str] = field(default_factory=Counter)

    def strike(self, what: str) -> None:
        if self.source.random() < 0.3:
            self.happened[what] += 1
            raise Unavailable(what, "no answer in time")


class FailingBudgets(MemoryBudgets):
    """Tokens are taken, or not, and nobody hears of it."""

    def __init__(self, failures: Failures) -> None:
        super().__init__()
        self._failures = failures

    def take(
        self, decision_id: str, tokens: Sequence[Token], limits: Sequence[int], now_ms: int, until_ms: int
    ) -> str | None:
        self._failures.strike("budgets, before")
        taken = super().take(decision_id, tokens, limits, now_ms, until_ms)
        self._failures.strike("budgets, after")
        return taken


class FailingLedger(MemoryLedger):
    """A commit that reserves happens, or not, and nobody hears of it."""

    def __init__(self, failures: Failures) -> None:
        super().__init__()
        self._failures = failures

    def commit(
        self, record: DecisionRecord, reserve: Contact | None, expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        if reserve is not None:
            self._failures.strike("commit, before")
        outcome = super().commit(record, reserve, expected_version, drop)
        if reserve is not None:
            self._failures.strike("commit, after")
        return outcome


def test_realised_frequencies_are_the_logged_ones_whatever_fails() -> None:
    """Budgets, ledger and workers fail only where a contact was drawn, and runners ask again until they are answered.

    With draws of its own for every call, NO_ACTION would be returned far more often than logged: each failure would be
    another chance for it.
    """
    failures = Failures()
    world = World(ledger=FailingLedger(failures), budgets=FailingBudgets(failures), draw=KeyedDraw(b"a key"))
    world.policies.publish_program(PROGRAM + "budgets: [{id: many, limit: 1000000, per: total}]", AUDIT)
    realised: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    for i in range(REQUESTS):
        record = asked_until_answered(world, DecideRequest(f"r{i}", f"c{i % 700}", ("p",)), failures)
        realised[record.chosen] += 1
        for option in record.options:
            expected[option.action] += option.probability
    assert min(failures.happened.values()) > 300
    assert len(failures.happened) == 4
    statistic = sum((realised[action] - expected[action]) ** 2 / expected[action] for action in expected)
    assert chi_square_survival(statistic, len(expected) - 1) > 0.001
    assert expected[NO_ACTION] > REQUESTS / 4


def asked_until_answered(world: World, request: DecideRequest, failures: Failures) -> DecisionRecord:
    """As a runner does; now and then it is another worker that answers."""
    while True:
        try:
            return world.service.decide(request).record
        except Unavailable:
            if failures.source.random() < 0.2:
                world.serve(world.ledger)
