"""The hidden truth of the simulated retailer: how likely each customer buys after each message, before and after tastes
change.

P(purchase) = base of the program + what each of the customer's traits adds for the action, within [0.005, 0.9].
The service never sees this table; it sees features from which the traits can be told, and what customers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decision_service.core.model.values import NO_ACTION

BASKET_BOUND = 100.0
"""No basket reaches this amount, so a reward of amount / 100 stays within [0, 1] without clipping."""

BASE: Mapping[str, float] = {"win_back": 0.06, "cross_sell": 0.12, "welcome": 0.08}
"""P(purchase within the reward window) of a customer who is left alone."""

Phases = tuple[float, float]
EVERYONE = "everyone"

# (program, action) → trait → what it adds to P(purchase): (before, after) tastes change midway.
LIFTS: Mapping[tuple[str, str], Mapping[str, Phases]] = {
    ("win_back", "email_discount"): {"bargain": (0.65, 0.35), "premium": (0.02, 0.02)},
    ("win_back", "sms_discount"): {"bargain": (0.20, 0.70), "premium": (-0.03, -0.03)},
    ("win_back", "email_new_arrivals"): {"premium": (0.50, 0.55), "fashion": (0.06, 0.06)},
    ("win_back", "push_early_access"): {"gold": (0.75, 0.50), "silver": (0.65, 0.40)},
    ("win_back", "email_service_check_in"): {"complaint": (0.60, 0.60)},
    ("win_back", "push_free_shipping"): {"bargain": (0.12, 0.16), "gold": (0.02, 0.65), "silver": (0.02, 0.60)},
    ("cross_sell", "email_bundle"): {"home": (0.70, 0.40), EVERYONE: (0.02, 0.02)},
    ("cross_sell", "email_picks"): {"fashion": (0.70, 0.40), EVERYONE: (0.02, 0.02)},
    ("cross_sell", "push_restock"): {"beauty": (0.70, 0.50), EVERYONE: (0.01, 0.01)},
    ("cross_sell", "sms_flash_sale"): {"browsing": (0.55, 0.55), "home": (-0.05, 0.60), "premium": (-0.08, -0.08)},
    ("cross_sell", "push_early_access"): {"gold": (0.20, 0.20), "fashion": (0.00, 0.65), "beauty": (0.00, 0.20)},
    ("welcome", "email_guide"): {"search": (0.60, 0.60), EVERYONE: (0.02, 0.02)},
    ("welcome", "email_first_discount"): {"advert": (0.65, 0.35), "bargain": (0.04, 0.04)},
    ("welcome", "sms_first_discount"): {"advert": (0.15, 0.70), "referral": (-0.05, -0.05)},
    ("welcome", "push_app_tour"): {"referral": (0.65, 0.60), EVERYONE: (0.01, 0.01)},
}

COMPLAINT_DAMPENS = 0.25
"""Share of a message's lift that remains with a customer who recently complained; the service check-in is exempt."""

UNSUBSCRIBES: Mapping[str, float] = {"email": 0.004, "sms": 0.010, "push": 0.006}
"""P(unsubscribe) of one contact, by channel; times four for a customer who recently complained."""

DELIVERY_FAILS: Mapping[str, float] = {"email": 0.02, "sms": 0.04, "push": 0.05}
"""P(the message cannot be delivered), by channel."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A customer at the moment of a decision, as the response model knows them.

    traits: of `bargain` or `premium`, a tier (`none`, `silver`, `gold`), a favourite category (`fashion`, `home`,
    `beauty`), a source (`search`, `advert`, `referral`), and perhaps `complaint` and `browsing`.
    basket: expected amount of a purchase, in (0, 100).
    """

    traits: frozenset[str]
    basket: float
    drifted: bool


def purchase_probability(program: str, action: str, truth: Truth) -> float:
    """P(purchase within the reward window | the action was delivered); NO_ACTION gives the program's base."""
    base = BASE[program]
    if action == NO_ACTION:
        return base
    lift = sum(
        phases[truth.drifted]
        for trait, phases in LIFTS[program, action].items()
        if trait == EVERYONE or trait in truth.traits
    )
    if "complaint" in truth.traits and action != "email_service_check_in":
        lift = lift * COMPLAINT_DAMPENS - 0.04
    return min(max(base + lift, 0.005), 0.9)


def expected_reward(program: str, action: str, channel: str, truth: Truth) -> float:
    """E[reward] of choosing the action, failed deliveries included: probability, or basket / 100 for cross_sell."""
    fails = DELIVERY_FAILS.get(channel, 0.0)
    bought = (1 - fails) * purchase_probability(program, action, truth) + fails * BASE[program]
    return bought * truth.basket / BASKET_BOUND if program == "cross_sell" else bought


def best_reward(program: str, feasible: Iterable[tuple[str, str]], truth: Truth) -> float:
    """What an oracle earns: E[reward] of the best of the feasible (action, channel) pairs."""
    return max(expected_reward(program, action, channel, truth) for action, channel in feasible)


def unsubscribe_probability(channel: str, truth: Truth) -> float:
    """P(unsubscribe | contacted on the channel)."""
    return UNSUBSCRIBES[channel] * (4.0 if "complaint" in truth.traits else 1.0)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What becomes of one decision.

    delivered: whether the message arrived (False for NO_ACTION). bought_after_s: seconds to a purchase, None without.
    unsubscribed_after_s: seconds to an unsubscribe from the channel, None without.
    """

    delivered: bool
    bought_after_s: float | None
    unsubscribed_after_s: float | None


MEAN_DELAY_S = 8 * 3600.0
LONGEST_DELAY_S = 60 * 3600.0
"""Purchases come exponentially late, but within the programs' reward windows of three days."""


def react(program: str, action: str, channel: str, truth: Truth, seed: Sequence[int]) -> Reaction:
    """Draw a reaction. The same `seed` draws the same luck whatever the action, so that only the choice differs."""
    luck = np.random.default_rng(seed)
    deliver, buy, leave = luck.random(3).tolist()
    buy_delay_s, leave_delay_s = np.minimum(luck.exponential(MEAN_DELAY_S, 2), LONGEST_DELAY_S).tolist()
    delivered = action != NO_ACTION and deliver >= DELIVERY_FAILS[channel]
    bought = buy < purchase_probability(program, action if delivered else NO_ACTION, truth)
    left = delivered and leave < unsubscribe_probability(channel, truth)
    return Reaction(delivered, buy_delay_s if bought else None, leave_delay_s if left else None)
