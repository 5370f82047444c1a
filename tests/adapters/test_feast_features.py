"""Law 6: the direct Redis path equals Feast's SDK. And what happens when the store or the registry misbehaves."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from decision_service.adapters.feast.features import open_feature_source
from decision_service.adapters.feast.plan import compile_redis, compile_service, decode
from decision_service.adapters.feast.store import connection_string
from decision_service.adapters.redis.embedded import EmbeddedRedis, free_port
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.record import FeatureStatus
from tests.support.feast_repo import ALL_TYPES, NOW_MS, Repo, make_repo, write


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis) -> Repo:
    return make_repo(tmp_path_factory.mktemp("golden"), redis_server.url)


def golden() -> dict[str, dict[str, Any]]:
    """Customer → Feast values that are hard to read: limits, signs, nulls, empties, long and non-ASCII text."""
    from feast.protos.feast.types.Value_pb2 import StringList, Value

    def row(
        flag: bool, small: int, large: int, single: float, double: float, text: str, texts: list[str], when: int
    ) -> dict[str, Any]:
        return {
            "f_bool": Value(bool_val=flag),
            "f_int32": Value(int32_val=small),
            "f_int64": Value(int64_val=large),
            "f_float32": Value(float_val=single),
            "f_float64": Value(double_val=double),
            "f_string": Value(string_val=text),
            "f_strings": Value(string_list_val=StringList(val=texts)),
            "f_time": Value(unix_timestamp_val=when),
        }

    return {
        "zero": row(False, 0, 0, 0.0, 0.0, "", [], 0),
        "plain": row(True, 7, 300, 0.5, 0.1, "gold", ["lapsed", "vip"], 1_700_000_000),
        "low": row(True, -(2**31), -(2**63), -3.4e38, -1.7e308, "-", ["", ""], -1),
        "high": row(False, 2**31 - 1, 2**63 - 1, 1e-45, 5e-324, "x" * 127, ["y" * 128], 2**37),
        "Zoë 客户": row(True, -1, -1, 1 / 3, 1 / 3, "Grüße 🎁" * 100, ["客户", "é" * 20_000], 1),
        "null": {name: Value() for name in ALL_TYPES},
        "null time": {"f_time": Value(unix_timestamp_val=-(2**63))},
        "partial": {"f_int32": Value(int32_val=128)},
    }


def as_ours(value: object) -> object:
    """What the SDK gives in Python, as our values."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, datetime):
        return round(value.timestamp()) * 1000
    return value


def test_fast_path_equals_the_sdk_type_by_type(repo: Repo, redis_url: str) -> None:
    """For every type and awkward value, one HMGET gives what get_online_features gives, and so does the SDK source."""
    store, direct, sdk = repo.store(), repo.redis_source(), repo.sdk_source()
    assert direct.direct("every_type_v1")
    rows = golden()
    for customer_id, row in rows.items():
        write(store, "all_types", customer_id, row, NOW_MS)
    service = store.get_feature_service("every_type_v1")
    for customer_id in [*rows, "nobody", ""]:
        answer = store.get_online_features(service, [{"customer_id": customer_id}]).to_dict()
        expected = {name: as_ours(values[0]) for name, values in answer.items() if name != "customer_id"}
        features = direct.begin("every_type_v1", customer_id, NOW_MS).result()
        assert features.values == expected, customer_id
        assert {n: type(v) for n, v in features.values.items()} == {n: type(v) for n, v in expected.items()}
        assert sdk.begin("every_type_v1", customer_id, NOW_MS).result() == features
        assert (features.status is FeatureStatus.SERVED) == (customer_id in rows)
    assert direct.begin("every_type_v1", "low", NOW_MS).result().values["f_int64"] == -(2**63)
    direct.close()
    sdk.close()


