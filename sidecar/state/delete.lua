--[[
Remove a value.

KEYS[1]  the namespace's hash, as put.lua describes it
ARGV[1]  field
ARGV[2]  the version it must have now; "" for any

Returns  {1, version}  removed
         {0, version}  it has this other version; nothing was removed
         {2, 0}        there is none
]]
local hash, field, expected = KEYS[1], ARGV[1], ARGV[2]
local known = redis.call('HMGET', hash, field, '\1ttl_ms', '\1floor')
if known[2] then
  redis.call('PEXPIRE', hash, known[2])
end
if not known[1] then
  return {2, 0}
end
local version = tonumber(string.match(known[1], '^%d+'))
if expected ~= '' and tonumber(expected) ~= version then
  return {0, version}
end
redis.call('HDEL', hash, field)
if version > tonumber(known[3] or 0) then
  redis.call('HSET', hash, '\1floor', version)
end
return {1, version}
