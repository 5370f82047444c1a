"""What every call of this API goes through: shed load at the door, note the time, map errors, count.

Nothing here looks at deadlines: gRPC does not begin a call whose deadline passed while it waited for a thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

import grpc

from decision_service.core.model.errors import Overloaded
from decision_service.rpc import status

Handler: TypeAlias = grpc.RpcMethodHandler

_arrived_s: ContextVar[float | None] = ContextVar("arrived_s", default=None)


def arrived_s() -> float | None:
    """When the call that this thread handles arrived, before it waited for a thread, by `time.monotonic`; None where
    no call of this API is being handled."""
    return _arrived_s.get()


class BoundedPool(ThreadPoolExecutor):
    """Knows how many calls it was given and has not finished, those that wait in its queue included.

    Counted by futures, as they end in every case; a call cancelled before its request arrived never reaches
    the servicer, and would stay counted there.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="rpc")
        self._lock = threading.Lock()
        self.inflight = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Count, and run when a thread is free."""
        future = super().submit(fn, *args, **kwargs)
        with self._lock:
            self.inflight += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self.inflight -= 1


class CallCounts:
    """Calls by method and by what became of them, a gRPC code's name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, method: str, result: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[method, result] += 1

    def snapshot(self) -> Mapping[tuple[str, str], int]:
        """(method, result) → calls since the start."""
        with self._lock:
            return dict(self._counts)


class Guard(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Guards the methods of `prefix`; health and reflection pass, so that probes see a busy server as alive."""

    def __init__(self, pool: BoundedPool, max_inflight: int, counts: CallCounts, prefix: str = "/nba.v1.") -> None:
        self._pool, self._max_inflight, self._counts, self._prefix = pool, max_inflight, counts, prefix
        self._guarded: dict[str, tuple[Callable[..., Any], Handler]] = {}
        # Refusals have a thread of their own: behind the queue that they refuse to join they would come too late.
        self._refusals = ThreadPoolExecutor(1, thread_name_prefix="rpc-refusal")
        self._refusal = self._refuse(f"{max_inflight} calls are in flight on this worker; retry with backoff")

    def intercept_service(self, continuation: Callable[[Any], Handler | None], details: Any) -> Handler | None:
        """Runs in gRPC's polling thread, before the call is queued: what waits for a thread has its time already."""
        handler = continuation(details)
        method: str = details.method
        if handler is None or not method.startswith(self._prefix):
            return handler
        if self._pool.inflight >= self._max_inflight:
            self._counts.add(method, grpc.StatusCode.RESOURCE_EXHAUSTED.name)
            return self._refusal
        guarded = self._guarded.get(method)
        if guarded is None:
            guarded = self._guarded[method] = (self._guard(method, handler), handler)
        behaviour, plain = guarded
        return grpc.unary_unary_rpc_method_handler(
            partial(behaviour, time.monotonic()), plain.request_deserializer, plain.response_serializer
        )

    def _refuse(self, message: str) -> Handler:
        canonical = status.to_status(Overloaded(message))

        def refuse(_: bytes, context: grpc.ServicerContext) -> None:
            status.abort(context, canonical)

        refuse.experimental_thread_pool = self._refusals  # type: ignore[attr-defined]
        return grpc.unary_unary_rpc_method_handler(refuse)

    def _guard(self, method: str, handler: Handler) -> Callable[[float, Any, grpc.ServicerContext], Any]:
        behaviour, counts = handler.unary_unary, self._counts

        def guarded(at_s: float, request: Any, context: grpc.ServicerContext) -> Any:
            _arrived_s.set(at_s)
            try:
                answer = behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - every error becomes a status, here and nowhere else
                canonical = status.to_status(error)
                counts.add(method, status.name_of(canonical.code))
                status.abort(context, canonical)
            counts.add(method, "OK")
            return answer

        return guarded

    def close(self) -> None:
        """End its thread."""
        self._refusals.shutdown(wait=False)
