"""Four programs, every kind of guardrail, many clients on few customers, and a runner whose deliveries often fail.

Simulated hours pass in real seconds, so a client leaves the better part of each lease to the report's way.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa

from decision_service.core.model.errors import NbaError, Unavailable
from decision_service.core.model.record import ALL_PROGRAMS, ActivationStatus, DecideRequest, Outcome
from decision_service.core.model.sending import Verdict
from decision_service.operation.sandbox import Sandbox

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
START_MS = round(datetime(2026, 10, 24, 20, tzinfo=UTC).timestamp() * 1000)  # five hours before Berlin's clocks go back
MARGIN_MS = 40 * MINUTE_MS
LEASE = "1h"
PATIENCE_S = 120.0
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")
CHANNELS = ("email", "sms", "push")

Answer = TypeVar("Answer")

POLICY = """
caps:
  - {{id: twenty_minutes_apart, gap: 20m}}
  - {{id: three_an_hour, limit: 3, rolling: 1h, counts: reserved}}
  - {{id: one_a_clock_hour, limit: 1, calendar: hour, scope: {{channel: push}}}}
  - {{id: some_a_day, limit: {a_day}, calendar: day}}
  - {{id: two_promos_in_two_hours, limit: 2, rolling: 2h, scope: {{tag: promo}}, counts: delivered}}
  - {{id: few_hellos_a_week, limit: {hellos}, calendar: week, week_starts: sunday, scope: {{message: hello}}}}
budgets:
  - {{id: texts_an_hour, limit: 18, per: hour, timezone: Asia/Kolkata, scope: {{channel: sms}}}}
  - {{id: money_an_hour, money: 9, per: hour}}
  - {{id: money_in_all, money: {money}}}
quiet_hours:
  - {{id: early_texts, from: "06:00", to: "07:00", channels: [sms], when_quiet: discard}}
  - {{id: dinner, from: "18:00", to: "19:00", channels: [sms], when_quiet: discard}}
  - {{id: late_mail, from: "23:00", to: "23:45", channels: [email], when_quiet: queue}}
  - {{id: deep_night, from: "02:00", to: "03:00", channels: [push], when_quiet: queue}}
consent:
  features: {{email: email_consent}}
suppress_on:
  - {{outcome: unsubscribe, for: 2h}}
  - {{outcome: complaint, channels: all, for: 1h}}
pause_on:
  - {{id: dismissed, outcome: dismiss, count: 2, within: 3h, for: 1h, pauses: channel}}
holdout: {{share: 5%, salt: everyone}}
"""

PROGRAM = """
name: {name}
features: {{service: customer_v1}}
actions:
  - {{id: mail, channel: email, message: hello, tags: [promo], cost: 0.05}}
  - {{id: text, channel: sms, message: {name}_text, cost: 0.3}}
  - {{id: push, channel: push, message: hello, cost: 0.01}}
  - {{id: receipt, channel: email, message: {name}_receipt, cost: 0.01, {receipt}}}
reward: {{outcomes: {{visit: 1}}, window: 1h}}
lease: {lease}
groups: {{treatment: 60%, random_control: 30%, holdout: 10%}}
caps:
  - {{id: {name}_two_in_three_hours, limit: 2, rolling: 3h, scope: {{program: this}}}}
budgets:
  - {{id: {name}_in_all, {budget}}}
