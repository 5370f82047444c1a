"""The loader's end of the ledger's log streams on Redis."""

from __future__ import annotations

from collections.abc import Mapping

from decision_service.adapters.redis.installation import check_shards
from decision_service.adapters.redis.keys import Keys
from decision_service.adapters.redis.wire import Wire
from decision_service.application.ports import LogEntry
from decision_service.contract.codec import decode_entry

_READ_BYTES = 32 * 1024 * 1024
"""About how much of the log one read brings into memory."""

_SEQUENCE_BITS = 20  # Redis numbers entries of one millisecond from 0; a million of them does not happen


class RedisLog:
    """The LogReader port: the loader's end of the same streams."""

    def __init__(self, url: str, shards: int, deadline_ms: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")
        self._keys = [Keys(shard) for shard in range(shards)]

    @property
    def shards(self) -> int:
        """How many log streams there are."""
        return len(self._keys)

    def check_shards(self) -> None:
        """See `RedisLedger.check_shards`."""
        check_shards(self._wire, len(self._keys))

    def read(self, after: Mapping[int, int], limit: int) -> list[LogEntry]:
        """See the port."""
        entries: list[LogEntry] = []
        size = 0
        for shard, keys in enumerate(self._keys):
            start = f"({id_of(after[shard])}" if shard in after else "-"
            for stream_id, fields in self._wire.call("XRANGE", keys.log, start, "+", "COUNT", limit):
                size += len(fields[1])
                entries.append(LogEntry(shard, sequence_of(stream_id), *decode_entry(fields[1])))
            if size > _READ_BYTES:
                break  # the other shards have their turn when this is loaded and trimmed
        return entries

    def trim(self, through: Mapping[int, int]) -> None:
        """See the port."""
        replies = [
            self._wire.begin("XTRIM", self._keys[shard].log, "MINID", id_of(sequence + 1))
            for shard, sequence in through.items()
        ]
        for reply in replies:
            reply.result()

    def lengths(self) -> list[int]:
        """See the port."""
        replies = [self._wire.begin("XLEN", keys.log) for keys in self._keys]
        return [reply.result() for reply in replies]

    def backlog(self) -> int:
        """See the port."""
        return sum(self.lengths())

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()


def sequence_of(stream_id: bytes) -> int:
    """`LogEntry.sequence` of an entry's id."""
    milliseconds, _, number = stream_id.partition(b"-")
    return int(milliseconds) << _SEQUENCE_BITS | int(number)


def id_of(sequence: int) -> str:
    """The inverse of `sequence_of`."""
    return f"{sequence >> _SEQUENCE_BITS}-{sequence & ((1 << _SEQUENCE_BITS) - 1)}"
