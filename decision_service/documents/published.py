"""Published documents: how one is stored, and how what is stored becomes the snapshot that Decide reads."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

from decision_service.application.policy_store import Audit, Published
from decision_service.core.guardrails.groups import following
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.program import BucketRange, ContactPolicy, Group, Program
from decision_service.documents import parse_contact_policy, stored_program
from decision_service.documents.fields import nearest

log = logging.getLogger(__name__)

Stored: TypeAlias = str | bytes
_Parsed = TypeVar("_Parsed", Program, ContactPolicy)

CONTACT_POLICY = "contact policy"
NOTHING = Published(revision=0, programs={}, policy=ContactPolicy())

# Versions never change, so the parsed form of one may be shared by all who ask, and is the same object each time.
_program_of = lru_cache(maxsize=1024)(stored_program)
contact_policy_of = lru_cache(maxsize=256)(parse_contact_policy)


@dataclass(frozen=True, slots=True)
class Entry:
    """A published document: canonical JSON and its audit. `version` counts from 1.

    ranges: of a program, see `GroupShares`; entries of earlier releases have none.
    """

    version: int
    document: str
    audit: Audit
    ranges: tuple[BucketRange, ...] = ()

    def to_json(self) -> str:
        """As stored."""
        return json.dumps(
            {
                "version": self.version,
                "document": self.document,
                "author": self.audit.author,
                "at_ms": self.audit.at_ms,
                "note": self.audit.note,
                "ranges": ranges_to_data(self.ranges),
            }
        )

    @classmethod
    def from_json(cls, text: Stored) -> Entry:
        """From what is stored; keys of later releases are ignored.

        Raises:
            InvalidRequest: it is not an entry.
        """
        try:
            stored = json.loads(text)
            audit = Audit(str(stored["author"]), int(stored["at_ms"]), str(stored["note"]))
            ranges = ranges_from_data(stored.get("ranges", ()))
            return cls(int(stored["version"]), str(stored["document"]), audit, ranges)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequest.of("entry", f"what is stored is no published document: {error!r}") from error


def published_program(entry: Entry) -> Program:
    """The program of an entry.

    Raises:
        InvalidRequest: this release cannot read it.
    """
    return _program_of(entry.document, entry.version, entry.ranges)


def ranges_to_data(ranges: Iterable[BucketRange]) -> list[tuple[str, int, int]]:
    """As JSON has them: [group, first, end], the end exclusive."""
    return [(r.group.value, r.first, r.end) for r in ranges]


def ranges_from_data(data: Iterable[Sequence[str | int]]) -> tuple[BucketRange, ...]:
    """From what `ranges_to_data` gave.

    Raises:
        ValueError, TypeError: it is something else.
    """
    return tuple(BucketRange(Group(str(group)), int(first), int(end)) for group, first, end in data)


def program_from_row(row: Mapping[str, Any]) -> Program:
    """The program of a row of the warehouse's `program_versions`: its version, document and group_ranges.

    Raises:
        InvalidRequest: this release cannot read it.
    """
    try:
        ranges = ranges_from_data(json.loads(row["group_ranges"] or "[]"))
    except (ValueError, TypeError) as error:
        raise InvalidRequest.of("group_ranges", f"these are no ranges of buckets: {error!r}") from error
    return stored_program(row["document"], row["version"], ranges)


def follow(draft: Program, latest: Entry | None, in_force: Program | None) -> tuple[BucketRange, ...]:
    """The buckets that a draft's groups get when it follows the latest entry; one of a later release that cannot be
    read counts as if it had left those of the version in force."""
    before = in_force
    if latest is not None:
        try:
            before = published_program(latest)
        except InvalidRequest:
            log.warning("the groups of %s follow its version in force: the latest cannot be read", draft.name)
    return following(draft.groups, before.groups).ranges if before is not None else ()


def unknown_program(name: str, published: Iterable[str]) -> NotFound:
    """Nothing is published under this name."""
    names = sorted(published)
    hint = nearest(name, names).removeprefix("; ") or f"published are {', '.join(names) or 'none'}"
    return NotFound("program", name, hint)


def unknown_version(what: str, version: int, latest: int) -> NotFound:
    """The program or contact policy is published, but not in this version."""
    versions = f"its versions are 1 to {latest}" if latest > 1 else "it has version 1 only" if latest else "it has none"
    return NotFound(what, f"version {version}", versions)


def snapshot(
    before: Published,
    revision: int,
    programs: Mapping[str, Stored],
    policy: Stored | None,
    history: Callable[[str | None], Sequence[Stored]],
) -> tuple[Published, dict[str, str]]:
    """The snapshot of the latest stored entries, and what is wrong with those that cannot be read.

    One that cannot be read, such as a document of a later release, is replaced by the newest version that can be:
    `history` gives all entries of a program, or of the contact policy for None, oldest first. Without any, what
    `before` has stays. A contact policy that nobody here can read leaves no programs: nobody is contacted without it.
    """
    problems: dict[str, str] = {}
    readable: dict[str, Program] = {}
    for name, text in programs.items():
        found, problem = _newest(text, partial(history, name), published_program)
        if problem:
            problems[f"program {name}"] = problem
        if found := found or before.programs.get(name):
            readable[name] = found
    if policy is None:
        return Published(revision, readable, ContactPolicy()), problems
    in_force, problem = _newest(policy, partial(history, None), _contact_policy)
    if problem:
        problems[CONTACT_POLICY] = problem
    if in_force is None and before.policy.version == 0:
        readable = {}
    for part, problem in problems.items():
        log.warning("the published %s cannot be read, an earlier version stays in force: %s", part, problem)
    return Published(revision, readable, in_force or before.policy), problems


def _newest(
    text: Stored, history: Callable[[], Sequence[Stored]], parse: Callable[[Entry], _Parsed]
) -> tuple[_Parsed | None, str]:
    """The entry parsed, else the newest of its history that can be; and what is wrong with the entry."""
    try:
        return parse(Entry.from_json(text)), ""
    except InvalidRequest as error:
        problem = str(error)
    for earlier in reversed(history()):
        try:
            return parse(Entry.from_json(earlier)), problem
        except InvalidRequest:
            continue
    return None, problem


def _contact_policy(entry: Entry) -> ContactPolicy:
    return contact_policy_of(entry.document, entry.version)
