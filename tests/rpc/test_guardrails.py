"""Several programs, dry runs, customers, the contact policy and suppressions, over a real socket."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.simulations import MemorySimulations
from decision_service.application.administration import CustomerSuppression
from decision_service.application.ports import Simulations
from decision_service.application.services import Services
from decision_service.client import DecisionClient
from decision_service.core.explanation.customer_summary import GroupIn, PauseIn
from decision_service.core.model.customer import ContactStatus, CustomerState
from decision_service.core.model.errors import InvalidRequest, NotFound, Unavailable
from decision_service.core.model.program import Group
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ALL_PROGRAMS, ActivationStatus, DecideRequest, Outcome
from decision_service.rpc.server import Server
from tests.rpc.conftest import WELCOME

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
WINBACK = WELCOME.replace("name: welcome", "name: winback").replace("email_a", "email_w")
PAUSE = "pause_on: [{id: complained, outcome: complaint, count: 1, within: 1d, pauses: channel, for: 7d}]"


@pytest.fixture
def both(client: DecisionClient) -> DecisionClient:
    """With the programs `welcome` and `winback` published."""
    client.apply_program(WINBACK, "ada")
    return client


def ask(number: int = 1, programs: tuple[str, ...] = ("welcome",), **changes: object) -> DecideRequest:
    """A valid request."""
    return DecideRequest(f"r{number}", "c", programs, {"page": "home"}, **changes)  # type: ignore[arg-type]


def contact(client: DecisionClient) -> str:
    """The id of a decision to contact the customer."""
    for number in range(200):
        answer = client.decide(ask(number))
        if answer.is_contact:
            return answer.decision_id
    raise AssertionError("200 uniform draws without a contact")


@pytest.mark.parametrize("programs", [("winback", "welcome"), (ALL_PROGRAMS,)])
def test_programs_compete_for_a_customer(both: DecisionClient, programs: tuple[str, ...]) -> None:
    """One decides; the answer says with which probability, and whose actions were excluded."""
    answer = both.decide(ask(programs=programs))
    record = both.get_decision(answer.decision_id)
    assert record.request.programs == programs
    assert {answer.program, *(other.program for other in record.others)} == {"welcome", "winback"}
    assert answer.program_probability == record.program_probability
    assert 0 < answer.program_probability < 1
    assert answer.probability == record.probability < answer.program_probability
    assert {(e.program, e.action, e.reason) for e in answer.exclusions} == {
        ("welcome", "sms_c", Reason.INELIGIBLE),
        ("winback", "sms_c", Reason.INELIGIBLE),
    }
    assert both.replay(answer.decision_id).identical
    assert both.decide(ask(programs=programs)) == answer


def test_a_program_alone_decides_for_certain(client: DecisionClient) -> None:
    """Without another program P(program) is 1."""
    answer = client.decide(ask())
    assert (answer.program_probability, answer.explanation) == (1.0, None)


def test_an_unknown_program_among_others_is_named(both: DecisionClient) -> None:
    """Nothing is decided without it."""
    with pytest.raises(NotFound, match="winbak"):
        both.decide(ask(programs=("welcome", "winbak")))


def test_a_dry_run_leaves_no_trace(both: DecisionClient) -> None:
    """It answers and explains as a decision would, and nothing is reserved, logged or remembered."""
    answer = both.decide(ask(programs=(ALL_PROGRAMS,), dry_run=True))
    assert answer.unlogged
    assert answer.explanation is not None
    assert {step.action for step in answer.explanation.funnel} >= {"push_b", "sms_c", "NO_ACTION"}
    assert answer.explanation.record.unlogged
    assert answer.explanation.record.chosen == answer.action
    assert both.get_customer("c").state == CustomerState()
    assert not both.decide(ask(programs=("welcome",))).unlogged


def test_a_dry_run_asks_about_another_moment(client: DecisionClient, clock: ManualClock) -> None:
    """As of that time the guardrails are asked; for real, only now can be decided for."""
    client.suppress("c", until_ms=NOW_MS + HOUR_MS)
    now = client.decide(ask(dry_run=True))
    later = client.decide(ask(dry_run=True, at_ms=NOW_MS + 2 * HOUR_MS))
    assert Reason.SUPPRESSED in {e.reason for e in now.exclusions}
    assert Reason.SUPPRESSED not in {e.reason for e in later.exclusions}
    assert later.decided_at_ms == NOW_MS + 2 * HOUR_MS
    with pytest.raises(InvalidRequest, match="at_ms: is for dry runs"):
        client.decide(ask(at_ms=NOW_MS))
    assert clock.now_ms() == NOW_MS


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ((ActivationStatus.SENT, ActivationStatus.DELIVERED), ContactStatus.DELIVERED),
        ((ActivationStatus.SENT, ActivationStatus.BOUNCED), ContactStatus.BOUNCED),
        ((ActivationStatus.DELIVERED,), ContactStatus.DELIVERED),
        ((ActivationStatus.BOUNCED,), ContactStatus.BOUNCED),
        ((ActivationStatus.FAILED,), ContactStatus.RELEASED),
    ],
)
def test_what_became_of_a_message_is_reported(
    client: DecisionClient, clock: ManualClock, reports: tuple[ActivationStatus, ...], status: ContactStatus
) -> None:
    """A delivery or bounce follows SENT, or stands for it; the contact stays at the time it was sent."""
    decision_id = contact(client)
    for report in reports:
        clock.advance(1)
        assert not client.report_activation(decision_id, report).duplicate
    assert client.report_activation(decision_id, reports[-1]).duplicate
    held = next(c for c in client.get_customer("c").state.contacts if c.decision_id == decision_id)
    assert held.status is status
    if status is not ContactStatus.RELEASED:
        assert held.from_ms == NOW_MS + 1_000


def test_contradicting_reports_are_believed_and_told(client: DecisionClient) -> None:
    """What bounced was not delivered; whoever says so learns what is known."""
    decision_id = contact(client)
    client.report_activation(decision_id, ActivationStatus.BOUNCED)
    result = client.report_activation(decision_id, ActivationStatus.DELIVERED)
    assert (result.duplicate, result.contradicts) == (False, ActivationStatus.BOUNCED)
    assert client.report_activation(decision_id, ActivationStatus.BOUNCED).duplicate


def test_a_customer_is_shown(both: DecisionClient) -> None:
    """Contacts, suppressions, counters, groups in every program, and the pauses in force."""
    both.apply_contact_policy(PAUSE, "ada")
    decision_id = contact(both)
    both.suppress("c", "sms", NOW_MS + HOUR_MS, "asked by phone")
    both.record_outcomes([Outcome("o", "c", "complaint", NOW_MS, 0, channel="email")])
    customer = both.get_customer("c")
    assert decision_id in {held.decision_id for held in customer.state.contacts}
    assert [(s.channel, s.reason, s.until_ms, s.note) for s in customer.state.suppressions] == [
        ("sms", Reason.SUPPRESSED, NOW_MS + HOUR_MS, "asked by phone")
    ]
    assert customer.state.events["complaint"].total == 1
    assert [(g.program, g.group) for g in customer.groups] == [
        ("welcome", Group.TREATMENT),
        ("winback", Group.TREATMENT),
    ]
    until_ms = NOW_MS + 7 * 24 * HOUR_MS
    assert customer.pauses == (
        PauseIn("complained", until_ms, "welcome", ("email_a",)),
        PauseIn("complained", until_ms, "winback", ("email_w",)),
    )
    assert customer.at_ms == NOW_MS


def test_an_unknown_customer_has_groups(client: DecisionClient) -> None:
    """Nothing is known of them, yet which group they would be in is, the global holdout included."""
    assert client.get_customer("nobody").state == CustomerState()
    client.apply_contact_policy("holdout: {share: 100%}", "ada")
    assert client.get_customer("nobody").groups == (GroupIn("welcome", Group.HOLDOUT, "global holdout"),)


def test_the_contact_policy_has_versions(client: DecisionClient) -> None:
    """It is read, with its history, and any version can be returned to; each step is audited."""
    assert client.get_contact_policy()[0].version == 0
    with pytest.raises(NotFound, match="none was published yet"):
        client.get_contact_policy(1)
    with pytest.raises(NotFound):
        client.rollback_contact_policy(1, "ada")
    client.apply_contact_policy("consent: {default: deny}", "ada", "careful")
    client.apply_contact_policy("consent: {default: allow}", "bob")
    assert client.rollback_contact_policy(1, "ada", "as it was") == 3
    policy, history = client.get_contact_policy()
    assert (policy.version, json.loads(policy.document)["consent"]) == (3, {"default": "deny"})
    assert [(v.version, v.audit.author, v.audit.note) for v in history] == [
        (1, "ada", "careful"),
        (2, "bob", ""),
        (3, "ada", "as it was"),
    ]
    assert client.get_contact_policy(2)[0].audit.author == "bob"
    with pytest.raises(NotFound, match="versions are 1 to 3"):
        client.get_contact_policy(4)


def test_a_document_is_checked_without_publishing(client: DecisionClient) -> None:
    """The answer has the version that it would become; mistakes are told as ever."""
    changed = WELCOME.replace("limit: 3", "limit: 4")
    assert client.apply_program(WELCOME, "ada", validate_only=True) == ("welcome", 1)
    assert client.apply_program(changed, "ada", validate_only=True) == ("welcome", 2)
    assert client.apply_program(WINBACK, "ada", validate_only=True) == ("winback", 1)
    assert client.apply_contact_policy("caps: []", "ada", validate_only=True) == 1
    assert [(p.name, p.version) for p in client.list_programs()] == [("welcome", 1)]
    assert client.get_contact_policy()[0].version == 0
    with pytest.raises(InvalidRequest, match="limit"):
        client.apply_program(WELCOME.replace("limit: 3", "limit: 0"), "ada", validate_only=True)
    with pytest.raises(InvalidRequest, match="cap"):
        client.apply_contact_policy("capps: []", "ada", validate_only=True)


def test_a_batch_of_suppressions_is_applied_whole_or_not(client: DecisionClient) -> None:
    """Each customer of it is suppressed at once; one that is wrong keeps the others out; it may be repeated."""
    rows = [CustomerSuppression(f"c{i}", "email", NOW_MS + HOUR_MS * (i + 1), "list") for i in range(1_000)]
    over = [CustomerSuppression("a", "*"), CustomerSuppression("b", "*", NOW_MS), CustomerSuppression("", "*")]
    with pytest.raises(InvalidRequest, match=r"suppressions\[2\]\.customer_id"):
        client.suppress_batch(over)
    with pytest.raises(InvalidRequest, match=r"suppressions\[1\]\.until_ms: .* give a later time"):
        client.suppress_batch(over[:2])
    assert client.get_customer("a").state.suppressions == ()
    with pytest.raises(InvalidRequest, match="1001 entries"):
        client.suppress_batch([*rows, rows[0]])
    assert client.suppress_batch(rows) == client.suppress_batch(rows) == 1_000
    (held,) = client.get_customer("c999").state.suppressions
    assert (held.channel, held.until_ms, held.note) == ("email", NOW_MS + HOUR_MS * 1_000, "list")
    assert client.suppress_batch([]) == 0


def test_a_suppression_that_is_over_is_refused(client: DecisionClient) -> None:
    """It would take the place of one that holds for good."""
    client.suppress("c", "email")
    with pytest.raises(InvalidRequest, match=r"until_ms: .* give a later time"):
        client.suppress("c", "email", until_ms=NOW_MS)
    assert client.get_customer("c").state.suppressions[0].until_ms is None


def test_a_proposed_program_is_simulated(service: Services) -> None:
    """Document, contact policy and period reach the simulator, and its report comes back as it is."""
    simulations = MemorySimulations(lambda *asked: json.dumps({"asked": asked}))
    with (
        Server(_with(service, simulations), "127.0.0.1:0") as server,
        DecisionClient(server.address, channels=1) as client,
    ):
        report = client.simulate(WELCOME, NOW_MS, NOW_MS + HOUR_MS, "caps: []")
        assert json.loads(report) == {"asked": [WELCOME, "caps: []", NOW_MS, NOW_MS + HOUR_MS]}
        with pytest.raises(InvalidRequest, match=r"until_ms: makes a period of 100\.0 days"):
            client.simulate(WELCOME, NOW_MS, NOW_MS + 2400 * HOUR_MS)


def test_a_simulation_ends_within_the_deadline(service: Services) -> None:
    """The simulator is told how long the caller waits, at most."""
    patience: list[float] = []

    class Patient:
        def run(self, document: str, policy: str, from_ms: int, until_ms: int, timeout_s: float) -> str:
            patience.append(timeout_s)
            raise Unavailable("simulator", f"no answer within {timeout_s:g} s")

    with (
        Server(_with(service, Patient()), "127.0.0.1:0") as server,
        DecisionClient(server.address, channels=1) as client,
    ):
        client.wait_ready(10)
        with pytest.raises(Unavailable, match="simulator"):
            client.simulate(WELCOME, NOW_MS, NOW_MS + 1, deadline_ms=20_000)
    assert len(patience) == 1
    assert 10 < patience[0] < 20


def _with(service: Services, simulations: Simulations) -> Services:
    return replace(service, simulations=simulations)
