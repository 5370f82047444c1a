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


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_values_say_nothing(n: int) -> None:
    """With less than two values an interval is unbounded rather than falsely narrow."""
    for interval in (mean_interval([0.3] * n), mean_interval([0.3] * n, low=0, high=1).clamped(0, 1)):
        assert (interval.low, interval.high, interval.n) == (-math.inf, math.inf, n)
        assert interval.withheld.startswith("too little data")


def _width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize(
    "make",
    [
        lambda m: mean_interval([0, 0, 0, 1] * 50, low=0, high=1, repeats=m.n / 200),
        lambda m: mean_interval(np.tile([0, 0, 0, 1], int(m.n) // 4)),
        lambda m: anytime_interval(m, -1, 2),
        lambda m: anytime_interval(m, -1, 2, planned_squares=200),
    ],
)
def test_more_examples_tighter_interval(make) -> None:  # type: ignore[no-untyped-def]
    """Four times as many values like these always narrow the interval."""
    moments = Moments.of([0, 0, 0, 1] * 50)
    widths = [_width(make(moments.scaled(factor))) for factor in (1, 4, 16)]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.45 * widths[0]


def _binary(moments: Moments) -> np.ndarray:
    return np.arange(moments.n) < moments.total


@pytest.mark.parametrize("kind", ["mean", "mean without bounds", "anytime"])
def test_coverage_is_at_least_as_stated(kind: str) -> None:
    """Over 1,000 samples of rare successes, the interval misses no more often than alpha, with binomial slack."""
    rng = np.random.default_rng(1)
    p, n, alpha, runs = 0.1, 400, 0.1, 1_000
    missed = 0
    for successes in rng.binomial(n, p, size=runs):
        moments = Moments(n, successes, successes)
        interval = {
            "mean": lambda m: mean_interval(_binary(m), alpha, low=0, high=1),
            "mean without bounds": lambda m: mean_interval(_binary(m), alpha),
            "anytime": lambda m: anytime_interval(Moments(m.n, m.total - 0.5 * m.n, 0.25 * m.n), -0.5, 0.5, alpha),
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


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 20), (1, 1_000), (5, 1_000), (46, 10_000), (500, 1_000), (999, 1_000)]
)
def test_a_rate_has_clopper_and_pearsons_interval(successes: int, n: int) -> None:
    """Within 4 % of its width, and exactly where nothing came up: 1 - .025^(1/n)."""
    interval = mean_interval(_binary(Moments(n, successes)), low=0, high=1)
    low = stats.beta.ppf(0.025, successes, n - successes + 1) if successes else 0.0
    high = stats.beta.ppf(0.975, successes + 1, n - successes)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.04 * (high - low))
    assert interval.high >= high - 0.01 * (high - low)
    if not successes:
        assert interval.high == pytest.approx(1 - 0.025 ** (1 / n))


def test_an_end_is_where_the_best_bet_against_it_reaches_the_threshold() -> None:
    """By brute force over the dual: bets on bounded values. Where a bound is far away, unseen values matter."""
    rng = np.random.default_rng(4)
    values = np.where(rng.random(4_000) < 0.3, rng.uniform(0, 8, 4_000), 0.0)
    interval = mean_interval(values, low=0, high=10)
    for end in (interval.low, interval.high):
        bets = np.linspace(-1 / (10 - end), 1 / end, 4_001)[1:-1]
        wealth = max(float(np.log1p(bet * (values - end)).sum()) for bet in bets)
        # Half of the chi-square quantile 3.84, and a little more: a thousand events rather than infinitely many.
        assert wealth == pytest.approx(1.92, rel=0.03)
    assert mean_interval(values, low=0, high=10_000).high > 5 * interval.high


def test_events_count_in_the_size_that_an_end_rests_on() -> None:
    """Three hundred small rewards say nothing of large ones: the end is as if no event had been, not three hundred."""
    values = np.repeat([0.0, 1.0], [1_700, 300])
    none_of_that_size = 1_000 * (1 - 0.025 ** (1 / 2_000))
    assert mean_interval(values, low=0, high=1_000).high == pytest.approx(none_of_that_size + 0.15, rel=0.01)


def test_a_weighted_mean_is_that_of_the_rows_that_weights_stand_for() -> None:
    """Weights of 2 change nothing; weights of 0 leave rows out of the estimate."""
    values = np.arange(100) % 5 / 4
    plain = mean_interval(values, low=0, high=1)
    doubled = mean_interval(values, low=0, high=1, weights=np.full(100, 2.0))
    assert (doubled.mean, doubled.low, doubled.high) == pytest.approx((plain.mean, plain.low, plain.high))
    padded = mean_interval(np.append(values, [1.0] * 9), low=0, high=1, weights=np.append(np.ones(100), np.zeros(9)))
    assert padded.mean == plain.mean
    assert _width(padded) == pytest.approx(_width(plain), rel=0.05)
    assert mean_interval(values, weights=np.zeros(100)).withheld == "too little data: no decision to estimate from"


def test_what_is_certain_a_priori_has_no_width() -> None:
    """Where low and high are one, so is the interval, exactly."""
    interval = mean_interval(np.zeros(50), low=0, high=0)
    assert (interval.low, interval.mean, interval.high) == (0, 0, 0)


def test_an_interval_says_itself_or_why_not() -> None:
    """One form for people, everywhere; what leaves more than half of the possible open is withheld."""
    assert Interval(0.25, 0.125, 0.5, 9).text(".3f") == "0.250 [0.125, 0.500]"
    told = Interval(0.25, -0.5, 0.75, 9).clamped(0, 1)
    assert told.text("+.2f") == "+0.25 [too little data: it could be anything from 0 to 0.75]"
    assert told.clamped(0, 1) == told.widened(1) == told
    assert Interval(0.25, -0.5, 0.5, 9).clamped(0, 1) == Interval(0.25, 0, 0.5, 9)
    assert Interval(0.25, 0.125, 0.5, 9).widened(0.125) == Interval(0.25, 0.0, 0.625, 9)
    assert mean_interval([]).text() == "unknown [too little data: no decision to estimate from]"


@pytest.mark.parametrize("degrees", [1, 2, 3, 10, 50, 400])
def test_chi_square_survival_equals_scipy(degrees: int) -> None:
    """From far below to far above the mean, the p-value is that of SciPy."""
    for statistic in (1e-6, 0.1, degrees / 2, degrees - 1e-9, degrees + 1.0, degrees * 2, degrees + 100, 2_000):
        expected = stats.chi2.sf(statistic, degrees)
        assert chi_square_survival(statistic, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert chi_square_survival(5.0, 0) == 1.0
