"""The client's methods, one for each method of the API."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import grpc

from decision_service.application.administration import CustomerSuppression, ProgramSummary
from decision_service.application.feedback import ActivationResult, Receipt
from decision_service.application.policy_store import PolicyVersion, ProgramVersion
from decision_service.client.answers import (
    Answer,
    Sendable,
    activation_result_from_pb,
    answer_from_pb,
    audit_from_pb,
    confirmation_from_pb,
    explanation_from_pb,
    program_summary_from_pb,
    receipt_from_pb,
    standing_from_pb,
)
from decision_service.client.calls import Calls, Stubs
from decision_service.client.requests import build, fill, fill_decide, fill_suppression
from decision_service.contract import messages, record_messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.explanation.customer_summary import Standing
from decision_service.core.explanation.explain import Explanation
from decision_service.core.model.customer import ALL_CHANNELS
from decision_service.core.model.errors import NbaError
from decision_service.core.model.program import BucketRange, ProgramState
from decision_service.core.model.record import ActivationStatus, DecideRequest, DecisionRecord, Event, Outcome
from decision_service.core.replay import ReplayResult
from decision_service.rpc import status

P = ParamSpec("P")
T = TypeVar("T")


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
        self._calls = Calls(names, channels, deadline_ms, retries, backoff_ms, credentials)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="nba-client")  # started by the first `run`

    @property
    def connections(self) -> Sequence[Stubs]:
        """The connections that calls go through, in turn."""
        return self._calls.connections

    def close(self) -> None:
        """Close every connection."""
        self._calls.close()
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
        self._calls.wait_ready(timeout_s)

    # Decisions

    def decide(self, request: DecideRequest, *, deadline_ms: int | None = None) -> Answer:
        """Which message on which channel, or nothing. Repeating it with the same request id gives the same answer."""
        message = pb.DecideRequest()
        fill_decide(message, request)
        return answer_from_pb(self._calls.call(lambda s: s.decisions.Decide, message, deadline_ms=deadline_ms))

    def decide_batch(
        self, requests: Iterable[DecideRequest], *, deadline_ms: int | None = None
    ) -> list[Answer | NbaError]:
        """Many customers in one call; in the order of the requests, each with its answer or its own error."""
        message = pb.DecideBatchRequest()
        for i, request in enumerate(requests):
            fill_decide(message.requests.add(), request, f"requests[{i}].")
        results = self._calls.call(lambda s: s.decisions.DecideBatch, message, deadline_ms=deadline_ms).results
        return [
            answer_from_pb(result.response)
            if result.HasField("response")
            else status.from_status(result.error.code, result.error.message, result.error.details)
            for result in results
        ]

    def report_activation(
        self, decision_id: str, activation: ActivationStatus, at_ms: int | None = None, detail: str = ""
    ) -> ActivationResult:
        """What became of a decision; `at_ms` None is the server's time."""
        message = build(
            pb.ReportActivationRequest,
            decision_id=decision_id,
            status=messages.ACTIVATION_STATUS_TO_PB[activation],
            at_ms=at_ms,
            detail=detail,
        )
        answer = self._calls.call(lambda s: s.decisions.ReportActivation, message)
        return activation_result_from_pb(answer)

    def confirm_send(self, decision_id: str) -> Sendable:
        """Whether a decided contact may be sent now; ask just before sending. For what quiet hours queued it must be
        asked. May be asked again: a STOP stays, a GO is judged anew."""
        message = build(pb.ConfirmSendRequest, decision_id=decision_id)
        return confirmation_from_pb(decision_id, self._calls.call(lambda s: s.decisions.ConfirmSend, message))

    def record_outcomes(self, outcomes: Iterable[Outcome]) -> Receipt:
        """How many were new, how many known; and which were refused, as they are known with another content.
        `received_at_ms` is the server's."""
        message = pb.RecordOutcomesRequest()
        for i, outcome in enumerate(outcomes):
            fill(f"outcomes[{i}]", messages.fill_outcome, message.outcomes.add(), outcome)
        return receipt_from_pb(self._calls.call(lambda s: s.decisions.RecordOutcomes, message))

    def record_events(self, events: Iterable[Event]) -> Receipt:
        """As `record_outcomes`."""
        message = pb.RecordEventsRequest()
        for i, event in enumerate(events):
            fill(f"events[{i}]", messages.fill_event, message.events.add(), event)
        return receipt_from_pb(self._calls.call(lambda s: s.decisions.RecordEvents, message))

    def get_decision(self, decision_id: str) -> DecisionRecord:
        """The decision record."""
        message = build(pb.GetDecisionRequest, decision_id=decision_id)
        return record_messages.record_from_pb(self._calls.call(lambda s: s.decisions.GetDecision, message).record)

    def explain(self, decision_id: str) -> Explanation:
        """Why it was decided so."""
        message = build(pb.ExplainDecisionRequest, decision_id=decision_id)
        answer = self._calls.call(lambda s: s.decisions.ExplainDecision, message)
        return explanation_from_pb(answer)

    def replay(self, decision_id: str) -> ReplayResult:
        """Whether recomputing it gives the logged decision."""
        message = build(pb.ReplayDecisionRequest, decision_id=decision_id)
        answer = self._calls.call(lambda s: s.decisions.ReplayDecision, message)
        return ReplayResult(answer.identical, tuple(answer.differences))

    def get_customer(self, customer_id: str) -> Standing:
        """What is known of a customer now: contacts, suppressions, counters, groups, pauses."""
        message = build(pb.GetCustomerRequest, customer_id=customer_id)
        return standing_from_pb(self._calls.call(lambda s: s.decisions.GetCustomer, message))

    # Administration

    def apply_program(
        self, document: str, author: str, note: str = "", *, validate_only: bool = False
    ) -> tuple[str, int]:
        """Publish a program (YAML or JSON text), or only check it; its name and the version that it is, or would be."""
        message = build(
            admin_pb.ApplyProgramRequest, document=document, author=author, note=note, validate_only=validate_only
        )
        answer = self._calls.call(lambda s: s.admin.ApplyProgram, message, is_repeatable=validate_only)
        return answer.name, answer.version

    def list_programs(self) -> list[ProgramSummary]:
        """Every published program."""
        answer = self._calls.call(lambda s: s.admin.ListPrograms, admin_pb.ListProgramsRequest())
        return [program_summary_from_pb(program) for program in answer.programs]

    def get_program(self, name: str, version: int = 0) -> tuple[ProgramVersion, list[ProgramVersion]]:
        """A version (the latest if 0) and the history, whose entries carry no document."""
        message = build(admin_pb.GetProgramRequest, name=name, version=version)
        answer = self._calls.call(lambda s: s.admin.GetProgram, message)
        history = [ProgramVersion(answer.name, past.version, "", audit_from_pb(past.audit)) for past in answer.history]
        ranges = tuple(BucketRange(messages.GROUP_FROM_PB[r.group], r.first, r.end) for r in answer.ranges)
        audit = audit_from_pb(answer.audit)
        return ProgramVersion(answer.name, answer.version, answer.document, audit, ranges), history

    def rollback_program(self, name: str, version: int, author: str, note: str = "") -> int:
        """Publish an earlier version again; the new version."""
        message = build(admin_pb.RollbackProgramRequest, name=name, version=version, author=author, note=note)
        return int(self._calls.call(lambda s: s.admin.RollbackProgram, message, is_repeatable=False).version)

    def set_program_state(self, name: str, state: ProgramState, author: str, note: str = "") -> int:
        """Pause, resume or unpublish a program; its version then."""
        message = build(
            admin_pb.SetProgramStateRequest,
            name=name,
            state=messages.PROGRAM_STATE_TO_PB[state],
            author=author,
            note=note,
        )
        return int(self._calls.call(lambda s: s.admin.SetProgramState, message).version)

    def simulate(
        self,
        document: str,
        from_ms: int,
        until_ms: int,
        contact_policy_document: str = "",
        *,
        deadline_ms: int = 600_000,
    ) -> str:
        """The report, JSON text, on logged decisions of [from_ms, until_ms) replayed through a proposed program, and
        contact policy if one is given: nothing is published."""
        message = build(
            admin_pb.SimulateProgramRequest,
            document=document,
            contact_policy_document=contact_policy_document,
            from_ms=from_ms,
            until_ms=until_ms,
        )
        answer = self._calls.call(
            lambda s: s.admin.SimulateProgram, message, is_repeatable=False, deadline_ms=deadline_ms
        )
        return str(answer.report_json)

    def apply_contact_policy(self, document: str, author: str, note: str = "", *, validate_only: bool = False) -> int:
        """Publish the contact policy, or only check it; the version that it is, or would be."""
        message = build(
            admin_pb.ApplyContactPolicyRequest, document=document, author=author, note=note, validate_only=validate_only
        )
        return int(self._calls.call(lambda s: s.admin.ApplyContactPolicy, message, is_repeatable=validate_only).version)

    def get_contact_policy(self, version: int = 0) -> tuple[PolicyVersion, list[PolicyVersion]]:
        """A version (the latest if 0) and the history, whose entries carry no document; version 0 if there is none."""
        message = build(admin_pb.GetContactPolicyRequest, version=version)
        answer = self._calls.call(lambda s: s.admin.GetContactPolicy, message)
        history = [PolicyVersion(past.version, "", audit_from_pb(past.audit)) for past in answer.history]
        return PolicyVersion(answer.version, answer.document, audit_from_pb(answer.audit)), history

    def rollback_contact_policy(self, version: int, author: str, note: str = "") -> int:
        """Publish an earlier version again; the new version."""
        message = build(admin_pb.RollbackContactPolicyRequest, version=version, author=author, note=note)
        return int(self._calls.call(lambda s: s.admin.RollbackContactPolicy, message, is_repeatable=False).version)

    def suppress(
        self,
        customer_id: str,
        channel: str = ALL_CHANNELS,
        until_ms: int | None = None,
        note: str = "",
        author: str = "",
    ) -> None:
        """Stop contacts on a channel, or all, until a time or for good; also those decided and not sent yet."""
        message = build(
            admin_pb.SuppressRequest,
            customer_id=customer_id,
            channel=channel,
            until_ms=until_ms,
            note=note,
            author=author,
        )
        self._calls.call(lambda s: s.admin.Suppress, message)

    def suppress_batch(self, suppressions: Iterable[CustomerSuppression], *, deadline_ms: int | None = None) -> int:
        """Stop contacts of up to 1,000 customers; how many. If one is wrong, none is applied."""
        message = admin_pb.SuppressBatchRequest()
        for i, suppression in enumerate(suppressions):
            fill(f"suppressions[{i}]", fill_suppression, message.suppressions.add(), suppression)
        return int(self._calls.call(lambda s: s.admin.SuppressBatch, message, deadline_ms=deadline_ms).applied)

    def unsuppress(self, customer_id: str, channel: str = ALL_CHANNELS, author: str = "", note: str = "") -> bool:
        """Lift the suppressions of a channel; False if there were none. What they stopped stays stopped."""
        message = build(admin_pb.UnsuppressRequest, customer_id=customer_id, channel=channel, author=author, note=note)
        return bool(self._calls.call(lambda s: s.admin.Unsuppress, message, is_repeatable=False).lifted)
