"""One market, lived once for all tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import redis

from decision_service.adapters.redis.embedded import EmbeddedRedis
from decision_service.simulation.proposal import check
from decision_service.simulation.report import SimulationReport
from decision_service.simulation.run import simulate
from tests.simulation.market import AUDIT, HOUR_MS, SALE, Market

LATER_SALE = SALE.replace("limit: 2, rolling", "limit: 3, rolling")


@dataclass(frozen=True)
class Lived:
    """The market, and the period in which one version of each program, the last, was in force."""

    market: Market
    from_ms: int
    until_ms: int

    def report(self, document: str, policy: str = "", features: tuple[str, ...] = ()) -> SimulationReport:
        """On the period, through a proposal."""
        market = self.market
        proposal = check(document, policy, self.from_ms, self.until_ms, features)
        return simulate(
            proposal,
            market.warehouse,
            lambda _: market.policies,
            market.rules,
            market.catalogue.scorer,
            lambda *_: None,
        )


@pytest.fixture(scope="session")
def lived(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Five days; rewards have matured."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    market = Market(redis_server.url, tmp_path_factory.mktemp("market"))
    market.live(250)
    market.promote("sale", "1")
    market.live(250)
    market.policies.publish_program(LATER_SALE, AUDIT)
    from_ms = market.clock.now_ms() + 1
    market.live(300)
    market.promote("sale", "2")
    market.promote("news", "1")
    market.live(400)
    until_ms = market.clock.now_ms() + 1
    market.pass_time(7 * HOUR_MS / 1000)
    market.close()
    return Lived(market, from_ms, until_ms)
