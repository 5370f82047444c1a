"""The share of decisions that were made without features."""

from __future__ import annotations

from decision_service.adapters.cel_rules import CelRules
from decision_service.application.feature_gauge import WINDOW_S, FeatureGauge
from decision_service.application.services import Services
from tests.support.served import World


def test_a_minute_is_remembered() -> None:
    """By the second; older decisions are forgotten, also where none came since."""
    now = [1000.4]
    gauge = FeatureGauge(lambda: now[0])
    assert gauge.read() == (0, 0)
    for without in (False, True, False):
        gauge.add(without)
    now[0] += WINDOW_S - 1
    gauge.add(True)
    assert gauge.read() == (4, 2)
    now[0] += 1
    assert gauge.read() == (1, 1)
    now[0] += WINDOW_S
    assert gauge.read() == (0, 0)


def test_every_decision_is_told_of() -> None:
    """A store that is down is; a customer it does not know, and a stale view, were read."""
    world, gauge = World(), FeatureGauge()
    services = Services.over(
        policies=world.policies,
        features=world.features,
        ledger=world.ledger,
        budgets=world.budgets,
        catalogue=world.catalogue,
        rules=CelRules(),
        clock=world.clock,
        draw=lambda _: 0.0,
        observe=gauge.add,
    )
    world.service = services.decisions
    world.decide("r1")
    world.decide("r2", "stranger")
    assert gauge.read() == (2, 0)
    world.features.down = True
    world.decide("r3")
    assert gauge.read() == (3, 1)
