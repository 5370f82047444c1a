"""`nba audit` on a warehouse whose ledger is away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.cli import app
from tests.audit.journal import START_MS, Journal, policy, program


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two mails, where one a day is allowed."""
    monkeypatch.setenv("NBA_EMBEDDED_REDIS_PORT", "1")  # nothing listens there
    journal = Journal(Lakehouse(tmp_path / "warehouse"))
    journal.publish(program())
    journal.publish(policy(caps=[{"id": "one_a_day", "limit": 1, "rolling": "1d"}]))
    journal.send()
    journal.send(START_MS + 1)
    journal.load()
    return tmp_path


def test_violations_are_shown_and_fail(home: Path) -> None:
    """A table of laws, then the violations in words; exit code 1."""
    result = CliRunner().invoke(app, ["audit", "--home", str(home)])
    assert result.exit_code == 1
    assert "frequency caps: 1 violations" in result.stdout
    assert "'one_a_day'" in result.stdout


def test_a_sound_period_passes(home: Path) -> None:
    """Before the second mail nothing was wrong; exit code 0."""
    arguments = ["audit", "--home", str(home), "--until", "2026-03-10T12:00:00.001Z", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["violations"] == 0
    assert document["sections"]["frequency caps"]["checked"] == 1


def test_acknowledged_ids_come_from_a_file(home: Path) -> None:
    """One a line; what is not in the warehouse is missing."""
    (home / "ids.txt").write_text("d1\nd2\n\nlost\n")
    arguments = ["audit", "--home", str(home), "--program", "other", "--acknowledged", str(home / "ids.txt"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    missing = json.loads(result.stdout)["sections"]["missing"]
    assert (missing["checked"], missing["violations"]) == (3, 1)
    assert missing["first"] == ["decision lost was acknowledged and is not there"]
