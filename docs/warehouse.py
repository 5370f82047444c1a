"""Write `docs/warehouse.md` from the declared tables and views; `--check` only tells whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from decision_service.warehouse.columns import Table
from decision_service.warehouse.tables import TABLES
from decision_service.warehouse.views import VIEWS, View

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """# Warehouse

<!-- Written by `python -m docs.warehouse` from `tables` and `views` of decision_service/warehouse. -->

The embedded warehouse is a folder of Delta tables, one sub-folder a table, that any engine which reads Delta can open.
`Warehouse.query` sees them in DuckDB's dialect, with named parameters (`$name`), and nothing else: no files or network.
Documented tables that do not exist yet read as empty. From Python, of a home such as the demo's:

```python
from pathlib import Path

from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings

warehouse = bootstrap.open_warehouse(Settings(home=Path(".nba/demo")))
print(warehouse.query("SELECT * FROM group_results").to_pylist())
```

- **Time**: `TIMESTAMPTZ` columns are UTC; the `*_ms` column beside one is the same moment as a number.
- **Who writes**: the loader alone writes `decisions`, `activations`, `outcomes` and `events`, each log entry exactly
  once: the last position of every shard is recorded in the transaction of the rows. Jobs own the other tables.
- **Log position**: `log_shard` and `log_sequence` say where in the log a row was; gaps are entries of other kinds.
- **Writers take turns** by a file lock per table, which is free as soon as its process ends. Write through this
  product only: deltalake 1.6 lets two concurrent compactions both commit, which doubles every row.
- **Readers never wait.** A query reads each table at one snapshot. Files that compaction, replacement or `forget` took
  out of a table stay on disk for the retention (15 minutes), so a query that runs longer than that may fail.
- **Forgetting** a customer deletes the rows at once, from every table that has a `customer_id`; the files that still
  hold them are dropped by the first compaction after the retention.
"""


def type_name(kind: pa.DataType) -> str:
    """DuckDB's name of an Arrow type."""
    if pa.types.is_list(kind):
        return f"{type_name(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{field.name} {type_name(field.type)}' for field in kind)})"
    return {
        pa.string(): "VARCHAR",
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.binary(): "BLOB",
        pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    }[kind]


def table_section(table: Table) -> Iterator[str]:
    """Markdown of a table."""
    yield f"### `{table.name}`\n"
    yield f"{table.description} Key: {', '.join(f'`{name}`' for name in table.key)}.\n"
    yield "| column | type | unit | meaning |"
    yield "|---|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {type_name(column.type)} | {column.unit} | {column.description} |"
    yield ""


def view_section(view: View) -> Iterator[str]:
    """Markdown of a view."""
    yield f"### `{view.name}`\n"
    yield f"{view.description}\n"
    yield "| column | meaning |"
    yield "|---|---|"
    for name, meaning in view.columns.items():
        yield f"| `{name}` | {meaning} |"
    sql = "\n".join(line.removeprefix("    ") for line in view.sql.strip("\n").rstrip().splitlines())
    yield f"\n```sql\n{sql}\n```\n"


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION, "## Tables\n"]
    for table in TABLES.values():
        lines += table_section(table)
    lines.append("## Views\n")
    for view in VIEWS.values():
        lines += view_section(view)
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """0 if the page is (or was made) up to date."""
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
