"""A market of sixty customers, lived through the whole service on a real Redis and loaded into a real lakehouse.

Three programs, alone and against each other; caps, quiet hours, budgets, consent, suppression, pauses; messages sent,
failed, skipped, bounced or never reported; last slots lost in races; versions published on the way.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from decision_service.adapters import vw
from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.adapters.redis.budgets import RedisBudgets
from decision_service.adapters.redis.ledger import RedisLedger
from decision_service.adapters.redis.log import RedisLog
from decision_service.application.policy_store import Audit
from decision_service.application.services import Services
from decision_service.core.choice.encoding import ENCODER_VERSION, encode, label
from decision_service.core.model.program import NO_ACTION_ACTION, Program
from decision_service.core.model.record import (
    ALL_PROGRAMS,
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    Event,
    ModelVersion,
    Outcome,
)
from decision_service.core.model.values import NO_ACTION, Value, ValueType
from decision_service.warehouse.loader import drain
from training.join import join_outcomes

START_MS = 1_774_000_000_000  # a Friday in March 2026; daylight saving begins nine days later
HOUR_MS = 3_600_000
CUSTOMERS = 60
DEADLINE_MS = 5_000
AUDIT = Audit("test", 0)

SALE = """
name: sale
features: {service: customer_v1, exclude_from_model: [email_consent, timezone]}
live_events: [view]
audience: '!("staff" in segments)'
actions:
  - {id: sale_email, channel: email, message: sale, tags: [promotion], cost: 0.002, attributes: {tone: warm}}
  - {id: sale_push, channel: push, message: sale, tags: [promotion], attributes: {tone: short}}
  - {id: sale_sms, channel: sms, message: sale_short, tags: [promotion, urgent], cost: 0.07, eligible: live.view_count_7d >= 3}
caps: [{id: two_sales_a_week, limit: 2, rolling: 7d, scope: {tag: promotion}, counts: reserved}]
budgets:
  - {id: sms_money, money: 0.35, per: day, timezone: Europe/Berlin, scope: {channel: sms}, pace: even}
quiet_hours: [{id: sms_evening, from: "20:00", to: "09:00", channels: [sms], when_quiet: queue}]
groups: {treatment: 70%, random_control: 10%, business_as_usual: 10%, holdout: 10%}
baseline: [{action: sale_email}]
exploration: {kind: epsilon_greedy, epsilon: 0.4, floor: 0.02}
reward: {outcomes: {visit: 1}, aggregation: any, window: 6h}
value: 3
lease: 30m
"""  # noqa: E501
NEWS = """
name: news
features: {service: customer_v1}
actions:
  - {id: digest_email, channel: email, message: digest, tags: [content]}
  - {id: tip_push, channel: push, message: tip, tags: [content]}
caps: [{id: one_digest_a_day, limit: 1, calendar: day, scope: {message: digest}, counts: delivered}]
budgets: [{id: tips, limit: 12, per: day, scope: {action: tip_push}}]
reward: {outcomes: {visit: 1}, aggregation: any, window: 6h}
lease: 15m
"""
SERVICE = """
name: service
features: {service: customer_v1}
learning_mode: apprentice
baseline: [{action: invoice_email, when: 'customer.segment == "x"'}]
actions:
  - {id: invoice_email, channel: email, message: invoice, ignores_caps: all, counts_toward_caps: false}
reward: {outcomes: {visit: 1}, aggregation: any, window: 6h}
lease: 1h
"""
POLICY = """
caps:
  - {id: four_a_week, limit: 4, rolling: 7d}
  - {id: two_a_day, limit: 2, calendar: day}
  - {id: one_sms_at_a_time, gap: 12h, scope: {channel: sms}}
budgets: [{id: mails, limit: 60, per: day, scope: {channel: email}}]
quiet_hours:
  - {id: night, from: "22:00", to: "07:00", channels: [push], when_quiet: discard}
