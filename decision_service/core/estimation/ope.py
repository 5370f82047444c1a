"""Off-policy evaluation: what would another policy have earned on the decisions that were logged?

Everything rests on the logged probabilities: a row weighs w = π(a)/μ(a), the target policy's probability of the
chosen action over the logged one. Estimators reduce rows to sums that merge by `+` (law 9), so a shard, a day or
a worker can be evaluated alone. Rows and actions are arrays: n rows, A actions; an action that was not feasible
has logged probability 0, and a target policy must give it none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from decision_service.core.estimation.intervals import (
    DEFAULT_ALPHA,
    FloatArray,
    Interval,
    Moments,
    anytime_interval,
    anytime_lower,
    chi_square_survival,
    mean_interval,
    z_value,
)

__all__ = [
    "DEFAULT_ALPHA",
    "Calibration",
    "DesignTerms",
    "FloatArray",
    "IntArray",
    "Interval",
    "Moments",
    "Snips",
    "Weights",
    "anytime_interval",
    "anytime_lower",
    "chi_square_survival",
    "dr",
    "dr_terms",
    "group_balance",
    "importance_weights",
    "mean_interval",
    "probability_matrix",
    "unsupported_mass",
    "z_value",
]

IntArray = npt.NDArray[np.int64]

_LEAST_VARIANCE = 4.0
"""Directions in which fewer draws than about this vary are left out of a chi-square (Cochran 1954)."""


def importance_weights(target: FloatArray, logged: FloatArray, chosen: IntArray) -> FloatArray:
    """π(a)/μ(a) of each row's chosen action, shape (n,).

    target, logged: shape (n, A), probabilities. chosen: shape (n,), column of the chosen action.

    Raises:
        ValueError: a chosen action has logged probability 0, so the log contradicts itself.
    """
    rows = np.arange(len(chosen))
    probability = logged[rows, chosen]
    if np.any(probability <= 0):
        raise ValueError("a chosen action has logged probability 0; such a row says nothing about any policy")
    weights: FloatArray = target[rows, chosen] / probability
    return weights


def dr_terms(
    target: FloatArray,
    logged: FloatArray,
    chosen: IntArray,
    rewards: FloatArray,
    predicted: FloatArray,
) -> FloatArray:
    """Doubly robust terms (Dudík, Langford & Li 2011), shape (n,): Σ_a π(a) r̂(a) + w (r - r̂(chosen)).

    predicted: shape (n, A), reward predictions that did not see the row. `target` may be a difference of two
    policies; the terms are then of the paired difference of their values.
    """
    rows = np.arange(len(chosen))
    weights = importance_weights(target, logged, chosen)
    terms: FloatArray = (target * predicted).sum(axis=1) + weights * (rewards - predicted[rows, chosen])
    return terms


def dr(
    target: FloatArray,
    logged: FloatArray,
    chosen: IntArray,
    rewards: FloatArray,
    predicted: FloatArray,
) -> Moments:
    """The doubly robust estimate, as the moments of `dr_terms`."""
    return Moments.of(dr_terms(target, logged, chosen, rewards, predicted))


@dataclass(frozen=True, slots=True)
class Weights:
    """What importance weights say about the log's fitness for a target policy."""

    moments: Moments = field(default_factory=Moments)
    largest: float = 0.0

    @classmethod
    def of(cls, weights: FloatArray) -> Weights:
        """The summary of weights of shape (n,)."""
        return cls(Moments.of(weights), float(weights.max(initial=0.0)))

    def __add__(self, other: Weights) -> Weights:
        """The summary of both sets of rows together."""
        return Weights(self.moments + other.moments, max(self.largest, other.largest))

    @property
    def mean(self) -> float:
        """1 in expectation where the target has support and the logged probabilities are true."""
        return self.moments.mean

    @property
    def effective_sample_size(self) -> float:
        """(Σw)²/Σw² (Kish 1965): how many on-policy rows the log is worth; from 0 to n."""
        return self.moments.total**2 / self.moments.squares if self.moments.squares else 0.0

    @property
    def z(self) -> float:
        """How many standard errors the mean weight is away from 1; 0 if all weights are 1, nan below two rows."""
        error = self.moments.standard_error
        if error > 0:
            return (self.mean - 1) / error
        return 0.0 if math.isclose(self.mean, 1.0) else math.copysign(math.inf, self.mean - 1)


