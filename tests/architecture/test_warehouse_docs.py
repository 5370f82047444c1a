"""The warehouse's page says what its tables are, and tables and views keep their own rules."""

from __future__ import annotations

import re

import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.core.model.program import Group
from decision_service.warehouse.comparison import compare_groups
from decision_service.warehouse.log_tables import LOG_TABLES
from decision_service.warehouse.tables import TABLES
from decision_service.warehouse.views import VIEWS
from docs.warehouse import PAGE, page
from tests.support.logged import T0, outcome
from tests.warehouse.test_comparison import exposed, fill


def test_the_page_is_up_to_date() -> None:
    """`python -m docs.warehouse` would change nothing."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described(name: str) -> None:
    """Columns are unique and described, numbers of time carry their unit, and the key is made of columns."""
    table = TABLES[name]
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    assert all(column.description.endswith(".") for column in table.columns)
    assert all(column.unit for column in table.columns if column.name.endswith("_ms"))


def test_log_tables_say_how_rows_are_made() -> None:
    """Every column of a log table is made from the entry, or is its position."""
    for table in LOG_TABLES.values():
        assert [c.name for c in table.columns if c.value is None] == ["log_shard", "log_sequence"]


@pytest.mark.parametrize("name", VIEWS)
def test_views_enumerate_their_columns(name: str) -> None:
    """No view selects *, so that a new column never changes what a report sees."""
    assert not re.search(r"(\bSELECT|\bDISTINCT|,|\.)\s*\*", VIEWS[name].sql)


def test_the_sql_of_results_is_what_the_command_computes() -> None:
    """Both queries of the page, on a small warehouse: differences with their errors, and a period."""
    difference, period = re.findall(r"^```sql\n(.*?)^```$", (PAGE.parent / "results.md").read_text(), re.M | re.S)
    warehouse = MemoryWarehouse()
    fill(
        warehouse,
        *(exposed(f"d{i}", f"c{i}", group=list(Group)[i % 4]) for i in range(40)),
        *(exposed(f"g{i}", f"g{i}", group=Group.HOLDOUT, held_out=True) for i in range(5)),
        *(outcome(f"o{i}", 1 + 10 * i, f"c{i * i % 40}") for i in range(30)),
    )
    [comparison] = compare_groups(warehouse)
    rows = {(row["group"], row["against"]): row for row in warehouse.query(difference).to_pylist()}
    assert rows.keys() == {(d.group, d.against) for d in comparison.differences}
    for found in comparison.differences:
        row = rows[found.group, found.against]
        one, other = comparison.group(found.group), comparison.group(found.against)
        assert one is not None
        assert other is not None
        assert row["difference"] == pytest.approx(one.reward.mean - other.reward.mean)
        assert row["standard_error"] > 0
    since_ms = T0 + 150_000
    [comparison] = compare_groups(warehouse, since_ms=since_ms)
    of_period = warehouse.query(period, {"since_ms": since_ms}).to_pylist()
    assert {row["group"]: (row["customers"], row["reward"] / row["customers"]) for row in of_period} == {
        g.group: (g.customers, pytest.approx(g.reward.mean)) for g in comparison.groups
    }
