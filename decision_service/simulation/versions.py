"""What was published, by version: from the ledger, or from the warehouse's copy of it where the ledger is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from decision_service.application.ports import Warehouse
from decision_service.core.model.errors import NotFound
from decision_service.core.model.program import ContactPolicy, Program
from decision_service.core.what_if.simulate import Versions
from decision_service.documents import parse_contact_policy
from decision_service.documents.published import program_from_row

T = TypeVar("T")


class KnownVersions:
    """Asks once for each version and gives the same object ever after. Of several sources the first that knows one."""

    def __init__(self, *sources: Versions) -> None:
        self._sources = sources
        self._programs: dict[tuple[str, int], Program] = {}
        self._policies: dict[int, ContactPolicy] = {}

    def program_at(self, name: str, version: int) -> Program:
        """A program version."""
        if (name, version) not in self._programs:
            self._programs[name, version] = self._first(lambda source: source.program_at(name, version))
        return self._programs[name, version]

    def policy_at(self, version: int) -> ContactPolicy:
        """A version of the contact policy."""
        if version not in self._policies:
            self._policies[version] = self._first(lambda source: source.policy_at(version))
        return self._policies[version]

    def _first(self, ask: Callable[[Versions], T]) -> T:
        for source in self._sources[:-1]:
            try:
                return ask(source)
            except NotFound:
                continue
        return ask(self._sources[-1])


class WarehouseVersions:
    """The copies that `nba join` makes."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def program_at(self, name: str, version: int) -> Program:
        """A program version.

        Raises:
            NotFound: the warehouse has no copy.
        """
        rows = self._warehouse.query(
            "SELECT version, document, group_ranges FROM program_versions "
            "WHERE program = $program AND version = $version",
            {"program": name, "version": version},
        ).to_pylist()
        if not rows:
            raise NotFound("program version", f"{name} {version}", "start the ledger, or run `nba join` when it is up")
        return program_from_row(rows[0])

    def latest(self, name: str) -> Program | None:
        """The newest version of a program; None if there is no copy."""
        rows = self._warehouse.query(
            "SELECT max(version) AS version FROM program_versions WHERE program = $program", {"program": name}
        ).to_pylist()
        return self.program_at(name, rows[0]["version"]) if rows[0]["version"] else None

    def policy_at(self, version: int) -> ContactPolicy:
        """A version of the contact policy; version 0 is the empty one.

        Raises:
            NotFound: the warehouse has no copy.
        """
        if version == 0:
            return ContactPolicy()
        rows = self._warehouse.query(
            "SELECT document FROM contact_policy_versions WHERE version = $version", {"version": version}
        ).to_pylist()
        if not rows:
            raise NotFound("contact policy version", str(version), "start the ledger, or run `nba join` when it is up")
        return parse_contact_policy(rows[0]["document"], version)
