"""The retailer's source tables in the warehouse: customers, orders, support tickets (feature_repo/README.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from decision_service.application.ports import Warehouse
from decision_service.demo.retailer import ZONES, Retailer

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class SourceTables:
    """Writes what is new since the last time, as the shop's own pipelines would."""

    warehouse: Warehouse
    customers: int = 0
    orders: int = 0
    tickets: int = 0

    def write(self, retailer: Retailer, day: int, now_ms: int) -> None:
        """Everything that happened before a day begins."""
        members = np.flatnonzero(retailer.members(day - 1)).tolist()
        if len(members) > self.customers:
            self.warehouse.replace("customers", _customers(retailer, members, now_ms))
            self.customers = len(members)
        orders = retailer.orders[self.orders :]
        if orders:
            self.warehouse.append(
                "orders",
                pa.table(
                    {
                        "order_id": [o.order_id for o in orders],
                        "customer_id": [retailer.customer_id(o.customer) for o in orders],
                        "ordered_at": _times([o.at_ms for o in orders]),
                        "amount": [o.amount for o in orders],
                        "category": [o.category for o in orders],
                    }
                ),
            )
            self.orders += len(orders)
        tickets = retailer.tickets[self.tickets :]
        if tickets:
            self.warehouse.append(
                "support_tickets",
                pa.table(
                    {
                        "ticket_id": [t.ticket_id for t in tickets],
                        "customer_id": [retailer.customer_id(t.customer) for t in tickets],
                        "opened_at": _times([t.at_ms for t in tickets]),
                        "topic": [t.topic for t in tickets],
                        "satisfaction": pa.array([t.satisfaction for t in tickets], pa.int64()),
                    }
                ),
            )
            self.tickets += len(tickets)


def _customers(retailer: Retailer, members: list[int], now_ms: int) -> pa.Table:
    return pa.table(
        {
            "customer_id": [retailer.customer_id(i) for i in members],
            "country": [retailer.country[i] for i in members],
            "timezone": [ZONES[retailer.country[i]] for i in members],
            "signup_at": _times([retailer.config.at(int(retailer.signup_day[i]) + 0.25) for i in members]),
            "loyalty_tier": [retailer.tier[i] for i in members],
            **{f"{channel}_consent": [bool(given[i]) for i in members] for channel, given in retailer.consents.items()},
            "updated_at": _times([now_ms] * len(members)),
        }
    )


def _times(at_ms: list[int]) -> pa.Array:
    return pa.array([ms * 1000 for ms in at_ms], pa.int64()).cast(_TIME)