"""


@dataclass(slots=True)
class Run:
    """What the clients were told and did, and which calls failed even after retries."""

    acknowledged: list[str] = field(default_factory=list)
    reports: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    contradicted: int = 0
    outcomes: int = 0
    late: int = 0
    failures: list[str] = field(default_factory=list)


class Pause:
    """Lets clients act side by side, and somebody else while none of them does."""

    def __init__(self) -> None:
        self._changed, self._acting, self._is_over = threading.Condition(), 0, True

    @contextmanager
    def acting(self) -> Iterator[None]:
        """As a client: once nobody wants to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over)
            self._acting += 1
        try:
            yield
        finally:
            with self._changed:
                self._acting -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Once every client has finished what it is at."""
        with self._changed:
            self._is_over = False
            self._changed.wait_for(lambda: self._acting == 0)
        try:
            yield
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()


def simulated_hours(decides: int) -> int:
    """Six for up to 20,000 decisions, then in proportion: time must not run faster than reports can follow."""
    return max(6, decides * 6 // 20_000)


def documents(hours: int) -> tuple[str, list[str]]:
    """The contact policy and the four programs, with budgets in total that so many hours use up."""
    receipts = {
        "autumn": "ignores_caps: [twenty_minutes_apart]",
        "winter": "counts_toward_caps: false",
        "spring": "ignores_caps: [three_an_hour, some_a_day]",
        "summer": "tags: [promo]",
    }
    budgets = {
        "autumn": f"limit: {20 * hours}",
        "winter": f"money: {hours}",
        "spring": "limit: 25, per: hour, timezone: America/New_York",
        "summer": "limit: 1000000",
    }
    programs = [
        PROGRAM.format(name=name, receipt=receipts[name], budget=budgets[name], lease=LEASE) for name in receipts
    ]
    return POLICY.format(money=6 * hours, a_day=hours // 2 + 2, hellos=hours // 4 + 2), programs


def prepare(sandbox: Sandbox, customers: int, decides: int) -> None:
    """Customers in three zones, some without consent to mail, some suppressed; features served, all published."""
    times = pa.array([START_MS * 1000] * customers, pa.timestamp("us", tz="UTC"))
    sandbox.warehouse.replace(
        "customers",
        pa.table(
            {
                "customer_id": [_customer(i) for i in range(customers)],
                "country": ["DE"] * customers,
                "timezone": [ZONES[i % 3] for i in range(customers)],
                "signup_at": times,
                "loyalty_tier": ["gold"] * customers,
                "email_consent": [i % 10 != 0 for i in range(customers)],
                "sms_consent": [True] * customers,
                "push_consent": [True] * customers,
                "updated_at": times,
            }
        ),
    )
    sandbox.build_features()
    sandbox.start()
    policy, programs = documents(simulated_hours(decides))
    sandbox.client.apply_contact_policy(policy, "test")
    sandbox.await_programs([sandbox.client.apply_program(program, "test")[0] for program in programs])
    for i in range(0, customers, 25):
        sandbox.client.suppress(_customer(i), "sms")


def _customer(number: int) -> str:
    return f"customer-{number}"


def run(
    sandbox: Sandbox, *, decides: int, clients: int, customers: int, happens: Mapping[float, Callable[[Pause], object]]
) -> Run:
    """`clients` threads make `decides` decisions between them; at shares of these, in [0, 1), something `happens`."""
    result, lock, pause = Run(), threading.Lock(), Pause()
    at_turn = {round(share * decides): event for share, event in happens.items()}
    turns = iter(range(decides))
    simulated_ms = simulated_hours(decides) * HOUR_MS

    def client(number: int) -> None:
        runner = _Runner(sandbox, result, lock, random.Random(number), customers)
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            if event := at_turn.get(turn):
                event(pause)
            sandbox.clock.set(START_MS + turn * simulated_ms // decides)
            with pause.acting():
                runner.act(turn)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result


@dataclass(frozen=True, slots=True, order=True)
class _Message:
    due_ms: int
    decision_id: str
    lease_ms: int


@dataclass(slots=True)
class _Runner:
    """One client. It sends some messages at once and others a while later, within their leases, or says that it did
    not."""

    sandbox: Sandbox
    run: Run
    lock: threading.Lock
    dice: random.Random
    customers: int
    waiting: list[_Message] = field(default_factory=list)

    def act(self, turn: int) -> None:
        """One decision; before it, what is due."""
        try:
            while self.waiting and self.waiting[0].due_ms <= self.sandbox.clock.now_ms():
                self._settle(heapq.heappop(self.waiting))
            customer = _customer(self.dice.randrange(self.customers))
            self._respond(turn, customer)
            self._decide(turn, customer)
        except NbaError as error:
            with self.lock:
                self.run.failures.append(str(error))

    def _decide(self, turn: int, customer: str) -> None:
        names = ["autumn", "spring", "summer", "winter"]
        asked = self.dice.choice(
            [tuple(self.dice.sample(names, 1)), tuple(self.dice.sample(names, 2)), (ALL_PROGRAMS,)]
        )
        request = DecideRequest(f"r{turn}", customer, asked)
        answer = _insist(lambda: self.sandbox.client.decide(request))
        with self.lock:
            self.run.acknowledged.append(answer.decision_id)
        if not answer.is_contact or answer.lease_expires_at_ms is None:
            return
        wait_ms = self.dice.choice([0, 0, self.dice.randrange(15 * MINUTE_MS)])
        due_ms = (answer.send_at_ms or self.sandbox.clock.now_ms()) + wait_ms
        heapq.heappush(self.waiting, _Message(due_ms, answer.decision_id, answer.lease_expires_at_ms))

    def _settle(self, message: _Message) -> None:
        fate = self.dice.random()
        if self.sandbox.clock.now_ms() > message.lease_ms - MARGIN_MS or fate < 0.04:
            self._report(message, ActivationStatus.SKIPPED)
        elif fate < 0.10:
            self._report(message, ActivationStatus.FAILED)
        elif fate < 0.14:
            return  # never reported: the lease lapses
        elif self.dice.random() < 0.9 and not self._may_send(message):
            return
        elif fate < 0.16:
            self._report(message, ActivationStatus.FAILED)
            self._report(message, ActivationStatus.DELIVERED)  # it had gone out all the same
        elif fate < 0.19:
            self._report(message, ActivationStatus.DELIVERED)
        else:
            self._report(message, ActivationStatus.SENT)
            if fate < 0.3:
                self._report(message, ActivationStatus.DELIVERED)
            elif fate < 0.36:
                self._report(message, ActivationStatus.BOUNCED)

    def _may_send(self, message: _Message) -> bool:
        """Ask just before sending, as nine of ten times it is done here; what must wait is asked about again."""
        said = _insist(lambda: self.sandbox.client.confirm_send(message.decision_id))
        with self.lock:
            self.run.verdicts[said.verdict] = self.run.verdicts.get(said.verdict, 0) + 1
        if said.verdict is Verdict.WAIT and said.until_ms is not None:
            heapq.heappush(self.waiting, _Message(said.until_ms, message.decision_id, message.lease_ms))
        return said.is_go

    def _report(self, message: _Message, status: ActivationStatus) -> None:
        result = _insist(lambda: self.sandbox.client.report_activation(message.decision_id, status))
        with self.lock:
            self.run.reports[status] = self.run.reports.get(status, 0) + 1
            self.run.contradicted += result.contradicts is not None
            self.run.late += result.late and status is ActivationStatus.SENT

    def _respond(self, turn: int, customer: str) -> None:
        name = self.dice.choices(["", "unsubscribe", "complaint", "dismiss", "by hand"], [95.5, 1, 0.5, 2.5, 0.5])[0]
        if not name:
            return
        if name == "by hand":
            channel = self.dice.choice(CHANNELS)
            if not self.sandbox.client.unsuppress(customer, channel, "test"):
                self.sandbox.client.suppress(customer, channel, None, "asked by phone", "test")
            return
        now_ms = self.sandbox.clock.now_ms()
        outcome = Outcome(f"o{turn}", customer, name, now_ms, now_ms, channel=self.dice.choice(CHANNELS))
        _insist(lambda: self.sandbox.client.record_outcomes([outcome]))
        with self.lock:
            self.run.outcomes += 1


def _insist(call: Callable[[], Answer]) -> Answer:
    """As a runner does while a part is down: the same call, with the same ids, until there is an answer."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
