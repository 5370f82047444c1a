"""What a lost ledger is brought back with, past the Decide path: whole customers, counters of budgets, log positions.

A shard takes them only while it is not in service, and goes in service only if its log holds nothing that was not
brought in. Both are asked in the step that writes, so two rebuilds, or one and a worker, cannot undo each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from decision_service.adapters.redis.budgets import KEPT_MS, counter_keys, member_of
from decision_service.adapters.redis.keys import Keys, shard_of
from decision_service.adapters.redis.ledger import MOST_FIELDS, contact_fields, suppression_fields, suppressions_in
from decision_service.adapters.redis.log import id_of, sequence_of
from decision_service.contract.codec import encode_entry
from decision_service.core.guardrails.budgets import ends
from decision_service.core.model.customer import REPORT_GRACE_MS, CustomerState, EventCounter
from decision_service.core.model.errors import Conflict, Unavailable
from decision_service.core.model.record import ActivationStatus, DecisionRecord, Event, Outcome, digest_of
from decision_service.core.model.sending import Confirmation, Preference, PreferenceKind
from decision_service.core.rebuild import Fate, Holding

_PIPELINED = 200

# KEYS state, ledger, further…  ARGV version, number of fields, (field, value)…, (value, ttl ms) of each further key.
# The version is above every one that this customer had: what was read before does not pass for this state.
_RESTORE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local version = math.max(tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'v') or '0') + 1)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version))
local last = 2 + 2 * tonumber(ARGV[2])
for i = 3, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 3, #KEYS do redis.call('SET', KEYS[i], ARGV[last + 2 * i - 5], 'PX', ARGV[last + 2 * i - 4]) end
return 1
"""

_LAST_ID = """
local function last_id(log)
  if redis.call('EXISTS', log) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', log)
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end
end
"""

# KEYS log.  The id of the last entry there was.
_LAST = _LAST_ID + "return last_id(KEYS[1])"

# KEYS log.  ARGV id that the next entry has to come after, its two parts
_GO_ON_AFTER = (
    _LAST_ID
    + """
local ms, number = string.match(last_id(KEYS[1]), '^(%d+)-(%d+)$')
ms, number = tonumber(ms), tonumber(number)
if ms < tonumber(ARGV[2]) or (ms == tonumber(ARGV[2]) and number < tonumber(ARGV[3])) then
  redis.call('XADD', KEYS[1], ARGV[1], 'b', '')
  redis.call('XDEL', KEYS[1], ARGV[1])
end
"""
)

# KEYS state, log.  ARGV (field, value, entry)…: of what is still as it was read; who changed it has logged it.
_LOG_WHAT_IS = """
local logged = 0
for i = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('XADD', KEYS[2], '*', 'b', ARGV[i + 2])
    logged = logged + 1
  end
end
return logged
"""

