"""The health service, with one thing that gRPC's own lacks: a drain does not wait for those who watch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class _Watch:
    """Sends to one watcher until the stream has been ended, which `None` does; a second end would be an error."""

    def __init__(self, send: Send) -> None:
        self._send, self._is_ended, self._lock = send, False, threading.Lock()

    def __call__(self, response: health_pb2.HealthCheckResponse | None) -> None:
        with self._lock:
            if not self._is_ended:
                self._is_ended = response is None
                self._send(response)


class Health(health.HealthServicer):  # type: ignore[misc]  # grpc ships no types
    """`grpc.health.v1`. Watchers hold their streams open, and would make every drain last its whole grace period."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[_Watch] = set()
        self._watches_lock = threading.Lock()

    def Watch(  # noqa: N802 - gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Send,
    ) -> Any:
        """Send the status now and whenever it changes."""
        watch = _Watch(send_response_callback)
        with self._watches_lock:
            self._watches.add(watch)
        context.add_callback(lambda: self._forget(watch))
        return super().Watch(request, context, watch)

    def _forget(self, watch: _Watch) -> None:
        with self._watches_lock:
            self._watches.discard(watch)

    def drain(self) -> None:
        """Report NOT_SERVING for good, tell every watcher, and end their streams."""
        self.enter_graceful_shutdown()
        with self._watches_lock:
            watches = list(self._watches)
        for watch in watches:
            watch(None)