@dataclass(frozen=True, slots=True)
class Snips:
    """Self-normalised IPS (Swaminathan & Joachims 2015): Σwr/Σw. Slightly biased, and never outside the rewards."""

    n: int = 0
    w: float = 0.0
    ww: float = 0.0
    wr: float = 0.0
    wwr: float = 0.0
    wwrr: float = 0.0

    @classmethod
    def of(cls, weights: FloatArray, rewards: FloatArray) -> Snips:
        """The sums of rows with weights and rewards of shape (n,)."""
        products = weights * rewards
        return cls(
            len(weights),
            float(weights.sum()),
            float(np.square(weights).sum()),
            float(products.sum()),
            float((weights * products).sum()),
            float(np.square(products).sum()),
        )

    def __add__(self, other: Snips) -> Snips:
        """The sums of both sets of rows together."""
        return Snips(
            self.n + other.n,
            self.w + other.w,
            self.ww + other.ww,
            self.wr + other.wr,
            self.wwr + other.wwr,
            self.wwrr + other.wwrr,
        )

    @property
    def mean(self) -> float:
        """The estimate; nan where no row has weight."""
        return self.wr / self.w if self.w else math.nan

    @property
    def standard_error(self) -> float:
        """By the delta method; nan below two rows or without weight."""
        if self.n < 2 or not self.w:
            return math.nan
        spread = self.wwrr - 2 * self.mean * self.wwr + self.mean**2 * self.ww
        return math.sqrt(max(0.0, spread)) / self.w


@dataclass(frozen=True, slots=True)
class DesignTerms:
    """What is known of DR terms before the draws and the rewards: from contexts, probabilities and predictions.

    variance: shape (n,), expected square of each row's term, at most, given rewards within their bounds.
    least, most: shape (n,), the extremes of each row's term over every action with support and every reward.
    """

    variance: FloatArray
    least: FloatArray
    most: FloatArray

    @classmethod
    def of(cls, target: FloatArray, logged: FloatArray, predicted: FloatArray, low: float, high: float) -> DesignTerms:
        """For rewards a priori within [`low`, `high`]; predictions must lie there too.

        The variance of a variable in [low, high] with mean m is at most (high - m)(m - low) (Bhatia & Davis 2000).
        """
        supported = logged > 0
        weights = np.divide(target, logged, out=np.zeros_like(target), where=supported)
        direct = (target * predicted).sum(axis=1)
        spread = (np.square(weights) * logged * (high - predicted) * (predicted - low)).sum(axis=1)
        up, down = weights * (high - predicted), weights * (low - predicted)
        return cls(
            np.square(direct) + spread,
            direct + np.minimum(up, down).min(axis=1),
            direct + np.maximum(up, down).max(axis=1),
        )


def group_balance(groups: Sequence[str], variance: FloatArray) -> FloatArray:
    """Row multipliers, averaging 1, that give each group's rows the influence their precision deserves.

    Several policies log at once (TREATMENT's model, RANDOM_CONTROL's uniform draw); a group's estimate has variance
    v_g/n_g, so rows of group g count in proportion to 1/v_g (Agarwal, Basu, Schnabel & Joachims 2017). `variance`
    comes from the design and not from rewards or draws, so estimates stay unbiased for the groups' average context.
    """
    names = np.asarray(groups)
    inverse = np.ones(len(names))
    for name in np.unique(names):
        rows = names == name
        inverse[rows] = 1 / max(float(variance[rows].mean()), 1e-12)
    return inverse / inverse.mean() if len(names) else inverse


def unsupported_mass(target: FloatArray, logged: FloatArray) -> FloatArray:
    """How much of each row's target probability lies on actions that could not have been chosen, shape (n,)."""
    mass: FloatArray = np.where(logged > 0, 0.0, np.abs(target)).sum(axis=1)
    return mass


