"""The draw of a request: its own, uniform, and told by nothing that its caller sees."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import numpy as np

from decision_service.core.choice.draw import KEY_BYTES, KeyedDraw
from decision_service.core.estimation.intervals import chi_square_survival
from decision_service.core.model.program import Group
from decision_service.core.model.record import DecideRequest

KEY = bytes(range(KEY_BYTES))
DRAW = KeyedDraw(KEY)
REQUEST = DecideRequest("r1", "c1", ("p",))


def test_the_draw_by_hand() -> None:
    """The first 53 bits of the HMAC, as releases to come must compute it too: retries reach across them."""
    mac = hmac.new(KEY, b"nba draw\0" + (2).to_bytes(8, "big") + b"c1r1", hashlib.sha256).digest()
    assert DRAW(REQUEST) == (int.from_bytes(mac[:8], "big") >> 11) / 2**53


def test_a_request_draws_the_same_whatever_else_it_says() -> None:
    """Body, period and group may change between a call that failed and its repetition."""
    changed = replace(
        REQUEST, programs=("*",), context={"page": "home"}, channels=("sms",), pinned_group=Group.HOLDOUT, at_ms=1
    )
    assert DRAW(changed) == DRAW(REQUEST) == KeyedDraw(KEY)(REQUEST)


def test_other_requests_customers_and_keys_draw_differently() -> None:
    """Also where customer and request id would be the same text in a row."""
    others = [
        DRAW(replace(REQUEST, request_id="r2")),
        DRAW(replace(REQUEST, customer_id="c2")),
        DRAW(replace(REQUEST, customer_id="c1r", request_id="1")),
        DRAW(replace(REQUEST, customer_id="c", request_id="1r1")),
        KeyedDraw(KEY[::-1])(REQUEST),
    ]
    assert len({DRAW(REQUEST), *others}) == 6


def test_a_dry_run_does_not_tell_what_the_request_will_draw() -> None:
    """It draws the same each time, and something else."""
    dry = replace(REQUEST, dry_run=True)
    assert DRAW(dry) == DRAW(replace(dry, at_ms=5))
    assert DRAW(dry) != DRAW(REQUEST)
    both = np.array([[DRAW(replace(r, dry_run=dry)) for dry in (False, True)] for r in requests(2_000)])
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.08


def test_draws_are_uniform() -> None:
    """Chi-square over 50 bins, of requests of one customer and of customers with one request id; all in [0, 1)."""
    same_id = [replace(REQUEST, customer_id=f"c{i}") for i in range(20_000)]
    for asked in (requests(20_000), same_id):
        draws = np.array([DRAW(request) for request in asked])
        assert ((draws >= 0) & (draws < 1)).all()
        counts, _ = np.histogram(draws, bins=50, range=(0, 1))
        assert chi_square_survival(float(((counts - 400) ** 2 / 400).sum()), 49) > 0.001


def test_the_key_is_not_shown() -> None:
    """As in a traceback or a log."""
    assert KEY.hex() not in repr(DRAW)
    assert repr(KEY) not in repr(DRAW)


def requests(count: int) -> list[DecideRequest]:
    """Of one customer."""
    return [replace(REQUEST, request_id=f"r{i}") for i in range(count)]
