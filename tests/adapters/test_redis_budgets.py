"""What is particular to budgets on Redis: keys, retention, a server that is away, and agreement with the form in
memory over long histories."""

from __future__ import annotations

import random

import pytest
import redis

from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.redis.budgets import RedisBudgets
from decision_service.adapters.redis.embedded import free_port
from decision_service.core.model.errors import Unavailable
from decision_service.core.model.record import Token

NOW = 1_700_000_000_000
DAY_MS = 86_400_000
TOTAL = Token("/a", "total", 1)
DAY = Token("p/b", "day:2023-11-14", 1)


def test_no_answer_is_unavailable() -> None:
    """Beginning to read never raises; its result, taking, spending and releasing do."""
    away = RedisBudgets(f"redis://127.0.0.1:{free_port()}/0", 200, 60)
    pending = away.begin_levels([TOTAL.key], NOW)
    for call in (
        pending.result,
        lambda: away.take("d", [TOTAL], [1], NOW, NOW),
        lambda: away.spend("d", [TOTAL]),
        lambda: away.release("d", [TOTAL]),
    ):
        with pytest.raises(Unavailable, match="budgets"):
            call()


def test_every_key_is_in_one_cluster_slot(redis_url: str) -> None:
    """Whatever the names of budgets, Redis Cluster runs each script whole."""
    budgets = RedisBudgets(redis_url, 5_000, 60)
    odd = [TOTAL, DAY, Token("{p}/c", "hour:2026-10-25T02:00+01:00", 1), Token("p}/{d", "money-total", 5)]
    budgets.take("d", odd, [9] * 4, NOW, NOW)
    with redis.Redis.from_url(redis_url) as client:
        keys = list(client.scan_iter())
        assert len(keys) == 8
        assert {redis.crc.key_slot(key) for key in keys} == {redis.crc.key_slot(b"{budgets}")}


def test_counters_of_periods_expire_and_totals_do_not(redis_url: str) -> None:
    """A period's counters outlive it by enough for late reports; a total is for good."""
    budgets = RedisBudgets(redis_url, 5_000, 7 * 86_400)
    budgets.take("d", [TOTAL, DAY], [1, 1], NOW, NOW + DAY_MS)
    with redis.Redis.from_url(redis_url) as client:
        left = {key.decode(): client.pttl(key) for key in client.scan_iter()}
    assert [left[f"nba:{{budgets}}:{kind}:/a@total"] for kind in "nt"] == [-1, -1]
    for kind in "nt":
        assert 41 * DAY_MS < left[f"nba:{{budgets}}:{kind}:p/b@day:2023-11-14"] < 42 * DAY_MS


def test_lapsed_tokens_are_forgotten_after_the_retention(redis_url: str) -> None:
    """Runners that never report do not fill the server; a single moment of a clock far ahead forgets nothing."""
    budgets = RedisBudgets(redis_url, 5_000, 86_400)
    with redis.Redis.from_url(redis_url) as client:

        def kept() -> int:
            return int(client.zcard("nba:{budgets}:t:/a@total"))

        for i in range(10):
            budgets.take(f"d{i}", [TOTAL], [10], NOW, NOW)
        budgets.take("ahead", [TOTAL], [10], NOW + 100 * DAY_MS, NOW + 100 * DAY_MS)
        assert kept() == 11
        budgets.release("ahead", [TOTAL])
        budgets.take("day", [TOTAL], [10], NOW + DAY_MS, NOW + DAY_MS)
        assert kept() == 12  # what was given back is remembered for as long
        budgets.take("days", [TOTAL], [10], NOW + 3 * DAY_MS, NOW + 3 * DAY_MS)
        budgets.take("next", [TOTAL], [10], NOW + 3 * DAY_MS, NOW + 3 * DAY_MS)
        assert kept() == 3
    assert budgets.begin_levels([TOTAL.key], NOW + 3 * DAY_MS).result() == {TOTAL.key: 2}


def test_many_tokens_that_lapse_are_looked_at_once(redis_url: str) -> None:
    """Reading past them remembers their sum, whichever way the clock goes; the levels are the same."""
    budgets = RedisBudgets(redis_url, 5_000, 86_400)
    for i in range(150):
        budgets.take(f"d{i}", [TOTAL], [150], NOW, NOW + i)
    assert budgets.begin_levels([TOTAL.key], NOW).result() == {TOTAL.key: 150}
    with redis.Redis.from_url(redis_url) as client:
        for at_ms, level in ((NOW + DAY_MS, 0), (NOW, 150)):
            assert budgets.begin_levels([TOTAL.key], at_ms).result() == {TOTAL.key: level}
            remembered = client.hmget("nba:{budgets}:n:/a@total", "used", "at")
            assert remembered == [b"%d" % level, b"%d" % at_ms]
    budgets.spend("d7", [TOTAL])
    budgets.release("d8", [TOTAL])
    read = [budgets.begin_levels([TOTAL.key], at_ms).result()[TOTAL.key] for at_ms in (NOW, NOW + DAY_MS)]
    assert read == [149, 1]


@pytest.mark.parametrize("seed", range(3))
def test_any_history_gives_the_levels_of_the_form_in_memory(redis_url: str, seed: int) -> None:
    """Random takes, spends, releases and reads over random jumps of the clock, on two counters: after every step both
    forms agree on every answer."""
    rng = random.Random(seed)
    on_redis, in_memory = RedisBudgets(redis_url, 5_000, 400 * 86_400), MemoryBudgets()
    tokens = [TOTAL, Token("/m", "money-day:2023-11-14", 7)]
    ids = [f"d{i}" for i in range(12)]
    now_ms = NOW
    for _ in range(600):
        now_ms += rng.choice([0, 0, 1, 30_000, 90_000, -60_000, -1])
        decision_id, chosen = rng.choice(ids), rng.sample(tokens, rng.randint(1, 2))
        act = rng.randrange(5)
        if act < 3:
            limits, until_ms = [rng.randint(0, 40) for _ in chosen], now_ms + rng.randint(0, 120_000)
            refused = {form.take(decision_id, chosen, limits, now_ms, until_ms) for form in (on_redis, in_memory)}
            assert len(refused) == 1
        for form in (on_redis, in_memory):
            if act == 3:
                form.spend(decision_id, chosen)
            elif act == 4:
                form.release(decision_id, chosen)
        for at_ms in (now_ms, now_ms + rng.randint(-300_000, 300_000)):
            keys = [token.key for token in tokens]
            read = [form.begin_levels(keys, at_ms).result() for form in (on_redis, in_memory)]
            assert read[0] == read[1]