def test_what_is_no_value_is_missing() -> None:
    """NaN and infinity, and the null that the SDK reads as 0, are absent for rules, models and the log."""
    from feast.protos.feast.types.Value_pb2 import Null, Value

    assert decode(Value(null_val=Null.NULL).SerializeToString()) is None
    for number in (float("nan"), float("inf"), float("-inf")):
        assert decode(Value(double_val=number).SerializeToString()) is None
        assert decode(Value(float_val=number).SerializeToString()) is None


def test_ttl_zero_never_expires(repo: Repo, redis_url: str) -> None:
    """A view without a TTL is served however old it is."""
    source = repo.redis_source()
    write(repo.store(), "all_types", "old", golden()["plain"], 1_000)
    features = source.begin("every_type_v1", "old", NOW_MS).result()
    assert features.values["f_int64"] == 300
    assert features.stale_views == ()
    source.close()


def test_our_bytes_are_feasts_bytes(repo: Repo) -> None:
    """A layout that Feast would write differently is not read directly."""
    store = repo.store()
    plan = compile_service(store, store.get_feature_service("pair_v1"))
    compiled = compile_redis(store, plan)
    assert compiled is not None
    assert len(compiled.fields) == 2 + len(plan.schema)
    versioned = repo.store()
    versioned.config.registry.enable_online_feature_view_versioning = True
    assert compile_redis(versioned, plan) is None
    clustered = repo.store()
    clustered.config.online_store.redis_type = "redis_cluster"
    assert compile_redis(clustered, plan) is None


def test_other_online_stores_are_read_through_the_sdk(repo: Repo, tmp_path: Path) -> None:
    """With sqlite as online store the same source serves the same features, by the SDK."""
    (tmp_path / "feature_store.yaml").write_text(
        "project: trial\nprovider: local\nregistry: x\noffline_store: {type: file}\n"
        f"online_store: {{type: sqlite, path: {tmp_path / 'online.db'}}}\nentity_key_serialization_version: 3\n"
    )
    shutil.copy(repo.data_dir / "registry.db", tmp_path / "registry.db")
    other = Repo(tmp_path, "redis://127.0.0.1:1/0")
    store = open_store_in(other)
    store.apply([store.get_feature_view("all_types"), store.get_feature_view("orders")])
    source = open_feature_source(tmp_path, other.redis_url, 5_000, tmp_path)
    write(store, "all_types", "c1", golden()["plain"], NOW_MS)
    features = source.begin("every_type_v1", "c1", NOW_MS).result()
    assert features.values["f_strings"] == ("lapsed", "vip")
    assert features.event_times_ms == {"all_types": NOW_MS}
    assert source.begin("every_type_v1", "nobody", NOW_MS).result().status is FeatureStatus.UNKNOWN_CUSTOMER
    source.close()


def open_store_in(repo: Repo) -> Any:
    from decision_service.adapters.feast.store import open_store

    return open_store(repo.folder, repo.redis_url, repo.folder)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def test_a_silent_store_is_unavailable_within_the_deadline(repo: Repo, silent_server: str) -> None:
    """A store that accepts and never answers costs about the deadline, not the request."""
    source = repo.redis_source(deadline_ms=30, redis_url=silent_server)
    started = time.monotonic()
    features = source.begin("pair_v1", "anna", NOW_MS).result()
    assert features.status is FeatureStatus.UNAVAILABLE
    assert features.unread == source.schema("pair_v1").keys()
    assert time.monotonic() - started < 1.0
    source.close()


@pytest.mark.parametrize("form", ["redis", "sdk"])
@pytest.mark.parametrize(("behind_s", "waited_s"), [(1.0, 1.0), (60.0, 0.5)])
def test_the_deadline_begins_when_the_request_arrived(
    repo: Repo, tmp_path: Path, form: str, behind_s: float, waited_s: float
) -> None:
    """What waited for a thread waits less for its features, but a quarter of the deadline it always does."""
    with EmbeddedRedis(tmp_path, free_port()) as server:
        there = Repo(repo.folder, server.url)
        source = there.redis_source(deadline_ms=2_000) if form == "redis" else there.sdk_source(deadline_ms=2_000)
        source.begin("pair_v1", "anna", NOW_MS).result()  # connected
        pause(server, 3_000)
        started = time.monotonic()
        features = source.begin("pair_v1", "anna", NOW_MS, started - behind_s).result()
        assert features.status is FeatureStatus.UNAVAILABLE
        assert waited_s - 0.1 < time.monotonic() - started < waited_s + 0.4
        source.close()


