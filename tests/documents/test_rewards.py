"""Rewards as they are written: bounds that follow from weights, and what is published of before."""

from __future__ import annotations

import pytest

from decision_service.documents import parse_program, stored_program

PROGRAM = """
name: welcome
features: {service: customer_v1}
actions: [{id: hello, channel: email, message: hello}]
reward:
"""


@pytest.mark.parametrize(
    ("reward", "bounds"),
    [
        ("{outcomes: {click: 1, purchase: 10, unsubscribe: -20}, window: 1d}", (-20, 11)),
        ("{outcomes: {click: 1, purchase: 10, unsubscribe: -20}, window: 1d, aggregation: max}", (-20, 10)),
        ("{outcomes: {visit: 1}, window: 1d, default: 0.5}", (0, 1)),
        ("{outcomes: {churn: -3}, window: 1d, default: 2, aggregation: latest}", (-3, 2)),
        ("{outcomes: {visit: 1}, window: 1d, aggregation: any}", (0, 1)),
        ("{outcomes: {visit: 2}, window: 1d, bounds: [-1, 5]}", (-1, 5)),
        ("{outcomes: {sale: 1}, window: 1d, value: value, bounds: [0, 500]}", (0, 500)),
    ],
)
def test_bounds_follow_from_the_weights(reward: str, bounds: tuple[float, float]) -> None:
    """No weight is cut that a document states; what is given stands."""
    definition = parse_program(PROGRAM.rstrip() + " " + reward).reward
    assert (definition.low, definition.high) == bounds
    assert all(definition.low <= weight <= definition.high for weight in definition.outcomes.values())


def test_the_version_is_that_of_what_is_learned() -> None:
    """Bounds that are written and bounds that follow are the same definition; another attribution is another."""
    written = parse_program(PROGRAM.rstrip() + " {outcomes: {visit: 1}, window: 1d, bounds: [0, 1]}").reward
    followed = parse_program(PROGRAM.rstrip() + " {outcomes: {visit: 1}, window: 1d}").reward
    other = parse_program(PROGRAM.rstrip() + " {outcomes: {visit: 1}, window: 1d, attribution: last_touch}").reward
    assert written == followed
    assert other.version != written.version


@pytest.mark.parametrize(
    "reward",
    [
        "{outcomes: {complaint: -5}, window: 1d, aggregation: any}",
        "{outcomes: {click: 1, purchase: 10}, window: 1d, bounds: [0, 1]}",
    ],
)
def test_what_was_published_before_is_still_served(reward: str) -> None:
    """What is refused now takes no program out of force."""
    assert stored_program(PROGRAM.rstrip() + " " + reward, 1).version == 1
