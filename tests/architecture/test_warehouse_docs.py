"""The warehouse's page says what its tables are, and tables and views keep their own rules."""

from __future__ import annotations

import re

import pytest

from decision_service.warehouse.log_tables import LOG_TABLES
from decision_service.warehouse.tables import TABLES
from decision_service.warehouse.views import VIEWS
from docs.warehouse import PAGE, page


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
