"""Programs and contact policies in memory: for tests, simulations and one-process use."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from decision_service.application.policy_store import Audit, PolicyVersion, ProgramVersion, Published
from decision_service.core.model.program import ContactPolicy, Program, ProgramState
from decision_service.documents import keeping_pause, normalise, parse_contact_policy, parse_program, with_state
from decision_service.documents.published import (
    CONTACT_POLICY,
    NOTHING,
    Entry,
    contact_policy_of,
    follow,
    published_program,
    unknown_program,
    unknown_version,
)


class MemoryPolicies:
    """`application.policy_store.PolicyStore` of one process."""

    def __init__(self) -> None:
        self._programs: dict[str, list[Entry]] = {}
        self._policies: list[Entry] = []
        self._current = NOTHING
        self._lock = threading.Lock()

    def current(self) -> Published:
        """The latest snapshot."""
        return self._current

    def refresh(self) -> bool:
        """Nothing is newer than the snapshot, ever: publishing replaces it."""
        return False

    def publish_program(self, document: str, audit: Audit) -> ProgramVersion:
        """Publish the next version, or return the current one if nothing changed."""
        with self._lock:
            return self._publish(parse_program(document).name, document, audit)

    def set_program_state(self, name: str, state: ProgramState, audit: Audit) -> ProgramVersion:
        """Publish the latest document in another state, or return the current version if it is in that state."""
        with self._lock:
            return self._publish(name, with_state(self.versions(name)[-1].document, state), audit, keeps_pause=False)

    def publish_policy(self, document: str, audit: Audit) -> int:
        """Publish the contact policy; its version."""
        return self._publish_policy(document, audit).version

    def next_version(self, program: str | None) -> int:
        """One more than there are."""
        return len(self._policies if program is None else self._programs.get(program, ())) + 1

    def policy_versions(self) -> Sequence[PolicyVersion]:
        """Every published version of the contact policy, oldest first."""
        return [PolicyVersion(e.version, e.document, e.audit) for e in self._policies]

    def rollback_policy(self, version: int, audit: Audit) -> PolicyVersion:
        """Publish an earlier version's document as a new version."""
        entry = self._publish_policy(self._policy_entry(version).document, audit)
        return PolicyVersion(entry.version, entry.document, entry.audit)

    def versions(self, name: str) -> Sequence[ProgramVersion]:
        """Every version of a program, oldest first."""
        if name not in self._programs:
            raise unknown_program(name, self._programs)
        return [ProgramVersion(name, e.version, e.document, e.audit, e.ranges) for e in self._programs[name]]

    def rollback_program(self, name: str, version: int, audit: Audit) -> ProgramVersion:
        """Publish an earlier version's document as a new version."""
        return self.publish_program(with_state(self._entry(name, version).document, ProgramState.LIVE), audit)

    def program_at(self, name: str, version: int) -> Program:
        """A version as it was published."""
        return published_program(self._entry(name, version))

    def policy_at(self, version: int) -> ContactPolicy:
        """A contact policy version as it was published."""
        if version == 0:
            return ContactPolicy()
        return contact_policy_of(self._policy_entry(version).document, version)

    def _publish(self, name: str, document: str, audit: Audit, keeps_pause: bool = True) -> ProgramVersion:
        entries = self._programs.setdefault(name, [])
        if keeps_pause:
            document = keeping_pause(document, entries[-1].document if entries else None)
        entry = _append(entries, normalise(document), audit, parse_program(document))
        self._replace({**self._current.programs, name: published_program(entry)}, self._current.policy)
        return ProgramVersion(name, entry.version, entry.document, entry.audit, entry.ranges)

    def _publish_policy(self, document: str, audit: Audit) -> Entry:
        parse_contact_policy(document)
        with self._lock:
            entry = _append(self._policies, normalise(document), audit)
            self._replace(dict(self._current.programs), contact_policy_of(entry.document, entry.version))
        return entry

    def _policy_entry(self, version: int) -> Entry:
        if not 0 < version <= len(self._policies):
            raise unknown_version(CONTACT_POLICY, version, len(self._policies))
        return self._policies[version - 1]

    def _entry(self, name: str, version: int) -> Entry:
        if name not in self._programs:
            raise unknown_program(name, self._programs)
        entries = self._programs[name]
        if not 0 < version <= len(entries):
            raise unknown_version(f"program {name}", version, len(entries))
        return entries[version - 1]

    def _replace(self, programs: dict[str, Program], policy: ContactPolicy) -> None:
        revision = sum(map(len, self._programs.values())) + len(self._policies)
        self._current = Published(revision, programs, policy)


def _append(entries: list[Entry], document: str, audit: Audit, draft: Program | None = None) -> Entry:
    latest = entries[-1] if entries else None
    if latest is None or latest.document != document:
        ranges = follow(draft, latest, None) if draft is not None else ()
        entries.append(Entry(len(entries) + 1, document, audit, ranges))
    return entries[-1]
