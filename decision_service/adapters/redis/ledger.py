"""The ledger on Redis: all keys of a customer, and the log stream its records go to, share one hash tag.

    nba:{sN}:c:CUSTOMER             hash    v → version, c:DECISION → contact, x:REASON:CHANNEL → "until;" suppression,
                                            e:NAME → "total;ms,ms,…" newest first
    nba:{sN}:q:CUSTOMER\\0REQUEST    string  log entry of the decision under that request id
    nba:{sN}:d:DECISION             string  the key above, so that a decision is found by its own id
    nba:{sN}:a:DECISION             string  the activation status reported
    nba:{sN}:i:CUSTOMER\\0ID         string  an outcome or event id already recorded
    nba:{sN}:log                    stream  entries in the order of commit, field `b`

Scripts compare and set; they hold no cap arithmetic. Each touches one hash tag, so one cluster slot, and answers a
repetition of itself with what the first run did.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from decision_service.adapters.redis.installation import check_shards, in_service_key, milliseconds
from decision_service.adapters.redis.wire import Reply, Script, Wire
from decision_service.application.ports import Committed, Earlier, LedgerRead, LogEntry, Moved
from decision_service.contract.codec import (
    decode_contact,
    decode_entry,
    decode_suppression,
    encode_contact,
    encode_contact_status,
    encode_entry,
    encode_suppression,
)
from decision_service.core.guardrails.effects import FATES, is_news
from decision_service.core.model.customer import (
    MAX_RECENT_EVENTS,
    Contact,
    ContactStatus,
    CustomerState,
    EventCounter,
    Suppression,
)
from decision_service.core.model.errors import NotFound
from decision_service.core.model.record import Activation, ActivationStatus, DecisionRecord, Event, Outcome

# KEYS state, request, ledger
_READ = Script("""
return {
  redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]), redis.call('TIME')
}
""")

# KEYS state, request, decision, log.  ARGV expected version, ttl ms, entry, contact field or '', contact, dropped…
_COMMIT = Script("""
local earlier = redis.call('GET', KEYS[2])
if earlier then return {'earlier', earlier} end
if ARGV[4] ~= '' then
  local version = redis.call('HGET', KEYS[1], 'v') or '0'
  if version ~= ARGV[1] then return {'moved', redis.call('HGETALL', KEYS[1])} end
  redis.call('HSET', KEYS[1], ARGV[4], ARGV[5])
  for i = 6, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  redis.call('HINCRBY', KEYS[1], 'v', 1)
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
redis.call('SET', KEYS[3], KEYS[2], 'PX', ARGV[2])
redis.call('XADD', KEYS[4], '*', 'b', ARGV[3])
return {'committed'}
""")

# KEYS state, activation, log.  ARGV status, ttl ms, entry, contact field, contact or '', status field of a fate or ''
_ACTIVATE = Script("""
local before = redis.call('GET', KEYS[2])
local follows = before == 'SENT' and ARGV[6] ~= ''
if before and not follows then return before end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[5] ~= '' then
  local sent = follows and redis.call('HGET', KEYS[1], ARGV[4])
  -- A message followed by one of its fields is that message with the field replaced: the time of sending stays.
  redis.call('HSET', KEYS[1], ARGV[4], sent and sent .. ARGV[6] or ARGV[5])
  redis.call('HINCRBY', KEYS[1], 'v', 1)
