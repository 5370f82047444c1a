"""Was an experiment carried out as designed: hand-made counts, and how often honest files are refused."""

from __future__ import annotations

import numpy as np
import pytest

from decision_service.replay.design import column_problem, ratio_problem, shares_problem

FIELD = {"none": 0.6, "a": 0.1, "b": 0.1, "c": 0.1, "d": 0.1}


def test_designed_shares_sum_to_1() -> None:
    """Rounded ones do; half of the experiment does not, and the sum is named."""
    assert shares_problem(FIELD) is None
    assert shares_problem({"a": 0.333, "b": 0.333, "c": 0.333}) is None
    problem = shares_problem({"a": 0.5, "b": 0.3})
    assert problem is not None
    assert "a 0.5, b 0.3: sums to 0.8, not 1" in problem.message


def test_a_sample_ratio_mismatch_names_observed_and_designed_shares() -> None:
    """300 of 1,000 rows where 200 were designed: chi-square 50 + 12.5."""
    problem = ratio_problem({"a": 0.2, "b": 0.8}, {"a": 300, "b": 700})
    assert problem is not None
    assert "a has 30.00% of the rows, designed were 20.00%" in problem.message
    assert "correct the designed shares" in problem.message
    assert ratio_problem({"a": 0.2, "b": 0.8}, {"a": 220, "b": 780}) is None
    assert ratio_problem({"a": 0.5, "b": 0.5}, {"b": 40}) is not None


def test_rare_arms_do_not_make_an_honest_file_suspicious() -> None:
    """Three rows of an arm that is expected half a time are chance; hundreds of them are not."""
    rare = {"a": 0.9995, "b": 0.0005}
    assert ratio_problem(rare, {"a": 997, "b": 3}) is None
    assert ratio_problem(rare, {"a": 700, "b": 300}) is None  # too few are expected to say
    assert ratio_problem(rare, {"a": 70_000, "b": 30_000}) is not None
    assert ratio_problem({"a": 0.5, "b": 0.5}, {"a": 2}) is None


def test_honest_files_pass() -> None:
    """None of 2,000 experiments of the design is refused."""
    rng = np.random.default_rng(1)
    for counts in rng.multinomial(1_000, list(FIELD.values()), size=2_000).tolist():
        assert ratio_problem(FIELD, dict(zip(FIELD, counts, strict=True))) is None


@pytest.mark.parametrize("least", [0.3, 0.01])
def test_logged_probabilities_that_arms_were_drawn_by_pass(least: float) -> None:
    """Also where a few rows had an arm that was hardly ever given: none of 300 logs is refused."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        p_a = rng.choice([least, 1 - least], 500)
        is_a = rng.random(500) < p_a
        inverse = {"a": float((1 / p_a[is_a]).sum()), "b": float((1 / (1 - p_a[~is_a])).sum())}
        assert column_problem("p", inverse, 500, least) is None


def test_logged_probabilities_of_something_else_are_refused() -> None:
    """1 in every row, as of a rule; or .5 where three of four rows had the arm."""
    problem = column_problem("p", {"a": 500.0, "b": 500.0}, 1_000, 1.0)
    assert problem is not None
    assert problem.field == "p"
    assert "a 50.0%, b 50.0%" in problem.message
    assert column_problem("p", {"a": 1_500.0, "b": 500.0}, 1_000, 0.5) is not None
    assert column_problem("p", {"a": 1_050.0, "b": 950.0}, 1_000, 0.5) is None
