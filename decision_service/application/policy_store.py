"""Where programs and the contact policy are published, versioned and audited, as a port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from decision_service.core.model.program import BucketRange, ContactPolicy, Program, ProgramState


@dataclass(frozen=True, slots=True)
class Published:
    """One immutable snapshot of everything that marketers have published."""

    revision: int
    programs: Mapping[str, Program]
    policy: ContactPolicy


class PolicySource(Protocol):
    """The published programs and contact policy."""

    def current(self) -> Published:
        """The latest snapshot known here; cheap, called once per Decide."""
        ...


@dataclass(frozen=True, slots=True)
class Audit:
    """Who published a version, when and with what note."""

    author: str
    at_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProgramVersion:
    """A published version of a program; `document` is the JSON text as published.

    ranges: the buckets of its groups, see `GroupShares`.
    """

    name: str
    version: int
    document: str
    audit: Audit
    ranges: tuple[BucketRange, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A published version of the contact policy; `document` is the JSON text as published."""

    version: int
    document: str
    audit: Audit


class PolicyStore(PolicySource, Protocol):
    """Where programs are published, versioned and audited."""

    def refresh(self) -> bool:
        """Bring `current` up to what is published; whether there was anything new.

        Raises:
            Unavailable: the store did not answer; the snapshot stays.
        """
        ...

    def publish_program(self, document: str, audit: Audit) -> ProgramVersion:
        """Publish the next version (YAML or JSON text); the current version again if nothing changed. A program that is
        paused stays so, unless the document names a state.

        Raises:
            InvalidRequest: listing every mistake at once; nothing is published.
        """
        ...

    def set_program_state(self, name: str, state: ProgramState, audit: Audit) -> ProgramVersion:
        """Publish the latest document in another state; the current version again if it is in that state.

        Raises:
            NotFound: no such program.
        """
        ...

    def publish_policy(self, document: str, audit: Audit) -> int:
        """Publish the contact policy; its new version.

        Raises:
            InvalidRequest: listing every mistake at once; nothing is published.
        """
        ...

    def next_version(self, program: str | None) -> int:
        """What the next version of a program will be, or of the contact policy for None."""
        ...

    def policy_versions(self) -> Sequence[PolicyVersion]:
        """Every published version of the contact policy, oldest first; empty if none was."""
        ...

    def rollback_policy(self, version: int, audit: Audit) -> PolicyVersion:
        """Publish an earlier version's document as a new version.

        Raises:
            NotFound: no such version.
        """
        ...

    def versions(self, name: str) -> Sequence[ProgramVersion]:
        """Every version of a program, oldest first.

        Raises:
            NotFound: no such program.
        """
        ...

    def rollback_program(self, name: str, version: int, audit: Audit) -> ProgramVersion:
        """Publish an earlier version's document as a new version, paused if the program is now.

        Raises:
            NotFound: no such program or version.
        """
        ...

    def program_at(self, name: str, version: int) -> Program:
        """A version as it was published, for replay.

        Raises:
            NotFound: no such program or version.
        """
        ...

    def policy_at(self, version: int) -> ContactPolicy:
        """A contact policy version as it was published; version 0 is the empty policy.

        Raises:
            NotFound: no such version.
        """
        ...
