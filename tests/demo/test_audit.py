"""What the groups of a simulation earned, on rows written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.core.model.program import Group
from decision_service.demo.audit import Earned, brought, group_values, oracle_value
from tests.support.logged import T0, outcome
from tests.warehouse.test_comparison import exposed, fill


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


def test_the_oracle_of_a_customer_has_what_her_decisions_missed() -> None:
    """Beside what she brought: best less expected of each decision that the program made for her in TREATMENT."""
    warehouse = MemoryWarehouse()
    fill(
        warehouse,
        *(exposed(f"t{i}", f"t{i}") for i in range(4)),
        exposed("h", "h", group=Group.HOLDOUT),
        outcome("o1", 10, "t0"),
        outcome("o2", 500, "t0"),
    )
    first = Earned("t0", "t0", "spring", "TREATMENT", T0, 2, best=1.0, expected=0.8)
    decisions = [
        first,
        replace(first, best=0.5, expected=0.1, decided_at_ms=T0 + 300_000),
        replace(first, program="autumn", best=9.0),
        replace(first, group="HOLDOUT", best=9.0),
    ]
    [whole] = brought(warehouse, decisions)
    assert whole.comparison.program == "spring"
    assert whole.oracle == pytest.approx((2 + 2) / 4 + (0.2 + 0.4) / 4)
    [late] = brought(warehouse, decisions, T0 + 300_000)
    assert late.oracle == pytest.approx(2 / 4 + 0.4 / 4)


def test_the_oracle_is_asked_about_treatment_only() -> None:
    """The oracle's value is the mean of the best of TREATMENT's decisions."""
    decisions = [earned("TREATMENT", "a", 0, 0.4), earned("TREATMENT", "b", 0, 0.2), earned("HOLDOUT", "c", 0, 0.9)]
    assert oracle_value(decisions) == pytest.approx(0.3)
    assert set(group_values(decisions)) == {"TREATMENT", "HOLDOUT"}
