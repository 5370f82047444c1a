"""Intervals for means and rates: one-shot and anytime-valid, from sums that merge.

`Moments` is three sums, so shards merge by `+` in constant memory and in any order (law 9). An interval says
with what probability it misses (`alpha`), and every interval here treats rows as exchangeable or as martingale
differences; pass `clusters` to `mean_interval` where one customer contributes several correlated values.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

DEFAULT_ALPHA = 0.05
_LARGEST_BET = 0.95
_BETS = 16


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate of a mean over `n` values; nan and unbounded where there are too few to say."""

    mean: float
    low: float
    high: float
    n: int

    def __contains__(self, value: float) -> bool:
        """Whether `value` lies within."""
        return self.low <= value <= self.high

    def clamped(self, low: float, high: float) -> Interval:
        """The same interval cut to where the true mean is known to lie; the estimate itself is left alone."""
        return Interval(self.mean, max(self.low, low), min(self.high, high), self.n)


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, sum and sum of squares of some values."""

    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Moments:
        """The moments of an array of any shape."""
        array = np.asarray(values, dtype=np.float64)
        return cls(float(array.size), float(array.sum()), float(np.square(array).sum()))

    def __add__(self, other: Moments) -> Moments:
        """The moments of both sets of values together."""
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def scaled(self, factor: float) -> Moments:
        """What `factor` times as many values like these would give."""
        return Moments(self.n * factor, self.total * factor, self.squares * factor)

    @property
    def mean(self) -> float:
        """The average; nan without values."""
        return self.total / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """The unbiased sample variance, ≥ 0; nan below two values."""
        if self.n < 2:
            return math.nan
        return max(0.0, (self.squares - self.total * self.total / self.n) / (self.n - 1))

    @property
    def standard_error(self) -> float:
        """Of the mean; nan below two values."""
        return math.sqrt(self.variance / self.n) if self.n >= 2 else math.nan

    def normal(self, alpha: float = DEFAULT_ALPHA) -> Interval:
        """Two-sided asymptotic interval (central limit theorem), for one look at the data."""
        return _around(self, z_value(alpha / 2) * self.standard_error)

    def empirical_bernstein(self, low: float, high: float, alpha: float = DEFAULT_ALPHA) -> Interval:
        """Two-sided interval that holds at every n, for one look, for independent values in [`low`, `high`].

        Maurer & Pontil 2009, theorem 4, with alpha/2 on each side.
        """
        if self.n < 2:
            return _around(self, math.nan)
        log_term = math.log(4 / alpha)
        width = math.sqrt(2 * self.variance * log_term / self.n) + 7 * (high - low) * log_term / (3 * (self.n - 1))
        return _around(self, width).clamped(low, high)


def z_value(tail: float) -> float:
    """The point that a standard normal exceeds with probability `tail`."""
    return -NormalDist().inv_cdf(tail)


def _around(moments: Moments, width: float) -> Interval:
    if math.isnan(width):
        return Interval(moments.mean, -math.inf, math.inf, round(moments.n))
    return Interval(moments.mean, moments.mean - width, moments.mean + width, round(moments.n))


def anytime_lower(
    moments: Moments, least: float, alpha: float = DEFAULT_ALPHA, planned_squares: float | None = None
) -> float:
    """A lower bound on the mean that holds at every n at once, so a gate may look as often as it likes.

    P(at any n the bound exceeds the average of the values' conditional means) ≤ `alpha`, for martingale-difference
    noise of any shape above `least`; no upper limit on the values is needed, and the means may drift. For an upper
    bound, negate values and result.

    It is a mixture over bets λ of the supermartingales exp(λ Σ(x - μ)/c - ψ(λ) Σ(x/c)²) with
    ψ(λ) = -log(1 - λ) - λ and c = -`least` (Fan, Grama & Liu 2015, lemma 4.1; Howard, Ramdas, McAuliffe & Sekhon
    2021, theorem 4, with 0 as the predicted value, which suits differences and keeps the sums order-free).

    least: a bound that each value is known a priori to exceed, < 0.
    planned_squares: the sum of squares at which the bound should be tightest; known before looking at outcomes.
    """
    if least >= 0:
        raise ValueError("least must be negative: the smallest value that a term can take")
    if moments.n < 1:
        return -math.inf
    scale = -least
    bets = _LARGEST_BET * 0.5 ** np.arange(_BETS)
    if planned_squares is None:
        prior = np.full(_BETS, 1 / _BETS)
    else:
        best = scale * math.sqrt(2 * math.log(1 / alpha) / max(planned_squares, 1e-12))
        distance = np.abs(np.log2(np.clip(best, bets[-1], bets[0]) / bets))
        prior = 1 / np.square(1 + distance)
        prior /= prior.sum()
    penalty = (-np.log1p(-bets) - bets) * (moments.squares / scale**2)

    def log_wealth(mean: float) -> float:
        exponents = np.log(prior) + bets * ((moments.total - moments.n * mean) / scale) - penalty
        top = float(exponents.max())
        return top + math.log(float(np.exp(exponents - top).sum()))

    target = math.log(1 / alpha)
    high = moments.mean  # where no bet can win
    step = scale / moments.n
    low = high - step
    while log_wealth(low) < target:
        step *= 2
        low = high - step
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_wealth(middle) >= target else (low, middle)
    return max(low, least)


def anytime_interval(
    moments: Moments,
    least: float,
    most: float,
    alpha: float = DEFAULT_ALPHA,
    planned_squares: float | None = None,
) -> Interval:
    """A two-sided confidence sequence, alpha/2 on each side, for values within [`least`, `most`], least < 0 < most."""
    mirrored = Moments(moments.n, -moments.total, moments.squares)
    return Interval(
        moments.mean,
        anytime_lower(moments, least, alpha / 2, planned_squares),
        -anytime_lower(mirrored, -most, alpha / 2, planned_squares),
        round(moments.n),
    )


def mean_interval(
    values: npt.ArrayLike, alpha: float = DEFAULT_ALPHA, clusters: Sequence[Hashable] | None = None
) -> Interval:
    """The mean of on-policy rewards with a two-sided normal interval.

    values: shape (n,). clusters: which customer each value belongs to; their values may then be correlated
    (Liang & Zeger 1986), and the interval rests on the number of customers.
    """
    array = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return Moments.of(array).normal(alpha)
    if len(clusters) != array.size:
        raise ValueError(f"{len(clusters)} clusters for {array.size} values; give one cluster per value")
    if array.size == 0:
        return Moments().normal(alpha)
    index = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    of_value = np.fromiter((index[c] for c in clusters), dtype=np.int64, count=array.size)
    mean = float(array.mean())
    residuals = np.bincount(of_value, weights=array - mean)
    groups = len(index)
    if groups < 2:
        return Interval(mean, -math.inf, math.inf, array.size)
    error = math.sqrt(groups / (groups - 1) * float(np.square(residuals).sum())) / array.size
    width = z_value(alpha / 2) * error
    return Interval(mean, mean - width, mean + width, array.size)


def rate_interval(successes: float, n: int, alpha: float = DEFAULT_ALPHA) -> Interval:
    """A rate of independent trials with Wilson's score interval (Wilson 1927), sound for rare successes."""
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0)
    z = z_value(alpha / 2)
    rate = float(successes) / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    width = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Interval(rate, max(0.0, centre - width), min(1.0, centre + width), n)


def chi_square_survival(statistic: float, degrees: int) -> float:
    """P(a chi-square variable with `degrees` degrees of freedom exceeds `statistic`); 1 without degrees.

    The regularised upper incomplete gamma function by its series or Lentz's continued fraction
    (Abramowitz & Stegun 6.5.29, 6.5.31).
    """
    if degrees <= 0 or statistic <= 0:
        return 1.0
    shape, x = degrees / 2, statistic / 2
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        k = shape
        while term > total * 1e-16:
            k += 1
            term *= x / k
            total += term
        return max(0.0, 1 - front * total)
    b = x + 1 - shape
    c, d = 1e300, 1 / b
    fraction = d
    for i in range(1, 10_000):
        a = -i * (i - shape)
        b += 2
        d = 1 / (a * d + b)
        c = b + a / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction
