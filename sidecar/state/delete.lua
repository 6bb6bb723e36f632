--[[
Remove a value.

KEYS[1]  the namespace's hash, as namespace.lua describes it
ARGV[1]  field
ARGV[2]  the version it must have now; "" for any

Returns  {1, version}  removed
         {0, version}  it has this other version; nothing was removed
         {2, 0}        there is none
]]
local kept, expected = now_kept(KEYS[1], ARGV[1]), ARGV[2]
use(kept)
if not kept.text then
  return {2, 0}
end
if expected ~= '' and tonumber(expected) ~= kept.version then
  return {0, kept.version}
end
redis.call('HDEL', kept.hash, kept.field)
redis.call('HINCRBY', kept.hash, '\1bytes', -kept.size)
if kept.version > kept.floor then
  redis.call('HSET', kept.hash, '\1floor', kept.version)
end
return {1, kept.version}
