"""Answering messages → core values."""

from __future__ import annotations

from dataclasses import dataclass

from decision_service.application.administration import ProgramSummary
from decision_service.application.feedback import ActivationResult, Receipt
from decision_service.application.policy_store import Audit
from decision_service.contract import messages, record_messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.choice.contributions import Contribution
from decision_service.core.explanation.customer_summary import GroupIn, PauseIn, Standing
from decision_service.core.explanation.explain import Attribution, Explanation, FunnelStep
from decision_service.core.model.program import Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ModelVersion
from decision_service.core.model.sending import Verdict
from decision_service.core.model.values import NO_ACTION


@dataclass(frozen=True, slots=True)
class Excluded:
    """An action of a program that could not be chosen, and why; `detail` names the cap, rule or channel."""

    program: str
    action: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What `Decide` answered.

    program: the one that decided, of those that the request named.
    action, channel, message, payload_json: what to send, as in the program; NO_ACTION is to send nothing.
    probability: P(the service chose this action), after every guardrail, over the actions of all programs.
    program_probability: P(this program decided), a factor of it; 1 where no other competed.
    reasons: what was particular about this answer, or why nothing could be chosen; exclusions: why others could not.
    lease_expires_at_ms: send and report before; send_at_ms: when quiet hours end, if they queue the message.
    unlogged: nothing was reserved or logged.
    withheld: why the contact must not be made although it was decided, where the request had been answered before.
    explanation: of a dry run.
    """

    decision_id: str
    request_id: str
    program: str
    action: str
    channel: str
    message: str
    payload_json: str
    probability: float
    program_probability: float
    predicted_reward: float | None
    group: Group
    learning_mode: LearningMode
    reasons: tuple[Reason, ...]
    exclusions: tuple[Excluded, ...]
    program_version: int
    policy_version: int
    model: ModelVersion | None
    lease_expires_at_ms: int | None
    send_at_ms: int | None
    decided_at_ms: int
    unlogged: bool
    explanation: Explanation | None = None
    withheld: Reason | None = None

    @property
    def is_contact(self) -> bool:
        """Whether the customer is to be contacted."""
        return self.action != NO_ACTION and self.withheld is None


@dataclass(frozen=True, slots=True)
class Sendable:
    """What `ConfirmSend` answered.

    reason, detail: why not, with STOP and WAIT. at_ms: as of when. until_ms: with GO, send before then or ask again;
    with WAIT, ask again then.
    """

    decision_id: str
    verdict: Verdict
    reason: Reason | None
    detail: str
    at_ms: int
    until_ms: int | None

    @property
    def is_go(self) -> bool:
        """Whether to send it now."""
        return self.verdict is Verdict.GO


def answer_from_pb(message: pb.DecideResponse) -> Answer:
    """The core value."""
    return Answer(
        decision_id=message.decision_id,
        request_id=message.request_id,
        program=message.program,
        action=message.action,
        channel=message.channel,
        message=message.message,
        payload_json=message.payload_json,
        probability=message.probability,
        program_probability=message.program_probability,
        predicted_reward=message.predicted_reward if message.HasField("predicted_reward") else None,
        group=messages.GROUP_FROM_PB[message.group],
        learning_mode=messages.LEARNING_MODE_FROM_PB[message.learning_mode],
        reasons=tuple(messages.REASON_FROM_PB[reason] for reason in message.reasons),
        exclusions=tuple(
            Excluded(e.program, e.action, messages.REASON_FROM_PB[e.reason], e.detail) for e in message.exclusions
        ),
        program_version=message.program_version,
        policy_version=message.policy_version,
        model=record_messages.model_from_pb(message.model) if message.HasField("model") else None,
        lease_expires_at_ms=message.lease_expires_at_ms if message.HasField("lease_expires_at_ms") else None,
        send_at_ms=message.send_at_ms if message.HasField("send_at_ms") else None,
        decided_at_ms=message.decided_at_ms,
        unlogged=message.unlogged,
        withheld=messages.REASON_FROM_PB[message.withheld] if message.withheld else None,
        explanation=explanation_from_pb(message.explanation) if message.HasField("explanation") else None,
    )


def explanation_from_pb(message: pb.ExplainDecisionResponse) -> Explanation:
    """The core value."""
    return Explanation(
        text=message.text,
        funnel=tuple(map(_step, message.funnel)),
        record=record_messages.record_from_pb(message.record),
        attribution=Attribution(
            message.runner_up,
            tuple(Contribution(part.input, part.value, part.amount) for part in message.contributions),
            message.contributions_missing,
        ),
        is_exploration=message.is_exploration,
        group_because=dict(message.group_because),
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
        program=message.program,
        change=message.change,
        base_probability=message.base_probability if message.HasField("base_probability") else None,
        score=message.score if message.HasField("score") else None,
    )


def standing_from_pb(message: pb.GetCustomerResponse) -> Standing:
    """The core value."""
    return Standing(
        state=messages.state_from_pb(message.state),
        groups=tuple(GroupIn(g.program, messages.GROUP_FROM_PB[g.group], g.because) for g in message.groups),
        pauses=tuple(PauseIn(p.rule, p.until_ms, p.program, tuple(p.actions)) for p in message.pauses),
        at_ms=message.at_ms,
    )


def activation_result_from_pb(message: pb.ReportActivationResponse) -> ActivationResult:
    """The core value."""
    contradicts = messages.ACTIVATION_STATUS_FROM_PB[message.contradicts] if message.contradicts else None
    return ActivationResult(message.duplicate, message.late, contradicts)


def confirmation_from_pb(decision_id: str, message: pb.ConfirmSendResponse) -> Sendable:
    """The core value."""
    return Sendable(
        decision_id=decision_id,
        verdict=messages.VERDICT_FROM_PB[message.verdict],
        reason=messages.REASON_FROM_PB[message.reason] if message.reason else None,
        detail=message.detail,
        at_ms=message.at_ms,
        until_ms=message.until_ms if message.HasField("until_ms") else None,
    )


def receipt_from_pb(message: pb.RecordOutcomesResponse | pb.RecordEventsResponse) -> Receipt:
    """The core value."""
    refused = tuple((one.index, one.message) for one in message.refused)
    return Receipt(message.recorded, message.duplicates, refused, message.historic)


def program_summary_from_pb(message: admin_pb.ProgramSummary) -> ProgramSummary:
    """The core value."""
    return ProgramSummary(
        message.name,
        message.version,
        message.description,
        messages.LEARNING_MODE_FROM_PB[message.learning_mode],
        message.actions,
        message.model,
        messages.PROGRAM_STATE_FROM_PB[message.state],
    )


def audit_from_pb(message: admin_pb.Audit) -> Audit:
    """The core value."""
    return Audit(message.author, message.at_ms, message.note)
