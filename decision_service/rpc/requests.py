"""What journey runners ask: messages of `DecisionService` → core values, with every violation reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decision_service.contract import messages
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.contract.pb import record_pb2
from decision_service.core.model.record import ALL_PROGRAMS, ActivationStatus, DecideRequest, Event, Outcome
from decision_service.rpc.checks import MAX_BATCH, MAX_PROGRAMS, Checks


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


def decision_id(
    message: pb.GetDecisionRequest | pb.ExplainDecisionRequest | pb.ReplayDecisionRequest | pb.ConfirmSendRequest,
) -> str:
    """Of which decision.

    Raises:
        InvalidRequest: empty or oversized.
    """
    checks = Checks()
    checks.id("decision_id", message.decision_id)
    checks.done()
    return message.decision_id


def customer_id(message: pb.GetCustomerRequest) -> str:
    """Of which customer.

    Raises:
        InvalidRequest: empty or oversized.
    """
    checks = Checks()
    checks.id("customer_id", message.customer_id)
    checks.done()
    return message.customer_id


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
