"""Intervals: hand-computed values, laws, and coverage over many seeded simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from decision_service.core.estimation.intervals import (
    Interval,
    Moments,
    anytime_interval,
    anytime_lower,
    chi_square_survival,
    mean_interval,
    rate_interval,
)


def test_moments_by_hand() -> None:
    """1, 2, 3, 4 have mean 2.5, variance 5/3 and standard error √(5/12)."""
    moments = Moments.of([1, 2, 3, 4])
    assert moments.mean == 2.5
    assert moments.variance == pytest.approx(5 / 3)
    assert moments.standard_error == pytest.approx(math.sqrt(5 / 12))


def test_merging_shards_equals_the_whole() -> None:
    """Sums of shards, in any order, are the sums of all values."""
    values = np.random.default_rng(0).normal(size=999)
    parts = [Moments.of(part) for part in np.array_split(values, 7)]
    for merged in (sum(parts, Moments()), sum(reversed(parts), Moments())):
        whole = Moments.of(values)
        assert (merged.n, merged.total, merged.squares) == pytest.approx((whole.n, whole.total, whole.squares))


def test_normal_interval_by_hand() -> None:
    """Ten values of 0 and ten of 1 give 0.5 ± 1.96 · 0.513/√20."""
    interval = Moments.of([0, 1] * 10).normal()
    assert interval.low == pytest.approx(0.5 - 1.959964 * math.sqrt(5 / 19 / 20))
    assert interval.high == pytest.approx(1 - interval.low)


def test_empirical_bernstein_by_hand() -> None:
    """Without variance the width is 7 ln(4/α) / 3(n - 1), Maurer & Pontil's second term."""
    interval = Moments.of([0.5] * 101).empirical_bernstein(0, 1, 0.04)
    assert interval.high - 0.5 == pytest.approx(7 * math.log(100) / 300)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_values_say_nothing(n: int) -> None:
    """With less than two values an interval is unbounded rather than falsely narrow."""
    interval = mean_interval([0.3] * n)
    assert (interval.low, interval.high, interval.n) == (-math.inf, math.inf, n)
    assert Moments.of([0.3] * n).empirical_bernstein(0, 1).low == -math.inf


def _width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m.normal(),
        lambda m: m.empirical_bernstein(-1, 2),
        lambda m: anytime_interval(m, -1, 2),
        lambda m: anytime_interval(m, -1, 2, planned_squares=200),
        lambda m: rate_interval(m.total, int(m.n)),
    ],
)
def test_more_examples_tighter_interval(make) -> None:  # type: ignore[no-untyped-def]
    """Four times as many values like these always narrow the interval."""
    moments = Moments.of([0, 0, 0, 1] * 50)
    widths = [_width(make(moments.scaled(factor))) for factor in (1, 4, 16)]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.45 * widths[0]


@pytest.mark.parametrize("kind", ["normal", "bernstein", "anytime", "wilson"])
def test_coverage_is_at_least_as_stated(kind: str) -> None:
    """Over 1,000 samples of rare successes, the interval misses no more often than alpha, with binomial slack."""
    rng = np.random.default_rng(1)
    p, n, alpha, runs = 0.1, 400, 0.1, 1_000
    missed = 0
    for successes in rng.binomial(n, p, size=runs):
        moments = Moments(n, successes, successes)
        interval = {
            "normal": lambda m: m.normal(alpha),
            "bernstein": lambda m: m.empirical_bernstein(0, 1, alpha),
            "anytime": lambda m: anytime_interval(Moments(m.n, m.total - 0.5 * m.n, 0.25 * m.n), -0.5, 0.5, alpha),
            "wilson": lambda m: rate_interval(m.total, n, alpha),
        }[kind](moments)
        missed += (p - (0.5 if kind == "anytime" else 0)) not in interval
    assert missed <= runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))


def test_anytime_bound_holds_at_every_look() -> None:
    """With 20 looks at heavy-tailed terms, the bound is ever above the mean in at most alpha of the runs."""
    rng = np.random.default_rng(2)
    alpha, runs, crossed_anytime, crossed_normal = 0.1, 200, 0, 0
    for _ in range(runs):
        # Like weighted differences: mostly small and negative, sometimes large; mean 0.05 · 9.5 - 0.95 · 0.5 = 0.
        terms = np.where(rng.random(4_000) < 0.05, 9.5, -0.5)
        seen = Moments()
        anytime = normal = False
        for batch in np.array_split(terms, 20):
            seen += Moments.of(batch)
            anytime |= anytime_lower(seen, -1, alpha, planned_squares=4_000 * 4.75) > 0
            normal |= seen.mean - 1.2816 * seen.standard_error > 0
        crossed_anytime += anytime
        crossed_normal += normal
    assert crossed_anytime <= runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))
    assert crossed_normal > 2 * runs * alpha, "the simulation must be one in which peeking does harm"


def test_planning_tightens_the_anytime_bound_where_planned() -> None:
    """The bound at the planned sum of squares is tighter than without a plan, and within 3 standard errors."""
    terms = Moments.of(np.tile([-1.0, 1.2], 2_000))
    planned = anytime_lower(terms, -1.5, 0.05, terms.squares)
    assert planned > anytime_lower(terms, -1.5, 0.05)
    assert terms.mean - planned < 3.0 * terms.standard_error


def test_anytime_bound_needs_a_least_value() -> None:
    """A bound on terms that cannot be negative is refused: it would be no martingale argument."""
    with pytest.raises(ValueError, match="least must be negative"):
        anytime_lower(Moments.of([1.0]), 0.0)


def test_clusters_widen_the_interval_of_correlated_values() -> None:
    """Each customer's value repeated ten times is worth one value: the interval equals that of the customers."""
    values = np.random.default_rng(3).normal(size=200)
    repeated = mean_interval(np.repeat(values, 10), clusters=[f"c{i}" for i in np.repeat(np.arange(200), 10)])
    once = mean_interval(values)
    assert (repeated.mean, repeated.low, repeated.high) == pytest.approx((once.mean, once.low, once.high))
    assert _width(mean_interval(np.repeat(values, 10))) < 0.4 * _width(repeated)


def test_clusters_must_match_values() -> None:
    """A cluster per value, or an error that says so."""
    with pytest.raises(ValueError, match="one cluster per value"):
        mean_interval([1.0, 2.0], clusters=["a"])


def test_rate_interval_matches_the_published_one() -> None:
    """Open Bandit's 46 clicks of 10,000 have Wilson's interval [.00345, .00613]; no trials say nothing."""
    interval = rate_interval(46, 10_000)
    assert (round(interval.low, 5), round(interval.high, 5)) == (0.00345, 0.00613)
    assert (rate_interval(0, 0).low, rate_interval(0, 0).high) == (0.0, 1.0)
    assert rate_interval(0, 10).high > 0


@pytest.mark.parametrize("degrees", [1, 2, 3, 10, 50, 400])
def test_chi_square_survival_equals_scipy(degrees: int) -> None:
    """From far below to far above the mean, the p-value is that of SciPy."""
    for statistic in (1e-6, 0.1, degrees / 2, degrees - 1e-9, degrees + 1.0, degrees * 2, degrees + 100, 2_000):
        expected = stats.chi2.sf(statistic, degrees)
        assert chi_square_survival(statistic, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert chi_square_survival(5.0, 0) == 1.0
