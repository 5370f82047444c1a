"""Intervals for means: one-shot from the values, anytime-valid from sums that merge.

`mean_interval` is for people who read one figure once. It is an empirical likelihood that knows within what bounds a
value can lie, so it holds for rare and heavy-tailed rewards, where mean ± 1.96 standard errors misses up to half of the
time (ADR 6 has the figures). `anytime_lower` is for a gate that looks again and again.

`Moments` is three sums, so shards merge by `+` in constant memory and in any order (law 9). An interval says with what
probability it misses (`alpha`), and every interval here treats rows as exchangeable or as martingale differences; pass
`clusters` to `mean_interval` where one customer contributes several correlated values.
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
_EXACT = 1e-7
_MOST_STEPS = 100
LEAST_EVENTS = 5
"""Of rewards without a known bound, as many equal ones as there must be to print an interval."""

_WIDEST = 0.5
"""An interval that leaves more than this share of what is possible open is not worth printing."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate of a mean over `n` values, with bounds, or with the reason why they are withheld.

    withheld: why there are no bounds, for people; then `low` and `high` are infinite. Empty where there are bounds.
    mean: nan where there is nothing to estimate from.
    """

    mean: float
    low: float
    high: float
    n: int
    withheld: str = ""

    def __contains__(self, value: float) -> bool:
        """Whether `value` lies within."""
        return self.low <= value <= self.high

    def clamped(self, low: float, high: float) -> Interval:
        """The same interval cut to where the true mean is known to lie; the estimate itself is left alone.

        Withheld if more than half of what is possible would be left.
        """
        if self.withheld:
            return self
        cut = Interval(self.mean, max(self.low, low), min(self.high, high), self.n)
        if cut.high - cut.low <= _WIDEST * (high - low):
            return cut
        return _withheld(
            self.mean, self.n, f"too little data: it could be anything from {cut.low:.4g} to {cut.high:.4g}"
        )

    def widened(self, by: float) -> Interval:
        """The same estimate with room for an error of up to `by` ≥ 0 on either side."""
        return Interval(self.mean, self.low - by, self.high + by, self.n, self.withheld)

    def text(self, spec: str = ".4g") -> str:
        """For people: `mean [low, high]`, or the reason in place of the bounds. spec: the format of a number."""
        mean = "unknown" if math.isnan(self.mean) else format(self.mean, spec)
        return f"{mean} [{self.withheld or f'{self.low:{spec}}, {self.high:{spec}}'}]"


def _withheld(mean: float, n: int, reason: str) -> Interval:
    return Interval(mean, -math.inf, math.inf, n, reason)


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


def z_value(tail: float) -> float:
    """The point that a standard normal exceeds with probability `tail`."""
    return -NormalDist().inv_cdf(tail)


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
    values: npt.ArrayLike,
    alpha: float = DEFAULT_ALPHA,
    clusters: Sequence[Hashable] | None = None,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    weights: npt.ArrayLike | None = None,
    heaviest: float = 0.0,
    repeats: float = 1.0,
) -> Interval:
    """A mean with a two-sided interval for one look, alpha/2 on each side.

    An end is the most extreme mean of all distributions that the values do not contradict: reweightings of the values
    seen, and any mass on a value never seen, as far as the bounds allow, whose likelihood is at least exp(-threshold)
    of the observed one. That is empirical likelihood (Owen 2001) with the support known (Karampatziakis, Langford &
    Mineiro 2020), and by duality a bet on the bounded values (Waudby-Smith & Ramdas 2024).

    The usual threshold, half a chi-square quantile, is too low for few events. Here it is that of the exact upper
    Poisson limit (Garwood 1936), for as many events as the values hold of the size that the end rests on. A rate of n
    trials so has nearly Clopper and Pearson's interval; a reward too rare to have come up counts as no event at all.

    values: shape (n,). low, high: what a value can be, known a priori. Where a bound is not known, only values like
        those seen are thought possible, and the interval is withheld if those that matter are few.
    weights: shape (n,), ≥ 0; then of Σ w·x / Σ w. heaviest: the largest weight that a row can have, if larger than any
        that came up.
    clusters: which customer each value belongs to; their values may then be correlated, and the interval rests on the
        number of customers (a ratio of sums over customers; Liang & Zeger 1986). One never seen is taken to have as
        many values as the customer of an average value.
    repeats: as if each value had come up this often, to foresee what more data would tell.
    """
    array = np.asarray(values, dtype=np.float64)
    sizes = np.ones(array.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    n, totals, largest = array.size, sizes * array, max(heaviest, float(sizes.max(initial=0.0)))
    if clusters is not None:
        if len(clusters) != n:
            raise ValueError(f"{len(clusters)} clusters for {n} values; give one cluster per value")
        index = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
        of_value = np.fromiter((index[c] for c in clusters), dtype=np.int64, count=n)
        totals = np.bincount(of_value, weights=totals).astype(np.float64)
        sizes = np.bincount(of_value, weights=sizes).astype(np.float64)
        members = np.bincount(of_value).astype(np.float64)
        largest *= float(members @ members) / max(n, 1)
    if not sizes.sum() > 0:
        return _withheld(math.nan, n, "too little data: no decision to estimate from")
    mean, tail = float(totals.sum() / sizes.sum()), alpha / 2
    if math.isinf(low) or math.isinf(high):
        squares, event = _spread(totals - sizes * mean)
        events = repeats * squares / event if event > 0 else 0.0
        if events < LEAST_EVENTS:
            reason = f"too little data: the rewards are worth {events:.0f} equal ones, and {LEAST_EVENTS} are needed"
            return _withheld(mean, n, reason)
    return Interval(
        mean,
        0.0 - _upper_end(-totals, sizes, -low, largest, repeats, tail),
        _upper_end(totals, sizes, high, largest, repeats, tail),
        n,
    )


def _upper_end(
    totals: FloatArray, sizes: FloatArray, high: float, largest: float, repeats: float, tail: float
) -> float:
    """The largest mean Σ totals / Σ sizes that the values do not contradict; a mean is at most `high`.

    First with the threshold for no event, which is never too low; then with that for the events found there.
    """
    widest = _most_extreme(totals, sizes, high, largest, -math.log(tail) / repeats)
    squares, event = _spread(totals - sizes * (totals.sum() / sizes.sum()))
    # What counts as an event: in the log or, where the end rests on more than was ever seen, in that extreme.
    event = max(event, widest.event)
    events = repeats * squares / event if event > 0 else 0.0
    return _most_extreme(totals, sizes, high, largest, _threshold(events, tail) / repeats).mean


def _spread(deviations: FloatArray) -> tuple[float, float]:
    """Σ z², and the square Σ z⁴ / Σ z² of a deviation that matters. Their ratio is how many of that size would vary as
    much: n·p for a rare rate, n/3 for a normal variable, few where a few values are larger than all others."""
    squares = float(np.square(deviations).sum())
    return squares, float((deviations**4).sum()) / squares if squares > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Extreme:
    """A mean at the edge of plausibility; event: E z⁴ / E z² of the distribution that has it, as in `_spread`."""

    mean: float
    event: float


def _most_extreme(totals: FloatArray, sizes: FloatArray, high: float, largest: float, threshold: float) -> _Extreme:
    """The largest Σ p·totals / Σ p·sizes of a distribution p over the rows and a row never seen (`largest`, `high`)
    with -Σ log(n p) ≤ `threshold`, by Dinkelbach's iteration (1967) for ratios."""
    mean = estimate = float(totals.sum() / sizes.sum())
    if math.isinf(high):  # then only what was seen can come again
        largest = high = 0.0
    for _ in range(_MOST_STEPS):
        gains = totals - sizes * mean
        p, unseen = _tilted(gains, max(largest * (high - mean), float(gains.max())), threshold)
        size = float(p @ sizes) + unseen * largest
        before, mean = mean, max(mean, (float(p @ totals) + unseen * largest * high) / size)
        if mean - before <= _EXACT * (mean - estimate):
            break
    gains, unseen_gain = totals - sizes * mean, largest * (high - mean)
    squares = float(p @ np.square(gains)) + unseen * unseen_gain**2
    fourth = float(p @ gains**4) + unseen * unseen_gain**4
    return _Extreme(mean, fourth / squares if squares > 0 else 0.0)


