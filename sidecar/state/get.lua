--[[
Read values of a namespace and begin its life anew.

KEYS[1]  the namespace's hash
ARGV     names of fields

Returns  for each field "version\nvalue", false where there is none
]]
local ttl_ms = redis.call('HGET', KEYS[1], '\1ttl_ms')
if ttl_ms then
  redis.call('PEXPIRE', KEYS[1], ttl_ms)
end
return redis.call('HMGET', KEYS[1], unpack(ARGV))
