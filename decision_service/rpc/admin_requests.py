"""What marketers and operators ask: messages of `AdminService`, checked with every violation reported at once."""

from __future__ import annotations

from decision_service.pb import admin_service_pb2 as admin_pb
from decision_service.rpc.checks import Checks


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
