"""`nba results` on a lakehouse."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from decision_service.cli import app
from decision_service.cli.results import amount
from decision_service.cli.terminal import settings
from decision_service.core.estimation.intervals import Interval
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Group
from decision_service.operation import bootstrap
from tests.support.logged import outcome
from tests.warehouse.test_comparison import exposed, fill

H = Group.HOLDOUT


def nba(*arguments: str) -> str:
    """What a command prints, on 80 columns."""
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines()), default=0) <= 80
    return result.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which 30 of 40 customers of TREATMENT bought on the first day, 1 of 20 held out, 18 of 30 at random."""
    warehouse = bootstrap.open_warehouse(settings(tmp_path))
    fill(
        warehouse,
        *(exposed(f"t{i}", f"t{i}") for i in range(40)),
        *(exposed(f"h{i}", f"h{i}", group=H) for i in range(20)),
        *(exposed(f"r{i}", f"r{i}", group=Group.RANDOM_CONTROL) for i in range(30)),
        exposed("b", "b", group=Group.BUSINESS_AS_USUAL),
        *(outcome(f"o{i}", 10, f"t{i}") for i in range(30)),
        outcome("oh", 10, "h0"),
        *(outcome(f"or{i}", 10, f"r{i}") for i in range(18)),
        outcome("later", 90_000, "h1"),
    )
    return tmp_path


def test_groups_and_what_their_differences_answer(home: Path) -> None:
    """A table of groups, and a sentence of each difference."""
    shown = nba("results", "--home", str(home))
    assert "spring: reward per customer since her first exposure" in shown
    assert re.search(r"TREATMENT brings 1\.3\d* \[\S+, \S+\] more than HOLDOUT\.", shown)
    assert "This is what the program adds, while other programs contact both." in shown
    assert "TREATMENT and RANDOM_CONTROL cannot be told apart: +0.3" in shown.replace("\n", " ")
    assert "TREATMENT and BUSINESS_AS_USUAL: too few customers or outcomes to say." in shown


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        (Interval(2.046, 1.95, 2.142, 9), "2.05 [1.95, 2.14]"),
        (Interval(-0.000123, -0.0004, 0.0001, 9), "-0.00012 [-0.00040, 0.00010]"),
        (Interval(12_345.6, 11_000, 14_000, 9), "12,346 [11,000, 14,000]"),
        (Interval(-0.001, -0.15, 0.11, 9), "0.00 [-0.15, 0.11]"),
        (Interval(0.5, -math.inf, math.inf, 1), "0.5"),
        (Interval(0.0, 0.0, 0.0, 4), "0"),
    ],
)
def test_amounts_have_the_decimals_that_their_width_deserves(interval: Interval, shown: str) -> None:
    """Two digits of it, whatever the unit of the reward."""
    assert amount(interval) == shown


def test_a_period_is_named(home: Path) -> None:
    """From a UTC day on; what was before is left out."""
    shown = nba("results", "spring", "--since", "2023-11-15", "--home", str(home))
    assert "spring: reward per customer since 2023-11-15" in shown
    assert "TREATMENT and HOLDOUT cannot be told apart: -0.10 [" in shown
    with pytest.raises(InvalidRequest, match="--since"):
        nba("results", "--since", "yesterday", "--home", str(home))


def test_json_has_all_of_it(home: Path) -> None:
    """Bounds that are not known are null."""
    [comparison] = json.loads(nba("results", "--json", "--home", str(home)))
    treated = comparison["groups"][0]
    assert (comparison["program"], treated["group"], treated["customers"]) == ("spring", "TREATMENT", 40)
    assert (treated["customers_with_outcome"], treated["mean"]) == (30, 1.5)
    [of_one] = [g for g in comparison["groups"] if g["group"] == "BUSINESS_AS_USUAL"]
    assert (of_one["mean"], of_one["low"]) == (0.0, None)
    unknown = comparison["differences"][1]
    assert (unknown["against"], unknown["mean"]) == ("BUSINESS_AS_USUAL", None)


def test_where_there_is_nothing_yet_it_says_what_to_do(home: Path, tmp_path: Path) -> None:
    """Load and join; as JSON it is an empty list."""
    empty = str(tmp_path / "empty")
    assert "Run `nba load` and `nba join`" in nba("results", "--home", empty)
    assert json.loads(nba("results", "--json", "--home", empty)) == []
    unknown = nba("results", "autumn", "--home", str(home))
    assert "Nobody was exposed to autumn yet" in unknown
    assert "There are results of spring." in unknown


def test_a_difference_that_is_a_loss_reads_so(tmp_path: Path) -> None:
    """Less, not negative more; without another group nothing is compared."""
    warehouse = bootstrap.open_warehouse(settings(tmp_path))
    fill(warehouse, *(exposed(f"t{i}", f"t{i}") for i in range(20)))
    assert "There is no other group to compare with" in nba("results", "--home", str(tmp_path))
    other = tmp_path / "other"
    fill(
        bootstrap.open_warehouse(settings(other)),
        *(exposed(f"t{i}", f"t{i}") for i in range(20)),
        *(exposed(f"h{i}", f"h{i}", group=H) for i in range(20)),
        *(outcome(f"o{i}", 10, f"h{i}") for i in range(15)),
    )
    assert re.search(r"TREATMENT brings 1\.50 \[0\.\d+, 1\.\d+\] less than", nba("results", "--home", str(other)))
