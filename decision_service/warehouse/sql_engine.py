"""DuckDB as the SQL engine over named Arrow tables and datasets; both forms of the warehouse query through it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from decision_service.core.model.errors import InvalidRequest, Unavailable
from decision_service.warehouse.tables import TABLES
from decision_service.warehouse.views import VIEWS

Source = Callable[[str], Any]
"""Table name → Arrow table or dataset, None if there is no such table."""


FACTS: Mapping[str, tuple[str, ...]] = {name: TABLES[name].key for name in ("outcomes", "events")}
"""Tables whose facts senders may repeat after the ledger has forgotten them, with what a fact is known by: every reader
sees the first row of each."""

_POSITION = ("log_shard", "log_sequence")


class SqlEngine:
    """Queries see only the tables given: no files, no network, no other catalogue. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database = duckdb.connect(
            config={
                "enable_external_access": "false",
                "python_enable_replacements": "false",
                "autoload_known_extensions": "false",
            }
        )
        self._database.execute("SET GLOBAL TimeZone = 'UTC'; SET lock_configuration = true")

    def query(self, sql: str, parameters: Mapping[str, object] | None, source: Source) -> pa.Table:
        """Run one statement. Documented tables that `source` does not have read as empty.

        Raises:
            InvalidRequest: the SQL or its parameters are wrong.
            Unavailable: the engine failed.
        """
        with self._lock:
            cursor = self._database.cursor()
        try:
            for name in _mentioned(sql):
                data = source(name)
                if data is None and name in TABLES:
                    data = TABLES[name].schema.empty_table()
                if data is not None:
                    _register(cursor, name, data)
            for name in _views_mentioned(sql):
                cursor.execute(f"CREATE TEMP VIEW {name} AS {VIEWS[name].sql}")
            relation = cursor.sql(sql, params=dict(parameters or {}))
            if relation is None:
                raise InvalidRequest.of("sql", "is not a query")
            return relation.to_arrow_table()
        except (
            duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError, duckdb.PermissionException
        ) as error:  # fmt: skip
            raise InvalidRequest.of("sql", str(error)) from error
        except duckdb.Error as error:
            raise Unavailable("warehouse", str(error)) from error
        finally:
            cursor.close()

    def split(self, rows: pa.Table, where: str) -> tuple[pa.Table, pa.Table]:
        """Rows that match a predicate, and the others."""
        matching = self.query(f"SELECT coalesce(({where}), FALSE) AS matching FROM given", None, {"given": rows}.get)
        mask = matching.column("matching")
        return rows.filter(mask), rows.filter(pa.compute.invert(mask))


def _register(cursor: duckdb.DuckDBPyConnection, name: str, data: Any) -> None:
    """Under its name; facts once each, however often they were logged."""
    if name in FACTS and {*FACTS[name], *_POSITION} <= set(data.schema.names):
        cursor.register(f"{name}_logged", data)
        key, position = ", ".join(FACTS[name]), ", ".join(_POSITION)
        cursor.execute(
            f"CREATE TEMP VIEW {name} AS SELECT * FROM {name}_logged "
            f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {position}) = 1"
        )
    else:
        cursor.register(name, data)


def _words(sql: str) -> set[str]:
    return set(re.findall(r"\w+", sql))


def _views_mentioned(sql: str) -> list[str]:
    """Views that the SQL mentions, and those below them, in an order that they can be created in."""
    below = [name for name in VIEWS if name in _words(sql)]
    nested = [inner for name in below for inner in _views_mentioned(VIEWS[name].sql)]
    return list(dict.fromkeys(nested + below))


def _mentioned(sql: str) -> set[str]:
    """Every word that may name a table. Too many cost little, and the parser cannot list tables it does not know."""
    return _words(sql).union(*(_words(VIEWS[name].sql) for name in _views_mentioned(sql))) - VIEWS.keys()