# KEYS log, ledger.  ARGV id of the last entry that was brought in, ledger id
_SERVE = (
    _LAST_ID
    + """
if last_id(KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Restored:
    """One customer as stored. What makes retries safe comes with the time, UTC epoch ms, that it was first stored."""

    customer_id: str
    state: CustomerState
    records: Sequence[DecisionRecord] = ()
    reported: Mapping[str, tuple[tuple[ActivationStatus, ...], int]] = field(default_factory=dict)
    stopped: Mapping[str, Confirmation] = field(default_factory=dict)
    facts: Sequence[Outcome | Event] = ()


class RedisRestore:
    """Every method raises Unavailable where the server does not answer, and may be repeated."""

    def __init__(self, url: str, shards: int, deadline_ms: int, retention_s: int) -> None:
        timeout_s = deadline_ms / 1000
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
        self._keys = [Keys(shard) for shard in range(shards)]
        self._retention_ms = retention_s * 1000

    def not_serving(self, ledger_id: str) -> set[int]:
        """The shards that do not name this ledger."""
        with _answering():
            named = [self._redis.get(keys.ledger) for keys in self._keys]
        return {shard for shard, name in enumerate(named) if name != ledger_id.encode()}

    def begin(self, shards: Iterable[int], loaded: Mapping[int, int]) -> None:
        """Take shards out of service; the next entry of each one's log comes after those that the warehouse has."""
        with _answering():
            for shard in shards:
                self._redis.delete(self._keys[shard].ledger)
                if shard in loaded:
                    last = id_of(loaded[shard])
                    self._redis.eval(_GO_ON_AFTER, 1, self._keys[shard].log, last, *last.split("-"))

    def positions(self, shards: Iterable[int]) -> dict[int, int]:
        """Shard → sequence of the last entry there was in its log."""
        with _answering():
            return {shard: sequence_of(self._redis.eval(_LAST, 1, self._keys[shard].log)) for shard in shards}

    def put_in_service(self, shard: int, position: int, ledger_id: str) -> bool:
        """Let contacts be decided on in the shard; False if its log has moved beyond the position."""
        keys = self._keys[shard]
        with _answering():
            return bool(self._redis.eval(_SERVE, 2, keys.log, keys.ledger, id_of(position), ledger_id))

    def customers(self, customers: Sequence[Restored], now_ms: int) -> None:
        """Put these in the place of what is known of them.

        Raises:
            Conflict: a shard is in service.
        """
        for at in range(0, len(customers), _PIPELINED):
            pipeline = self._redis.pipeline(transaction=False)
            for customer in customers[at : at + _PIPELINED]:
                keys, arguments = self._command(customer, now_ms)
                pipeline.eval(_RESTORE, len(keys), *keys, *arguments)
            with _answering():
                answers = pipeline.execute()
            if not all(answers):
                raise Conflict("the ledger went in service meanwhile: somebody else rebuilt it, or declared it new")

    def _command(self, customer: Restored, now_ms: int) -> tuple[list[str], list[Any]]:
        keys = self._keys[shard_of(customer.customer_id, len(self._keys))]
        fields = contact_fields(customer.state.contacts) | suppression_fields(customer.state.suppressions)
        fields |= _counter_fields(customer.state.events, MOST_FIELDS - len(fields) - 1)
        kept: dict[str, tuple[Any, int]] = {}
        for record in customer.records:
            request = keys.request(customer.customer_id, record.request.request_id)
            kept[request] = encode_entry(record), record.decided_at_ms
            kept[keys.decision(record.decision_id)] = request, record.decided_at_ms
        for decision_id, (statuses, at_ms) in customer.reported.items():
            kept[keys.reported(decision_id)] = ",".join(statuses), at_ms
        for decision_id, stop in customer.stopped.items():
            kept[keys.stopped(decision_id)] = encode_entry(stop), stop.at_ms
        for fact in customer.facts:
            kept[keys.fact(fact)] = digest_of(fact), fact.received_at_ms
        left = {
            key: (value, at_ms + self._retention_ms - now_ms)
            for key, (value, at_ms) in kept.items()
            if at_ms + self._retention_ms > now_ms
        }
        further = [part for pair in left.values() for part in pair]
        flat = [part for pair in fields.items() for part in pair]
        return [keys.customer(customer.customer_id), keys.ledger, *left], [now_ms, len(fields), *flat, *further]

    def budgets(self, counters: Counters, now_ms: int) -> None:
        """Put these counters in the place of what there is of each."""
        pipeline = self._redis.pipeline(transaction=True)
        for key, counter in counters.by_key.items():
            number, tokens = counter_keys([key])
            pipeline.delete(number, tokens)
            pipeline.hset(number, mapping={"used": counter.spent + counter.held(now_ms), "at": now_ms})
            if counter.open:
                pipeline.zadd(tokens, {member: lapses_ms for member, (lapses_ms, _) in counter.open.items()})
            if counter.ends:
                kept_ms = max(counter.latest_ms - now_ms + max(KEPT_MS, self._retention_ms), 1)
                pipeline.pexpire(number, kept_ms)
                pipeline.pexpire(tokens, kept_ms)
            with _answering():
                pipeline.execute()

    def log_suppressions(self, now_ms: int) -> int:
        """Log the suppressions that are in force, as of now; how many. For a ledger of a release that kept them
        in itself alone. To repeat it logs them again, which changes nothing."""
        logged = 0
        with _answering():
            for keys in self._keys:
                for name in self._redis.scan_iter(match=f"{keys.customer('*')}", count=_PIPELINED):
                    customer_id = name.decode().removeprefix(keys.customer(""))
                    entries: list[Any] = []
                    for field, (value, s) in suppressions_in(self._redis.hgetall(name)).items():
                        if s.live_at(now_ms):
                            kept = Preference(customer_id, PreferenceKind.SUPPRESS, s.channel, now_ms, s.reason)
                            kept = replace(kept, until_ms=s.until_ms, note=s.note)
                            entries += [field, value, encode_entry(kept)]
                    if entries:
                        logged += self._redis.eval(_LOG_WHAT_IS, 2, name, keys.log, *entries)
        return logged

    def close(self) -> None:
        """Close idle connections."""
        self._redis.close()


@dataclass(slots=True)
class _Counter:
    ends: bool
    spent: int = 0
    latest_ms: int = 0
    open: dict[str, tuple[int, int]] = field(default_factory=dict)  # member → when it lapses, and how much it counts

    def held(self, now_ms: int) -> int:
        return sum(amount for lapses_ms, amount in self.open.values() if lapses_ms >= now_ms)


class Counters:
    """The counters of budgets, added up decision by decision, each once.

    since_ms: decisions of leases that lapsed before it can no longer be reported on; their tokens are spent, or gone.
    """

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self.by_key: dict[str, _Counter] = {}

    def add(self, holding: Holding) -> None:
        """Add a decision's tokens."""
        lapses_ms = holding.until_ms + REPORT_GRACE_MS
        for token in holding.tokens:
            counter = self.by_key.setdefault(token.key, _Counter(ends(token)))
            counter.latest_ms = max(counter.latest_ms, lapses_ms)
            if holding.fate is Fate.SPENT:
                counter.spent += token.amount
            elif lapses_ms >= self._since_ms:
                is_held = holding.fate is Fate.HELD
                member = member_of(holding.decision_id, token) + ("" if is_held else ":0")
                counter.open[member] = lapses_ms, token.amount if is_held else 0


def _counter_fields(events: Mapping[str, EventCounter], room: int) -> dict[str, bytes]:
    """As `ledger_scripts` writes them. What pauses go by is kept whatever the room; see `MOST_FIELDS`."""
    fields: dict[str, bytes] = {}
    for name, counter in events.items():
        if len(fields) < room or name.startswith("\x1f"):
            fields[f"e:{name}"] = f"{counter.total};{','.join(map(str, counter.recent_ms))}".encode()
    return fields


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.RedisError as error:
        raise Unavailable("ledger", str(error)) from error
