"""A ledger is lost, and made again from the warehouse: every answer is the one of before."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import FileClock
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.redis.restore import RedisRestore, Restored
from decision_service.application.admission import Admission
from decision_service.application.feedback import Receipt
from decision_service.application.ports import EntryKind
from decision_service.application.services import Services
from decision_service.cli import app
from decision_service.core.model.errors import Conflict, NbaError, NotFound, Unavailable
from decision_service.core.model.installation import LedgerState
from decision_service.core.model.program import ProgramState
from decision_service.core.model.record import ActivationStatus, DecideRequest, DecisionRecord, Event, Outcome
from decision_service.core.model.values import ValueType
from decision_service.operation import bootstrap, jobs
from decision_service.operation.rebuild import Report, rebuild
from decision_service.operation.recognition import recognise
from decision_service.operation.settings import Settings
from decision_service.warehouse.versions import copy_versions
from tests.support.logged import T0
from tests.support.served import AUDIT

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
CUSTOMERS = [f"c{i}" for i in range(40)]
POLICY = """
caps:
  - {id: three_a_week, limit: 3, rolling: 7d}
  - {id: two_promos, limit: 2, rolling: 14d, scope: {tag: promo}, counts: delivered}
  - {id: attempts, limit: 9, calendar: month, counts: reserved}
budgets:
  - {id: texts_a_day, limit: 9, per: day, scope: {channel: sms}}
  - {id: money_in_all, money: 12}
suppress_on: [{outcome: unsubscribe, channels: own, for: 9d}, {outcome: complaint, channels: all, for: 3d}]
pause_on: [{id: bored, outcome: dismiss, count: 2, within: 10d, for: 4d, pauses: channel}]
"""
PROGRAM = """
name: {name}
features: {{service: s}}
actions:
  - {{id: mail, channel: email, message: hello, tags: [promo], cost: 0.05}}
  - {{id: text, channel: sms, message: hello, cost: 0.1}}
  - {{id: push, channel: push, message: {name}}}
