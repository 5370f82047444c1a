"""Many clients on few customers under tight caps, on a real stack, with processes killed midway."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from decision_service.core.model.errors import NbaError
from decision_service.core.model.record import ActivationStatus, DecideRequest
from decision_service.operation.sandbox import Sandbox

START_MS = 1_790_000_000_000
SIMULATED_MS = 3 * 3_600_000
MARGIN_MS = 15 * 60_000

PROGRAM = """
name: race
features: {service: customer_v1}
actions:
  - {id: mail, channel: email, message: hello, tags: [promo]}
  - {id: mail_two, channel: email, message: again}
  - {id: text, channel: sms, message: hello, tags: [promo]}
  - {id: push, channel: push, message: hello}
reward: {outcomes: {visit: 1}, window: 1h}
lease: 30m
caps:
  - {id: program_four_in_two_hours, limit: 4, rolling: 2h, scope: {program: this}}
"""
POLICY = """
caps:
  - {id: three_an_hour, limit: 3, rolling: 1h}
  - {id: eight_a_day, limit: 8, calendar: day}
  - {id: one_mail_in_thirty_minutes, limit: 1, rolling: 30m, scope: {channel: email}}
  - {id: two_promos_an_hour, limit: 2, rolling: 1h, scope: {tag: promo}}
  - {id: hello_five_a_week, limit: 25, calendar: week, scope: {message: hello}}
"""


@dataclass(slots=True)
class Race:
    """What the clients were told, and how many calls failed even after retries."""

    acknowledged: set[str] = field(default_factory=set)
    contacts: int = 0
    late: int = 0
    failed: int = 0


def prepare(sandbox: Sandbox, customers: int) -> None:
    """Customers in the warehouse, features served, program and policy published."""
    ids = [f"customer-{i}" for i in range(customers)]
    times = pa.array([START_MS * 1000] * customers, pa.timestamp("us", tz="UTC"))
    sandbox.warehouse.replace(
        "customers",
        pa.table(
            {
                "customer_id": ids,
                "country": ["DE"] * customers,
                "timezone": [("Europe/Berlin", "America/New_York", "Asia/Kolkata")[i % 3] for i in range(customers)],
                "signup_at": times,
                "loyalty_tier": ["gold"] * customers,
                "email_consent": [True] * customers,
                "sms_consent": [True] * customers,
                "push_consent": [True] * customers,
                "updated_at": times,
            }
        ),
    )
    sandbox.build_features()
    sandbox.start()
    sandbox.client.apply_contact_policy(POLICY, "test")
    sandbox.client.apply_program(PROGRAM, "test")
    sandbox.await_programs(["race"])


def run(
    sandbox: Sandbox, *, decides: int, clients: int, customers: int, midway: Callable[[], None] = lambda: None
) -> Race:
    """`clients` threads make `decides` decisions while SIMULATED_MS pass; `midway` is called after half of them.

    They send within the lease, or not at all, as runners must.
    """
    race, lock = Race(), threading.Lock()
    remaining = iter(range(decides))
    halfway = threading.Event()

    def client(number: int) -> None:
        dice = random.Random(number)
        while True:
            with lock:
                turn = next(remaining, None)
            if turn is None:
                return
            sandbox.clock.set(START_MS + turn * SIMULATED_MS // decides)
            if turn == decides // 2:
                halfway.set()
            customer = f"customer-{dice.randrange(customers)}"
            try:
                answer = sandbox.client.decide(DecideRequest(f"r{turn}", customer, ("race",)))
                with lock:
                    race.acknowledged.add(answer.decision_id)
                    race.contacts += answer.is_contact
                if answer.lease_expires_at_ms is not None:
                    # Simulated minutes pass in real milliseconds: time for the report is left within the lease.
                    in_time = sandbox.clock.now_ms() <= answer.lease_expires_at_ms - MARGIN_MS
                    status = ActivationStatus.SENT if in_time else ActivationStatus.SKIPPED
                    if dice.random() < 0.1:
                        status = ActivationStatus.FAILED
                    late = sandbox.client.report_activation(answer.decision_id, status).late
                    with lock:
                        race.late += late
            except NbaError:
                with lock:
                    race.failed += 1

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    while not halfway.wait(0.05) and any(t.is_alive() for t in threads):
        pass
    midway()
    for thread in threads:
        thread.join()
    return race


def wait_for_restart(sandbox: Sandbox, before: int, timeout_s: float = 30.0) -> None:
    """Until the supervisor has replaced what was killed."""
    deadline = time.monotonic() + timeout_s
    while sandbox.stack.restarts() <= before and time.monotonic() < deadline:
        time.sleep(0.05)
