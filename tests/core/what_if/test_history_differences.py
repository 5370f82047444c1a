"""The contacts and budget levels that would have been, by hand: what differs from the log, and since when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.core.model.customer import REPORT_GRACE_MS, Contact, ContactStatus, CustomerState
from decision_service.core.model.record import Activation, ActivationStatus, DecisionRecord, Reservation, Token
from decision_service.core.model.values import NO_ACTION
from decision_service.core.what_if.history_differences import NOTHING, Effect, OtherHistory
from tests.support.logged import T0, decision

LEASE_MS = 900_000
TOKEN = Token("/mails", "day:2023-11-14", 1)
KEYS = (TOKEN.key, "/other@total")


def contact(decision_id: str, from_ms: int = T0, channel: str = "email") -> Contact:
    """A reserved one, of a lease of 15 minutes."""
    return Contact(
        decision_id,
        "spring",
        f"{channel}_a",
        "a",
        channel,
        frozenset(),
        ContactStatus.RESERVED,
        from_ms,
        from_ms + LEASE_MS,
    )


def logged(
    decision_id: str, at_ms: int = T0, is_contact: bool = True, contacts: tuple[Contact, ...] = ()
) -> DecisionRecord:
    """A decision with this contact history and 5 mails taken."""
    record = decision(decision_id, action="email_a" if is_contact else NO_ACTION)
    return replace(
        record,
        decided_at_ms=at_ms,
        state=CustomerState(7, contacts),
        budget_levels={TOKEN.key: 5},
        reservation=Reservation(at_ms + LEASE_MS) if is_contact else None,
    )


def report(status: str, at_ms: int, received_ms: int | None = None) -> Activation:
    """On the decision `d1`."""
    return Activation("d1", "c1", ActivationStatus(status), at_ms, at_ms if received_ms is None else received_ms)


def later(history: OtherHistory, at_ms: int, *contacts: Contact) -> tuple[tuple[Contact, ...], int]:
    """Contacts and mails taken, for a decision of the same customer whose logged history has these contacts."""
    record = logged("d2", at_ms, contacts=contacts)
    return history.state(record).contacts, history.levels(record, KEYS)[TOKEN.key]


def test_nothing_other_is_the_logged_object_itself() -> None:
    """Also after decisions that were the same either way, and for another customer than the one concerned."""
    history, effect = OtherHistory(), Effect(contact("d1"), (TOKEN,))
    history.add(logged("d1"), effect, effect, ())
    record = logged("d2", T0 + 1, contacts=(contact("d1"),))
    assert history.state(record) is record.state
    assert history.levels(record, KEYS) is record.budget_levels
    history.add(logged("d1"), effect, NOTHING, ())
    stranger = replace(record, request=replace(record.request, customer_id="c2"))
    assert history.state(stranger) is stranger.state


def test_a_contact_not_made_is_gone_and_its_token_back() -> None:
    """Whatever it became in the log; the token comes back once, although the log let it lapse later."""
    history = OtherHistory()
    history.add(logged("d1"), Effect(contact("d1"), (TOKEN,)), NOTHING, ())
    sent = replace(contact("d1"), status=ContactStatus.SENT, until_ms=T0)
    before = contact("d0", T0 - 1000)
    assert later(history, T0 + 1, before, contact("d1")) == ((before,), 4)
    assert later(history, T0 + 2, before, sent) == ((before,), 4)
    # In the log the lease lapsed, unreported: then both sides hold no token.
    lapse_ms = T0 + LEASE_MS + REPORT_GRACE_MS
    assert later(history, lapse_ms, before)[1] == 4
    assert later(history, lapse_ms + 1, before) == ((before,), 5)


def test_a_contact_that_only_the_simulation_made_is_sent_when_planned() -> None:
    """It holds its slot from the decision on, is sent at its time, and keeps its token for good."""
    history, planned_ms = OtherHistory(), T0 + 3_600_000
    made = contact("d1", planned_ms)
    history.add(logged("d1", is_contact=False), NOTHING, Effect(made, (TOKEN,)), ())
    assert later(history, T0) == ((made,), 6)
    assert later(history, planned_ms - 1) == ((made,), 6)
    sent = replace(made, status=ContactStatus.SENT, until_ms=planned_ms)
    assert later(history, planned_ms) == ((sent,), 6)
    assert later(history, planned_ms + 10**9) == ((sent,), 6)


@pytest.mark.parametrize(
    ("status", "becomes"),
    [("SENT", ContactStatus.SENT), ("DELIVERED", ContactStatus.DELIVERED), ("BOUNCED", ContactStatus.BOUNCED)],
)
def test_another_contact_is_sent_when_the_logged_one_was(status: str, becomes: ContactStatus) -> None:
    """As much after its own planned time, and known as much later."""
    history, queued_ms = OtherHistory(), T0 + 7_200_000
    made = contact("d1", queued_ms, "sms")
    reports = (report(status, T0 + 60_000, T0 + 90_000),)
    history.add(logged("d1"), Effect(contact("d1"), (TOKEN,)), Effect(made, (TOKEN,)), reports)
    assert later(history, queued_ms + 89_999, contact("d1")) == ((made,), 5)
    at_ms = queued_ms + 60_000
    sent = replace(made, status=becomes, from_ms=at_ms, until_ms=at_ms)
    assert later(history, queued_ms + 90_000, contact("d1")) == ((sent,), 5)


def test_a_delivery_after_sending_keeps_the_time_of_sending() -> None:
    """Reports in whatever order they are given: the one received first came first."""
    history, made = OtherHistory(), contact("d1", channel="sms")
    reports = (report("BOUNCED", T0 + 500_000), report("SENT", T0 + 60_000))
    history.add(logged("d1"), Effect(contact("d1")), Effect(made), reports)
    [bounced], _ = later(history, T0 + 500_000)
    assert (bounced.status, bounced.from_ms, bounced.until_ms) == (ContactStatus.BOUNCED, T0 + 60_000, T0 + 60_000)


def test_another_contact_fails_when_the_logged_one_did() -> None:
    """It is kept as an attempt, and its token comes back with the report."""
    history, made = OtherHistory(), contact("d1", channel="sms")
    token = Token("/texts", "total", 2)
    history.add(logged("d1"), Effect(contact("d1")), Effect(made, (token,)), (report("FAILED", T0 + 60_000),))
    record = logged("d2", T0 + 59_999)
    assert history.state(record).contacts == (made,)
    assert history.levels(record, (token.key,)) == {TOKEN.key: 5, token.key: 2}
    record = logged("d2", T0 + 60_000)
    assert history.state(record).contacts == (replace(made, status=ContactStatus.RELEASED),)
    assert history.levels(record, (token.key,)) is record.budget_levels


def test_a_token_that_lapsed_is_taken_again_when_the_message_was_sent_after_all() -> None:
    """As the ledger does with a late report."""
    history = OtherHistory()
    late_ms = T0 + LEASE_MS + REPORT_GRACE_MS + 60_000
    history.add(logged("d1"), Effect(contact("d1"), (TOKEN,)), NOTHING, (report("SENT", late_ms),))
    assert later(history, T0 + 1)[1] == 4
    assert later(history, late_ms - 1)[1] == 5
    assert later(history, late_ms)[1] == 4


def test_levels_concern_only_the_budgets_asked_for() -> None:
    """Those that the decision depends on; and a budget that the log does not know starts at 0."""
    history, fresh = OtherHistory(), Token("spring/new", "total", 3)
    history.add(
        logged("d1"), Effect(contact("d1"), (TOKEN,)), Effect(contact("d1"), (TOKEN, fresh)), (report("SENT", T0),)
    )
    record = logged("d2", T0 + 1)
    assert history.levels(record, (TOKEN.key,)) is record.budget_levels
    assert history.levels(record, (TOKEN.key, fresh.key)) == {TOKEN.key: 5, fresh.key: 3}
    assert history.state(record) is record.state
