"""The contact history and the budgets that would have been, as far as they are other than what was logged."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from decision_service.core.model.customer import REPORT_GRACE_MS, Contact, ContactStatus, CustomerState
from decision_service.core.model.record import Activation, ActivationStatus, DecisionRecord, Token

_SENT_AS = {
    ActivationStatus.SENT: ContactStatus.SENT,
    ActivationStatus.DELIVERED: ContactStatus.DELIVERED,
    ActivationStatus.BOUNCED: ContactStatus.BOUNCED,
}

RACE_MS = 60_000
"""Longer than any two decisions about one customer race each other."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a decision put into the customer's history, and took from budgets."""

    contact: Contact | None = None
    tokens: tuple[Token, ...] = ()


NOTHING = Effect()


@dataclass(frozen=True, slots=True)
class _Course:
    """What became of a contact that the log does not have: as of which moment it looks how, oldest first."""

    steps: tuple[tuple[int, Contact], ...] = ()

    def at(self, now_ms: int) -> Contact | None:
        return next((contact for since_ms, contact in reversed(self.steps) if since_ms <= now_ms), None)


@dataclass(slots=True)
class OtherHistory:
    """What is other in the customers' contacts and in the budgets than was logged."""

    _courses: dict[str, dict[str, _Course]] = field(default_factory=dict)  # customer → decision → course
    _latest: dict[str, list[tuple[int, Contact]]] = field(default_factory=dict)  # customer → decided at, contact
    _levels: dict[str, int] = field(default_factory=dict)  # `Token.key` → simulated less logged
    _due: list[tuple[int, str, int]] = field(default_factory=list)  # changes of levels to come, the next first

    def state(self, logged: DecisionRecord) -> CustomerState:
        """What the decision would have known of its customer: the logged state itself where nothing is other."""
        courses = self._courses.get(logged.request.customer_id)
        if not courses:
            return logged.state
        contacts = [c for c in logged.state.contacts if c.decision_id not in courses]
        contacts += [c for course in courses.values() if (c := course.at(logged.decided_at_ms)) is not None]
        if set(contacts) == set(logged.state.contacts):
            return logged.state
        contacts.sort(key=lambda c: (c.from_ms, c.decision_id))
        return replace(logged.state, contacts=tuple(contacts))

    def unseen(self, logged: DecisionRecord, state: CustomerState) -> list[Contact]:
        """Contacts of decisions made at the same time and committed before, which `state` does not have."""
        since_ms = logged.decided_at_ms - RACE_MS
        seen = {contact.decision_id for contact in state.contacts}
        latest = self._latest.get(logged.request.customer_id, ())
        return [c for decided_at_ms, c in latest if decided_at_ms >= since_ms and c.decision_id not in seen]

    def levels(self, logged: DecisionRecord, keys: Iterable[str]) -> Mapping[str, int]:
        """What would have been taken of the budgets, as to these keys: the logged levels themselves where nothing is
        other. A budget that the log does not know starts at 0 with the first decision."""
        while self._due and self._due[0][0] <= logged.decided_at_ms:
            _, key, change = heapq.heappop(self._due)
            self._change(key, change)
        was = logged.budget_levels
        other = {key: was.get(key, 0) + self._levels[key] for key in keys if key in self._levels}
        return {**was, **other} if other else was

    def add(self, logged: DecisionRecord, was: Effect, would_be: Effect, reports: Sequence[Activation]) -> None:
        """Note what a decision did beside what it would have done. reports: of the logged contact, as received.

        A contact that only the simulation made fares as the logged one of its decision did, as much later or earlier
        as it was planned; where nothing was logged to go out, it is sent when planned.
        """
        if would_be.contact is not None:
            since_ms = logged.decided_at_ms - RACE_MS
            latest = [one for one in self._latest.get(logged.request.customer_id, ()) if one[0] >= since_ms]
            self._latest[logged.request.customer_id] = [*latest, (logged.decided_at_ms, would_be.contact)]
        if was == would_be:
            return
        if was.contact != would_be.contact:
            course = _course(logged.decided_at_ms, was.contact, would_be.contact, reports)
            self._courses.setdefault(logged.request.customer_id, {})[logged.decision_id] = course
        if was.tokens != would_be.tokens:
            lapse_ms = logged.reservation.lease_expires_at_ms if logged.reservation else logged.decided_at_ms
            for at_ms, sign in _holds(logged.decided_at_ms, lapse_ms, bool(was.contact), reports):
                for effect, factor in ((would_be, sign), (was, -sign)):
                    for token in effect.tokens:
                        heapq.heappush(self._due, (at_ms, token.key, factor * token.amount))

    def _change(self, key: str, change: int) -> None:
        level = self._levels.get(key, 0) + change
        if level:
            self._levels[key] = level
        else:
            self._levels.pop(key, None)


def _course(
    decided_at_ms: int, was: Contact | None, would_be: Contact | None, reports: Sequence[Activation]
) -> _Course:
    if would_be is None:
        return _Course()
    steps = [(decided_at_ms, would_be)]
    if was is None:
        at_ms = would_be.from_ms
        steps.append((at_ms, replace(would_be, status=ContactStatus.SENT, until_ms=at_ms)))
        return _Course(tuple(steps))
    later_ms = would_be.from_ms - was.from_ms
    sent_ms: int | None = None
    for report in sorted(reports, key=lambda report: report.received_at_ms):
        known_ms = max(decided_at_ms, report.received_at_ms + later_ms)
        if report.status not in _SENT_AS:
            steps.append((known_ms, replace(would_be, status=ContactStatus.RELEASED)))
            continue
        # A delivery or bounce leaves the contact at the time it was sent.
        sent_ms = max(decided_at_ms, report.at_ms + later_ms) if sent_ms is None else sent_ms
        sent = replace(would_be, status=_SENT_AS[report.status], from_ms=sent_ms, until_ms=sent_ms)
        steps.append((known_ms, sent))
    return _Course(tuple(steps))


def _holds(
    decided_at_ms: int, lapse_ms: int, was_contact: bool, reports: Sequence[Activation]
) -> list[tuple[int, int]]:
    """When a decision's tokens are taken (1) and come back (-1): with a report that it was not sent, or after the
    lease, until it is reported to have been sent after all. Without a logged contact they stay taken."""
    holds = [(decided_at_ms, 1)]
    if not was_contact:
        return holds
    until_ms = lapse_ms + REPORT_GRACE_MS + 1
    first = min(reports, key=lambda report: report.received_at_ms, default=None)
    if first is None:
        return [*holds, (until_ms, -1)]
    if first.status not in _SENT_AS:
        return [*holds, (min(first.received_at_ms, until_ms), -1)]
    if first.received_at_ms > until_ms:
        holds += [(until_ms, -1), (first.received_at_ms, 1)]
    return holds
