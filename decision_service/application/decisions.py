"""The Decide cycle as numbered steps (docs/decide-cycle.md). Adapters come from `bootstrap`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from decision_service.application.policy_store import PolicyStore, Published
from decision_service.application.ports import (
    Budgets,
    Catalogue,
    Clock,
    Committed,
    Earlier,
    FeatureSource,
    Ledger,
    LedgerRead,
    Pending,
)
from decision_service.core.choice.draw import Draw
from decision_service.core.confirm import slot_lost
from decision_service.core.decide import Entrant, Inputs, decide, recheck
from decision_service.core.explanation.explain import Explanation
from decision_service.core.guardrails.budgets import level_keys, limit_of
from decision_service.core.guardrails.caps import droppable, lapsed
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.guardrails.groups import assign
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    NotInService,
    Overloaded,
    Unavailable,
    Violation,
)
from decision_service.core.model.program import (
    NO_ACTION_ACTION,
    Action,
    ContactPolicy,
    FrequencyCap,
    Program,
    ProgramState,
)
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    ALL_PROGRAMS,
    DecideRequest,
    DecisionRecord,
    FeatureStatus,
    Option,
    PolicyKind,
    ServedFeatures,
    Token,
    digest_body,
    reserved_contact,
)
from decision_service.core.model.values import NO_ACTION, ValueType, conforms
from decision_service.core.replay import record_of

MAX_COMMIT_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision and the action it chose, with its payload; a dry run is explained at once.

    withheld: why the contact must not be made although it was decided, where the request was answered before.
    """

    record: DecisionRecord
    action: Action
    explanation: Explanation | None = None
    withheld: Reason | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What was particular about this answer."""
        return self.record.reasons if self.withheld is None else (self.withheld, *self.record.reasons)


class DecisionService:
    """Thread-safe: all state is in the adapters.

    draw: gives a request its uniform number; see `KeyedDraw`. admit: raises Unavailable where no decision may be made
    of what was read; see `Admission`. observe: told of each decision whether it was made without features.
    """

    def __init__(
        self,
        *,
        policies: PolicyStore,
        features: FeatureSource,
        ledger: Ledger,
        budgets: Budgets,
        catalogue: Catalogue,
        rules: Rules,
        clock: Clock,
        draw: Draw,
        admit: Callable[[LedgerRead, int], None] = lambda _read, _before_ms: None,
        explain: Callable[[DecisionRecord], Explanation],
        accepting: Callable[[], bool] = lambda: True,
        observe: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._policies, self._features, self._ledger, self._budgets = policies, features, ledger, budgets
        self._catalogue, self._explain, self._admit = catalogue, explain, admit
        self._rules, self._clock, self._draw, self._accepting = rules, clock, draw, accepting
        self._observe = observe
        self._caps: tuple[Published | None, tuple[FrequencyCap, ...]] = (None, ())

    def decide(self, request: DecideRequest, arrived_s: float | None = None) -> Decided:
        """Which message on which channel, or nothing.

        arrived_s: when the request arrived, by `time.monotonic`: the features' deadline begins with it. None: now.

        Raises:
            InvalidRequest, NotFound: the request names what is wrong with it.
            Conflict: the request id was used with another body.
            Unavailable: the ledger did not answer, is not in service, or its time is too far from this machine's.
            Overloaded: the log's backlog has reached its bound.
        """
        started = time.perf_counter_ns()
        if not self._accepting():
            raise Overloaded("the warehouse has fallen behind and the decision log is at its bound; retry later")
        # 1. Validate, against one immutable snapshot.
        published = self._policies.current()
        try:
            policy, programs = published.policy, _named(published, request.programs)
        except NotFound as unknown:
            return self._answer_unnamed(request, unknown)
        self._validate(programs, request)
        models = {program.name: self._catalogue.champion(program.name) for program in programs}
        clock_ms = self._clock.now_ms()
        now_ms = clock_ms if request.at_ms is None else request.at_ms
        # 3. Gather, in parallel: the customer's ledger state, budgets and features, one round trip each.
        pending_state = self._ledger.begin_read(request.customer_id, request.request_id)
        budget_keys = tuple(dict.fromkeys(key for p in programs for key in level_keys(policy, p, now_ms)))
        pending_levels = self._budgets.begin_levels(budget_keys, now_ms) if budget_keys else None
        entrants = self._entrants(programs, request.customer_id, clock_ms, arrived_s)
        try:
            read = pending_state.result()
            self._admit(read, clock_ms)
            levels = pending_levels.result() if pending_levels else {}
        except Unavailable:
            if request.no_action_when_unavailable:
                return Decided(_unlogged(request, entrants[0], policy, now_ms), NO_ACTION_ACTION)
            raise
        body_digest = digest_body(request)
        if read.earlier is not None and not request.dry_run:
            return self._answer_again(read.earlier, body_digest, now_ms)
        gathered = time.perf_counter_ns()
        # 2, 4, 5, 6. Group, shrink, distribute, draw.
        inputs = Inputs(request, entrants, policy, read.state, now_ms, levels)
        decision = decide(inputs, self._rules, models, self._draw(request))
        decided = time.perf_counter_ns()
        timings = {"gather": (gathered - started) // 1000, "decide": (decided - gathered) // 1000}
        decision_id = "" if request.dry_run else self._ledger.new_decision_id(request.customer_id, now_ms)
        record = record_of(inputs, decision, body_digest, timings, decision_id, read.ledger_id)
        action = _program(programs, record.program).action(record.chosen)
        if request.dry_run:
            record = replace(record, unlogged=True)
            return Decided(record, action, self._explain(record))
        # 7. Commit; 8. respond.
        try:
            return self._commit(inputs, record, action, self._caps_of(published))
        except NotInService:
            if request.no_action_when_unavailable:
                return Decided(_unlogged(request, entrants[0], policy, now_ms), NO_ACTION_ACTION)
            raise

    def _commit(self, inputs: Inputs, record: DecisionRecord, action: Action, caps: Sequence[FrequencyCap]) -> Decided:
        """Take the tokens of budgets, then reserve and log; without tokens, or a slot, the answer is NO_ACTION."""
        tokens = record.reservation.tokens if record.reservation else ()
        if tokens and not self._take(inputs, record, tokens):
            record, action, tokens = _race_lost(record), NO_ACTION_ACTION, ()
        kept = False
        try:
            decided = self._log(inputs, record, action, caps)
            kept = decided.record.decision_id == record.decision_id and decided.record.reservation is not None
            return decided
        except NotInService:
            raise
        except Unavailable:
            kept = True  # it may have been committed; if not, its tokens come back when the lease lapses
            raise
        finally:
            if tokens and not kept:
                with suppress(Unavailable):
                    self._budgets.release(record.decision_id, tokens)

    def _take(self, inputs: Inputs, record: DecisionRecord, tokens: Sequence[Token]) -> bool:
        assert record.reservation is not None
        program = _program([e.program for e in inputs.entrants], record.program)
        send_ms = record.reservation.send_at_ms or inputs.now_ms
        limits = [limit_of(inputs.policy, program, token, send_ms) for token in tokens]
        until_ms = record.reservation.lease_expires_at_ms
        return self._budgets.take(record.decision_id, tokens, limits, inputs.now_ms, until_ms) is None

    def _log(self, inputs: Inputs, record: DecisionRecord, action: Action, caps: Sequence[FrequencyCap]) -> Decided:
        """Reserve and log in one atomic step; when the state moved, ask the same guardrails about the drawn action."""
        state, now_ms = inputs.state, inputs.now_ms
        for _ in range(MAX_COMMIT_ATTEMPTS):
            contact = reserved_contact(record, action)
            if contact is None:
                outcome = self._ledger.commit(record, (), state.version)
            else:
                contacts = (contact, *lapsed(state.contacts, now_ms))
                outcome = self._ledger.commit(record, contacts, state.version, droppable(state.contacts, caps, now_ms))
            if isinstance(outcome, Committed):
                return Decided(record, action)
            if isinstance(outcome, Earlier):
                return self._answer_again(outcome.record, record.body_digest, now_ms)
            state = outcome.state
            if recheck(replace(inputs, state=state), record.program, action) is not None:
                record, action = _race_lost(record), NO_ACTION_ACTION
        raise Overloaded(f"customer {inputs.request.customer_id!r} is being decided for too often at once")

    def _answer_unnamed(self, request: DecideRequest, unknown: NotFound) -> Decided:
        """The earlier answer, if a program was unpublished since.

        Raises:
            NotFound: `unknown`, of a program that was never decided for under this request id.
            Unavailable: a ledger that was lost knows of no program.
        """
        clock_ms = self._clock.now_ms()
        read = self._ledger.begin_read(request.customer_id, request.request_id).result()
        self._admit(read, clock_ms)
        if read.earlier is None or request.dry_run:
            raise unknown
        return self._answer_again(
            read.earlier, digest_body(request), clock_ms if request.at_ms is None else request.at_ms
        )

    def _answer_again(self, record: DecisionRecord, body_digest: str, now_ms: int) -> Decided:
        """The earlier answer, and why its contact must not be made any more, if so."""
        if record.body_digest != body_digest:
            raise Conflict(
                f"request_id {record.request.request_id!r} was already used for this customer with another body; "
                "use a new request_id for a new request"
            )
        program = self._policies.program_at(record.program, record.program_version)
        withheld = None
        if record.reservation is not None:
            known = self._ledger.dealings(record.request.customer_id, record.decision_id)
            if known.stopped is not None:
                withheld = known.stopped.reason
            elif lost := slot_lost(record, known.state.contact(record.decision_id), known.reported, now_ms):
                withheld = lost.reason
        return Decided(record, program.action(record.chosen), withheld=withheld)

    def _entrants(
        self, programs: Sequence[Program], customer_id: str, now_ms: int, arrived_s: float | None
    ) -> tuple[Entrant, ...]:
        """Each program with its features; programs of one FeatureService share one read."""
        pending: dict[str, Pending[ServedFeatures] | None] = {}
        for service in dict.fromkeys(program.feature_service for program in programs):
            try:
                pending[service] = self._features.begin(service, customer_id, now_ms, arrived_s)
            except NotFound:
                # Not built yet, or dropped: what the program says of missing features applies.
                pending[service] = None
        served = {
            service: ServedFeatures(FeatureStatus.UNAVAILABLE) if read is None else read.result()
            for service, read in pending.items()
        }
        self._observe(any(features.status is FeatureStatus.UNAVAILABLE for features in served.values()))
        return tuple(Entrant(program, served[program.feature_service]) for program in programs)

    def _schema(self, program: Program) -> Mapping[str, ValueType]:
        try:
            return self._features.schema(program.feature_service)
        except NotFound:
            return {}

    def _validate(self, programs: Sequence[Program], request: DecideRequest) -> None:
        violations = []
        for program in programs:
            declared: dict[str, ValueType] = {**self._schema(program), **program.context}
            violations += [
                Violation(
                    f"context[{name!r}]",
                    f"is {type(value).__name__}, but program {program.name!r} expects {declared[name]}",
                )
                for name, value in request.context.items()
                if value is not None and name in declared and not conforms(value, declared[name])
            ]
        if request.channels:
            known = {action.channel for program in programs for action in program.actions}
            names = " and ".join(repr(program.name) for program in programs)
            violations += [
                Violation(
                    f"channels[{i}]",
                    f"there is no action on {channel!r} in {names}; there is {', '.join(sorted(known))}",
                )
                for i, channel in enumerate(request.channels)
                if channel not in known
            ]
        if violations:
            raise InvalidRequest(violations)

    def _caps_of(self, published: Published) -> tuple[FrequencyCap, ...]:
        """Every cap in force: one program's decision must not make the ledger forget what another's cap counts."""
        remembered, caps = self._caps
        if remembered is not published:
            caps = (*published.policy.caps, *(cap for program in published.programs.values() for cap in program.caps))
            self._caps = (published, caps)
        return caps


def _race_lost(record: DecisionRecord) -> DecisionRecord:
    return replace(
        record,
        chosen=NO_ACTION,
        channel="",
        reservation=None,
        degradations=(*record.degradations, Reason.CAP_RACE_LOST),
        trainable=False,
    )


def _unlogged(request: DecideRequest, entrant: Entrant, policy: ContactPolicy, now_ms: int) -> DecisionRecord:
    """NO_ACTION without the ledger, because the runner asked for it: neither reserved, nor logged, nor learned from."""
    program = entrant.program
    group, _ = assign(request.customer_id, program.groups, policy.holdout, request.pinned_group)
    return DecisionRecord(
        decision_id="",
        request=request,
        body_digest="",
        decided_at_ms=now_ms,
        program=program.name,
        program_version=program.version,
        policy_version=policy.version,
        model=None,
        features=entrant.features,
        live={},
        state=CustomerState(),
        group=group,
        learning_mode=program.learning_mode,
        policy=PolicyKind.HOLDOUT,
        options=(Option(NO_ACTION, 1.0),),
        exclusions=(),
        draw=0.0,
        drawn=NO_ACTION,
        chosen=NO_ACTION,
        reservation=None,
        trainable=False,
        unlogged=True,
    )


def _program(programs: Sequence[Program], name: str) -> Program:
    return next(program for program in programs if program.name == name)


def _named(published: Published, names: Sequence[str]) -> tuple[Program, ...]:
    """The programs that a request names, in the order of their names.

    Raises:
        NotFound: naming all that are not published.
    """
    known = {name: p for name, p in published.programs.items() if p.state is not ProgramState.UNPUBLISHED}
    wanted = sorted(known) if tuple(names) == (ALL_PROGRAMS,) else sorted(names)
    missing = [name for name in wanted if name not in known]
    if missing or not wanted:
        hint = f"published are {', '.join(sorted(known))}" if known else "none is published; use `nba apply`"
        if gone := sorted(set(missing) & published.programs.keys()):
            hint += f"; {', '.join(gone)} was unpublished, which `nba resume` undoes"
        raise NotFound("program", ", ".join(missing) or ALL_PROGRAMS, hint)
    return tuple(known[name] for name in wanted)
