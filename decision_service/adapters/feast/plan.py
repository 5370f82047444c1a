"""What to read for a FeatureService, compiled from Feast's registry, and how to read it from Redis without Feast.

Feast's Redis layout (docs/specs/online_store_format.md of Feast): one hash per entity, its key the serialized entity
key (version 3) and the project's name; field = 4-byte murmur3 of `view:feature`, value = a protobuf `Value`; field
`_ts:view` = a protobuf Timestamp. The bytes are checked against Feast's own functions when a plan is compiled.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from decision_service.adapters.feast.store import view_schema
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.record import FeatureStatus, ServedFeatures
from decision_service.core.model.values import Value, ValueType

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

_KEY_VERSION = 3
_STRING = 2  # feast.types.ValueType.STRING
_NULL_TIMESTAMP = -(2**63)  # how Feast stores a missing time
_CHECKED_IDS = ("", "c1", "Zoë 客户", "x" * 300)


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """One feature view of a service: the features it gives, and its TTL (None: never stale).

    name: in the answer, an alias where the service gives one; `online_name` in the online store.
    on_demand: computed by Feast while reading; it has no row, no event time and no TTL.
    """

    name: str
    online_name: str
    features: tuple[str, ...]
    ttl_ms: int | None
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What a FeatureService gives. `schema`: feature name → type, by view, and by name within a view."""

    service: str
    join_key: str
    views: tuple[ViewPlan, ...]
    schema: Mapping[str, ValueType]


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """One HMGET that reads a whole service: hash fields in the order of `views`, each view's time first."""

    plan: ServicePlan
    prefix: bytes
    suffix: bytes
    fields: tuple[bytes, ...]

    def key(self, customer_id: str) -> bytes:
        """The customer's hash."""
        encoded = customer_id.encode()
        return self.prefix + struct.pack("<I", len(encoded)) + encoded + self.suffix


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A view's row as read; `event_time_ms` None means that there is none."""

    event_time_ms: int | None
    values: Sequence[Value | None]


def compile_service(store: FeatureStore, service: FeatureService) -> ServicePlan:
    """The plan of a service.

    Raises:
        InvalidRequest: features of types that are not served, two features of one name, or views of anything but
            one entity with a string key; all of them at once.
    """
    from feast import OnDemandFeatureView

    views: list[ViewPlan] = []
    schema: dict[str, ValueType] = {}
    join_keys: set[str] = set()
    wrong: list[Violation] = []
    known = {view.name: view for view in store.list_all_feature_views()}
    for projection in service.feature_view_projections:
        view = known.get(projection.name)
        if view is None:
            wrong.append(Violation(projection.name, "no such feature view; apply the definitions again"))
            continue
        try:
            types = view_schema(view)
        except InvalidRequest as error:
            wrong += error.violations
            continue
        on_demand = isinstance(view, OnDemandFeatureView)
        if not on_demand:
            join_keys.update(view.join_keys)
            if projection.join_key_map:
                wrong.append(Violation(view.name, "renames its join key in this service; leave that out"))
            if len(view.join_keys) != 1 or view.entity_columns[0].dtype.to_value_type().name != "STRING":
                wrong.append(Violation(view.name, "must have one entity with one string key"))
        names = sorted(field.name for field in projection.features)
        wrong += [
            Violation(f"{view.name}.{name}", "another view of this service has a feature of this name; rename one")
            for name in names
            if name in schema
        ]
        schema.update((name, types[name]) for name in names)
        ttl_ms = None if on_demand or not view.ttl else round(view.ttl.total_seconds() * 1000)
        views.append(ViewPlan(projection.name_to_use(), view.name, tuple(names), ttl_ms, on_demand))
    if len(join_keys) > 1:
        wrong.append(Violation(service.name, f"views of several entities: {', '.join(sorted(join_keys))}; use one"))
    if wrong:
        raise InvalidRequest(wrong)
    return ServicePlan(service.name, next(iter(join_keys), "customer_id"), tuple(views), schema)


