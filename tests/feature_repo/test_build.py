"""`nba features build`: SQL → feature tables → Feast → the online store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decision_service.adapters.feast.features import RefreshableSource, open_feature_source
from decision_service.adapters.feast.store import open_store
from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind, LogEntry, Warehouse
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.record import Activation, ActivationStatus, FeatureStatus, Outcome
from decision_service.core.model.values import ValueType
from decision_service.operation.settings import REPOSITORY
from feature_repo.build import BuildReport, build_features
from feature_repo.tables import apply_table, changes, conform, unknown_flags

REPO = REPOSITORY / "feature_repo"
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
TIMESTAMP = pa.timestamp("us", tz="UTC")


def ago(days: float) -> datetime:
    return datetime.fromtimestamp(NOW_MS / 1000, UTC) - timedelta(days=days)


def customers(*rows: tuple[str, float, str]) -> pa.Table:
    """(customer, days since sign-up, tier)."""
    return pa.table(
        {
            "customer_id": [row[0] for row in rows],
            "country": ["DE"] * len(rows),
            "timezone": ["Europe/Berlin"] * len(rows),
            "signup_at": pa.array([ago(row[1]) for row in rows], TIMESTAMP),
            "loyalty_tier": [row[2] for row in rows],
            "email_consent": [True] * len(rows),
            "sms_consent": [False] * len(rows),
            "push_consent": pa.array([None] * len(rows), pa.bool_()),
            "updated_at": pa.array([ago(0)] * len(rows), TIMESTAMP),
        }
    )


def orders(*rows: tuple[str, float, float, str]) -> pa.Table:
    """(customer, days ago, amount, category)."""
    return pa.table(
        {
            "order_id": [str(n) for n in range(len(rows))],
            "customer_id": [row[0] for row in rows],
            "ordered_at": pa.array([ago(row[1]) for row in rows], TIMESTAMP),
            "amount": [row[2] for row in rows],
            "category": [row[3] for row in rows],
        }
    )


def fill(warehouse: Warehouse) -> None:
    """Anna buys, ben lapsed and complains, cleo is new."""
    warehouse.replace("customers", customers(("anna", 400, "gold"), ("ben", 200, "basic"), ("cleo", 3, "basic")))
    warehouse.replace(
        "orders",
        orders(
            ("anna", 2, 300.1, "shoes"),
            ("anna", 20, 250.0, "hats"),
            ("anna", 100, 50.0, "shoes"),
            ("anna", -1, 999.0, "future"),
            ("ben", 90, 10.0, "hats"),
        ),
    )
    warehouse.replace(
        "support_tickets",
        pa.table(
            {
                "ticket_id": ["t1", "t2"],
                "customer_id": ["ben", "anna"],
                "opened_at": pa.array([ago(5), ago(50)], TIMESTAMP),
                "topic": ["delivery", "size"],
                "satisfaction": [1, 5],
            }
        ),
    )
    at = NOW_MS - 3 * DAY_MS
    sent = Activation("d1", "anna", ActivationStatus.SENT, at, at)
    failed = Activation("d2", "ben", ActivationStatus.FAILED, at, at)
    warehouse.load(
        EntryKind.ACTIVATIONS, [LogEntry(0, n, EntryKind.ACTIVATIONS, body) for n, body in enumerate((sent, failed))]
    )
    visit = Outcome("o1", "anna", "visit", at + DAY_MS, at + DAY_MS)
    leave = Outcome("o2", "ben", "unsubscribe", at, at)
    warehouse.load(
        EntryKind.OUTCOMES, [LogEntry(0, n, EntryKind.OUTCOMES, body) for n, body in enumerate((visit, leave))]
    )


@pytest.fixture
def warehouse() -> MemoryWarehouse:
    warehouse = MemoryWarehouse()
    fill(warehouse)
    return warehouse


class Built:
    """A build's folder and what can be read of it."""

    def __init__(self, data_dir: Path, redis_url: str, repo: Path = REPO) -> None:
        self.data_dir, self.redis_url, self.repo = data_dir, redis_url, repo
        self._source: RefreshableSource | None = None

    def build(self, warehouse: Warehouse, now_ms: int = NOW_MS, views: list[str] | None = None) -> BuildReport:
        return build_features(warehouse, self.repo, self.data_dir, self.redis_url, now_ms, views)

    def read(self, customer_id: str, now_ms: int = NOW_MS) -> dict[str, object]:
        features = self.source.begin("customer_v1", customer_id, now_ms).result()
        assert features.status is not FeatureStatus.UNAVAILABLE
        return dict(features.values)

    @property
    def source(self) -> RefreshableSource:
        if self._source is None:
            self._source = open_feature_source(self.repo, self.redis_url, 5_000, self.data_dir)
        return self._source

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


