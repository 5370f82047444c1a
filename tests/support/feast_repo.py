"""A Feast repository for tests, registered once per process, and rows written by Feast itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from decision_service.adapters.feast.features import FeastRedisSource, FeastSdkSource, open_feature_source
from decision_service.adapters.feast.store import open_store, registry_file
from decision_service.core.model.values import ValueType

NOW_MS = 1_700_000_000_000

CONFIG = """
project: trial
provider: local
registry: {path: data/registry.db}
online_store: {type: redis, connection_string: "localhost:1"}
offline_store: {type: file}
entity_key_serialization_version: 3
"""

PROFILE = {
    "age": ValueType.INT,
    "name": ValueType.STRING,
    "score": ValueType.FLOAT,
    "tags": ValueType.STRINGS,
    "vip": ValueType.BOOL,
}
ORDERS = {"total": ValueType.INT}

ALL_TYPES = ("f_bool", "f_float32", "f_float64", "f_int32", "f_int64", "f_string", "f_strings", "f_time")


@dataclass(frozen=True, slots=True)
class Repo:
    """`pair_v1` of the views profile (TTL a day) and orders (TTL an hour), and `every_type_v1` of all_types (none)."""

    folder: Path
    redis_url: str

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def store(self) -> Any:
        return open_store(self.folder, self.redis_url, self.data_dir)

    def redis_source(self, deadline_ms: int = 2_000, redis_url: str = "") -> FeastRedisSource:
        source = open_feature_source(self.folder, redis_url or self.redis_url, deadline_ms, self.data_dir)
        assert isinstance(source, FeastRedisSource)
        return source

    def sdk_source(self, deadline_ms: int = 10_000) -> FeastSdkSource:
        source = FeastSdkSource(self.store, registry_file(self.folder, self.redis_url, self.data_dir), deadline_ms)
        source.refresh()
        return source


def make_repo(folder: Path, redis_url: str) -> Repo:
    """Write the repository's files and register its objects."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource
    from feast import ValueType as FeastValueType
    from feast import types as t

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir()
    (folder / "feature_store.yaml").write_text(CONFIG)
    repo = Repo(folder, redis_url)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=FeastValueType.STRING)

    def view(name: str, ttl: timedelta, /, **fields: Any) -> Any:
        return FeatureView(
            name=name,
            entities=[customer],
            ttl=ttl,
            schema=[Field(name=field, dtype=dtype) for field, dtype in fields.items()],
            source=FileSource(name=name, path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp"),
        )

    profile = view(
        "profile", timedelta(days=1), name=t.String, age=t.Int64, score=t.Float64, vip=t.Bool, tags=t.Array(t.String)
    )
    orders = view("orders", timedelta(hours=1), total=t.Int64)
    every_type = view(
        "all_types",
        timedelta(0),
        f_bool=t.Bool,
        f_int32=t.Int32,
        f_int64=t.Int64,
        f_float32=t.Float32,
        f_float64=t.Float64,
        f_string=t.String,
        f_strings=t.Array(t.String),
        f_time=t.UnixTimestamp,
    )
    pair = FeatureService(name="pair_v1", features=[profile, orders])
    golden = FeatureService(name="every_type_v1", features=[every_type, orders[["total"]]])
    repo.store().apply([customer, profile, orders, every_type, pair, golden])
    return repo


def write(store: Any, view: str, customer_id: str, protos: Mapping[str, Any], event_time_ms: int) -> None:
    """Put one row of Feast values into the online store through Feast's own class."""
    from feast.infra.online_stores.helpers import get_online_store_from_config
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(string_val=customer_id)])
    when = datetime.fromtimestamp(event_time_ms / 1000, UTC)
    online = get_online_store_from_config(store.config.online_store)
    online.online_write_batch(store.config, store.get_feature_view(view), [(key, dict(protos), when, None)], None)


def proto(value: object) -> Any:
    """A Feast value of a Python one, as a 64-bit number where there is a choice."""
    from feast.protos.feast.types.Value_pb2 import StringList, Value

    match value:
        case None:
            return Value()
        case bool():
            return Value(bool_val=value)
        case int():
            return Value(int64_val=value)
        case float():
            return Value(double_val=value)
        case str():
            return Value(string_val=value)
        case tuple():
            return Value(string_list_val=StringList(val=value))
        case _:
            raise TypeError(value)
