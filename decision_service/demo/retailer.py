"""A simulated retailer: customers with hidden tastes, who order and complain from day to day. Pure; seeded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from decision_service.core.guardrails.caps import DAY_MS
from decision_service.demo.response import Truth

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ZONES: dict[str, str] = {
    "GB": "Europe/London",
    "DE": "Europe/Berlin",
    "US": "America/New_York",
    "BR": "America/Sao_Paulo",
    "JP": "Asia/Tokyo",
}
CATEGORIES = ("fashion", "home", "beauty")
TIERS = ("none", "silver", "gold")
SOURCES = ("search", "advert", "referral")
NEVER = -10_000
"""The day of something that has not happened yet."""
COMPLAINT_DAYS = 14
"""How long a ticket that left the customer dissatisfied weighs on how they take promotions."""
DISSATISFIED = 2
"""A ticket closed with this satisfaction or less is a complaint."""
BROWSING_SHARE = 0.25
JOINING_SHARE = 0.35
"""Share of the customers who sign up while the simulation runs."""
_HISTORY_DAYS = 180


@dataclass(frozen=True, slots=True)
class RetailerConfig:
    """Size and seed of a simulation.

    customers: how many there are by its end; JOINING_SHARE of them sign up on the way.
    days: its length. drift_day: from this day on tastes are changed; halfway unless given.
    start_ms: UTC midnight of day 0, epoch milliseconds; 2026-01-05 is a Monday.
    """

    customers: int = 2_200
    days: int = 56
    seed: int = 7
    start_ms: int = 1_767_571_200_000
    drift_day: int | None = None

    @property
    def drifts_on(self) -> int:
        """The first day of changed tastes."""
        return self.days // 2 if self.drift_day is None else self.drift_day

    def at(self, day: float) -> int:
        """UTC epoch milliseconds of a day, with its fraction, counted from the start."""
        return self.start_ms + round(day * DAY_MS)


@dataclass(frozen=True, slots=True)
class Order:
    """A row of the `orders` table."""

    order_id: str
    customer: int
    at_ms: int
    amount: float
    category: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A row of the `support_tickets` table; `satisfaction` 1–5."""

    ticket_id: str
    customer: int
    at_ms: int
    topic: str
    satisfaction: int


@dataclass(slots=True)
class Retailer:
    """The population and what has happened to it. Customers are indices 0 … n-1; `customer_id` names them.

    Everything observable is in the source tables; `bargain` and `favourite` are tastes, seen only through orders.
    """

    config: RetailerConfig
    rng: np.random.Generator = field(init=False)
    country: list[str] = field(init=False)
    tier: list[str] = field(init=False)
    source: list[str] = field(init=False)
    favourite: list[str] = field(init=False)
    bargain: Bools = field(init=False)
    basket: Floats = field(init=False)
    orders_per_day: Floats = field(init=False)
    tickets_per_day: Floats = field(init=False)
    signup_day: Ints = field(init=False)
    consents: dict[str, Bools] = field(init=False)
    last_order_day: Ints = field(init=False)
    last_complaint_day: Ints = field(init=False)
    orders: list[Order] = field(init=False, default_factory=list)
    tickets: list[Ticket] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Draw the population and its history before day 0."""
        n, rng = self.config.customers, np.random.default_rng(self.config.seed)
        self.rng = rng
        self.country = [str(c) for c in rng.choice(list(ZONES), n, p=[0.3, 0.25, 0.25, 0.1, 0.1])]
        self.tier = [str(t) for t in rng.choice(TIERS, n, p=[0.5, 0.27, 0.23])]
        self.source = [str(s) for s in rng.choice(SOURCES, n, p=[0.35, 0.4, 0.25])]
        self.favourite = [str(c) for c in rng.choice(CATEGORIES, n, p=[0.4, 0.3, 0.3])]
        self.bargain = rng.random(n) < 0.5
        self.basket = np.where(self.bargain, rng.uniform(15, 28, n), rng.uniform(45, 70, n))
        self.orders_per_day = 1 / rng.uniform(18, 70, n)
        self.tickets_per_day = np.where(rng.random(n) < 0.25, 1 / 30, 1 / 400)
        joins_later = rng.random(n) < JOINING_SHARE
        self.signup_day = np.where(
            joins_later, rng.integers(0, max(self.config.days - 3, 1), n), -rng.integers(1, 900, n)
        )
        self.consents = {channel: rng.random(n) < share for channel, share in _CONSENT_SHARES.items()}
        self.last_order_day = np.full(n, NEVER, dtype=np.int64)
        self.last_complaint_day = np.full(n, NEVER, dtype=np.int64)
        for day in range(-_HISTORY_DAYS, 0):
            self.live_through(day)

    def customer_id(self, customer: int) -> str:
        """The id that the shop uses."""
        return f"c{customer:05d}"

    def members(self, day: int) -> Bools:
        """Who has signed up by the end of a day."""
        return self.signup_day <= day

    def live_through(self, day: int) -> None:
        """A day of what happens without any contact: orders and support tickets of those who are customers."""
        n, rng = self.config.customers, self.rng
        member = self.signup_day < day
        for customer in np.flatnonzero(member & (rng.random(n) < self.orders_per_day)):
            self.order(int(customer), self.config.at(day + float(rng.random())))
        for customer in np.flatnonzero(member & (rng.random(n) < self.tickets_per_day)):
            ticket = Ticket(
                ticket_id=f"t{len(self.tickets):06d}",
                customer=int(customer),
                at_ms=self.config.at(day + float(rng.random())),
                topic=str(rng.choice(("delivery", "quality", "billing"))),
                satisfaction=int(rng.choice(5, p=(0.4, 0.35, 0.15, 0.05, 0.05))) + 1,
            )
            self.tickets.append(ticket)
            if ticket.satisfaction <= DISSATISFIED:
                self.last_complaint_day[customer] = day

    def order(self, customer: int, at_ms: int) -> Order:
        """The customer orders: for about their usual basket, mostly from their favourite category."""
        category = self.favourite[customer] if self.rng.random() < 0.8 else str(self.rng.choice(CATEGORIES))
        order = Order(
            order_id=f"o{len(self.orders):07d}",
            customer=customer,
            at_ms=at_ms,
            amount=round(float(self.basket[customer]) * float(self.rng.uniform(0.7, 1.3)), 2),
            category=category,
        )
        self.orders.append(order)
        day = math.floor((at_ms - self.config.start_ms) / DAY_MS)
        self.last_order_day[customer] = max(self.last_order_day[customer], day)
        return order

    def complained(self, customer: int, day: int) -> bool:
        """Whether a complaint of the customer still weighs on a day."""
        return bool(day - self.last_complaint_day[customer] < COMPLAINT_DAYS)

    def browses(self, customer: int, day: int) -> bool:
        """Whether the customer looks at products in the morning of a day."""
        return bool(np.random.default_rng((self.config.seed, customer, day)).random() < BROWSING_SHARE)

    def truth(self, customer: int, day: int) -> Truth:
        """The customer as the response model knows them on a day."""
        traits = {
            "bargain" if self.bargain[customer] else "premium",
            self.tier[customer],
            self.favourite[customer],
            self.source[customer],
        }
        if self.complained(customer, day):
            traits.add("complaint")
        if self.browses(customer, day):
            traits.add("browsing")
        return Truth(frozenset(traits), float(self.basket[customer]), day >= self.config.drifts_on)


_CONSENT_SHARES = {"email": 0.93, "sms": 0.75, "push": 0.8}
