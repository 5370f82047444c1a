"""What every policy store does: in memory and in Redis."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import pytest
import redis

from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.adapters.redis.embedded import EmbeddedRedis, free_port
from decision_service.adapters.redis.policies import RedisPolicies
from decision_service.application.policy_store import Audit, PolicyStore, Published
from decision_service.core.guardrails.groups import following
from decision_service.core.model.errors import InvalidRequest, NotFound, Unavailable
from decision_service.core.model.program import BucketRange, ContactPolicy, Group, ProgramState
from decision_service.documents import normalise, parse_program
from decision_service.documents.published import Entry, follow, published_program

ANNA = Audit(author="anna", at_ms=1_700_000_000_000, note="first")
BEN = Audit(author="ben", at_ms=1_700_000_060_000)
Store: TypeAlias = MemoryPolicies | RedisPolicies


def program(name: str = "welcome", lease: str = "15m") -> str:
    return f"""
name: {name}
features: {{service: customer_v1}}
actions:
  - {{id: hello_email, channel: email, message: hello}}
reward: {{outcomes: {{visit: 1}}, window: 1d}}
lease: {lease}
"""


WEEK = {"id": "week", "limit": 3, "rolling": "7d"}
POLICY = "caps: [{id: week, limit: 3, rolling: 7d}]"


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryPolicies()
        return
    policies = RedisPolicies(request.getfixturevalue("redis_url"), 2_000)
    yield policies
    policies.close()


@pytest.fixture
def redis_store(redis_url: str) -> Iterator[Callable[[], RedisPolicies]]:
    """Makes stores on one Redis, as in several workers."""
    made: list[RedisPolicies] = []

    def make() -> RedisPolicies:
        made.append(RedisPolicies(redis_url, 2_000))
        return made[-1]

    yield make
    for policies in made:
        policies.close()


def test_both_forms_are_policy_stores(store: Store) -> None:
    """Type checkers hold them to the port; here nothing is published yet."""
    port: PolicyStore = store
    store.refresh()
    assert port.current() == Published(0, {}, ContactPolicy())


def shares(treatment: int, control: int, holdout: int, salt: str = "welcome") -> str:
    sizes = f"treatment: {treatment}%, random_control: {control}%, holdout: {holdout}%"
    return program() + f"groups: {{{sizes}, salt: {salt}}}\n"


def test_a_change_of_shares_moves_only_what_is_given_up(store: Store) -> None:
    """Through publications of other things, a rollback, and a salt that deals anew; past versions keep theirs."""
    store.publish_program(shares(70, 20, 10), ANNA)
    after = store.publish_program(shares(60, 20, 20), ANNA)
    moved = (
        BucketRange(Group.TREATMENT, 0, 6_000),
        BucketRange(Group.RANDOM_CONTROL, 7_000, 9_000),
        BucketRange(Group.HOLDOUT, 9_000, 10_000),
        BucketRange(Group.HOLDOUT, 6_000, 7_000),
    )
    assert after.ranges == moved
    assert store.publish_program(shares(60, 20, 20) + "priority: 2", ANNA).ranges == moved
    assert store.current().programs["welcome"].groups.ranges == moved
    assert store.rollback_program("welcome", 1, BEN).ranges == ()
    assert store.rollback_program("welcome", 2, BEN).ranges == moved
    assert store.publish_program(shares(60, 20, 20, "other"), ANNA).ranges == ()
    assert [len(version.ranges) for version in store.versions("welcome")] == [0, 4, 4, 0, 4, 0]
    assert store.program_at("welcome", 2).groups.ranges == moved
    assert store.program_at("welcome", 1).groups.ranges == ()


def test_entries_of_earlier_releases_are_dealt_in_order() -> None:
    """They name no ranges; what follows them moves as little as after any other."""
    entry = Entry.from_json(json.dumps({"version": 1, "document": shares(70, 20, 10), **asdict(ANNA)}))
    assert published_program(entry).groups.ranges == ()
    draft = parse_program(shares(60, 20, 20))
    assert follow(draft, entry, None) == following(draft.groups, published_program(entry).groups).ranges != ()


def test_published_programs_are_current(store: Store) -> None:
    """A published program is in the publisher's snapshot at once, with its version and a new revision."""
    published = store.publish_program(program(), ANNA)
    assert (published.name, published.version, published.audit) == ("welcome", 1, ANNA)
    assert json.loads(published.document)["lease"] == "15m"
    current = store.current()
    assert current.programs["welcome"].version == 1
    assert current.programs["welcome"].lease_s == 900
    store.publish_program(program("other"), ANNA)
    assert set(store.current().programs) == {"welcome", "other"}
    assert store.current().revision > current.revision