@pytest.fixture
def built(tmp_path: Path, redis_url: str) -> Iterator[Built]:
    built = Built(tmp_path / "features", redis_url)
    yield built
    built.close()


ANNA = {
    "country": "DE",
    "email_consent": True,
    "loyalty_tier": "gold",
    "push_consent": None,
    "sms_consent": False,
    "tenure_days": 400,
    "timezone": "Europe/Berlin",
    "average_order_value": 200.03,
    "days_since_order": 2,
    "favourite_category": "shoes",
    "orders_30d": 2,
    "orders_total": 3,
    "spend_30d": 550.1,
    "spend_365d": 600.1,
    "contacts_30d": 1,
    "contacts_7d": 1,
    "days_since_contact": 3,
    "days_since_response": 2,
    "days_since_ticket": 50,
    "last_satisfaction": 5,
    "responses_30d": 1,
    "tickets_30d": 0,
    "segments": ("high_value", "loyal"),
}


def test_sql_reaches_the_online_store(tmp_path: Path, built: Built) -> None:
    """From tables of the lakehouse to what Decide reads: hand-computed features and segments of three customers."""
    lakehouse = Lakehouse(tmp_path / "warehouse")
    fill(lakehouse)
    seen: list[tuple[str, int, int]] = []
    report = build_features(
        lakehouse, REPO, built.data_dir, built.redis_url, NOW_MS, progress=lambda *step: seen.append(step)
    )
    assert report.applied
    assert {view.view: (view.rows, view.written) for view in report.views} == {
        "customer_profile": (3, 3),
        "customer_orders": (3, 3),
        "customer_engagement": (3, 3),
        "customer_segments": (3, 3),
    }
    assert seen == [(view.view, 3, 3) for view in report.views]
    assert report.segments == {"high_value": 1, "lapsed": 1, "loyal": 1, "new_customer": 1, "recent_complaint": 1}
    assert built.read("anna") == ANNA
    ben, cleo = built.read("ben"), built.read("cleo")
    assert ben["segments"] == ("lapsed", "recent_complaint")
    assert (ben["contacts_30d"], ben["responses_30d"], ben["last_satisfaction"]) == (0, 0, 1)
    assert cleo["segments"] == ("new_customer",)
    assert (cleo["orders_total"], cleo["spend_30d"], cleo["days_since_order"]) == (0, 0.0, None)
    members = lakehouse.query("SELECT customer_id, segment FROM segment_membership ORDER BY ALL").to_pylist()
    assert [(m["customer_id"], m["segment"]) for m in members][:2] == [("anna", "high_value"), ("anna", "loyal")]


def test_the_plain_sdk_reads_what_was_built(warehouse: MemoryWarehouse, built: Built) -> None:
    """Feast itself gives the built values online; its offline table has them with event times in microseconds."""
    built.build(warehouse)
    store = open_store(REPO, built.redis_url, built.data_dir)
    service = store.get_feature_service("customer_v1")
    answer = store.get_online_features(service, [{"customer_id": "anna"}]).to_dict()
    assert answer["segments"] == [["high_value", "loyal"]]
    assert answer["tenure_days"] == [400]
    table = pq.read_table(built.data_dir / "customer_orders.parquet")
    assert table.schema.field("event_timestamp").type == TIMESTAMP
    assert sorted(table.column("spend_365d").to_pylist()) == [0.0, 10.0, 600.1]


