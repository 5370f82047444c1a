"""The simulated retailer and its journeys."""

from __future__ import annotations

import numpy as np

from decision_service.core.guardrails.caps import DAY_MS
from decision_service.demo.journeys import CROSS_SELL_AFTER_DAYS, LAPSED_DAYS, STEPS, Journeys
from decision_service.demo.retailer import COMPLAINT_DAYS, DISSATISFIED, NEVER, Retailer, RetailerConfig

CONFIG = RetailerConfig(customers=400, days=28, seed=3)


def test_the_same_seed_gives_the_same_retailer() -> None:
    """Two retailers of one seed live through the same days; another seed differs."""
    first, second, other = Retailer(CONFIG), Retailer(CONFIG), Retailer(RetailerConfig(400, 28, seed=4))
    for retailer in (first, second, other):
        retailer.live_through(0)
    assert first.orders == second.orders
    assert first.tickets == second.tickets
    assert first.orders != other.orders


def test_nobody_orders_before_signing_up() -> None:
    """Orders and tickets lie after the customer's sign-up day."""
    retailer = Retailer(CONFIG)
    for day in range(28):
        retailer.live_through(day)
    for fact in (*retailer.orders, *retailer.tickets):
        assert fact.at_ms >= CONFIG.at(int(retailer.signup_day[fact.customer]) + 1)


def test_an_order_is_near_the_usual_basket_and_remembered() -> None:
    """An order costs 70–130 % of the basket, stays below the bound of rewards, and moves the last order's day."""
    retailer = Retailer(CONFIG)
    order = retailer.order(5, CONFIG.at(3.5))
    assert 0.69 < order.amount / retailer.basket[5] < 1.31
    assert order.amount < 100
    assert retailer.last_order_day[5] == 3


def test_truth_changes_on_the_drift_day_and_after_complaints() -> None:
    """Traits follow tier, tastes and source; a complaint weighs for COMPLAINT_DAYS; drift starts halfway."""
    retailer = Retailer(CONFIG)
    retailer.last_complaint_day[0] = 2
    before, after = retailer.truth(0, 2 + COMPLAINT_DAYS - 1), retailer.truth(0, 2 + COMPLAINT_DAYS)
    assert before.traits - after.traits == {"complaint"}
    assert {retailer.tier[0], retailer.favourite[0], retailer.source[0]} < before.traits
    assert [retailer.truth(0, day).drifted for day in (13, 14)] == [False, True]


def test_welcome_walks_a_new_customer_through_every_step_once() -> None:
    """A customer who signs up is due on each of welcome's days, and never again."""
    retailer, journeys = Retailer(CONFIG), Journeys()
    customer = int(np.flatnonzero(retailer.signup_day == 4)[0])
    days = [
        (day, due.step)
        for day in range(28)
        for due in journeys.due(retailer, day)
        if due.program == "welcome" and due.customer == customer
    ]
    assert days == [(4 + offset, step) for step, offset in enumerate(STEPS["welcome"])]


def test_a_purchase_ends_win_back_and_starts_cross_sell() -> None:
    """A lapsed customer who orders leaves win_back and enters cross_sell some days later."""
    retailer, journeys = Retailer(CONFIG), Journeys()
    retailer.last_order_day[:] = NEVER
    customer = int(np.flatnonzero(retailer.signup_day < -LAPSED_DAYS)[0])
    retailer.last_order_day[customer] = -LAPSED_DAYS
    steps = []
    for day in range(12):
        steps += [(due.program, due.step, day) for due in journeys.due(retailer, day) if due.customer == customer]
        if day == 1:
            retailer.order(customer, CONFIG.start_ms + DAY_MS)
    assert steps == [
        ("win_back", 0, 0),
        ("cross_sell", 0, 1 + CROSS_SELL_AFTER_DAYS),
        ("cross_sell", 1, 5 + CROSS_SELL_AFTER_DAYS),
    ]


def test_request_ids_never_repeat_for_a_customer() -> None:
    """Each step of each entry has a request id of its own."""
    retailer, journeys = Retailer(CONFIG), Journeys()
    seen = [(due.customer, due.request_id) for day in range(28) for due in journeys.due(retailer, day)]
    assert len(seen) == len(set(seen)) > 300


def test_only_dissatisfied_customers_have_complained() -> None:
    """A ticket that ended well does not weigh on anything."""
    retailer = Retailer(CONFIG)
    complained = {t.customer for t in retailer.tickets if t.satisfaction <= DISSATISFIED}
    assert complained == set(np.flatnonzero(retailer.last_complaint_day > NEVER).tolist())
    assert complained < {t.customer for t in retailer.tickets}
