"""Simulating what is proposed on logged decisions: the same core, the logged draw, the history that would have been.

Decisions are given in the order of time. What a decision starts from is what was logged for it, changed by what the
simulation decided otherwise before. So where nothing is decided otherwise, everything is exactly as logged; and what
the log does not tell, such as how customers would have answered other messages, is left as it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from decision_service.core.budgets import level_keys
from decision_service.core.customer import REPORT_GRACE_MS, Contact, ContactStatus, CustomerState
from decision_service.core.decide import Entrant, Inputs, Scorer, decide
from decision_service.core.eligibility import Rules
from decision_service.core.program import ContactPolicy, Group, LearningMode, Program
from decision_service.core.reasons import Reason
from decision_service.core.record import (
    ALL_PROGRAMS,
    Activation,
    ActivationStatus,
    Candidate,
    DecisionRecord,
    ModelVersion,
    Token,
    reserved_contact,
)
from decision_service.core.replay import record_of
from decision_service.core.values import NO_ACTION

_SENT_AS = {
    ActivationStatus.SENT: ContactStatus.SENT,
    ActivationStatus.DELIVERED: ContactStatus.DELIVERED,
    ActivationStatus.BOUNCED: ContactStatus.BOUNCED,
}


class Versions(Protocol):
    """What was published, by version. The same object each time, as bindings are remembered by identity."""

    def program_at(self, name: str, version: int) -> Program:
        """A program version; raises NotFound."""
        ...

    def policy_at(self, version: int) -> ContactPolicy:
        """A version of the contact policy; raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """A logged decision beside what it would have been.

    proposed: with the inputs as simulated. other_history: whether these differ from the logged ones, in contacts,
    suppressions or budget levels.
    """

    logged: DecisionRecord
    proposed: DecisionRecord
    other_history: bool

    @property
    def other_choice(self) -> bool:
        """Whether another action, or that of another program, was chosen."""
        return (self.logged.program, self.logged.chosen) != (self.proposed.program, self.proposed.chosen)


class Simulation:
    """Replays decisions through a proposed program and contact policy; feed it in the order of time."""

    def __init__(
        self,
        program: Program,
        policy: ContactPolicy | None,
        versions: Versions,
        rules: Rules,
        scorer: Callable[[ModelVersion], Scorer],
    ) -> None:
        """Nothing has happened yet.

        Args:
            program: takes the place of whichever version of that name took part; other programs stay as they were.
            policy: takes the place of the contact policy; None leaves each decision its own.
            scorer: a model version as it served; it may raise NotFound or ModelRejected.
        """
        self._program, self._policy, self._versions = program, policy, versions
        self._rules, self._scorer = rules, scorer
        self._history = OtherHistory()
        self._served_by: dict[str, ModelVersion] = {}

    def step(self, logged: DecisionRecord, reports: Sequence[Activation] = ()) -> Simulated:
        """What the decision would have been. reports: what the runner said of the logged one, as received.

        Raises:
            NotFound: a version of a program, the contact policy or a model that it was made with is not known.
        """
        candidates = logged.candidates
        policy = self._policy or self._versions.policy_at(logged.policy_version)
        entrants = self._entrants(logged, candidates)
        state = self._history.state(logged)
        keys = (key for e in entrants for key in level_keys(policy, e.program, logged.decided_at_ms))
        levels = self._history.levels(logged, keys)
        inputs = Inputs(logged.request, entrants, policy, state, logged.decided_at_ms, levels)
        decision = decide(inputs, self._rules, self._models(candidates, entrants), logged.draw)
        proposed = record_of(inputs, decision, decision_id=logged.decision_id)
        if _lost_race(logged) and (proposed.program, proposed.drawn) == (logged.program, logged.drawn):
            proposed = replace(
                proposed,
                chosen=NO_ACTION,
                channel="",
                reservation=None,
                degradations=(*proposed.degradations, Reason.CAP_RACE_LOST),
                trainable=False,
            )
        self._history.add(logged, self._effect(logged), self._effect(proposed), reports)
        other_history = state is not logged.state or levels is not logged.budget_levels
        return Simulated(logged, proposed, other_history)

    def _entrants(self, logged: DecisionRecord, candidates: Sequence[Candidate]) -> tuple[Entrant, ...]:
        entrants = [Entrant(self._version(c.program, c.program_version), c.features) for c in candidates]
        is_new = all(c.program != self._program.name for c in candidates)
        if is_new and logged.request.programs == (ALL_PROGRAMS,):
            # It would have taken part; its features are known if those of the same service were served.
            service = self._program.feature_service
            served = next((e.features for e in entrants if e.program.feature_service == service), None)
            if served is not None:
                entrants.append(Entrant(self._program, served))
                entrants.sort(key=lambda entrant: entrant.program.name)
        return tuple(entrants)

    def _version(self, name: str, version: int) -> Program:
        return self._program if name == self._program.name else self._versions.program_at(name, version)

    def _models(self, candidates: Sequence[Candidate], entrants: Sequence[Entrant]) -> Mapping[str, Scorer | None]:
        """The model that scored; where none was asked, the one that served the program last. Where one was asked and
        there was none, there is none."""
        models: dict[str, Scorer | None] = {}
        for candidate in candidates:
            if candidate.model is not None:
                self._served_by[candidate.program] = candidate.model
                models[candidate.program] = self._scorer(candidate.model)
            elif not _asked_model(candidate, len(candidates) > 1):
                models[candidate.program] = self._last_model(candidate.program)
        for entrant in entrants:
            if all(entrant.program.name != c.program for c in candidates):
                models[entrant.program.name] = self._last_model(entrant.program.name)
        return models

    def _last_model(self, program: str) -> Scorer | None:
        served_by = self._served_by.get(program)
        return self._scorer(served_by) if served_by is not None else None

    def _effect(self, record: DecisionRecord) -> Effect:
        if record.reservation is None:
            return NOTHING
        # The logged record names the version it was made with; the simulated one may be of the proposed program.
        program = (
            self._program
            if record.program == self._program.name and record.program_version == self._program.version
            else self._versions.program_at(record.program, record.program_version)
        )
        return Effect(reserved_contact(record, program.action(record.chosen)), record.reservation.tokens)


def _lost_race(record: DecisionRecord) -> bool:
    return record.chosen != record.drawn


def _asked_model(candidate: Candidate, is_contest: bool) -> bool:
    """Whether `core.decide` asked for a model, so that having none is what was logged."""
    serves_model = candidate.group is Group.TREATMENT and candidate.learning_mode is not LearningMode.LOGGING_ONLY
    has_offer = len(candidate.options) > 1 or any(e.reason is Reason.BASELINE_ONLY for e in candidate.exclusions)
    return serves_model or (is_contest and has_offer)


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
