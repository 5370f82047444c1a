"""The requests that load tests send, as core values and as the API's messages."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from decision_service.contract import messages
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.model.record import DecideRequest
from decision_service.core.model.values import Value

PROGRAM = "load"


def requests(customers: Sequence[str], prefix: str, seed: int) -> Iterator[DecideRequest]:
    """Endless requests with ids of their own, customers in random order."""
    source = random.Random(seed)
    for number in itertools.count():
        yield DecideRequest(f"{prefix}-{number}", source.choice(customers), (PROGRAM,), context(source))


def context(source: random.Random) -> dict[str, Value | None]:
    """What a runner would send along."""
    return {
        "page": source.choice(("home", "basket", "search")),
        "basket_value": round(source.uniform(0, 200), 2),
        "items": source.randrange(12),
        "is_member": source.random() < 0.5,
    }


def message_of(request: DecideRequest) -> pb.DecideRequest:
    """The API's message; what a request costs to build is part of every caller's work."""
    message = pb.DecideRequest(
        request_id=request.request_id, customer_id=request.customer_id, programs=request.programs
    )
    messages.fill_values(message.context, request.context)
    return message
