"""What was published in a ledger, as its copies in the warehouse tell: to publish it again, and to read its log by."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from decision_service.application.policy_store import Audit
from decision_service.application.ports import Warehouse
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Action, ContactPolicy, Program
from decision_service.core.model.record import Outcome
from decision_service.core.rebuild import ContactDecision
from decision_service.documents.published import Entry, contact_policy_of, published_program, ranges_from_data

_PROGRAMS = """
SELECT program, version, document, author, note, group_ranges, epoch_ms(published_at) AS at_ms
FROM program_versions WHERE list_contains($ledgers, coalesce(ledger_id, ''))
ORDER BY program, version, ledger_id NULLS FIRST
"""
_POLICIES = """
SELECT version, document, author, note, epoch_ms(published_at) AS at_ms
FROM contact_policy_versions WHERE list_contains($ledgers, coalesce(ledger_id, ''))
ORDER BY version, ledger_id NULLS FIRST
"""
_LATEST = """
SELECT program, max(version) AS version FROM (
    SELECT program, program_version AS version, ledger_id FROM decisions
    UNION ALL
    SELECT o.program, o.program_version, ledger_id FROM (SELECT unnest(others) AS o, ledger_id FROM decisions) AS c
) AS seen WHERE list_contains($ledgers, coalesce(ledger_id, '')) GROUP BY program
"""
_LATEST_POLICY = """
SELECT coalesce(max(policy_version), 0) AS version FROM decisions
WHERE list_contains($ledgers, coalesce(ledger_id, ''))
"""
_TIMES = """
SELECT epoch_ms(published_at) AS at_ms, version, document FROM contact_policy_versions ORDER BY at_ms, version
"""


@dataclass(frozen=True, slots=True)
class Copies:
    """programs: name → version → entry; policies: version → entry. latest, latest_policy: the highest version known,
    copied or only decided by; 0 for none."""

    programs: Mapping[str, Mapping[int, Entry]]
    policies: Mapping[int, Entry]
    latest: Mapping[str, int]
    latest_policy: int

    @property
    def lost(self) -> tuple[str, ...]:
        """In words: what decisions were made under and nobody copied."""
        names = [
            f"program {name} version {version}"
            for name, version in sorted(self.latest.items())
            if version not in self.programs.get(name, {})
        ]
        if self.latest_policy and self.latest_policy not in self.policies:
            names.append(f"contact policy version {self.latest_policy}")
        return tuple(names)


def copies_of(warehouse: Warehouse, ledgers: Collection[str]) -> Copies:
    """Those of the ledger that is known by these ids."""
    known = {"ledgers": sorted(ledgers)}
    programs: dict[str, dict[int, Entry]] = {}
    for row in warehouse.query(_PROGRAMS, known).to_pylist():
        ranges = ranges_from_data(json.loads(row["group_ranges"] or "[]"))
        audit = Audit(row["author"] or "", row["at_ms"] or 0, row["note"] or "")
        programs.setdefault(row["program"], {})[row["version"]] = Entry(row["version"], row["document"], audit, ranges)
    policies = {
        row["version"]: Entry(
            row["version"], row["document"], Audit(row["author"] or "", row["at_ms"] or 0, row["note"] or "")
        )
        for row in warehouse.query(_POLICIES, known).to_pylist()
    }
    latest = {name: max(versions) for name, versions in programs.items()}
    for row in warehouse.query(_LATEST, known).to_pylist():
        latest[row["program"]] = max(row["version"], latest.get(row["program"], 0))
    decided_by = warehouse.query(_LATEST_POLICY, known).to_pylist()[0]["version"]
    return Copies(programs, policies, latest, max([decided_by, *policies]))


class PastRules:
    """The log is read by these: actions as their versions had them, and the contact policy of a time.

    unknown: versions that no copy is left of; their contacts count by the newest version that has the action, else for
    every cap but those of a tag or message.
    """

    def __init__(self, warehouse: Warehouse, copies: Copies) -> None:
        self._copies = copies
        self._actions: dict[tuple[str, int, str], Action] = {}
        published = warehouse.query(_TIMES).to_pylist()
        self._times = [row["at_ms"] or 0 for row in published]
        self._policies = [(row["document"], row["version"]) for row in published]
        self.unknown: set[str] = set()

    def action_of(self, decision: ContactDecision) -> Action:
        """What a decision chose."""
        key = decision.program, decision.program_version, decision.action
        if key not in self._actions:
            self._actions[key] = self._action(decision)
        return self._actions[key]

    def policy_of(self, outcome: Outcome) -> ContactPolicy:
        """The contact policy that was in force, by the time of its publication, when an outcome was received."""
        i = bisect_right(self._times, outcome.received_at_ms)
        return contact_policy_of(*self._policies[i - 1]) if i else ContactPolicy()

    def in_force(self) -> tuple[ContactPolicy, list[Program]]:
        """The newest of each that is known."""
        policies = self._copies.policies
        policy = contact_policy_of(policies[max(policies)].document, max(policies)) if policies else ContactPolicy()
        newest = [published_program(versions[max(versions)]) for versions in self._copies.programs.values()]
        return policy, newest

    def _action(self, decision: ContactDecision) -> Action:
        versions = self._copies.programs.get(decision.program, {})
        if decision.program_version not in versions:
            self.unknown.add(f"program {decision.program} version {decision.program_version}")
        for version in (decision.program_version, *sorted(versions, reverse=True)):
            if version in versions:
                try:
                    program = published_program(versions[version])
                except InvalidRequest:
                    continue
                found = next((a for a in program.actions if a.id == decision.action), None)
                if found is not None:
                    return found
        return Action(decision.action, decision.channel, "")
