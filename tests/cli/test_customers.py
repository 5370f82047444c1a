"""What marketers type about customers, and what they read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from decision_service.adapters.clocks import ManualClock
from decision_service.cli import app
from decision_service.client import DecisionClient
from decision_service.core.model.errors import InvalidRequest, Unavailable
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecideRequest, Outcome
from decision_service.rpc.server import Server

NOW_MS = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC
HOUR_MS = 3_600_000
Nba = Callable[..., str]


@pytest.fixture
def nba(server: Server, monkeypatch: pytest.MonkeyPatch) -> Nba:
    """Runs a command against the server; what it prints, or the error that `main` would explain."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, target: str = server.address) -> str:
        result = CliRunner().invoke(app, [*arguments, "--target", target], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def decide(client: DecisionClient, number: int) -> str:
    """The id of a decision to contact the customer."""
    for attempt in range(200):
        answer = client.decide(DecideRequest(f"r{number}-{attempt}", "c", ("welcome",)))
        if answer.is_contact:
            return answer.decision_id
    raise AssertionError("200 uniform draws without a contact")


def test_a_customer_is_described(nba: Nba, client: DecisionClient, clock: ManualClock) -> None:
    """What became of each contact and when it lapses, what holds contact back, groups and counters, in words."""
    client.apply_contact_policy(
        "pause_on: [{id: dismissed, outcome: dismiss, count: 1, within: 1d, for: 7d, pauses: all}]", "ada"
    )
    sent, lapsed = decide(client, 1), decide(client, 2)
    client.report_activation(sent, ActivationStatus.SENT)
    client.report_activation(sent, ActivationStatus.BOUNCED)
    clock.advance(3_600)
    reserved, failed = decide(client, 3), decide(client, 4)
    client.report_activation(failed, ActivationStatus.FAILED)
    client.suppress("c", "sms", NOW_MS + 2 * HOUR_MS, "asked by phone")
    client.suppress("c", "fax", NOW_MS + HOUR_MS + 1_000)
    clock.advance(2)
    client.record_outcomes([Outcome("o", "c", "dismiss", NOW_MS + HOUR_MS, 0)])
    told = nba("customer", "c")
    assert told.startswith("Customer c, 2023-11-14 23:13:22 UTC")
    for decision_id, fate in [
        (sent, "bounced, sent 2023-11-14 22:13:20 UTC"),
        (lapsed, "never reported; its reservation lapsed 2023-11-14 22:28:20 UTC"),
        (reserved, "reserved, lapses 2023-11-14 23:28:20 UTC"),
        (failed, "not sent; reserved for 2023-11-14 23:13:20 UTC"),
    ]:
        line, explain = next(
            pair for pair in zip(told.splitlines(), told.splitlines()[1:], strict=False) if decision_id in pair[1]
        )
        assert line.endswith(f", by welcome: {fate}")
        assert explain.split() == ["nba", "explain", decision_id]
    for words in (
        ["sms", "until 2023-11-15 00:13:20 UTC", "SUPPRESSED", "asked by phone"],
        ["welcome", "email_a, push_b, sms_c", "2023-11-21 23:13:20 UTC", "dismissed"],
        ["welcome", "TREATMENT", "bucket"],
        ["dismiss", "1", "2023-11-14 23:13:20 UTC"],
    ):
        assert any(all(word in line for word in words) for line in told.splitlines()), words
    assert "fax" not in told
    document = json.loads(nba("customer", "c", "--json"))
    assert {s["channel"]: s["in_force"] for s in document["suppressions"]} == {"sms": True, "fax": False}
    assert list(document["counters"]) == ["dismiss"]
    assert {c["status"] for c in document["contacts"]} == {"BOUNCED", "RESERVED", "RELEASED", "LAPSED"}


def test_an_unknown_customer_is_described(nba: Nba) -> None:
    """Nothing is known, and that is said."""
    told = nba("customer", "nobody")
    for title in ("Contacts", "Suppressions", "Pauses", "Live counters"):
        assert f"{title}: none" in told


def test_a_customer_is_suppressed_and_freed(nba: Nba, client: DecisionClient) -> None:
    """What holds from then on is said, and what was lifted, and what is left."""
    assert nba("suppress", "c", "--note", "by phone") == "c is not contacted on any channel, for good.\n"
    assert (
        nba("suppress", "c", "--channel", "email", "--until", "2023-12-24T19:00 Europe/Berlin")
        == "c is not contacted on email, until 2023-12-24 18:00 UTC.\n"
    )
    assert "is it spelled right?" in nba("suppress", "c", "--channel", "emial")
    assert len(client.get_customer("c").state.suppressions) == 3
    told = nba("unsuppress", "c")
    assert told.startswith("Lifted for c:\n  every channel, for good: SUPPRESSED (by phone)\nStill in force")
    assert "  email, until 2023-12-24 18:00 UTC: SUPPRESSED" in told
    assert "No suppression of c holds for every channel; nothing changed." in nba("unsuppress", "c")
    assert json.loads(nba("unsuppress", "c", "--channel", "email", "--json"))["lifted"] is True
    assert [s.channel for s in client.get_customer("c").state.suppressions] == ["emial"]


@pytest.mark.parametrize(
    ("arguments", "field", "fix"),
    [
        (("suppress", "c", "--until", "soon"), "--until", "write it as"),
        (("suppress", "c", "--until", "2020-01-01T00:00Z"), "--until", "give a later time"),
        (("suppress", ""), "CUSTOMER", "must not be empty"),
        (("suppress", "c", "--channel", ""), "--channel", "name a channel"),
        (("decide", "--customer", "c"), "--program", "or give --all"),
        (("decide", "--customer", "c", "--program", "welcome", "--all"), "--program", "not both"),
        (("decide", "--customer", "c", "--all", "--at", "2027-01-01T00:00Z"), "--at", "add --dry-run"),
        (("decide", "--customer", "c", "--all", "--dry-run", "--at", "2027-01-01"), "--at", "has no time of day"),
    ],
)
def test_a_wrong_command_line_is_named(nba: Nba, arguments: tuple[str, ...], field: str, fix: str) -> None:
    """At the option, with the fix."""
    with pytest.raises(InvalidRequest) as caught:
        nba(*arguments)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert fix in violation.message


def test_a_list_is_checked_and_imported(nba: Nba, client: DecisionClient, tmp_path: Path) -> None:
    """In batches, as often as one likes; a dry run applies nothing; doubts about channels are told."""
    file = tmp_path / "list.csv"
    rows = [f"c{i},{'emial' if i == 7 else 'email'},," for i in range(2_500)]
    file.write_text("\n".join(["customer_id,channel,until,note", *rows, "c1,sms,2020-01-01T00:00Z,old"]))
    checked = json.loads(nba("suppress-import", str(file), "--dry-run", "--json"))
    assert (checked["applied"], checked["customers"], checked["already_over"]) == (0, 2_500, [2_502])
    assert client.get_customer("c2").state.suppressions == ()
    told = nba("suppress-import", str(file))
    assert "No published program has a message on 'emial' (line 9): is it spelled right?" in told
    assert json.loads(nba("suppress-import", str(file), "--json"))["applied"] == 2_500
    assert [s.channel for s in client.get_customer("c2499").state.suppressions] == ["email"]
    assert Reason.SUPPRESSED in {e.reason for e in client.decide(DecideRequest("r", "c2", ("welcome",))).exclusions}


def test_a_list_with_a_mistake_is_refused_whole(nba: Nba, client: DecisionClient, tmp_path: Path) -> None:
    """Every mistake with the name of the file and the line."""
    file = tmp_path / "list.csv"
    file.write_text("customer_id,channel\nc,email\n,email\nd,\n")
    with pytest.raises(InvalidRequest) as caught:
        nba("suppress-import", str(file))
    assert [v.field for v in caught.value.violations] == ["list.csv, line 3, customer_id", "list.csv, line 4, channel"]
    assert client.get_customer("c").state.suppressions == ()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        nba("suppress-import", str(tmp_path / "none.csv"))


def test_what_the_service_refuses_is_told_at_its_line(
    nba: Nba, clock: ManualClock, client: DecisionClient, tmp_path: Path
) -> None:
    """By the service's clock a time may be over that is not by this machine's."""
    clock.set(4_102_444_800_000)  # 2100
    file = tmp_path / "list.csv"
    file.write_text("customer_id,channel,until\n\nc,email,\nd,email,2099-01-01T00:00Z\n")
    with pytest.raises(InvalidRequest) as caught:
        nba("suppress-import", str(file))
    assert [v.field for v in caught.value.violations] == ["list.csv, line 4, until"]
    assert client.get_customer("c").state.suppressions == ()


def test_a_list_is_checked_without_a_service(nba: Nba, tmp_path: Path) -> None:
    """A dry run says what could not be checked; an import needs the service."""
    file = tmp_path / "list.csv"
    file.write_text("customer_id,channel\nc,email\n")
    told = nba("suppress-import", str(file), "--dry-run", target="127.0.0.1:1")
    assert "The service does not answer, so the names of channels were not checked." in told
    with pytest.raises(Unavailable):
        nba("suppress-import", str(file), target="127.0.0.1:1")


def test_several_programs_are_decided_between(nba: Nba, client: DecisionClient) -> None:
    """By name or all of them; the answer says with which probability its program was the one."""
    client.apply_program(client.get_program("welcome")[0].document.replace('"welcome"', '"winback"'), "ada")
    for choice in (["--all"], ["--program", "winback", "--program", "welcome"]):
        answer: dict[str, Any] = json.loads(nba("decide", "--customer", "c", *choice, "--json"))
        record = client.get_decision(answer["decision_id"])
        assert answer["program_probability"] == record.program_probability < 1
        assert {e["program"] for e in answer["exclusions"]} == {"welcome", "winback"}
    assert "the program's" in nba("decide", "--customer", "c", "--all")


def test_a_dry_run_explains_and_leaves_nothing(nba: Nba, client: DecisionClient) -> None:
    """As of another time, if that is asked."""
    client.suppress("c", until_ms=NOW_MS + HOUR_MS)
    told = nba("decide", "--customer", "c", "--all", "--dry-run")
    assert "decided 2023-11-14 22:13:20 UTC" in told
    assert "a dry run: nothing was reserved or logged" in told
    assert "SUPPRESSED" in told
    later = nba("decide", "--customer", "c", "--program", "welcome", "--dry-run", "--at", "2023-11-15T09:00Z")
    assert "decided 2023-11-15 09:00:00 UTC" in later
    assert "SUPPRESSED" not in later
    assert client.get_customer("c").state.contacts == ()
