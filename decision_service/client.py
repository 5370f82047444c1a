"""The Python client: core types in and out, deadlines by default, retries where they are safe, core errors.

    with DecisionClient("127.0.0.1:50051") as client:
        client.wait_ready(10)
        answer = client.decide(DecideRequest("step-3:c-17", "c-17", "welcome", {"page": "home"}))
        answer = await client.run(client.decide, request)  # the same from asyncio

Every method raises what the service raised: InvalidRequest with its violations, NotFound, Conflict, Unavailable,
Overloaded, NotBuilt. It is thread-safe; make one per process.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from decision_service import messages, record_messages
from decision_service.administration import ProgramSummary
from decision_service.core.customer import ALL_CHANNELS
from decision_service.core.errors import InvalidRequest, NbaError, Unavailable, Violation
from decision_service.core.explain import Explanation, FunnelStep
from decision_service.core.program import Group, LearningMode
from decision_service.core.reasons import Reason
from decision_service.core.record import (
    ActivationStatus,
    DecideRequest,
    DecisionRecord,
    Event,
    Exclusion,
    ModelVersion,
    Outcome,
)
from decision_service.core.replay import ReplayResult
from decision_service.core.values import NO_ACTION
from decision_service.pb import admin_service_pb2 as admin_pb
from decision_service.pb import admin_service_pb2_grpc, decision_service_pb2_grpc
from decision_service.pb import decision_service_pb2 as pb
from decision_service.ports import Audit, ProgramVersion
from decision_service.rpc import status
from decision_service.service import ActivationResult

P = ParamSpec("P")
T = TypeVar("T")

_RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_OPTIONS = (
    # Channels to one target otherwise share one connection, which pins all of them to one worker process.
    ("grpc.use_local_subchannel_pool", 1),
    # A worker that died is replaced within a second; the default waits up to two minutes between attempts.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),  # retried here, within one deadline and on another channel
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What `Decide` answered.

    action, channel, message, payload_json: what to send, as in the program; NO_ACTION is to send nothing.
    probability: P(the service chose this action), after every guardrail.
    reasons: what was particular about this answer; exclusions: why other actions could not be chosen.
    lease_expires_at_ms: send and report before; send_at_ms: when quiet hours end, if they queue the message.
    unlogged: nothing was reserved or logged.
    """

    decision_id: str
    request_id: str
    program: str
    action: str
    channel: str
    message: str
    payload_json: str
    probability: float
    predicted_reward: float | None
    group: Group
    learning_mode: LearningMode
    reasons: tuple[Reason, ...]
    exclusions: tuple[Exclusion, ...]
    program_version: int
    policy_version: int
    model: ModelVersion | None
    lease_expires_at_ms: int | None
    send_at_ms: int | None
    decided_at_ms: int
    unlogged: bool

    @property
    def is_contact(self) -> bool:
        """Whether the customer is to be contacted."""
        return self.action != NO_ACTION


@dataclass(frozen=True, slots=True)
class _Stubs:
    channel: grpc.Channel
    decisions: Any
    admin: Any
    health: Any


def _stubs(target: str, credentials: grpc.ChannelCredentials | None) -> _Stubs:
    if credentials is None:
        channel = grpc.insecure_channel(target, options=_OPTIONS)
    else:
        channel = grpc.secure_channel(target, credentials, options=_OPTIONS)
    return _Stubs(
        channel,
        decision_service_pb2_grpc.DecisionServiceStub(channel),  # type: ignore[no-untyped-call]
        admin_service_pb2_grpc.AdminServiceStub(channel),  # type: ignore[no-untyped-call]
        health_pb2_grpc.HealthStub(channel),
    )


