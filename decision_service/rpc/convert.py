"""API messages → core values, with every violation of a message reported at once, and core values → answers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from decision_service import messages, record_messages
from decision_service.administration import ProgramSummary
from decision_service.core.errors import InvalidRequest, Violation
from decision_service.core.explain import Explanation
from decision_service.core.record import (
    ALL_PROGRAMS,
    ActivationStatus,
    DecideRequest,
    Event,
    Outcome,
)
from decision_service.core.values import MAX_ID_LENGTH, Value
from decision_service.pb import admin_service_pb2 as admin_pb
from decision_service.pb import decision_service_pb2 as pb
from decision_service.pb import record_pb2, types_pb2
from decision_service.ports import Audit, ProgramVersion
from decision_service.service import Decided

T = TypeVar("T")

MAX_VALUES_BYTES = 32 * 1024
"""Most bytes of one context or attribute mapping: the log, the ledger and the warehouse keep it."""
MAX_AMOUNT = 1e12
"""Largest outcome value, either sign: sums of many stay finite."""
MAX_TEXT_LENGTH = 4_096
"""Longest string within a context or attribute value, note or detail, in characters."""
MAX_VALUES = 256
"""Most entries of one context or attribute mapping."""
MAX_PROGRAMS = 100
"""Most programs of one request."""
MAX_BATCH = 1_000
"""Most requests, outcomes or events of one call."""

# Times outside are no epoch milliseconds of a plausible year: seconds or microseconds, sent by mistake.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EARLIEST_MS = 10**11  # 1973
_LATEST_MS = 10**14  # 5138


@dataclass(slots=True)
class Checks:
    """Collects what is wrong with one message. Each check returns the value to go on with."""

    violations: list[Violation] = field(default_factory=list)

    def fail(self, path: str, message: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(path, message))

    def done(self) -> None:
        """Raise InvalidRequest if there were violations."""
        if self.violations:
            raise InvalidRequest(self.violations)

    def id(self, path: str, value: str) -> str:
        """1 to MAX_ID_LENGTH characters."""
        if not value:
            self.fail(path, f"must not be empty; give 1 to {MAX_ID_LENGTH} characters")
        elif len(value) > MAX_ID_LENGTH:
            self.fail(path, f"has {len(value)} characters; give at most {MAX_ID_LENGTH}")
        elif _CONTROL.search(value):
            self.fail(path, "has control characters; give printable ones")
        return value

    def optional_id(self, path: str, value: str) -> str:
        """Empty, or an id."""
        return self.id(path, value) if value else value

    def text(self, path: str, value: str) -> str:
        """At most MAX_TEXT_LENGTH characters."""
        if len(value) > MAX_TEXT_LENGTH:
            self.fail(path, f"has {len(value)} characters; give at most {MAX_TEXT_LENGTH}")
        return value

    def finite(self, path: str, value: float) -> float:
        """Neither NaN nor infinite."""
        if not math.isfinite(value):
            self.fail(path, f"is {value}; give a finite number, or leave it out where it is unknown")
        return value

    def amount(self, path: str, value: float) -> float:
        """Finite, and so small that sums of many stay so."""
        if math.isfinite(self.finite(path, value)) and abs(value) > MAX_AMOUNT:
            self.fail(path, f"is {value}; give an amount within ±{MAX_AMOUNT:g}")
        return value

    def time(self, path: str, value_ms: int) -> int:
        """UTC epoch milliseconds of a plausible year."""
        if not value_ms:
            self.fail(path, "is missing; give UTC epoch milliseconds")
        elif value_ms < _EARLIEST_MS:
            self.fail(path, f"is {value_ms}, before 1973; give UTC epoch milliseconds, not seconds")
        elif value_ms > _LATEST_MS:
            self.fail(path, f"is {value_ms}, beyond the year 5000; give UTC epoch milliseconds, not microseconds")
        return value_ms

    def version(self, path: str, value: int, least: int) -> int:
        """A version number from `least` on."""
        if value < least:
            self.fail(path, f"is {value}; give {least} or more")
        return value

    def member(self, path: str, number: int, members: Mapping[int, T]) -> T | None:
        """The member with this number; None, with a violation, if there is none."""
        if number in members:
            return members[number]
        said = "is missing" if not number else f"{number} is not known"
        self.fail(path, f"{said}; use one of {', '.join(str(m) for m in members.values())}")
        return None

    def at_most(self, path: str, count: int, limit: int) -> None:
        """A collection's size."""
        if count > limit:
            self.fail(path, f"has {count} entries; give at most {limit}")

    def values(self, path: str, values: Mapping[str, types_pb2.Value]) -> dict[str, Value | None]:
        """Named values: numbers finite, texts and names not oversized."""
        self.at_most(path, len(values), MAX_VALUES)
        size = sum(len(name) + message.ByteSize() for name, message in values.items())
        if size > MAX_VALUES_BYTES:
            self.fail(path, f"has {size} bytes; give at most {MAX_VALUES_BYTES}, every decision's record keeps them")
        checked: dict[str, Value | None] = {}
        for name, message in values.items():
            value = messages.value_from_pb(message)
            where = f"{path}[{name[:MAX_ID_LENGTH]!r}]"
            if not name or len(name) > MAX_ID_LENGTH:
                self.id(where, name)
            if isinstance(value, float):
                self.finite(where, value)
            elif isinstance(value, str):
                self.text(where, value)
            elif isinstance(value, tuple):
                self.at_most(where, len(value), MAX_VALUES)
                for i, item in enumerate(value):
                    self.text(f"{where}[{i}]", item)
            checked[name] = value
        return checked


