"""The journey runner: walks customers through their steps by real gRPC calls, delivers, and reports what happens."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from decision_service.adapters.clocks import FileClock
from decision_service.client import Answer, DecisionClient
from decision_service.core.model.errors import NbaError
from decision_service.core.model.record import ActivationStatus, DecideRequest, Event, Outcome
from decision_service.core.model.values import NO_ACTION
from decision_service.demo.journeys import Due, Journeys
from decision_service.demo.response import Truth, react
from decision_service.demo.retailer import DISSATISFIED, ZONES, Retailer, Ticket

MORNING_HOUR = 6
MOMENTS: dict[int, frozenset[str]] = {
    8: frozenset({"GB", "DE", "JP"}),
    13: frozenset({"GB", "DE", "US", "BR"}),
    18: frozenset({"GB", "US", "BR"}),
}
"""UTC hour of a run → the countries that it suits."""
ILL_TIMED = 12
"""One customer of so many is asked about at whatever hour, day or night."""
FAILURE = {"email": ActivationStatus.BOUNCED, "sms": ActivationStatus.FAILED, "push": ActivationStatus.FAILED}
"""What comes back of a message that does not arrive: mail bounces, a phone is not reached at all."""
BATCH = 12
THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, order=True)
class _Send:
    """A delivery to report at a time."""

    at_ms: int
    decision_id: str
    channel: str
    delivered: bool


@dataclass(frozen=True, slots=True, order=True)
class _Happens:
    """Something that a customer does at a time: `purchase` or `unsubscribe`."""

    at_ms: int
    decision_id: str
    name: str
    customer: int
    channel: str


_Steps = tuple[Due, ...]
"""What one customer is due for at one moment: one request, in which the programs compete."""


@dataclass(slots=True)
class JourneyRunner:
    """Owns the clock of the simulation and moves it forward from one thing to the next.

    acknowledged: ids of the decisions that the service answered with. truths: what the response model knew then.
    """

    client: DecisionClient
    clock: FileClock
    retailer: Retailer
    journeys: Journeys = field(default_factory=Journeys)
    acknowledged: list[str] = field(default_factory=list)
    truths: dict[str, Truth] = field(default_factory=dict)
    _sends: list[_Send] = field(default_factory=list)
    _happens: list[_Happens] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "runner"))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def live_day(self, day: int) -> None:
        """One day: mornings of browsing, the decisions of each run, deliveries, outcomes; then life without contact."""
        due = self.journeys.due(self.retailer, day)
        self.pass_until(self.retailer.config.at(day + MORNING_HOUR / 24))
        self._browse([d.customer for d in due if d.program == "cross_sell"], day)
        for hour in MOMENTS:
            self.pass_until(self.retailer.config.at(day + hour / 24))
            self._decide([d for d in due if self._hour(d.customer) == hour], day)
        self.pass_until(self.retailer.config.at(day + 1))
        before = len(self.retailer.tickets)
        self.retailer.live_through(day)
        self._complain(self.retailer.tickets[before:])

    def pass_until(self, at_ms: int) -> None:
        """Let time pass, with everything that is to happen by then, in its order."""
        while self._sends and self._sends[0].at_ms <= at_ms:
            moment = self._sends[0].at_ms
            self._record_outcomes(moment)
            self.clock.set(max(moment, self.clock.now_ms()))
            self._report([heapq.heappop(self._sends) for _ in range(sum(s.at_ms == moment for s in self._sends))])
        self._record_outcomes(at_ms)
        self.clock.set(at_ms)

    def _hour(self, customer: int) -> int:
        hours = list(MOMENTS)
        if customer % ILL_TIMED == 0:
            return hours[customer // ILL_TIMED % len(hours)]
        suited = [hour for hour in hours if self.retailer.country[customer] in MOMENTS[hour]]
        return suited[customer % len(suited)]

    def _browse(self, customers: Iterable[int], day: int) -> None:
        now_ms = self.clock.now_ms()
        events = [
            Event(f"view-{day}", self.retailer.customer_id(customer), "product_view", now_ms, now_ms)
            for customer in customers
            if self.retailer.browses(customer, day)
        ]
        if events:
            self.client.record_events(events)

    def _complain(self, tickets: Iterable[Ticket]) -> None:
        """At night the help desk reports the complaints of the day."""
        now_ms = self.clock.now_ms()
        complaints = [
            Outcome(
                f"complaint-{ticket.ticket_id}",
                self.retailer.customer_id(ticket.customer),
                "complaint",
                occurred_at_ms=ticket.at_ms,
                received_at_ms=now_ms,
            )
            for ticket in tickets
            if ticket.satisfaction <= DISSATISFIED
        ]
        if complaints:
            self.client.record_outcomes(complaints)

    def _decide(self, due: Sequence[Due], day: int) -> None:
        """In several threads at once, so that decisions for one customer may meet."""
        by_customer: dict[int, _Steps] = {}
        for d in due:
            by_customer[d.customer] = (*by_customer.get(d.customer, ()), d)
        asked = list(by_customer.values())
        requests = [self._request(steps) for steps in asked]
        batches = [requests[i : i + BATCH] for i in range(0, len(requests), BATCH)]
        answers = [answer for batch in self._at_once(self.client.decide_batch, batches) for answer in batch]
        sends = []
        for steps, answer in zip(asked, answers, strict=True):
            if isinstance(answer, NbaError):
                raise answer
            sends.append(self._take(next(d for d in steps if d.program == answer.program), answer, day))
        self._report([send for send in sends if send is not None])

    def _request(self, steps: _Steps) -> DecideRequest:
        retailer, i = self.retailer, steps[0].customer
        programs = tuple(d.program for d in steps)
        context: dict[str, bool | str] = {}
        if "welcome" in programs:
            context = {
                "signup_source": retailer.source[i],
                "country": retailer.country[i],
                "timezone": ZONES[retailer.country[i]],
                **{f"{channel}_consent": bool(given[i]) for channel, given in retailer.consents.items()},
            }
        request_id = "+".join(d.request_id for d in steps)
        return DecideRequest(request_id, retailer.customer_id(i), programs, context)

    def _take(self, due: Due, answer: Answer, day: int) -> _Send | None:
        """Note the answer, and what it will lead to; the delivery if it is for now."""
        truth = self.retailer.truth(due.customer, day)
        self.acknowledged.append(answer.decision_id)
        self.truths[answer.decision_id] = truth
        seed = (self.retailer.config.seed, due.customer, zlib.crc32(due.request_id.encode()))
        reaction = react(due.program, answer.action, answer.channel, truth, seed)
        sent_ms = answer.send_at_ms or answer.decided_at_ms
        for name, after_s in (("purchase", reaction.bought_after_s), ("unsubscribe", reaction.unsubscribed_after_s)):
            if after_s is not None:
                at_ms = sent_ms + round(after_s * 1000)
                heapq.heappush(self._happens, _Happens(at_ms, answer.decision_id, name, due.customer, answer.channel))
        if answer.action == NO_ACTION:
            return None
        send = _Send(sent_ms, answer.decision_id, answer.channel, reaction.delivered)
        if sent_ms <= self.clock.now_ms():
            return send
        heapq.heappush(self._sends, send)
        return None

    def _report(self, sends: Sequence[_Send]) -> None:
        """Ask whether each still may go out, send it, and say what became of it."""

        def send(one: _Send) -> str | None:
            if not self.client.confirm_send(one.decision_id).is_go:
                return one.decision_id
            status = ActivationStatus.SENT if one.delivered else FAILURE[one.channel]
            self.client.report_activation(one.decision_id, status, one.at_ms)
            return None

        stopped = {decision_id for decision_id in self._at_once(send, sends) if decision_id is not None}
        if stopped:
            # Nobody got these messages, so nobody reacts to them.
            self._happens = [what for what in self._happens if what.decision_id not in stopped]
            heapq.heapify(self._happens)

    def _record_outcomes(self, until_ms: int) -> None:
        """Report what customers did up to a time; a purchase is also an order of the shop."""
        outcomes: list[tuple[_Happens, Outcome]] = []
        while self._happens and self._happens[0].at_ms <= until_ms:
            what = heapq.heappop(self._happens)
            value = 1.0
            if what.name == "purchase":
                value = self.retailer.order(what.customer, what.at_ms).amount
            outcomes.append((what, self._outcome(what, value)))
        if outcomes:
            self.clock.set(max(self.clock.now_ms(), outcomes[-1][0].at_ms))
            self.client.record_outcomes(outcome for _, outcome in outcomes)

    def _outcome(self, what: _Happens, value: float) -> Outcome:
        return Outcome(
            outcome_id=f"{what.name}-{what.decision_id}",
            customer_id=self.retailer.customer_id(what.customer),
            name=what.name,
            occurred_at_ms=what.at_ms,
            received_at_ms=what.at_ms,
            value=value,
            decision_id=what.decision_id,
            channel=what.channel,
        )

    def _at_once(self, call: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return list(self._pool.map(call, items))
