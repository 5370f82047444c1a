"""Budgets on Redis: counters beside the ledger, all under one hash tag, so that one script takes every token or none.

    nba:{budgets}:n:COUNTER    hash  `used`: spent, or held by a lease that is live at `at` (both as decimal integers)
    nba:{budgets}:t:COUNTER    zset  "DECISION:AMOUNT" of each token not spent → when its lease lapses; ":0" is appended
                                     once it was released, as it then counts for nothing

A token counts while its lease is live. So the level at any moment is `used`, less the tokens that lapse between `at`
and then; or, if a clock has been set back, plus those that had lapsed between then and `at`. Taking moves `at` on, as
does reading past many tokens, so few are looked at twice. A lapsed token stays for as long as its sending may be
reported, and is then counted again, once.

Scripts get every time from the service. Only retention is on the server's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decision_service.adapters.redis.wire import Reply, Script, Wire
from decision_service.core.guardrails.budgets import ends
from decision_service.core.model.customer import REPORT_GRACE_MS
from decision_service.core.model.record import Token

# Numbers are exact below 2^53, as is every amount, limit and time.
_LEVEL = """
local function level(counter, tokens, now)
  local used = redis.call('HMGET', counter, 'used', 'at')
  if not used[1] then return 0 end
  local from, to, sign = used[2], now, -1
  if tonumber(now) < tonumber(from) then from, to, sign = now, from, 1 end
  local sum = tonumber(used[1])
  local passed = redis.call('ZRANGEBYSCORE', tokens, from, '(' .. to)
  for _, token in ipairs(passed) do sum = sum + sign * tonumber(string.match(token, '%d+$')) end
  if #passed > 100 then redis.call('HSET', counter, 'used', string.format('%.0f', sum), 'at', now) end
  return sum
end
"""

# KEYS (counter, tokens)…  ARGV now
_READ = Script(
    _LEVEL
    + """
local levels = {}
for i = 1, #KEYS, 2 do levels[#levels + 1] = string.format('%.0f', level(KEYS[i], KEYS[i + 1], ARGV[1])) end
return levels
"""
)

# KEYS (counter, tokens)…  ARGV now, when the lease lapses, retention ms, (token, amount, limit, ttl ms or '')…
# The number of the counter that has too little left, or nothing.
_TAKE = Script(
    _LEVEL
    + """
local now = tonumber(ARGV[1])
local used, held = {}, {}
for i = 1, #KEYS, 2 do
  local arg = 2 * i + 2
  used[i] = level(KEYS[i], KEYS[i + 1], ARGV[1])
  local lapses = redis.call('ZSCORE', KEYS[i + 1], ARGV[arg])
  held[i] = lapses and tonumber(lapses) >= now
  if not held[i] and tonumber(ARGV[arg + 1]) > tonumber(ARGV[arg + 2]) - used[i] then return (i + 1) / 2 end
end
for i = 1, #KEYS, 2 do
  local arg = 2 * i + 2
  if not held[i] then
    -- Not from now alone: a clock that ran far ahead for a moment must not forget every token.
    local newest = redis.call('ZREVRANGE', KEYS[i + 1], 0, 0, 'WITHSCORES')[2]
    local oldest = math.min(now, newest and tonumber(newest) or now) - tonumber(ARGV[3])
    redis.call('ZREMRANGEBYSCORE', KEYS[i + 1], '-inf', string.format('(%.0f', oldest))
    redis.call('HSET', KEYS[i], 'used', string.format('%.0f', used[i] + tonumber(ARGV[arg + 1])), 'at', ARGV[1])
    redis.call('ZADD', KEYS[i + 1], ARGV[2], ARGV[arg])
    redis.call('ZREM', KEYS[i + 1], ARGV[arg] .. ':0')
    if ARGV[arg + 3] ~= '' then
      redis.call('PEXPIRE', KEYS[i], ARGV[arg + 3])
      redis.call('PEXPIRE', KEYS[i + 1], ARGV[arg + 3])
    end
  end
