"""Single decisions as the warehouse knows them, when the ledger no longer retains them or is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decision_service import bootstrap
from decision_service.core.errors import NotFound, Unavailable
from decision_service.core.program import ContactPolicy, Program
from decision_service.settings import Settings

if TYPE_CHECKING:
    from decision_service.core.explain import Explanation
    from decision_service.ports import Warehouse


def explain_from_warehouse(settings: Settings, decision_id: str) -> Explanation | None:
    """The explanation of a decision that the ledger no longer retains; None if the warehouse has none either.

    Raises:
        NotFound: it was made under a version that is not known any more.
    """
    from decision_service.adapters.cel_rules import CelRules
    from decision_service.codec import decode_record
    from decision_service.inquiry import explained

    warehouse = bootstrap.open_warehouse(settings)
    rows = warehouse.query("SELECT record FROM decisions WHERE decision_id = $id", {"id": decision_id}).to_pylist()
    if not rows:
        return None
    record, catalogue = decode_record(rows[0]["record"]), bootstrap.open_past_models(settings)
    try:
        policies = bootstrap.open_policies(settings)
        return explained(record, policies.program_at, policies.policy_at, CelRules(), catalogue)
    except (NotFound, Unavailable):
        # The warehouse keeps what a ledger that is away, or a new one, does not have.
        versions = PublishedVersions(warehouse)
        return explained(record, versions.program_at, versions.policy_at, CelRules(), catalogue)


class PublishedVersions:
    """Programs and contact policies as the warehouse's tables of versions have them."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def program_at(self, name: str, version: int) -> Program:
        """A version as it was published.

        Raises:
            NotFound: the table does not have it.
        """
        from decision_service.documents import parse_program

        where = "program = $program AND version = $version"
        found = self._document("program_versions", where, {"program": name, "version": version})
        if found is None:
            raise NotFound("program version", f"{name} {version}", "`nba join` copies them to the warehouse")
        return parse_program(found, version)

    def policy_at(self, version: int) -> ContactPolicy:
        """A contact policy version as it was published; version 0 is the empty policy.

        Raises:
            NotFound: the table does not have it.
        """
        from decision_service.documents import parse_contact_policy

        if version == 0:
            return ContactPolicy()
        found = self._document("contact_policy_versions", "version = $version", {"version": version})
        if found is None:
            raise NotFound("contact policy version", str(version), "`nba join` copies them to the warehouse")
        return parse_contact_policy(found, version)

    def _document(self, table: str, where: str, parameters: dict[str, object]) -> str | None:
        rows = self._warehouse.query(f"SELECT document FROM {table} WHERE {where}", parameters).to_pylist()
        return str(rows[0]["document"]) if rows else None
