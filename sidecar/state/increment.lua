--[[
Add to a whole number, which starts at 0.

KEYS[1]  the namespace's hash, as put.lua describes it
ARGV[1]  field
ARGV[2]  what to add, a whole number of at most 2^53 either way
ARGV[3]  time to live after the last use, milliseconds
ARGV[4]  how many values the namespace may hold

Returns  {1, version, number}  stored; the number as text
         {0, version}          what is there is no whole number of at most 2^53; nothing was written
         {-1, count}           the namespace is full
         {-2, version}         the sum would pass 2^53; nothing was written

Lua's numbers are doubles: exact up to 2^53, hence the bound.
]]
local hash, field, by = KEYS[1], ARGV[1], tonumber(ARGV[2])
local ttl_ms, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local bound = 9007199254740992

local known = redis.call('HMGET', hash, field, '\1ttl_ms', '\1floor')
local version, number = 0, 0
if known[1] then
  local digits
  version, digits = string.match(known[1], '^(%d+)\n(-?%d+)$')
  -- A number beyond the bound is rounded when it is read, or is too large.
  if not digits or string.format('%.0f', tonumber(digits)) ~= digits or math.abs(tonumber(digits)) > bound then
    return {0, tonumber(string.match(known[1], '^%d+'))}
  end
  version, number = tonumber(version), tonumber(digits)
else
  local count = redis.call('HLEN', hash) - (known[2] and 1 or 0) - (known[3] and 1 or 0)
  if count >= most then
    return {-1, count}
  end
  version = tonumber(known[3] or 0)
end
-- Compared before adding: beyond the bound a sum may be rounded back onto it.
if (by > 0 and number > bound - by) or (by < 0 and number < -bound - by) then
  return {-2, version}
end
version = version + 1
local text = string.format('%.0f', number + by)
redis.call('HSET', hash, field, string.format('%d\n%s', version, text))
ttl_ms = math.max(ttl_ms, tonumber(known[2] or 0))
redis.call('HSET', hash, '\1ttl_ms', ttl_ms)
redis.call('PEXPIRE', hash, ttl_ms)
return {1, version, text}
