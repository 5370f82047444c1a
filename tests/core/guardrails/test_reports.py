"""Every report is believed: that it was sent wins, and of what became of it the latest word holds."""

from __future__ import annotations

import itertools

import pytest

from decision_service.core.guardrails.reports import SENT, report
from decision_service.core.model.customer import Contact, ContactStatus
from decision_service.core.model.record import ActivationStatus

NOW = 1_700_000_000_000
RESERVED = Contact("d1", "p", "a", "m", "email", frozenset(), ContactStatus.RESERVED, NOW, NOW + 900_000)
S, F, K, D, B = (ActivationStatus(name) for name in ("SENT", "FAILED", "SKIPPED", "DELIVERED", "BOUNCED"))


def told(*statuses: ActivationStatus) -> tuple[Contact, list[ActivationStatus | None]]:
    """The contact after reports a second apart, and what each contradicted."""
    held, contradicted = RESERVED, []
    for i, status in enumerate(statuses):
        reported = report(RESERVED, held, statuses[:i], status, NOW + 1_000 * i)
        assert reported is not None
        held = reported.contact or held
        contradicted.append(reported.contradicts)
    return held, contradicted


@pytest.mark.parametrize(
    ("statuses", "status", "at_s", "contradicts"),
    [
        ([S], "SENT", 0, None),
        ([S, D], "DELIVERED", 0, None),
        ([S, B], "BOUNCED", 0, None),
        ([D, B], "BOUNCED", 0, None),  # as senders document
        ([B, D], "DELIVERED", 0, B),
        ([D, S], "DELIVERED", 1, None),  # SENT tells the true time
        ([F, S], "SENT", 1, F),
        ([F, D], "DELIVERED", 1, F),
        ([S, F], "SENT", 0, S),
        ([S, D, F, B], "BOUNCED", 0, F),
        ([F], "RELEASED", None, None),
        ([K, F], "RELEASED", None, None),
    ],
)
def test_what_reports_make_of_a_contact(
    statuses: list[ActivationStatus], status: str, at_s: int | None, contradicts: ActivationStatus | None
) -> None:
    """Status, time of sending, and whether the last report contradicts an earlier one."""
    contact, contradicted = told(*statuses)
    assert contact.status.value == status
    assert contact.from_ms == (RESERVED.from_ms if at_s is None else NOW + 1_000 * at_s)
    assert contradicted[-1] is contradicts


@pytest.mark.parametrize("statuses", list(itertools.permutations(ActivationStatus, 3)))
def test_that_it_was_sent_wins_in_any_order(statuses: tuple[ActivationStatus, ...]) -> None:
    """If any report says so, it counts as sent; else it is released."""
    contact, _ = told(*statuses)
    assert contact.status.was_sent == (not SENT.isdisjoint(statuses))


@pytest.mark.parametrize("status", list(ActivationStatus))
def test_a_repeated_status_says_nothing(status: ActivationStatus) -> None:
    """Whatever else is known."""
    assert report(RESERVED, RESERVED, (S, status), status, NOW) is None
    assert report(None, None, (status,), status, NOW) is None
