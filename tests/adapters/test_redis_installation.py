"""What a ledger on Redis is known by: made once, whoever comes first, and told by every read."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from decision_service.adapters.redis.installation import RedisInstallation
from decision_service.adapters.redis.ledger import RedisLedger
from decision_service.core.model.installation import Installation, LedgerState


@pytest.fixture
def ledger(redis_url: str) -> RedisLedger:
    return RedisLedger(redis_url, 4, 1000, 60)


def told(ledger: RedisLedger) -> set[str]:
    """What reads say, customers of every shard among them."""
    return {ledger.begin_read(f"c{i}", "r").result().ledger_id for i in range(64)}


def test_whoever_comes_first_all_have_the_same(redis_url: str) -> None:
    """Workers that boot at once, on a new ledger: one id, one key, and none of them takes it for an old one."""
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda _: RedisInstallation(redis_url, 4, 5000).claim(), range(64)))
    assert len(set(claims)) == 1
    assert (len(claims[0].ledger_id), len(claims[0].draw_key)) == (16, 32)
    assert (claims[0].state, claims[0].unnamed_before, claims[0].known_as) == (
        LedgerState.NEW,
        False,
        {claims[0].ledger_id},
    )


def test_a_ledger_of_a_release_without_ids_keeps_its_records(redis_url: str) -> None:
    """It has shards and no installation: those records that name no ledger are its own."""
    with redis.Redis.from_url(redis_url) as client:
        client.set("nba:shards", 4)
    assert RedisInstallation(redis_url, 4, 1000).look() is None
    found = RedisInstallation(redis_url, 4, 1000).claim()
    assert found.known_as == {found.ledger_id, ""}


def test_reads_name_the_ledger_once_it_is_in_service(redis_url: str, ledger: RedisLedger) -> None:
    """In every shard; and no more when the server has lost everything, or one shard."""
    installation = RedisInstallation(redis_url, 4, 1000)
    claimed = installation.claim()
    assert told(ledger) == {""}
    assert installation.refuse(claimed, "why").problem == "why"
    assert told(ledger) == {""}
    assert installation.put_in_service(claimed).state is LedgerState.READY
    assert told(ledger) == {claimed.ledger_id}
    with redis.Redis.from_url(redis_url) as client:
        client.delete("nba:{s2}:ledger")
        assert told(ledger) == {claimed.ledger_id, ""}
        client.flushall()
    assert told(ledger) == {""}
    assert installation.claim().ledger_id != claimed.ledger_id


def test_what_is_said_of_a_ledger_does_not_stick_to_its_successor(redis_url: str) -> None:
    """A loader that was slow confirms the one it looked at, which is gone."""
    installation = RedisInstallation(redis_url, 4, 1000)
    installation.claim()
    assert installation.put_in_service(Installation("gone", b"")).state is LedgerState.NEW


def test_reads_bring_the_servers_time(redis_url: str, ledger: RedisLedger) -> None:
    """Of the moment of the read, in UTC epoch milliseconds."""
    before = time.time_ns() // 1_000_000
    times = [ledger.begin_read("c", "r").result().ledger_ms, RedisInstallation(redis_url, 4, 1000).time_ms()]
    after = time.time_ns() // 1_000_000
    assert all(at is not None and before <= at <= after for at in times)
