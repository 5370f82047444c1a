"""A month of a house: services on the real ledger and warehouse, in one process, with everything that can happen."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import redis

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import FileClock
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.application.admission import Admission
from decision_service.application.feedback import Receipt
from decision_service.application.services import Services
from decision_service.core.guardrails.caps import droppable
from decision_service.core.model.installation import LedgerState
from decision_service.core.model.program import ProgramState
from decision_service.core.model.record import ActivationStatus, DecideRequest, DecisionRecord, Event, Outcome
from decision_service.core.model.values import ValueType
from decision_service.operation import bootstrap, jobs
from decision_service.operation.recognition import recognise
from decision_service.operation.settings import Settings
from decision_service.warehouse.versions import copy_versions
from tests.support.logged import T0

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
CUSTOMERS = [f"c{i}" for i in range(40)]
POLICY = """
caps:
  - {id: three_a_week, limit: 3, rolling: 7d}
  - {id: two_promos, limit: 2, rolling: 14d, scope: {tag: promo}, counts: delivered}
  - {id: attempts, limit: 9, calendar: month, counts: reserved}
budgets:
  - {id: texts_a_day, limit: 9, per: day, scope: {channel: sms}}
  - {id: money_in_all, money: 8}
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

    def stored(self, recent: list[DecisionRecord]) -> list[object]:
        """States up to their versions and what no cap can count any more, dealings, and levels of budgets at times."""
        ledger, now_ms = bootstrap.open_ledger(self.settings), self.clock.now_ms()
        published = bootstrap.open_policies(self.settings).current()
        found: list[object] = []
        for customer in CUSTOMERS:
            state = ledger.state(customer)
            gone = droppable(state.contacts, published.policy.caps, now_ms)
            lasting = tuple(c for c in state.contacts if c.decision_id not in gone)
            found.append(replace(state, version=0, contacts=lasting))
        for record in recent:
            known = ledger.dealings(record.request.customer_id, record.decision_id)
            found.append((known.reported, known.stopped))
        keys = sorted({t.key for r in self.told.values() if r.reservation for t in r.reservation.tokens})
        for at_ms in (now_ms - 10 * MINUTE, now_ms, now_ms + HOUR, now_ms + 5 * HOUR, now_ms + 9 * DAY):
            found.append(bootstrap.open_budgets(self.settings).begin_levels(keys, at_ms).result())
        return found

    def lose(self) -> None:
        """Redis comes back empty, and the loader looks at it."""
        with redis.Redis.from_url(self.settings.ledger_address) as client:
            client.flushall()
        assert recognise(self.settings, self.installations, self.warehouse).state is LedgerState.REFUSED
