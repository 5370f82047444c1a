"""Single decisions as the warehouse knows them, when the ledger no longer retains them or is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decision_service.core.model.errors import Unavailable
from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings

if TYPE_CHECKING:
    from decision_service.core.explanation.explain import Explanation


def explain_from_warehouse(settings: Settings, decision_id: str) -> Explanation | None:
    """The explanation of a decision that the ledger no longer retains; None if the warehouse has none either.

    Raises:
        NotFound: it was made under a version that is not known any more.
    """
    from decision_service.adapters.cel_rules import CelRules
    from decision_service.application.inquiry import explained
    from decision_service.contract.codec import decode_record
    from decision_service.simulation.versions import VersionsByLedger

    warehouse = bootstrap.open_warehouse(settings)
    rows = warehouse.query("SELECT record FROM decisions WHERE decision_id = $id", {"id": decision_id}).to_pylist()
    if not rows:
        return None
    record, models = decode_record(rows[0]["record"]), bootstrap.open_registry(settings)
    try:
        installation = bootstrap.open_installation(settings).look()
        own_ids = installation.known_as if installation is not None else ()
        versions = VersionsByLedger(warehouse, bootstrap.open_policies(settings), own_ids)
    except Unavailable:  # the warehouse has copies
        versions = VersionsByLedger(warehouse)
    return explained(record, versions.of(record.ledger_id), CelRules(), models)