def test_a_changed_document_is_the_next_version(store: Store) -> None:
    """Versions count up by one per program, and every one stays readable with its audit."""
    store.publish_program(program(), ANNA)
    store.publish_program(program("other"), ANNA)
    assert store.publish_program(program(lease="20m"), BEN).version == 2
    assert store.current().programs["welcome"].lease_s == 1200
    assert [(v.version, v.audit) for v in store.versions("welcome")] == [(1, ANNA), (2, BEN)]


def test_an_unchanged_document_is_the_same_version(store: Store) -> None:
    """Another layout of the same content publishes nothing."""
    first = store.publish_program(program(), ANNA)
    revision = store.current().revision
    assert store.publish_program("# a comment\n" + program(), BEN) == first
    assert store.publish_program(first.document, BEN) == first
    assert store.publish_policy(POLICY, ANNA) == store.publish_policy(POLICY, BEN) == 1
    assert store.current().revision == revision + 1
    assert len(store.versions("welcome")) == 1


def test_a_broken_document_is_refused_whole(store: Store) -> None:
    """Nothing is published, nothing moves."""
    store.publish_program(program(), ANNA)
    store.publish_policy(POLICY, ANNA)
    before = store.current()
    with pytest.raises(InvalidRequest):
        store.publish_program(program() + "nonsense: 1\n", BEN)
    with pytest.raises(InvalidRequest):
        store.publish_policy("caps: [{id: week, limit: 0, rolling: 7d}]", BEN)
    assert store.current() is before
    assert len(store.versions("welcome")) == 1


def test_the_contact_policy_is_versioned_too(store: Store) -> None:
    """Each change is the next version; earlier ones and the empty version 0 stay readable."""
    assert store.publish_policy(POLICY, ANNA) == 1
    assert store.publish_policy("{}", ANNA) == 2
    assert store.current().policy == ContactPolicy(version=2)
    assert store.policy_at(1).caps[0].limit == 3
    assert store.policy_at(0) == ContactPolicy()
    with pytest.raises(NotFound):
        store.policy_at(3)


def test_a_rollback_publishes_an_earlier_document_as_a_new_version(store: Store) -> None:
    """History is only ever added to."""
    store.publish_program(program(), ANNA)
    store.publish_program(program(lease="20m"), ANNA)
    rolled_back = store.rollback_program("welcome", 1, BEN)
    assert (rolled_back.version, rolled_back.audit) == (3, BEN)
    assert store.current().programs["welcome"].lease_s == 900
    assert [store.program_at("welcome", version).lease_s for version in (1, 2, 3)] == [900, 1200, 900]


def test_the_contact_policy_keeps_its_history(store: Store) -> None:
    """Every version with its document and audit, oldest first; none before the first."""
    assert list(store.policy_versions()) == []
    store.publish_policy(POLICY, ANNA)
    store.publish_policy(POLICY, BEN)
    store.publish_policy("{}", BEN)
    first, second = store.policy_versions()
    assert (first.version, first.audit, json.loads(first.document)) == (1, ANNA, {"caps": [WEEK]})
    assert (second.version, second.audit, second.document) == (2, BEN, "{}")


def test_the_contact_policy_rolls_back_to_a_new_version(store: Store) -> None:
    """It is in force at once, in a new snapshot; history is only ever added to; the version in force stays as it is."""
    store.publish_policy(POLICY, ANNA)
    store.publish_policy("{}", ANNA)
    revision = store.current().revision
    rolled_back = store.rollback_policy(1, BEN)
    assert (rolled_back.version, rolled_back.audit, json.loads(rolled_back.document)) == (3, BEN, {"caps": [WEEK]})
    assert (store.current().policy.version, store.current().policy.caps[0].limit) == (3, 3)
    assert store.current().revision > revision
    assert [version.version for version in store.policy_versions()] == [1, 2, 3]
    assert store.rollback_policy(1, ANNA) == rolled_back