end
redis.call('XADD', KEYS[3], '*', 'b', ARGV[3])
return false
""")

# KEYS state, id, log.  ARGV ttl ms, entry, occurred ms, most times kept, most fields, number of counters, counter
# field…, (suppression field, value)…; of two suppressions of one field the one that holds longer stays.
_OCCUR = Script("""
if not redis.call('SET', KEYS[2], '1', 'PX', ARGV[1], 'NX') then return 0 end
local function count(field, always)
  local counter = redis.call('HGET', KEYS[1], field)
  if not counter and not always and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return end
  local total, times = 0, {}
  if counter then
    total = tonumber(string.match(counter, '^%d+'))
    for ms in string.gmatch(string.match(counter, ';(.*)$'), '%-?%d+') do times[#times + 1] = ms end
  end
  local at = #times + 1
  while at > 1 and tonumber(times[at - 1]) < tonumber(ARGV[3]) do at = at - 1 end
  table.insert(times, at, ARGV[3])
  while #times > tonumber(ARGV[4]) do table.remove(times) end
  redis.call('HSET', KEYS[1], field, (total + 1) .. ';' .. table.concat(times, ','))
end
local function until_ms(value)
  local text = string.match(value, '^([^;]*);')
  return text == '' and math.huge or tonumber(text)
end
local last = 6 + tonumber(ARGV[6])
for i = 7, last do count(ARGV[i], i > 7) end
for i = last + 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if not held or until_ms(held) < until_ms(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
if #ARGV > 7 then redis.call('HINCRBY', KEYS[1], 'v', 1) end
redis.call('XADD', KEYS[3], '*', 'b', ARGV[2])
return 1
""")

_SUPPRESS = Script("""
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'v', 1)
""")

_UNSUPPRESS = Script("""
local lifted = redis.call('HDEL', KEYS[1], unpack(ARGV))
if lifted > 0 then redis.call('HINCRBY', KEYS[1], 'v', 1) end
return lifted
""")

_READ_BYTES = 32 * 1024 * 1024
"""About how much of the log one read brings into memory."""

_MOST_FIELDS = 2_000
"""Event names beyond this are logged but no longer counted: every Decide reads the whole of a customer's state. What
pauses go by is counted all the same, as a guardrail must not give way to noise."""

_SEQUENCE_BITS = 20  # Redis numbers entries of one millisecond from 0; a million of them does not happen


def shard_of(customer_id: str, shards: int) -> int:
    """The customer's shard in [0, shards): CRC-32 of the id, the same in every process."""
    return zlib.crc32(customer_id.encode()) % shards


class _Keys:
    def __init__(self, shard: int) -> None:
        self._tag = f"nba:{{s{shard}}}"
        self.log = f"{self._tag}:log"
        self.ledger = in_service_key(shard)

    def customer(self, customer_id: str) -> str:
        return f"{self._tag}:c:{customer_id}"

    def request(self, customer_id: str, request_id: str) -> str:
        return f"{self._tag}:q:{customer_id}\0{request_id}"

    def decision(self, decision_id: str) -> str:
        return f"{self._tag}:d:{decision_id}"

    def activation(self, decision_id: str) -> str:
        return f"{self._tag}:a:{decision_id}"

    def occurrence(self, customer_id: str, occurrence_id: str) -> str:
        return f"{self._tag}:i:{customer_id}\0{occurrence_id}"


class _PendingRead:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def result(self) -> LedgerRead:
        fields, earlier, ledger, time = self._reply.result()
        ledger_id = "" if ledger is None else ledger.decode()
        return LedgerRead(_state(fields), None if earlier is None else _record(earlier), ledger_id, milliseconds(time))


class RedisLedger:
    """The Ledger port. Times are the service's; only retention (`PX`) is on the server's clock."""

    def __init__(self, url: str, shards: int, deadline_ms: int, retention_s: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")
        self._keys = [_Keys(shard) for shard in range(shards)]
        self._retention_ms = retention_s * 1000

    def check_shards(self) -> None:
        """See `installation.check_shards`."""
        check_shards(self._wire, len(self._keys))

    def check_durability(self) -> list[str]:
        """What is unsafe about the server's settings, one sentence each; empty if nothing is.

        Raises:
            Unavailable: it does not answer.
        """
        settings = {name: _config(self._wire, name) for name in ("appendonly", "appendfsync", "maxmemory-policy")}
        problems = []
        if settings["appendonly"] not in ("yes", None):
            problems.append("appendonly is off: a restart forgets contacts and acknowledged decisions")
        if settings["maxmemory-policy"] not in ("noeviction", None):
            problems.append(
                f"maxmemory-policy is {settings['maxmemory-policy']}: contacts may be evicted, so caps break"
            )
        return problems

    def new_decision_id(self, customer_id: str, now_ms: int) -> str:
        """`SHARD-TIME+RANDOM` in hexadecimal: found by itself, roughly sorted by time."""
        return f"{shard_of(customer_id, len(self._keys)):02x}-{max(now_ms, 0):011x}{secrets.token_hex(8)}"

    def begin_read(self, customer_id: str, request_id: str) -> _PendingRead:
        """See the port."""
        keys = self._of(customer_id)
        read = [keys.customer(customer_id), keys.request(customer_id, request_id), keys.ledger]
        command = _READ.command(read, [])
        return _PendingRead(self._wire.begin(*command, script=_READ))

    def commit(
        self, record: DecisionRecord, reserve: Contact | None, expected_version: int, drop: Sequence[str] = ()
    ) -> Committed | Moved | Earlier:
        """See the port."""
        request = record.request
        keys = self._of(request.customer_id)
        state, earlier = keys.customer(request.customer_id), keys.request(request.customer_id, request.request_id)
        contact = ["", ""] if reserve is None else [f"c:{reserve.decision_id}", encode_contact(reserve)]
        kind, *rest = self._wire.run(
            _COMMIT,
            [state, earlier, keys.decision(record.decision_id), keys.log],
            [expected_version, self._retention_ms, encode_entry(record), *contact, *(f"c:{d}" for d in drop)],
        )
        if kind == b"committed":
            return Committed()
        return Moved(_state(rest[0])) if kind == b"moved" else Earlier(_record(rest[0]))

    def record(self, decision_id: str) -> DecisionRecord:
        """See the port."""
        pointer = self._wire.call("GET", self._by_decision(decision_id).decision(decision_id))
        entry = None if pointer is None else self._wire.call("GET", pointer)
        if entry is None:
            raise NotFound(
                "decision", decision_id, "the ledger forgets after its retention; `nba explain` asks the warehouse"
            )
        return _record(entry)

    def activate(self, activation: Activation, contact: Contact | None) -> bool:
        """See the port."""
        keys = self._of(activation.customer_id)
        status = activation.status
        before = self._wire.run(
            _ACTIVATE,
            [keys.customer(activation.customer_id), keys.activation(activation.decision_id), keys.log],
            [
                status.value,
                self._retention_ms,
                encode_entry(activation),
                f"c:{activation.decision_id}",
                "" if contact is None else encode_contact(contact),
                encode_contact_status(ContactStatus(status.value)) if status in FATES else "",
            ],
        )
        return is_news(None if before is None else ActivationStatus(before.decode()), activation)

    def add_outcome(
        self, outcome: Outcome, suppressions: Sequence[Suppression] = (), counters: Sequence[str] = ()
    ) -> bool:
        """See the port."""
        return self._occur(outcome, f"o{outcome.outcome_id}", counters, suppressions)

    def add_event(self, event: Event) -> bool:
        """See the port."""
        return self._occur(event, f"e{event.event_id}")

    def _occur(
        self,
        body: Outcome | Event,
        dedup_id: str,
        counters: Sequence[str] = (),
        suppressions: Sequence[Suppression] = (),
    ) -> bool:
        keys = self._of(body.customer_id)
        fields = [f"e:{name}" for name in dict.fromkeys((body.name, *counters))]
        pairs = [part for s in suppressions for part in (_suppression_field(s), _suppression_value(s))]
        fresh = self._wire.run(
            _OCCUR,
            [keys.customer(body.customer_id), keys.occurrence(body.customer_id, dedup_id), keys.log],
            [
                self._retention_ms,
                encode_entry(body),
                body.occurred_at_ms,
                MAX_RECENT_EVENTS,
                _MOST_FIELDS,
                len(fields),
                *fields,
                *pairs,
            ],
        )
        return bool(fresh)

    def suppress(self, customer_id: str, suppression: Suppression) -> None:
        """See the port."""
        field = _suppression_field(suppression)
        self._wire.run(
            _SUPPRESS, [self._of(customer_id).customer(customer_id)], [field, _suppression_value(suppression)]
        )

    def unsuppress(self, customer_id: str, channel: str) -> bool:
        """See the port."""
        fields = [f"x:{reason}:{channel}" for reason in ("SUPPRESSED", "SUPPRESSED_BY_OUTCOME")]
        return bool(self._wire.run(_UNSUPPRESS, [self._of(customer_id).customer(customer_id)], list(fields)))

    def state(self, customer_id: str) -> CustomerState:
        """See the port."""
        return _state(self._wire.call("HGETALL", self._of(customer_id).customer(customer_id)))

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def _of(self, customer_id: str) -> _Keys:
        return self._keys[shard_of(customer_id, len(self._keys))]

    def _by_decision(self, decision_id: str) -> _Keys:
        try:
            return self._keys[int(decision_id.partition("-")[0], 16)]
        except (ValueError, IndexError):
            raise NotFound("decision", decision_id, "this is not an id that Decide returned") from None


class RedisLog:
    """The LogReader port: the loader's end of the same streams."""

    def __init__(self, url: str, shards: int, deadline_ms: int) -> None:
        self._wire = Wire(url, deadline_ms, "ledger")
        self._keys = [_Keys(shard) for shard in range(shards)]

    @property
    def shards(self) -> int:
        """How many log streams there are."""
        return len(self._keys)

    def check_shards(self) -> None:
        """See `installation.check_shards`."""
        check_shards(self._wire, len(self._keys))

    def read(self, after: Mapping[int, int], limit: int) -> list[LogEntry]:
        """See the port."""
        entries: list[LogEntry] = []
        size = 0
        for shard, keys in enumerate(self._keys):
            start = f"({_stream_id(after[shard])}" if shard in after else "-"
            for stream_id, fields in self._wire.call("XRANGE", keys.log, start, "+", "COUNT", limit):
                size += len(fields[1])
                entries.append(LogEntry(shard, _sequence(stream_id), *decode_entry(fields[1])))
            if size > _READ_BYTES:
                break  # the other shards have their turn when this is loaded and trimmed
        return entries

    def trim(self, through: Mapping[int, int]) -> None:
        """See the port."""
        replies = [
            self._wire.begin("XTRIM", self._keys[shard].log, "MINID", _stream_id(sequence + 1))
            for shard, sequence in through.items()
        ]
        for reply in replies:
            reply.result()

    def backlog(self) -> int:
        """See the port."""
        replies = [self._wire.begin("XLEN", keys.log) for keys in self._keys]
        return sum(reply.result() for reply in replies)

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()


def _sequence(stream_id: bytes) -> int:
    milliseconds, _, number = stream_id.partition(b"-")
    return int(milliseconds) << _SEQUENCE_BITS | int(number)


def _stream_id(sequence: int) -> str:
    return f"{sequence >> _SEQUENCE_BITS}-{sequence & ((1 << _SEQUENCE_BITS) - 1)}"


def _record(entry: bytes) -> DecisionRecord:
    _, body = decode_entry(entry)
    assert isinstance(body, DecisionRecord)
    return body


def _suppression_field(suppression: Suppression) -> str:
    return f"x:{suppression.reason}:{suppression.channel}"


def _suppression_value(suppression: Suppression) -> bytes:
    """Its end in plain text, for scripts to compare (nothing: for good), then the message."""
    end = "" if suppression.until_ms is None else str(suppression.until_ms)
    return end.encode() + b";" + encode_suppression(suppression)


def _state(fields: Sequence[bytes]) -> CustomerState:
    """From HGETALL's flat list of names and values."""
    version = 0
    contacts, suppressions, events = [], [], {}
    for i in range(0, len(fields), 2):
        name, value = fields[i], fields[i + 1]
        match name[:2]:
            case b"c:":
                contacts.append(decode_contact(value))
            case b"x:":
                suppressions.append(decode_suppression(value.partition(b";")[2]))
            case b"e:":
                total, _, times = value.partition(b";")
                events[name[2:].decode()] = EventCounter(int(total), tuple(map(int, times.split(b","))))
            case _:
                version = int(value)
    contacts.sort(key=lambda c: (c.from_ms, c.decision_id))
    suppressions.sort(key=lambda s: (s.channel, s.reason))
    return CustomerState(version, tuple(contacts), tuple(suppressions), events)


def _config(wire: Wire, name: str) -> str | None:
    """A server setting; None where the server does not tell (managed services hide CONFIG)."""
    import redis

    try:
        answer: list[Any] = wire.call("CONFIG", "GET", name)
    except redis.exceptions.ResponseError:
        return None
    return answer[1].decode() if answer else None
