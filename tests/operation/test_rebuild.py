"""A ledger is lost, and made again from the warehouse: every answer is the one of before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from decision_service.adapters.clocks import FileClock
from decision_service.adapters.redis.keys import shard_of
from decision_service.adapters.redis.ledger import RedisLedger
from decision_service.adapters.redis.restore import RedisRestore, Restored
from decision_service.application.ports import EntryKind, LogEntry
from decision_service.cli import app
from decision_service.core.model.errors import Conflict, NbaError, Unavailable
from decision_service.core.model.installation import LedgerState
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecideRequest, Outcome
from decision_service.documents import normalise
from decision_service.operation import bootstrap, jobs
from decision_service.operation.rebuild import Report, rebuild
from decision_service.operation.recognition import recognise
from decision_service.operation.settings import Settings
from decision_service.warehouse.tables import rows_from
from tests.operation.house import CUSTOMERS, DAY, HOUR, MINUTE, POLICY, PROGRAM, House
from tests.support.logged import KIND_OF, T0, decision, outcome
from tests.support.served import AUDIT


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    clock = FileClock(tmp_path / "clock", create_at_ms=T0)
    house = House(
        Settings(home=tmp_path, ledger_url=redis_url, shards=4, clock=f"file:{tmp_path / 'clock'}"),
        clock,
        random.Random(7),
    )
    house.open()
    yield house
    house.installations.close()


def killed_midway(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild that ends after it has written some of the customers."""
    right = RedisRestore.customers

    def once(self: RedisRestore, customers: list[Restored], now_ms: int) -> None:
        right(self, customers[: len(customers) // 2], now_ms)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RedisRestore, "customers", once)
        with pytest.raises(KeyboardInterrupt):
            rebuild(house.settings, rows_at_once=300)


@pytest.mark.timeout(240)
def test_every_answer_is_the_one_of_before(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month is lived, the ledger lost, and rebuilt in two attempts: a thousand dry runs answer the same, retries get
    the earlier answers, repeated facts are known, and the audit finds nothing."""
    house.live(30)
    before = house.dry_runs(1_000)
    excluded = {e.reason.value for answer in before for e in answer[6]}  # type: ignore[index]
    assert {"FREQUENCY_CAP", "VOLUME_LIMIT", "SUPPRESSED", "SUPPRESSED_BY_OUTCOME"} <= excluded
    lived = house.installations.claim()
    now_ms = house.clock.now_ms()
    recent = [r for r in house.told.values() if r.decided_at_ms > now_ms - 7 * DAY]
    stored = house.stored(recent)
    answered = {r.decision_id: house.services.decisions.decide(r.request) for r in recent}
    versions = bootstrap.open_policies(house.settings).versions("spring")

    house.lose()
    with pytest.raises(Unavailable):
        house.dry_runs(1)
    killed_midway(house, monkeypatch)
    assert house.installations.claim().state is LedgerState.REFUSED
    house.serve()
    with pytest.raises(Unavailable):
        house.dry_runs(1)
    seen: list[tuple[int, int]] = []
    report = rebuild(house.settings, progress=lambda _, done, total: seen.append((done, total)), rows_at_once=300)

    assert house.installations.claim() == lived
    assert seen[-1][0] == seen[-1][1] > 5
    assert_full(report)
    house.serve()
    after = house.dry_runs(1_000)
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == []
    assert house.stored(recent) == stored
    assert len(answered) == report.request_ids > 50
    for record in recent:
        again = house.services.decisions.decide(record.request)
        assert (again.record, again.withheld) == (record, answered[record.decision_id].withheld)
    assert bootstrap.open_policies(house.settings).versions("spring") == versions
    assert house.services.administration.apply_program(PROGRAM.format(name="spring", lease="4h"), "x").version == 3
    known = [f for f in house.facts if f.received_at_ms > now_ms - 7 * DAY]
    for fact in known:
        receipt = house.report(fact)
        assert (receipt.recorded, receipt.duplicates) == (0, 1)
    assert len(known) > 50
    house.keep()
    found = jobs.audit(house.settings)
    assert (found.violations, found.first) == (0, [])
    with pytest.raises(Conflict, match="in service"):
        rebuild(house.settings)


def assert_full(report: Report) -> None:
    """Nothing of what was lived is missing, and nothing had to be said."""
    counts = report.to_json()
    assert counts.pop("notes") == []
    assert counts.pop("inferred") == 0
    assert all(counts.values()), counts
    assert (report.customers, report.programs, report.shards) == (len(CUSTOMERS), 2, 4)


def test_what_is_taken_meanwhile_is_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a ledger that is not in service yet, and while it is being rebuilt: nobody unsubscribes in vain."""
    house.live(2)
    house.lose()
    house.serve()
    unsubscribe = Outcome("late1", "c1", "purchase", house.clock.now_ms(), house.clock.now_ms())
    assert house.report(unsubscribe).recorded == 1
    house.services.administration.suppress("c1", "*", None, "moved", "ann")
    right, taken = RedisRestore.put_in_service, []

    def slowly(self: RedisRestore, shard: int, position: int, ledger_id: str) -> bool:
        if len(taken) < 3:
            taken.append(shard)
            house.services.administration.suppress("c2", "email", None, f"call {len(taken)}", "ann")
        return right(self, shard, position, ledger_id)

    monkeypatch.setattr(RedisRestore, "put_in_service", slowly)
    rebuild(house.settings)
    ledger = bootstrap.open_ledger(house.settings)
    assert [(s.channel, s.note) for s in ledger.state("c1").suppressions if s.note == "moved"] == [("*", "moved")]
    assert ("email", "call 3") in [(s.channel, s.note) for s in ledger.state("c2").suppressions]
    assert ledger.state("c1").events["purchase"].recent_ms[0] == house.clock.now_ms()
    house.serve()
    assert house.report(unsubscribe).duplicates == 1
    assert not house.services.decisions.decide(DecideRequest("new", "c1", ("spring",))).record.is_contact


@pytest.mark.parametrize("by_hand", [True, False])
def test_what_is_taken_meanwhile_revokes_what_is_brought_back(house: House, by_hand: bool) -> None:
    """An empty ledger knows of no reservation: whoever asks again is told all the same."""
    asked = (DecideRequest("r1", customer, ("spring",)) for customer in CUSTOMERS)
    held = next(r for r in (house.services.decisions.decide(a).record for a in asked) if r.is_contact)
    customer = held.request.customer_id
    house.keep()
    house.lose()
    house.clock.set(T0 + MINUTE)
    if by_hand:
        house.services.administration.suppress(customer, "*", None, "moved", "ann")
    else:
        house.report(Outcome("u1", customer, "complaint", T0 + MINUTE, 0, channel=held.channel))
    rebuild(house.settings)
    again = house.serve().decisions.decide(held.request)
    assert again.record == held
    assert again.withheld is (Reason.SUPPRESSED if by_hand else Reason.SUPPRESSED_BY_OUTCOME)


def test_a_worker_that_starts_on_a_lost_ledger_takes_an_unsubscribe(house: House) -> None:
    """It knows no contact policy, and what follows from the outcome is known once there is one again."""
    house.services.administration.suppress("c2", "sms", None, "logged, as it is since", "ann")
    house.services.decisions.decide(DecideRequest("r1", "c1", ("spring",)))
    house.keep()
    house.lose()
    house.serve()
    house.clock.set(T0 + MINUTE)
    assert house.report(Outcome("u1", "c1", "unsubscribe", T0 + MINUTE, 0, channel="email")).recorded == 1
    rebuild(house.settings)
    [suppression] = bootstrap.open_ledger(house.settings).state("c1").suppressions
    assert (suppression.channel, suppression.until_ms) == ("email", T0 + MINUTE + 9 * DAY)


def test_a_version_that_was_lost_does_not_stand_for_the_one_of_its_number(house: House) -> None:
    """One that was published and never copied, in the memory of a worker that goes on."""
    house.keep()
    worker = bootstrap.open_policies(house.settings)
    worker.publish_program(PROGRAM.format(name="spring", lease="3h"), AUDIT)
    assert worker.program_at("spring", 2).lease_s == 3 * 3_600
    house.lose()
    worker.refresh()
    rebuild(house.settings)
    worker.publish_program(PROGRAM.format(name="spring", lease="7h"), AUDIT)
    assert worker.program_at("spring", 2) == worker.current().programs["spring"]


def test_a_ledger_lost_between_read_and_commit_may_be_answered_without(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By NO_ACTION, where the runner asks for it; nothing is written to the one that is there."""
    right = RedisLedger.new_decision_id

    def losing(self: RedisLedger, customer_id: str, now_ms: int) -> str:
        house.lose()
        return right(self, customer_id, now_ms)

    house.services.decisions.decide(DecideRequest("r0", "c1", ("spring",)))
    house.keep()
    monkeypatch.setattr(RedisLedger, "new_decision_id", losing)
    decided = house.services.decisions.decide(DecideRequest("r1", "c1", ("spring",), no_action_when_unavailable=True))
    assert decided.record.unlogged
    assert bootstrap.open_log(house.settings).backlog() == 0


def test_tokens_spent_while_it_is_rebuilt_stay_spent(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message reported as sent in a shard that serves already, while another one is still being followed."""
    house.live(1)
    house.clock.set(house.clock.now_ms() + DAY)
    customers = [c for c in CUSTOMERS if shard_of(c, 4) == 0]
    asked = (DecideRequest("text", customer, ("spring",), channels=("sms",)) for customer in customers)
    held = next(r for r in (house.services.decisions.decide(a).record for a in asked) if r.is_contact)
    assert held.reservation is not None
    keys = [token.key for token in held.reservation.tokens]
    house.keep()
    budgets = bootstrap.open_budgets(house.settings)
    lapsed_ms = held.reservation.lease_expires_at_ms + HOUR
    before = budgets.begin_levels(keys, lapsed_ms).result()
    house.lose()
    house.serve()
    in_another_shard = next(c for c in CUSTOMERS if shard_of(c, 4) > 0)
    right, rounds = RedisRestore.put_in_service, []

    def slowly(self: RedisRestore, shard: int, position: int, ledger_id: str) -> bool:
        if shard == 0 and not rounds:
            is_served = right(self, shard, position, ledger_id)
            rounds.append(house.services.feedback.report_activation(held.decision_id, ActivationStatus.SENT))
            return is_served
        if len(rounds) == 1:
            rounds.append(house.services.administration.suppress(in_another_shard, "email", None, "late", "ann"))
            return False
        return right(self, shard, position, ledger_id)

    monkeypatch.setattr(RedisRestore, "put_in_service", slowly)
    rebuild(house.settings)
    assert len(rounds) == 2
    after = budgets.begin_levels(keys, lapsed_ms).result()
    assert {key: after[key] - before[key] for key in keys} == {t.key: t.amount for t in held.reservation.tokens}


def test_the_log_goes_on_after_what_was_loaded(house: House) -> None:
    """Also where the server's clock is years behind: a stream's ids are times, and the loader skips what it knows."""
    ahead = 8_000_000_000_000 << 20
    row = Outcome("ahead", "c1", "purchase", T0, T0)
    shards = range(house.settings.shards)
    house.warehouse.load(EntryKind.OUTCOMES, [LogEntry(s, ahead + 5, EntryKind.OUTCOMES, row) for s in shards])
    house.keep()
    house.lose()
    rebuild(house.settings)
    house.serve()
    decided = [house.services.decisions.decide(DecideRequest("r", customer, ("spring",))) for customer in CUSTOMERS]
    jobs.load(house.settings)
    found = house.warehouse.query("SELECT decision_id, log_sequence FROM decisions").to_pylist()
    assert {row["decision_id"] for row in found} == {d.record.decision_id for d in decided}
    assert all(row["log_sequence"] > ahead + 5 for row in found)


def test_a_shard_that_was_lost_alone_is_brought_back(house: House) -> None:
    """The others are in service, and left as they are."""
    house.live(3)
    before = house.dry_runs(120)
    lived = house.installations.claim()
    with redis.Redis.from_url(house.settings.ledger_address) as client:
        lost = client.keys("nba:{s1}:*")
        client.delete(*lost)
    with pytest.raises(Unavailable):
        house.dry_runs(120)
    report = rebuild(house.settings)
    assert (report.shards, report.ledger_id) == (1, lived.ledger_id)
    assert 0 < report.customers < len(CUSTOMERS)
    assert house.dry_runs(120) == before


def test_a_version_that_was_never_copied_is_told(house: House) -> None:
    """Nothing is decided by an older version of the program instead, and the number is not given twice."""
    house.live(1)
    house.services.administration.apply_program(PROGRAM.format(name="spring", lease="5h"), "test")
    house.serve()
    house.services.decisions.decide(DecideRequest("last", "c1", ("spring",)))
    jobs.load(house.settings)
    house.lose()
    report = rebuild(house.settings)
    assert report.notes[0].startswith("program spring version 3 was never copied")
    policies = bootstrap.open_policies(house.settings)
    assert list(policies.current().programs) == ["autumn"]
    assert policies.publish_program(PROGRAM.format(name="spring", lease="5h"), AUDIT).version == 4
    assert [v.version for v in policies.versions("spring")] == [1, 2, 4]


def test_a_warehouse_of_a_release_without_ids_is_brought_in(redis_url: str, tmp_path: Path) -> None:
    """With a new id and key, which count as those of its records; suppressions follow from outcomes, and it says so."""
    settings = Settings(home=tmp_path, ledger_url=redis_url, shards=4)
    warehouse = bootstrap.open_warehouse(settings)
    published_at = datetime.fromtimestamp(0, UTC)
    policy = {"version": 2, "document": normalise(POLICY), "author": "a", "published_at": published_at}
    blank = {"ledger_id": None, "digest": "", "note": ""}
    warehouse.append("contact_policy_versions", rows_from("contact_policy_versions", [{**blank, **policy}]))
    asked = replace(outcome("o1", 5, "c1", "unsubscribe"), channel="email")
    for sequence, body in enumerate([decision("00-d1", "c1"), asked], 1):
        warehouse.load(KIND_OF[type(body)], [LogEntry(shard_of("c1", 4), sequence, KIND_OF[type(body)], body)])
    installations = bootstrap.open_installation(settings)
    assert recognise(settings, installations, warehouse).state is LedgerState.REFUSED
    report = rebuild(settings)
    found = installations.claim()
    assert (found.state, found.known_as) == (LedgerState.READY, {found.ledger_id, ""})
    assert (report.inferred, recognise(settings, installations, warehouse)) == (1, found)
    [suppression] = bootstrap.open_ledger(settings).state("c1").suppressions
    assert (suppression.channel, suppression.note, suppression.until_ms) == (
        "email",
        "unsubscribe",
        T0 + 5_000 + 9 * DAY,
    )
    assert any("by hand" in note for note in report.notes)
    assert warehouse.query("SELECT ledger_id FROM installation").to_pylist() == [{"ledger_id": found.ledger_id}]


def test_the_command_says_what_it_brought_in_and_why_not(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 with a sentence where there is nothing to do, or another number of shards."""
    for name, value in (("LEDGER_URL", house.settings.ledger_url), ("SHARDS", "4"), ("CLOCK", house.settings.clock)):
        monkeypatch.setenv(f"NBA_{name}", value)
    command = ["ledger", "rebuild", "--home", str(house.settings.home), "--json"]
    house.live(1)

    def refused(*more: str) -> str:
        with pytest.raises(NbaError) as refusal:
            CliRunner().invoke(app, [*command, *more], catch_exceptions=False)
        return str(refusal.value)

    lived = house.installations.claim()
    assert "is in service: there is nothing" in refused()
    assert "is not brought into it" in refused("--of", "0123")
    house.lose()
    assert f"the warehouse knows {lived.ledger_id}" in refused("--of", "0123")
    with redis.Redis.from_url(house.settings.ledger_address) as client:
        client.flushall()
    monkeypatch.setenv("NBA_SHARDS", "8")
    assert "set NBA_SHARDS=4" in refused()
    with redis.Redis.from_url(house.settings.ledger_address) as client:
        client.flushall()
    monkeypatch.setenv("NBA_SHARDS", "4")
    report = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    assert (report["ledger_id"], report["shards"], report["programs"]) == (lived.ledger_id, 4, 2)
    assert house.installations.claim() == lived


def test_beside_an_empty_warehouse_there_is_nothing_to_rebuild(redis_url: str, tmp_path: Path) -> None:
    """Nor on a ledger of an earlier release, which has what it needs."""
    settings = Settings(home=tmp_path, ledger_url=redis_url, shards=4)
    with pytest.raises(Conflict, match="no history"):
        rebuild(settings)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.set("nba:shards", 4)
    with pytest.raises(Conflict, match="earlier release"):
        rebuild(settings)
