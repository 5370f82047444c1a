"""Commands against a real server on a socket, on in-memory adapters."""

from tests.rpc.conftest import client, gate, server, service

__all__ = ["client", "gate", "server", "service"]
