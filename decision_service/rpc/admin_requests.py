"""What marketers and operators ask: messages of `AdminService`, checked with every violation reported at once."""

from __future__ import annotations

from collections.abc import Sequence

from decision_service.application.administration import CustomerSuppression
from decision_service.contract import messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.core.model.program import ProgramState
from decision_service.rpc.checks import MAX_BATCH, Checks

MAX_SIMULATED_DAYS = 92
"""Longest period of one simulation: a quarter."""
_DAY_MS = 86_400_000


def publication(message: admin_pb.ApplyProgramRequest | admin_pb.ApplyContactPolicyRequest) -> None:
    """Check who publishes a document and with what note; the document itself has a parser of its own.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    _document(checks, message.document)
    checks.id("author", message.author)
    checks.text("note", message.note)
    checks.done()


def rollback(message: admin_pb.RollbackProgramRequest | admin_pb.RollbackContactPolicyRequest) -> None:
    """Check which version to return to.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    if isinstance(message, admin_pb.RollbackProgramRequest):
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


def contact_policy_version(message: admin_pb.GetContactPolicyRequest) -> int:
    """Which version of the contact policy is asked for; 0 is the latest.

    Raises:
        InvalidRequest: it is negative.
    """
    checks = Checks()
    checks.version("version", message.version, least=0)
    checks.done()
    return message.version


def program_state(message: admin_pb.SetProgramStateRequest) -> ProgramState:
    """Which state a program is to have; who says so is checked with the rest.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checks.id("name", message.name)
    checks.id("author", message.author)
    checks.text("note", message.note)
    state = checks.member("state", message.state, messages.PROGRAM_STATE_FROM_PB)
    checks.done()
    assert state is not None
    return state


def simulation(message: admin_pb.SimulateProgramRequest) -> None:
    """Check which program is simulated over which period; without a contact policy each decision keeps its own.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    _document(checks, message.document)
    from_ms, until_ms = checks.time("from_ms", message.from_ms), checks.time("until_ms", message.until_ms)
    if not any(violation.field.endswith("_ms") for violation in checks.violations):
        if from_ms >= until_ms:
            checks.fail("until_ms", f"is {until_ms}, not after from_ms, {from_ms}; give the end of the period")
        elif until_ms - from_ms > MAX_SIMULATED_DAYS * _DAY_MS:
            days = (until_ms - from_ms) / _DAY_MS
            checks.fail("until_ms", f"makes a period of {days:.1f} days; give at most {MAX_SIMULATED_DAYS}")
    checks.done()


def suppression(message: admin_pb.SuppressRequest) -> CustomerSuppression:
    """Whom not to contact, on which channel and until when.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checked = _suppression(checks, "", message)
    checks.done()
    return checked


def suppressions(message: admin_pb.SuppressBatchRequest) -> Sequence[CustomerSuppression]:
    """Each as one alone.

    Raises:
        InvalidRequest: listing every violation of every one; then none is applied.
    """
    checks = Checks()
    checks.at_most("suppressions", len(message.suppressions), MAX_BATCH)
    checked = [_suppression(checks, f"suppressions[{i}].", one) for i, one in enumerate(message.suppressions)]
    checks.done()
    return checked


def lifting(message: admin_pb.UnsuppressRequest) -> None:
    """Check whose suppressions are lifted, on which channel.

    Raises:
        InvalidRequest: listing every violation.
    """
    checks = Checks()
    checks.id("customer_id", message.customer_id)
    _channel(checks, "channel", message.channel)
    checks.text("author", message.author)
    checks.text("note", message.note)
    checks.done()


def _suppression(checks: Checks, path: str, message: admin_pb.SuppressRequest) -> CustomerSuppression:
    return CustomerSuppression(
        customer_id=checks.id(f"{path}customer_id", message.customer_id),
        channel=_channel(checks, f"{path}channel", message.channel),
        until_ms=checks.time(f"{path}until_ms", message.until_ms) if message.HasField("until_ms") else None,
        note=checks.text(f"{path}note", message.note),
        author=checks.text(f"{path}author", message.author),
    )


def _channel(checks: Checks, path: str, channel: str) -> str:
    if channel:
        return checks.id(path, channel)
    checks.fail(path, "is empty; name a channel, or * for every one")
    return channel


def _document(checks: Checks, document: str) -> None:
    if not document.strip():
        checks.fail("document", "is empty; give YAML or JSON text, see docs/programs.md")
