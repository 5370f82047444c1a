"""Builds that would take a lot from the online store ask before they write anything."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.core.model.errors import Conflict
from decision_service.operation import jobs
from decision_service.operation.settings import Settings
from feature_repo.build import build_features
from feature_repo.removals import Allowed, check_removals
from tests.feature_repo.test_build import ANNA, NOW_MS, REPO, Built, customers, fill


def many(count: int, **changes: list[object]) -> pa.Table:
    """Customers c0, c1, …; `changes` are columns in place of the usual ones."""
    table = customers(*((f"c{i}", 100, "gold") for i in range(count)))
    for name, values in changes.items():
        position, kind = table.schema.get_field_index(name), table.schema.field(name).type
        table = table.set_column(position, name, pa.array(values, kind))
    return table


@pytest.fixture
def warehouse() -> MemoryWarehouse:
    warehouse = MemoryWarehouse()
    fill(warehouse)
    return warehouse


@pytest.fixture
def built(tmp_path: Path, redis_url: str) -> Iterator[Built]:
    built = Built(tmp_path / "features", redis_url)
    yield built
    built.close()


def on_disk(built: Built) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in built.data_dir.iterdir()}


def test_an_empty_source_takes_nobody_unasked(warehouse: MemoryWarehouse, built: Built) -> None:
    """However few were published: nothing is written, online, on disk or in the warehouse; asked for, it is done."""
    built.build(warehouse)
    before, members = on_disk(built), warehouse.query("SELECT * FROM segment_membership ORDER BY ALL")
    warehouse.replace("customers", customers())
    warehouse.replace("orders", warehouse.query("SELECT * FROM orders").slice(0, 0))
    with pytest.raises(Conflict, match=r"customer_profile would lose the values of 3 of its 3 customers.*--allow-rem"):
        built.build(warehouse, NOW_MS + 1)
    assert on_disk(built) == before
    assert warehouse.query("SELECT * FROM segment_membership ORDER BY ALL").equals(members)
    assert built.read("anna") == ANNA
    report = build_features(warehouse, REPO, built.data_dir, built.redis_url, NOW_MS + 1, allowed=Allowed(1.0))
    assert [view.removed for view in report.views] == [3] * 4
    assert set(built.read("anna").values()) == {None}


def test_a_source_that_shrank_by_more_than_the_share_asks(built: Built) -> None:
    """Of 60 customers 13 may not go, 12 may: a fifth."""
    warehouse = MemoryWarehouse()
    warehouse.replace("customers", many(60))
    built.build(warehouse)
    warehouse.replace("customers", many(47))
    with pytest.raises(Conflict) as refused:
        built.build(warehouse, NOW_MS + 1)
    assert "customer_orders would lose the values of 13 of its 60 customers" in str(refused.value)
    warehouse.replace("customers", many(48))
    assert [view.removed for view in built.build(warehouse, NOW_MS + 2).views] == [12] * 4


def test_a_segment_that_everybody_leaves_asks(warehouse: MemoryWarehouse, tmp_path: Path, redis_url: str) -> None:
    """An empty list is a value lost: rules that exclude by segment would keep everybody."""
    repo = Path(shutil.copytree(REPO, tmp_path / "repo", ignore=shutil.ignore_patterns("__pycache__")))
    for file in (repo / "segments").glob("*.sql"):
        file.unlink()
    (repo / "segments" / "employees.sql").write_text("SELECT customer_id FROM customers")
    warehouse.replace("customers", many(60))
    own = Built(tmp_path / "features", redis_url, repo)
    own.build(warehouse)
    (repo / "segments" / "employees.sql").write_text("SELECT customer_id FROM customers WHERE country = 'FR'")
    with pytest.raises(Conflict, match="customer_segments would lose the values of 60 of its 60 customers"):
        own.build(warehouse, NOW_MS + 1)
    assert own.read("c1")["segments"] == ("employees",)
    assert warehouse.query("SELECT count(*) AS n FROM segment_membership").to_pylist() == [{"n": 60}]
    own.close()


@pytest.mark.parametrize("column", ["email_consent", "timezone"])
def test_what_guardrails_read_does_not_change_for_many_unasked(
    column: str, warehouse: MemoryWarehouse, built: Built
) -> None:
    """Every BOOL, and what the contact policy names; a missing value is a change, and so is one that comes to be."""
    allowed = Allowed(guarded=frozenset({"timezone"}))
    warehouse.replace("customers", many(60))
    build_features(warehouse, REPO, built.data_dir, built.redis_url, NOW_MS, allowed=allowed)
    kept = [True] * 60 if column == "email_consent" else ["Europe/Berlin"] * 60
    for changed in (13, 12):
        warehouse.replace("customers", many(60, **{column: [*[None] * changed, *kept[changed:]]}))
        if changed == 13:
            with pytest.raises(Conflict, match=rf"customer_profile\.{column}, which guard.* 13 of 60 customers"):
                build_features(warehouse, REPO, built.data_dir, built.redis_url, NOW_MS + 1, allowed=allowed)
        else:
            build_features(warehouse, REPO, built.data_dir, built.redis_url, NOW_MS + 1, allowed=allowed)
    warehouse.replace("customers", many(60, country=[None] * 60))
    build_features(warehouse, REPO, built.data_dir, built.redis_url, NOW_MS + 2, allowed=Allowed(0.21, allowed.guarded))


def test_a_first_build_takes_nothing(tmp_path: Path) -> None:
    """There is nothing to compare with, so that it never asks."""
    check_removals({"customer_profile": customers().select(["customer_id"])}, tmp_path, Allowed(0.0))


def test_the_trainer_goes_on_with_the_features_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A build that asks is reported, and learning goes on without it."""

    def refuse(*_: object, **__: object) -> None:
        raise Conflict("nothing was written: customer_profile would lose the values of 60 of its 60 customers")

    monkeypatch.setattr(jobs, "build_features", refuse)
    monkeypatch.setattr(jobs, "join", lambda _: {})
    monkeypatch.setattr(jobs, "train", lambda _: {"p": {"verdict": "HOLD"}})
    with caplog.at_level(logging.WARNING):
        assert jobs.learn(Settings(home=tmp_path)) == {"p": {"verdict": "HOLD"}}
    assert "features were not built: nothing was written: customer_profile would lose" in caplog.text