def test_building_again_writes_nothing(warehouse: MemoryWarehouse, built: Built) -> None:
    """Same warehouse, same time: no row is written, nothing is applied, the same features are served."""
    built.build(warehouse)
    before = {path.name: path.read_bytes() for path in built.data_dir.iterdir()}
    report = built.build(warehouse)
    assert not report.applied
    assert [(view.rows, view.written, view.removed) for view in report.views] == [(3, 0, 0)] * 4
    assert {path.name: path.read_bytes() for path in built.data_dir.iterdir()} == before
    assert built.read("anna") == ANNA


def test_only_changed_rows_are_written(warehouse: MemoryWarehouse, built: Built) -> None:
    """One customer's new order rewrites that customer in the views that it changes, with a new event time."""
    built.build(warehouse)
    warehouse.append("orders", orders(("cleo", 0, 30.0, "hats")))
    report = built.build(warehouse, NOW_MS + 60_000)
    assert {view.view: view.written for view in report.views} == {
        "customer_profile": 0,
        "customer_orders": 1,
        "customer_engagement": 0,
        "customer_segments": 0,
    }
    assert built.read("cleo")["orders_total"] == 1
    times = built.source.begin("customer_v1", "cleo", NOW_MS + 60_000).result().event_times_ms
    assert (times["customer_orders"], times["customer_profile"]) == (NOW_MS + 60_000, NOW_MS)


def test_unchanged_rows_do_not_go_stale_while_builds_run(warehouse: MemoryWarehouse, built: Built) -> None:
    """Rows whose values never change are published again before their TTL ends; without builds they go stale."""
    built.build(warehouse)
    for day in (4, 8):
        built.build(warehouse, NOW_MS + day * DAY_MS, ["customer_segments"])
    features = built.source.begin("customer_v1", "anna", NOW_MS + 8 * DAY_MS).result()
    assert features.values["segments"] is not None
    assert features.stale_views == ("customer_orders", "customer_engagement")
    assert features.values["orders_total"] is None


def test_a_customer_who_is_gone_reads_as_missing(warehouse: MemoryWarehouse, built: Built) -> None:
    """Someone who left the customer table keeps no feature values online."""
    built.build(warehouse)
    warehouse.replace("customers", customers(("anna", 400, "gold")))
    report = built.build(warehouse, NOW_MS + 1)
    assert [view.removed for view in report.views] == [2] * 4
    assert set(built.read("ben").values()) == {None}
    assert [view.removed for view in built.build(warehouse, NOW_MS + 2).views] == [0] * 4


def test_an_emptied_online_store_is_filled_again(warehouse: MemoryWarehouse, built: Built) -> None:
    """What was published is not believed when the store no longer has it."""
    import redis

    built.build(warehouse)
    with redis.Redis.from_url(built.redis_url) as client:
        client.flushall()
    report = built.build(warehouse)
    assert [view.written for view in report.views] == [3] * 4
    assert built.read("anna") == ANNA


def test_an_interrupted_build_is_repeated(warehouse: MemoryWarehouse, built: Built) -> None:
    """A build that dies while writing leaves nothing half-published after the next one."""

    def die(view: str, done: int, total: int) -> None:
        if view == "customer_engagement":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_features(warehouse, REPO, built.data_dir, built.redis_url, NOW_MS, progress=die)
    warehouse.append("orders", orders(("anna", 0, 0.9, "shoes")))
    built.build(warehouse, NOW_MS + 1)
    assert built.read("anna")["spend_30d"] == 551.0
    assert built.read("anna")["contacts_30d"] == 1


def test_optional_tables_may_be_missing(built: Built) -> None:
    """With nothing but customers, counts are zero and the rest is missing."""
    warehouse = MemoryWarehouse()
    warehouse.replace("customers", customers(("anna", 10, "gold")))
    built.build(warehouse)
    anna = built.read("anna")
    assert (anna["orders_total"], anna["tickets_30d"], anna["contacts_30d"]) == (0, 0, 0)
    assert anna["days_since_order"] is None
    assert anna["segments"] == ("new_customer",)


@pytest.fixture
def own_repo(tmp_path: Path) -> Path:
    """A copy of the feature repository to change."""
    return Path(shutil.copytree(REPO, tmp_path / "repo", ignore=shutil.ignore_patterns("__pycache__")))


