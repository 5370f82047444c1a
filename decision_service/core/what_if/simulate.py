"""Simulating what is proposed on logged decisions: the same core, the logged draw, the history that would have been.

Decisions are given in the order of time. What a decision starts from is what was logged for it, changed by what the
simulation decided otherwise before. So where nothing is decided otherwise, everything is exactly as logged; and what
the log does not tell, such as how customers would have answered other messages, is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from decision_service.core.decide import Entrant, Inputs, Scorer, decide, recheck
from decision_service.core.guardrails.budgets import level_keys
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.model.program import Action, ContactPolicy, Group, LearningMode, Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    ALL_PROGRAMS,
    Activation,
    Candidate,
    DecisionRecord,
    ModelVersion,
    Outcome,
    reserved_contact,
)
from decision_service.core.model.values import NO_ACTION
from decision_service.core.replay import record_of
from decision_service.core.what_if.history_differences import NOTHING, Effect, OtherHistory
from decision_service.core.what_if.outcome_differences import OtherEffects

_SCORED = frozenset({Reason.BASELINE_ONLY, Reason.NOT_STARTED, Reason.QUIET_HOURS})
"""Exclusions of actions that a model may have been asked about where programs compete: hidden by a baseline, or due."""


class Versions(Protocol):
    """What was published in one ledger, by version. The same object each time: bindings are remembered by identity."""

    def program_at(self, name: str, version: int) -> Program:
        """A program version; raises NotFound."""
        ...

    def policy_at(self, version: int) -> ContactPolicy:
        """A version of the contact policy; raises NotFound."""
        ...


VersionsOf: TypeAlias = Callable[[str], Versions]
"""Id of a ledger, as its records bear it → what was published in it."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """A logged decision beside what it would have been.

    proposed: with the inputs as simulated. other_history: whether the customer's state among them is another than the
    logged one: other contacts, suppressions or pauses.
    """

    logged: DecisionRecord
    proposed: DecisionRecord
    other_history: bool

    @property
    def other_choice(self) -> bool:
        """Whether another action, or that of another program, was chosen."""
        return (self.logged.program, self.logged.chosen) != (self.proposed.program, self.proposed.chosen)


class Simulation:
    """Replays decisions through a proposed program and contact policy; feed it in the order of time, those of one
    customer in the order in which they were committed."""

    def __init__(
        self,
        program: Program,
        policy: ContactPolicy | None,
        versions_of: VersionsOf,
        rules: Rules,
        scorer: Callable[[ModelVersion], Scorer],
        from_ms: int = 0,
    ) -> None:
        """Nothing has happened yet.

        Args:
            program: takes the place of whichever version of that name took part; other programs stay as they were.
            policy: takes the place of the contact policy; None leaves each decision its own.
            scorer: a model version as it served; it may raise NotFound or ModelRejected.
            from_ms: since when the proposal is taken to be in force.
        """
        self._program, self._policy, self._versions_of = program, policy, versions_of
        self._rules, self._scorer = rules, scorer
        self._history = OtherHistory()
        self._effects = OtherEffects(policy, from_ms) if policy is not None else None
        self._served_by: dict[str, ModelVersion] = {}

    def occurred(self, outcome: Outcome, program: str | None, action: Action | None) -> None:
        """Note an outcome, before the decisions that knew of it, for what the proposed contact policy makes of it.

        program, action: those of the decision it belongs to; None if that is unknown.
        """
        if self._effects is not None:
            self._effects.add(outcome, program, action)

    def step(self, logged: DecisionRecord, reports: Sequence[Activation] = ()) -> Simulated:
        """What the decision would have been. reports: what the runner said of the logged one, as received.

        Raises:
            NotFound: a version of a program, the contact policy or a model that it was made with is not known.
        """
        candidates = logged.candidates
        versions = self._versions_of(logged.ledger_id)
        published = versions.policy_at(logged.policy_version)
        policy = self._policy or published
        entrants = self._entrants(logged, candidates, versions)
        state = self._history.state(logged)
        if self._effects is not None:
            state = self._effects.state(state, logged, published)
        keys = (key for e in entrants for key in level_keys(policy, e.program, logged.decided_at_ms))
        levels = self._history.levels(logged, keys)
        inputs = Inputs(logged.request, entrants, policy, state, logged.decided_at_ms, levels)
        decision = decide(inputs, self._rules, self._models(candidates, entrants), logged.draw)
        proposed = record_of(inputs, decision, decision_id=logged.decision_id)
        if self._loses_race(logged, inputs, proposed):
            proposed = replace(
                proposed,
                chosen=NO_ACTION,
                channel="",
                reservation=None,
                degradations=(*proposed.degradations, Reason.CAP_RACE_LOST),
                trainable=False,
            )
        self._history.add(logged, self._effect(logged, versions), self._effect(proposed, versions), reports)
        return Simulated(logged, proposed, other_history=state is not logged.state)

    def _loses_race(self, logged: DecisionRecord, inputs: Inputs, proposed: DecisionRecord) -> bool:
        """Whether the last slot is gone by the time of the commit. The log tells if it was for the action drawn;
        otherwise the contacts do that were committed since the customer's state was read."""
        if logged.chosen != logged.drawn and (proposed.program, proposed.drawn) == (logged.program, logged.drawn):
            return True
        if not proposed.is_contact:
            return False
        unseen = self._history.unseen(logged, inputs.state)
        if not unseen:
            return False
        fresh = replace(inputs, state=replace(inputs.state, contacts=(*inputs.state.contacts, *unseen)))
        entrant = inputs.entrants[[e.program.name for e in inputs.entrants].index(proposed.program)]
        return recheck(fresh, proposed.program, entrant.program.action(proposed.drawn)) is not None

    def _entrants(
        self, logged: DecisionRecord, candidates: Sequence[Candidate], versions: Versions
    ) -> tuple[Entrant, ...]:
        entrants = [Entrant(self._version(c, versions), c.features) for c in candidates]
        is_new = all(c.program != self._program.name for c in candidates)
        if is_new and logged.request.programs == (ALL_PROGRAMS,):
            # It would have taken part; its features are known if those of the same service were served.
            service = self._program.feature_service
            served = next((e.features for e in entrants if e.program.feature_service == service), None)
            if served is not None:
                entrants.append(Entrant(self._program, served))
                entrants.sort(key=lambda entrant: entrant.program.name)
        return tuple(entrants)

    def _version(self, took_part: Candidate, versions: Versions) -> Program:
        if took_part.program == self._program.name:
            return self._program
        return versions.program_at(took_part.program, took_part.program_version)

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

    def _effect(self, record: DecisionRecord, versions: Versions) -> Effect:
        if record.reservation is None:
            return NOTHING
        # The logged record names the version it was made with; the simulated one may be of the proposed program.
        program = (
            self._program
            if record.program == self._program.name and record.program_version == self._program.version
            else versions.program_at(record.program, record.program_version)
        )
        return Effect(reserved_contact(record, program.action(record.chosen)), record.reservation.tokens)


def _asked_model(candidate: Candidate, is_contest: bool) -> bool:
    """Whether `core.decide` asked for a model, so that having none is what was logged."""
    serves_model = candidate.group is Group.TREATMENT and candidate.learning_mode is not LearningMode.LOGGING_ONLY
    has_offer = len(candidate.options) > 1 or any(e.reason in _SCORED for e in candidate.exclusions)
    return serves_model or (is_contest and has_offer)
