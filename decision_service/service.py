"""The Decide cycle as numbered steps (docs/decide-cycle.md), and its siblings. Adapters come from `bootstrap`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from decision_service.core.caps import droppable
from decision_service.core.customer import Contact, ContactStatus, CustomerState
from decision_service.core.decide import Decision, Inputs, decide, recheck
from decision_service.core.eligibility import Rules
from decision_service.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
    Violation,
)
from decision_service.core.groups import assign
from decision_service.core.outcomes import CLOCK_TOLERANCE_MS, refuse_future, suppressions_by
from decision_service.core.program import NO_ACTION_ACTION, Action, ContactPolicy, Program
from decision_service.core.reasons import Reason
from decision_service.core.record import (
    Activation,
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    Event,
    FeatureStatus,
    Option,
    Outcome,
    PolicyKind,
    ServedFeatures,
    digest_body,
)
from decision_service.core.values import NO_ACTION, ValueType, conforms
from decision_service.ports import (
    Budgets,
    Catalogue,
    Clock,
    Committed,
    Earlier,
    FeatureSource,
    Ledger,
    PolicyStore,
)

MAX_COMMIT_ATTEMPTS = 16


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision and the action it chose, with its payload."""

    record: DecisionRecord
    action: Action


@dataclass(frozen=True, slots=True)
class ActivationResult:
    """`duplicate`: the same status was known. `late`: the lease had lapsed, the slot may have gone to another."""

    duplicate: bool
    late: bool


