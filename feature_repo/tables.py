"""Feature tables: from rows to a Parquet file that Feast's offline store reads and the rows its online store serves.

The Parquet file is also the memory of what was published: it is replaced only after the online store took the rows,
so an interrupted build is simply repeated. A row is published when its values changed, and again, unchanged, once
half its view's TTL has passed: the event timestamp says when the values were last known to hold.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from decision_service.adapters.feast.store import CONFIG, open_store, store_config, view_schema
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.values import MAX_ID_LENGTH, ValueType

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, Field

KEY, EVENT_TIME = "customer_id", "event_timestamp"
BATCH = 2_000
PROBED = 32

Progress = Callable[[str, int, int], None]
"""Called with (view, rows done, rows to write)."""

Row = tuple[object, ...]

_TIMESTAMP = pa.timestamp("us", tz="UTC")  # Feast's DuckDB store fails on nanoseconds
_ARROW: Mapping[str, pa.DataType] = {
    "BOOL": pa.bool_(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "STRING": pa.string(),
    "STRING_LIST": pa.list_(pa.string()),
    "UNIX_TIMESTAMP": _TIMESTAMP,
}


@dataclass(frozen=True, slots=True)
class ViewReport:
    """What a build did to one view: its rows now, those written to the online store, those that left it.

    unknown: boolean feature → values that are neither true nor false, and so became NULL.
    """

    view: str
    rows: int
    written: int
    removed: int
    seconds: float
    unknown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """What to publish: `event_times_us` for every row in order, the positions of rows to write, customers gone."""

    event_times_us: list[int]
    write: list[int]
    gone: list[str]


def conform(rows: pa.Table, types: Mapping[str, pa.DataType], where: str) -> pa.Table:
    """`rows` as customer_id and the features of `types`, cast; other columns are dropped. NaN, infinity are NULL, and
    so is a number where true or false should be, unless it is 1 or 0: see `unknown_flags`.

    Raises:
        InvalidRequest: missing columns, columns that cannot be cast, missing, over-long or repeated customer ids;
            all of them at once, with fields named after `where`.
    """
    wrong, columns = [], {}
    for name, kind in {KEY: pa.string(), **types}.items():
        if name not in rows.column_names:
            wrong.append(Violation(f"{where}.{name}", f"no such column among {', '.join(rows.column_names)}"))
            continue
        try:
            cast = _finite(rows.column(name))
            cast = (_flags(cast) if pa.types.is_boolean(kind) else cast).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            wrong.append(Violation(f"{where}.{name}", f"{rows.schema.field(name).type} does not fit {kind}: {error}"))
            continue
        columns[name] = _finite(cast)
    if KEY in columns:
        wrong += _wrong_ids(columns[KEY], f"{where}.{KEY}")
    if wrong:
        raise InvalidRequest(wrong)
    return pa.table(columns)


def unknown_flags(rows: pa.Table, types: Mapping[str, pa.DataType]) -> dict[str, int]:
    """Boolean feature → how many of its values in `rows` are neither true nor false, nor NULL; those that have any."""
    flags = [name for name, kind in types.items() if pa.types.is_boolean(kind) and name in rows.column_names]
    counts = {name: _flags(_finite(rows.column(name))).null_count - rows.column(name).null_count for name in flags}
    return {name: count for name, count in counts.items() if count}


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without NaN and infinity. Before any cast: Arrow makes true of them, and text."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _flags(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as true and false, where they are 1 and 0; Arrow would make true of every other one."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        return column
    is_flag = pc.or_(pc.equal(column, 0), pc.equal(column, 1))
    return pc.if_else(is_flag, pc.equal(column, 1), pa.scalar(None, pa.bool_()))


def _wrong_ids(ids: pa.ChunkedArray, field: str) -> list[Violation]:
    length = pc.utf8_length(ids)
    fine = pc.fill_null(pc.and_(pc.greater_equal(length, 1), pc.less_equal(length, MAX_ID_LENGTH)), False)
    found = []
    if bad := len(ids) - int(pc.sum(fine).as_py() or 0):
        found.append(Violation(field, f"{bad} ids are missing, empty or longer than {MAX_ID_LENGTH} characters"))
    if repeated := len(ids) - len(ids.unique()):
        found.append(Violation(field, f"{repeated} rows repeat a customer; return one row per customer"))
    return found


def changes(previous: Mapping[str, tuple[Row, int]], rows: Mapping[str, Row], now_us: int, ttl_us: int) -> Changes:
    """Compare rows with those published before: customer → (values, event time). `ttl_us` 0 never expires.

    Event times only increase, even where the clock does not: Feast drops a write that is not newer.
    """
    at_us = max(now_us, max((when for _, when in previous.values()), default=-1) + 1)
    times, write = [], []
    for position, (customer_id, values) in enumerate(rows.items()):
        before = previous.get(customer_id)
        if before is not None and before[0] == values and (not ttl_us or now_us - before[1] <= ttl_us // 2):
            times.append(before[1])
        else:
            times.append(at_us)
            write.append(position)
    return Changes(times, write, [customer_id for customer_id in previous if customer_id not in rows])


def publish(
    store: FeatureStore, view: FeatureView, rows: pa.Table, path: Path, now_ms: int, progress: Progress | None = None
) -> ViewReport:
    """Bring the online store and the view's Parquet file at `path` in step with conformed `rows`.

    A customer who is no longer among the rows is overwritten with missing values.
    """
    started = time.perf_counter()
    fields = sorted(view.features, key=lambda field: field.name)  # Feast keeps them in no particular order
    rows = rows.select([KEY, *(field.name for field in fields)])
    by_customer = _by_customer(rows)
    previous = _published(path, rows.schema)
    if not _still_online(store, view, previous):
        previous = {}
    ttl_us = int(view.ttl / timedelta(microseconds=1)) if view.ttl else 0
    change = changes(previous, by_customer, now_ms * 1000, ttl_us)
    customers = list(by_customer)
    at_us = max(change.event_times_us, default=0)
    writes = [(customers[i], by_customer[customers[i]], change.event_times_us[i]) for i in change.write]
    if change.gone:
        at_us = max(now_ms * 1000, at_us, max(when for _, when in previous.values()) + 1)
        writes += [(customer_id, (None,) * len(fields), at_us) for customer_id in change.gone]
    _write_online(store, view, fields, writes, progress)
    if writes or not path.exists():
        write_parquet(
            rows.append_column(EVENT_TIME, pa.array(change.event_times_us, pa.int64()).cast(_TIMESTAMP)), path
        )
    return ViewReport(view.name, len(customers), len(change.write), len(change.gone), time.perf_counter() - started)


def _by_customer(rows: pa.Table) -> dict[str, Row]:
    columns = [rows.column(name).to_pylist() for name in rows.column_names if name != KEY]
    values = zip(*columns, strict=True) if columns else (() for _ in range(rows.num_rows))
    return dict(zip(rows.column(KEY).to_pylist(), values, strict=True))


def _published(path: Path, schema: pa.Schema) -> dict[str, tuple[Row, int]]:
    """What the Parquet file holds; nothing if its columns are not those of today."""
    if not path.exists():
        return {}
    table = pq.read_table(path)
    rows = table.drop_columns([EVENT_TIME])
    if set(rows.column_names) != set(schema.names) or not rows.select(schema.names).schema.equals(schema):
        return {}
    times = table.column(EVENT_TIME).cast(pa.int64()).to_pylist()
    by_customer = _by_customer(rows.select(schema.names))
    return {key: (values, when) for (key, values), when in zip(by_customer.items(), times, strict=True)}


def _still_online(store: FeatureStore, view: FeatureView, previous: Mapping[str, tuple[Row, int]]) -> bool:
    """Whether a sample of what was published is in the online store: it may have been emptied or replaced."""
    from feast.infra.online_stores.helpers import get_online_store_from_config

    if not previous:
        return False
    sample = list(previous.items())[:: max(1, len(previous) // PROBED)]
    online = get_online_store_from_config(store.config.online_store)
    found = online.online_read(store.config, view, [_entity_key(key) for key, _ in sample], [view.features[0].name])
    return all(
        when is not None and round(when.timestamp() * 1e6) // 1000 >= expected // 1000
        for (when, _), (_, (_, expected)) in zip(found, sample, strict=True)
    )


def _entity_key(customer_id: str) -> object:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    return EntityKey(join_keys=[KEY], entity_values=[Value(string_val=customer_id)])


def _write_online(
    store: FeatureStore,
    view: FeatureView,
    fields: list[Field],
    rows: list[tuple[str, Row, int]],
    progress: Progress | None,
) -> None:
    """Through Feast's own OnlineStore, so that any store works and any Feast client reads it.

    `FeatureStore.write_to_online_store` is not used: it takes pandas, which has no null integers, and skips a batch
    of missing values.
    """
    from feast.infra.online_stores.helpers import get_online_store_from_config
    from feast.type_map import python_values_to_proto_values

    online = get_online_store_from_config(store.config.online_store)
    names, types = [field.name for field in fields], [field.dtype.to_value_type() for field in fields]
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        columns = [
            python_values_to_proto_values(list(column), kind)
            for column, kind in zip(zip(*(values for _, values, _ in batch), strict=True), types, strict=True)
        ]
        data = [
            (
                _entity_key(customer_id),
                dict(zip(names, values, strict=True)),
                datetime.fromtimestamp(when // 1_000_000, UTC) + timedelta(microseconds=when % 1_000_000),
                None,
            )
            for (customer_id, _, when), values in zip(batch, zip(*columns, strict=True), strict=True)
        ]
        online.online_write_batch(store.config, view, data, None)
        if progress is not None:
            progress(view.name, start + len(batch), len(rows))


def arrow_types(view: FeatureView) -> dict[str, pa.DataType]:
    """Feature name → Arrow type of its column.

    Raises:
        InvalidRequest: the view has features of types that are not served.
    """
    view_schema(view)
    return {field.name: _ARROW[field.dtype.to_value_type().name] for field in view.features}


def write_parquet(table: pa.Table, path: Path) -> None:
    """Replace the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial)
    partial.replace(path)