@pytest.mark.parametrize("version", [-1, 0, 2])
def test_a_contact_policy_that_was_never_published_is_not_found(store: Store, version: int) -> None:
    """Nothing is published by asking for it."""
    store.publish_policy(POLICY, ANNA)
    with pytest.raises(NotFound, match=f"contact policy 'version {version}'"):
        store.rollback_policy(version, BEN)
    assert len(store.policy_versions()) == 1


@pytest.mark.parametrize("version", [-1, 0, 2])
def test_what_was_never_published_is_not_found(store: Store, version: int) -> None:
    """Unknown names and versions are named in the error."""
    store.publish_program(program(), ANNA)
    for ask in (store.program_at, lambda name, version: store.rollback_program(name, version, BEN)):
        with pytest.raises(NotFound, match=f"program welcome 'version {version}' not found; it has version 1 only"):
            ask("welcome", version)
        with pytest.raises(NotFound, match=r"program 'welcom' not found; did you mean `welcome`\?"):
            ask("welcom", version)
    with pytest.raises(NotFound, match="program 'nothing' not found; published are welcome"):
        store.versions("nothing")


def test_concurrent_publishers_lose_nothing(store: Store) -> None:
    """Four publishers of ten different documents each leave forty versions, numbered without gaps."""
    errors: list[Exception] = []

    def publish(publisher: int) -> None:
        try:
            for i in range(10):
                store.publish_program(program(lease=f"{publisher * 10 + i + 1}m"), Audit(f"p{publisher}", i))
        except Exception as error:  # noqa: BLE001 — reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(publisher,)) for publisher in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    versions = store.versions("welcome")
    assert [v.version for v in versions] == list(range(1, 41))
    assert len({v.document for v in versions}) == 40
    assert store.current().programs["welcome"].version == 40


def test_only_who_says_so_lifts_a_pause(store: Store) -> None:
    """A new text does not, nor an old one; nor is anything else of the latest version lost by pausing."""
    store.publish_program(program(), ANNA)
    assert store.set_program_state("welcome", ProgramState.PAUSED, BEN).version == 2
    assert store.set_program_state("welcome", ProgramState.PAUSED, BEN).version == 2

    def state() -> ProgramState:
        store.refresh()
        return store.current().programs["welcome"].state

    assert store.publish_program(program(), ANNA).version == 2
    assert (store.publish_program(program(lease="20m"), ANNA).version, state()) == (3, ProgramState.PAUSED)
    assert (store.rollback_program("welcome", 1, ANNA).version, state()) == (4, ProgramState.PAUSED)
    store.set_program_state("welcome", ProgramState.LIVE, BEN)
    assert (store.versions("welcome")[-1].document, state()) == (store.versions("welcome")[0].document, "live")
    store.set_program_state("welcome", ProgramState.PAUSED, BEN)
    store.publish_program(program() + "state: live\n", ANNA)
    assert state() is ProgramState.LIVE
    assert store.program_at("welcome", 3).state is ProgramState.PAUSED
    store.rollback_program("welcome", 3, ANNA)
    assert (store.current().programs["welcome"].lease_s, state()) == (20 * 60, ProgramState.LIVE)
    store.set_program_state("welcome", ProgramState.UNPUBLISHED, BEN)
    store.publish_program(program(), ANNA)
    assert state() is ProgramState.LIVE
    with pytest.raises(NotFound, match="published are welcome"):
        store.set_program_state("spring", ProgramState.PAUSED, BEN)


def test_a_pause_beside_publications_is_not_lost(store: Store) -> None:
    """Nor does it put an older text in force again."""
    store.publish_program(program(), ANNA)

    def publish() -> None:
        for i in range(30):
            store.publish_program(program(lease=f"{i + 1}m"), ANNA)

    publisher = threading.Thread(target=publish)
    publisher.start()
    store.set_program_state("welcome", ProgramState.PAUSED, BEN)
    publisher.join()
    store.refresh()
    assert store.current().programs["welcome"].state is ProgramState.PAUSED
    assert store.current().programs["welcome"].lease_s == 30 * 60