def test_a_segment_needs_one_sql_file(
    warehouse: MemoryWarehouse, own_repo: Path, tmp_path: Path, redis_url: str
) -> None:
    """A marketer's new file under segments/, on any warehouse column, is served after the next build."""
    (own_repo / "segments" / "german_gold.sql").write_text(
        "SELECT customer_id FROM customers WHERE country = 'DE' AND loyalty_tier = 'gold';"
    )
    own = Built(tmp_path / "features", redis_url, own_repo)
    report = own.build(warehouse)
    assert report.segments["german_gold"] == 1
    assert own.read("anna")["segments"] == ("german_gold", "high_value", "loyal")
    own.close()


def test_every_mistake_in_sql_is_reported_and_nothing_served(
    warehouse: MemoryWarehouse, own_repo: Path, tmp_path: Path, redis_url: str
) -> None:
    """Missing columns, wrong types, repeated customers and broken SQL are named by file, all at once."""
    (own_repo / "sql" / "customer_profile.sql").write_text("SELECT nonsense FROM customers")
    (own_repo / "sql" / "customer_orders.sql").write_text(
        "SELECT customer_id, 'many' AS orders_total, 1 AS orders_30d, 1.5 AS spend_30d, 1.5 AS spend_365d,"
        " NULL AS average_order_value, NULL AS days_since_order FROM customers"
    )
    (own_repo / "sql" / "customer_segments.sql").write_text(
        "SELECT customer_id, ['a'] AS segments FROM customers UNION ALL SELECT 'anna', [] UNION ALL SELECT '', []"
    )
    own = Built(tmp_path / "features", redis_url, own_repo)
    with pytest.raises(InvalidRequest) as error:
        own.build(warehouse)
    found = {v.field: v.message for v in error.value.violations}
    assert set(found) == {
        "sql/customer_profile.sql",
        "sql/customer_orders.sql.orders_total",
        "sql/customer_orders.sql.favourite_category",
        "sql/customer_segments.sql.customer_id",
    }
    assert "nonsense" in found["sql/customer_profile.sql"]
    assert not own.data_dir.exists()


def test_broken_segments_are_named(warehouse: MemoryWarehouse, own_repo: Path, tmp_path: Path, redis_url: str) -> None:
    """Each broken segment file is named with its reason."""
    (own_repo / "segments" / "typo.sql").write_text("SELEC customer_id FROM customers")
    (own_repo / "segments" / "no_id.sql").write_text("SELECT country FROM customers")
    with pytest.raises(InvalidRequest) as error:
        Built(tmp_path / "features", redis_url, own_repo).build(warehouse)
    assert [v.field for v in error.value.violations] == ["segments/no_id.sql", "segments/typo.sql"]
    assert "segment_membership" not in warehouse.tables()


def test_an_unknown_view_is_refused(warehouse: MemoryWarehouse, built: Built) -> None:
    """The error lists the views that can be built."""
    with pytest.raises(InvalidRequest, match=r"views\.orders: no such view with SQL; use one of customer_"):
        built.build(warehouse, views=["orders"])


