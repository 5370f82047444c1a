"""What was published, by ledger and version: from the ledger itself, or from the warehouse's copies of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from decision_service.application.ports import Warehouse
from decision_service.core.model.errors import NotFound
from decision_service.core.model.program import ContactPolicy, Program
from decision_service.core.what_if.simulate import Versions
from decision_service.documents import parse_contact_policy
from decision_service.documents.published import program_from_row

T = TypeVar("T")


class VersionsByLedger:
    """What each ledger published. Versions count for one ledger: the ledger that answers now is asked only for those
    of decisions that bear one of its ids.

    own: None if it does not answer. own_ids: `Installation.known_as`.
    """

    def __init__(self, warehouse: Warehouse, own: Versions | None = None, own_ids: Collection[str] = ()) -> None:
        self._warehouse, self._own, self._own_ids = warehouse, own, own_ids
        self._known: dict[str, KnownVersions] = {}

    def of(self, ledger_id: str) -> Versions:
        """Those of the decisions that bear this id; empty: of a release that gave none."""
        if ledger_id not in self._known:
            copies = WarehouseVersions(self._warehouse, ledger_id)
            own = (self._own,) if self._own is not None and ledger_id in self._own_ids else ()
            self._known[ledger_id] = KnownVersions(*own, copies)
        return self._known[ledger_id]

    def program_at(self, name: str, version: int, ledger_id: str) -> Program:
        """A program version; raises NotFound."""
        return self.of(ledger_id).program_at(name, version)


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
    """The copies that `nba join` makes of what one ledger published."""

    def __init__(self, warehouse: Warehouse, ledger_id: str = "") -> None:
        self._warehouse, self._ledger_id = warehouse, ledger_id

    def program_at(self, name: str, version: int) -> Program:
        """A program version.

        Raises:
            NotFound: the warehouse has no copy.
        """
        rows = self._warehouse.query(
            "SELECT version, document, group_ranges FROM program_versions "
            "WHERE coalesce(ledger_id, '') = $ledger AND program = $program AND version = $version",
            {"ledger": self._ledger_id, "program": name, "version": version},
        ).to_pylist()
        if not rows:
            raise NotFound("program version", f"{name} {version}", self._hint)
        return program_from_row(rows[0])

    def policy_at(self, version: int) -> ContactPolicy:
        """A version of the contact policy; version 0 is the empty one.

        Raises:
            NotFound: the warehouse has no copy.
        """
        if version == 0:
            return ContactPolicy()
        rows = self._warehouse.query(
            "SELECT document FROM contact_policy_versions "
            "WHERE coalesce(ledger_id, '') = $ledger AND version = $version",
            {"ledger": self._ledger_id, "version": version},
        ).to_pylist()
        if not rows:
            raise NotFound("contact policy version", str(version), self._hint)
        return parse_contact_policy(rows[0]["document"], version)

    @property
    def _hint(self) -> str:
        whose = f"ledger {self._ledger_id}" if self._ledger_id else "a ledger without an id"
        return f"of {whose}; start that ledger, or run `nba join` when it is up"


def latest_program(warehouse: Warehouse, name: str) -> Program | None:
    """The version of a program that was published last, by whichever ledger; None if there is no copy."""
    rows = warehouse.query(
        "SELECT version, document, group_ranges FROM program_versions WHERE program = $program "
        "ORDER BY published_at DESC, version DESC LIMIT 1",
        {"program": name},
    ).to_pylist()
    return program_from_row(rows[0]) if rows else None
