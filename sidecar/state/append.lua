--[[
Add items to the end of a list, which starts empty; the oldest ones leave where it grows too long.

KEYS[1]  the namespace's hash, as namespace.lua describes it
ARGV[1]  field
ARGV[2]  time to live after the last use, milliseconds
ARGV[3]  how many values the namespace may hold
ARGV[4]  bytes a value may take
ARGV[5]  bytes the values of the namespace may take
ARGV[6]  the items, a JSON list
ARGV[7]  how many of them there are
ARGV[8]  how many items the list may have; "" for no bound

Returns  {1, version, length, dropped}  stored
         {0, version}                   what is there is no list; nothing was written
         {-1, -3 or -4, ...}            as refusal() of namespace.lua says; nothing was written
]]
local kept, added, most = now_kept(KEYS[1], ARGV[1]), ARGV[6], tonumber(ARGV[8])
local list = kept.text or '[]'
if not is_list(list) then
  return {0, kept.version}
end
local count = kept.count
if not count then
  local _, found = end_of_items(list, math.huge)
  count = found
end
local comma = (#list > 2 and #added > 2) and ',' or ''
list = string.sub(list, 1, -2) .. comma .. string.sub(added, 2)
count = count + tonumber(ARGV[7])
local dropped = most and math.max(0, count - most) or 0
if dropped > 0 then
  list = '[' .. string.sub(list, end_of_items(list, dropped) + 2)
end
local refused = refusal(kept, #list, limits_from(ARGV[3], ARGV[4], ARGV[5]), 0, 0)
if refused then
  return refused
end
return {1, store(kept, list, tonumber(ARGV[2]), count - dropped), count - dropped, dropped}
