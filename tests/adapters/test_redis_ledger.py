"""What is particular to the ledger on Redis: a server that is away, full or unsafe, or comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from redis.connection import Connection

from decision_service.adapters.redis.embedded import EmbeddedRedis, free_port
from decision_service.adapters.redis.installation import RedisInstallation, UnsafeLedger
from decision_service.adapters.redis.ledger import RedisLedger
from decision_service.adapters.redis.log import RedisLog
from decision_service.application.ports import Moved, Recorded
from decision_service.core.model.customer import Suppression
from decision_service.core.model.errors import Unavailable
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Event, Outcome
from decision_service.core.model.sending import Change, Preference, PreferenceKind


def test_a_read_that_cannot_be_sent_is_told_by_its_result() -> None:
    """As the port promises: beginning never raises, the result does."""
    pending = RedisLedger(f"redis://127.0.0.1:{free_port()}/0", 4, 200, 60).begin_read("c", "r")
    with pytest.raises(Unavailable, match="ledger"):
        pending.result()


def test_a_full_server_is_unavailable(tmp_path: Path) -> None:
    """It answers, but cannot take the write: retry later, not an internal error."""
    with EmbeddedRedis(tmp_path, free_port(), durable=False) as server:
        ledger = RedisLedger(server.url, 4, 1000, 60)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "1")
        with pytest.raises(Unavailable):
            ledger.add_event(Event("e", "c", "view", 1, 1))


def test_an_unsafe_server_is_named(tmp_path: Path, redis_url: str) -> None:
    """No append-only file and eviction, each in a sentence; the embedded server with its settings is safe."""
    with EmbeddedRedis(tmp_path, free_port(), durable=False) as server:
        ledger = RedisLedger(server.url, 4, 1000, 60)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        assert len(ledger.check_durability()) == 2
    assert RedisLedger(redis_url, 4, 1000, 60).check_durability() == []


def test_a_ledger_keeps_its_number_of_shards(redis_url: str) -> None:
    """With another number customers would be looked for where they are not; the error says which number is right."""
    RedisLedger(redis_url, 8, 1000, 60).check_shards()  # a new ledger: looking fixes nothing
    assert RedisInstallation(redis_url, 4, 1000).claim() == RedisInstallation(redis_url, 4, 1000).claim()
    for other in (RedisLedger(redis_url, 8, 1000, 60), RedisLog(redis_url, 8, 1000)):
        with pytest.raises(UnsafeLedger, match="NBA_SHARDS=4"):
            other.check_shards()
    with pytest.raises(UnsafeLedger, match="NBA_SHARDS=4"):
        RedisInstallation(redis_url, 8, 1000).claim()


def test_a_change_whose_answer_was_lost_is_not_told_as_somebody_elses(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the server has applied it, and the wire sends it again."""
    ledger, log = RedisLedger(redis_url, 1, 5_000, 60), RedisLog(redis_url, 1, 5_000)
    stop = Change(suppressions=(Suppression("email", Reason.SUPPRESSED, 0),), preferences=(_preference("SUPPRESS"),))
    right, lost = Connection.read_response, []

    def losing(self: Connection, *arguments: object, **more: object) -> object:
        answer = right(self, *arguments, **more)  # type: ignore[arg-type]
        if not lost:
            lost.append(answer)
            raise redis.exceptions.ConnectionError("broken")
        return answer

    ledger.state("c1")  # the script is sent whole below, on a connection that has been used
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "read_response", losing)
        assert ledger.change("c1", stop, 0) is None
    assert lost
    state = ledger.state("c1")
    assert (state.version, [s.channel for s in state.suppressions]) == (1, ["email"])
    assert len(list(log.read({}, 10))) == 1
    lift = Change(lifted=("email",), preferences=(_preference("LIFT"),))
    assert isinstance(ledger.change("c1", lift, 0), Moved)
    lost.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "read_response", losing)
        assert ledger.change("c1", lift, 1) is None
    assert ledger.state("c1").suppressions == ()


def _preference(kind: str) -> Preference:
    return Preference("c1", PreferenceKind(kind), "email", 0)


def test_a_read_of_the_log_is_bounded_in_bytes(redis_url: str) -> None:
    """However large the entries, and nothing is skipped: what one read leaves out the next brings."""
    ledger, log = RedisLedger(redis_url, 4, 5000, 60), RedisLog(redis_url, 4, 5000)
    large = {f"v{i}": "x" * 4_000 for i in range(250)}  # 1 MB
    for i in range(80):
        ledger.add_event(Event(f"e{i}", f"c{i}", "view", 1, 1, large))
    rounds = []
    while entries := log.read({}, 1000):
        rounds.append(len(entries))
        through: dict[int, int] = {}
        for entry in entries:
            through[entry.shard] = max(entry.sequence, through.get(entry.shard, 0))
        log.trim(through)
    assert sum(rounds) == 80
    assert len(rounds) >= 2


def test_many_kinds_of_events_do_not_keep_pauses_from_counting(redis_url: str) -> None:
    """A customer with more event names than are counted is still paused by outcomes."""
    ledger = RedisLedger(redis_url, 1, 1000, 60)
    with redis.Redis.from_url(redis_url) as client:
        client.hset("nba:{s0}:c:ada", mapping={f"e:page {i}": "1;5" for i in range(2_000)})
    for i in range(2):
        ledger.add_outcome(Outcome(f"o{i}", "ada", "dismiss", 7 + i, 9), ["\x1fall\x1fdismiss\x1f"], None, i)
    events = ledger.state("ada").events
    assert events["\x1fall\x1fdismiss\x1f"].recent_ms == (8, 7)
    assert "dismiss" not in events


def test_a_crash_of_the_server_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """SIGKILL, restart, and the ledger goes on over connections that died, scripts it has to send again."""
    port = free_port()
    server = EmbeddedRedis(tmp_path, port)
    server.start()
    ledger = RedisLedger(server.url, 4, 1000, 60)
    for i in range(20):
        assert ledger.add_event(Event(f"e{i}", "c", "view", i, i)) is Recorded.NEW
    server.kill()
    with pytest.raises(Unavailable):
        ledger.state("c")
    with EmbeddedRedis(tmp_path, port):
        assert ledger.state("c").events["view"].total == 20
        assert ledger.add_event(Event("e19", "c", "view", 19, 19)) is Recorded.KNOWN
        assert ledger.add_event(Event("e20", "c", "view", 20, 20)) is Recorded.NEW


def test_a_server_left_behind_is_taken_over_and_a_strange_one_is_not(tmp_path: Path) -> None:
    """After a killed supervisor the same folder starts again with its data; somebody else's port is refused."""
    port = free_port()
    left_behind = EmbeddedRedis(tmp_path / "mine", port)
    left_behind.start()
    RedisLedger(left_behind.url, 4, 1000, 60).add_event(Event("e", "c", "view", 1, 1))
    with pytest.raises(Unavailable, match="NBA_EMBEDDED_REDIS_PORT"):
        EmbeddedRedis(tmp_path / "other", port).start()
    with EmbeddedRedis(tmp_path / "mine", port) as again:
        assert RedisLedger(again.url, 4, 1000, 60).state("c").events["view"].total == 1
    left_behind.stop()
