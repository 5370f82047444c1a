"""Versions of what was published: from the first source that knows them, and the same object each time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.policy_store import Audit
from decision_service.core.model.errors import NotFound
from decision_service.core.model.installation import Installation
from decision_service.core.model.program import BucketRange, ContactPolicy, Group
from decision_service.simulation.proposal import check
from decision_service.simulation.versions import KnownVersions, VersionsByLedger, WarehouseVersions
from decision_service.warehouse.tables import rows_from
from decision_service.warehouse.versions import copy_versions
from tests.simulation.market import NEWS, POLICY, SERVICE

AUDIT = Audit("test", 0)


@pytest.fixture
def copies() -> WarehouseVersions:
    """Two versions of the program `news` and one of the contact policy, as `nba join` copies them."""
    warehouse, published = MemoryWarehouse(), {"author": "a", "published_at": datetime.now(UTC), "note": ""}
    later = NEWS.replace("limit: 12", "limit: 20")
    programs = [
        {"program": "news", "version": version, "document": document, **published}
        for version, document in ((1, NEWS), (2, later))
    ]
    programs[1]["group_ranges"] = '[["HOLDOUT", 0, 5000], ["TREATMENT", 5000, 10000]]'
    warehouse.append("program_versions", rows_from("program_versions", programs))
    policies = [{"version": 1, "document": POLICY, **published}]
    warehouse.append("contact_policy_versions", rows_from("contact_policy_versions", policies))
    return WarehouseVersions(warehouse)


def test_the_warehouse_has_copies(copies: WarehouseVersions) -> None:
    """Of every version; version 0 of the contact policy is the empty one."""
    assert [copies.program_at("news", version).budgets[0].limit for version in (1, 2)] == [12, 20]
    assert copies.program_at("news", 2).version == 2
    assert copies.program_at("news", 1).groups.ranges == ()
    dealt = (BucketRange(Group.HOLDOUT, 0, 5_000), BucketRange(Group.TREATMENT, 5_000, 10_000))
    assert copies.program_at("news", 2).groups.ranges == dealt
    assert copies.latest("news") == copies.program_at("news", 2)
    assert copies.latest("unheard_of") is None
    assert {cap.id for cap in copies.policy_at(1).caps} == {"four_a_week", "two_a_day", "one_sms_at_a_time"}
    assert copies.policy_at(0) == ContactPolicy()
    with pytest.raises(NotFound, match="nba join"):
        copies.program_at("news", 3)
    with pytest.raises(NotFound, match="nba join"):
        copies.policy_at(2)


def test_a_proposal_has_the_groups_that_it_would_get(copies: WarehouseVersions) -> None:
    """Following the latest version; those of a first version where there is none."""
    document = NEWS + "groups: {treatment: 60%, holdout: 40%}"
    proposal = check(document, "", 0, 1)
    dealt = proposal.after(copies.latest("news")).program.groups.ranges
    assert dealt == (
        BucketRange(Group.TREATMENT, 5_000, 10_000),
        BucketRange(Group.TREATMENT, 4_000, 5_000),
        BucketRange(Group.HOLDOUT, 0, 4_000),
    )
    assert proposal.after(None).program.groups.ranges == ()


def test_what_the_ledger_does_not_know_the_warehouse_may(copies: WarehouseVersions) -> None:
    """As after a new ledger; what neither knows is told as the last one tells it."""
    ledger = MemoryPolicies()
    ledger.publish_program(SERVICE, AUDIT)
    known = KnownVersions(ledger, copies)
    assert known.program_at("service", 1).name == "service"
    assert known.program_at("news", 2) is known.program_at("news", 2)
    assert known.policy_at(1) is known.policy_at(1)
    with pytest.raises(NotFound, match="nba join"):
        known.program_at("service", 2)


def test_each_ledger_has_versions_of_its_own() -> None:
    """The one that answers is asked for its own only; the copies of others are told apart by its id."""
    warehouse, own = MemoryWarehouse(), MemoryPolicies()
    own.publish_program(SERVICE, AUDIT)
    before = MemoryPolicies()
    before.publish_program(SERVICE + "value: 7\n", AUDIT)
    before.publish_program(NEWS, AUDIT)
    copy_versions(before, Installation("before", b""), warehouse)
    known = VersionsByLedger(warehouse, own, {"own"})
    assert known.of("own").program_at("service", 1) == own.program_at("service", 1)
    assert known.of("before").program_at("service", 1) == before.program_at("service", 1)
    assert known.of("own").program_at("service", 1) != known.program_at("service", 1, "before")
    assert known.of("before") is known.of("before")
    with pytest.raises(NotFound, match="of ledger own"):
        known.program_at("news", 1, "own")
    with pytest.raises(NotFound, match="a ledger without an id"):
        known.program_at("service", 1, "")
