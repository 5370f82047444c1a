"""Programs and contact policies in Redis: immutable versions in lists, one revision that every publication moves.

Every worker looks at the revision a few times a second and reads the rest only when it moved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from decision_service.adapters.redis.wire import Script, Wire
from decision_service.application.policy_store import Audit, PolicyVersion, ProgramVersion, Published
from decision_service.core.model.errors import InvalidRequest, NotFound
from decision_service.core.model.program import ContactPolicy, Program, ProgramState
from decision_service.documents import keeping_pause, normalise, parse_contact_policy, parse_program, with_state
from decision_service.documents.published import (
    CONTACT_POLICY,
    NOTHING,
    Entry,
    contact_policy_of,
    follow,
    published_program,
    snapshot,
    unknown_program,
    unknown_version,
)

_REVISION = "nba:{policies}:revision"
_PROGRAMS = "nba:{policies}:programs"  # hash: name → latest entry
_POLICY = "nba:{policies}:contact_policy"  # list of entries
_PROGRAM = "nba:{policies}:program:"  # + name: list of entries

# The list's length is the version to compare: nobody else published in between. A repetition finds it moved.
_APPEND = Script("""
if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[3], ARGV[2]) end
redis.call('INCR', KEYS[3])
return 1
""")

# KEYS list.  ARGV length to reach
_FILL = Script("""
for _ = redis.call('LLEN', KEYS[1]) + 1, tonumber(ARGV[1]) do redis.call('RPUSH', KEYS[1], '') end
return redis.call('LLEN', KEYS[1])
""")

# KEYS list, programs.  ARGV name or '' (nothing is in force by it), entry…
_RESTORE = Script("""
redis.call('DEL', KEYS[1])
for i = 2, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[#ARGV]) end
return #ARGV - 1
""")

# The server's time, as no revision is to come back that somebody has seen before what was published was lost.
_ANNOUNCE = Script("""
local time = redis.call('TIME')
local revision = tonumber(redis.call('GET', KEYS[1]) or '0')
redis.call('SET', KEYS[1], string.format('%.0f', math.max(revision + 1, time[1] * 1000 + math.floor(time[2] / 1000))))
""")

_LATEST = Script("return {redis.call('LLEN', KEYS[1]), redis.call('LINDEX', KEYS[1], -1)}")

_EVERYTHING = Script("""
return {redis.call('GET', KEYS[1]), redis.call('HGETALL', KEYS[2]), redis.call('LINDEX', KEYS[3], -1)}
""")


class RedisPolicies:
    """`application.policy_store.PolicyStore`, shared by all processes. Call `refresh` a few times a second from one
    thread.

    While Redis is down, `current` keeps serving the last snapshot; everything else raises Unavailable. So it does when
    Redis has lost what was published, until something is again: whoever is asked then has no answer of his own.
    """

    def __init__(self, url: str, deadline_ms: int) -> None:
        self._wire = Wire(url, deadline_ms, "policy store")
        self._current = NOTHING
        self._problems: Mapping[str, str] = {}
        self._is_lost = False
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, int], Entry] = {}  # of a list's key and version; versions never change

    def current(self) -> Published:
        """The latest snapshot read by `refresh`."""
        return self._current

    @property
    def problems(self) -> Mapping[str, str]:
        """What is published but cannot be read by this release, and why; an earlier version stays in force."""
        return self._problems

    def refresh(self) -> bool:
        """Read what was published since the last time; whether there was anything.

        Raises:
            Unavailable: Redis did not answer; the snapshot stays.
        """
        with self._lock:
            moved = self._wire.call("GET", _REVISION)
            if moved is None:
                self._is_lost = self._current is not NOTHING
                self._entries.clear()  # a version that was never copied may come to mean another document
                return False
            if int(moved) == self._current.revision and not self._is_lost:
                return False
            revision, flat, policy = self._wire.run(_EVERYTHING, [_REVISION, _PROGRAMS, _POLICY], [])
            programs = {flat[i].decode(errors="replace"): flat[i + 1] for i in range(0, len(flat), 2)}
            self._current, self._problems = snapshot(
                self._current, int(revision or 0), programs, policy or None, self._history
            )
            self._is_lost = False
            return True

    def publish_program(self, document: str, audit: Audit) -> ProgramVersion:
        """Publish the next version, or return the current one if nothing changed."""
        name = parse_program(document).name
        return self._publish(name, lambda latest: keeping_pause(document, latest), audit)

    def set_program_state(self, name: str, state: ProgramState, audit: Audit) -> ProgramVersion:
        """Publish the latest document in another state, or return the current version if it is in that state."""

        def in_state(latest: str | None) -> str:
            if latest is None:
                raise self._unknown_program(name)
            return with_state(latest, state)

        return self._publish(name, in_state, audit)

    def publish_policy(self, document: str, audit: Audit) -> int:
        """Publish the contact policy; its version."""
        return self._publish_policy(document, audit).version

    def next_version(self, program: str | None) -> int:
        """One more than there are, those of another ledger among them; see `go_on_after`."""
        return int(self._wire.call("LLEN", _POLICY if program is None else _PROGRAM + program)) + 1

    def policy_versions(self) -> Sequence[PolicyVersion]:
        """Every published version of the contact policy, oldest first."""
        entries = [Entry.from_json(text) for text in self._history(None)]
        return [PolicyVersion(e.version, e.document, e.audit) for e in entries]

    def rollback_policy(self, version: int, audit: Audit) -> PolicyVersion:
        """Publish an earlier version's document as a new version."""
        entry = self._publish_policy(self._policy_entry(version).document, audit)
        return PolicyVersion(entry.version, entry.document, entry.audit)

    def versions(self, name: str) -> Sequence[ProgramVersion]:
        """Every version of a program, oldest first."""
        entries = [Entry.from_json(text) for text in self._history(name)]
        if not entries:
            raise self._unknown_program(name)
        return [ProgramVersion(name, e.version, e.document, e.audit, e.ranges) for e in entries]

    def rollback_program(self, name: str, version: int, audit: Audit) -> ProgramVersion:
        """Publish an earlier version's document as a new version."""
        return self.publish_program(with_state(self._program_entry(name, version).document, ProgramState.LIVE), audit)

    def program_at(self, name: str, version: int) -> Program:
        """A version as it was published; read from Redis once."""
        return published_program(self._program_entry(name, version))

    def policy_at(self, version: int) -> ContactPolicy:
        """A contact policy version as it was published; read from Redis once."""
        if version == 0:
            return ContactPolicy()
        return contact_policy_of(self._policy_entry(version).document, version)

    def go_on_after(self, programs: Mapping[str, int], policy: int) -> None:
        """Let the next version of each program, and of the contact policy, come after the one given; may be repeated.

        The versions between are of another ledger, and not known here: their entries stay empty.
        """
        for key, latest in [(_PROGRAM + name, version) for name, version in programs.items()] + [(_POLICY, policy)]:
            self._wire.run(_FILL, [key], [latest])
        self.announce()

    def restore(self, program: str | None, versions: Mapping[int, Entry], latest: int) -> None:
        """Bring back the versions of a program (None: of the contact policy) as they were; may be repeated.

        latest: the highest there was. Versions that are lost stay empty; without its latest a program is not in force.
        Others see it once all is brought back and announced.
        """
        entries = [versions[v].to_json() if v in versions else "" for v in range(1, latest + 1)]
        in_force = program if program is not None and latest in versions else ""
        key = _POLICY if program is None else _PROGRAM + program
        self._wire.run(_RESTORE, [key, _PROGRAMS], [in_force, *entries])

    def announce(self) -> None:
        """Let everybody look at what there is."""
        self._wire.run(_ANNOUNCE, [_REVISION], [])

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _publish_policy(self, document: str, audit: Audit) -> Entry:
        parse_contact_policy(document)
        return self._append(_POLICY, lambda _: document, audit)

    def _publish(self, name: str, following: Callable[[str | None], str], audit: Audit) -> ProgramVersion:
        entry = self._append(_PROGRAM + name, following, audit, name)
        return ProgramVersion(name, entry.version, entry.document, entry.audit, entry.ranges)

    def _program_entry(self, name: str, version: int) -> Entry:
        entry = self._entry(_PROGRAM + name, version)
        if entry is None:
            known = len(self._history(name))
            latest = self._wire.call("LLEN", _PROGRAM + name)
            raise unknown_version(f"program {name}", version, latest) if known else self._unknown_program(name)
        return entry

    def _policy_entry(self, version: int) -> Entry:
        entry = self._entry(_POLICY, version)
        if entry is None:
            raise unknown_version(CONTACT_POLICY, version, self._wire.call("LLEN", _POLICY))
        return entry

    def _unknown_program(self, name: str) -> NotFound:
        return unknown_program(name, [known.decode(errors="replace") for known in self._wire.call("HKEYS", _PROGRAMS)])

    def _entry(self, key: str, version: int) -> Entry | None:
        if version < 1:
            return None
        if (key, version) not in self._entries:
            text = self._wire.call("LINDEX", key, version - 1)
            if not text:
                return None
            self._entries[key, version] = Entry.from_json(text)
        return self._entries[key, version]

    def _history(self, program: str | None) -> list[bytes]:
        entries: list[bytes] = self._wire.call("LRANGE", _POLICY if program is None else _PROGRAM + program, 0, -1)
        return [entry for entry in entries if entry]

    def _append(self, key: str, following: Callable[[str | None], str], audit: Audit, program: str = "") -> Entry:
        """Publish what follows the latest document, be it that somebody else publishes meanwhile."""
        while True:  # each round that fails is one in which another publisher succeeded
            length, text = self._wire.run(_LATEST, [key], [])
            latest = _readable(text)
            document = normalise(following(None if latest is None else latest.document))
            if latest is not None and latest.document == document:
                break
            before = self._current.programs.get(program)
            ranges = follow(parse_program(document), latest, before) if program else ()
            latest = Entry(length + 1, document, audit, ranges)
            arguments = [length, latest.to_json(), program]
            if self._wire.run(_APPEND, [key, _PROGRAMS, _REVISION], arguments):
                break
        self.refresh()
        return latest


def _readable(text: bytes | None) -> Entry | None:
    """The latest entry, None if there is none or a later release wrote it in another form: then publish anew."""
    if not text:
        return None
    try:
        return Entry.from_json(text)
    except InvalidRequest:
        return None