end
return false
"""
)

# KEYS (counter, tokens)…  ARGV 'spend' or 'release', (token, amount)…
_SETTLE = Script("""
for i = 1, #KEYS, 2 do
  local token, released = ARGV[i + 1], ARGV[i + 1] .. ':0'
  local lapses = redis.call('ZSCORE', KEYS[i + 1], token)
  local at = redis.call('HGET', KEYS[i], 'at')
  if lapses and at then
    redis.call('ZREM', KEYS[i + 1], token)
    local counted = tonumber(lapses) >= tonumber(at)
    if ARGV[1] == 'spend' and not counted then redis.call('HINCRBY', KEYS[i], 'used', ARGV[i + 2]) end
    if ARGV[1] == 'release' then
      if counted then redis.call('HINCRBY', KEYS[i], 'used', '-' .. ARGV[i + 2]) end
      redis.call('ZADD', KEYS[i + 1], lapses, released)
    end
  elseif ARGV[1] == 'spend' and redis.call('ZREM', KEYS[i + 1], released) == 1 then
    -- It had been given back, and was sent all the same.
    redis.call('HINCRBY', KEYS[i], 'used', ARGV[i + 2])
  end
end
""")

KEPT_MS = 40 * 86_400_000
"""A counter lives so long after the last lease taken from it lapses, at least: longer than any period."""


class _PendingLevels:
    def __init__(self, keys: Sequence[str], reply: Reply | None) -> None:
        self._keys, self._reply = keys, reply

    def result(self) -> Mapping[str, int]:
        if self._reply is None:
            return {}
        return dict(zip(self._keys, map(int, self._reply.result()), strict=True))


class RedisBudgets:
    """The Budgets port. `retention_s` is the ledger's: a report on a decision older than that is refused anyway."""

    def __init__(self, url: str, deadline_ms: int, retention_s: int) -> None:
        self._wire = Wire(url, deadline_ms, "budgets")
        self._retention_ms = retention_s * 1000

    def begin_levels(self, keys: Sequence[str], now_ms: int) -> _PendingLevels:
        """See the port."""
        if not keys:
            return _PendingLevels(keys, None)
        return _PendingLevels(keys, self._wire.begin(*_READ.command(counter_keys(keys), [now_ms]), script=_READ))

    def take(
        self, decision_id: str, tokens: Sequence[Token], limits: Sequence[int], now_ms: int, until_ms: int
    ) -> str | None:
        """See the port."""
        if not tokens:
            return None
        lapses_ms = max(now_ms, until_ms) + REPORT_GRACE_MS
        kept_ms = lapses_ms - now_ms + max(KEPT_MS, self._retention_ms)
        arguments: list[object] = [now_ms, lapses_ms, self._retention_ms]
        for token, limit in zip(tokens, limits, strict=True):
            ttl = kept_ms if ends(token) else ""
            arguments += [member_of(decision_id, token), token.amount, limit, ttl]
        refused = self._wire.run(_TAKE, counter_keys([token.key for token in tokens]), arguments)
        return None if refused is None else tokens[refused - 1].key

    def spend(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """See the port."""
        self._settle("spend", decision_id, tokens)

    def release(self, decision_id: str, tokens: Sequence[Token]) -> None:
        """See the port."""
        self._settle("release", decision_id, tokens)

    def _settle(self, how: str, decision_id: str, tokens: Sequence[Token]) -> None:
        if tokens:
            members = [part for token in tokens for part in (member_of(decision_id, token), token.amount)]
            self._wire.run(_SETTLE, counter_keys([token.key for token in tokens]), [how, *members])

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()


def counter_keys(keys: Sequence[str]) -> list[str]:
    """Of each `Token.key` the two keys."""
    return [f"nba:{{budgets}}:{kind}:{key}" for key in keys for kind in "nt"]


def member_of(decision_id: str, token: Token) -> str:
    """Of the set of tokens."""
    return f"{decision_id}:{token.amount}"
