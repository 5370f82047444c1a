"""What the ledger does in one step, in Lua: it compares and sets. What to set was worked out by the core, from the
state of the version that the script compares with; there is no cap arithmetic here.

A state that moved comes back fresh, and nothing is written. A repetition is answered with what the first run did.
"""

from __future__ import annotations

from decision_service.adapters.redis.wire import Script

# KEYS pointer of a decision, ledger. The entry that it points to, in the same slot; whether the ledger is in service.
RECORD = Script("""
local request = redis.call('GET', KEYS[1])
return {request and redis.call('GET', request), redis.call('EXISTS', KEYS[2])}
""")

# KEYS state, request, decision, log, ledger.  ARGV expected version, ttl ms, entry, ledger id or '',
# number of contacts, (field, contact)…, dropped field…
COMMIT = Script("""
if (redis.call('GET', KEYS[5]) or '') ~= ARGV[4] then return {'replaced'} end
local earlier = redis.call('GET', KEYS[2])
if earlier then return {'earlier', earlier} end
local contacts = tonumber(ARGV[5])
if contacts > 0 then
  local version = redis.call('HGET', KEYS[1], 'v') or '0'
  if version ~= ARGV[1] then return {'moved', redis.call('HGETALL', KEYS[1])} end
  for i = 6, 4 + 2 * contacts, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  for i = 6 + 2 * contacts, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  redis.call('HINCRBY', KEYS[1], 'v', 1)
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
redis.call('SET', KEYS[3], KEYS[2], 'PX', ARGV[2])
redis.call('XADD', KEYS[4], '*', 'b', ARGV[3])
return {'committed'}
""")

# KEYS state, reported, stopped
DEALINGS = Script("""
return {redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])}
""")

# KEYS state, reported, log.  ARGV reports known, reports after, ttl ms, entry, contact field, contact or ''.
# The reports that were known.
ACTIVATE = Script("""
local known = redis.call('GET', KEYS[2]) or ''
if known ~= ARGV[1] then return known end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
  redis.call('HINCRBY', KEYS[1], 'v', 1)
end
redis.call('XADD', KEYS[3], '*', 'b', ARGV[4])
return known
""")

# A change: KEYS state, log, stopped…; ARGV from `at`: ttl ms, number of fields set, (field, value)…, number of fields
# removed, field…, (confirmation of each stopped decision)…, entry…
_APPLY = """
local function apply(at, stopped)
  local last = at + 1 + 2 * tonumber(ARGV[at + 1])
  for i = at + 2, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  local removed = last + 1 + tonumber(ARGV[last + 1])
  for i = last + 2, removed do redis.call('HDEL', KEYS[1], ARGV[i]) end
  for i = stopped, #KEYS do redis.call('SET', KEYS[i], ARGV[removed + 1 + i - stopped], 'PX', ARGV[at]) end
  for i = removed + 1, #ARGV do redis.call('XADD', KEYS[2], '*', 'b', ARGV[i]) end
end
"""

# KEYS state, log, last, stopped…  ARGV expected version, id of the change if it moves the version or '', a change
CHANGE = Script(
    _APPLY
    + """
if ARGV[2] ~= '' and redis.call('GET', KEYS[3]) == ARGV[2] then return false end
if (redis.call('HGET', KEYS[1], 'v') or '0') ~= ARGV[1] then return redis.call('HGETALL', KEYS[1]) end
if ARGV[2] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'v', 1)
  redis.call('SET', KEYS[3], ARGV[2], 'EX', 60)
end
apply(3, 4)
return false
"""
)

# KEYS state, log, fact, stopped…  ARGV digest, ttl ms, entry, occurred ms, most times kept, most fields, expected
# version or '', number of counters, field…, a change
OCCUR = Script(
    _APPLY
    + """
local digest = redis.call('GET', KEYS[3])
if digest then return {digest == ARGV[1] and 'known' or 'other body'} end
if ARGV[7] ~= '' then
  if (redis.call('HGET', KEYS[1], 'v') or '0') ~= ARGV[7] then return {'moved', redis.call('HGETALL', KEYS[1])} end
  redis.call('HINCRBY', KEYS[1], 'v', 1)
end
local function count(field, always)
  local counter = redis.call('HGET', KEYS[1], field)
  if not counter and not always and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return end
  local total, times = 0, {}
  if counter then
    total = tonumber(string.match(counter, '^%d+'))
    for ms in string.gmatch(string.match(counter, ';(.*)$'), '%-?%d+') do times[#times + 1] = ms end
  end
  local at = #times + 1
  while at > 1 and tonumber(times[at - 1]) < tonumber(ARGV[4]) do at = at - 1 end
  table.insert(times, at, ARGV[4])
  while #times > tonumber(ARGV[5]) do table.remove(times) end
  redis.call('HSET', KEYS[1], field, (total + 1) .. ';' .. table.concat(times, ','))
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'b', ARGV[3])
local last = 8 + tonumber(ARGV[8])
for i = 9, last do count(ARGV[i], i > 9) end
apply(last + 1, 4)
return {'new'}
"""
)