consent: {features: {email: email_consent}, default: allow}
suppress_on: [{outcome: unsubscribe, channels: own}, {outcome: complaint, channels: all, for: 3d}]
pause_on: [{id: dismissed, outcome: dismiss, count: 2, within: 3d, for: 2d, pauses: tag}]
arbitration: {exploration: {kind: softmax, temperature: 0.5, floor: 0.05}, due_within: 12h}
holdout: {share: 3%}
timezone_feature: timezone
"""
FEATURES = {
    "segment": ValueType.STRING,
    "segments": ValueType.STRINGS,
    "age": ValueType.INT,
    "email_consent": ValueType.BOOL,
    "timezone": ValueType.STRING,
}
INPUTS = ("age", "segment")


class Market:
    """Everything wired; `live` passes time in it."""

    def __init__(self, redis_url: str, folder: Path, seed: int = 5) -> None:
        self.clock = ManualClock(START_MS)
        self.policies = MemoryPolicies()
        self.catalogue = MemoryCatalogue()
        self.warehouse = Lakehouse(folder / "warehouse")
        self.rules = CelRules()
        self._source = random.Random(seed)
        self._features = MemoryFeatures()
        self._ledger = RedisLedger(redis_url, 4, DEADLINE_MS, 30 * 86_400)
        self._log = RedisLog(redis_url, 4, DEADLINE_MS)
        self._budgets = RedisBudgets(redis_url, DEADLINE_MS, 30 * 86_400)
        self._rival: Callable[[], None] | None = None
        self._waiting: list[tuple[int, Callable[[], object]]] = []
        self._number = 0
        self._services = Services.over(
            policies=self.policies,
            features=self._features,
            ledger=self._ledger,
            budgets=self._budgets,
            catalogue=self.catalogue,
            rules=self.rules,
            clock=self.clock,
            draw=self._draw,
        )
        self._define_customers()
        self.policies.publish_policy(POLICY, AUDIT)
        for document in (SALE, NEWS, SERVICE):
            self.policies.publish_program(document, AUDIT)

    def _define_customers(self) -> None:
        source = self._source
        self._features.define("customer_v1", MemoryView("profile", FEATURES, ttl_s=20 * 86_400))
        for i in range(CUSTOMERS):
            values: dict[str, Value | None] = {
                "segment": "xy"[i % 2],
                "segments": tuple(s for s in ("vip", "staff", "new") if source.random() < 0.2),
                "age": source.choice([None, source.randint(18, 80)]),
                "email_consent": source.choice([True, True, True, False, None]),
                "timezone": source.choice(["Europe/Berlin", "America/New_York", "Asia/Tokyo", None]),
            }
            if i % 20:  # one in twenty is unknown to the store
                self._features.put("profile", f"c{i}", values, START_MS - HOUR_MS)

    def _draw(self, _: DecideRequest) -> float:
        """Between reading the customer's state and committing: where a rival gets in."""
        rival, self._rival = self._rival, None
        if rival is not None:
            rival()
        return self._source.random()

    def live(self, decisions: int, pause_s: float = 300.0) -> None:
        """So many decisions, `pause_s` apart on average, with all that becomes of them; then load."""
        for _ in range(decisions):
            self.clock.advance(self._source.expovariate(1 / pause_s))
            self._happen()
            customer = f"c{self._source.randrange(CUSTOMERS)}"
            if self._source.random() < 0.3:
                self._number += 1
                at_ms = self.clock.now_ms()
                view = Event(f"e{self._number}", customer, "view", at_ms, at_ms)
                self._services.feedback.record_events([view])
            if self._source.random() < 0.15:
                self._rival = lambda customer=customer: self._decide(customer)  # type: ignore[misc]
            self._decide(customer)
        self.load()

    def _decide(self, customer: str) -> None:
        programs = self._source.choice(
            [("sale",), ("sale",), ("news",), ("service",), ("sale", "news"), (ALL_PROGRAMS,)]
        )
        channels = () if programs != ("sale",) or self._source.random() < 0.8 else ("email", "sms")
        self._number += 1
        request = DecideRequest(f"r{self._number}", customer, programs, {"page": "home"}, channels)
        self._become(self._services.decisions.decide(request).record)

    def _become(self, record: DecisionRecord) -> None:
        """What the runner does with it, and the customer: some of it later."""
        source, at_ms, feedback = self._source, self.clock.now_ms(), self._services.feedback
        planned_ms = (record.reservation.send_at_ms if record.reservation else None) or at_ms
        sent_ms = planned_ms + source.randint(0, 600_000)

        def report(status: ActivationStatus, due_ms: int) -> None:
            self._waiting.append((due_ms, lambda: feedback.report_activation(record.decision_id, status)))

        fate = source.random()
        if record.chosen != NO_ACTION and fate < 0.9:
            status = (
                ActivationStatus.SENT
                if fate < 0.7
                else source.choice([ActivationStatus.FAILED, ActivationStatus.SKIPPED, ActivationStatus.BOUNCED])
            )
            report(status, sent_ms)
            if status is ActivationStatus.SENT and fate < 0.2:
                report(source.choice([ActivationStatus.DELIVERED, ActivationStatus.BOUNCED]), sent_ms + 60_000)
        likes = {"email": 0.5, "push": 0.2, "sms": 0.3, "": 0.1}[record.channel]
        kinds = [("visit", likes)]
        kinds += [("unsubscribe", 0.04), ("complaint", 0.02), ("dismiss", 0.3)] if record.is_contact else []
        for kind, chance in kinds:
            if source.random() < chance:
                due_ms = sent_ms + source.randint(1, HOUR_MS)
                self._waiting.append((due_ms, lambda kind=kind, due_ms=due_ms: self._outcome(record, kind, due_ms)))  # type: ignore[misc]

    def _outcome(self, record: DecisionRecord, name: str, at_ms: int) -> None:
        outcome = Outcome(
            f"{name}-{record.decision_id}",
            record.request.customer_id,
            name,
            at_ms,
            at_ms,
            decision_id=record.decision_id,
            channel=record.channel,
        )
        self._services.feedback.record_outcomes([outcome])

    def _happen(self) -> None:
        now_ms = self.clock.now_ms()
        due = [act for at_ms, act in self._waiting if at_ms <= now_ms]
        self._waiting = [(at_ms, act) for at_ms, act in self._waiting if at_ms > now_ms]
        for act in due:
            act()

    def pass_time(self, seconds: float) -> None:
        """Nobody is decided for, but what is due happens and is loaded."""
        self.clock.advance(seconds)
        self._happen()
        self.load()

    def load(self) -> None:
        """Log → lakehouse → rewards."""
        drain(self._log, self.warehouse, self.clock.now_ms, 5_000)
        join_outcomes(self.warehouse, self.policies.current().programs, self.clock.now_ms())

    def promote(self, program: str, version: str) -> None:
        """Serve a model that learned what each segment likes, from this decision on."""
        self.catalogue.promote(program, fitted(self.policies.current().programs[program], version))
        self.catalogue.refresh(self.policies.current().programs)

    def close(self) -> None:
        """Close connections."""
        for part in (self._ledger, self._log, self._budgets):
            part.close()


def fitted(program: Program, version: str) -> vw.VwScorer:
    """Segment x likes a program's first action, segment y its last."""
    source = random.Random(int(version))
    actions = [*program.actions, NO_ACTION_ACTION]
    texts = []
    for _ in range(400):
        shared: dict[str, Value | None] = {"age": source.randint(18, 80), "segment": source.choice("xy")}
        chosen = source.randrange(len(actions))
        liked = 0 if shared["segment"] == "x" else len(program.actions) - 1
        texts.append(label(encode(INPUTS, shared, actions), chosen, -float(chosen == liked), 1 / len(actions)))
    model = vw.serving_copy(vw.fit(texts, "-q UA -l 0.5", seed=1))
    name = ModelVersion(f"nba-{program.name}", version, ENCODER_VERSION)
    return vw.VwScorer.of(model, name, "customer_v1", INPUTS)
