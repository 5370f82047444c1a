"""The uniform number that an action is drawn by. It is the request's own: asked again, a request draws the same."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from decision_service.core.model.record import DecideRequest

KEY_BYTES = 32

Draw: TypeAlias = Callable[[DecideRequest], float]
"""Uniform in [0, 1) over requests; the same for the same request."""


@dataclass(frozen=True, slots=True)
class KeyedDraw:
    """HMAC-SHA256 of customer and request id: the first 53 bits, so one of the 2^53 doubles k·2⁻⁵³ in [0, 1).

    Nothing else of the request goes in. A draw that followed the body, the time or the customer's state would be
    another one when a call that failed is repeated with them changed, and calls fail more often where a contact was
    drawn.

    key: of the installation; whoever has it can tell draws in advance.
    """

    key: bytes = field(repr=False)
    _keyed: hmac.HMAC = field(init=False, repr=False, compare=False)  # copied for each draw: the key is half the work

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keyed", hmac.new(self.key, digestmod="sha256"))

    def __call__(self, request: DecideRequest) -> float:
        """The request's draw. A dry run has another one: what it shows must not tell what the request will draw."""
        label = b"nba dry run\0" if request.dry_run else b"nba draw\0"
        customer = request.customer_id.encode()
        message = label + struct.pack(">Q", len(customer)) + customer + request.request_id.encode()
        keyed = self._keyed.copy()
        keyed.update(message)
        (first,) = struct.unpack(">Q", keyed.digest()[:8])
        return float(first >> 11) * 2.0**-53
