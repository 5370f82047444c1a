"""Every report is believed: that it was sent wins, and of what became of it the latest word holds."""

from __future__ import annotations

import itertools

import pytest

from decision_service.core.guardrails.reports import SENT, Reported, report
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
        ([D, S], "DELIVERED", 0, None),  # it was not sent after it arrived
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


def test_a_time_of_sending_that_is_told_later_is_taken_if_it_is_earlier() -> None:
    """DELIVERED stood for it until then, with its own time."""
    arrived = report(RESERVED, RESERVED, (), D, NOW + 60_000)
    assert arrived is not None
    sent = report(RESERVED, arrived.contact, (D,), S, NOW + 5_000)
    assert sent is not None
    assert sent.contact is not None
    assert (sent.contact.status.value, sent.contact.from_ms, sent.contact.until_ms) == (
        "DELIVERED",
        NOW + 5_000,
        NOW + 5_000,
    )


@pytest.mark.parametrize(("before", "status"), [(S, B), (D, S), (S, D)])
def test_what_no_cap_can_count_any_more_is_not_brought_back(before: ActivationStatus, status: ActivationStatus) -> None:
    """Where the ledger answers for decisions for longer than the longest cap, a receipt of today is not a message of
    today; one that was never known to be sent is."""
    assert report(RESERVED, None, (before,), status, NOW + 40 * 86_400_000) == Reported(None)
    late = report(RESERVED, None, (), status, NOW + 40 * 86_400_000)
    assert late is not None
    assert late.contact is not None


@pytest.mark.parametrize("status", list(ActivationStatus))
def test_a_repeated_status_says_nothing(status: ActivationStatus) -> None:
    """Whatever else is known."""
    assert report(RESERVED, RESERVED, (S, status), status, NOW) is None
    assert report(None, None, (status,), status, NOW) is None
