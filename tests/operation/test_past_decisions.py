"""Explanations from the warehouse alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.application.policy_store import PolicyVersion, ProgramVersion
from decision_service.core.model.errors import NotFound
from decision_service.core.model.installation import Installation
from decision_service.operation import bootstrap, jobs
from decision_service.operation.past_decisions import explain_from_warehouse
from decision_service.operation.settings import Settings
from decision_service.warehouse.loader import drain
from decision_service.warehouse.tables import CONTACT_POLICY_VERSIONS, PROGRAM_VERSIONS, rows_from
from decision_service.warehouse.versions import copy_versions
from tests.support.served import AUDIT, POLICY, PROGRAM, World


def rows(versions: Sequence[ProgramVersion | PolicyVersion], **more: str) -> list[dict[str, object]]:
    """As `nba join` copies them."""
    at = datetime.fromtimestamp(0, UTC)
    return [
        {"version": v.version, "document": v.document, "author": "test", "published_at": at, "note": "", **more}
        for v in versions
    ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose ledger does not answer."""
    return Settings(home=tmp_path, ledger_url="redis://127.0.0.1:1/0")


def test_without_the_ledger_the_warehouse_explains_the_same(settings: Settings) -> None:
    """Record, program and contact policy from their tables: word for word what the service says."""
    world = World(ledger=MemoryLedger(""))
    world.policies.publish_policy(POLICY, AUDIT)
    world.decide("r1")
    record = world.decide("r2")
    explanation = world.inquiry.explain(record.decision_id)
    warehouse = bootstrap.open_warehouse(settings)
    drain(world.ledger, warehouse, world.clock.now_ms)
    with pytest.raises(NotFound, match="program version"):
        explain_from_warehouse(settings, record.decision_id)
    programs = rows(world.policies.versions("p"), program="p")
    policies = rows(world.policies.policy_versions())
    warehouse.append(PROGRAM_VERSIONS.name, rows_from(PROGRAM_VERSIONS.name, programs))
    warehouse.append(CONTACT_POLICY_VERSIONS.name, rows_from(CONTACT_POLICY_VERSIONS.name, policies))
    assert explain_from_warehouse(settings, record.decision_id) == explanation
    assert "cap 'one_an_hour' of the contact policy" in explanation.text
    assert explain_from_warehouse(settings, "unknown") is None


def test_version_1_of_another_ledger_is_never_taken_for_the_old_one(redis_url: str, tmp_path: Path) -> None:
    """After a loss of the ledger another document is version 1; the old decision is explained by its own, and until the
    warehouse has a copy of that, by none."""
    settings = Settings(home=tmp_path, ledger_url=redis_url)
    old = World(ledger=MemoryLedger("old"))
    old.policies.publish_policy(POLICY, AUDIT)
    old.decide("r1")
    record = old.decide("r2")
    explanation = old.inquiry.explain(record.decision_id)
    warehouse = bootstrap.open_warehouse(settings)
    drain(old.ledger, warehouse, old.clock.now_ms)
    bootstrap.open_installation(settings).claim()
    policies = bootstrap.open_policies(settings)
    policies.publish_program(PROGRAM.replace("id: mail", "id: letter"), AUDIT)
    policies.publish_policy(POLICY.replace("one_an_hour", "one_a_minute"), AUDIT)
    jobs.join(settings)
    with pytest.raises(NotFound, match="of ledger old"):
        explain_from_warehouse(settings, record.decision_id)
    copy_versions(old.policies, Installation("old", b""), warehouse)
    assert explain_from_warehouse(settings, record.decision_id) == explanation
    assert "one_an_hour" in explanation.text


def test_decisions_of_a_release_without_ids_are_explained_by_the_ledger_that_made_them(
    redis_url: str, tmp_path: Path
) -> None:
    """A home of before, opened by this release: its ledger gets an id, and stays the one of rows without."""
    settings = Settings(home=tmp_path, ledger_url=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set("nba:shards", settings.shards)
    world = World(ledger=MemoryLedger(""))
    record = world.decide()
    warehouse = bootstrap.open_warehouse(settings)
    drain(world.ledger, warehouse, world.clock.now_ms)
    bootstrap.open_policies(settings).publish_program(PROGRAM, AUDIT)
    bootstrap.open_installation(settings).claim()
    explanation = world.inquiry.explain(record.decision_id)
    assert explain_from_warehouse(settings, record.decision_id) == explanation
    jobs.join(settings)
    kept = warehouse.query("SELECT ledger_id, digest FROM program_versions ORDER BY ledger_id NULLS FIRST").to_pylist()
    assert [row["ledger_id"] is None for row in kept] == [True, False]
    assert len({row["digest"] for row in kept}) == 1
    jobs.join(settings)
    assert warehouse.query("SELECT * FROM program_versions").num_rows == 2