def test_a_table_becomes_a_service_without_python(tmp_path: Path, redis_url: str) -> None:
    """A dataset's columns and types are enough to register and serve a FeatureService, next to others."""
    table = pa.table({"customer_id": ["a", "b"], "history": [1.5, float("nan")], "mens": [1, 0], "zip": ["x", None]})
    types = {"history": ValueType.FLOAT, "mens": ValueType.BOOL, "zip": ValueType.STRING}
    for written in (2, 0):
        report = apply_table(REPO, tmp_path, redis_url, "replay_trial", table, types, 0, NOW_MS)
        assert (report.rows, report.written) == (2, written)
    source = open_feature_source(REPO, redis_url, 5_000, tmp_path)
    assert source.schema("replay_trial") == types
    assert source.begin("replay_trial", "a", NOW_MS).result().values == {"history": 1.5, "mens": True, "zip": "x"}
    assert source.begin("replay_trial", "b", NOW_MS).result().values == {"history": None, "mens": False, "zip": None}
    with pytest.raises(InvalidRequest, match=r"replay_trial\.wool: no such column"):
        apply_table(REPO, tmp_path, redis_url, "replay_trial", table, {"wool": ValueType.INT}, 0, NOW_MS)
    source.close()


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int64(), pa.decimal128(5, 2), pa.bool_()])
def test_only_one_and_zero_are_true_and_false(kind: pa.DataType) -> None:
    """A flag that comes as a number: NaN, which Arrow makes true of, and every other number are unknown, and told."""
    strange = {"f": [float("nan"), float("inf"), 0.5, -1.0], "i": [2, -1]}.get(str(kind)[0], [])
    strange = [2, -1] if pa.types.is_decimal(kind) else strange
    given = [1, 0, None, *strange]
    if pa.types.is_boolean(kind):
        given = [True, False, None]
    rows = pa.table({"customer_id": [str(i) for i in range(len(given))], "ok": pa.array(given, kind)})
    flags = conform(rows, {"ok": pa.bool_()}, "t").column("ok").to_pylist()
    assert flags == [True, False, None] + [None] * len(strange)
    assert unknown_flags(rows, {"ok": pa.bool_()}) == ({"ok": len(strange)} if strange else {})


def test_a_number_that_is_none_becomes_no_text() -> None:
    """Nor a whole number: NaN of a DOUBLE column is missing whatever the feature's type."""
    rows = pa.table({"customer_id": ["a", "b"], "zone": [float("nan"), 2.0], "n": [float("nan"), 3.0]})
    made = conform(rows, {"zone": pa.string(), "n": pa.int64()}, "t")
    assert made.column("zone").to_pylist()[0] is None
    assert made.column("n").to_pylist() == [None, 3]


def test_consent_that_is_no_boolean_is_served_as_missing(
    warehouse: MemoryWarehouse, own_repo: Path, tmp_path: Path, redis_url: str
) -> None:
    """From a DOUBLE column of the source to what Decide reads; the build tells how many."""
    profile = own_repo / "sql" / "customer_profile.sql"
    numbers = "CASE customer_id WHEN 'anna' THEN 'NaN' WHEN 'ben' THEN '1' ELSE '0.3' END::DOUBLE AS email_consent"
    profile.write_text(profile.read_text().replace("email_consent", numbers))
    own = Built(tmp_path / "features", redis_url, own_repo)
    report = own.build(warehouse)
    assert {view.view: view.unknown for view in report.views}["customer_profile"] == {"email_consent": 2}
    assert [own.read(who)["email_consent"] for who in ("anna", "ben", "cleo")] == [None, True, None]
    own.close()


def test_event_times_never_go_back() -> None:
    """Where the clock steps back, a changed row is still newer than what was published: Feast drops older writes."""
    before = {"a": ((1,), 100), "b": ((1,), 90)}
    change = changes(before, {"a": (2,), "b": (1,), "c": (1,)}, now_us=50, ttl_us=0)
    assert change.write == [0, 2]
    assert change.event_times_us == [101, 90, 101]
    assert change.gone == []


def test_the_plain_feast_command_works(own_repo: Path) -> None:
    """`feast apply` and `feast feature-views list` in the folder need nothing but the folder."""
    # One process for both commands: it spends seconds importing Feast.
    commands = "from feast.cli.cli import cli; cli(['apply'], standalone_mode=False); cli(['feature-views', 'list'])"
    environment = {name: value for name, value in os.environ.items() if name != "NBA_HOME"}
    ran = subprocess.run(
        [sys.executable, "-c", commands], cwd=own_repo, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "customer_engagement  {'customer'}" in ran.stdout
    assert os.listdir(own_repo.parent / ".nba" / "features") == ["registry.db"]


def test_documented_features_are_the_defined_ones(warehouse: MemoryWarehouse, built: Built) -> None:
    """The README lists every feature of every view, and every segment."""
    built.build(warehouse)
    readme = (REPO / "README.md").read_text()
    names = {*built.source.schema("customer_realtime_v1"), *(file.stem for file in (REPO / "segments").glob("*.sql"))}
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []
