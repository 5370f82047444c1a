"""A ledger is in service when it goes on with the warehouse's history, or when somebody says that it starts anew."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from decision_service.adapters.clocks import SystemClock
from decision_service.adapters.redis.installation import RedisInstallation
from decision_service.adapters.redis.keys import Keys, shard_of
from decision_service.adapters.redis.ledger import suppression_fields
from decision_service.application.ports import EntryKind, LogBody, LogEntry, Warehouse
from decision_service.cli import app
from decision_service.core.model.customer import Suppression
from decision_service.core.model.errors import NotFound
from decision_service.core.model.installation import LedgerState
from decision_service.core.model.reasons import Reason
from decision_service.operation import bootstrap, jobs
from decision_service.operation.diagnosis import examine
from decision_service.operation.recognition import declare_new, keep_recognising, recognise
from decision_service.operation.settings import Settings
from tests.support.logged import KIND_OF, decision, outcome
from tests.support.served import AUDIT, POLICY, PROGRAM


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, ledger_url=redis_url, shards=4)


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    return bootstrap.open_warehouse(settings)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[RedisInstallation]:
    installation = bootstrap.open_installation(settings)
    yield installation
    installation.close()


def loaded(warehouse: Warehouse, *bodies: LogBody, shard: int = 0) -> None:
    """Rows of before."""
    for i, body in enumerate(bodies, 1):
        kind = KIND_OF[type(body)]
        warehouse.load(kind, [LogEntry(shard, i, kind, body)])


def lose(settings: Settings) -> None:
    """Redis comes back empty."""
    with redis.Redis.from_url(settings.ledger_address) as client:
        client.flushall()


def test_a_new_ledger_beside_an_empty_warehouse_serves(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """And the warehouse has a copy of its key, once, however often the loader starts."""
    assert ledger.claim().state is LedgerState.NEW
    found = recognise(settings, ledger, warehouse)
    assert (found.state, recognise(settings, ledger, warehouse)) == (LedgerState.READY, found)
    [kept] = warehouse.query("SELECT ledger_id, draw_key, shards, unnamed_before FROM installation").to_pylist()
    assert kept == {
        "ledger_id": found.ledger_id,
        "draw_key": found.draw_key.hex(),
        "shards": 4,
        "unnamed_before": False,
    }


@pytest.mark.parametrize("body", [decision("d1"), outcome("o1", 1.0)], ids=["decisions", "outcomes"])
def test_a_new_ledger_beside_anothers_history_does_not_serve(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse, body: LogBody
) -> None:
    """Whatever the history is of: caps, suppressions and counters would not count. It says so, and what to do."""
    first = recognise(settings, ledger, warehouse)
    loaded(warehouse, body)
    lose(settings)
    for _ in range(2):
        found = recognise(settings, ledger, warehouse)
        assert found.state is LedgerState.REFUSED
    assert first.ledger_id in found.problem
    assert "`nba ledger new`" in found.problem
    assert warehouse.query("SELECT ledger_id FROM installation").num_rows == 1


def test_a_ledger_that_came_back_serves_at_once(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """Its file was restored: the warehouse knows its id, though nobody had put this copy in service."""
    first = recognise(settings, ledger, warehouse)
    loaded(warehouse, decision("d1"))
    with redis.Redis.from_url(settings.ledger_address) as client:
        client.hset("nba:installation", "state", "NEW")
    assert recognise(settings, ledger, warehouse) == first


def test_a_home_of_a_release_without_ids_goes_on(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """Its ledger has shards, its rows name no ledger. A new ledger beside the same rows is another's."""
    loaded(warehouse, decision("d1"))
    with redis.Redis.from_url(settings.ledger_address) as client:
        client.set("nba:shards", 4)
    assert recognise(settings, ledger, warehouse).state is LedgerState.READY
    lose(settings)
    assert recognise(settings, ledger, warehouse).state is LedgerState.REFUSED


def test_a_home_of_before_beside_a_warehouse_of_later_is_refused(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """An old copy of Redis knows nothing of what a ledger with an id has done since."""
    recognise(settings, ledger, warehouse)
    loaded(warehouse, decision("d1"))
    lose(settings)
    with redis.Redis.from_url(settings.ledger_address) as client:
        client.set("nba:shards", 4)
    assert recognise(settings, ledger, warehouse).state is LedgerState.REFUSED


def test_versions_go_on_where_a_ledger_is_declared_new(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """After the highest that the warehouse knows; what was published before is another ledger's, and not known."""
    recognise(settings, ledger, warehouse)
    policies = bootstrap.open_policies(settings)
    for lease in ("11m", "12m", "13m"):
        policies.publish_program(PROGRAM.replace("10m", lease), AUDIT)
    policies.publish_policy(POLICY, AUDIT)
    jobs.join(settings)
    lose(settings)
    assert recognise(settings, ledger, warehouse).state is LedgerState.REFUSED
    declared = declare_new(settings)
    assert declared is not None
    assert declared.state is LedgerState.READY
    assert declare_new(settings) is None

    anew = bootstrap.open_policies(settings)
    assert anew.current().programs == {}
    assert anew.current().policy.version == 0
    with pytest.raises(NotFound):
        anew.versions("p")
    with pytest.raises(NotFound):
        anew.program_at("p", 3)
    assert (anew.next_version("p"), anew.next_version("other"), anew.next_version(None)) == (4, 1, 2)
    assert anew.publish_program(PROGRAM, AUDIT).version == 4
    assert anew.publish_policy(POLICY, AUDIT) == 2
    assert [version.version for version in anew.versions("p")] == [4]
    assert (anew.program_at("p", 4).version, anew.current().programs["p"].version) == (4, 4)
    assert bootstrap.open_policies(settings).current().policy.version == 2
    jobs.join(settings)
    kept = warehouse.query("SELECT version, ledger_id FROM program_versions ORDER BY version").to_pylist()
    assert [row["version"] for row in kept] == [1, 2, 3, 4]
    assert len({row["ledger_id"] for row in kept}) == 2


def test_the_loader_recognises_a_ledger_that_takes_the_place_of_the_last(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """Redis comes back empty under a running loader: the new ledger is refused by itself."""
    recognise(settings, ledger, warehouse)
    loaded(warehouse, decision("d1"))
    stop, refused = threading.Event(), threading.Event()
    thread = threading.Thread(target=keep_recognising, args=(settings, warehouse, stop))
    thread.start()
    lose(settings)
    for _ in range(100):
        found = ledger.look()
        if found is not None and found.state is LedgerState.REFUSED:
            refused.set()
            break
        stop.wait(0.1)
    stop.set()
    thread.join()
    assert refused.is_set()


def test_the_loader_goes_on_where_a_ledger_is_declared_new(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """It has seen another ledger's publications, the same number of them; what is published next is copied."""
    recognise(settings, ledger, warehouse)
    bootstrap.open_policies(settings).publish_program(PROGRAM, AUDIT)
    loaded(warehouse, decision("00-d1", "c1"))
    stop = threading.Event()
    thread = threading.Thread(target=keep_recognising, args=(settings, warehouse, stop))
    thread.start()
    try:
        _await(lambda: warehouse.query("SELECT * FROM program_versions").num_rows == 1)
        lose(settings)
        _await(lambda: ledger.claim().state is LedgerState.REFUSED)
        assert declare_new(settings) is not None
        bootstrap.open_policies(settings).publish_program(PROGRAM, AUDIT)
        _await(lambda: warehouse.query("SELECT * FROM program_versions").num_rows == 2)
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()
    rows = warehouse.query("SELECT version FROM program_versions ORDER BY version").to_pylist()
    assert [row["version"] for row in rows] == [1, 2]


def _await(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("by", [recognise, None])
def test_suppressions_that_a_release_kept_to_itself_are_logged(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse, by: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its ledger is first put in service, be it declared new; one that changes meanwhile has logged itself."""
    keys = {customer: Keys(shard_of(customer, 4)).customer(customer) for customer in ("c1", "c2")}
    brief = suppression_fields([Suppression("email", Reason.SUPPRESSED, 0, 2**50, "brief")])
    changed = suppression_fields([Suppression("email", Reason.SUPPRESSED, 0, None, "for good")])
    with redis.Redis.from_url(settings.ledger_address) as client:
        client.set("nba:shards", 4)
        for key in keys.values():
            client.hset(key, mapping={"v": 1, **brief})
    right = redis.Redis.hgetall

    def changing(self: redis.Redis, name: bytes) -> object:
        found = right(self, name)
        if name.decode() == keys["c2"]:
            self.hset(name, mapping=changed)  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(redis.Redis, "hgetall", changing)
    if by is None:
        assert declare_new(settings) is not None
    else:
        recognise(settings, ledger, warehouse)
    jobs.load(settings)
    rows = warehouse.query("SELECT customer_id, channel, kind, until_ms, note FROM contact_preferences").to_pylist()
    assert rows == [{"customer_id": "c1", "channel": "email", "kind": "SUPPRESS", "until_ms": 2**50, "note": "brief"}]


def test_the_command_asks_before_it_declares(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a yes nothing changes; with one, the ledger serves."""
    monkeypatch.setenv("NBA_LEDGER_URL", settings.ledger_address)
    monkeypatch.setenv("NBA_SHARDS", "4")
    loaded(bootstrap.open_warehouse(settings), decision("d1"))
    command = ["ledger", "new", "--home", str(settings.home)]
    assert CliRunner().invoke(app, command, input="n\n").exit_code == 1
    assert bootstrap.open_installation(settings).look() is None
    declared = json.loads(CliRunner().invoke(app, [*command, "--yes", "--json"]).stdout)
    found = bootstrap.open_installation(settings).look()
    assert found is not None
    assert declared == {"declared": True, "ledger_id": found.ledger_id}
    assert found.state is LedgerState.READY
    assert EntryKind.DECISIONS.value in bootstrap.open_warehouse(settings).tables()


def test_the_doctor_says_what_is_wrong_with_ledger_and_clock(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is content when both are right."""

    def findings() -> dict[str, bool]:
        return {f.part: f.ok for f in examine(settings) if f.part in ("history", "clock")}

    recognise(settings, ledger, warehouse)
    assert findings() == {"history": True, "clock": True}
    loaded(warehouse, decision("d1"))
    lose(settings)
    recognise(settings, ledger, warehouse)
    right = SystemClock.now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda clock: right(clock) + 12 * 60_000)
    assert findings() == {"history": False, "clock": False}


def test_the_loader_copies_what_is_published_as_soon_as_it_sees_it(
    settings: Settings, ledger: RedisInstallation, warehouse: Warehouse
) -> None:
    """Nobody has to join first: a version that only the ledger has is lost with it."""
    recognise(settings, ledger, warehouse)
    policies = bootstrap.open_policies(settings)
    policies.publish_policy(POLICY, AUDIT)
    stop = threading.Event()
    thread = threading.Thread(target=keep_recognising, args=(settings, warehouse, stop))
    thread.start()
    policies.publish_program(PROGRAM, AUDIT)
    copied = 0
    for _ in range(100):
        copied = sum(warehouse.query(f"SELECT 1 FROM {t}_versions").num_rows for t in ("program", "contact_policy"))
        if copied == 2:
            break
        stop.wait(0.1)
    stop.set()
    thread.join()
    assert copied == 2