class DecisionClient:
    """Spreads calls over `channels` connections per target, because one connection stays with one worker process.

    deadline_ms: for a whole call, its retries included.
    retries: further attempts when the service is unavailable or sheds load, on the next channel, after a random
    pause that doubles from `backoff_ms`. Only calls that may safely arrive twice are repeated.
    threads: how many calls run at once under asyncio.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        channels: int = 4,
        deadline_ms: int = 2_000,
        retries: int = 4,
        backoff_ms: int = 20,
        threads: int = 32,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        names = [targets] if isinstance(targets, str) else list(targets)
        self._all = [_stubs(target, credentials) for _ in range(channels) for target in names]
        self._next = itertools.cycle(self._all)
        self._targets = ", ".join(names)
        self._deadline_ms, self._retries, self._backoff_ms = deadline_ms, retries, backoff_ms
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="nba-client")  # started by the first `run`

    def close(self) -> None:
        """Close every connection."""
        for stubs in self._all:
            stubs.channel.close()
        self._threads.shutdown(wait=False)

    def __enter__(self) -> DecisionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await one of this client's methods from asyncio. Cancelling stops the wait, not the call."""
        call = functools.partial(method, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def wait_ready(self, timeout_s: float = 10.0) -> None:
        """Return once every channel has reached a serving worker.

        Raises:
            Unavailable: one has not within `timeout_s` seconds.
        """
        until = time.monotonic() + timeout_s
        for stubs in self._all:
            while not self._is_serving(stubs, until - time.monotonic()):
                if time.monotonic() >= until:
                    raise Unavailable("decision service", f"not serving at {self._targets} after {timeout_s:g} s")
                time.sleep(0.02)

    @staticmethod
    def _is_serving(stubs: _Stubs, timeout_s: float) -> bool:
        try:
            answer = stubs.health.Check(
                health_pb2.HealthCheckRequest(), timeout=max(timeout_s, 0.001), wait_for_ready=True
            )
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    # Decisions

    def decide(self, request: DecideRequest, *, deadline_ms: int | None = None) -> Answer:
        """Which message on which channel, or nothing. Repeating it with the same request id gives the same answer."""
        message = pb.DecideRequest()
        _fill_request(message, request)
        return _answer(self._call(lambda s: s.decisions.Decide, message, deadline_ms=deadline_ms))

    def decide_batch(
        self, requests: Iterable[DecideRequest], *, deadline_ms: int | None = None
    ) -> list[Answer | NbaError]:
        """Many customers in one call; in the order of the requests, each with its answer or its own error."""
        message = pb.DecideBatchRequest()
        for i, request in enumerate(requests):
            _fill_request(message.requests.add(), request, f"requests[{i}].")
        results = self._call(lambda s: s.decisions.DecideBatch, message, deadline_ms=deadline_ms).results
        return [
            _answer(result.response)
            if result.HasField("response")
            else status.from_status(result.error.code, result.error.message, result.error.details)
            for result in results
        ]

    def report_activation(
        self, decision_id: str, activation: ActivationStatus, at_ms: int | None = None, detail: str = ""
    ) -> ActivationResult:
        """What became of a decision; `at_ms` None is the server's time."""
        message = _build(
            pb.ReportActivationRequest,
            decision_id=decision_id,
            status=messages.ACTIVATION_STATUS_TO_PB[activation],
            at_ms=at_ms,
            detail=detail,
        )
        answer = self._call(lambda s: s.decisions.ReportActivation, message)
        return ActivationResult(duplicate=answer.duplicate, late=answer.late)

    def record_outcomes(self, outcomes: Iterable[Outcome]) -> tuple[int, int]:
        """How many were new, how many known by id. `received_at_ms` is the server's."""
        message = pb.RecordOutcomesRequest()
        for i, outcome in enumerate(outcomes):
            _fill(f"outcomes[{i}]", messages.fill_outcome, message.outcomes.add(), outcome)
        answer = self._call(lambda s: s.decisions.RecordOutcomes, message)
        return answer.recorded, answer.duplicates

    def record_events(self, events: Iterable[Event]) -> tuple[int, int]:
        """How many were new, how many known by id. `received_at_ms` is the server's."""
        message = pb.RecordEventsRequest()
        for i, event in enumerate(events):
            _fill(f"events[{i}]", messages.fill_event, message.events.add(), event)
        answer = self._call(lambda s: s.decisions.RecordEvents, message)
        return answer.recorded, answer.duplicates

    def get_decision(self, decision_id: str) -> DecisionRecord:
        """The decision record."""
        message = _build(pb.GetDecisionRequest, decision_id=decision_id)
        return record_messages.record_from_pb(self._call(lambda s: s.decisions.GetDecision, message).record)

    def explain(self, decision_id: str) -> Explanation:
        """Why it was decided so."""
        message = _build(pb.ExplainDecisionRequest, decision_id=decision_id)
        answer = self._call(lambda s: s.decisions.ExplainDecision, message)
        return Explanation(answer.text, tuple(map(_step, answer.funnel)), record_messages.record_from_pb(answer.record))

    def replay(self, decision_id: str) -> ReplayResult:
        """Whether recomputing it gives the logged decision."""
        message = _build(pb.ReplayDecisionRequest, decision_id=decision_id)
        answer = self._call(lambda s: s.decisions.ReplayDecision, message)
        return ReplayResult(answer.identical, tuple(answer.differences))

    # Administration

    def apply_program(self, document: str, author: str, note: str = "") -> tuple[str, int]:
        """Publish a program (YAML or JSON text); its name and new version."""
        message = _build(admin_pb.ApplyProgramRequest, document=document, author=author, note=note)
        answer = self._call(lambda s: s.admin.ApplyProgram, message, is_repeatable=False)
        return answer.name, answer.version

    def list_programs(self) -> list[ProgramSummary]:
        """Every published program."""
        answer = self._call(lambda s: s.admin.ListPrograms, admin_pb.ListProgramsRequest())
        return [
            ProgramSummary(
                p.name,
                p.version,
                p.description,
                messages.LEARNING_MODE_FROM_PB[p.learning_mode],
                p.actions,
                p.model,
            )
            for p in answer.programs
        ]

    def get_program(self, name: str, version: int = 0) -> tuple[ProgramVersion, list[ProgramVersion]]:
        """A version (the latest if 0) and the history, whose entries carry no document."""
        message = _build(admin_pb.GetProgramRequest, name=name, version=version)
        answer = self._call(lambda s: s.admin.GetProgram, message)
        history = [ProgramVersion(answer.name, past.version, "", _audit(past.audit)) for past in answer.history]
        return ProgramVersion(answer.name, answer.version, answer.document, _audit(answer.audit)), history

    def rollback_program(self, name: str, version: int, author: str, note: str = "") -> int:
        """Publish an earlier version again; the new version."""
        message = _build(admin_pb.RollbackProgramRequest, name=name, version=version, author=author, note=note)
        return int(self._call(lambda s: s.admin.RollbackProgram, message, is_repeatable=False).version)

    def apply_contact_policy(self, document: str, author: str, note: str = "") -> int:
        """Publish the contact policy; its new version."""
        message = _build(admin_pb.ApplyContactPolicyRequest, document=document, author=author, note=note)
        return int(self._call(lambda s: s.admin.ApplyContactPolicy, message, is_repeatable=False).version)

    def suppress(
        self, customer_id: str, channel: str = ALL_CHANNELS, until_ms: int | None = None, note: str = ""
    ) -> None:
        """Stop contacts on a channel, or all, until a time or for good."""
        message = _build(
            admin_pb.SuppressRequest, customer_id=customer_id, channel=channel, until_ms=until_ms, note=note
        )
        self._call(lambda s: s.admin.Suppress, message)

    def unsuppress(self, customer_id: str, channel: str = ALL_CHANNELS) -> bool:
        """Lift the suppressions of a channel; False if there were none."""
        message = _build(admin_pb.UnsuppressRequest, customer_id=customer_id, channel=channel)
        return bool(self._call(lambda s: s.admin.Unsuppress, message, is_repeatable=False).lifted)

    def _call(
        self,
        method: Callable[[_Stubs], Any],
        message: Any,
        *,
        is_repeatable: bool = True,
        deadline_ms: int | None = None,
    ) -> Any:
        allowed_ms = self._deadline_ms if deadline_ms is None else deadline_ms
        until = time.monotonic() + allowed_ms / 1000
        for attempt in itertools.count():
            try:
                return method(next(self._next))(message, timeout=max(until - time.monotonic(), 0.001))
            except grpc.RpcError as failure:
                if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise Unavailable("decision service", f"no answer within {allowed_ms} ms") from failure
                # Full jitter, so that clients that were refused together do not return together.
                pause_s = random.uniform(0, self._backoff_ms * 2**attempt) / 1000  # noqa: S311 - not a secret
                may_repeat = is_repeatable and failure.code() in _RETRYABLE and attempt < self._retries
                if not may_repeat or time.monotonic() + pause_s >= until:
                    raise status.from_rpc_error(failure) from failure
            time.sleep(pause_s)
        raise AssertionError("the loop ends by returning or raising")


def _build(kind: Callable[..., T], **fields: object) -> T:
    """A message; InvalidRequest where Python's types do not fit its fields."""
    violations: list[Violation] = []
    for name, value in fields.items():
        _attempt(violations, name, value, lambda name=name, value=value: kind(**{name: value}))  # type: ignore[misc]
    if violations:
        raise InvalidRequest(violations)
    return kind(**fields)


def _attempt(violations: list[Violation], path: str, value: object, change: Callable[[], object]) -> None:
    """Change a message, or note that the value is of a type that the field cannot hold."""
    try:
        change()
    except (TypeError, ValueError, KeyError) as error:
        violations.append(Violation(path, f"cannot be the {type(value).__name__} {value!r:.80}: {error}"))


def _fill(path: str, fill: Callable[[Any, T], None], message: Any, value: T) -> None:
    violations: list[Violation] = []
    _attempt(violations, path, value, lambda: fill(message, value))
    if violations:
        raise InvalidRequest(violations)


def _fill_request(message: pb.DecideRequest, request: DecideRequest, path: str = "") -> None:
    wrong: list[Violation] = []
    for name in ("request_id", "customer_id", "no_action_when_unavailable", "dry_run"):
        value = getattr(request, name)
        _attempt(wrong, path + name, value, functools.partial(setattr, message, name, value))
    _attempt(wrong, f"{path}programs", list(request.programs), lambda: message.programs.extend(request.programs))
    _attempt(wrong, f"{path}channels", request.channels, lambda: message.channels.extend(request.channels))
    if (at_ms := request.at_ms) is not None:
        _attempt(wrong, f"{path}at_ms", at_ms, lambda: setattr(message, "at_ms", at_ms))
    if (group := request.pinned_group) is not None:
        _attempt(wrong, f"{path}pinned_group", group, lambda: _pin(message, group))
    for name, value in request.context.items():
        _attempt(wrong, f"{path}context[{name!r}]", value, functools.partial(_fill_context, message, name, value))
    if wrong:
        raise InvalidRequest(wrong)


def _pin(message: pb.DecideRequest, group: Group) -> None:
    message.pinned_group = messages.GROUP_TO_PB[group]


def _fill_context(message: pb.DecideRequest, name: str, value: Any) -> None:
    messages.fill_value(message.context[name], value)


def _answer(message: pb.DecideResponse) -> Answer:
    return Answer(
        decision_id=message.decision_id,
        request_id=message.request_id,
        program=message.program,
        action=message.action,
        channel=message.channel,
        message=message.message,
        payload_json=message.payload_json,
        probability=message.probability,
        predicted_reward=message.predicted_reward if message.HasField("predicted_reward") else None,
        group=messages.GROUP_FROM_PB[message.group],
        learning_mode=messages.LEARNING_MODE_FROM_PB[message.learning_mode],
        reasons=tuple(messages.REASON_FROM_PB[reason] for reason in message.reasons),
        exclusions=tuple(map(record_messages.exclusion_from_pb, message.exclusions)),
        program_version=message.program_version,
        policy_version=message.policy_version,
        model=record_messages.model_from_pb(message.model) if message.HasField("model") else None,
        lease_expires_at_ms=message.lease_expires_at_ms if message.HasField("lease_expires_at_ms") else None,
        send_at_ms=message.send_at_ms if message.HasField("send_at_ms") else None,
        decided_at_ms=message.decided_at_ms,
        unlogged=message.unlogged,
    )


def _step(message: pb.FunnelStep) -> FunnelStep:
    return FunnelStep(
        action=message.action,
        kept=message.kept,
        reason=messages.REASON_FROM_PB[message.reason] if message.reason else None,
        detail=message.detail,
        remedy=message.remedy,
        probability=message.probability if message.HasField("probability") else None,
        predicted_reward=message.predicted_reward if message.HasField("predicted_reward") else None,
        chosen=message.chosen,
    )


def _audit(message: admin_pb.Audit) -> Audit:
    return Audit(message.author, message.at_ms, message.note)