def _tilted(gains: FloatArray, unseen_gain: float, threshold: float) -> tuple[FloatArray, float]:
    """The distribution with the largest mean gain among those with -Σ log(n p) ≤ `threshold`: p, and the mass unseen.

    By Lagrange p ∝ 1/(ν - gain) with ν ≥ `unseen_gain`, which is at least every gain; the smaller ν, the more extreme.
    Mass goes to what was never seen only when ν has come down to it.
    """
    n, centre = len(gains), float(gains.mean())
    centred, room = gains - centre, unseen_gain - centre
    if room <= 1e-12 * (room - float(centred.min())):  # everything is as good as can be
        return np.full(n, 1 / n), 0.0

    def cost(nu: float) -> tuple[float, float, FloatArray]:
        """-Σ log(n p), its derivative by ν, and p before it is made to sum to 1."""
        share = centred / nu
        pull = 1 / (1 - share)
        total = float(pull.sum())
        lost = n * math.log(total / n) + float(np.log1p(-share).sum())
        return lost, (total - n * float(pull @ pull) / total) / nu, pull

    if centred.max() < room:
        lost, _, pull = cost(room)
        if lost <= threshold:
            unseen = -math.expm1((lost - threshold) / n)
            return (1 - unseen) * pull / pull.sum(), unseen

    # Newton's method for log cost over log(ν - room), nearly a straight line, within a bracket that only shrinks.
    below, above = -math.inf, math.inf
    spread = float(centred.std())
    at = math.log(max(spread * math.sqrt(n / (2 * threshold)) - room, 1e-3 * spread))
    for _ in range(_MOST_STEPS):
        nu = room + math.exp(at)
        lost, slope, pull = cost(nu)
        if abs(lost - threshold) <= _EXACT * threshold:
            break
        below, above = (at, above) if lost > threshold else (below, at)
        step = math.log(threshold / lost) * lost / (slope * math.exp(at)) if lost > 0 and slope < 0 else 1.0
        at += max(-3.0, min(3.0, step))
        if not below < at < above:
            at = (below + above) / 2
    return pull / pull.sum(), 0.0


def _threshold(events: float, tail: float) -> float:
    """-log of the likelihood ratio between a count of `events` and its upper Poisson limit at `tail`.

    The limit is a gamma quantile, by Wilson & Hilferty (1931): from -log(tail) without events down to z²/2 for many.
    """
    if events <= 0:
        return -math.log(tail)
    shape = events + 1
    limit = shape * (1 - 1 / (9 * shape) + z_value(tail) / (3 * math.sqrt(shape))) ** 3
    return min(-math.log(tail), events * math.log(events / limit) - events + limit)


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
