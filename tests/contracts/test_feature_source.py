"""Every form of the FeatureSource port: in memory, Feast's Redis read directly, Feast's SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from decision_service.adapters.feast.features import RefreshableSource
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.redis.embedded import EmbeddedRedis
from decision_service.core.model.errors import NotFound
from decision_service.core.model.record import FeatureStatus
from decision_service.core.model.values import Value
from tests.support.feast_repo import NOW_MS, ORDERS, PROFILE, Repo, make_repo, proto, write

Put = Callable[[str, str, Mapping[str, Value | None], int], None]

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ANNA = {"name": "Anna", "age": -3, "score": 0.25, "vip": False, "tags": ("a", "b")}


@dataclass(frozen=True, slots=True)
class Form:
    source: RefreshableSource
    put: Put


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis) -> Repo:
    return make_repo(tmp_path_factory.mktemp("repo"), redis_server.url)


@pytest.fixture(params=["memory", "feast redis", "feast sdk"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Form]:
    if request.param == "memory":
        memory = MemoryFeatures()
        memory.define("pair_v1", MemoryView("profile", PROFILE, 86_400), MemoryView("orders", ORDERS, 3_600))
        yield Form(memory, memory.put)
        return
    request.getfixturevalue("redis_url")  # empties the server
    repo: Repo = request.getfixturevalue("repo")
    store = repo.store()
    source: RefreshableSource = repo.redis_source() if request.param == "feast redis" else repo.sdk_source()

    def put(view: str, customer_id: str, values: Mapping[str, Value | None], event_time_ms: int) -> None:
        write(store, view, customer_id, {name: proto(value) for name, value in values.items()}, event_time_ms)

    yield Form(source, put)
    source.close()


def test_all_features_of_the_service_are_served(form: Form) -> None:
    """Values, types and event times come back as they were written, whatever their number, text or emptiness."""
    form.put("profile", "anna", ANNA, NOW_MS - 5)
    form.put("orders", "anna", {"total": 7}, NOW_MS - 9)
    features = form.source.begin("pair_v1", "anna", NOW_MS).result()
    assert features.status is FeatureStatus.SERVED
    assert features.values == {**ANNA, "total": 7}
    assert type(features.values["vip"]) is bool
    assert features.event_times_ms == {"profile": NOW_MS - 5, "orders": NOW_MS - 9}
    assert features.stale_views == ()


def test_schema_lists_features_by_view(form: Form) -> None:
    """The schema says name and type of every feature, view after view of the service."""
    assert list(form.source.schema("pair_v1").items()) == [*PROFILE.items(), *ORDERS.items()]


def test_values_are_in_the_order_of_the_schema(form: Form) -> None:
    """Served values list every feature in the schema's order, so that encoding them does not depend on the store."""
    form.put("profile", "anna", ANNA, NOW_MS)
    for customer_id in ("anna", "nobody"):
        features = form.source.begin("pair_v1", customer_id, NOW_MS).result()
        assert list(features.values) == list(form.source.schema("pair_v1"))


def test_a_customer_without_rows_is_unknown(form: Form) -> None:
    """Nothing in any view: every value is None and the status says that the customer is unknown."""
    features = form.source.begin("pair_v1", "nobody", NOW_MS).result()
    assert features.status is FeatureStatus.UNKNOWN_CUSTOMER
    assert features.values == dict.fromkeys([*PROFILE, *ORDERS])
    assert features.unread == frozenset()
    assert features.event_times_ms == {}
    assert features.stale_views == ()


def test_a_missing_view_is_not_a_stale_one(form: Form) -> None:
    """A view without a row has no event time and is not listed as stale; the other view is served."""
    form.put("orders", "anna", {"total": 7}, NOW_MS)
    features = form.source.begin("pair_v1", "anna", NOW_MS).result()
    assert features.status is FeatureStatus.SERVED
    assert features.values["total"] == 7
    assert features.values["name"] is None
    assert features.event_times_ms == {"orders": NOW_MS}
    assert features.stale_views == ()


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (HOUR_MS, False), (HOUR_MS + 1, True), (DAY_MS, True)])
def test_ttl_is_enforced_against_now(form: Form, age_ms: int, stale: bool) -> None:
    """One millisecond beyond its TTL a view's values are None and the view is named stale, with its event time."""
    form.put("profile", "anna", ANNA, NOW_MS - age_ms)
    form.put("orders", "anna", {"total": 7}, NOW_MS - age_ms)
    features = form.source.begin("pair_v1", "anna", NOW_MS).result()
    assert features.status is FeatureStatus.SERVED
    assert features.values["total"] == (None if stale else 7)
    assert features.values["name"] == "Anna"
    assert features.stale_views == (("orders",) if stale else ())
    assert features.unread == ({"total"} if stale else frozenset())
    assert features.event_times_ms["orders"] == NOW_MS - age_ms


def test_missing_values_are_none(form: Form) -> None:
    """A null is None, an empty text and an empty list are values."""
    form.put("profile", "anna", {"name": "", "age": None, "score": None, "vip": None, "tags": ()}, NOW_MS)
    values = form.source.begin("pair_v1", "anna", NOW_MS).result().values
    assert values == {"name": "", "age": None, "score": None, "vip": None, "tags": (), "total": None}


def test_an_older_row_does_not_replace_a_newer_one(form: Form) -> None:
    """Event time decides, not the order of writing."""
    form.put("orders", "anna", {"total": 2}, NOW_MS)
    form.put("orders", "anna", {"total": 1}, NOW_MS - 1)
    assert form.source.begin("pair_v1", "anna", NOW_MS).result().values["total"] == 2


def test_reads_overlap(form: Form) -> None:
    """Several reads may be under way; each result is its own customer's, in whatever order they are taken."""
    for n in range(5):
        form.put("orders", f"c{n}", {"total": n}, NOW_MS)
    pending = [form.source.begin("pair_v1", f"c{n}", NOW_MS) for n in range(5)]
    assert [p.result().values["total"] for p in reversed(pending)] == [4, 3, 2, 1, 0]


def test_an_unknown_service_is_not_found(form: Form) -> None:
    """Reading or describing a service that nobody defined names it."""
    with pytest.raises(NotFound, match="nope"):
        form.source.begin("nope", "anna", NOW_MS)
    with pytest.raises(NotFound, match="nope"):
        form.source.schema("nope")
