"""How the client calls: several connections, one deadline over all attempts, retries where they are safe."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from decision_service.contract.pb import admin_service_pb2_grpc, decision_service_pb2_grpc
from decision_service.core.model.errors import Unavailable
from decision_service.rpc import status

_RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_OPTIONS = (
    # Channels to one target otherwise share one connection, which pins all of them to one worker process.
    ("grpc.use_local_subchannel_pool", 1),
    # A worker that died is replaced within a second; the default waits up to two minutes between attempts.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),  # retried here, within one deadline and on another channel
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


@dataclass(frozen=True, slots=True)
class Stubs:
    """One connection, with a stub of each service."""

    channel: grpc.Channel
    decisions: Any
    admin: Any
    health: Any


def _stubs(target: str, credentials: grpc.ChannelCredentials | None) -> Stubs:
    if credentials is None:
        channel = grpc.insecure_channel(target, options=_OPTIONS)
    else:
        channel = grpc.secure_channel(target, credentials, options=_OPTIONS)
    return Stubs(
        channel,
        decision_service_pb2_grpc.DecisionServiceStub(channel),  # type: ignore[no-untyped-call]
        admin_service_pb2_grpc.AdminServiceStub(channel),  # type: ignore[no-untyped-call]
        health_pb2_grpc.HealthStub(channel),
    )


class Calls:
    """Thread-safe. `DecisionClient` says what the arguments are."""

    def __init__(
        self,
        targets: Sequence[str],
        channels: int,
        deadline_ms: int,
        retries: int,
        backoff_ms: int,
        credentials: grpc.ChannelCredentials | None,
    ) -> None:
        self.connections = [_stubs(target, credentials) for _ in range(channels) for target in targets]
        self._next = itertools.cycle(self.connections)
        self._targets = ", ".join(targets)
        self._deadline_ms, self._retries, self._backoff_ms = deadline_ms, retries, backoff_ms

    def close(self) -> None:
        """Close every connection."""
        for stubs in self.connections:
            stubs.channel.close()

    def wait_ready(self, timeout_s: float) -> None:
        """Return once every connection has reached a serving worker.

        Raises:
            Unavailable: one has not within `timeout_s` seconds.
        """
        until = time.monotonic() + timeout_s
        for stubs in self.connections:
            while not _is_serving(stubs, until - time.monotonic()):
                if time.monotonic() >= until:
                    raise Unavailable("decision service", f"not serving at {self._targets} after {timeout_s:g} s")
                time.sleep(0.02)

    def call(
        self,
        method: Callable[[Stubs], Any],
        message: Any,
        *,
        is_repeatable: bool = True,
        deadline_ms: int | None = None,
    ) -> Any:
        """The answer to one call, on the next connection; with `is_repeatable`, on further ones if it must be.

        Raises:
            NbaError: the error of the tree that the service raised, or Unavailable after the deadline.
        """
        allowed_ms = self._deadline_ms if deadline_ms is None else deadline_ms
        until = time.monotonic() + allowed_ms / 1000
        for attempt in itertools.count():
            try:
                return method(next(self._next))(message, timeout=max(until - time.monotonic(), 0.001))
            except grpc.RpcError as failure:
                if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise Unavailable("decision service", f"no answer within {allowed_ms} ms") from failure
                # Full jitter, so that clients that were refused together do not return together.
                pause_s = random.uniform(0, self._backoff_ms * 2**attempt) / 1000  # noqa: S311 - not a secret
                may_repeat = is_repeatable and failure.code() in _RETRYABLE and attempt < self._retries
                if not may_repeat or time.monotonic() + pause_s >= until:
                    raise status.from_rpc_error(failure) from failure
            time.sleep(pause_s)
        raise AssertionError("the loop ends by returning or raising")


def _is_serving(stubs: Stubs, timeout_s: float) -> bool:
    try:
        answer = stubs.health.Check(health_pb2.HealthCheckRequest(), timeout=max(timeout_s, 0.001), wait_for_ready=True)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