class DecisionService:
    """Thread-safe: all state is in the adapters. `entropy` returns uniform draws in [0, 1)."""

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
        entropy: Callable[[], float],
        accepting: Callable[[], bool] = lambda: True,
    ) -> None:
        self._policies, self._features, self._ledger, self._budgets = policies, features, ledger, budgets
        self._catalogue = catalogue
        self._rules, self._clock, self._entropy, self._accepting = rules, clock, entropy, accepting

    # ── Decide ────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, request: DecideRequest) -> Decided:
        """Which message on which channel, or nothing.

        Raises:
            InvalidRequest, NotFound: the request names what is wrong with it.
            Conflict: the request id was used with another body.
            Unavailable: the ledger did not answer.
            Overloaded: the log's backlog has reached its bound.
        """
        started = time.perf_counter_ns()
        if not self._accepting():
            raise Overloaded("the warehouse has fallen behind and the decision log is at its bound; retry later")
        # 1. Validate, against one immutable snapshot.
        published = self._policies.current()
        program = published.programs.get(request.programs[0])
        if program is None:
            raise NotFound("program", request.programs[0], _known(published.programs))
        self._validate_context(program, request)
        model = self._catalogue.champion(program.name)
        now_ms = self._clock.now_ms()
        # 3. Gather, in parallel: features and the customer's ledger state, one round trip each.
        pending_state = self._ledger.begin_read(request.customer_id, request.request_id)
        features = self._served(program, request.customer_id, now_ms)
        try:
            read = pending_state.result()
        except Unavailable:
            if request.no_action_when_unavailable:
                return Decided(_unlogged(request, program, published.policy, features, now_ms), NO_ACTION_ACTION)
            raise
        body_digest = digest_body(request)
        if read.earlier is not None:
            return self._answer_again(read.earlier, body_digest)
        gathered = time.perf_counter_ns()
        # 2, 4, 5, 6. Group, shrink, distribute, draw.
        inputs = Inputs(request, program, published.policy, features, read.state, now_ms)
        decision = decide(inputs, self._rules, model, self._entropy())
        decided = time.perf_counter_ns()
        timings = {"gather": (gathered - started) // 1000, "decide": (decided - gathered) // 1000}
        record = _record(
            self._ledger.new_decision_id(request.customer_id, now_ms), body_digest, inputs, decision, timings
        )
        # 7. Commit; 8. respond.
        return self._commit(inputs, record, body_digest)

    def _commit(self, inputs: Inputs, record: DecisionRecord, body_digest: str) -> Decided:
        """Reserve and log in one atomic step; when the state moved, ask the same guardrails about the drawn action."""
        action = _action(inputs.program, record.chosen)
        state = inputs.state
        caps = (*inputs.policy.caps, *inputs.program.caps)
        for _ in range(MAX_COMMIT_ATTEMPTS):
            contact = _contact(record, action)
            outcome = self._ledger.commit(
                record, contact, state.version, droppable(state.contacts, caps, inputs.now_ms) if contact else ()
            )
            if isinstance(outcome, Committed):
                return Decided(record, action)
            if isinstance(outcome, Earlier):
                return self._answer_again(outcome.record, body_digest)
            state = outcome.state
            if recheck(replace(inputs, state=state), action) is not None:
                record, action = _race_lost(record), NO_ACTION_ACTION
        raise Overloaded(f"customer {inputs.request.customer_id!r} is being decided for too often at once")

    def _answer_again(self, record: DecisionRecord, body_digest: str) -> Decided:
        if record.body_digest != body_digest:
            raise Conflict(
                f"request_id {record.request.request_id!r} was already used for this customer with another body; "
                "use a new request_id for a new request"
            )
        return Decided(record, _action(self._program_of(record), record.chosen))

    def _served(self, program: Program, customer_id: str, now_ms: int) -> ServedFeatures:
        try:
            return self._features.begin(program.feature_service, customer_id, now_ms).result()
        except NotFound:
            # Not built yet, or dropped: what the program says of missing features applies.
            return ServedFeatures(FeatureStatus.UNAVAILABLE)

    def _schema(self, program: Program) -> Mapping[str, ValueType]:
        try:
            return self._features.schema(program.feature_service)
        except NotFound:
            return {}

    def _validate_context(self, program: Program, request: DecideRequest) -> None:
        declared: dict[str, ValueType] = {**self._schema(program), **program.context}
        violations = [
            Violation(f"context[{name!r}]", f"is {type(value).__name__}, but the program expects {declared[name]}")
            for name, value in request.context.items()
            if value is not None and name in declared and not conforms(value, declared[name])
        ]
        channels = {a.channel for a in program.actions}
        violations += [
            Violation(
                f"channels[{i}]",
                f"program {program.name!r} has no action on {channel!r}; it has {', '.join(sorted(channels))}",
            )
            for i, channel in enumerate(request.channels)
            if channel not in channels
        ]
        if violations:
            raise InvalidRequest(violations)

    # ── What became of it ─────────────────────────────────────────────────────────────────────────────────

    def report_activation(
        self, decision_id: str, status: ActivationStatus, at_ms: int | None = None, detail: str = ""
    ) -> ActivationResult:
        """Confirm (SENT) or release (FAILED, SKIPPED) a decision's reservation. Idempotent.

        Raises:
            NotFound: no such decision within the ledger's retention.
            Conflict: another status was reported before.
            InvalidRequest: a NO_ACTION decision cannot have been sent; a time in the future or before the decision.
        """
        record = self._ledger.record(decision_id)
        now_ms = self._clock.now_ms()
        sent_ms = now_ms if at_ms is None else at_ms
        if status is ActivationStatus.SENT and not record.is_contact:
            raise InvalidRequest.of("status", "a NO_ACTION decision has nothing to send; report SKIPPED or nothing")
        if sent_ms > now_ms + CLOCK_TOLERANCE_MS:
            raise InvalidRequest.of("at_ms", f"{sent_ms} lies in the future; the server's time is {now_ms}")
        if sent_ms < record.decided_at_ms - CLOCK_TOLERANCE_MS:
            raise InvalidRequest.of("at_ms", f"{sent_ms} lies before the decision at {record.decided_at_ms}")
        # A contact dated before its decision would leave its caps' windows too early.
        sent_ms = max(sent_ms, record.decided_at_ms)
        late = record.reservation is not None and sent_ms > record.reservation.lease_expires_at_ms
        activation = Activation(decision_id, record.request.customer_id, status, sent_ms, now_ms, detail, late)
        contact = None
        if status is ActivationStatus.SENT:
            reserved = _contact(record, _action(self._program_of(record), record.chosen))
            assert reserved is not None
            contact = replace(reserved, status=ContactStatus.SENT, from_ms=sent_ms, until_ms=sent_ms)
        return ActivationResult(duplicate=not self._ledger.activate(activation, contact), late=late)

    def record_outcomes(self, outcomes: Sequence[Outcome]) -> tuple[int, int]:
        """Log outcomes and let them act at once (counters, suppressions): how many were new, how many known.

        Raises:
            InvalidRequest: naming those that lie in the future; none is recorded.
        """
        policy = self._policies.current().policy
        now_ms = self._clock.now_ms()
        refuse_future("outcomes", outcomes, now_ms)
        recorded = 0
        for outcome in outcomes:
            stamped = replace(outcome, received_at_ms=now_ms)
            recorded += self._ledger.add_outcome(stamped, suppressions_by(policy, stamped, now_ms))
        return recorded, len(outcomes) - recorded

    def record_events(self, events: Sequence[Event]) -> tuple[int, int]:
        """Log behavioural events and count them: how many were new, how many known.

        Raises:
            InvalidRequest: naming those that lie in the future; none is recorded.
        """
        now_ms = self._clock.now_ms()
        refuse_future("events", events, now_ms)
        recorded = sum(self._ledger.add_event(replace(event, received_at_ms=now_ms)) for event in events)
        return recorded, len(events) - recorded

    def _program_of(self, record: DecisionRecord) -> Program:
        return self._policies.program_at(record.program, record.program_version)


def _record(
    decision_id: str, body_digest: str, inputs: Inputs, decision: Decision, timings_us: dict[str, int]
) -> DecisionRecord:
    return DecisionRecord(
        decision_id=decision_id,
        request=inputs.request,
        body_digest=body_digest,
        decided_at_ms=inputs.now_ms,
        program=inputs.program.name,
        program_version=inputs.program.version,
        policy_version=inputs.policy.version,
        model=decision.model,
        features=inputs.features,
        live=decision.live,
        state=inputs.state,
        group=decision.group,
        learning_mode=decision.learning_mode,
        policy=decision.policy,
        options=decision.options,
        exclusions=decision.exclusions,
        draw=decision.draw,
        drawn=decision.drawn,
        chosen=decision.drawn,
        channel=_action(inputs.program, decision.drawn).channel,
        reservation=decision.reservation,
        degradations=decision.degradations,
        trainable=decision.trainable,
        encoding_digest=decision.encoding_digest,
        timings_us=timings_us,
    )


def _race_lost(record: DecisionRecord) -> DecisionRecord:
    return replace(
        record,
        chosen=NO_ACTION,
        channel="",
        reservation=None,
        degradations=(*record.degradations, Reason.CAP_RACE_LOST),
        trainable=False,
    )


def _unlogged(
    request: DecideRequest, program: Program, policy: ContactPolicy, features: ServedFeatures, now_ms: int
) -> DecisionRecord:
    """NO_ACTION without the ledger, because the runner asked for it: neither reserved, nor logged, nor learned from."""
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
        features=features,
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


def _contact(record: DecisionRecord, action: Action) -> Contact | None:
    if record.reservation is None:
        return None
    return Contact(
        decision_id=record.decision_id,
        program=record.program,
        action=action.id,
        message=action.message,
        channel=action.channel,
        tags=action.tags,
        status=ContactStatus.RESERVED,
        from_ms=record.reservation.send_at_ms or record.decided_at_ms,
        until_ms=record.reservation.lease_expires_at_ms,
    )


def _action(program: Program, action_id: str) -> Action:
    return next(a for a in program.all_actions if a.id == action_id)


def _known(programs: Mapping[str, Program]) -> str:
    return f"published are {', '.join(sorted(programs))}" if programs else "none is published yet; use `nba apply`"
