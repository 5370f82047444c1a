"""What reports make of a contact. Every report is believed: that a message was sent wins over every word that it was
not, and of what became of it the latest word holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.record import ActivationStatus

SENT = frozenset({ActivationStatus.SENT, ActivationStatus.DELIVERED, ActivationStatus.BOUNCED})
"""Reports that the message went out; DELIVERED and BOUNCED say what became of it, and may stand for SENT."""


@dataclass(frozen=True, slots=True)
class Reported:
    """contact: as it is after the report; None leaves it as it was. contradicts: the report that says otherwise."""

    contact: Contact | None
    contradicts: ActivationStatus | None = None


def report(
    reserved: Contact | None,
    held: Contact | None,
    before: Sequence[ActivationStatus],
    status: ActivationStatus,
    at_ms: int,
) -> Reported | None:
    """What a report says beyond those known, `before`, in the order in which they came; None if it repeats one.

    reserved: the contact as it was reserved; None for a decision that reserved none. held: as the ledger has it now;
    None if no cap can count it any more. at_ms: when it was sent, by this report.
    """
    if status in before:
        return None
    contradicts = _contradicted(before, status)
    if reserved is None or (status not in SENT and not SENT.isdisjoint(before)):
        return Reported(None, contradicts)
    if status not in SENT:
        return Reported(replace(reserved, status=ContactStatus.RELEASED), contradicts)
    sent_ms = at_ms
    if not SENT.isdisjoint(before):
        # What is said of a message that is known to be sent does not bring back one that no cap can count any more.
        if held is None:
            return Reported(None, contradicts)
        # What became of it does not change when it was sent. Nor was it sent after it arrived: others have been decided
        # since, by the time that was known.
        sent_ms = min(at_ms, held.from_ms) if status is ActivationStatus.SENT else held.from_ms
    fates = [s for s in (*before, status) if s in SENT and s is not ActivationStatus.SENT]
    known = fates[-1] if fates else ActivationStatus.SENT
    return Reported(
        replace(reserved, status=ContactStatus(known.value), from_ms=sent_ms, until_ms=sent_ms), contradicts
    )


def _contradicted(before: Sequence[ActivationStatus], status: ActivationStatus) -> ActivationStatus | None:
    """The latest report that cannot be true together with this one. A mail may bounce after it was accepted as
    delivered, as senders document; that it was delivered after it bounced contradicts."""
    for known in reversed(before):
        if (known in SENT) != (status in SENT) or (known, status) == (
            ActivationStatus.BOUNCED,
            ActivationStatus.DELIVERED,
        ):
            return known
    return None