@pytest.mark.parametrize("form", ["redis", "sdk"])
def test_an_answer_that_is_there_is_taken_after_the_deadline(repo: Repo, form: str) -> None:
    """A thread that came late finds what the store sent in time."""
    source = repo.redis_source(deadline_ms=300) if form == "redis" else repo.sdk_source(deadline_ms=300)
    write(repo.store(), "orders", "anna", {"total": proto_int(7)}, NOW_MS)
    source.begin("pair_v1", "anna", NOW_MS).result()  # connected
    pending = source.begin("pair_v1", "anna", NOW_MS, time.monotonic() - 10)
    time.sleep(0.4)
    assert pending.result().values["total"] == 7
    source.close()


def test_an_absent_store_is_unavailable(repo: Repo) -> None:
    """A refused connection is an answer of status UNAVAILABLE, not an exception."""
    source = repo.redis_source(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert source.begin("pair_v1", "anna", NOW_MS).result().status is FeatureStatus.UNAVAILABLE
    source.close()


def test_a_slow_sdk_read_is_unavailable(repo: Repo, silent_server: str) -> None:
    """The SDK's read runs against the same deadline."""
    slow = Repo(repo.folder, f"{silent_server}")
    source = slow.sdk_source(deadline_ms=30)
    source.registry.store.config.online_store.connection_string += ",socket_timeout=0.5"  # type: ignore[union-attr]
    assert source.begin("pair_v1", "anna", NOW_MS).result().status is FeatureStatus.UNAVAILABLE
    source.close()


def test_service_resumes_after_a_restart_and_a_late_answer_is_never_taken_for_another(
    repo: Repo, tmp_path: Path
) -> None:
    """A connection that timed out is dropped, so the next read gets its own answer; a restarted store is found."""
    port = free_port()
    with EmbeddedRedis(tmp_path, port) as server:
        there = Repo(repo.folder, server.url)
        source = there.redis_source(deadline_ms=100)
        store = there.store()
        for n in range(3):
            write(store, "orders", f"c{n}", {"total": proto_int(n)}, NOW_MS)
        assert source.begin("pair_v1", "c0", NOW_MS).result().values["total"] == 0
        pause(server, 200)
        assert source.begin("pair_v1", "c1", NOW_MS).result().status is FeatureStatus.UNAVAILABLE
        ping(server)  # answers once the pause is over
        assert source.begin("pair_v1", "c2", NOW_MS).result().values["total"] == 2
        server.kill()
        assert source.begin("pair_v1", "c1", NOW_MS).result().status is FeatureStatus.UNAVAILABLE
        server.start()
        assert source.begin("pair_v1", "c1", NOW_MS).result().values["total"] == 1
        source.close()


def proto_int(number: int) -> Any:
    from feast.protos.feast.types.Value_pb2 import Value

    return Value(int64_val=number)


def pause(server: EmbeddedRedis, milliseconds: int) -> None:
    """Make the server hold every command back."""
    import redis

    with redis.Redis.from_url(server.url) as client:
        client.execute_command("CLIENT", "PAUSE", milliseconds, "ALL")


def ping(server: EmbeddedRedis) -> None:
    import redis

    with redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_bytes_that_feast_did_not_write_are_unavailable(repo: Repo, redis_url: str) -> None:
    """A truncated value makes the read UNAVAILABLE instead of half right."""
    import redis

    source = repo.redis_source()
    store = repo.store()
    write(store, "orders", "anna", {"total": proto_int(300)}, NOW_MS)
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("*")
        for field, value in client.hgetall(key).items():
            if not field.startswith(b"_ts"):
                client.hset(key, field, value[:-1])
    assert source.begin("pair_v1", "anna", NOW_MS).result().status is FeatureStatus.UNAVAILABLE
    source.close()


def test_services_appear_when_the_registry_does(repo: Repo, tmp_path: Path) -> None:
    """Before the first build there are no services and no registry is created; a refresh finds them, and new ones."""
    from feast import FeatureService

    data_dir = tmp_path / "data"
    source = open_feature_source(repo.folder, repo.redis_url, 1_000, data_dir)
    assert not data_dir.exists()
    with pytest.raises(NotFound, match="nba features build"):
        source.schema("pair_v1")
    data_dir.mkdir()
    shutil.copy(repo.data_dir / "registry.db", data_dir / "registry.db")
    source.refresh()
    assert "total" in source.schema("pair_v1")
    store = Repo(tmp_path, repo.redis_url)
    shutil.copy(repo.folder / "feature_store.yaml", tmp_path)
    feast_store = store.store()
    feast_store.apply([FeatureService(name="orders_v1", features=[feast_store.get_feature_view("orders")])])
    source.refresh()
    assert list(source.schema("orders_v1")) == ["total"]
    (data_dir / "registry.db").write_bytes(b"")  # as in the middle of Feast's write
    source.refresh()
    assert list(source.schema("orders_v1")) == ["total"]
    source.close()


def test_a_service_with_ambiguous_names_is_refused_with_the_reason(repo: Repo, tmp_path: Path) -> None:
    """Two features of one name, or of a type that is not served, leave the service out and say why."""
    from feast import FeatureService, FeatureView, Field, FileSource
    from feast.types import Bytes, Int64

    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shutil.copy(repo.data_dir / "registry.db", data_dir / "registry.db")
    shutil.copy(repo.folder / "feature_store.yaml", tmp_path)
    store = Repo(tmp_path, repo.redis_url).store()
    source = FileSource(name="clash", path="clash.parquet", timestamp_field="event_timestamp")
    fields = [Field(name="total", dtype=Int64), Field(name="blob", dtype=Bytes)]
    clash = FeatureView(name="clash", entities=[store.get_entity("customer")], schema=fields[:1], source=source)
    blob = FeatureView(name="blob", entities=[store.get_entity("customer")], schema=fields[1:], source=source)
    orders = store.get_feature_view("orders")
    services = [
        FeatureService(name="clash_v1", features=[orders, clash]),
        FeatureService(name="blob_v1", features=[blob]),
    ]
    store.apply([clash, blob, *services])
    opened = open_feature_source(tmp_path, repo.redis_url, 1_000, data_dir)
    assert "total" in opened.schema("pair_v1")
    with pytest.raises(NotFound, match="another view of this service has a feature of this name"):
        opened.schema("clash_v1")
    with pytest.raises(NotFound, match=r"blob.blob: type BYTES is not served"):
        opened.begin("blob_v1", "anna", NOW_MS)
    opened.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6390/0", "localhost:6390,db=0"),
        ("redis://cache", "cache:6379,db=0"),
        ("rediss://me:p%40ss@cache:1/3", "cache:1,db=3,username=me,password=p@ss,ssl=true"),
    ],
)
def test_redis_urls_become_feasts_connection_strings(url: str, expected: str) -> None:
    """Host, port, database, credentials and TLS carry over."""
    assert connection_string(url) == expected


def test_a_url_of_another_kind_is_refused() -> None:
    """The error names the setting and the form wanted."""
    with pytest.raises(InvalidRequest, match=r"features_url: use redis://"):
        connection_string("memcached://x")


def test_a_folder_without_definitions_is_refused(tmp_path: Path) -> None:
    """Opening a folder that is no Feast repository fails at once and names the file."""
    with pytest.raises(InvalidRequest, match=r"feature_store.yaml does not exist"):
        open_feature_source(tmp_path, "redis://127.0.0.1:1/0", 20)