# Requests


def decide_request(message: pb.DecideRequest) -> DecideRequest:
    """What the runner asks.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    for i, program in enumerate(message.programs):
        checks.id(f"programs[{i}]", program)
    if not message.programs:
        checks.fail("programs", f"is empty; name those to choose among, or {ALL_PROGRAMS!r} for all")
    if len(set(message.programs)) < len(message.programs):
        checks.fail("programs", "names a program twice; name each once")
    if ALL_PROGRAMS in message.programs and len(message.programs) > 1:
        checks.fail("programs", f"{ALL_PROGRAMS!r} stands for every program; give it alone")
    checks.at_most("programs", len(message.programs), MAX_PROGRAMS)
    for i, channel in enumerate(message.channels):
        checks.id(f"channels[{i}]", channel)
    request = DecideRequest(
        request_id=checks.id("request_id", message.request_id),
        customer_id=checks.id("customer_id", message.customer_id),
        programs=tuple(message.programs),
        context=checks.values("context", message.context),
        channels=tuple(message.channels),
        pinned_group=(
            checks.member("pinned_group", message.pinned_group, messages.GROUP_FROM_PB)
            if message.pinned_group
            else None
        ),
        no_action_when_unavailable=message.no_action_when_unavailable,
        dry_run=message.dry_run,
        at_ms=checks.time("at_ms", message.at_ms) if message.HasField("at_ms") else None,
    )
    if message.HasField("at_ms") and not message.dry_run:
        checks.fail("at_ms", "is for dry runs: a decision that counts is made now; set dry_run, or leave it out")
    checks.done()
    return request


def batch(message: pb.DecideBatchRequest) -> Sequence[pb.DecideRequest]:
    """The requests of a batch, not yet checked one by one.

    Raises:
        InvalidRequest: too many.
    """
    checks = Checks()
    checks.at_most("requests", len(message.requests), MAX_BATCH)
    checks.done()
    return message.requests


def decision_id(message: pb.GetDecisionRequest | pb.ExplainDecisionRequest | pb.ReplayDecisionRequest) -> str:
    """Of which decision.

    Raises:
        InvalidRequest: empty or oversized.
    """
    checks = Checks()
    checks.id("decision_id", message.decision_id)
    checks.done()
    return message.decision_id


@dataclass(frozen=True, slots=True)
class ActivationReport:
    """The arguments of `report_activation`; `at_ms` None is the server's time."""

    decision_id: str
    status: ActivationStatus
    at_ms: int | None
    detail: str