def probability_matrix(
    options: Iterable[Mapping[str, float]], chosen: Iterable[str]
) -> tuple[tuple[str, ...], FloatArray, IntArray]:
    """Actions in order of appearance, logged probabilities of shape (n, A), and the chosen column of each row.

    Raises:
        ValueError: a chosen action is not among its row's options.
    """
    rows, picks = list(options), list(chosen)
    column = {action: i for i, action in enumerate(dict.fromkeys(a for row in rows for a in row))}
    matrix = np.zeros((len(rows), len(column)))
    for i, (row, pick) in enumerate(zip(rows, picks, strict=True)):
        if pick not in row:
            raise ValueError(f"row {i}: chosen action {pick!r} is not among its options")
        for action, probability in row.items():
            matrix[i, column[action]] = probability
    return tuple(column), matrix, np.array([column[p] for p in picks], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether categories were drawn as often as their logged probabilities say (law 1).

    categories: what is counted, an action or a range of probability. drawn: how often it was chosen. expected: the
    sum of its logged probabilities. covariance: of `drawn`, shape (C, C), exact for independent draws.
    """

    categories: tuple[str, ...]
    drawn: FloatArray
    expected: FloatArray
    covariance: FloatArray

    @classmethod
    def by_action(cls, actions: Sequence[str], logged: FloatArray, chosen: IntArray) -> Calibration:
        """Per action. logged: shape (n, A). chosen: shape (n,), columns."""
        drawn = np.bincount(chosen, minlength=len(actions)).astype(np.float64)
        expected = logged.sum(axis=0)
        return cls(tuple(actions), drawn, expected, np.diag(expected) - logged.T @ logged)

    @classmethod
    def by_probability(
        cls, logged: FloatArray, chosen: IntArray, edges: Sequence[float] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
    ) -> Calibration:
        """Per range of logged probability: do the options logged at about 0.3 come up 30 % of the time?"""
        bins = np.searchsorted(np.asarray(edges), logged, side="left")
        bounds = (0.0, *edges, 1.0)
        names = [f"{low:g}–{high:g}" for low, high in itertools.pairwise(bounds)]
        mass = np.zeros((len(logged), len(names)))
        for b in range(len(names)):
            mass[:, b] = np.where(bins == b, logged, 0.0).sum(axis=1)
        return cls.by_action(names, mass, bins[np.arange(len(chosen)), chosen].astype(np.int64))

    def __add__(self, other: Calibration) -> Calibration:
        """Both logs together; categories that only one has are kept."""
        names = tuple(dict.fromkeys((*self.categories, *other.categories)))
        drawn, expected, covariance = np.zeros(len(names)), np.zeros(len(names)), np.zeros((len(names), len(names)))
        for part in (self, other):
            at = np.array([names.index(c) for c in part.categories], dtype=np.int64)
            drawn[at] += part.drawn
            expected[at] += part.expected
            covariance[np.ix_(at, at)] += part.covariance
        return Calibration(names, drawn, expected, covariance)

    @property
    def statistic(self) -> float:
        """d' Σ⁻¹ d for the surplus d = drawn - expected; infinite if something impossible was drawn."""
        return self._test()[0]

    @property
    def degrees(self) -> int:
        """Degrees of freedom: the rank of the covariance."""
        return self._test()[1]

    @property
    def p_value(self) -> float:
        """The probability of a surplus at least this large if the log is honest; 1 where nothing was random."""
        statistic, degrees = self._test()
        return 0.0 if math.isinf(statistic) else chi_square_survival(statistic, degrees)

    def _test(self) -> tuple[float, int]:
        surplus = self.drawn - self.expected
        values, vectors = np.linalg.eigh(self.covariance)
        along = vectors.T @ surplus
        random = values > _LEAST_VARIANCE
        if np.any(self.drawn[self.expected <= 0] > 0):
            return math.inf, int(random.sum())
        return float((np.square(along[random]) / values[random]).sum()), int(random.sum())