def empty_table(view: FeatureView) -> pa.Table:
    """A feature table of the view without rows."""
    fields = [(KEY, pa.string()), *arrow_types(view).items(), (EVENT_TIME, _TIMESTAMP)]
    return pa.schema(fields).empty_table()


def opened(feature_repo: Path, data_dir: Path, redis_url: str) -> FeatureStore:
    """The store with its registry in `data_dir`, where a feature_store.yaml for the plain `feast` command is left."""
    os.environ.setdefault("FEAST_USAGE", "False")  # no telemetry
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / CONFIG
    text = yaml.safe_dump(store_config(feature_repo, redis_url, data_dir), sort_keys=False)
    if not config.exists() or config.read_text() != text:
        config.touch(mode=0o600)  # the connection string may hold a password
        config.write_text(text)
    return open_store(feature_repo, redis_url, data_dir)


def apply_table(
    feature_repo: Path,
    data_dir: Path,
    redis_url: str,
    name: str,
    table: pa.Table,
    types: Mapping[str, ValueType],
    ttl_s: int,
    now_ms: int,
    progress: Progress | None = None,
) -> ViewReport:
    """Publish a table of `customer_id` and the columns of `types` as the view and the FeatureService `name`.

    Needs no Python definitions: for the features of a dataset that is not the retailer's. `ttl_s` 0 never expires.

    Raises:
        InvalidRequest: missing columns, columns that cannot be cast, missing or repeated customer ids.
    """
    from feast import Entity, FeatureService, FeatureView, Field, FileSource
    from feast import ValueType as FeastValueType
    from feast import types as feast_types

    kinds = {
        ValueType.BOOL: feast_types.Bool,
        ValueType.INT: feast_types.Int64,
        ValueType.FLOAT: feast_types.Float64,
        ValueType.STRING: feast_types.String,
        ValueType.STRINGS: feast_types.Array(feast_types.String),
    }
    path = (data_dir / f"{name}.parquet").resolve()
    customer = Entity(name="customer", join_keys=[KEY], value_type=FeastValueType.STRING)
    view = FeatureView(
        name=name,
        entities=[customer],
        ttl=timedelta(seconds=ttl_s),
        schema=[Field(name=column, dtype=kinds[kind]) for column, kind in types.items()],
        source=FileSource(name=name, path=str(path), timestamp_field=EVENT_TIME),
    )
    columns = arrow_types(view)
    rows = conform(table, columns, name)
    store = opened(feature_repo, data_dir, redis_url)
    if not path.exists():
        write_parquet(empty_table(view), path)
    store.apply([customer, view, FeatureService(name=name, features=[view])])
    report = publish(store, store.get_feature_view(name), rows, path, now_ms, progress)
    return replace(report, unknown=unknown_flags(table, columns))
