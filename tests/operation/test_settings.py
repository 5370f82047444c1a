"""Settings fail at start, and mean the same wherever a process runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from decision_service.operation.settings import Settings


def test_paths_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and child processes run in folders of their own, so a relative path would mean another place there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBA_HOME", "home")
    settings = Settings(warehouse=Path("lake"), clock="file:now")
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "home"
    assert settings.warehouse_path == tmp_path / "lake"
    assert settings.clock == f"file:{tmp_path / 'now'}"
    assert settings.feature_repo.is_absolute()


def test_the_default_home_is_resolved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is `.nba` in the folder where the command was given."""
    monkeypatch.delenv("NBA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings().home == tmp_path / ".nba"
