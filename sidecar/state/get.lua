--[[
Read values of namespaces at one moment, and begin the life of each namespace anew.

KEYS[i]  the namespaces' hashes, as namespace.lua describes them
ARGV     for each of them: how many of its fields are read, then their names

Returns  for each field in turn "version\nvalue", false where there is none
]]
local values, at = {}, 1
for _, hash in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  local ttl_ms = redis.call('HGET', hash, '\1ttl_ms')
  if ttl_ms then
    redis.call('PEXPIRE', hash, ttl_ms)
  end
  for _, value in ipairs(redis.call('HMGET', hash, unpack(ARGV, at + 1, last))) do
    values[#values + 1] = value
  end
  at = last + 1
end
return values
