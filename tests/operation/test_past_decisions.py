"""Explanations from the warehouse alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from decision_service.application.ports import PolicyVersion, ProgramVersion
from decision_service.core.model.errors import NotFound
from decision_service.operation import bootstrap
from decision_service.operation.past_decisions import explain_from_warehouse
from decision_service.operation.settings import Settings
from decision_service.warehouse.loader import drain
from decision_service.warehouse.tables import CONTACT_POLICY_VERSIONS, PROGRAM_VERSIONS, rows_from
from tests.support.served import AUDIT, POLICY, World


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
    world = World()
    world.policies.publish_policy(POLICY, AUDIT)
    world.decide("r1")
    record = world.decide("r2")
    explanation = world.inquiry.explain(record.decision_id)
    warehouse = bootstrap.open_warehouse(settings)
    drain(world.ledger, warehouse)
    with pytest.raises(NotFound, match="program version"):
        explain_from_warehouse(settings, record.decision_id)
    programs = rows(world.policies.versions("p"), program="p")
    policies = rows(world.policies.policy_versions())
    warehouse.append(PROGRAM_VERSIONS.name, rows_from(PROGRAM_VERSIONS.name, programs))
    warehouse.append(CONTACT_POLICY_VERSIONS.name, rows_from(CONTACT_POLICY_VERSIONS.name, policies))
    assert explain_from_warehouse(settings, record.decision_id) == explanation
    assert "cap 'one_an_hour' of the contact policy" in explanation.text
    assert explain_from_warehouse(settings, "unknown") is None
