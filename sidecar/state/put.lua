--[[
Store a value.

KEYS[1]  the namespace's hash. Beside the values it holds two fields no key can be named like:
         "\1ttl_ms"  how long it lives after its last use: the longest any of its writers asked for
         "\1floor"   the highest version among the values deleted, so that no version comes twice
ARGV[1]  field
ARGV[2]  value, JSON
ARGV[3]  the version it must have now, 0 for none; "" for any
ARGV[4]  time to live after the last use, milliseconds
ARGV[5]  how many values the namespace may hold

Returns  {1, version}  stored
         {0, version}  it has this other version, 0 for none; nothing was written
         {-1, count}   the namespace is full
]]
local hash, field, value, expected = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local ttl_ms, most = tonumber(ARGV[4]), tonumber(ARGV[5])

local known = redis.call('HMGET', hash, field, '\1ttl_ms', '\1floor')
local version = known[1] and tonumber(string.match(known[1], '^%d+')) or 0
if expected ~= '' and tonumber(expected) ~= version then
  return {0, version}
end
if version == 0 then
  local count = redis.call('HLEN', hash) - (known[2] and 1 or 0) - (known[3] and 1 or 0)
  if count >= most then
    return {-1, count}
  end
  version = tonumber(known[3] or 0)
end
version = version + 1
redis.call('HSET', hash, field, string.format('%d\n%s', version, value))
ttl_ms = math.max(ttl_ms, tonumber(known[2] or 0))
redis.call('HSET', hash, '\1ttl_ms', ttl_ms)
redis.call('PEXPIRE', hash, ttl_ms)
return {1, version}
