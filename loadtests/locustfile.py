"""Journey runners as Locust users, over gRPC, against a running service:

    locust -f loadtests/locustfile.py --headless -u 20 -r 20 -t 10s -H 127.0.0.1:50051

Each step of a journey decides for a random customer, reports the activation of what was chosen, and sometimes
records an outcome or an event. `--program` picks one of the published programs; by default every one takes its turn.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gevent
import grpc.experimental.gevent as grpc_gevent
from locust import User, between, events, task
from locust.env import Environment
from locust.exception import StopUser

from decision_service.client import Answer, DecisionClient
from decision_service.core.model.errors import NbaError
from decision_service.core.model.record import ActivationStatus, DecideRequest, Event, Outcome
from decision_service.core.model.values import Value, ValueType

grpc_gevent.init_gevent()  # Locust runs users as greenlets of one thread, which a blocking call would stop

P = ParamSpec("P")
T = TypeVar("T")

FAILED_SHARE, SKIPPED_SHARE, OUTCOME_SHARE, EVENT_SHARE, REPEAT_SHARE = 0.03, 0.02, 0.1, 0.2, 0.02


@events.init_command_line_parser.add_listener
def _options(parser: ArgumentParser, **_: object) -> None:
    parser.add_argument("--program", default="", help="Program to decide by; every published one by default.")
    parser.add_argument("--customers", type=int, default=2_000, help="Customers are c00000 to this number.")


@events.init.add_listener
def _begin_now(**_: object) -> None:
    # gevent's clock stood still during the imports above, and the seconds that they took would count as run time.
    gevent.get_hub().loop.update_now()


class JourneyRunner(User):  # type: ignore[misc]  # locust's types are not read here
    """One runner that walks customers through steps, a call after the other."""

    wait_time = between(0, 0.01)
    host = "127.0.0.1:50051"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.client = DecisionClient(self.host, channels=1, deadline_ms=5_000)
        self.random = random.Random()
        self.programs: dict[str, dict[str, str]] = {}

    def on_start(self) -> None:
        """Find the programs, and the context that each declares."""
        self.client.wait_ready(10)
        wanted = self.environment.parsed_options.program
        names = [p.name for p in self.client.list_programs() if wanted in ("", p.name)]
        if not names:
            print(f"no program {wanted!r} is published at {self.host}; use `nba apply FILE`")
            raise StopUser
        for name in names:
            document = json.loads(self.client.get_program(name)[0].document)
            self.programs[name] = document.get("context", {})

    def on_stop(self) -> None:
        """Close the connection."""
        self.client.close()

    @task
    def step(self) -> None:
        """Decide, deliver, report; then what the customer does."""
        customer = f"c{self.random.randrange(self.environment.parsed_options.customers):05d}"
        program = self.random.choice(list(self.programs))
        context = {name: self._value(ValueType(kind)) for name, kind in self.programs[program].items()}
        request = DecideRequest(f"locust-{uuid.uuid4().hex}", customer, (program,), context)
        answer = self._timed("Decide", self.client.decide, request)
        if answer is None:
            return
        if self.random.random() < REPEAT_SHARE:
            self._timed("Decide again", self.client.decide, request)
        if answer.is_contact:
            self._timed("ReportActivation", self.client.report_activation, answer.decision_id, self._delivery())
        self._react(customer, answer)

    def _delivery(self) -> ActivationStatus:
        drawn = self.random.random()
        if drawn < FAILED_SHARE:
            return ActivationStatus.FAILED
        return ActivationStatus.SKIPPED if drawn < FAILED_SHARE + SKIPPED_SHARE else ActivationStatus.SENT

    def _react(self, customer: str, answer: Answer) -> None:
        now_ms = time.time_ns() // 1_000_000
        if self.random.random() < OUTCOME_SHARE:
            outcome = Outcome(
                f"o-{uuid.uuid4().hex}", customer, "purchase", now_ms, now_ms, 20.0, answer.decision_id, answer.channel
            )
            self._timed("RecordOutcomes", self.client.record_outcomes, [outcome])
        if self.random.random() < EVENT_SHARE:
            event = Event(f"e-{uuid.uuid4().hex}", customer, "page_view", now_ms, now_ms)
            self._timed("RecordEvents", self.client.record_events, [event])

    def _value(self, kind: ValueType) -> Value:
        match kind:
            case ValueType.BOOL:
                return self.random.random() < 0.5
            case ValueType.INT:
                return self.random.randrange(20)
            case ValueType.FLOAT:
                return round(self.random.uniform(0, 200), 2)
            case ValueType.STRING:
                return self.random.choice(("home", "basket", "search"))
            case ValueType.STRINGS:
                return ("a", "b")

    def _timed(self, name: str, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call, and tell Locust how long it took or how it failed."""
        report: dict[str, Any] = {"request_type": "grpc", "name": name, "response_length": 0, "context": {}}
        start = time.perf_counter()
        answer, failure = None, None
        try:
            answer = method(*args, **kwargs)
        except NbaError as error:
            failure = error
        events.request.fire(response_time=(time.perf_counter() - start) * 1000, exception=failure, **report)
        return answer
