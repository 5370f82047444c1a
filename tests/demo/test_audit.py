"""What the groups of a simulation earned, on rows written by hand."""

from __future__ import annotations

import pytest

from decision_service.demo.audit import Earned, group_values, oracle_value


def earned(group: str, customer: str, reward: float, best: float = 0.0) -> Earned:
    """A matured decision."""
    return Earned("d", customer, "p", group, 0, reward, best, 0.0)


def test_group_means_rest_on_customers() -> None:
    """Ten equal decisions of one customer say no more than one: the interval is wider than by decisions."""
    clustered = [earned("TREATMENT", f"c{i}", float(i % 2)) for i in range(10) for _ in range(10)]
    spread = [earned("TREATMENT", f"c{i}", float(i % 2)) for i in range(100)]
    wide, narrow = group_values(clustered)["TREATMENT"], group_values(spread)["TREATMENT"]
    assert wide.mean == narrow.mean == 0.5
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_the_oracle_is_asked_about_treatment_only() -> None:
    """The oracle's value is the mean of the best of TREATMENT's decisions."""
    decisions = [earned("TREATMENT", "a", 0, 0.4), earned("TREATMENT", "b", 0, 0.2), earned("HOLDOUT", "c", 0, 0.9)]
    assert oracle_value(decisions) == pytest.approx(0.3)
    assert set(group_values(decisions)) == {"TREATMENT", "HOLDOUT"}
