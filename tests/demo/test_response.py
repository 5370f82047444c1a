"""The simulated customers' hidden response."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.core.model.values import NO_ACTION
from decision_service.demo.response import (
    BASE,
    DELIVERY_FAILS,
    LIFTS,
    LONGEST_DELAY_S,
    Truth,
    best_reward,
    expected_reward,
    purchase_probability,
    react,
    unsubscribe_probability,
)

BARGAIN = Truth(frozenset({"bargain", "none", "home", "search"}), 20.0, drifted=False)
BARGAIN_LATER = Truth(BARGAIN.traits, 20.0, drifted=True)
PREMIUM = Truth(frozenset({"premium", "gold", "fashion", "search"}), 60.0, drifted=False)
UPSET = Truth(BARGAIN.traits | {"complaint"}, 20.0, drifted=False)


def test_bargain_hunters_answer_discounts_until_tastes_change() -> None:
    """A discount by e-mail adds .65 for a bargain hunter at first, and .35 later."""
    assert purchase_probability("win_back", "email_discount", BARGAIN) == pytest.approx(0.71)
    assert purchase_probability("win_back", "email_discount", BARGAIN_LATER) == pytest.approx(0.41)


def test_loyal_customers_prefer_early_access() -> None:
    """Gold members answer early access more than a discount."""
    assert purchase_probability("win_back", "push_early_access", PREMIUM) == pytest.approx(0.81)
    assert purchase_probability("win_back", "email_discount", PREMIUM) == pytest.approx(0.08)


def test_a_recent_complaint_spoils_promotions_but_not_the_check_in() -> None:
    """After a complaint a promotion does less, the service check-in more, and unsubscribing is likelier."""
    assert purchase_probability("win_back", "email_discount", UPSET) == pytest.approx(0.06 + 0.65 * 0.25 - 0.04)
    assert purchase_probability("win_back", "email_service_check_in", UPSET) == pytest.approx(0.66)
    assert unsubscribe_probability("email", UPSET) == pytest.approx(4 * unsubscribe_probability("email", BARGAIN))


@pytest.mark.parametrize("program", sorted(BASE))
def test_left_alone_everyone_buys_at_the_base_rate(program: str) -> None:
    """NO_ACTION gives the base, whoever the customer is."""
    assert {purchase_probability(program, NO_ACTION, truth) for truth in (BARGAIN, PREMIUM, UPSET)} == {BASE[program]}


def test_expected_reward_counts_failed_deliveries_and_baskets() -> None:
    """A message that fails leaves the base; cross_sell earns the basket as a share of 100."""
    fails = DELIVERY_FAILS["email"]
    by_hand = (1 - fails) * (0.12 + 0.02 + 0.70) + fails * 0.12
    assert expected_reward("cross_sell", "email_picks", "email", PREMIUM) == pytest.approx(by_hand * 0.6)
    assert expected_reward("win_back", NO_ACTION, "", PREMIUM) == pytest.approx(0.06)


def test_the_oracle_takes_the_best_of_what_is_feasible() -> None:
    """The oracle's value is a maximum, and falls when its best action is taken away."""
    everything = [("email_discount", "email"), ("push_early_access", "push"), (NO_ACTION, "")]
    assert best_reward("win_back", everything, BARGAIN) == expected_reward(
        "win_back", "email_discount", "email", BARGAIN
    )
    assert best_reward("win_back", everything[1:], BARGAIN) == pytest.approx(0.06)


def test_reactions_have_the_frequencies_of_the_truth() -> None:
    """Over 4,000 seeds, purchases and failures come at their rates, within four standard errors."""
    reactions = [react("win_back", "email_discount", "email", BARGAIN, (1, i)) for i in range(4000)]
    bought = np.mean([r.bought_after_s is not None for r in reactions])
    failed = np.mean([not r.delivered for r in reactions])
    expected = expected_reward("win_back", "email_discount", "email", BARGAIN)
    assert abs(bought - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)
    assert abs(failed - 0.02) < 4 * np.sqrt(0.02 * 0.98 / 4000)
    assert max(r.bought_after_s or 0.0 for r in reactions) <= LONGEST_DELAY_S


def test_the_same_luck_meets_every_action() -> None:
    """With one seed, a better action never loses a purchase that a worse one would have got."""
    for i in range(300):
        alone = react("win_back", NO_ACTION, "", BARGAIN, (2, i))
        contacted = react("win_back", "email_discount", "email", BARGAIN, (2, i))
        assert not alone.delivered
        assert alone.unsubscribed_after_s is None
        if alone.bought_after_s is not None:
            assert contacted.bought_after_s == alone.bought_after_s


def test_some_tastes_change_and_some_do_not() -> None:
    """The best single action of a program is another one after the drift, for somebody."""
    moved = [key for key, traits in LIFTS.items() if any(before != after for before, after in traits.values())]
    assert 0 < len(moved) < len(LIFTS)
