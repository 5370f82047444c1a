"""Groups, exploration and the draw: distributions are valid, and the draw follows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision_service.core.choice.exploration import bounded, explore, one_hot, shape, uniform, with_floor
from decision_service.core.choice.sampling import draw_index, validate
from decision_service.core.guardrails.groups import assign, bucket
from decision_service.core.model.errors import InvalidDistribution
from decision_service.core.model.program import (
    NO_ACTION_ACTION,
    Action,
    Exploration,
    ExplorationKind,
    GlobalHoldout,
    Group,
    GroupShares,
)

SHARES = GroupShares("s", treatment=7000, random_control=1000, business_as_usual=1000, holdout=1000)


def test_epsilon_greedy_by_hand() -> None:
    """ε/n for everyone, the rest on the best; ties share it."""
    exploration = Exploration(epsilon=0.2)
    assert explore(np.array([1.0, 3.0, 2.0, 0.0]), exploration) == pytest.approx([0.05, 0.85, 0.05, 0.05])
    assert explore(np.array([1.0, 1.0]), exploration) == pytest.approx([0.5, 0.5])


def test_softmax_by_hand() -> None:
    """Ratios are exp of the difference over the temperature; large rewards do not overflow."""
    p = explore(np.array([1000.0, 999.0]), Exploration(kind=ExplorationKind.SOFTMAX, temperature=1.0))
    assert p[0] / p[1] == pytest.approx(np.e)


def test_squarecb_by_hand() -> None:
    """1/(n + γ·gap) for all but the best, which gets the rest."""
    p = explore(np.array([1.0, 0.9]), Exploration(kind=ExplorationKind.SQUARECB, gamma=80.0))
    assert p == pytest.approx([0.9, 0.1])


@given(
    predicted=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    kind=st.sampled_from(list(ExplorationKind)),
    epsilon=st.floats(0, 1),
    temperature=st.floats(1e-3, 1e3),
    gamma=st.floats(1e-3, 1e6),
    floor=st.floats(0, 1),
)
def test_every_policy_gives_a_distribution_above_its_floor(
    predicted: list[float], kind: ExplorationKind, epsilon: float, temperature: float, gamma: float, floor: float
) -> None:
    """Finite, not negative, sums to one, and each action has at least the floor."""
    p = explore(np.array(predicted), Exploration(kind, epsilon, temperature, gamma, floor))
    assert p.min() >= min(floor, 1 / len(predicted)) - 1e-12
    assert p.sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    "wrong", [[0.5, 0.6], [1.5, -0.5], [float("nan"), 1.0], [float("inf"), 0.0], [1.0], [0.5, 0.25, 0.25], []]
)
def test_what_is_no_distribution_is_refused(wrong: list[float]) -> None:
    """Wrong sum, negative, not finite, wrong length."""
    with pytest.raises(InvalidDistribution):
        validate(np.array(wrong, dtype=float), 2)


def test_the_draw_is_the_inverse_cdf() -> None:
    """The first index whose cumulated probability exceeds the draw."""
    p = np.array([0.25, 0.0, 0.5, 0.25])
    draws = [0.0, 0.2499999, 0.25, 0.7499, 0.75, 1 - 2**-53]
    assert [draw_index(p, u) for u in draws] == [0, 0, 2, 2, 3, 3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda w: sum(w) > 0.01), st.floats(0, 1 - 2**-53))
def test_what_has_no_probability_is_never_drawn(weights: list[float], draw: float) -> None:
    """Not even at the rounding edge of the last sum."""
    p = np.array(weights) / sum(weights)
    assert p[draw_index(p, draw)] > 0


def test_draws_follow_the_distribution() -> None:
    """Seeded chi-square over 200,000 draws, below the 99.9th percentile of its 4 degrees of freedom."""
    p = with_floor(np.array([0.7, 0.2, 0.1, 0.0, 0.0]), 0.01)
    draws = np.random.default_rng(7).random(200_000)
    counts = np.bincount([draw_index(p, u) for u in draws], minlength=5)
    assert ((counts - p * 200_000) ** 2 / (p * 200_000)).sum() < 18.47


def test_helpers_of_the_policies() -> None:
    """Uniform and one-hot are what they say."""
    assert uniform(4).tolist() == [0.25] * 4
    assert one_hot(3, 1).tolist() == [0.0, 1.0, 0.0]


def test_groups_have_their_shares() -> None:
    """Over 40,000 customers each group is within 5 standard errors of its share."""
    n = 40_000
    groups = [assign(f"c{i}", SHARES, GlobalHoldout())[0] for i in range(n)]
    for group, share in zip(Group, (0.7, 0.1, 0.1, 0.1), strict=True):
        error = 5 * (share * (1 - share) / n) ** 0.5
        assert abs(groups.count(group) / n - share) < error


def test_groups_never_rebalance() -> None:
    """A fixed customer and salt give a fixed bucket, today and in any process; another salt another."""
    assert [bucket("salt", f"customer-{i}") for i in range(4)] == [1202, 9693, 5537, 890]
    assert bucket("other", "customer-0") != bucket("salt", "customer-0")


def test_the_global_holdout_comes_before_a_pin() -> None:
    """A pinned group is taken, but not out of the global holdout."""
    everyone = GlobalHoldout(buckets=10_000)
    assert assign("c", SHARES, everyone, Group.TREATMENT) == (Group.HOLDOUT, "global holdout")
    assert assign("c", SHARES, GlobalHoldout(), Group.RANDOM_CONTROL) == (Group.RANDOM_CONTROL, "pinned")


def plain(*ids: str, **changes: object) -> list[Action]:
    """Actions of these ids and NO_ACTION; the first with changes."""
    made = [Action(name, "email", name) for name in ids]
    return [replace(made[0], **changes), *made[1:], NO_ACTION_ACTION]  # type: ignore[arg-type]


def test_levers_move_the_distribution_before_the_draw() -> None:
    """The best of lever × predicted reward is the greedy choice; the base says what it was without."""
    shaped = shape(np.array([0.2, 0.3, 0.1]), plain("a", "b", lever=2.0), Exploration(epsilon=0.3))
    assert shaped.base == pytest.approx([0.1, 0.8, 0.1])
    assert shaped.final == pytest.approx([0.8, 0.1, 0.1])


def test_prices_are_paid_from_the_predicted_reward() -> None:
    """An action that pays more than it is ahead is no longer the best."""
    shaped = shape(
        np.array([0.3, 0.2, 0.1]), plain("a", "b"), Exploration(epsilon=0), prices=np.array([0.15, 0.0, 0.0])
    )
    assert shaped.final == pytest.approx([0, 1, 0])


def test_shares_and_little_data_bound_probabilities() -> None:
    """At most max_share, at least min_share, at most the low-data share; an unknown amount bounds nothing."""
    predicted = np.array([0.3, 0.2, 0.1])
    capped = shape(predicted, plain("a", "b", max_share=0.5), Exploration(epsilon=0.3))
    assert capped.final == pytest.approx([0.5, 0.25, 0.25])
    lifted = shape(predicted, plain("a", "b", min_share=0.95), Exploration(epsilon=0.3))
    assert lifted.final == pytest.approx([0.95, 0.025, 0.025])
    cautious = Exploration(epsilon=0.3, low_data_below=100, low_data_max_share=0.1)
    assert shape(predicted, plain("a", "b"), cautious, {"a": 99, "b": 100}).final == pytest.approx([0.1, 0.45, 0.45])
    assert shape(predicted, plain("a", "b"), cautious, {"b": 100}).final[0] == pytest.approx(0.1)
    assert shape(predicted, plain("a", "b"), cautious, None).final == pytest.approx([0.8, 0.1, 0.1])


def test_greedy_mass_above_a_share_goes_where_there_is_room() -> None:
    """Even where the others had no probability at all."""
    shaped = shape(np.array([0.3, 0.2, 0.1]), plain("a", "b", max_share=0.4), Exploration(epsilon=0))
    assert shaped.final == pytest.approx([0.4, 0.3, 0.3])


def test_what_bounds_take_goes_to_actions_of_hardly_any_probability_in_proportion() -> None:
    """A cold softmax leaves the others the least numbers that there are."""
    p = np.array([1.0, 5e-324, 1.5e-323])
    assert bounded(p, np.zeros(3), np.array([0.2, 1.0, 1.0])) == pytest.approx([0.2, 0.2, 0.6])


@given(st.data())
def test_a_bounded_distribution_keeps_its_bounds_and_stays_one(data: st.DataObject) -> None:
    """Sum 1, every bound kept, and unchanged where it already was within."""
    n = data.draw(st.integers(1, 8))
    weights = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    p = weights / weights.sum() if weights.sum() > 0 else np.full(n, 1 / n)
    lower = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    upper = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    upper[-1], lower[-1] = 1.0, 0.0
    result = bounded(p, lower, upper)
    least = np.minimum(lower, upper) / max(1.0, np.minimum(lower, upper).sum())
    assert result.sum() == pytest.approx(1.0, abs=1e-9)
    assert (result >= least - 1e-12).all()
    assert (result <= upper + 1e-12).all()
    if (p >= least).all() and (p <= upper).all():
        assert result == pytest.approx(p, abs=1e-12)
