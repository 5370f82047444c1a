"""`nba timeline` on a lakehouse and a running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decision_service.cli import app
from decision_service.cli.terminal import settings
from decision_service.client import DecisionClient
from decision_service.core.model.errors import InvalidRequest
from decision_service.operation import bootstrap
from decision_service.rpc.server import Server
from decision_service.warehouse.loader import drain
from tests.support.logged import ListLog, activation, decision, outcome


def nba(*arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose warehouse knows a decision, what became of it, and what the customer did."""
    log = ListLog()
    log.add(decision("d1"), activation("d1"), outcome("o1", 90, value=3, decision_id="d1"), decision("d2", "other"))
    drain(log, bootstrap.open_warehouse(settings(tmp_path)), lambda: 0)
    return tmp_path


def test_lines_are_printed_newest_last(home: Path, server: Server, client: DecisionClient) -> None:
    """One readable line each, the service's suppression among them; as JSON the same, whole."""
    client.suppress("c1", "*", None, "moved abroad")
    command = ["timeline", "c1", "--home", str(home), "--target", server.address]
    lines = nba(*command).splitlines()
    assert [line.split()[3] for line in lines] == ["decision", "suppression", "report", "outcome"]
    assert lines[0].startswith("2023-11-14 22:13:20 UTC  decision     spring version 3 chose email_a on email")
    assert lines[0].endswith("[d1]")
    assert "moved abroad" in lines[1]
    document = json.loads(nba(*command, "--json"))
    assert [line["kind"] for line in document["lines"]] == ["decision", "suppression", "report", "outcome"]
    assert (document["more"], document["service"]) == (False, "asked")


def test_periods_and_limits(home: Path, server: Server) -> None:
    """Times are written with their zone; what is left out is said."""
    command = ["timeline", "c1", "--home", str(home), "--target", server.address]
    lines = nba(*command, "--limit", "1").splitlines()
    assert lines[0].startswith("… earlier lines are left out")
    assert "purchase, value 3" in lines[1]
    assert "purchase" in nba(*command, "--from", "2023-11-14T23:14 Europe/Berlin")
    assert nba(*command, "--until", "2023-11-14T22:13Z") == "Nothing is known of c1 in this period.\n"
    with pytest.raises(InvalidRequest, match="--from"):
        nba(*command, "--from", "yesterday")


def test_the_warehouse_speaks_without_the_service(home: Path) -> None:
    """What the service alone knows is missing, and that is said."""
    text = nba("timeline", "c1", "--home", str(home), "--target", "127.0.0.1:1")
    assert "purchase" in text
    assert "Open contacts, suppressions and pauses are not shown: " in text