def test_other_workers_see_it_with_their_next_refresh(redis_store: Callable[[], RedisPolicies]) -> None:
    """A snapshot stands still between refreshes; an unchanged program keeps its very object."""
    publisher, worker = redis_store(), redis_store()
    publisher.publish_program(program(), ANNA)
    assert worker.current().programs == {}
    assert worker.refresh()
    welcome = worker.current().programs["welcome"]
    publisher.publish_program(program("other"), ANNA)
    publisher.publish_policy(POLICY, ANNA)
    publisher.rollback_policy(1, BEN)
    assert worker.refresh()
    assert worker.current() == publisher.current()
    assert worker.current().policy.version == 1
    assert worker.current().programs["welcome"] is welcome
    assert not worker.refresh()


def test_the_snapshot_outlives_what_redis_has_lost(redis_store: Callable[[], RedisPolicies], redis_url: str) -> None:
    """Until something is published, or brought back, whatever the revision then is."""
    publisher, worker = redis_store(), redis_store()
    publisher.publish_program(program(), ANNA)
    worker.refresh()
    lived, versions = worker.current(), publisher.versions("welcome")
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert not worker.refresh()
    assert worker.current() is lived
    rebuilt = redis_store()
    rebuilt.restore("other", {1: _entry(program("other"))}, 1)
    assert not worker.refresh()
    rebuilt.announce()
    assert worker.refresh()
    assert worker.current().revision > lived.revision
    assert set(worker.current().programs) == {"other"}
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    worker.refresh()
    redis_store().go_on_after({"welcome": versions[-1].version}, 0)
    assert worker.refresh()
    assert worker.current().programs == {}


def _entry(document: str) -> Entry:
    return Entry(1, normalise(document), ANNA)


def test_an_unreadable_document_leaves_the_earlier_version_in_force(
    redis_store: Callable[[], RedisPolicies], redis_url: str
) -> None:
    """Neither a running worker nor one that starts is taken down; other programs go live, and it is reported."""
    publisher, running = redis_store(), redis_store()
    publisher.publish_program(program(), ANNA)
    running.refresh()
    broken = json.dumps({"version": 2, "document": '{"of": "a later release"}', "author": "", "at_ms": 0, "note": ""})
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("nba:{policies}:program:welcome", broken)
        client.hset("nba:{policies}:programs", "welcome", broken)
        client.rpush("nba:{policies}:contact_policy", b"\xff not even JSON")
    publisher.publish_program(program("other"), ANNA)
    starting = redis_store()
    for worker in (running, starting):
        worker.refresh()
        assert set(worker.problems) == {"program welcome", "contact policy"}
    assert {n: p.version for n, p in running.current().programs.items()} == {}
    publisher.publish_policy(POLICY, ANNA)
    for worker in (running, starting):
        worker.refresh()
        assert {n: p.version for n, p in worker.current().programs.items()} == {"welcome": 1, "other": 1}
        assert worker.current().policy.caps[0].limit == 3
        assert set(worker.problems) == {"program welcome"}
    assert publisher.publish_program(program(lease="20m"), ANNA).version == 3
    assert publisher.problems == {}


def test_no_program_serves_under_a_contact_policy_that_cannot_be_read(
    redis_store: Callable[[], RedisPolicies], redis_url: str
) -> None:
    """A worker that starts has no caps to hold then, so it contacts nobody; one that has them goes on with them."""
    publisher, running = redis_store(), redis_store()
    publisher.publish_program(program(), ANNA)
    publisher.publish_policy(POLICY, ANNA)
    running.refresh()
    with redis.Redis.from_url(redis_url) as client:
        client.delete("nba:{policies}:contact_policy")
        client.rpush("nba:{policies}:contact_policy", "{}")
        client.incr("nba:{policies}:revision")
    starting = redis_store()
    starting.refresh()
    running.refresh()
    assert starting.current().programs == {}
    assert set(running.current().programs) == {"welcome"}
    assert running.current().policy.caps[0].limit == 3


def test_the_snapshot_outlives_redis(tmp_path: Path) -> None:
    """While Redis is down the last snapshot is served and publishing is unavailable; afterwards all goes on."""
    server = EmbeddedRedis(tmp_path, free_port())
    with server:
        store = RedisPolicies(server.url, 2_000)
        store.publish_program(program(), ANNA)
        before = store.current()
        server.stop()
        with pytest.raises(Unavailable):
            store.refresh()
        with pytest.raises(Unavailable):
            store.publish_program(program(lease="20m"), ANNA)
        assert store.current() is before
        server.start()
        assert store.publish_program(program(lease="20m"), ANNA).version == 2
        store.close()