def activation_report(message: pb.ReportActivationRequest) -> ActivationReport:
    """What became of a decision.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checks.id("decision_id", message.decision_id)
    status = checks.member("status", message.status, messages.ACTIVATION_STATUS_FROM_PB)
    at_ms = checks.time("at_ms", message.at_ms) if message.HasField("at_ms") else None
    checks.text("detail", message.detail)
    checks.done()
    return ActivationReport(message.decision_id, status or ActivationStatus.SKIPPED, at_ms, message.detail)


def outcomes(message: pb.RecordOutcomesRequest) -> list[Outcome]:
    """Outcomes; `received_at_ms` is left for the service to set.

    Raises:
        InvalidRequest: listing every violation of every outcome; then none is recorded.
    """
    checks = Checks()
    checks.at_most("outcomes", len(message.outcomes), MAX_BATCH)
    for i, outcome in enumerate(message.outcomes):
        path = f"outcomes[{i}]"
        _fact(checks, path, outcome)
        checks.id(f"{path}.outcome_id", outcome.outcome_id)
        checks.amount(f"{path}.value", outcome.value)
        checks.optional_id(f"{path}.decision_id", outcome.decision_id)
        checks.optional_id(f"{path}.channel", outcome.channel)
    checks.done()
    return [messages.outcome_from_pb(outcome) for outcome in message.outcomes]


def events(message: pb.RecordEventsRequest) -> list[Event]:
    """Events; `received_at_ms` is left for the service to set.

    Raises:
        InvalidRequest: listing every violation of every event; then none is recorded.
    """
    checks = Checks()
    checks.at_most("events", len(message.events), MAX_BATCH)
    for i, event in enumerate(message.events):
        path = f"events[{i}]"
        _fact(checks, path, event)
        checks.id(f"{path}.event_id", event.event_id)
    checks.done()
    return [messages.event_from_pb(event) for event in message.events]


def _fact(checks: Checks, path: str, fact: record_pb2.Outcome | record_pb2.Event) -> None:
    checks.id(f"{path}.customer_id", fact.customer_id)
    checks.id(f"{path}.name", fact.name)
    checks.time(f"{path}.occurred_at_ms", fact.occurred_at_ms)
    checks.values(f"{path}.attributes", fact.attributes)


def publication(message: admin_pb.ApplyProgramRequest | admin_pb.ApplyContactPolicyRequest) -> None:
    """Check who publishes a document and with what note; the document itself has a parser of its own.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    if not message.document.strip():
        checks.fail("document", "is empty; give YAML or JSON text, see docs/programs.md")
    checks.id("author", message.author)
    checks.text("note", message.note)
    checks.done()


def rollback(message: admin_pb.RollbackProgramRequest) -> None:
    """Check which version to return to.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checks.id("name", message.name)
    checks.version("version", message.version, least=1)
    checks.id("author", message.author)
    checks.text("note", message.note)
    checks.done()


def program_version(message: admin_pb.GetProgramRequest) -> None:
    """Check which program is asked for; version 0 is the latest.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checks.id("name", message.name)
    checks.version("version", message.version, least=0)
    checks.done()


def suppression(message: admin_pb.SuppressRequest | admin_pb.UnsuppressRequest) -> None:
    """Check whom and which channel a suppression concerns, and until when.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checks.id("customer_id", message.customer_id)
    if not message.channel:
        checks.fail("channel", "is empty; name a channel, or * for every one")
    else:
        checks.id("channel", message.channel)
    if isinstance(message, admin_pb.SuppressRequest):
        if message.HasField("until_ms"):
            checks.time("until_ms", message.until_ms)
        checks.text("note", message.note)
    checks.done()


# Answers


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
        group=messages.GROUP_TO_PB[record.group],
        learning_mode=messages.LEARNING_MODE_TO_PB[record.learning_mode],
        reasons=[messages.REASON_TO_PB[reason] for reason in record.degradations],
        program_version=record.program_version,
        policy_version=record.policy_version,
        decided_at_ms=record.decided_at_ms,
        unlogged=record.unlogged,
    )
    predicted = next((o.predicted_reward for o in record.options if o.action == record.chosen), None)
    if predicted is not None:
        answer.predicted_reward = predicted
    for exclusion in record.exclusions:
        record_messages.fill_exclusion(answer.exclusions.add(), exclusion)
    if record.model is not None:
        record_messages.fill_model(answer.model, record.model)
    if record.reservation is not None:
        answer.lease_expires_at_ms = record.reservation.lease_expires_at_ms
        if record.reservation.send_at_ms is not None:
            answer.send_at_ms = record.reservation.send_at_ms
    return answer


def explain_response(explanation: Explanation) -> pb.ExplainDecisionResponse:
    """The explanation of a decision."""
    answer = pb.ExplainDecisionResponse(text=explanation.text)
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
        )
    record_messages.fill_record(answer.record, explanation.record)
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
    )


def get_program_response(program: ProgramVersion, history: Sequence[ProgramVersion]) -> admin_pb.GetProgramResponse:
    """A version of a program with its whole history."""
    return admin_pb.GetProgramResponse(
        name=program.name,
        version=program.version,
        document=program.document,
        audit=_audit(program.audit),
        history=[admin_pb.ProgramVersion(version=past.version, audit=_audit(past.audit)) for past in history],
    )


def _audit(audit: Audit) -> admin_pb.Audit:
    return admin_pb.Audit(author=audit.author, at_ms=audit.at_ms, note=audit.note)
