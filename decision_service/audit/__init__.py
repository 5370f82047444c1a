"""Did the guardrails hold? Worked out from the warehouse alone, in SQL, without the code that decides.

Nothing is shared with Decide but the reading of published documents: it imports the ports, `documents`, intervals and
the warehouse's SQL engine, never the guardrails. Used by `operation`, `cli` and the demo. Each module is one law, and
its SQL is meant to be read. Begin with `facts`, then `caps`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Warehouse
from decision_service.audit.budgets import budgets
from decision_service.audit.caps import frequency_caps
from decision_service.audit.completeness import completeness
from decision_service.audit.consent import consent
from decision_service.audit.facts import Asked, Facts, gather
from decision_service.audit.groups import assignments, hashed, holdouts, sample_ratios
from decision_service.audit.quiet_hours import quiet_hours
from decision_service.audit.report import Report, Section, render
from decision_service.audit.sending import sending
from decision_service.audit.suppressions import suppressions

__all__ = ["Asked", "Report", "Section", "audit", "render"]


def audit(
    warehouse: Warehouse,
    policies: PolicyStore | None = None,
    asked: Asked | None = None,
    acknowledged: Iterable[str] | None = None,
    own_ids: Collection[str] = ("",),
) -> Report:
    """Check everything that can be checked from the warehouse.

    Args:
        policies: where versions are read from that no job has copied to the warehouse yet; None: nowhere.
        asked: which decisions to judge; all by default.
        acknowledged: ids of decisions that callers were given; each must be there.
        own_ids: the ledgers whose versions `policies` has; see `Installation.known_as`.

    Raises:
        Unavailable: the warehouse cannot be read.
    """
    facts = gather(warehouse, policies, asked or Asked(), own_ids)
    groups = hashed(facts)
    return Report(
        (
            _versions(facts),
            frequency_caps(facts),
            quiet_hours(facts),
            consent(facts),
            suppressions(facts),
            sending(facts),
            budgets(facts),
            holdouts(facts, groups),
            assignments(facts, groups),
            sample_ratios(facts, groups),
            *completeness(facts, acknowledged),
        )
    )


def _versions(facts: Facts) -> Section:
    """What is decided under versions that cannot be read cannot be judged, and must not pass for sound."""
    unread = facts.decided - facts.contacts.num_rows
    notes = (f"{unread} contacts could not be judged",) if unread else ()
    return Section("versions", "contacts", facts.decided, to_check=facts.rules.unreadable, notes=notes)