def compile_redis(store: FeatureStore, plan: ServicePlan) -> RedisPlan | None:
    """The HMGET of a plan; None where this layout does not apply or differs from what Feast itself would write."""
    try:
        from feast.infra.online_stores.helpers import _mmh3, _redis_key
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value as FeastValue
    except ImportError:
        return None
    config = store.config
    plain = config.online_store.type == "redis" and config.online_store.redis_type == "redis"
    versioned = config.registry.enable_online_feature_view_versioning
    if not plain or versioned or any(view.on_demand for view in plan.views):
        return None
    name = plan.join_key.encode()
    prefix = struct.pack("<III", 1, _STRING, len(name)) + name + struct.pack("<I", _STRING)
    fields = tuple(
        field
        for view in plan.views
        for field in (
            f"_ts:{view.online_name}".encode(),
            *(_mmh3(f"{view.online_name}:{feature}") for feature in view.features),
        )
    )
    compiled = RedisPlan(plan, prefix, config.project.encode(), fields)
    for customer_id in _CHECKED_IDS:
        entity = EntityKey(join_keys=[plan.join_key], entity_values=[FeastValue(string_val=customer_id)])
        if compiled.key(customer_id) != _redis_key(config.project, entity, config.entity_key_serialization_version):
            return None
    return compiled


def unavailable(plan: ServicePlan) -> ServedFeatures:
    """No answer: none of the service's features was read."""
    return ServedFeatures(FeatureStatus.UNAVAILABLE, unread=frozenset(plan.schema))


def served(plan: ServicePlan, rows: Sequence[ViewRow], now_ms: int) -> ServedFeatures:
    """Rows, one per view of the plan, as features: stale values become None, and a customer without rows unknown."""
    values: dict[str, Value | None] = {}
    times: dict[str, int] = {}
    stale: list[str] = []
    unread: list[str] = []
    for view, row in zip(plan.views, rows, strict=True):
        when = row.event_time_ms
        if when is not None:
            times[view.name] = when
        if when is not None and view.ttl_ms is not None and now_ms - when > view.ttl_ms:
            stale.append(view.name)
            unread += view.features
            values.update(dict.fromkeys(view.features))
        else:
            values.update(zip(view.features, row.values, strict=True))
    status = FeatureStatus.SERVED if times else FeatureStatus.UNKNOWN_CUSTOMER
    return ServedFeatures(status, values, times, tuple(stale), frozenset(unread))


def decode_rows(plan: ServicePlan, answer: Sequence[bytes | None]) -> list[ViewRow]:
    """The answer to a RedisPlan's HMGET.

    Raises:
        ValueError: bytes that Feast did not write.
    """
    rows = []
    at = 0
    for view in plan.views:
        time, raw = answer[at], answer[at + 1 : at + 1 + len(view.features)]
        at += 1 + len(view.features)
        if time is None:
            rows.append(ViewRow(None, (None,) * len(raw)))
        else:
            stamp = Timestamp.FromString(time)
            rows.append(ViewRow(stamp.seconds * 1000 + stamp.nanos // 1_000_000, [decode(value) for value in raw]))
    return rows


def decode(raw: bytes | None) -> Value | None:
    """A serialized `feast.types.Value`: a oneof, so one tag and one value. NaN and infinity are missing.

    Written by hand because protobuf and its `WhichOneof` take longer; a test holds it equal to Feast's SDK.

    Raises:
        ValueError: truncated bytes.
    """
    if not raw:
        return None
    try:
        match raw[0]:
            case 0x12:  # string_val
                length, at = _varint(raw, 1)
                return raw[at : at + length].decode()
            case 0x18 | 0x20:  # int32_val, int64_val
                return _signed(raw)
            case 0x29:  # double_val
                return _finite(struct.unpack_from("<d", raw, 1)[0])
            case 0x35:  # float_val
                return _finite(struct.unpack_from("<f", raw, 1)[0])
            case 0x38:  # bool_val
                return raw[1] != 0
            case 0x40:  # unix_timestamp_val, seconds
                seconds = _signed(raw)
                return None if seconds == _NULL_TIMESTAMP else seconds * 1000
            case 0x62:  # string_list_val
                return _strings(raw)
            case _:  # null_val, or a type that no plan asks for
                return None
    except (IndexError, struct.error) as error:
        raise ValueError(f"not a Feast value: {raw!r}") from error


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next field begins."""
    byte = raw[at]
    if byte < 0x80:
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
        shift += 7


def _signed(raw: bytes) -> int:
    number, _ = _varint(raw, 1)
    return number - (1 << 64) if number >= 1 << 63 else number


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _strings(raw: bytes) -> tuple[str, ...]:
    _, at = _varint(raw, 1)
    found = []
    while at < len(raw):  # each is the tag 0x0A, a length, and the text
        length, at = _varint(raw, at + 1)
        found.append(raw[at : at + length].decode())
        at += length
    return tuple(found)
