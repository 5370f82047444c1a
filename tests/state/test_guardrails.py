"""Random histories on the in-memory and the real ledger.

NBA_STATE_STEPS is how many steps to take on each, in histories of their own every time; by default it is some 2,500 in
all, always the same.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.redis.budgets import RedisBudgets
from decision_service.adapters.redis.ledger import RedisLedger
from decision_service.application.ports import Budgets, Ledger
from tests.state.forms import Forms
from tests.state.histories import Histories

STEPS = os.environ.get("NBA_STATE_STEPS")


def run(forms: Forms, steps: int) -> None:
    """So many steps at least, in histories of fifty or, where there are many, a hundred; some end early."""
    each = 50 if steps < 10_000 else 100
    numbers = itertools.count() if STEPS is None else iter(lambda: random.getrandbits(64), None)
    while forms.steps < steps:
        machine: Any = seed(next(numbers))(type("Machine", (Histories,), {"forms": forms}))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=-(-(steps - forms.steps) // each),
                stateful_step_count=each,
                database=None,
                deadline=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(f"{forms.steps} steps, {forms.compared} answers compared: {dict(sorted(forms.seen.items()))}")


EVERYTHING = {
    *(
        "contact",
        "queued",
        "race lost",
        "contradicted",
        "confirmed: GO",
        "confirmed: STOP",
        "confirmed: WAIT",
        "SENT in time",
        "SENT",
        "BOUNCED in time",
        "FAILED",
    ),
    *("NO_CONSENT", "SUPPRESSED", "SUPPRESSED_BY_OUTCOME", "TIMEZONE_UNKNOWN"),
    *("QUIET_HOURS", "FREQUENCY_CAP", "VOLUME_LIMIT"),
}


@pytest.mark.timeout(0 if STEPS else 300)
def test_histories_in_memory() -> None:
    """No cap, budget or quiet hour is broken, nothing that is allowed is refused, and everything happens."""
    forms = Forms(lambda: (MemoryLedger(), MemoryBudgets(), lambda: None))
    run(forms, int(STEPS or 2_000))
    assert set(forms.seen) >= EVERYTHING


@pytest.mark.timeout(0 if STEPS else 300)
def test_histories_on_redis(redis_url: str) -> None:
    """The same on a real Redis."""
    client = redis.Redis.from_url(redis_url)

    def opened() -> tuple[Ledger, Budgets, Callable[[], None]]:
        client.flushall()
        ledger, budgets = RedisLedger(redis_url, 4, 5_000, 86_400), RedisBudgets(redis_url, 5_000, 400 * 86_400)

        def close() -> None:
            ledger.close()
            budgets.close()

        return ledger, budgets, close

    forms = Forms(opened)
    try:
        run(forms, int(STEPS or 500))
    finally:
        client.close()
    assert forms.seen["contact"] > 0
