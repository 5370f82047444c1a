"""Was the experiment carried out as its design says? If not, no value that rests on the design is true. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from decision_service.core.estimation.ope import chi_square_survival
from decision_service.core.model.errors import Violation
from decision_service.replay.experiment import Floats

LEAST_P_VALUE = 1e-4
"""An honest file fails a check with at most this probability."""

SUM_TOLERANCE = 1e-3
"""Shares are written with few digits: .333 three times is meant to be 1."""

_LEAST_EXPECTED = 5.0
"""Arms that are expected less often than this are counted together in a chi-square (Cochran 1954)."""


def shares_problem(shares: Mapping[str, float]) -> Violation | None:
    """What is wrong with the designed probabilities of the arms, if they do not sum to 1."""
    total = math.fsum(shares.values())
    if abs(total - 1) <= SUM_TOLERANCE:
        return None
    listed = ", ".join(f"{arm} {share:g}" for arm, share in shares.items())
    return Violation(
        "probability", f"{listed}: sums to {total:g}, not 1; give each arm of the experiment its designed share"
    )


def ratio_problem(shares: Mapping[str, float], counts: Mapping[str, int]) -> Violation | None:
    """A sample ratio mismatch: arms were observed in other shares than designed, beyond chance.

    shares: arm → designed probability, sums to 1. counts: arm → rows; an arm without rows may be absent.
    """
    rows = sum(counts.values())
    observed = np.array([counts.get(arm, 0) for arm in shares], dtype=np.float64)
    if _ratio_p_value(observed, np.array(list(shares.values())) * rows) >= LEAST_P_VALUE:
        return None
    listed = ", ".join(
        f"{arm} has {counts.get(arm, 0) / rows:.2%} of the rows, designed were {share:.2%}"
        for arm, share in shares.items()
    )
    return Violation(
        "probability",
        f"sample ratio mismatch: {listed}; chance does so in fewer than one of {1 / LEAST_P_VALUE:,.0f} experiments: "
        "correct the designed shares, or find out which rows are missing",
    )


def column_problem(column: str, inverse: Mapping[str, float], rows: int, least: float) -> Violation | None:
    """Logged probabilities that arms were not drawn by: for each arm, the sum of 1/p over its rows estimates the number
    of all rows (Horvitz & Thompson 1952), within Bernstein's bound for terms in [0, 1/least].

    inverse: arm → that sum.
    """
    log_term = math.log(2 * len(inverse) / LEAST_P_VALUE)
    bound = log_term / (3 * least)
    bound += math.sqrt(bound**2 + 2 * rows * (1 / least - 1) * log_term)
    wrong = [f"{arm} {total / rows:.1%}" for arm, total in inverse.items() if abs(total - rows) > bound]
    if not wrong:
        return None
    return Violation(
        column,
        f"is not what arms were drawn by: the sum of 1/{column} over an arm's rows should be 100 % of all rows within "
        f"{bound / rows:.1%}, and is {', '.join(wrong)}; give P(the arm that was given), as it was when it was drawn",
    )


def _ratio_p_value(observed: Floats, expected: Floats) -> float:
    """Pearson's chi-square, rare arms counted together. observed, expected: rows by arm, shape (n_arms,)."""
    terms: list[float] = []
    seen = due = 0.0
    for i in np.argsort(expected):
        seen, due = seen + float(observed[i]), due + float(expected[i])
        if due >= _LEAST_EXPECTED:
            terms.append((seen - due) ** 2 / due)
            seen = due = 0.0
    return chi_square_survival(math.fsum(terms), len(terms) - 1)
