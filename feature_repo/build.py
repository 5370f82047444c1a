"""`nba features build`: SQL over the warehouse → feature tables → Feast's registry → the online store.

Incremental and restartable: run it as often as features should be fresh. See `feature_repo.tables`.
"""

from __future__ import annotations

import hashlib
import re
import runpy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from decision_service.adapters.feast.store import REGISTRY
from decision_service.application.ports import Warehouse
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.warehouse.tables import SEGMENT_MEMBERSHIP
from feature_repo.removals import Allowed, check_removals
from feature_repo.tables import (
    KEY,
    Progress,
    ViewReport,
    arrow_types,
    conform,
    empty_table,
    opened,
    publish,
    unknown_flags,
    write_parquet,
)

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView


# What the SQL may read although the warehouse does not have it yet.
_OPTIONAL = {
    "orders": "order_id VARCHAR, customer_id VARCHAR, ordered_at TIMESTAMPTZ, amount DOUBLE, category VARCHAR",
    "support_tickets": (
        "ticket_id VARCHAR, customer_id VARCHAR, opened_at TIMESTAMPTZ, topic VARCHAR, satisfaction BIGINT"
    ),
}


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `applied`: the registry was brought in step with the definitions."""

    applied: bool
    segments: Mapping[str, int]
    views: tuple[ViewReport, ...]
    seconds: float


def build_features(
    warehouse: Warehouse,
    feature_repo: Path,
    data_dir: Path,
    redis_url: str,
    now_ms: int,
    views: Sequence[str] | None = None,
    progress: Progress | None = None,
    allowed: Allowed = Allowed(),  # noqa: B008 — frozen
) -> BuildReport:
    """Build the views that have a `sql/<view>.sql` (or those named) as of `now_ms`, and serve them.

    The SQL is DuckDB's, reads warehouse tables, returns one row per customer, and may use `$now` (TIMESTAMPTZ) and
    `$now_ms`. `data_dir` holds registry, feature tables and the memory of what was published. The segments are rebuilt
    too, which the SQL may read as `segment_membership`. When any SQL is wrong, or more would be taken from the online
    store than is allowed, nothing is written, applied or served.

    Raises:
        InvalidRequest: unknown views, SQL that fails, columns that do not fit the view; all of them at once.
        Conflict: too many customers would lose values, or change what guardrails read.
    """
    started = time.perf_counter()
    objects = _definitions(feature_repo, data_dir)
    defined = {o.name: o for o in objects if type(o).__name__ == "FeatureView"}
    built = [name for name in defined if (feature_repo / "sql" / f"{name}.sql").is_file()]
    chosen = built if views is None else list(views)
    if unknown := [name for name in chosen if name not in built]:
        raise InvalidRequest(
            Violation(f"views.{name}", f"no such view with SQL; use one of {', '.join(built)}") for name in unknown
        )
    segments = _segments(warehouse, feature_repo, now_ms)
    rows, unknown = _gather(warehouse, feature_repo, [defined[name] for name in chosen], now_ms)
    check_removals(rows, data_dir, allowed)
    if segments.members is not None:
        warehouse.replace(SEGMENT_MEMBERSHIP.name, segments.members)
    store = opened(feature_repo, data_dir, redis_url)
    for view in defined.values():
        if not (path := data_dir / f"{view.name}.parquet").exists():
            write_parquet(empty_table(view), path)
    applied = _apply(store, feature_repo, data_dir, objects)
    reports = [
        replace(
            publish(store, store.get_feature_view(name), table, data_dir / f"{name}.parquet", now_ms, progress),
            unknown=unknown[name],
        )
        for name, table in rows.items()
    ]
    return BuildReport(applied, segments.sizes, tuple(reports), time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _Segments:
    """Members of each segment, and the rows of `segment_membership`; None where the repository defines no segment."""

    sizes: Mapping[str, int]
    members: pa.Table | None


def _segments(warehouse: Warehouse, feature_repo: Path, now_ms: int) -> _Segments:
    """What `segments/<segment>.sql` say, each returning customer_id.

    Raises:
        InvalidRequest: SQL that fails or has no customer_id; all of them at once.
    """
    files = _segment_files(feature_repo)
    wrong: list[Violation] = []
    members: list[tuple[str, str]] = []
    for file in files:
        try:
            found = _query(warehouse, file.read_text(), now_ms)
        except InvalidRequest as error:
            wrong.append(_sql_violation(file, error))
            continue
        if KEY not in found.column_names:
            wrong.append(Violation(f"segments/{file.name}", f"return a column {KEY}"))
            continue
        members += [(str(i), file.stem) for i in found.column(KEY).drop_null().unique().to_pylist()]
    if wrong:
        raise InvalidRequest(wrong)
    sizes = {file.stem: sum(segment == file.stem for _, segment in members) for file in files}
    if not files:
        return _Segments(sizes, None)
    as_of = datetime.fromtimestamp(now_ms / 1000, UTC)
    rows = [(customer_id, segment, as_of) for customer_id, segment in sorted(members)]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return _Segments(sizes, pa.table(columns, schema=SEGMENT_MEMBERSHIP.schema))


def _segment_files(feature_repo: Path) -> list[Path]:
    return sorted((feature_repo / "segments").glob("*.sql"))


def _gather(
    warehouse: Warehouse, feature_repo: Path, views: Sequence[FeatureView], now_ms: int
) -> tuple[dict[str, pa.Table], dict[str, Mapping[str, int]]]:
    """View → its rows, and view → values that `conform` took for unknown."""
    tables: dict[str, pa.Table] = {}
    unknown: dict[str, Mapping[str, int]] = {}
    wrong: list[Violation] = []
    segments = {file.stem: file.read_text() for file in _segment_files(feature_repo)}
    for view in views:
        file = feature_repo / "sql" / f"{view.name}.sql"
        try:
            found = _query(warehouse, file.read_text(), now_ms, segments)
        except InvalidRequest as error:
            wrong.append(_sql_violation(file, error))
            continue
        try:
            types = arrow_types(view)
            tables[view.name] = conform(found, types, f"sql/{file.name}")
            unknown[view.name] = unknown_flags(found, types)
        except InvalidRequest as error:
            wrong += error.violations
    if wrong:
        raise InvalidRequest(wrong)
    return tables, unknown


def _sql_violation(file: Path, error: InvalidRequest) -> Violation:
    message = "; ".join(v.message for v in error.violations)
    if absent := re.search(r"Table with name (\w+) does not exist", message):
        message = f"the warehouse has no table {absent[1]!r}, which it reads; load it first (feature_repo/README.md)"
    return Violation(f"{file.parent.name}/{file.name}", message)


def _query(warehouse: Warehouse, sql: str, now_ms: int, segments: Mapping[str, str] | None = None) -> pa.Table:
    """Run SQL with the parameters it names, where optional tables that do not exist read as empty.

    segments: SQL by name, of whose results `segment_membership` consists here; None reads the table.
    """
    body = _bare(sql)
    given = []
    if segments and re.search(rf"\b{SEGMENT_MEMBERSHIP.name}\b", sql):
        given.append(f"{SEGMENT_MEMBERSHIP.name} AS (\n{_membership(segments)}\n)")
    whole = "\n".join([*given, sql])
    existing = set(warehouse.tables())
    absent = [
        f"{table} AS ({_empty(columns)})"
        for table, columns in _OPTIONAL.items()
        if table not in existing and re.search(rf"\b{table}\b", whole)
    ]
    values = {"now": datetime.fromtimestamp(now_ms / 1000, UTC), "now_ms": now_ms}
    parameters = {name: value for name, value in values.items() if re.search(rf"\${name}\b", whole)}
    given = [*absent, *given]
    return warehouse.query(f"WITH {', '.join(given)} SELECT * FROM (\n{body}\n)" if given else body, parameters)


def _membership(segments: Mapping[str, str]) -> str:
    """`segment_membership` as it will be, before anything is written."""
    return "\nUNION ALL\n".join(
        f"SELECT DISTINCT {KEY}::VARCHAR AS {KEY}, {_literal(name)} AS segment, $now::TIMESTAMPTZ AS as_of "
        f"FROM (\n{_bare(sql)}\n) WHERE {KEY} IS NOT NULL"
        for name, sql in segments.items()
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _bare(sql: str) -> str:
    return sql.strip().removesuffix(";")


def _empty(columns: str) -> str:
    typed = (column.split() for column in columns.split(", "))
    return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in typed)} WHERE false"


def _definitions(feature_repo: Path, data_dir: Path) -> list[Any]:
    """Feast's objects in the repository's Python files, as `feast apply` would find them."""
    from feast import BatchFeatureView, Entity, FeatureService, FeatureView, OnDemandFeatureView
    from feast.data_source import DataSource

    kinds = (Entity, FeatureView, BatchFeatureView, OnDemandFeatureView, FeatureService, DataSource)
    if not feature_repo.is_dir():
        raise InvalidRequest.of("feature_repo", f"{feature_repo} is not a folder")
    found = [
        value
        for file in _definition_files(feature_repo)
        for value in runpy.run_path(str(file), init_globals={"DATA_DIR": str(data_dir.resolve())}).values()
        if isinstance(value, kinds)
    ]
    return list({(type(o).__name__, o.name): o for o in found}.values())


def _definition_files(feature_repo: Path) -> list[Path]:
    """The Python files that `feast apply` reads. Feast's own function for it imports its servers, with their metrics
    files, and takes seconds."""
    ignore = feature_repo / ".feastignore"
    patterns = ignore.read_text().split() if ignore.exists() else []
    ignored = {file for pattern in patterns for file in feature_repo.glob(pattern)}
    files = (file for file in feature_repo.rglob("*.py") if file.name != "__init__.py")
    return sorted(file for file in files if ignored.isdisjoint((file, *file.parents)))


def _apply(store: FeatureStore, feature_repo: Path, data_dir: Path, objects: list[Any]) -> bool:
    """Register the definitions, unless they are the ones registered last: each write makes every worker reload."""
    digest = hashlib.sha256(str(store.config.registry.path).encode())
    for file in _definition_files(feature_repo):
        digest.update(file.read_bytes())
    memory, registry = data_dir / "applied", data_dir / REGISTRY
    if (
        registry.exists()
        and memory.exists()
        and memory.read_text() == digest.hexdigest()
        and _registered(store, objects)
    ):
        return False
    store.apply(objects)
    memory.write_text(digest.hexdigest())
    return True


def _registered(store: FeatureStore, objects: list[Any]) -> bool:
    known = {view.name for view in store.list_all_feature_views()} | {s.name for s in store.list_feature_services()}
    return {o.name for o in objects if type(o).__name__ in ("FeatureView", "FeatureService")} <= known
