"""A gRPC server over one service object: thread pool, shared port, health, reflection, graceful drain."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from decision_service.application.services import Services
from decision_service.contract.pb import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    decision_service_pb2,
    decision_service_pb2_grpc,
)
from decision_service.core.model.errors import Unavailable
from decision_service.rpc.interceptors import BoundedPool, CallCounts, Guard
from decision_service.rpc.probes import Health
from decision_service.rpc.servicer import AdminServicer, DecisionServicer

MAX_MESSAGE_BYTES = 8 * 1024 * 1024

OPTIONS = (
    ("grpc.so_reuseport", 1),  # one process per worker, all on one port
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Server:
    """Synchronous: with these small messages a thread pool answers half as many calls again as `grpc.aio`.

    address: what it listens on, with the port that port 0 became.
    counts: calls by method and result.
    """

    def __init__(self, services: Services, address: str, *, threads: int = 8, max_inflight: int = 256) -> None:
        """Bind; `start` begins to answer.

        Raises:
            Unavailable: the address cannot be listened on.
        """
        self.counts = CallCounts()
        self._pool = BoundedPool(threads)
        self._guard = Guard(self._pool, max_inflight, self.counts)
        self._health = Health()
        self._grpc = grpc.server(self._pool, interceptors=(self._guard,), options=OPTIONS)
        # The generated functions are untyped.
        decision_service_pb2_grpc.add_DecisionServiceServicer_to_server(  # type: ignore[no-untyped-call]
            DecisionServicer(services), self._grpc
        )
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(  # type: ignore[no-untyped-call]
            AdminServicer(services), self._grpc
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = [
            decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"].full_name,
            admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
        ]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._grpc)
        self._names = names
        self.report_health(True)
        try:
            port = self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise Unavailable(
                "grpc", f"cannot listen on {address}; is the port in use, the host this machine's?"
            ) from error
        self.address = f"{address.rpartition(':')[0]}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._grpc.start()

    def report_health(self, is_healthy: bool) -> None:
        """Tell the health service's callers whether to send requests here; no effect once stopped."""
        for name in ("", *self._names):
            self._health.set(
                name,
                health_pb2.HealthCheckResponse.SERVING if is_healthy else health_pb2.HealthCheckResponse.NOT_SERVING,
            )

    def stop(self, grace_s: float) -> None:
        """Report NOT_SERVING, refuse new calls, finish those in flight for up to `grace_s` seconds, and stop."""
        self._health.drain()
        self._grpc.stop(grace_s).wait()
        self._guard.close()
        self._pool.shutdown(wait=False)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)
