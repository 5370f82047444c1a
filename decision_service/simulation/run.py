"""One simulation, from the warehouse to the report."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from decision_service.application.ports import Warehouse
from decision_service.core.decide import Scorer
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.model.errors import NotFound
from decision_service.core.model.program import Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Candidate, DecisionRecord, ModelVersion
from decision_service.core.what_if.simulate import Simulation, VersionsOf
from decision_service.simulation.estimate import Targets, estimate, rewarded
from decision_service.simulation.log import DecisionLog, outcomes
from decision_service.simulation.proposal import Proposal
from decision_service.simulation.report import SimulationReport
from decision_service.simulation.tally import Tally

Progress = Callable[[str, int, int], None]
"""(what, done, total); it may raise to give up."""

PROGRESS_EVERY = 200


def simulate(
    proposal: Proposal,
    warehouse: Warehouse,
    versions_of: VersionsOf,
    rules: Rules,
    scorer: Callable[[ModelVersion], Scorer],
    progress: Progress,
) -> SimulationReport:
    """Replay the period's decisions through the proposal, and compare.

    Args:
        scorer: a model version as it served (`ports.Catalogue.scorer`).

    Raises:
        InvalidRequest: the period has no decisions.
        NotFound: a version of a program, the contact policy or a model that a decision was made with is gone.
        ModelRejected: such a model does not pass its checks any more.
    """
    started = time.monotonic()
    log = DecisionLog(warehouse, proposal.from_ms, proposal.until_ms)
    scorers: dict[ModelVersion, Scorer] = {}

    def loaded(model: ModelVersion) -> Scorer:
        if model not in scorers:
            try:
                scorers[model] = scorer(model)
            except NotFound as lost:
                raise NotFound(lost.kind, lost.name, "it scored decisions of this period; choose a later one") from lost
        return scorers[model]

    simulation = Simulation(proposal.program, proposal.policy, versions_of, rules, loaded, proposal.from_ms)
    occurred = _Occurred(simulation, proposal, warehouse, versions_of)
    tally, targets, facts = Tally(proposal.features), Targets(proposal.program.name), _Facts(proposal.program)
    channels = _Channels(proposal.program, versions_of)
    for done, logged in enumerate(log):
        if done % PROGRESS_EVERY == 0:
            progress("decisions", done, len(log))
        occurred.until(logged.record.decided_at_ms)
        simulated = simulation.step(logged.record, logged.reports)
        tally.add(simulated, channels.of(logged.record))
        targets.add(simulated)
        facts.add(logged.record, simulated.proposed)
    progress("decisions", len(log), len(log))

    def program_at(name: str, version: int, ledger_id: str) -> Program:
        return versions_of(ledger_id).program_at(name, version)

    latest = program_at(proposal.program.name, *facts.latest) if facts.latest else None
    of_reward = rewarded(warehouse, proposal.program, *([latest] if latest else []))
    estimated = estimate(warehouse, of_reward, program_at, targets, proposal.from_ms, proposal.until_ms)
    return SimulationReport(
        program=proposal.program.name,
        contact_policy_proposed=proposal.policy is not None,
        from_ms=proposal.from_ms,
        until_ms=proposal.until_ms,
        decisions=tally.decisions,
        other_choice=tally.other_choice,
        other_history=tally.other_history,
        lost_races=tally.lost_races,
        total=tally.total,
        programs=tally.programs,
        actions=tally.actions,
        channels=tally.channels,
        segments=tally.segments,
        features=tally.features,
        changes=tally.changes,
        estimate=estimated,
        notes=facts.notes(of_reward, latest),
        seconds=time.monotonic() - started,
    )


class _Occurred:
    """Tells a simulation of outcomes in time, where the proposed contact policy has a say in what they do."""

    def __init__(
        self, simulation: Simulation, proposal: Proposal, warehouse: Warehouse, versions_of: VersionsOf
    ) -> None:
        self._simulation, self._versions_of = simulation, versions_of
        policy = proposal.policy
        known = outcomes(warehouse, policy, proposal.from_ms, proposal.until_ms) if policy is not None else []
        self._coming = deque(known)

    def until(self, now_ms: int) -> None:
        """Those received by then."""
        while self._coming and self._coming[0].outcome.received_at_ms <= now_ms:
            one = self._coming.popleft()
            action = None
            if one.action:
                versions = self._versions_of(one.ledger_id)
                action = versions.program_at(one.program, one.program_version).action(one.action)
            self._simulation.occurred(one.outcome, one.program or None, action)


class _Channels:
    """The channel of every action of the programs that took part in a decision."""

    def __init__(self, program: Program, versions_of: VersionsOf) -> None:
        self._program, self._versions_of = program, versions_of
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], Mapping[tuple[str, str], str]] = {}

    def of(self, record: DecisionRecord) -> Mapping[tuple[str, str], str]:
        """(program, action) → channel, in what was published and in what is proposed."""
        took_part = tuple((c.program, c.program_version) for c in record.candidates)
        key = (record.ledger_id, took_part)
        if key not in self._known:
            versions = self._versions_of(record.ledger_id)
            published = [versions.program_at(name, version) for name, version in took_part]
            self._known[key] = {
                (p.name, action.id): action.channel for p in (*published, self._program) for action in p.actions
            }
        return self._known[key]


class _Facts:
    """What a reader must know of the log and the proposal to read the numbers right."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._versions: dict[str, int] = {}  # by ledger, in the order of their last decisions
        self._took_part = self._fewer_models = 0

    @property
    def latest(self) -> tuple[int, str] | None:
        """The latest version of the program that took part, and whose it is; None if none did."""
        if not self._versions:
            return None
        ledger_id, version = list(self._versions.items())[-1]
        return version, ledger_id

    def add(self, logged: DecisionRecord, proposed: DecisionRecord) -> None:
        """Look at a decision and at what it would have been."""
        name = self._program.name
        would_be = next((c for c in proposed.candidates if c.program == name), None)
        if would_be is None:
            return
        self._took_part += 1
        was = next((c for c in logged.candidates if c.program == name), None)
        if was is not None:
            before = self._versions.pop(logged.ledger_id, 0)
            self._versions[logged.ledger_id] = max(before, was.program_version)
        self._fewer_models += _lacks_model(would_be) and not (was is not None and _lacks_model(was))

    def notes(self, of_reward: Program, latest: Program | None) -> tuple[str, ...]:
        """Sentences; none where there is nothing to say."""
        program, notes = self._program, []
        if not self._took_part:
            notes.append(f"no decision of the period was about {program.name!r}, so it could change none")
        if latest is not None and latest.feature_service != program.feature_service:
            notes.append(
                f"the features of {program.feature_service!r} were not logged: rules and models were given those of "
                f"{latest.feature_service!r}, and a model of other features does not score"
            )
        if of_reward.reward.version != program.reward.version:
            notes.append(
                "the proposed reward definition has no rewards yet: the estimate is in the reward of version "
                f"{of_reward.version} of the program"
            )
        if self._fewer_models:
            notes.append(
                f"{self._fewer_models} decisions would have asked for a model where none had served the program in "
                "the period until then; they were drawn uniformly"
            )
        return tuple(notes)


def _lacks_model(candidate: Candidate) -> bool:
    return Reason.MODEL_MISSING in candidate.degradations or Reason.MODEL_REJECTED in candidate.degradations
