"""What the client adds to the calls: retries, deadlines, asyncio."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import time

import grpc
import pytest

from decision_service.adapters.redis.embedded import free_port
from decision_service.application.services import Services
from decision_service.client import DecisionClient, methods
from decision_service.core.model.errors import InvalidRequest, Unavailable
from decision_service.core.model.record import DecideRequest
from decision_service.rpc.server import Server
from tests.rpc.conftest import Gate
from tests.rpc.test_errors import OFFERED

REQUEST = DecideRequest("r", "c", ("welcome",))


def test_a_call_outlives_a_restart(service: Services) -> None:
    """With the server down a decision is retried, and succeeds once it is back, within its deadline."""
    address = f"127.0.0.1:{free_port()}"
    with DecisionClient(address, channels=1, deadline_ms=20_000, retries=12, backoff_ms=20) as client:
        with Server(service, address):
            first = client.decide(REQUEST)
        back = Server(service, address)
        timer = threading.Timer(0.3, back.start)
        timer.start()
        assert client.decide(REQUEST) == first
        timer.join()
        back.stop(0)


def test_only_safe_calls_are_repeated(gate: Gate, service: Services) -> None:
    """A decision that meets an unavailable part is retried; a rollback is tried once."""
    gate.failure = Unavailable("features", "down")
    with (
        Server(service, "127.0.0.1:0") as server,
        DecisionClient(server.address, retries=3, backoff_ms=1, deadline_ms=10_000) as client,
    ):
        with pytest.raises(Unavailable, match="features: down"):
            client.decide(REQUEST)
        assert gate.reads == 4
    with DecisionClient("127.0.0.1:1", retries=1_000, backoff_ms=1_000, deadline_ms=60_000) as client:
        start = time.monotonic()
        with pytest.raises(Unavailable):
            client.rollback_program("welcome", 1, "me")
        assert time.monotonic() - start < 30


def test_the_deadline_holds_over_retries() -> None:
    """However many retries are allowed, a call ends within its deadline."""
    with DecisionClient("127.0.0.1:1", retries=1_000_000, backoff_ms=1, deadline_ms=200) as client:
        start = time.monotonic()
        with pytest.raises(Unavailable):
            client.decide(REQUEST)
        assert time.monotonic() - start < 5


def test_a_silent_server_is_given_up_on(client: DecisionClient, gate: Gate) -> None:
    """Without an answer the caller gets Unavailable after the deadline, saying how long it was."""
    gate.opened.clear()
    with pytest.raises(Unavailable, match="no answer within 50 ms"):
        client.decide(REQUEST, deadline_ms=50)
    gate.opened.set()


def test_calls_can_be_awaited(client: DecisionClient) -> None:
    """From asyncio, calls run at once and raise the same errors."""

    async def journey() -> None:
        requests = [DecideRequest(f"r{i}", f"c{i}", ("welcome",)) for i in range(20)]
        answers = await asyncio.gather(*(client.run(client.decide, r) for r in requests))
        assert [a.request_id for a in answers] == [r.request_id for r in requests]
        with pytest.raises(InvalidRequest, match="customer_id"):
            await client.run(client.decide, DecideRequest("r", "", ("welcome",)), deadline_ms=5_000)

    asyncio.run(journey())


def test_waiting_for_nobody_ends() -> None:
    """`wait_ready` says where it waited and for how long."""
    with (
        DecisionClient("127.0.0.1:1", channels=1) as client,
        pytest.raises(Unavailable, match=r"not serving at 127\.0\.0\.1:1 after 0\.2 s"),
    ):
        client.wait_ready(0.2)


def test_waiting_covers_a_late_start(service: Services) -> None:
    """`wait_ready` returns when the server begins to answer."""
    server = Server(service, "127.0.0.1:0")
    timer = threading.Timer(0.2, server.start)
    timer.start()
    with DecisionClient(server.address, channels=2) as client:
        client.wait_ready(20)
        assert client.decide(REQUEST).request_id == "r"
    timer.join()
    server.stop(0)


def test_channels_are_connections_of_their_own(server: Server) -> None:
    """Each channel makes its own connection, so that calls spread over the workers behind one port."""
    with DecisionClient(server.address, channels=3) as client:
        client.wait_ready(10)
        assert len({stubs.channel for stubs in client.connections}) == 3
        assert all(isinstance(stubs.channel, grpc.Channel) for stubs in client.connections)


@pytest.mark.parametrize("name", OFFERED)
def test_the_client_has_every_method_of_the_api(name: str) -> None:
    """One method of its own calls each."""
    assert re.search(rf"\.{name}\b", inspect.getsource(methods))
