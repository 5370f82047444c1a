"""The supervisor refuses to share what must be its own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from decision_service.core.model.errors import Unavailable
from decision_service.operation import supervisor
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import Stack


def test_a_port_in_use_is_refused(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that would let itself be shared: calls would be dealt out between two ledgers."""
    monkeypatch.setattr(supervisor, "ORPHANS_END_S", 0.2)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = Settings(home=tmp_path, port=port, ledger_url=redis_url, features_url=redis_url)
        with pytest.raises(Unavailable, match="NBA_PORT"):
            Stack(settings).start()


def test_a_home_in_use_is_refused(tmp_path: Path, redis_url: str) -> None:
    """Two supervisors would fight over one Redis and one warehouse."""
    settings = Settings(home=tmp_path, ledger_url=redis_url, features_url=redis_url)
    first, second = Stack(settings), Stack(settings)
    first.start_redis()
    with pytest.raises(Unavailable, match="another supervisor"):
        second.start_redis()
    first.stop()
    second.start_redis()
    second.stop()
