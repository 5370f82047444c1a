"""What processes tell each other through the ledger's Redis: that models changed, and how each of them is doing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from decision_service.adapters.redis.wire import Wire

_MODELS_CHANGED = "nba:{signals}:models"
_PROCESSES = "nba:{signals}:processes"
STALE_AFTER_MS = 10_000


class RedisSignals:
    """A counter that promotions move, and one status document per living process."""

    def __init__(self, url: str, deadline_ms: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")

    def models_changed(self) -> None:
        """Tell every worker to look for a new champion."""
        self._wire.call("INCR", _MODELS_CHANGED)

    def models_revision(self) -> int:
        """How often models changed."""
        return int(self._wire.call("GET", _MODELS_CHANGED) or 0)

    def report(self, name: str, wall_ms: int, status: Mapping[str, object]) -> None:
        """Put down the status of the process `name`; `wall_ms` is real time, whatever clock the service runs on."""
        self._wire.call("HSET", _PROCESSES, name, json.dumps({"at_ms": wall_ms, **status}))

    def gone(self, name: str) -> None:
        """Forget a process that stopped in good order."""
        self._wire.call("HDEL", _PROCESSES, name)

    def processes(self, wall_ms: int) -> Mapping[str, Mapping[str, Any]]:
        """Name → status of each process heard of within STALE_AFTER_MS; older ones are forgotten."""
        answer = self._wire.call("HGETALL", _PROCESSES)
        known = {answer[i].decode(): json.loads(answer[i + 1]) for i in range(0, len(answer), 2)}
        for name in [n for n, status in known.items() if status["at_ms"] < wall_ms - STALE_AFTER_MS]:
            self.gone(name)
            del known[name]
        return known

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()
