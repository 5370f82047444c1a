"""A home of an earlier release opens: it goes on with its contacts, versions and log, and its past can be judged."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from decision_service.adapters.clocks import FileClock
from decision_service.adapters.redis.embedded import free_port
from decision_service.client import DecisionClient
from decision_service.core.model.customer import ALL_CHANNELS, ContactStatus
from decision_service.core.model.installation import LedgerState
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecideRequest
from decision_service.core.model.sending import Verdict
from decision_service.operation import bootstrap, jobs
from decision_service.operation.rebuild import rebuild_here
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import Stack, environment
from decision_service.warehouse.comparison import compare_groups

ARCHIVE = Path(__file__).parent / "home_of_82c88f1.tar.xz"
DECISIONS = 130
DAY_MS = 86_400_000
OVER = (ContactStatus.RESERVED, ContactStatus.LAPSED)
FIRST = """
SELECT customer_id, min(decided_at_ms) AS at_ms FROM decisions WHERE program = 'welcome' GROUP BY ALL ORDER BY ALL
"""
ASSIGNED = """
SELECT customer_id, first_exposed_at_ms AS at_ms FROM assignments WHERE program = 'welcome' ORDER BY ALL
"""
RECENT = "SELECT decision_id, request_id, customer_id, action FROM decisions ORDER BY decided_at_ms DESC, decision_id"


def wait_until(done: Callable[[], bool]) -> None:
    """Until a process of the stack has done it."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a copy of the home, at the time at which it was left."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "home"
    return Settings(
        home=home,
        workers=1,
        port=free_port(),
        embedded_redis_port=free_port(),
        clock=f"file:{home / 'clock'}",
        feature_deadline_ms=500,
        ledger_deadline_ms=5_000,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[DecisionClient]:
    """Of the running stack, once its ledger is in service."""
    with Stack(settings) as stack, DecisionClient(stack.target, deadline_ms=30_000) as client:
        client.wait_ready(30.0)
        installation = bootstrap.open_installation(settings)
        wait_until(lambda: installation.claim().state is LedgerState.READY)
        yield client


def test_it_goes_on(client: DecisionClient, settings: Settings) -> None:
    """With what it had decided, promised and published; what nobody had loaded is loaded; the audit finds nothing."""
    log, warehouse = bootstrap.open_log(settings), bootstrap.open_warehouse(settings)
    wait_until(lambda: log.backlog() == 0)
    rows = warehouse.query(RECENT).to_pylist()
    assert len(rows) == DECISIONS

    # A retry gets the earlier answer, however the draw is made now; a lasting suppression holds.
    for row in rows[:20]:
        again = client.decide(DecideRequest(row["request_id"], row["customer_id"], ("welcome",)))
        assert (again.decision_id, again.action) == (row["decision_id"], row["action"])
    for customer, channel in (("customer-3", ALL_CHANNELS), ("customer-5", "sms")):
        [held] = [s for s in client.get_customer(customer).state.suppressions if s.reason is Reason.SUPPRESSED]
        assert held.channel == channel
    assert not client.decide(DecideRequest("new", "customer-3", ("welcome",))).is_contact

    # What was decided can be explained, replayed, reported on and confirmed.
    contacts = [row for row in rows if row["action"] != "NO_ACTION"]
    for row in contacts[:20]:
        assert client.replay(row["decision_id"]).differences == ()
        assert row["customer_id"] in client.explain(row["decision_id"]).text
        assert client.confirm_send(row["decision_id"]).verdict in Verdict
    done = client.report_activation(contacts[0]["decision_id"], ActivationStatus.DELIVERED)
    assert not done.duplicate

    # Versions go on after those there were.
    _, versions = client.get_program("welcome")
    assert [version.audit.note for version in versions] == ["first", "second"]
    assert client.rollback_program("welcome", 1, "ann") == 3

    wait_until(lambda: log.backlog() == 0)
    # Its customers are assigned, once, from the first decision that named a program for them.
    assert jobs.join(settings)["assigned"] > 0
    assert jobs.join(settings)["assigned"] == 0
    first = warehouse.query(FIRST).to_pylist()
    assert first == warehouse.query(ASSIGNED).to_pylist()
    assert {row["customer_id"] for row in first} == {row["customer_id"] for row in rows}
    [welcome] = compare_groups(warehouse)
    assert welcome.program == "welcome"
    assert {"TREATMENT", "HOLDOUT"} <= {group.group for group in welcome.groups}

    report = jobs.audit(settings)
    assert (report.violations, report.first) == (0, [])
    assert report.section("frequency caps").checked > 0


def test_its_rewards_are_joined_anew_once(client: DecisionClient, settings: Settings) -> None:
    """Under the definitions of this release, beside those of before; then nothing is left to do, and what is new is
    joined by itself."""
    log, warehouse = bootstrap.open_log(settings), bootstrap.open_warehouse(settings)
    wait_until(lambda: log.backlog() == 0)
    before = warehouse.query("SELECT reward_version, decision_id, reward FROM rewards ORDER BY ALL").to_pylist()
    clock = FileClock(settings.home / "clock")
    clock.set(clock.now_ms() + 10 * DAY_MS)
    jobs.load(settings)
    first = jobs.join(settings)
    assert first["decisions"] == first["matured"] == DECISIONS
    assert jobs.join(settings)["decisions"] == 0
    rows = warehouse.query("SELECT reward_version, decision_id, reward FROM rewards ORDER BY ALL").to_pylist()
    old = {row["reward_version"] for row in before}
    assert [row for row in rows if row["reward_version"] in old] == before
    assert len(rows) == len(before) + DECISIONS
    drawn = warehouse.query(
        "SELECT count(*) AS n FROM decisions WHERE policy IN ('MODEL', 'UNIFORM') "
        "AND \"group\" IN ('TREATMENT', 'RANDOM_CONTROL')"
    ).to_pylist()[0]["n"]
    assert first["learnable"] == drawn > 0

    answer = client.decide(DecideRequest("one-more", "customer-7", ("welcome",)))
    wait_until(lambda: log.backlog() == 0)
    clock.set(clock.now_ms() + 10 * DAY_MS)
    jobs.load(settings)
    assert jobs.join(settings)["decisions"] == 1
    found = warehouse.query("SELECT matured FROM rewards WHERE decision_id = $id", {"id": answer.decision_id})
    assert found.to_pylist() == [{"matured": True}]


def test_the_command_line_tells_of_it(client: DecisionClient, settings: Settings) -> None:
    """As a user of the home runs it: nothing asks for a step that nobody was told of."""
    assert client.list_programs()
    for command in (["status"], ["doctor"], ["timeline", "customer-3"], ["audit"]):
        ran = subprocess.run(
            [sys.executable, "-m", "decision_service.cli", *command],
            env={**os.environ, **environment(settings)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in ran.stderr
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_ledger_can_be_rebuilt(client: DecisionClient, settings: Settings) -> None:
    """Once this release has opened it: the suppressions that it kept in Redis alone are in the warehouse too."""
    log = bootstrap.open_log(settings)
    wait_until(lambda: log.backlog() == 0)
    lived = bootstrap.open_installation(settings).claim()
    before = _standing(client)
    with redis.Redis.from_url(settings.ledger_address) as server:
        server.flushall()
    report = rebuild_here(settings)
    assert report.ledger_id == lived.ledger_id
    assert report.inferred > 0
    assert [note for note in report.notes if "by hand" in note] == []
    assert _standing(client) == before


def _standing(client: DecisionClient) -> dict[str, object]:
    """Contacts, those whose lease is over as such; channels that are suppressed, why and until when; counters."""
    found: dict[str, object] = {}
    for name in (f"customer-{i}" for i in range(24)):
        standing = client.get_customer(name)
        contacts = [
            (c.decision_id, c.message, c.tags, c.from_ms, c.is_pending(standing.at_ms) or c.status)
            for c in standing.state.contacts
        ]
        over = [tuple("over" if part in OVER else part for part in contact) for contact in contacts]
        suppressed = [(s.channel, s.reason, s.until_ms, s.note) for s in standing.state.suppressions]
        found[name] = (over, suppressed, standing.state.events)
    return found
