"""The only place that turns a distribution into a choice, so the logged probability is the realised one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from decision_service.core.model.errors import InvalidDistribution

SUM_TOLERANCE = 1e-9


def validate(probabilities: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Return the distribution if it is one.

    Raises:
        InvalidDistribution: wrong length, not finite, negative, or a sum further than SUM_TOLERANCE from 1.
    """
    if probabilities.shape != (n,):
        raise InvalidDistribution(f"shape {probabilities.shape}, expected ({n},)")
    if not np.isfinite(probabilities).all():
        raise InvalidDistribution(f"not finite: {probabilities.tolist()}")
    if (probabilities < 0).any():
        raise InvalidDistribution(f"negative: {probabilities.tolist()}")
    if abs(float(probabilities.sum()) - 1.0) > SUM_TOLERANCE:
        raise InvalidDistribution(f"sums to {probabilities.sum()!r}")
    return probabilities


def draw_index(probabilities: npt.NDArray[np.float64], draw: float) -> int:
    """Inverse CDF: the first index whose cumulated probability exceeds `draw` in [0, 1).

    An index of probability 0 is never returned, whatever rounding does to the last sum.
    """
    index = int(np.searchsorted(np.cumsum(probabilities), draw, side="right"))
    if index < len(probabilities) and probabilities[index] > 0:
        return index
    return int(np.flatnonzero(probabilities)[-1])