live_events: [purchase, view]
lease: {lease}
reward: {{outcomes: {{purchase: 1}}, window: 1d}}
groups: {{treatment: 80%, random_control: 10%, holdout: 10%}}
"""

FATES = [
    (),
    ("FAILED",),
    ("FAILED", "SENT"),
    ("DELIVERED",),
    ("SENT", "BOUNCED"),
    ("SENT",),
    ("SENT",),
    ("SENT", "FAILED"),
]


@dataclass
class House:
    """Services on the real ledger and warehouse, in one process, on a clock of its own."""

    settings: Settings
    clock: FileClock
    dice: random.Random

    def __post_init__(self) -> None:
        self.warehouse = bootstrap.open_warehouse(self.settings)
        self.installations = bootstrap.open_installation(self.settings)
        self.features = MemoryFeatures()
        self.features.define("s", MemoryView("v", {"timezone": ValueType.STRING}))
        for customer in CUSTOMERS:
            self.features.put("v", customer, {"timezone": "Europe/Berlin"}, T0)
        self.told: dict[str, DecisionRecord] = {}
        self.facts: list[Outcome | Event] = []

    def serve(self) -> Services:
        """As a worker that starts now."""
        policies = bootstrap.open_policies(self.settings)
        admission = Admission(self.installations.claim(), self.clock)
        self.services = Services.over(
            policies=policies,
            features=self.features,
            ledger=bootstrap.open_ledger(self.settings),
            budgets=bootstrap.open_budgets(self.settings),
            catalogue=MemoryCatalogue(),
            rules=CelRules(),
            clock=self.clock,
            draw=admission.draw,
            admission=admission,
            retention_s=self.settings.record_retention_s,
        )
        return self.services

    def open(self) -> None:
        recognise(self.settings, self.installations, self.warehouse)
        services = self.serve()
        services.administration.apply_contact_policy(POLICY, "test")
        for name in ("spring", "autumn"):
            services.administration.apply_program(PROGRAM.format(name=name, lease="2h"), "test")

    def live(self, days: int) -> None:
        """A month of everything, hour by hour."""
        dice, services = self.dice, self.services
        for step in range(days * 12):
            self.clock.set(T0 + step * 2 * HOUR)
            for customer in dice.sample(CUSTOMERS, 3):
                self._decide(f"r{step}", customer)
                self._happen(step, customer)
            if step == days * 6:
                services.administration.apply_program(PROGRAM.format(name="spring", lease="3h"), "test")
                services.administration.apply_contact_policy(POLICY.replace("for: 4d", "for: 5d"), "test")
                services.administration.set_program_state("autumn", ProgramState.PAUSED, "test")
                services.administration.set_program_state("autumn", ProgramState.LIVE, "test")
        self.keep()

    def _decide(self, request_id: str, customer: str) -> None:
        dice, services = self.dice, self.services
        request = DecideRequest(request_id, customer, ("spring",) if dice.random() < 0.5 else ("autumn", "spring"))
        record = services.decisions.decide(request).record
        self.told[record.decision_id] = record
        if not record.is_contact:
            return
        fate = dice.random()
        if fate < 0.2:
            services.sending.confirm(record.decision_id)
        for reports in FATES[dice.randrange(len(FATES))]:
            services.feedback.report_activation(record.decision_id, ActivationStatus(reports))

    def _happen(self, step: int, customer: str) -> None:
        dice, services, now_ms = self.dice, self.services, self.clock.now_ms()
        channel = dice.choice(["email", "sms", "push"])
        ago = dice.choice([0, HOUR, 10 * DAY])
        of = dice.choice(list(self.told.values()))
        name = dice.choice(["purchase", "dismiss", "dismiss", "unsubscribe", "complaint", "purchase"])
        decision_id = of.decision_id if of.is_contact else ""
        outcome = Outcome(
            f"o{step}", customer if dice.random() < 0.5 else of.request.customer_id, name, now_ms - ago, now_ms,
            value=1.5, decision_id=decision_id, channel=channel, attributes={"basket": 2, "tags": ("a", "ß")},
        )  # fmt: skip
        event = Event(f"e{step}", customer, "view", now_ms - ago, now_ms, {"page": "home"})
        for fact in (outcome, event):
            if self.report(fact).recorded:
                self.facts.append(fact)
        match dice.randrange(14):
            case 0:
                services.administration.suppress(customer, channel, now_ms + dice.randint(1, 20) * DAY, "asked", "ann")
            case 1 if step % 5 == 0:
                services.administration.suppress(customer, "*", None, "moved", "ann")
            case 2 | 3:
                services.administration.unsuppress(customer, dice.choice([channel, "*"]), "bob", "again")

    def report(self, fact: Outcome | Event) -> Receipt:
        if isinstance(fact, Outcome):
            return self.services.feedback.record_outcomes([fact])
        return self.services.feedback.record_events([fact])

    def keep(self) -> None:
        """As the loader does."""
        jobs.load(self.settings)
        copy_versions(bootstrap.open_policies(self.settings), self.installations.claim(), self.warehouse)

    def dry_runs(self, number: int) -> list[object]:
        """Answers at various times for various customers."""
        answers, now_ms = [], self.clock.now_ms()
        for i in range(number):
            request = DecideRequest(
                f"dry{i}", CUSTOMERS[i % len(CUSTOMERS)], (("spring",), ("autumn",), ("*",))[i % 3],
                dry_run=True, at_ms=now_ms + (i % 7) * 17 * HOUR,
            )  # fmt: skip
            record = self.services.decisions.decide(request).record
            answers.append(
                (record.chosen, record.program, record.program_version, record.policy_version, record.probability,
                 record.options, record.exclusions, record.draw, record.group, record.live, record.reservation,
                 record.budget_levels, record.ledger_id, record.others)
            )  # fmt: skip
        return answers

    def lose(self) -> None:
        """Redis comes back empty, and the loader looks at it."""
        with redis.Redis.from_url(self.settings.ledger_address) as client:
            client.flushall()
        assert recognise(self.settings, self.installations, self.warehouse).state is LedgerState.REFUSED


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
