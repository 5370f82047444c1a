"""Core values → the messages that answer a call."""

from __future__ import annotations

from collections.abc import Sequence

from decision_service.application.administration import ProgramSummary
from decision_service.application.decisions import Decided
from decision_service.application.feedback import ActivationResult, Receipt
from decision_service.application.policy_store import Audit, PolicyVersion, ProgramVersion
from decision_service.contract import messages, record_messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.explanation.customer_summary import Standing
from decision_service.core.explanation.explain import Explanation
from decision_service.core.model.sending import Confirmation


def decide_response(decided: Decided) -> pb.DecideResponse:
    """The answer to the runner."""
    record, action = decided.record, decided.action
    answer = pb.DecideResponse(
        decision_id=record.decision_id,
        request_id=record.request.request_id,
        program=record.program,
        action=action.id,
        channel=action.channel,
        message=action.message,
        payload_json=action.payload_json,
        probability=record.probability,
        program_probability=record.program_probability,
        group=messages.GROUP_TO_PB[record.group],
        learning_mode=messages.LEARNING_MODE_TO_PB[record.learning_mode],
        reasons=[messages.REASON_TO_PB[reason] for reason in decided.reasons],
        program_version=record.program_version,
        policy_version=record.policy_version,
        decided_at_ms=record.decided_at_ms,
        unlogged=record.unlogged,
        withheld=messages.REASON_TO_PB[decided.withheld] if decided.withheld is not None else None,
    )
    predicted = next((o.predicted_reward for o in record.options if o.action == record.chosen), None)
    if predicted is not None:
        answer.predicted_reward = predicted
    for program, excluded in [(record.program, record.exclusions), *((c.program, c.exclusions) for c in record.others)]:
        for exclusion in excluded:
            record_messages.fill_exclusion(answer.exclusions.add(program=program), exclusion)
    if record.model is not None:
        record_messages.fill_model(answer.model, record.model)
    if record.reservation is not None:
        answer.lease_expires_at_ms = record.reservation.lease_expires_at_ms
        if record.reservation.send_at_ms is not None:
            answer.send_at_ms = record.reservation.send_at_ms
    if decided.explanation is not None:
        fill_explanation(answer.explanation, decided.explanation)
    return answer


def confirm_send_response(said: Confirmation) -> pb.ConfirmSendResponse:
    """Whether a decided contact may be sent."""
    return pb.ConfirmSendResponse(
        verdict=messages.VERDICT_TO_PB[said.verdict],
        reason=messages.REASON_TO_PB[said.reason] if said.reason is not None else None,
        detail=said.detail,
        at_ms=said.at_ms,
        until_ms=said.until_ms,
    )


def report_activation_response(result: ActivationResult) -> pb.ReportActivationResponse:
    """What a report said that was new."""
    contradicts = result.contradicts
    return pb.ReportActivationResponse(
        duplicate=result.duplicate,
        late=result.late,
        contradicts=messages.ACTIVATION_STATUS_TO_PB[contradicts] if contradicts is not None else None,
    )


def refused(receipt: Receipt) -> list[pb.OtherBody]:
    """The facts that are known with another content."""
    return [pb.OtherBody(index=i, message=message) for i, message in receipt.refused]


def fill_explanation(answer: pb.ExplainDecisionResponse, explanation: Explanation) -> None:
    """Set an empty message to the explanation of a decision."""
    answer.text = explanation.text
    for step in explanation.funnel:
        answer.funnel.add(
            action=step.action,
            kept=step.kept,
            reason=messages.REASON_TO_PB[step.reason] if step.reason is not None else None,
            detail=step.detail,
            remedy=step.remedy,
            probability=step.probability,
            predicted_reward=step.predicted_reward,
            chosen=step.chosen,
            program=step.program,
            change=step.change,
            base_probability=step.base_probability,
            score=step.score,
        )
    answer.runner_up = explanation.attribution.runner_up
    for part in explanation.attribution.contributions:
        answer.contributions.add(input=part.input, value=part.value, amount=part.amount)
    answer.contributions_missing = explanation.attribution.missing
    answer.is_exploration = explanation.is_exploration
    answer.group_because.update(explanation.group_because)
    record_messages.fill_record(answer.record, explanation.record)


def get_customer_response(standing: Standing) -> pb.GetCustomerResponse:
    """What is known of a customer."""
    answer = pb.GetCustomerResponse(
        groups=[
            pb.CustomerGroup(program=g.program, group=messages.GROUP_TO_PB[g.group], because=g.because)
            for g in standing.groups
        ],
        pauses=[
            pb.CustomerPause(rule=p.rule, until_ms=p.until_ms, program=p.program, actions=p.actions)
            for p in standing.pauses
        ],
        at_ms=standing.at_ms,
    )
    messages.fill_state(answer.state, standing.state)
    return answer


def program_summary(summary: ProgramSummary) -> admin_pb.ProgramSummary:
    """A line of the list of programs."""
    return admin_pb.ProgramSummary(
        name=summary.name,
        version=summary.version,
        description=summary.description,
        learning_mode=messages.LEARNING_MODE_TO_PB[summary.learning_mode],
        actions=summary.actions,
        model=summary.model,
        state=messages.PROGRAM_STATE_TO_PB[summary.state],
    )


def get_program_response(program: ProgramVersion, history: Sequence[ProgramVersion]) -> admin_pb.GetProgramResponse:
    """A version of a program with its whole history."""
    return admin_pb.GetProgramResponse(
        name=program.name,
        version=program.version,
        document=program.document,
        audit=_audit(program.audit),
        history=map(_version, history),
        ranges=(
            admin_pb.BucketRange(group=messages.GROUP_TO_PB[r.group], first=r.first, end=r.end) for r in program.ranges
        ),
    )


def get_contact_policy_response(
    policy: PolicyVersion, history: Sequence[PolicyVersion]
) -> admin_pb.GetContactPolicyResponse:
    """A version of the contact policy with its whole history."""
    return admin_pb.GetContactPolicyResponse(
        version=policy.version,
        document=policy.document,
        audit=_audit(policy.audit) if policy.version else None,
        history=map(_version, history),
    )


def _version(published: ProgramVersion | PolicyVersion) -> admin_pb.ProgramVersion:
    return admin_pb.ProgramVersion(version=published.version, audit=_audit(published.audit))


def _audit(audit: Audit) -> admin_pb.Audit:
    return admin_pb.Audit(author=audit.author, at_ms=audit.at_ms, note=audit.note)
