"""What a ledger is known by, beside what it holds: its id, the key of its draws, its number of shards, its state.

nba:installation     hash    id, key (hexadecimal), unnamed ("1": it was made by a release that gave no id),
                             state, problem (why it was refused)
nba:shards           string  how many shards it has
nba:{sN}:ledger      string  the id, once the ledger is in service; read with every customer's state, so that a
                             server that lost everything, or one slot of it, is noticed by the very next read
"""

from __future__ import annotations

import secrets

from decision_service.adapters.redis.wire import Script, Wire
from decision_service.core.choice.draw import KEY_BYTES
from decision_service.core.model.errors import NbaError
from decision_service.core.model.installation import Installation, LedgerState

_INSTALLATION = "nba:installation"
_SHARDS = "nba:shards"

# KEYS installation.  ARGV id, key, unnamed
_CREATE = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'key', ARGV[2], 'unnamed', ARGV[3], 'state', 'NEW', 'problem', '')
end
return redis.call('HGETALL', KEYS[1])
""")

# KEYS installation.  ARGV id, state, problem: nothing happens if another ledger has taken this one's place.
_MARK = Script("""
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'problem', ARGV[3])
return 1
""")


# KEYS installation, shards.  ARGV id of the one that is there, id, key, unnamed, shards
_REPLACE = Script("""
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'state') == 'READY' then return 0 end
redis.call(
  'HSET', KEYS[1], 'id', ARGV[2], 'key', ARGV[3], 'unnamed', ARGV[4], 'state', 'READY', 'problem', ''
)
redis.call('SET', KEYS[2], ARGV[5])
return 1
""")


class UnsafeLedger(NbaError):
    """The server could lose or evict what it acknowledged."""


def in_service_key(shard: int) -> str:
    """The key that names the ledger in each shard."""
    return f"nba:{{s{shard}}}:ledger"


def check_shards(wire: Wire, shards: int) -> None:
    """Compare the number of shards, writing nothing.

    Raises:
        UnsafeLedger: the ledger was made with another number: customers would be looked for where they are not, their
            contacts forgotten and their log entries never loaded.
    """
    made_with = wire.call("GET", _SHARDS)
    if made_with is not None and int(made_with) != shards:
        raise UnsafeLedger(f"this ledger has {int(made_with)} shards, not {shards}; set NBA_SHARDS={int(made_with)}")


class RedisInstallation:
    """Creates it once, tells it, and puts it in service. Every method raises Unavailable if the server is silent."""

    def __init__(self, url: str, shards: int, deadline_ms: int) -> None:
        self._wire, self._shards = Wire(url, deadline_ms, "ledger"), shards

    def claim(self) -> Installation:
        """The ledger's installation; a new ledger gets an id, a key and its number of shards.

        Raises:
            UnsafeLedger: see `check_shards`.
        """
        if (found := self.look()) is None:
            # Shards without an installation are of a release that had none. They are asked for before it is made, and
            # set after: whoever finds them set by a rival finds the rival's installation too.
            unnamed = "1" if self._wire.call("GET", _SHARDS) is not None else ""
            made = [secrets.token_hex(8), secrets.token_hex(KEY_BYTES), unnamed]
            found = _installation(self._wire.run(_CREATE, [_INSTALLATION], made))
        self._wire.call("SET", _SHARDS, self._shards, "NX")
        check_shards(self._wire, self._shards)
        return found

    def look(self) -> Installation | None:
        """The installation; None if nobody has claimed the ledger."""
        answer = self._wire.call("HGETALL", _INSTALLATION)
        return _installation(answer) if answer else None

    def put_in_service(self, installation: Installation) -> Installation:
        """Let contacts be decided on it, in every shard; may be repeated."""
        for shard in range(self._shards):
            self._wire.call("SET", in_service_key(shard), installation.ledger_id)
        return self._marked(installation, LedgerState.READY, "")

    def refuse(self, installation: Installation, problem: str) -> Installation:
        """Say why no contact may be decided on it."""
        return self._marked(installation, LedgerState.REFUSED, problem)

    def resume(self, instead_of: Installation, installation: Installation) -> Installation:
        """Put in service the ledger that was lost, in the place of one that is not; what is in service then. Its shards
        must have been put in service before, see `RedisRestore.put_in_service`."""
        arguments = [
            instead_of.ledger_id,
            installation.ledger_id,
            installation.draw_key.hex(),
            "1" if installation.unnamed_before else "",
            self._shards,
        ]
        self._wire.run(_REPLACE, [_INSTALLATION, _SHARDS], arguments)
        return self.look() or instead_of

    def has_shards(self) -> bool:
        """Whether a ledger of any release was made here."""
        return self._wire.call("GET", _SHARDS) is not None

    def time_ms(self) -> int:
        """The server's clock, UTC epoch milliseconds."""
        return milliseconds(self._wire.call("TIME"))

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _marked(self, installation: Installation, state: LedgerState, problem: str) -> Installation:
        self._wire.run(_MARK, [_INSTALLATION], [installation.ledger_id, state.value, problem])
        return self.look() or installation


def milliseconds(time: list[bytes]) -> int:
    """What Redis' TIME answers, seconds and microseconds, in milliseconds."""
    return int(time[0]) * 1000 + int(time[1]) // 1000


def _installation(flat: list[bytes]) -> Installation:
    fields = {flat[i]: flat[i + 1].decode() for i in range(0, len(flat), 2)}
    return Installation(
        ledger_id=fields[b"id"],
        draw_key=bytes.fromhex(fields[b"key"]),
        unnamed_before=bool(fields[b"unnamed"]),
        state=LedgerState(fields[b"state"]),
        problem=fields[b"problem"],
    )
