"""Random histories of deciding, sending, reporting, suppressing and publishing, against a small model.

At every decision the service must keep exactly the actions that the model keeps, for the reasons that it gives, also
when the customer's state moves between reading and committing. And what was sent must be within every cap, budget and
quiet hour that it was decided under.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.application.feedback import Receipt
from decision_service.application.policy_store import Audit
from decision_service.application.services import Services
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecideRequest, DecisionRecord, Outcome
from decision_service.core.model.values import NO_ACTION, ValueType
from tests.state.agreement import compare
from tests.state.calendars import DAY, HOUR, MINUTE, STARTS
from tests.state.forms import Forms
from tests.state.model import GRACE, Customer, Document, Fits, Key, Model, Objection, Sending
from tests.state.published import CUSTOMERS, SERVICE, asked, channels, customers, draws, policies, programs
from tests.state.truth import overspent, violations

AUDIT = Audit("test", 0)
TOLERANCE = 60_000
GAPS = [1_000, 5 * MINUTE, 20 * MINUTE, 40 * MINUTE, 3 * HOUR, 11 * HOUR, 9 * DAY]
FATES = ["SENT", "SENT", "DELIVERED", "BOUNCED", "FAILED", "ignored", ""]


class Histories(RuleBasedStateMachine):
    """One history. Every rule is a step; `Model` says what must follow."""

    forms: ClassVar[Forms]

    def __init__(self) -> None:
        super().__init__()
        ledger, self.budgets, self.close = self.forms.open()
        self.ledger, self.clock = ledger, ManualClock(0)
        self.policies, self.features = MemoryPolicies(), MemoryFeatures()
        self.features.define(SERVICE, MemoryView("v", {"timezone": ValueType.STRING, "email_ok": ValueType.BOOL}))
        for customer in CUSTOMERS.values():
            self.features.put("v", customer.id, {"timezone": customer.timezone, "email_ok": customer.email_ok}, 0)
        self.between: Callable[[], None] | None = None
        self.draw = 0.0
        self.services = Services.over(
            policies=self.policies,
            features=self.features,
            ledger=ledger,
            budgets=self.budgets,
            catalogue=MemoryCatalogue(),
            rules=CelRules(),
            clock=self.clock,
            draw=self._draw,
        )
        self.requests: list[tuple[DecideRequest, str]] = []
        self.keys: dict[Key, str] = {}
        self.outcomes = 0
        self.touched = next(iter(CUSTOMERS.values()))

    def _draw(self, _: DecideRequest) -> float:
        """The service draws between reading and committing: whatever else happens then comes here."""
        between, self.between, draw = self.between, None, self.draw
        if between is not None:
            between()
        return draw

    def teardown(self) -> None:
        self.close()

    @initialize(
        start=st.sampled_from(STARTS),
        policy=policies(),
        alpha=programs("alpha"),
        beta=programs("beta"),
        customer=customers,
        draw=draws,
    )
    def begin(
        self, start: int, policy: Document, alpha: Document, beta: Document, customer: Customer, draw: float
    ) -> None:
        """Publish everything, and decide for the first time."""
        self.model = Model(start, CUSTOMERS, policy, {"alpha": alpha, "beta": beta}, start)
        self.clock.set(start)
        self.policies.publish_policy(json.dumps(policy), AUDIT)
        for program in (alpha, beta):
            self.policies.publish_program(json.dumps(program), AUDIT)
        self.walk_through_a_journey(customer, ("alpha",), [(draw, "SENT")], MINUTE)

    # ── Deciding ──────────────────────────────────────────────────────────────────────────────────────────

    @rule(customer=customers, names=asked, draw=draws)
    def decide(self, customer: Customer, names: tuple[str, ...], draw: float) -> None:
        self._decide(customer, names, draw, None)

    @rule(
        customer=customers,
        names=asked,
        chosen=st.lists(st.tuples(draws, st.sampled_from(FATES)), min_size=2, max_size=5),
        gap=st.sampled_from(GAPS),
    )
    def walk_through_a_journey(
        self, customer: Customer, names: tuple[str, ...], chosen: list[tuple[float, str]], gap: int
    ) -> None:
        """One decision after the other for one customer, each sent at once where it may be, more or less happily."""
        for draw, fate in chosen:
            before = len(self.model.sendings)
            self._decide(customer, names, draw, None)
            for sending in self.model.sendings[before:]:
                if sending.fits.from_ms == self.model.now_ms and fate:
                    self._report(sending, "SENT" if fate == "ignored" else fate, self.model.now_ms)
                    if fate == "ignored":
                        self._outcome(customer, fate, "", self.model.now_ms, sending)
            self._move(self.model.now_ms + gap)

    @rule(
        customer=customers,
        other=customers,
        names=asked,
        draw=draws,
        what=st.sampled_from(["decide", "decide", "everybody", "suppress", "fail", "complain"]),
    )
    def decide_in_a_race(
        self, customer: Customer, other: Customer, names: tuple[str, ...], draw: float, what: str
    ) -> None:
        """Something else happens between reading the customer's state and committing."""

        def happens() -> None:
            if what in ("decide", "everybody"):
                for one in CUSTOMERS.values() if what == "everybody" else [other]:
                    self._decide(one, names, draw, None)
            elif what == "suppress":
                self._suppress(customer, "email", None)
            elif what == "fail":
                held = [s for s in self.model.sendings if s.customer is customer and s.status == "RESERVED"]
                for sending in held[-1:]:
                    self._report(sending, "FAILED", self.model.now_ms)
            else:
                self._outcome(customer, "complaint", "", self.model.now_ms, None)

        self._decide(customer, names, draw, happens)

    def _decide(
        self, customer: Customer, names: tuple[str, ...], draw: float, happens: Callable[[], None] | None
    ) -> None:
        request = DecideRequest(f"r{len(self.requests)}", customer.id, names)
        self.requests.append((request, ""))
        number, expected = len(self.requests) - 1, self._verdicts(customer, names)
        self.touched = customer

        def between() -> None:
            self.draw = draw
            if happens is not None:
                happens()

        self.between, self.draw = between, draw
        record = self.services.decisions.decide(request).record
        self.requests[number] = (request, record.decision_id)
        self._compare(record, expected)
        if record.drawn == NO_ACTION:
            assert not record.is_contact
            return
        action = self._action(record.program, record.drawn)
        now_fits = self.model.verdict(customer, record.program, action, commits=True)
        if not record.is_contact:
            assert Reason.CAP_RACE_LOST in record.degradations
            assert isinstance(now_fits, Objection), f"{record.drawn} still fits, and was given up"
            assert not record.trainable
            self.forms.seen["race lost"] += 1
            return
        assert isinstance(now_fits, Fits), f"{record.drawn} was kept, and does not fit any more: {now_fits}"
        self._contact(record, customer, action, now_fits)

    def _verdicts(self, customer: Customer, names: tuple[str, ...]) -> dict[tuple[str, str], Fits | Objection]:
        wanted = ("alpha", "beta") if names == ("*",) else names
        return {
            (name, action["id"]): self.model.verdict(customer, name, action)
            for name in wanted
            for action in self.model.programs[name]["actions"]
        }

    def _compare(self, record: DecisionRecord, expected: dict[tuple[str, str], Fits | Objection]) -> None:
        """The service keeps what the model keeps, and excludes the rest for the same reasons."""
        kept, excluded = set(), {}
        for part in (record, *record.others):
            kept |= {(part.program, option.action) for option in part.options if option.action != NO_ACTION}
            excluded |= {(part.program, e.action): (e.reason.value, e.detail) for e in part.exclusions}
        assert kept == {key for key, verdict in expected.items() if isinstance(verdict, Fits)}, expected
        assert kept.isdisjoint(excluded)
        assert kept | set(excluded) == set(expected)
        for key, (reason, detail) in excluded.items():
            verdict = expected[key]
            assert isinstance(verdict, Objection)
            assert verdict.reason == reason
            assert verdict.by in ("", detail)
            self.forms.seen[reason] += 1

    def _contact(self, record: DecisionRecord, customer: Customer, action: Document, fits: Fits) -> None:
        reservation = record.reservation
        assert reservation is not None
        assert (reservation.send_at_ms or record.decided_at_ms, reservation.lease_expires_at_ms) == (
            fits.from_ms,
            fits.until_ms,
        )
        assert reservation.send_at_ms is None or reservation.send_at_ms > record.decided_at_ms
        for key, token in zip(fits.takes, reservation.tokens, strict=True):
            assert (token.budget, token.amount) == (key[0], fits.takes[key])
            assert self.keys.setdefault(key, token.key) == token.key
        assert len(set(self.keys.values())) == len(self.keys)
        self.model.reserve(
            Sending(
                record.decision_id,
                customer,
                record.program,
                action,
                self.model.policy,
                self.model.programs[record.program],
                self.model.now_ms,
                fits,
                self.model.happened + 1,
            )
        )
        self.forms.seen["queued" if reservation.send_at_ms else "contact"] += 1

    def _action(self, program: str, action_id: str) -> Document:
        actions: list[Document] = self.model.programs[program]["actions"]
        return next(action for action in actions if action["id"] == action_id)

    @precondition(lambda self: self.requests)
    @rule(back=st.integers(1, 20))
    def ask_again(self, back: int) -> None:
        """The same request gets the same answer, and takes nothing."""
        request, decision_id = self.requests[-min(back, len(self.requests))]
        answer = self.services.decisions.decide(request)
        assert answer.record.decision_id == decision_id
        for sending in [s for s in self.model.sendings if s.decision_id == decision_id]:
            over = sending.status == "LAPSED" or self.model.now_ms > sending.fits.until_ms
            assert (answer.withheld is not None) == (sending.stopped or bool(sending.told) or over)

    @rule(customer=customers, names=asked, draw=draws, ahead=st.sampled_from([0, HOUR, 9 * HOUR]))
    def what_if(self, customer: Customer, names: tuple[str, ...], draw: float, ahead: int) -> None:
        """A dry run, now or later, keeps what the model would keep then, and takes nothing."""
        at_ms, now_ms = self.model.now_ms + ahead, self.model.now_ms
        request = DecideRequest("dry", customer.id, names, dry_run=True, at_ms=at_ms)
        self.model.now_ms = at_ms
        expected = self._verdicts(customer, names)
        self.model.now_ms = now_ms
        self.draw = draw
        self._compare(self.services.decisions.decide(request).record, expected)

    # ── What becomes of it ────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.model.sendings)
    @rule(
        back=st.integers(1, 6),
        status=st.sampled_from(["SENT", "SENT", "FAILED", "FAILED", "DELIVERED", "BOUNCED", "BOUNCED", "SKIPPED"]),
        moment=st.sampled_from(["now", "now", "first", "last", "middle", "early", "late", "ahead"]),
    )
    def report(self, back: int, status: str, moment: str) -> None:
        """In and out of order, in time and not."""
        sending = self.model.sendings[-min(back, len(self.model.sendings))]
        fits, now_ms = sending.fits, self.model.now_ms
        at_ms = {
            "now": now_ms,
            "first": fits.from_ms,
            "last": fits.until_ms,
            "middle": (fits.from_ms + fits.until_ms) // 2,
            "early": fits.from_ms - 5 * MINUTE,
            "late": fits.until_ms + 1,
            "ahead": now_ms + 30_000,
        }[moment]
        self._report(sending, status, at_ms)

    @precondition(lambda self: any(s.status == "RESERVED" for s in self.model.sendings))
    @rule(first=st.booleans())
    def send(self, first: bool) -> None:
        """A runner that does what it should: sends when it may, and says so."""
        held = [s for s in self.model.sendings if s.status == "RESERVED"]
        fits = held[0 if first else -1].fits
        if fits.from_ms <= self.model.now_ms <= fits.until_ms:
            for status in ("SENT", "SENT", "FAILED", "DELIVERED"):  # said again, then contradicted, then more of it
                self._report(held[0 if first else -1], status, self.model.now_ms)

    def _report(self, sending: Sending, status: str, at_ms: int) -> None:
        self.touched = sending.customer

        def reported() -> bool:
            result = self.services.feedback.report_activation(sending.decision_id, ActivationStatus(status), at_ms)
            lapsed = self.model.now_ms > sending.fits.until_ms + GRACE
            is_late = max(at_ms, sending.decided_ms) > sending.fits.until_ms or lapsed
            assert result.late == (is_late and sending.sent_ms is None)
            if not result.duplicate:
                assert result.contradicts == self.model.contradicted(sending, status)
                self.forms.seen["contradicted"] += result.contradicts is not None
            return not result.duplicate

        if at_ms > self.model.now_ms + TOLERANCE or at_ms < sending.decided_ms - TOLERANCE:
            with pytest.raises(InvalidRequest):
                reported()
            return
        is_news = status not in sending.told
        assert reported() == is_news
        if is_news:
            self.model.report(sending, status, at_ms)
            self.forms.seen[f"{status} {'in time' if sending.in_time else ''}".strip()] += 1

    @precondition(lambda self: self.model.sendings)
    @rule(back=st.integers(1, 6), sends=st.booleans())
    def confirm(self, back: int, sends: bool) -> None:
        """A runner asks just before it sends, and may send in spite of the answer."""
        sending = self.model.sendings[-min(back, len(self.model.sendings))]
        self.touched = sending.customer
        expected = self.model.confirms(sending)
        said = self.services.sending.confirm(sending.decision_id)
        assert said.verdict.value == expected, f"{said}, for {sending}"
        self.forms.seen[f"confirmed: {expected}"] += 1
        if sends:
            self._report(sending, "SENT", self.model.now_ms)

    @rule(
        customer=customers,
        name=st.sampled_from(["unsubscribe", "complaint", "complaint", "bounce", "ignored", "ignored", "bought"]),
        channel=st.sampled_from(["", "", "email", "sms"]),
        ago=st.lists(st.sampled_from([0, 10 * MINUTE, 5 * HOUR, 30 * HOUR]), min_size=1, max_size=2),
        back=st.integers(0, 4),
        is_hers=st.sampled_from([True, True, False]),
    )
    def outcome(self, customer: Customer, name: str, channel: str, ago: list[int], back: int, is_hers: bool) -> None:
        """Of a decision of this customer or, wrongly, another, or of none."""
        of = self.model.sendings[-back] if 0 < back <= len(self.model.sendings) else None
        for passed in ago:
            customer = of.customer if of is not None and is_hers else customer
            self._outcome(customer, name, channel, self.model.now_ms - passed, of)

    def _outcome(self, customer: Customer, name: str, channel: str, at_ms: int, of: Sending | None) -> None:
        self.outcomes, self.touched = self.outcomes + 1, customer
        made = Outcome(
            f"o{self.outcomes}",
            customer.id,
            name,
            at_ms,
            at_ms,
            decision_id=of.decision_id if of else "",
            channel=channel,
        )
        assert self.services.feedback.record_outcomes([made]) == Receipt(1, 0)
        assert self.services.feedback.record_outcomes([made]) == Receipt(0, 1)
        other = self.services.feedback.record_outcomes([replace(made, value=7.0)])
        assert (other.recorded, len(other.refused)) == (0, 1)
        self.model.outcome(customer, name, channel, at_ms, of)

    @rule(customer=customers, channel=st.one_of(channels, st.just("*")), hours=st.sampled_from([1, 1, 5, 30, None]))
    def suppress(self, customer: Customer, channel: str, hours: int | None) -> None:
        self._suppress(customer, channel, hours)

    def _suppress(self, customer: Customer, channel: str, hours: int | None) -> None:
        until, self.touched = None if hours is None else self.model.now_ms + hours * HOUR, customer
        self.services.administration.suppress(customer.id, channel, until)
        self.model.suppress(customer, channel, float("inf") if until is None else until)

    @rule(customer=customers, every=st.booleans())
    def unsuppress(self, customer: Customer, every: bool) -> None:
        """Lift what is in force, on one channel or on each."""
        held = [key[1] for key in self.model.suppressed if key[0] == customer.id]
        for channel in dict.fromkeys(held if every else held[:1]):
            assert self.services.administration.unsuppress(customer.id, channel)
            assert self.model.unsuppress(customer, channel)
        assert self.services.administration.unsuppress(customer.id, "fax") is False

    # ── What changes around it ────────────────────────────────────────────────────────────────────────────

    @rule(policy=policies())
    def publish_policy(self, policy: Document) -> None:
        self.policies.publish_policy(json.dumps(policy), AUDIT)
        self.model.policy = policy

    @rule(program=st.one_of(programs("alpha"), programs("beta")))
    def publish_program(self, program: Document) -> None:
        self.policies.publish_program(json.dumps(program), AUDIT)
        self.model.programs[program["name"]] = program

    @rule(
        passes=st.sampled_from([1_000, 4 * MINUTE, 11 * MINUTE, 16 * MINUTE, 35 * MINUTE, 3 * HOUR, 7 * HOUR, DAY - 1])
    )
    def wait(self, passes: int) -> None:
        self._move(self.model.now_ms + passes)

    @rule(days=st.integers(2, 33))
    def wait_long(self, days: int) -> None:
        self._move(self.model.now_ms + days * DAY)

    @rule(seconds=st.integers(1, 59))
    def clock_set_back(self, seconds: int) -> None:
        """As clocks are, by less than the minute that reports are given."""
        self._move(self.model.now_ms - 1000 * seconds)

    def _move(self, now_ms: int) -> None:
        self.clock.set(now_ms)
        self.model.move_clock(now_ms)

    # ── What must hold ────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_future_is_agreed_on(self) -> None:
        """Of who was last heard of: what would be kept now, at the next moments when that changes, and at another."""
        if not hasattr(self, "model"):
            return
        model, now_ms = self.model, self.model.now_ms
        state = self.ledger.state(self.touched.id)
        points = [now_ms, *model.turning_points(self.touched)]
        for at_ms in {*points[:5], points[self.forms.steps % len(points)]}:
            model.now_ms = at_ms
            self.forms.compared += compare(model, self.policies.current(), state, self.budgets, self.touched)
        model.now_ms = now_ms

    @invariant()
    def nothing_is_broken(self) -> None:
        """Caps, quiet hours and budgets hold for what was sent; tokens are where the model has them."""
        self.forms.steps += 1
        if not hasattr(self, "model"):
            return
        for customer in CUSTOMERS.values():
            own = [s for s in self.model.sendings if s.customer is customer]
            assert list(violations(own)) == []
        assert list(overspent(self.model.sendings)) == []
        if self.keys:
            levels = self.budgets.begin_levels(tuple(self.keys.values()), self.model.now_ms).result()
            assert {key: levels[name] for key, name in self.keys.items()} == {
                key: self.model.level(key) for key in self.keys
            }
