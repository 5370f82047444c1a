"""Random histories on the in-memory and the real ledger.

NBA_STATE_STEPS is how many steps to take on each, in histories of their own every time; by default it is some 2,000 in
all, always the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from decision_service.adapters.memory_budgets import MemoryBudgets
from decision_service.adapters.memory_ledger import MemoryLedger
from decision_service.adapters.redis_budgets import RedisBudgets
from decision_service.adapters.redis_ledger import RedisLedger
from decision_service.ports import Budgets, Ledger
from tests.state.histories import Forms, Histories

STEPS = os.environ.get("NBA_STATE_STEPS")


def run(forms: Forms, steps: int) -> None:
    """Histories of fifty steps each, or of a hundred where there are many."""
    each = 50 if steps < 10_000 else 100
    machine: Any = type("Machine", (Histories,), {"forms": forms})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=-(-steps * 27 // (20 * each)),  # some end early
            stateful_step_count=each,
            derandomize=STEPS is None,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{forms.steps} steps, {forms.compared} verdicts compared: {dict(sorted(forms.seen.items()))}")
    assert forms.steps >= steps


EVERYTHING = {
    *("contact", "queued", "race lost", "conflict", "SENT in time", "SENT", "BOUNCED in time", "FAILED"),
    *("NO_CONSENT", "SUPPRESSED", "SUPPRESSED_BY_OUTCOME", "TIMEZONE_UNKNOWN"),
    *("QUIET_HOURS", "FREQUENCY_CAP", "VOLUME_LIMIT"),
}


def test_histories_in_memory() -> None:
    """No cap, budget or quiet hour is broken, nothing that is allowed is refused, and everything happens."""
    forms = Forms(lambda: (MemoryLedger(), MemoryBudgets(), lambda: None))
    run(forms, int(STEPS or 1_600))
    assert set(forms.seen) >= EVERYTHING


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
